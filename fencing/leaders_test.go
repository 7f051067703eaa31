package fencing

import (
	"container/heap"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestLeadersFenceOnce lets leadership change at any time, also while a node is
// being fenced; the new leader asks for the same incarnation again. Devices are
// slow, fail, or die; news of the history arrive late. Nodes that were fenced
// boot, and come in with a new incarnation, or are lost again at once.
//
//   - nobody's success is without the power having been off since that
//     incarnation was lost;
//   - a machine that knows of the fencing of an incarnation, or that another
//     one is at it, does not fence it again;
//   - a node that boots is not fenced for its past;
//   - no incarnation is fenced twice, unless devices failed in between.
//
// In most worlds the machines agree by a log, however late news are; in the others
// they only tell each other.
func TestLeadersFenceOnce(t *testing.T) {
	fencings, held, witnessed := 0, 0, 0
	for s := range uint64(max(1, *schedules/3)) {
		if *seed != 0 {
			s = *seed - 1
		}
		p := newPair(t, s+1)
		p.run()
		fencings += p.fencings
		held += p.held
		witnessed += p.witnessed
		if t.Failed() {
			t.Fatalf("replay with: go test ./fencing -run TestLeadersFenceOnce -seed %d -v", s+1)
		}
		if *seed != 0 {
			break
		}
	}
	t.Logf("%d fencings; %d times another machine was at it", fencings, held)
	if *seed == 0 && (fencings == 0 || held == 0 || witnessed == 0) {
		t.Errorf("%d fencings, %d held, %d witnessed", fencings, held, witnessed)
	}
}

// pair is two machines, a and b, one of which leads, and the victims c and d.
type pair struct {
	*world
	machines map[string]*Machine
	lead     string
	victims  map[string]*victim
	// knows are the incarnations that a machine was told are gone, and those
	// that another one is at.
	knows    map[string]map[string]uint64
	waiting  map[string]bool // victims that a request is open for, by leader/victim
	nextID   uint64
	requests map[uint64]ask
	fencings int
	held     int
	// witnessed are the orders whose end others may be told of first.
	witnessed int
	// log is what was agreed on last, by victim; nil if the machines only tell
	// each other.
	log  map[string]Entry
	slow bool // news take long
}

type ask struct {
	machine, target string
	incarnation     uint64
}

type victim struct {
	name        string
	incarnation uint64
	lost        time.Time
	off         time.Time         // when the present incarnation was switched off
	by          map[uint64]string // who fenced an incarnation last, unless that failed
	there       bool
}

func newPair(t *testing.T, seed uint64) *pair {
	p := &pair{world: &world{t: t, r: rand.New(rand.NewPCG(seed, 2)), now: time.Unix(0, 0)}, machines: map[string]*Machine{}, lead: "a", slow: seed%8 < 4,
		victims: map[string]*victim{}, knows: map[string]map[string]uint64{"a": {}, "b": {}}, requests: map[uint64]ask{}, waiting: map[string]bool{}}
	if seed%8 < 6 {
		p.log = map[string]Entry{}
	}
	conf, _ := Unpack(document(t, "node a\nnode b\nnode c\nnode d\ndevice p fence_onoff pcmk_host_list=a,b,c,d\ndevice q fence_off pcmk_host_list=c,d\nlevel c 1 p\nlevel c 2 q\n"), Sources{Agents: testAgents})
	for _, n := range []string{"c", "d"} {
		p.victims[n] = &victim{name: n, incarnation: 1, there: true, by: map[uint64]string{}}
	}
	for _, n := range []string{"a", "b"} {
		p.machines[n] = New(Config{Self: n, Boot: "1", Draw: p.r.Int64N, Announces: true})
		p.input(n, Configure{conf})
	}
	p.members()
	return p
}

func (p *pair) run() {
	for range 2 + p.r.IntN(4) {
		p.after(p.span(0, 4*time.Minute), func() { p.lost(p.victims[[]string{"c", "d"}[p.r.IntN(2)]]) })
	}
	for range p.r.IntN(6) {
		p.after(p.span(0, 5*time.Minute), func() {
			p.lead = map[string]string{"a": "b", "b": "a"}[p.lead]
			p.after(p.span(0, time.Second), p.demand)
		})
	}
	end := p.now.Add(time.Hour)
	for p.now.Before(end) {
		var next string
		var at time.Time
		for _, n := range slices.Sorted(maps.Keys(p.machines)) {
			if w, ok := p.machines[n].Wake(); ok && (next == "" || w.Before(at)) {
				next, at = n, w
			}
		}
		switch {
		case len(p.queue) > 0 && (next == "" || !at.Before(p.queue[0].at)):
			e := heap.Pop(&p.queue).(event)
			p.now = e.at
			e.do()
		case next != "":
			if at.After(p.now) {
				p.now = at
			}
			p.input(next, Tick{})
		default:
			end = p.now
		}
	}
	for n, v := range p.victims {
		if !v.there {
			p.t.Errorf("%s was never recovered", n)
		}
	}
}

func (p *pair) members() {
	nodes := []string{"a", "b"}
	for _, n := range []string{"c", "d"} {
		if p.victims[n].there {
			nodes = append(nodes, n)
		}
	}
	for _, n := range []string{"a", "b"} {
		p.input(n, Members{Nodes: nodes, Quorate: true})
	}
}

func (p *pair) lost(v *victim) {
	if !v.there {
		return
	}
	v.there, v.lost = false, p.now
	p.members()
	p.demand()
}

// demand is what a leader's controller does: it asks for all that is lost.
func (p *pair) demand() {
	for _, n := range []string{"c", "d"} {
		v := p.victims[n]
		key := p.lead + "/" + n
		if v.there || p.waiting[key] {
			continue
		}
		p.waiting[key] = true
		p.nextID++
		p.requests[p.nextID] = ask{p.lead, n, v.incarnation}
		p.input(p.lead, Request{ID: p.nextID, Target: n, Action: Off, Client: "gcrm", Incarnation: v.incarnation})
	}
}

func (p *pair) input(n string, in Input) {
	for _, e := range stepped(p.t, p.machines[n], p.now, in) {
		if *seed != 0 {
			p.t.Logf("%s %s (leads: %s) %T%+v", p.now.Sub(time.Unix(0, 0)), n, p.lead, e, e)
		}
		switch e := e.(type) {
		case Execute:
			p.carryOut(n, e)
		case Announce:
			other := map[string]string{"a": "b", "b": "a"}[n]
			p.after(p.news(), func() {
				p.input(other, Remember{Entries: []Entry{e.Entry}, Live: true})
				at := p.machines[other].UnderWay(p.now)
				if p.log == nil {
					p.after(p.news(), func() { p.input(n, Told{ID: e.Entry.ID, Entries: at, Nodes: []string{other}}) })
				}
			})
			if p.log != nil {
				p.after(p.news(), func() { p.agree(n, e.Entry) })
			}
		case Record:
			if p.log != nil && e.Entry.Origin == n && e.Entry.State.Over() {
				p.after(p.news(), func() {
					if p.log[e.Entry.Target].ID == e.Entry.ID {
						p.log[e.Entry.Target] = e.Entry
					}
				})
			}
			if e.Entry.State == Fails { // though the device may have acted: it has to be tried again
				delete(p.victims[e.Entry.Target].by, e.Entry.Incarnation)
			}
			if e.Told {
				continue
			}
			other := map[string]string{"a": "b", "b": "a"}[n]
			p.after(p.news(), func() {
				if e.Entry.State == Succeeds {
					p.knows[other][e.Entry.Target] = e.Entry.Incarnation
				}
				p.input(other, Remember{Entries: []Entry{e.Entry}, Live: true})
			})
			if e.Entry.State == Succeeds {
				p.knows[n][e.Entry.Target] = e.Entry.Incarnation
			}
		case Done:
			p.answered(n, e)
		}
	}
}

// agree is what the replicated state machine says to an announcement.
func (p *pair) agree(n string, e Entry) {
	old, ok := p.log[e.Target]
	answer, at := Agreed, []Entry(nil)
	switch {
	case ok && old.State == Succeeds && old.Incarnation >= e.Incarnation, ok && !old.State.Over() && old.Origin != n:
		answer, at = Again, []Entry{old}
		p.held++
	default:
		e.State = Executing
		p.log[e.Target] = e
	}
	p.after(p.news(), func() { p.input(n, Told{ID: e.ID, Entries: at, Answer: answer}) })
}

// news is how long a message takes between the machines.
func (p *pair) news() time.Duration {
	if p.slow {
		return p.span(time.Millisecond, 2*time.Second)
	}
	return p.span(time.Millisecond, 250*time.Millisecond)
}

func (p *pair) answered(n string, e Done) {
	r := p.requests[e.ID]
	delete(p.waiting, r.machine+"/"+r.target)
	v := p.victims[r.target]
	if e.Result.Err != nil {
		p.after(time.Second, p.demand)
		return
	}
	if v.incarnation != r.incarnation {
		return // of the past
	}
	if v.off.Before(v.lost) {
		p.t.Errorf("%s: incarnation %d of %s was never off: %s", n, r.incarnation, r.target, e.Result.Evidence)
	}
	// It boots, and comes in anew.
	var boot func()
	boot = func() {
		switch {
		case v.incarnation != r.incarnation || v.there:
		case p.waiting[p.lead+"/"+v.name]: // the leader lets nobody in whom it is fencing
			p.after(time.Second, boot)
		default:
			v.incarnation++
			v.there = true
			p.members()
		}
	}
	p.after(p.span(10*time.Second, 2*time.Minute), boot)
}

func (p *pair) carryOut(n string, x Execute) {
	took := p.span(10*time.Millisecond, 4*time.Second)
	v := p.victims[x.Target]
	o := Outcome{}
	switch {
	case x.Action == Off:
		if p.knows[n][x.Target] >= v.incarnation {
			p.t.Errorf("%s fences incarnation %d of %s, which it knows is gone", n, v.incarnation, x.Target)
		}
		if v.there {
			p.t.Errorf("%s fences %s, which has booted", n, x.Target)
		}
		if p.chance(25) {
			o = Outcome{Code: Failed, Text: "connection refused"}
			break
		}
		inc := v.incarnation
		p.after(took/2, func() {
			if v.incarnation != inc {
				p.t.Errorf("incarnation %d of %s was hit instead of %d", v.incarnation, v.name, inc)
			}
			v.off = p.now
			p.fencings++
			if by := v.by[inc]; by != "" && by != n { // another level of the same request is no repetition
				if p.log != nil || !p.slow {
					p.t.Errorf("%s fences incarnation %d of %s, which %s has done", n, inc, v.name, by)
				}
			}
			v.by[inc] = n
		})
	case x.Action == Status:
		o.Power = PowerOn
		if !v.off.Before(v.lost) && !v.off.IsZero() {
			o.Power = PowerOff
		}
	case x.Action == List:
		o.Hosts = []string{"a", "b", "c", "d"}
	}
	if p.chance(5) {
		o, took = Outcome{Code: TimedOut, Text: "hangs"}, x.Timeout
	}
	if x.Ends != nil {
		if x.Node == n || x.Node == x.Target {
			p.t.Errorf("%s has %s tell others", n, x.Node)
		}
		if done := o; p.machines[x.Node] != nil { // c and d have none here
			p.after(took, func() { p.input(x.Node, Witnessed{*x.Ends, done}) })
			p.witnessed++
		}
		if p.chance(10) {
			o, took = Outcome{Code: Unreachable, Text: "connection lost"}, took+p.span(0, 3*time.Second)
		}
	}
	p.after(took, func() { p.input(n, Executed{x.Ref, o}) })
}
