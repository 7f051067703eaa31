package simtest

import (
	"errors"
	"fmt"
	"time"

	"gcrm/cib"
	"gcrm/cluster/controller"
)

// What consensus promises is modelled, not how it is reached: one leader a
// term, a log that only grows, every replica applying the same prefix, and
// proposals whose outcome stays unknown when the leader changes.

type proposal struct {
	change cib.Change
	then   func(error)
	over   bool
}

var errNoLeader = errors.New("no leader")

// propose commits a change at the leader n, which tells then what became of it.
func (w *world) propose(n *node, change cib.Change, then func(error)) {
	if w.leader != n {
		w.after(w.between(0, 3*time.Second), func() { then(errNoLeader) })
		return
	}
	p := &proposal{change: change, then: then}
	w.proposals = append(w.proposals, p)
	term := w.term
	w.after(w.between(time.Millisecond, 20*time.Millisecond), func() {
		if !p.over && w.term == term {
			w.commit(p)
		}
	})
}

func (w *world) settle(p *proposal) {
	p.over = true
	for i, q := range w.proposals {
		if q == p {
			w.proposals = append(w.proposals[:i], w.proposals[i+1:]...)
			return
		}
	}
}

// commit appends a proposal to the log. The leader applies it before anybody
// is told.
func (w *world) commit(p *proposal) {
	w.settle(p)
	doc, err := w.docs[len(w.docs)-1].Apply(p.change)
	if err != nil {
		p.then(err)
		return
	}
	w.log, w.docs = append(w.log, p.change), append(w.docs, doc)
	w.stats.commits++
	for _, n := range w.nodes {
		if n == w.leader {
			n.catchUp(len(w.log))
		} else {
			w.replicate(n, len(w.log))
		}
	}
	if w.faults && w.chance(0.01) {
		p.then(errors.New("the acknowledgement was lost"))
		return
	}
	w.acked = len(w.log)
	p.then(nil)
}

// replicate brings a follower up to a log index, when it can be reached.
func (w *world) replicate(n *node, index int) {
	w.after(w.between(time.Millisecond, 100*time.Millisecond), func() {
		if w.leader != nil && w.linked(w.leader, n) && n.applied < index {
			n.catchUp(index)
		}
	})
}

// catchUp applies the log up to an index on a node.
func (n *node) catchUp(index int) {
	for n.applied < index && n.up {
		n.applied++
		n.control(controller.Applied{Change: &n.w.log[n.applied-1], CIB: n.w.docs[n.applied]})
	}
}

func (n *node) doc() *cib.CIB { return n.w.docs[n.applied] }

// dethrone ends the leader's term; it may learn of it late.
func (w *world) dethrone(why string) {
	old := w.leader
	if old == nil {
		return
	}
	w.note("%s loses the leadership: %s", old.name, why)
	w.leader = nil
	boot, term := old.boot, w.term
	w.after(w.between(0, 2*time.Second), func() {
		if old.up && old.boot == boot && old.term == term {
			old.control(controller.LostLeader{})
		}
	})
	w.after(w.between(300*time.Millisecond, 2*time.Second), w.elect)
}

// elect makes one of the nodes that form a majority the leader.
func (w *world) elect() {
	if w.leader != nil {
		return
	}
	var able []*node
	for _, n := range w.nodes {
		if n.up && !n.isolated {
			able = append(able, n)
		}
	}
	if len(able) <= len(w.nodes)/2 {
		w.after(time.Second, w.elect)
		return
	}
	n := able[w.rng.IntN(len(able))]
	w.term++
	w.stats.leaders++
	// What the old leader had proposed is in the new leader's log or not.
	for len(w.proposals) > 0 {
		p := w.proposals[0]
		if w.chance(0.5) {
			then := p.then
			p.then = func(error) { then(errors.New("the leader changed")) }
			w.commit(p)
		} else {
			w.settle(p)
			p.then(errors.New("the leader changed"))
		}
	}
	w.note("%s leads, term %d", n.name, w.term)
	w.leader, n.term = n, w.term
	n.catchUp(len(w.log))
	for _, m := range w.nodes {
		if m != n {
			w.replicate(m, len(w.log))
		}
	}
	n.control(controller.BecameLeader{Term: w.term, UUID: fmt.Sprintf("leader-%d", w.term), CIB: n.doc()})
}

// members is the membership service: the leader commits who is there.
func (w *world) members() {
	w.after(500*time.Millisecond, w.members)
	l := w.leader
	if l == nil || !l.up {
		return
	}
	for _, n := range w.nodes {
		if w.linked(l, n) {
			n.seen = w.now
		}
		online := l.thinksOnline(n)
		switch {
		case online && n.left:
			e := nodeEdit(n, "false", "offline", "down", "down")
			e.Node.Fenced = true
			w.propose(l, statusChange(e), func(error) {})
		case online && w.now.Sub(n.seen) > 1500*time.Millisecond:
			w.note("%s is declared lost", n.name)
			l.control(controller.NodeLost{Node: n.name})
			w.propose(l, statusChange(nodeEdit(n, "false", "offline", "", "")), func(error) {})
		case !online && w.linked(l, n) && n.up:
			w.replicate(n, len(w.log))
			w.propose(l, statusChange(nodeEdit(n, "true", "online", "member", "member")), func(error) {})
		case online && n.known != n.boot:
			l.control(controller.NodeLost{Node: n.name})
		}
		n.known = n.boot
	}
}

func statusChange(edits ...cib.StatusEdit) cib.Change {
	return cib.Change{Origin: cib.Origin{Client: "simulation"}, Status: &cib.StatusChange{Edits: edits}}
}

func nodeEdit(n *node, ccm, crmd, join, expected string) cib.StatusEdit {
	e := &cib.NodeStateEdit{ID: n.id, Uname: n.name, Attributes: []cib.Attr{{Name: "in_ccm", Value: ccm}, {Name: "crmd", Value: crmd}}}
	if join != "" {
		e.Attributes = append(e.Attributes, cib.Attr{Name: "join", Value: join}, cib.Attr{Name: "expected", Value: expected})
	}
	return cib.StatusEdit{Node: e}
}
