package shell

import (
	"strings"
	"testing"
	"time"

	"gcrm/cluster/client"
)

// TestStatusTellsOfFencing: failures and what is under way are shown always,
// successes on request, each kind once.
func TestStatusTellsOfFencing(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local)
	v := &clusterView{Fencings: latestFencings([]client.FenceEntry{
		{Target: "n3", Action: "reboot", State: "executing", Client: "gcrm", Origin: "n1"},
		{Target: "n2", Action: "off", State: "done", Client: "gcrm", Origin: "n1", Delegate: "n3", Completed: at.Add(time.Minute)},
		{Target: "n2", Action: "off", State: "failed", Client: "gcrm", Origin: "n1", Text: "no answer", Completed: at},
		{Target: "n2", Action: "off", State: "failed", Client: "gcrm", Origin: "n1", Text: "older", Completed: at.Add(-time.Hour)},
		{Target: "n1", Action: "reboot", State: "failed", Client: "gcrm", Origin: "n2", Completed: at},
	})}
	for _, c := range []struct {
		o    statusOptions
		want string
	}{
		{statusOptions{}, `Failed Fencing Actions:
  * turning off of n2 for gcrm@n1 last failed (no answer) at Fri Nov 20 10:00:00 2026 (a later attempt from n3 succeeded)
  * reboot of n1 for gcrm@n2 last failed at Fri Nov 20 10:00:00 2026

Pending Fencing Actions:
  * reboot of n3 for gcrm@n1 pending
`},
		{statusOptions{fencing: true}, `Fencing History:
  * turning off of n2 by n3 for gcrm@n1 last successful at Fri Nov 20 10:01:00 2026
`},
	} {
		w := &statusWriter{v: v, o: c.o}
		w.fencingActions()
		if got := w.b.String(); !strings.HasSuffix(got, c.want) {
			t.Errorf("%+v:\n%s\nwant\n%s", c.o, got, c.want)
		}
	}
	if e := (&statusXMLWriter{v: v}).fencing(); len(e.Children) != 4 || e.Children[1].Get("completed") != at.Add(time.Minute).UTC().Format("2006-01-02 15:04:05Z") {
		t.Error(e)
	}
}

// TestStatusAsWebPage: markup in names is text, lists nest, colours are classes.
func TestStatusAsWebPage(t *testing.T) {
	w := &statusWriter{color: palette{&Display{Color: true}}}
	w.heading("Node List:")
	w.item(1, "Node <a>: %s", w.color.bad("OFFLINE"))
	w.item(2, "inside")
	w.heading("Next:")
	w.item(1, "%s", w.color.good("x & y"))
	page := statusHTML(w.b.String(), 5)
	for _, want := range []string{
		`<meta http-equiv="refresh" content="5">`,
		"<h2>Node List</h2>\n<ul>\n<li>Node &lt;a&gt;: <span class=\"bad\">OFFLINE</span></li>\n<ul>\n<li>inside</li>\n</ul>\n</ul>\n<h2>Next</h2>",
		`<li><span class="good">x &amp; y</span></li>`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
}
