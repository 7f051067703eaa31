package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every decoder that faces the network has a fuzz target: the table in
// cluster/DESIGN.md names them, and they exist.
func TestFuzzTargetsOfDecoders(t *testing.T) {
	b, err := os.ReadFile("../../cluster/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+) (Fuzz\\w+)`").FindAllStringSubmatch(string(b), -1)
	if len(named) < 15 {
		t.Errorf("the table names %d targets only", len(named))
	}
	for _, m := range named {
		if !fuzzes(t, m[1], m[2]) {
			t.Errorf("there is no fuzz target %s in %s", m[2], m[1])
		}
	}
	if fuzzes(t, "cluster/node", "FuzzNothing") {
		t.Error("a target that nobody wrote was found")
	}
	// And those of the cluster that exist are in the table.
	files, err := filepath.Glob("../../cluster/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			if folder := strings.TrimPrefix(filepath.Dir(f), "../../"); !strings.Contains(string(b), "`"+folder+" "+m[1]+"`") {
				t.Errorf("the table does not have %s of %s", m[1], folder)
			}
		}
	}
}

func fuzzes(t *testing.T, folder, name string) bool {
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
