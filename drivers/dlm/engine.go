package dlm

import (
	"slices"

	"gcrm/drivers/dlm/lockspace"
)

// Verb is what an Action does.
type Verb string

const (
	// Propose offers an entry to the cluster's log. It may be lost: the same
	// is proposed again after [Engine.Retry] until the table shows it.
	Propose Verb = "propose"
	// Stop stops a lockspace in the kernel; when it has been carried out,
	// nothing of the lockspace runs.
	Stop Verb = "stop"
	// Start gives the kernel the members of a generation and lets it recover.
	Start Verb = "start"
	// Release lets the kernel's leave succeed and forgets the lockspace.
	Release Verb = "release"
	// Fence asks the cluster to fence this node: its kernel holds what the
	// others took from it, or cannot be controlled.
	Fence Verb = "fence"
)

// Action is one thing to do, in the order in which they are returned.
type Action struct {
	Verb  Verb
	Entry lockspace.Entry // of Propose

	Space      string
	Generation uint64
	Members    []lockspace.Member // of Start
	// Renewed are members that were others before under the same number: the
	// kernel has to see them go and come.
	Renewed []int
	// Joining tells that the kernel waits for the answer to its join.
	Joining bool
	Why     string // of Fence
}

// Engine decides what a node's control daemon does. It is a state machine
// without clock and I/O: events go in, actions come out. Actions on the
// kernel are carried out before the next event goes in; if one fails, so does
// the control of the kernel, and Lost is called.
type Engine struct {
	self     lockspace.Life
	table    lockspace.Table
	quorum   bool
	spaces   map[string]*held
	proposed map[lockspace.Entry]bool
	out      []Action
	fenced   bool
}

// held is a lockspace that the kernel has or wants.
type held struct {
	joining bool // the kernel waits for an answer
	leaving bool
	running bool
	started uint64 // generation that the kernel was last started with
	done    uint64 // generation that it recovered
	again   bool   // a further generation is wanted
	due     bool   // and asked for now
	members []lockspace.Member
}

// New returns the engine of a node in its present life.
func New(self lockspace.Life) *Engine {
	return &Engine{self: self, quorum: true, spaces: map[string]*held{}, proposed: map[lockspace.Entry]bool{}}
}

// Online takes the kernel's wish to join a lockspace.
func (e *Engine) Online(space string) []Action {
	if e.spaces[space] == nil {
		e.spaces[space] = &held{joining: true}
	}
	return e.react()
}

// Offline takes the kernel's wish to leave a lockspace.
func (e *Engine) Offline(space string) []Action {
	if h := e.spaces[space]; h != nil {
		h.leaving = true
	}
	return e.react()
}

// Recovered takes note that the kernel has recovered the generation it was
// last started with.
func (e *Engine) Recovered(space string, generation uint64) []Action {
	if h := e.spaces[space]; h != nil && h.started == generation {
		h.done = generation
	}
	return e.react()
}

// Agreed takes the table after a step of the log.
func (e *Engine) Agreed(t lockspace.Table) []Action {
	e.table = t
	return e.react()
}

// Quorum takes note of whether the node is part of a working majority. What
// runs without one is stopped, and goes on only in a new generation.
func (e *Engine) Quorum(yes bool) []Action {
	e.quorum = yes
	return e.react()
}

// Retry proposes again what the table does not yet show.
func (e *Engine) Retry() []Action {
	clear(e.proposed)
	for _, h := range e.spaces {
		h.due = h.again
	}
	return e.react()
}

// Lost takes note that the kernel does not do as told.
func (e *Engine) Lost(why string) []Action {
	e.fence(why)
	return e.flush()
}

// Again asks for a further generation of a lockspace that runs: something that
// its members tell each other was lost. It is asked for by the next Retry, so
// that a way that stays closed does not make generation after generation.
func (e *Engine) Again(space string) {
	if h := e.spaces[space]; h != nil && h.running {
		h.again = true
	}
}

// Spaces are the lockspaces that the kernel has, sorted.
func (e *Engine) Spaces() []string {
	names := make([]string, 0, len(e.spaces))
	for n := range e.spaces {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Has tells whether the kernel has a lockspace, wants into or out of it, and
// runs it.
func (e *Engine) Has(space string) (here, joining, leaving, active bool) {
	h := e.spaces[space]
	if h == nil {
		return false, false, false, false
	}
	return true, h.joining, h.leaving, h.running
}

func (e *Engine) flush() []Action {
	out := e.out
	e.out = nil
	return out
}

func (e *Engine) react() []Action {
	if e.table.Boot(e.self.Node) != e.self.Boot {
		e.propose(lockspace.Hello, "", 0)
	}
	for _, name := range e.Spaces() {
		e.steer(name, e.spaces[name])
	}
	for _, s := range e.table.Spaces {
		if e.spaces[s.Name] == nil {
			e.disown(s)
		}
	}
	return e.flush()
}

// mine reports whether a place in the table is this node's in this life.
func (e *Engine) mine(m lockspace.Member, ok bool) bool { return ok && m.Life == e.self }

// steer brings one lockspace of the kernel in line with the table.
func (e *Engine) steer(name string, h *held) {
	s, _ := e.table.Space(name)
	member, isMember := s.Member(e.self.Node)
	isMember = e.mine(member, isMember)
	isLeaver := e.mine(s.Leaver(e.self.Node))
	switch {
	case isMember && s.Running:
		e.run(name, h, s, member)
		if h.leaving {
			e.propose(lockspace.Leave, name, 0)
		}
	case isMember || isLeaver:
		e.stop(name, h)
		if h.leaving && isMember {
			e.propose(lockspace.Leave, name, 0)
		}
		if !member.Stopped {
			e.propose(lockspace.Stopped, name, s.Generation)
		}
	case h.leaving:
		e.stop(name, h)
		e.out = append(e.out, Action{Verb: Release, Space: name})
		delete(e.spaces, name)
	case h.joining:
		e.propose(lockspace.Join, name, 0)
	default:
		e.stop(name, h)
		e.fence("lockspace " + name + " goes on without this node, which still has it")
	}
}

// run carries out a generation that runs.
func (e *Engine) run(name string, h *held, s lockspace.Space, mine lockspace.Member) {
	switch {
	case !e.quorum:
		e.stop(name, h)
	case h.started != s.Generation:
		e.out = append(e.out, Action{Verb: Start, Space: name, Generation: s.Generation, Members: s.Members,
			Renewed: renewed(h.members, s.Members), Joining: h.joining})
		h.running, h.joining, h.again, h.due = true, false, false, false
		h.started, h.members = s.Generation, s.Members
	case !h.running || h.due:
		e.propose(lockspace.Halted, name, s.Generation)
	case h.done == s.Generation && !mine.Started:
		e.propose(lockspace.Started, name, s.Generation)
	}
}

// renewed are the nodes in both lists with different lives.
func renewed(before, after []lockspace.Member) (nodes []int) {
	for _, m := range after {
		i := slices.IndexFunc(before, func(b lockspace.Member) bool { return b.Node == m.Node })
		if i >= 0 && before[i].Boot != m.Boot {
			nodes = append(nodes, m.Node)
		}
	}
	return nodes
}

func (e *Engine) stop(name string, h *held) {
	if h.running {
		e.out = append(e.out, Action{Verb: Stop, Space: name})
		h.running = false
	}
}

// disown leaves a lockspace that the kernel does not have: a join that was
// given up.
func (e *Engine) disown(s lockspace.Space) {
	switch {
	case e.mine(s.Member(e.self.Node)):
		e.propose(lockspace.Leave, s.Name, 0)
	case e.mine(s.Leaver(e.self.Node)):
		e.propose(lockspace.Stopped, s.Name, s.Generation)
	}
}

func (e *Engine) propose(kind lockspace.Kind, space string, generation uint64) {
	entry := lockspace.Entry{Kind: kind, Life: e.self, Space: space, Generation: generation}
	if !e.proposed[entry] {
		e.proposed[entry] = true
		e.out = append(e.out, Action{Verb: Propose, Entry: entry})
	}
}

func (e *Engine) fence(why string) {
	if !e.fenced {
		e.fenced = true
		e.out = append(e.out, Action{Verb: Fence, Why: why})
	}
}

// Recovering tells whether the kernel still recovers a lockspace, and which
// generation.
func (e *Engine) Recovering(space string) (generation uint64, yes bool) {
	h := e.spaces[space]
	if h == nil || !h.running || h.done == h.started {
		return 0, false
	}
	return h.started, true
}
