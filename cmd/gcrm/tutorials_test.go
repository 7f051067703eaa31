package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program runs the program under test and returns its output and exit status.
func program(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir, "CIB_file=")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// Every tutorial commits into a new file; what show prints of it makes the
// same file again; and Pacemaker's own checker accepts it.
func TestTutorialsCommit(t *testing.T) {
	files, err := filepath.Glob("../../testdata/tutorials/*.crm")
	if err != nil || len(files) < 6 {
		t.Fatalf("only %d tutorials: %v", len(files), err)
	}
	verify, verr := exec.LookPath("crm_verify")
	if verr != nil {
		t.Log("crm_verify (Debian: pacemaker-cli-utils) is not installed: the files are not checked by it")
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			dir := t.TempDir()
			abs, err := filepath.Abs(f)
			if err != nil {
				t.Fatal(err)
			}
			if _, stderr, status := program(t, dir, "--cib", "new.xml", "-f", abs); status != 0 || strings.Contains(stderr, "ERROR") {
				t.Fatalf("exit status %d\n%s", status, stderr)
			}
			shown, _, _ := program(t, dir, "--cib", "new.xml", "configure", "show")
			if _, stderr, status := program(t, dir, "--cib", "new.xml", "configure", "save", "saved.crm"); status != 0 {
				t.Fatal(stderr)
			}
			if _, stderr, status := program(t, dir, "--cib", "again.xml", "-F", "configure", "load", "replace", "saved.crm"); status != 0 {
				t.Fatalf("what is saved does not load: %s", stderr)
			}
			again, _, _ := program(t, dir, "--cib", "again.xml", "configure", "show")
			if shown != again || shown == "" {
				t.Errorf("saved and loaded again:\n%s\nwas\n%s", again, shown)
			}
			if verr == nil {
				if out, err := exec.Command(verify, "-x", filepath.Join(dir, "new.xml")).CombinedOutput(); err != nil {
					t.Errorf("crm_verify: %v\n%s", err, out)
				}
			}
		})
	}
}
