package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gcrm/shell"
)

var updateManual = flag.Bool("update", false, "write doc/gcrm.8 anew")

// The manual page in the tree is what the program's help makes, and troff takes
// it without a complaint.
func TestManualIsCurrent(t *testing.T) {
	file := filepath.Join("..", "..", "doc", "gcrm.8")
	want := shell.Manual(usage)
	if *updateManual {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("doc/gcrm.8 is not what gcrm help --man prints; run go test ./cmd/gcrm -run Manual -update")
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("groff is not installed: the page was not formatted")
		return
	}
	out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-Wbreak", "-z", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
