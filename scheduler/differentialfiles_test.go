package scheduler

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"gcrm/cib"
)

var (
	differentialFiles  = flag.String("differential.files", "", "pattern of CIB files that TestDifferentialFiles compares, instead of random ones")
	differentialScores = flag.Int("differential.scores", -1, "also show scores with these changes taken back (bits of older)")
)

// TestDifferentialFiles compares given CIBs with the peer and says by which
// rule they differ: the way to look at a kept case again.
func TestDifferentialFiles(t *testing.T) {
	if *differentialFiles == "" {
		t.Skip("no -differential.files")
	}
	peer := newPeer(t)
	files, err := filepath.Glob(*differentialFiles)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file matches %s (%v)", *differentialFiles, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := cib.Parse(string(b))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if *differentialScores >= 0 {
			sim, err := Simulate(c, SimulateOptions{Execute: true, Scores: true, older: older(*differentialScores)})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(sim.Text)
		}
		switch d, err := peer.compare(t.Context(), c); {
		case err != nil:
			t.Errorf("%s: %v", file, err)
		case d == nil:
			t.Logf("%s: equal", file)
		case explain(c, d) != "":
			t.Logf("%s: known: %s\n%s", file, explain(c, d), d)
		default:
			t.Errorf("%s:\n%s", file, d)
		}
	}
}
