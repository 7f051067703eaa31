package shell

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// statusFloor is how many percent of the CIBs of the scheduler's corpus must
// give the same list of nodes and resources as crm_mon 2.1.5 (95 do). The rest
// are places where Pacemaker 3.x, which is followed here, differs.
const statusFloor = 93

// statusSample takes every such CIB of the corpus, to save time.
const statusSample = 5

// TestStatusAgainstCrmMon compares the list of nodes and resources with that of
// the real program.
func TestStatusAgainstCrmMon(t *testing.T) {
	if testing.Short() {
		t.Skip("starts crm_mon several hundred times")
	}
	mon, err := exec.LookPath("crm_mon")
	if err != nil {
		t.Skip("crm_mon (Debian: pacemaker-cli-utils) is not installed: ", err)
	}
	if out, err := exec.Command(mon, "--version").Output(); err != nil || !bytes.Contains(out, []byte("2.1.5")) {
		t.Skipf("crm_mon is not version 2.1.5, which the floor is for: %s", out)
	}
	files, err := filepath.Glob("../../shared/conformance/scheduler/xml/*.xml")
	if err != nil || len(files) == 0 {
		t.Skip("the scheduler's corpus is not here")
	}
	t.Setenv("TZ", "UTC")
	input := filepath.Join(t.TempDir(), "cib.xml")
	same, all := 0, 0
	for i, f := range files {
		if i%statusSample != 0 && os.Getenv("GCRM_WHOLE_CORPUS") == "" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// Old tools do not know the new names of options.
		text := strings.NewReplacer("fencing-enabled", "stonith-enabled", "fencing-action", "stonith-action",
			"fencing-timeout", "stonith-timeout").Replace(string(b))
		doc, err := cib.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		doc.Root.Set("crm_feature_set", "3.16.0")
		if err := cib.SaveFile(input, doc); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(mon, "-1r")
		cmd.Env = append(os.Environ(), "CIB_file="+input, "LC_ALL=C")
		out, err := cmd.Output()
		want := statusLists(string(out))
		if err != nil || want == "" {
			continue
		}
		all++
		v, err := buildView(doc, nil, time.Now())
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		w := &statusWriter{v: v, o: statusOptions{inactive: true}}
		w.nodes()
		w.resources()
		got := statusLists(strings.ReplaceAll(w.b.String(), "(maintenance)", "(unmanaged)"))
		if got == want {
			same++
		} else if testing.Verbose() {
			t.Logf("%s:\n%s", filepath.Base(f), unifiedDiff(want, got, palette{}))
		}
	}
	t.Logf("%d of %d are the same", same, all)
	if same*100 < statusFloor*all {
		t.Errorf("%d of %d are the same, the floor is %d %%", same, all, statusFloor)
	}
}

// statusLists cuts nodes and resources out of a status.
func statusLists(s string) string {
	i := strings.Index(s, "Node List:")
	if i < 0 {
		return ""
	}
	s = s[i:]
	for _, end := range []string{"\nFailed Resource", "\nFailed Fencing", "\nFencing History", "\nPending Fencing", "\nTickets"} {
		if j := strings.Index(s, end); j >= 0 {
			s = s[:j]
		}
	}
	var b strings.Builder
	for l := range strings.Lines(strings.TrimSpace(s)) {
		b.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return b.String()
}
