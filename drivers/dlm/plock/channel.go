package plock

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Message is what the channels of the members of a lockspace tell each other.
// Messages between two nodes must arrive in the order in which they were
// sent, or not at all.
type Message struct {
	Kind       MessageKind
	Generation uint64
	From, To   int32

	// Of a Request: the number its node gave it, growing by one.
	ID     uint64 `json:",omitempty"`
	Record Record `json:",omitzero"`

	// Of a Report and an Ack: the position up to which the node has applied.
	Position uint64 `json:",omitempty"`
	// Fresh reports a node without state.
	Fresh bool `json:",omitempty"`

	// Of Ordered and Sync: steps to apply, and the position that all members
	// have reached.
	Steps  []Step `json:",omitempty"`
	Stable uint64 `json:",omitempty"`
	// State is the whole table, for a fresh node.
	State *State `json:",omitempty"`
}

// MessageKind says what a message is.
type MessageKind string

const (
	// Request: a record to be put into the order.
	Request MessageKind = "request"
	// Ordered: the next steps.
	Ordered MessageKind = "ordered"
	// Ack: how far a node is.
	Ack MessageKind = "ack"
	// Report: how far a node was when the generation began.
	Report MessageKind = "report"
	// Fetch asks the node that is furthest for what came after Position.
	Fetch MessageKind = "fetch"
	// Fetched answers that.
	Fetched MessageKind = "fetched"
	// Sync brings a node to where the generation begins.
	Sync MessageKind = "sync"
)

// Step is one step of the order: a record, or the purge of nodes that are
// gone or came back empty.
type Step struct {
	Position uint64
	Node     int32
	ID       uint64
	Record   Record  `json:",omitzero"`
	Purge    []int32 `json:",omitempty"`
	// Keep are the nodes that a purge leaves; all others go.
	Keep []int32 `json:",omitempty"`
}

// State is a table with its place in the order.
type State struct {
	Position uint64
	Last     map[int32]uint64 // highest request of each node that was applied
	Files    []FileState
}

// FileState is one file of a State.
type FileState struct {
	Number  uint64
	Held    []Held
	Waiting []Record
}

// Output is what a channel wants done: a message sent, or the kernel
// answered. Exactly one is set; the order matters.
type Output struct {
	Message *Message
	Answer  *Record
}

// Channel is one node's end of a lockspace's order of records. It lives as
// long as the node is in the lockspace. The member with the lowest number
// orders the records of a generation; when a generation begins, all members
// are first brought to where the furthest of them is, so that no answer that
// a program got is forgotten.
type Channel struct {
	self  int32
	table *Table
	// position is where in the order the table is; log has the steps that
	// some member may still lack.
	position uint64
	log      []Step
	last     map[int32]uint64
	fresh    bool

	generation uint64
	members    []int32
	synced     bool
	gap        bool
	pending    []Message // own requests that are not yet applied
	nextID     uint64
	early      []Message // of generations that have not begun here

	// Of the member that orders.
	reports map[int32]Message
	acked   map[int32]uint64
	end     uint64 // last position given

	queue []Message // to this node itself
	out   []Output
}

// NewChannel returns the end of a node that has no state yet.
func NewChannel(self int32) *Channel {
	return &Channel{self: self, table: NewTable(), last: map[int32]uint64{}, fresh: true}
}

// Table is the table as far as this node knows; it must not be changed.
func (c *Channel) Table() *Table { return c.table }

// Synced tells whether the node takes part in the generation's order.
func (c *Channel) Synced() bool { return c.synced }

// Gap tells whether a message of the generation was lost, so that only a
// further generation lets the node go on.
func (c *Channel) Gap() bool { return c.gap }

// Request takes a record from the kernel.
func (c *Channel) Request(r Record) []Output {
	c.nextID++
	r.Node = c.self
	m := Message{Kind: Request, ID: c.nextID, Record: r}
	c.pending = append(c.pending, m)
	if c.synced {
		c.send(c.orderer(), m)
	}
	return c.flush()
}

// Begin starts a generation with its members, among them this node.
func (c *Channel) Begin(generation uint64, members []int32) []Output {
	c.generation, c.members, c.synced = generation, slices.Sorted(slices.Values(members)), false
	c.gap = false
	c.reports, c.acked = map[int32]Message{}, map[int32]uint64{}
	c.send(c.orderer(), Message{Kind: Report, Position: c.position, Fresh: c.fresh})
	early := c.early
	c.early = nil
	for _, m := range early {
		c.receive(m)
	}
	return c.flush()
}

// Receive takes a message of another member. Those of past generations are
// dropped, those of future ones kept until it begins.
func (c *Channel) Receive(m Message) []Output {
	c.receive(m)
	return c.flush()
}

// maxEarly bounds what is kept for generations to come.
const maxEarly = 1 << 16

func (c *Channel) orderer() int32 { return c.members[0] }

func (c *Channel) send(to int32, m Message) {
	m.From, m.To, m.Generation = c.self, to, c.generation
	if to == c.self {
		c.queue = append(c.queue, m)
		return
	}
	c.out = append(c.out, Output{Message: &m})
}

func (c *Channel) flush() []Output {
	for len(c.queue) > 0 {
		m := c.queue[0]
		c.queue = c.queue[1:]
		c.receive(m)
	}
	out := c.out
	c.out = nil
	return out
}

func (c *Channel) receive(m Message) {
	switch {
	case m.Generation > c.generation:
		if len(c.early) < maxEarly {
			c.early = append(c.early, m)
		}
		return
	case m.Generation < c.generation || !slices.Contains(c.members, m.From):
		return
	}
	switch m.Kind {
	case Report:
		c.reports[m.From] = m
		c.gather()
	case Fetch:
		c.send(m.From, Message{Kind: Fetched, Steps: c.after(m.Position), State: c.stateFor(m)})
	case Fetched:
		c.adopt(m)
		c.begin()
	case Sync:
		c.adopt(m)
		c.join()
	case Request:
		c.order(Step{Node: m.From, ID: m.ID, Record: m.Record})
	case Ordered:
		c.apply(m.Steps)
		c.trim(m.Stable)
		c.send(c.orderer(), Message{Kind: Ack, Position: c.position})
	case Ack:
		c.acked[m.From] = max(c.acked[m.From], m.Position)
	}
}

// gather waits for all reports, then makes sure that this node, which orders,
// is as far as the furthest.
func (c *Channel) gather() {
	if len(c.reports) < len(c.members) || c.synced {
		return
	}
	best := c.reports[c.self]
	for _, n := range c.members {
		if r := c.reports[n]; !r.Fresh && (best.Fresh || r.Position > best.Position) {
			best = r
		}
	}
	if best.From != c.self {
		c.send(best.From, Message{Kind: Fetch, Position: c.least(), Fresh: c.fresh})
		return
	}
	c.begin()
}

// least is the position of the member that is furthest behind, but for those
// without state.
func (c *Channel) least() uint64 {
	least := uint64(math.MaxUint64)
	for _, r := range c.reports {
		if !r.Fresh {
			least = min(least, r.Position)
		}
	}
	return least
}

// begin brings every member to where this node is, and opens the order.
func (c *Channel) begin() {
	if c.synced {
		return
	}
	purge := Step{Keep: c.members}
	// A fresh node too gets the steps that others lack: it may have to pass
	// them on.
	steps := c.after(c.least())
	for _, n := range c.members {
		r := c.reports[n]
		if r.Fresh {
			purge.Purge = append(purge.Purge, n)
		}
		c.acked[n] = r.Position
		if r.Fresh {
			c.acked[n] = c.position
		}
		if n != c.self {
			c.send(n, Message{Kind: Sync, Steps: steps, State: c.stateFor(r)})
		}
	}
	c.end = c.position
	c.join()
	c.order(purge)
}

// join opens the order for this node: what its kernel asked for meanwhile is
// sent, without what was applied by the way.
func (c *Channel) join() {
	c.synced, c.fresh = true, false
	for _, m := range c.pending {
		if m.ID > c.last[c.self] {
			c.send(c.orderer(), m)
		}
	}
}

// order gives a step its place and tells everybody.
func (c *Channel) order(s Step) {
	if c.self != c.orderer() || !c.synced {
		return
	}
	c.end++
	s.Position = c.end
	stable := c.end
	for _, n := range c.members {
		stable = min(stable, c.acked[n])
	}
	for _, n := range c.members {
		c.send(n, Message{Kind: Ordered, Steps: []Step{s}, Stable: stable})
	}
}

// after returns the steps behind a position.
func (c *Channel) after(position uint64) []Step {
	if position == math.MaxUint64 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(c.log, position+1, func(s Step, p uint64) int { return cmp.Compare(s.Position, p) })
	return slices.Clone(c.log[i:])
}

func (c *Channel) trim(stable uint64) {
	i, _ := slices.BinarySearchFunc(c.log, stable+1, func(s Step, p uint64) int { return cmp.Compare(s.Position, p) })
	c.log = slices.Delete(c.log, 0, i)
}

// stateFor is the whole table for a node that has none.
func (c *Channel) stateFor(m Message) *State {
	if !m.Fresh {
		return nil
	}
	return &State{Position: c.position, Last: maps.Clone(c.last), Files: c.table.Files()}
}

// adopt takes over what a fresh node is given, or catches up.
func (c *Channel) adopt(m Message) {
	if m.State == nil {
		c.apply(m.Steps)
		return
	}
	c.position, c.log = m.State.Position, slices.Clone(m.Steps)
	c.last = maps.Clone(m.State.Last)
	if c.last == nil {
		c.last = map[int32]uint64{}
	}
	c.table = NewTable()
	for _, f := range m.State.Files {
		c.table.files[f.Number] = &file{held: f.Held, waiting: f.Waiting}
	}
	// What it says of this node is of an earlier life, and purged next.
	delete(c.last, c.self)
}

// apply carries out the steps that are new here.
func (c *Channel) apply(steps []Step) {
	for _, s := range steps {
		if s.Position != c.position+1 {
			c.gap = c.gap || s.Position > c.position+1
			continue
		}
		c.position++
		c.log = append(c.log, s)
		if s.Keep != nil {
			for _, n := range s.Purge {
				delete(c.last, n)
			}
			maps.DeleteFunc(c.last, func(n int32, _ uint64) bool { return !slices.Contains(s.Keep, n) })
			c.answer(c.table.Purge(func(n int32) bool { return slices.Contains(s.Purge, n) || !slices.Contains(s.Keep, n) }))
			continue
		}
		c.last[s.Node] = s.ID
		if s.Node == c.self {
			c.pending = slices.DeleteFunc(c.pending, func(m Message) bool { return m.ID <= s.ID })
		}
		answers := c.table.Apply(s.Record)
		if s.Record.Op == Get && s.Node == c.self && len(answers) > 0 {
			c.out = append(c.out, Output{Answer: &answers[0]}) // has the holder's node in it
		}
		c.answer(answers)
	}
}

// answer hands its own answers to this node's kernel.
func (c *Channel) answer(list []Record) {
	for _, r := range list {
		if r.Node == c.self && r.Op != Get {
			c.out = append(c.out, Output{Answer: &r})
		}
	}
}
