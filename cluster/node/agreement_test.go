package node

import (
	"testing"

	"gcrm/cluster/consensus"
	"gcrm/fencing"
)

// What a device did for a node whose daemon ended before it could say so is in
// its history: once it has started anew, that is what came of the fencing.
func TestFencingThatWasNotConcluded(t *testing.T) {
	success := fencing.Entry{ID: "a/1/7", Target: "c", Action: fencing.Off, State: fencing.Succeeds, Proof: fencing.ProofReadBack, Text: "read as off"}
	for _, c := range []struct {
		name   string
		change func(f *consensus.Fencing, e *fencing.Entry)
		want   bool
	}{
		{"it succeeded", func(*consensus.Fencing, *fencing.Entry) {}, true},
		{"it did not", func(_ *consensus.Fencing, e *fencing.Entry) { e.State, e.Proof = fencing.Fails, "" }, false},
		{"it is another one", func(_ *consensus.Fencing, e *fencing.Entry) { e.ID = "a/1/6" }, false},
		{"another node asked", func(f *consensus.Fencing, _ *fencing.Entry) { f.Origin = "b" }, false},
		{"it is under way", func(f *consensus.Fencing, _ *fencing.Entry) { f.OriginIncarnation = 4 }, false},
		{"it was concluded", func(f *consensus.Fencing, _ *fencing.Entry) { f.Over = true }, false},
	} {
		f, e := consensus.Fencing{ID: "a/1/7", Target: "c", Incarnation: 5, Origin: "a", OriginIncarnation: 3}, success
		c.change(&f, &e)
		before := f
		n := &Node{cfg: Config{Name: "a"}, incarnation: 4}
		if got := n.completes(&f, []fencing.Entry{{ID: "b/1/1", Target: "c", State: fencing.Succeeds}, e}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if c.want && (!f.Over || f.Proof != string(fencing.ProofReadBack) || f.Evidence != "read as off" || f.Incarnation != 5) || !c.want && f != before {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}
