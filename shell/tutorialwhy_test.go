package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// For each tutorial: what resource why says of a resource that runs and of one
// that does not, after events. The folder is testdata/why-tutorials, laid out
// like testdata/why, with the script of the tutorial; its nodes are added.
func TestWhyInTutorials(t *testing.T) {
	t.Setenv("TZ", "UTC")
	scripts, err := filepath.Glob("../testdata/tutorials/*.crm")
	if err != nil || len(scripts) < 7 {
		t.Fatalf("only %d tutorials: %v", len(scripts), err)
	}
	for _, f := range scripts {
		name := strings.TrimSuffix(filepath.Base(f), ".crm")
		t.Run(name, func(t *testing.T) {
			script, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join("../testdata/why-tutorials", name)
			s := &situation{t: t, now: time.Unix(1700000000, 0).UTC()}
			path := filepath.Join(t.TempDir(), "cib.xml")
			s.load(path, string(script))
			s.read(path)
			s.play(dir)
		})
	}
}
