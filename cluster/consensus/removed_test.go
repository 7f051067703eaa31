package consensus

import "testing"

// Whoever was a member under an id and is not any more was removed, also if
// another node has got its name; ids that were not given out yet are those of
// nodes that joined later than the state.
func TestRemoved(t *testing.T) {
	s, err := NewState().Apply(1, Command{Members: []Member{{Name: "a", ID: "1"}, {Name: "b", ID: "2"}, {Name: "c", ID: "3"}}})
	if err == nil {
		s, err = s.Apply(2, Command{Forget: []string{"b", "c"}})
	}
	if err == nil {
		s, err = s.Apply(3, Command{Members: []Member{{Name: "b", ID: "4"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, id string
		want     bool
	}{
		{"a", "1", false},
		{"b", "2", true}, // the first of that name
		{"b", "4", false},
		{"b", "5", false}, // who knows
		{"c", "3", true},
		{"x", "1", true}, // nobody was that
		{"d", "5", false},
		{"c", "", false},
		{"c", "three", false},
	} {
		if got := s.Removed(c.name, c.id); got != c.want {
			t.Errorf("%s with id %q: removed %v", c.name, c.id, got)
		}
	}
	if NewState().Removed("a", "1") {
		t.Error("a node that knows nothing yet takes others for removed")
	}
}
