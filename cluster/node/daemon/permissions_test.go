package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What others could write or read is not used, and the remedy is told.
func TestPermissions(t *testing.T) {
	state, run := t.TempDir(), t.TempDir()
	if _, err := Init(InitOptions{StateDir: state, Cluster: "c", Node: "n1", Address: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	if err := permissions(state, run); err != nil {
		t.Errorf("as they are made: %v", err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{state, 0o777, "chmod 0755 "},
		{run, 0o775, "chmod 0755 "},
		{filepath.Join(state, pkiDir), 0o720, "chmod 0700 "},
		{filepath.Join(state, pkiDir, "node.key"), 0o640, "chmod 0600 "},
		{filepath.Join(state, pkiDir, "ca.key"), 0o604, "chmod 0600 "},
		{filepath.Join(state, pkiDir, "heartbeat.key"), 0o644, "chmod 0600 "},
		{filepath.Join(state, pkiDir, "ca.pem"), 0o666, "chmod 0644 "},
	} {
		before, err := os.Stat(c.path)
		if err == nil {
			err = os.Chmod(c.path, c.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := permissions(state, run); err == nil || !strings.Contains(err.Error(), c.want+c.path) {
			t.Errorf("%s with mode %o: %v", c.path, c.mode, err)
		}
		if c.path == run { // the daemon itself says it
			if err := Run(t.Context(), Options{StateDir: state, RunDir: run, Program: "/bin/true"}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the daemon: %v", err)
			}
		}
		if err := os.Chmod(c.path, before.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(run, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if err := permissions(state, run); err == nil || !strings.Contains(err.Error(), "user 12345") {
			t.Errorf("a folder of somebody else: %v", err)
		}
	}
}
