package consensus

import (
	"slices"
	"strconv"

	"gcrm/drivers/dlm/lockspace"
)

// lock brings the lockspaces of the next state in line with its members, and
// applies what a node says of one.
func (s *State) lock(before *State, e *lockspace.Entry) error {
	if len(s.Lockspaces.Spaces) > 0 && !slices.EqualFunc(before.Members, s.Members, sameStanding) {
		s.Lockspaces = s.Lockspaces.Settle(s.standing)
	}
	if e == nil {
		return nil
	}
	next, err := s.Lockspaces.Apply(*e, s.standing)
	s.Lockspaces = next
	return err
}

func sameStanding(a, b Member) bool { return a.ID == b.ID && a.State == b.State }

// standing is where the node with the number is. One that left in order may
// still have lockspaces in its kernel, so it counts as missing; so does one
// that was removed.
func (s *State) standing(node int) lockspace.Standing {
	id := strconv.Itoa(node)
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.ID == id })
	switch {
	case i < 0:
		return lockspace.Missing
	case s.Members[i].State == Online:
		return lockspace.Present
	case s.Members[i].State == Down:
		return lockspace.Down
	}
	return lockspace.Missing
}
