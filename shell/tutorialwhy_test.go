package shell

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// For each tutorial: what resource why says of a resource that runs and of one
// that is stopped, after events. The folders below testdata/why-tutorials are
// laid out like testdata/why, with the script of the tutorial; its nodes are
// added. The tutorial of two nodes ends before it has a resource: more.crm adds
// those that its reader would make next.
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
			said := ""
			root := filepath.Join("../testdata/why-tutorials", name)
			err = filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
				if err != nil || !d.IsDir() {
					return err
				}
				s := &situation{t: t, now: time.Unix(1700000000, 0).UTC()}
				path := filepath.Join(t.TempDir(), "cib.xml")
				s.load(path, string(script))
				if more, err := os.ReadFile(filepath.Join(dir, "more.crm")); err == nil {
					s.load(path, string(more))
				}
				s.read(path)
				s.play(dir)
				want, err := os.ReadFile(filepath.Join(dir, "want.txt"))
				said += string(want)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			// Every tutorial has both: something that runs and something stopped.
			for _, state := range []string{") runs on ", ") does not run"} {
				if !strings.Contains(said, state) {
					t.Errorf("no resource of which the answer says %q", state)
				}
			}
		})
	}
}
