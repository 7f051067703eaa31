package shell

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
const statusSample = 10

// TestStatusAgainstCrmMon compares the list of nodes and resources with that of
// the real program.
func TestStatusAgainstCrmMon(t *testing.T) {
	compareWithCrmMon(t, statusFloor, []string{"-1r"}, statusLists, func(v *clusterView, doc *cib.CIB) string {
		w := &statusWriter{v: v, o: statusOptions{inactive: true}}
		w.nodes()
		w.resources()
		return statusLists(strings.ReplaceAll(w.b.String(), "(maintenance)", "(unmanaged)"))
	})
}

// statusXMLFloor is the same for the XML form (of a fifth of the corpus 93 of 102
// are the same; most of the others have connections of guests, which are shown
// here with their guests only).
const statusXMLFloor = 88

// TestStatusXMLAgainstCrmMon compares the whole XML form, but for the times of
// asking and for what newer releases added.
func TestStatusXMLAgainstCrmMon(t *testing.T) {
	compareWithCrmMon(t, statusXMLFloor, []string{"-1", "--output-as=xml"}, comparableXML, func(v *clusterView, doc *cib.CIB) string {
		return comparableXML(statusXML(v, doc, statusOptions{}, "").String())
	})
}

func comparableXML(s string) string {
	root, err := cib.ParseElement(s, cib.DefaultLimits)
	if err != nil {
		return ""
	}
	if root.Child("status").Get("code") != "0" || root.Child("status").Child("errors") != nil {
		return "" // it cannot read the document
	}
	root.Unset("request")
	root.Walk(func(e *cib.Element) bool {
		switch e.Name {
		case "last_update":
			e.Attrs = nil
		case "bans": // those of one rule come in no particular order
			slices.SortFunc(e.Children, func(a, b *cib.Element) int { return strings.Compare(a.String(), b.String()) })
		case "failure":
			// 2.1.5 has words of its own, escapes quotes twice, and calls an
			// operation without key by its id.
			for _, k := range []string{"status", "exitreason", "id", "op_key"} {
				e.Unset(k)
			}
		}
		e.Unset("maintenance")
		if v, ok := e.Lookup("target_role"); ok { // as it was typed
			e.Set("target_role", strings.ToLower(v))
		}
		if e.Name == "node" && e.Has("unclean") {
			e.Unset("feature_set")
		}
		slices.SortFunc(e.Attrs, func(a, b cib.Attr) int { return strings.Compare(a.Name, b.Name) })
		return true
	})
	return root.String()
}

// compareWithCrmMon runs crm_mon with options over a sample of the scheduler's
// corpus. cut takes out of its output what is to be compared; ours is that of
// this program. At least floor percent must be the same.
func compareWithCrmMon(t *testing.T, floor int, options []string, cut func(string) string, ours func(*clusterView, *cib.CIB) string) {
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
		cmd := exec.Command(mon, options...)
		cmd.Env = append(os.Environ(), "CIB_file="+input, "LC_ALL=C")
		out, err := cmd.Output()
		want := cut(string(out))
		if err != nil || want == "" {
			continue
		}
		all++
		v, err := buildView(doc, nil, time.Now())
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if got := ours(v, doc); got == want {
			same++
		} else if testing.Verbose() {
			t.Logf("%s:\n%s", filepath.Base(f), unifiedDiff(want, got, palette{}))
		}
	}
	t.Logf("%d of %d are the same", same, all)
	if same*100 < floor*all {
		t.Errorf("%d of %d are the same, the floor is %d %%", same, all, floor)
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
