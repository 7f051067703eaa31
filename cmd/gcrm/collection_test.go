package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// Without collection a program must not use memory without bound: at the
// budget collection begins, and stays.
func TestCollectionBeginsAtTheBudget(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("GOGC or GOMEMLIMIT is set: a choice of the environment goes before")
	}
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) })

	putOffCollection(1 << 20)
	if p := debug.SetGCPercent(-1); p != -1 {
		t.Fatalf("collection at %d percent", p)
	}
	if l := debug.SetMemoryLimit(-1); l != commandBudget+documentBudget<<20 {
		t.Fatalf("memory limit %d", l)
	}
	runtime.GC() // as at the budget
	for range 500 {
		if debug.SetMemoryLimit(-1) == limit {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if l := debug.SetMemoryLimit(-1); l != limit {
		t.Errorf("memory limit %d after a collection, was %d before", l, limit)
	}
	if p := debug.SetGCPercent(100); p != 100 {
		t.Errorf("collection at %d percent after a collection", p)
	}
}

func TestDocumentFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(file, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []options{
		{args: []string{"simulate", "-R", "-x", file}},
		{args: []string{"simulate", "-S", "-x" + file}},
		{args: []string{"simulate", "--xml-file=" + file, "-R"}},
		{args: []string{"configure", "show"}, cib: file},
	} {
		if n := fileSize(o.documentFile()); n != 1000 {
			t.Errorf("%v: document of %d bytes", o.args, n)
		}
	}
	for _, name := range []string{"", "-", filepath.Dir(file), file + ".not"} {
		if n := fileSize(name); n != 0 {
			t.Errorf("%q: document of %d bytes", name, n)
		}
	}
}
