package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLockProgram: the program that tries POSIX locks agrees with the locks of this host,
// and notices when there are none.
func TestLockProgram(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "plocks")
	if out, err := exec.Command("go", "build", "-o", program, "gcrm/cluster/simtest/lab/plocks").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file := filepath.Join(dir, "file")
	out, err := exec.Command(program, "-processes", "4", "-for", "1s", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	alone := strings.Fields(string(out))[1]
	if out, err = exec.Command(program, "-sum", file).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != alone {
		t.Errorf("%s times alone, and the counters say %s (%v)", alone, out, err)
	}
	out, err = exec.Command(program, "-processes", "4", "-for", "3s", "-careless", filepath.Join(dir, "other")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "VIOLATION") {
		t.Errorf("without locks nothing was noticed: %s", out)
	}
}
