package lockspace

import (
	"errors"
	"fmt"
	"slices"
)

// Kind is what an entry says.
type Kind string

const (
	// Hello: a node's control daemon began, in the life Boot.
	Hello Kind = "hello"
	// Join and Leave: the node's kernel wants into or out of a lockspace.
	Join  Kind = "join"
	Leave Kind = "leave"
	// Stopped: the node does not run the lockspace, as the generation asks.
	Stopped Kind = "stopped"
	// Started: the node's kernel recovered the generation.
	Started Kind = "started"
	// Halted: the node stopped the lockspace by itself although the
	// generation runs; it may not just start again, since the others go on
	// with what they know of it.
	Halted Kind = "halted"
	// Failed: the node's control daemon ended, its kernel is out of control.
	Failed Kind = "failed"
	// Proven: it is known, from elsewhere than the membership, that nothing of
	// the node's life Boot runs any more.
	Proven Kind = "proven"
)

// Entry is one entry of the log. Entries may come more than once.
type Entry struct {
	Kind Kind
	Life
	Space      string `json:",omitempty"`
	Generation uint64 `json:",omitempty"`
}

// Standing is where a node is in the committed membership.
type Standing int

const (
	// Missing nodes are not in contact and may still run.
	Missing Standing = iota
	// Present nodes are.
	Present
	// Down nodes are proven not to run.
	Down
)

// ErrStale refuses what was said of an earlier generation or life.
var ErrStale = errors.New("it is about what is past")

// Apply returns the table after an entry; an error leaves it as it was.
// standing tells where nodes are when the entry is applied.
func (t Table) Apply(e Entry, standing func(node int) Standing) (Table, error) {
	if e.Node <= 0 || e.Boot == "" {
		return t, fmt.Errorf("lockspaces: entry %q names no life of a node", e.Kind)
	}
	if e.Kind == Proven {
		return t.proven(e.Life), nil
	}
	if standing(e.Node) != Present {
		return t, fmt.Errorf("lockspaces: node %d is not a member of the cluster", e.Node)
	}
	if e.Kind == Hello {
		return t.hello(e.Life), nil
	}
	if t.Boot(e.Node) != e.Boot {
		return t, fmt.Errorf("lockspaces: %w: node %d has been started again", ErrStale, e.Node)
	}
	if e.Kind == Failed {
		return t.lose(e.Node), nil
	}
	if e.Space == "" || len(e.Space) > MaxName {
		return t, fmt.Errorf("lockspaces: %q is no name of a lockspace (1 to %d bytes)", e.Space, MaxName)
	}
	next := t.clone()
	i, found := next.find(e.Space)
	if e.Kind == Join {
		if !found {
			next.Spaces = slices.Insert(next.Spaces, i, Space{Name: e.Space})
		}
		if err := next.Spaces[i].join(e.Life); err != nil {
			return t, err
		}
		return next.settled(), nil
	}
	if !found {
		return t, fmt.Errorf("lockspaces: there is no lockspace %s", e.Space)
	}
	if err := next.Spaces[i].say(e); err != nil {
		return t, err
	}
	return next.settled(), nil
}

// clone copies the table so that the copy can be changed.
func (t Table) clone() Table {
	next := Table{Spaces: slices.Clone(t.Spaces), Lives: slices.Clone(t.Lives), Last: t.Last}
	for i := range next.Spaces {
		s := &next.Spaces[i]
		s.Members, s.Leaving, s.Lost = slices.Clone(s.Members), slices.Clone(s.Leaving), slices.Clone(s.Lost)
	}
	return next
}

// hello records the life of a node. A new one proves that the old is over.
func (t Table) hello(l Life) Table {
	if t.Boot(l.Node) == l.Boot {
		return t
	}
	next := t.clone()
	i, found := slices.BinarySearchFunc(next.Lives, l.Node, func(l Life, n int) int { return l.Node - n })
	if found {
		next.Lives[i] = l
	} else {
		next.Lives = slices.Insert(next.Lives, i, l)
	}
	for i := range next.Spaces {
		s := &next.Spaces[i]
		other := func(m Member) bool { return m.Node == l.Node && m.Boot != l.Boot }
		members, leaving := len(s.Members), len(s.Leaving)
		s.Members = slices.DeleteFunc(s.Members, other)
		s.Leaving = slices.DeleteFunc(s.Leaving, other)
		s.Lost = slices.DeleteFunc(s.Lost, other)
		if len(s.Members) != members || len(s.Leaving) != leaving {
			s.change()
		}
	}
	return next.settled()
}

// proven takes note that a life is over.
func (t Table) proven(l Life) Table {
	next := t.clone()
	for i := range next.Spaces {
		s := &next.Spaces[i]
		s.Lost = slices.DeleteFunc(s.Lost, func(m Member) bool { return m.Life == l })
	}
	return next.settled()
}

// join makes a node a member.
func (s *Space) join(l Life) error {
	if _, ok := s.Member(l.Node); ok {
		return nil
	}
	if _, ok := s.Leaver(l.Node); ok {
		return fmt.Errorf("lockspaces: node %d is still leaving lockspace %s", l.Node, s.Name)
	}
	if _, ok := in(s.Lost, l.Node); ok {
		return fmt.Errorf("lockspaces: node %d was lost with locks of lockspace %s and has to be started again first", l.Node, s.Name)
	}
	s.Members = append(s.Members, Member{Life: l})
	slices.SortFunc(s.Members, func(a, b Member) int { return a.Node - b.Node })
	s.change()
	return nil
}

// say applies what a member says of the lockspace.
func (s *Space) say(e Entry) error {
	i, j := at(s.Members, e.Node), at(s.Leaving, e.Node)
	if i < 0 && j < 0 {
		return fmt.Errorf("lockspaces: %w: node %d is not in lockspace %s", ErrStale, e.Node, s.Name)
	}
	if e.Kind == Leave {
		if i >= 0 {
			s.Leaving = append(s.Leaving, s.Members[i])
			s.Members = slices.Delete(s.Members, i, i+1)
			s.change()
		}
		return nil
	}
	if e.Generation != s.Generation {
		return fmt.Errorf("lockspaces: %w: lockspace %s is at generation %d, not %d", ErrStale, s.Name, s.Generation, e.Generation)
	}
	switch e.Kind {
	case Stopped:
		if j >= 0 {
			s.Leaving = slices.Delete(s.Leaving, j, j+1) // and is out
		} else {
			s.Members[i].Stopped = true
		}
	case Started:
		if !s.Running || i < 0 {
			return fmt.Errorf("lockspaces: %w: generation %d of lockspace %s does not run", ErrStale, s.Generation, s.Name)
		}
		s.Members[i].Started = true
	case Halted:
		if s.Running {
			s.change()
		}
	default:
		return fmt.Errorf("lockspaces: unknown entry %q", e.Kind)
	}
	return nil
}

// change begins a generation, whose number comes when the table settles.
func (s *Space) change() {
	s.Generation = 0
	s.Running = false
	for _, list := range [][]Member{s.Members, s.Leaving} {
		for i := range list {
			list[i].Stopped, list[i].Started = false, false
		}
	}
}

// lose takes a node out of all lockspaces; where it held locks it bars them.
func (t Table) lose(node int) Table {
	next := t.clone()
	for i := range next.Spaces {
		next.Spaces[i].lose(node, false)
	}
	return next.settled()
}

func (s *Space) lose(node int, proven bool) {
	for _, list := range []*[]Member{&s.Members, &s.Leaving} {
		i := at(*list, node)
		if i < 0 {
			continue
		}
		m := (*list)[i]
		*list = slices.Delete(*list, i, i+1)
		if m.Held && !proven {
			s.Lost = append(s.Lost, Member{Life: m.Life, Held: true})
		}
		s.change()
	}
}

// Settle returns the table after a change of the membership.
func (t Table) Settle(standing func(node int) Standing) Table {
	next := t.clone()
	for i := range next.Spaces {
		s := &next.Spaces[i]
		for _, m := range slices.Concat(s.Members, s.Leaving) {
			if at := standing(m.Node); at != Present {
				s.lose(m.Node, at == Down)
			}
		}
		s.Lost = slices.DeleteFunc(s.Lost, func(m Member) bool { return standing(m.Node) == Down })
	}
	return next.settled()
}

// settled lets every lockspace run whose members all stopped, and drops those
// that nobody has.
func (t Table) settled() Table {
	for i := range t.Spaces {
		s := &t.Spaces[i]
		if s.Generation == 0 {
			t.Last++
			s.Generation = t.Last
		}
		ready := !s.Running && len(s.Lost) == 0 && len(s.Leaving) == 0 &&
			!slices.ContainsFunc(s.Members, func(m Member) bool { return !m.Stopped })
		if !ready {
			continue
		}
		s.Running = true
		for i := range s.Members {
			s.Members[i].Held = true
		}
	}
	t.Spaces = slices.DeleteFunc(t.Spaces, func(s Space) bool { return len(s.Members)+len(s.Leaving)+len(s.Lost) == 0 })
	return t
}
