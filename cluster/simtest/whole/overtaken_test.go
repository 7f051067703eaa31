package whole

import (
	"slices"
	"time"

	"gcrm/cluster/executor/operation"
)

// overtaken lets orders of a leader arrive when another one leads, who has it
// otherwise: one that is to start something is on its way while the leader is
// replaced, and what it was to start is started elsewhere.
func (w *world) overtaken(lead *host) {
	var others []*host
	for _, h := range w.hosts {
		if n := h.running(); h != lead && !h.witness && n != nil && n.Admitted() {
			others = append(others, h)
		}
	}
	if lead == nil || lead.witness || len(others) < 2 {
		return
	}
	w.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	to, next := others[0], others[1]
	w.note("an order of %s to %s is on its way for long", lead.name, to.name)
	w.net.stall(lead.name, to.name, true)
	w.onlyOn(to)
	ordered := func() bool {
		n := lead.running()
		if n == nil {
			return false
		}
		s, _ := n.Consensus().State()
		m, ok := s.Member(to.name)
		return ok && len(operation.UnderWay(s.CIB, m.ID)) > 0
	}
	if w.happens(5, ordered) {
		w.note("%s is overtaken", lead.name)
		for _, h := range w.hosts {
			w.net.stall(lead.name, h.name, true)
		}
		w.happens(5, func() bool {
			if l := w.leader(); l != nil && l != lead {
				return true
			}
			if n := next.running(); n != nil {
				n.Campaign()
			}
			return false
		})
		w.onlyOn(next)
		w.happens(5, func() bool { return w.runsSomething(next) })
	}
	for _, h := range w.hosts {
		w.net.stall(lead.name, h.name, false)
	}
}

// onlyOn sets all hosts but one to standby.
func (w *world) onlyOn(h *host) {
	for _, o := range slices.Backward(w.hosts) {
		if o != h && !o.witness {
			w.standby(o, "on")
		}
	}
	w.standby(h, "off")
}

// happens waits for something, for some detection times at most.
func (w *world) happens(limit float64, f func() bool) bool {
	for end := time.Now().Add(time.Duration(limit * float64(w.detection))); time.Now().Before(end); time.Sleep(w.detection / 20) {
		if f() {
			return true
		}
	}
	return false
}
