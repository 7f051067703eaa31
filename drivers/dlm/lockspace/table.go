package lockspace

import (
	"fmt"
	"slices"
	"strings"
)

// Table is all lockspaces of a cluster. It is immutable: Apply and Settle
// return a new one. The zero value is empty.
type Table struct {
	// Spaces are sorted by name.
	Spaces []Space `json:",omitempty"`
	// Lives are the present lives of nodes, sorted by node.
	Lives []Life `json:",omitempty"`
	// Last is the highest generation that any lockspace had: none is used
	// twice, so what was said of one fits no other.
	Last uint64 `json:",omitempty"`
}

// Life is one time between boot and power-off of a node: what the kernel of
// an earlier one held is gone.
type Life struct {
	Node int
	Boot string // the kernel's boot id
}

// Space is one lockspace.
type Space struct {
	Name string
	// Generation grows with every change of the members.
	Generation uint64
	// Running tells that all have stopped and the members may start.
	Running bool
	// Members are sorted by node.
	Members []Member
	// Leaving are on their way out and have not yet stopped.
	Leaving []Member `json:",omitempty"`
	// Lost held locks when they were lost, and may still write: nobody starts
	// before each is proven to be down.
	Lost []Member `json:",omitempty"`
}

// Member is a node in a lockspace.
type Member struct {
	Life
	// Stopped and Started are what the node said of this generation.
	Stopped bool `json:",omitempty"`
	Started bool `json:",omitempty"`
	// Held tells that the node ran the lockspace in some generation, so that
	// it may hold locks.
	Held bool `json:",omitempty"`
}

// Space returns the lockspace of that name.
func (t Table) Space(name string) (Space, bool) {
	i, found := t.find(name)
	if !found {
		return Space{}, false
	}
	return t.Spaces[i], true
}

func (t Table) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.Spaces, name, func(s Space, n string) int { return strings.Compare(s.Name, n) })
}

// Boot is the present life of a node, empty if it never said hello.
func (t Table) Boot(node int) string {
	if i, ok := slices.BinarySearchFunc(t.Lives, node, func(l Life, n int) int { return l.Node - n }); ok {
		return t.Lives[i].Boot
	}
	return ""
}

// Member returns the node among the members.
func (s Space) Member(node int) (Member, bool) { return in(s.Members, node) }

// Leaver returns the node among those that leave.
func (s Space) Leaver(node int) (Member, bool) { return in(s.Leaving, node) }

func in(list []Member, node int) (Member, bool) {
	if i := at(list, node); i >= 0 {
		return list[i], true
	}
	return Member{}, false
}

func at(list []Member, node int) int {
	return slices.IndexFunc(list, func(m Member) bool { return m.Node == node })
}

// Holds tells whether any node may hold locks of the lockspaces it was in.
func (t Table) Holds(node int) bool {
	for _, s := range t.Spaces {
		for _, list := range [][]Member{s.Members, s.Leaving, s.Lost} {
			if m, ok := in(list, node); ok && m.Held {
				return true
			}
		}
	}
	return false
}

// Involves tells whether a life of a node is in any lockspace, or on its way
// out of one, with locks it may hold.
func (t Table) Involves(l Life) bool {
	is := func(m Member) bool { return m.Life == l && m.Held }
	return slices.ContainsFunc(t.Spaces, func(s Space) bool {
		return slices.ContainsFunc(s.Members, is) || slices.ContainsFunc(s.Leaving, is)
	})
}

// Condemned are the nodes that bar a lockspace until they are proven to be
// down, in order.
func (t Table) Condemned() []int {
	var out []int
	for _, s := range t.Spaces {
		for _, m := range s.Lost {
			out = append(out, m.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Waits says in words what a lockspace that does not run waits for; empty for
// one that runs everywhere. name gives the names of nodes.
func (s Space) Waits(name func(node int) string) string {
	var fencing, stopping, starting []string
	for _, m := range s.Lost {
		fencing = append(fencing, name(m.Node))
	}
	for _, m := range slices.Concat(s.Members, s.Leaving) {
		if !s.Running && !m.Stopped {
			stopping = append(stopping, name(m.Node))
		}
	}
	for _, m := range s.Members {
		if s.Running && !m.Started {
			starting = append(starting, name(m.Node))
		}
	}
	switch {
	case len(fencing) > 0:
		return fmt.Sprintf("blocked because the fencing of %s is pending", strings.Join(fencing, ", "))
	case len(stopping) > 0:
		return fmt.Sprintf("waits until %s stopped it", strings.Join(stopping, ", "))
	case len(starting) > 0:
		return fmt.Sprintf("recovers on %s", strings.Join(starting, ", "))
	}
	return ""
}
