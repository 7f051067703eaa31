package process

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLeftoversAreKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "calls")
	mark := filepath.Join(t.TempDir(), "acted")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Outcome, 1)
	go func() {
		done <- Run(ctx, Command{Path: "/bin/sh", Args: []string{"-c", "sleep 30; echo > " + mark}, Notes: dir,
			Env: []string{"PATH=/bin:/usr/bin"}})
	}()
	defer func() { cancel(); <-done }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if files, _ := os.ReadDir(dir); len(files) == 1 {
			if b, _ := os.ReadFile(filepath.Join(dir, files[0].Name())); len(b) > 0 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the run was not noted")
		}
	}
	// A note of a process that is long gone, whose pid another one has now.
	foreign := Identity{Pid: os.Getpid(), Start: 1}
	if err := os.WriteFile(filepath.Join(dir, "1"), []byte(foreign.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	killed, err := EndLeftovers(dir)
	if err != nil || len(killed) != 1 {
		t.Fatalf("killed %v: %v", killed, err)
	}
	select {
	case out := <-done:
		done <- out
		if out.Signal == 0 {
			t.Errorf("the run ended with %+v", out)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the run goes on")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the script went on")
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("notes are left: %v", files)
	}
}

// A run that ends takes its note back.
func TestNotesAreTakenBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "calls")
	if out := Run(t.Context(), Command{Path: "/bin/sh", Args: []string{"-c", "sleep 0.1"}, Notes: dir, Env: []string{"PATH=/bin:/usr/bin"}}); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("notes are left: %v", files)
	}
}
