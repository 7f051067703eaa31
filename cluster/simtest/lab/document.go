package lab

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Change is something that a document's script has otherwise for the laboratory. Old
// has to be there so many times.
type Change struct {
	Times    int
	Old, New string
}

// FenceDevice is the power switch of the first two machines.
const FenceDevice = `primitive my_fence stonith:fence_lab params pcmk_host_list="node1 node2" op monitor interval=60s timeout=60s`

var (
	notStatements = regexp.MustCompile(`(?m)^(#.*|configure|commit|verify)\n`)
	timeouts      = regexp.MustCompile(`timeout=(\d+)s`)
)

// Document is the script of a document (a file of testdata/tutorials) with changes, and
// with timeouts that emulated machines keep.
func Document(t *testing.T, name string, changes ...Change) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root(t), "testdata", "tutorials", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, c := range changes {
		if n := strings.Count(text, c.Old); n != c.Times {
			t.Fatalf("%s has %q %d times, not %d", name, c.Old, n, c.Times)
		}
		text = strings.ReplaceAll(text, c.Old, c.New)
	}
	return Patient(text)
}

// Patient is a script with timeouts that emulated machines keep.
func Patient(script string) string {
	return timeouts.ReplaceAllStringFunc(script, func(s string) string {
		n, _ := strconv.Atoi(timeouts.FindStringSubmatch(s)[1])
		return "timeout=" + Seconds(Slow(time.Duration(n)*time.Second))
	})
}

// Statements are those of a script, for [Stack].Configure: without what is said to the
// shell around them.
func Statements(script string) string { return notStatements.ReplaceAllString(script, "") }
