package whole

import (
	"time"

	"gcrm/cluster/consensus"
)

// What is over has to stay over: incarnations, and proofs of fencing.

// incarnation is one start of a member.
type incarnation struct {
	name, id string
	number   uint64
}

// returnsLocked checks that no incarnation is a member again after the cluster
// went on without it: a virtual machine that is resumed has to start anew.
func (w *world) returnsLocked(l *life, s *consensus.State) {
	if w.divergence() {
		return
	}
	for _, m := range s.Members {
		i := incarnation{m.Name, m.ID, m.Incarnation}
		at, over := w.ended[i]
		switch m.State {
		case consensus.Online:
			if over && at < s.Index {
				w.violatedLocked("incarnation %d of %s is a member again by entry %d on %s; entry %d had it go", m.Incarnation, m.Name, s.Index, l.host.name, at)
			}
		case consensus.Lost, consensus.Down, consensus.Left:
			if m.Incarnation > 0 && (!over || s.Index < at) {
				w.ended[i] = s.Index
			}
		}
	}
}

// forgottenLocked checks that who was removed is no member again: an id is
// given once, and a change that was made of what was before the removal must
// not bring it back.
func (w *world) forgottenLocked(l *life, s *consensus.State) {
	if w.divergence() {
		return
	}
	present := map[string]bool{}
	for _, m := range s.Members {
		if m.ID == "" {
			continue
		}
		present[m.ID] = true
		if first, ok := w.membersFrom[m.ID]; !ok || s.Index < first {
			w.membersFrom[m.ID] = s.Index
		}
		if at, gone := w.removedAt[m.ID]; gone && at < s.Index {
			w.violatedLocked("%s (id %s) is a member again by entry %d on %s; entry %d removed it", m.Name, m.ID, s.Index, l.host.name, at)
		}
	}
	for id, first := range w.membersFrom {
		if at, gone := w.removedAt[id]; !present[id] && s.Index > first && (!gone || s.Index < at) {
			w.removedAt[id] = s.Index
		}
	}
}

// meets lets two nodes that were cut from each other meet while the switch has
// not answered yet, and cuts them again just before it does: its answer is
// then older than what the other one runs.
func (w *world) meets() {
	if len(w.hosts) != 2 {
		return
	}
	a, b := w.hosts[0], w.hosts[1]
	cue := make(chan struct{})
	before := map[*host]int{a: w.timesFenced(a), b: w.timesFenced(b)}
	w.mu.Lock()
	w.switching, w.cue = deviceAnswersOnCue, cue
	w.mu.Unlock()
	w.note("the nodes are cut from each other; the switch answers when they are so again")
	w.sever(a, b, true)
	w.happens(5, func() bool { return w.timesFenced(a) > before[a] || w.timesFenced(b) > before[b] })
	w.sever(a, b, false)
	settled := func() bool {
		for _, h := range w.hosts {
			if n := h.running(); n == nil || !n.Admitted() || !w.runsSomething(h) {
				return false
			}
		}
		return true
	}
	w.happens(8, settled)
	w.note("they are cut from each other again")
	w.sever(a, b, true)
	time.Sleep(w.between(1, 2.5))
	close(cue)
	w.mu.Lock()
	w.switching, w.cue = deviceWorks, nil
	w.mu.Unlock()
}

// runsSomething reports whether a resource is active on a host.
func (w *world) runsSomething(h *host) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, on := range w.active {
		if on[h.name] {
			return true
		}
	}
	return false
}
