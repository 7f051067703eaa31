package kernel

import (
	"os"
	"path/filepath"
	"testing"
)

// The control process and udev make the links of devices at the same moment.
func TestLinksThatSomebodyElseMakes(t *testing.T) {
	for range 200 {
		dir := filepath.Join(t.TempDir(), "misc")
		begin, made := make(chan struct{}), make(chan error)
		for range 8 {
			go func() { <-begin; made <- linkBelow(dir, "dlm_plock") }()
		}
		close(begin)
		for range 8 {
			if err := <-made; err != nil {
				t.Error(err)
			}
		}
		if to, err := os.Readlink(filepath.Join(dir, "dlm_plock")); err != nil || to != "../dlm_plock" {
			t.Errorf("linked to %q: %v", to, err)
		}
	}
	if err := linkBelow("/proc/version", "dlm_plock"); err == nil {
		t.Error("a link below a file was made")
	}
}
