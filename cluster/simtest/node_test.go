package simtest

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"gcrm/cib"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor"
	"gcrm/cluster/executor/operation"
)

// node is one machine with its daemon.
type node struct {
	w        *world
	name, id string
	up       bool
	boot     int // counts starts of the daemon
	isolated bool
	left     bool      // it said farewell
	seen     time.Time // by the leader
	known    int       // boot the membership knows

	applied  int // of the log
	term     uint64
	ctl      *controller.Controller
	core     *executor.Core
	calls    map[uint64]*call
	progress controller.Progress
}

// call is an agent action that runs.
type call struct {
	job  operation.Job
	over bool
}

func (w *world) addNode(name, id string) *node {
	n := &node{w: w, name: name, id: id}
	w.nodes = append(w.nodes, n)
	return n
}

// start starts the daemon.
func (n *node) start() {
	n.up, n.left = true, false
	n.boot++
	n.calls = map[uint64]*call{}
	n.ctl = controller.New(controller.Config{Node: n.name, Schedule: n.w.schedule})
	n.applied = 0
	n.control(controller.Applied{CIB: n.w.docs[0]})
	n.core = executor.NewCore(executor.CoreConfig{Node: n.name, NodeID: n.id, Incarnation: fmt.Sprintf("%s-%d", n.name, n.boot),
		LastCall: operation.LastCall(n.w.docs[len(n.w.docs)-1], n.id)})
	n.w.note("%s starts (%d)", n.name, n.boot)
	if n.w.leader != nil {
		n.w.replicate(n, len(n.w.log))
	}
}

// stop ends the daemon: with the power, or alone, which leaves resources.
func (n *node) stop(power bool) {
	n.up = false
	for _, c := range n.calls {
		c.over = true
		delete(n.w.busy, c.job.Resource+"@"+n.name)
	}
	if power {
		n.w.lose(n.name)
	}
	if n.w.leader == n {
		n.w.dethrone("it stopped")
	}
}

// leave ends the daemon as the cluster wants it: nothing may run any more.
func (n *node) leave() {
	n.w.note("%s leaves", n.name)
	n.w.stats.shutdowns++
	for _, id := range slices.Sorted(maps.Keys(n.w.active)) {
		if n.w.active[id][n.name] {
			n.w.violated("%s leaves while %s is active there", n.name, id)
		}
	}
	n.left = true
	n.stop(false)
	n.w.revive(n, n.w.between(3*time.Second, 10*time.Second))
}

func (n *node) thinksOnline(m *node) bool {
	return operation.Online(operation.NodeState(n.doc(), m.id))
}

// control gives the controller an input and carries out what it wants.
func (n *node) control(in controller.Input) {
	if !n.up {
		return
	}
	w, boot := n.w, n.boot
	later := func(in controller.Input) {
		if n.up && n.boot == boot {
			n.control(in)
		}
	}
	for _, e := range n.ctl.Step(w.now, in) {
		switch e := e.(type) {
		case controller.Apply:
			w.propose(n, e.Change, func(err error) {
				// On its own, as the answer of a library comes.
				w.after(0, func() { later(controller.ApplyDone{Ref: e.Ref, Err: err}) })
			})
		case controller.Dispatch:
			to := w.byName(e.Node)
			w.rpc(n, to, func(reply func(any, error)) {
				effects, err := to.core.Dispatch(w.now, e.Message)
				if err != nil {
					w.stats.refused++
				}
				to.execute(effects)
				reply(nil, err)
			}, func(_ any, err error) { later(controller.Dispatched{Ref: e.Ref, Err: err}) })
		case controller.Query:
			to := w.byName(e.Node)
			w.rpc(n, to, func(reply func(any, error)) {
				report, err := to.core.Report(e.Token)
				reply(report, err)
			}, func(v any, err error) {
				report, _ := v.(operation.Report)
				later(controller.Answered{Ref: e.Ref, Report: report, Err: err})
			})
		case controller.Fence:
			w.fence(n, e, later)
		case controller.Shutdown:
			to := w.byName(e.Node)
			was := to.boot // the connection ends with the daemon
			w.send(n, to, func() {
				if to.boot == was {
					to.leave()
				}
			})
		case controller.Progress:
			n.progress = e
		case controller.Event:
			if e.Level > slog.LevelDebug {
				w.note("  %s: %s", n.name, e.Text)
			}
		}
	}
	n.wake(n.ctl.Wake, func() { n.control(controller.Tick{}) })
}

// wake calls do at the time that at names, unless that changes until then.
func (n *node) wake(at func() time.Time, do func()) {
	t := at()
	if t.IsZero() {
		return
	}
	boot := n.boot
	n.w.after(max(t.Sub(n.w.now), time.Millisecond), func() {
		if now := at(); n.up && n.boot == boot && !now.IsZero() && !now.After(n.w.now) {
			do()
		}
	})
}

func (w *world) byName(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	panic("no node " + name)
}

// fence powers a node off and on again, or fails to.
func (w *world) fence(by *node, e controller.Fence, later func(controller.Input)) {
	target := w.byName(e.Node)
	w.after(w.between(500*time.Millisecond, 3*time.Second), func() {
		if w.faults && w.chance(0.2) || !by.up || by.isolated {
			later(controller.Fenced{Ref: e.Ref, Err: errors.New("the device does not answer")})
			return
		}
		w.stats.fences++
		w.note("%s is fenced by %s", target.name, by.name)
		if target.up {
			target.stop(true)
		} else {
			w.lose(target.name)
		}
		boot := target.boot
		w.after(w.between(2*time.Second, 8*time.Second), func() {
			if !target.up && target.boot == boot {
				target.start()
			}
		})
		w.after(w.between(0, 500*time.Millisecond), func() { later(controller.Fenced{Ref: e.Ref}) })
	})
}

// execute carries out what the executor's core wants.
func (n *node) execute(effects []executor.Effect) {
	if !n.up {
		return
	}
	w, boot := n.w, n.boot
	alive := func() bool { return n.up && n.boot == boot }
	for _, e := range effects {
		switch e := e.(type) {
		case executor.Run:
			c := &call{job: e.Job}
			n.calls[e.ID] = c
			w.agent(n, c, func(o operation.Outcome) {
				delete(n.calls, e.ID)
				n.execute(n.core.Ran(w.now, e.ID, o, operation.Traits{}))
			})
		case executor.Kill:
			if c := n.calls[e.ID]; c != nil && !c.over {
				w.killed(n, c)
				delete(n.calls, e.ID)
				w.after(0, func() {
					if alive() {
						n.execute(n.core.Ran(w.now, e.ID, operation.Outcome{RC: 1, Status: operation.StatusCancelled}, operation.Traits{}))
					}
				})
			}
		case executor.Submit:
			n.submit(e)
		}
	}
	n.wake(n.core.Wake, func() { n.execute(n.core.Tick(w.now)) })
}

// submit gives a result to the leader.
func (n *node) submit(e executor.Submit) {
	w := n.w
	done := func(err error) { n.execute(n.core.Submitted(w.now, e.ID, err)) }
	l := w.leader
	if l == nil {
		w.after(100*time.Millisecond, func() {
			if n.up {
				done(errNoLeader)
			}
		})
		return
	}
	send := func() {
		w.rpc(n, l, func(reply func(any, error)) {
			w.propose(l, e.Change, func(err error) { reply(nil, err) })
		}, func(_ any, err error) { done(err) })
	}
	if !e.Verify {
		send()
		return
	}
	w.rpc(n, l, func(reply func(any, error)) {
		if w.leader != l {
			reply(nil, errNoLeader)
			return
		}
		reply(l.doc(), nil)
	}, func(v any, err error) {
		if doc, ok := v.(*cib.CIB); ok && err == nil {
			if operation.Recorded(doc, &e.Job, e.Outcome) {
				done(nil)
				return
			}
			send()
			return
		}
		done(errors.Join(errNoLeader, err))
	})
}
