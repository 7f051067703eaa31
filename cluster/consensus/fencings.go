package consensus

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fencing is agreed on before a fence device is asked to act, so that whoever
// leads next knows of it, and no incarnation of a node is fenced once more
// because the news of its fencing were late or lost.
type Fencing struct {
	// ID is that of the request in the history of fencings.
	ID     string
	Target string
	// Incarnation is the target's, 0 if it was never seen.
	Incarnation uint64 `json:",omitempty"`
	// Origin is the node that has it carried out, in an incarnation: nobody does
	// it in the name of one that was lost.
	Origin            string
	OriginIncarnation uint64
	// Manual ones are an administrator's, and are done though the node was fenced.
	Manual bool `json:",omitempty"`
	// Over ends it. With a Proof the target is down; without, it was given up, or
	// counts for nothing.
	Over            bool      `json:",omitempty"`
	Action          string    `json:",omitempty"`
	Proof, Evidence string    `json:",omitempty"`
	At              time.Time `json:",omitzero"` // when it ended, on the clock of the origin
}

// Fencing returns what is agreed on about a node.
func (s *State) Fencing(target string) (Fencing, bool) {
	i := slices.IndexFunc(s.Fencings, func(f Fencing) bool { return strings.EqualFold(f.Target, target) })
	if i < 0 {
		return Fencing{}, false
	}
	return s.Fencings[i], true
}

// UnderWay lists the fencings that are not over and whose origin is a member still.
func (s *State) UnderWay() []Fencing {
	var list []Fencing
	for _, f := range s.Fencings {
		if m, ok := s.Member(f.Origin); ok && !f.Over && m.State == Online && m.Incarnation == f.OriginIncarnation {
			list = append(list, f)
		}
	}
	return list
}

// fence drops what the members have outlived, and applies what a node says of a
// fencing.
func (s *State) fence(before *State, f *Fencing) error {
	if len(s.Fencings) > 0 && !slices.EqualFunc(before.Members, s.Members, func(a, b Member) bool {
		return a.Name == b.Name && a.State == b.State && a.Incarnation == b.Incarnation
	}) {
		s.Fencings = slices.DeleteFunc(slices.Clone(s.Fencings), s.outlived)
	}
	if f == nil {
		return nil
	}
	old, exists := s.Fencing(f.Target)
	same := exists && old.ID == f.ID
	switch {
	case f.Over && !same:
		return nil // another one took its place
	case f.Over:
	case f.ID == "" || f.Target == "":
		return fmt.Errorf("a fencing has no id or no target")
	case !s.alive(f.Origin, f.OriginIncarnation):
		return fmt.Errorf("node %s, which asks for it, is not a member any more", f.Origin)
	case !exists || same:
	case old.Over && !f.Manual && f.Incarnation > 0 && old.Incarnation >= f.Incarnation:
		return fmt.Errorf("this incarnation of %s was fenced already", f.Target)
	case !old.Over && old.Origin != f.Origin && s.alive(old.Origin, old.OriginIncarnation):
		return fmt.Errorf("node %s is having %s fenced", old.Origin, f.Target)
	}
	s.Fencings = slices.DeleteFunc(slices.Clone(s.Fencings), func(o Fencing) bool { return strings.EqualFold(o.Target, f.Target) })
	if !f.Over || f.Proof != "" {
		s.Fencings = append(s.Fencings, *f)
	}
	return nil
}

// alive reports whether an incarnation of a node is a member, or about to be.
func (s *State) alive(node string, incarnation uint64) bool {
	m, ok := s.Member(node)
	return ok && incarnation > m.Expelled && (m.Incarnation == incarnation && m.State == Online || m.Incarnation < incarnation)
}

// outlived fencings are those of nodes that are gone for good, or have started
// anew since.
func (s *State) outlived(f Fencing) bool {
	i := slices.IndexFunc(s.Members, func(m Member) bool { return strings.EqualFold(m.Name, f.Target) })
	return i < 0 || s.Members[i].State == Online && s.Members[i].Incarnation > f.Incarnation
}
