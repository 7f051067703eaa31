package operation

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

func testJob(task string, interval time.Duration) *Job {
	return &Job{Key: "5:3:0:uuid", Node: "node1", NodeID: "1", Resource: "web", Class: "ocf", Provider: "pacemaker", Type: "Dummy",
		Task: task, Interval: interval, OperationKey: Key("web", task, interval), Timeout: 20 * time.Second, StartFatal: true,
		Meta: []cib.Attr{{Name: "timeout", Value: "20000"}}}
}

// history applies changes to an empty document and returns the entries of web
// and the node's attributes as text.
func history(t *testing.T, edits ...[]cib.StatusEdit) (string, *cib.CIB) {
	t.Helper()
	doc := cib.New()
	for _, e := range edits {
		next, err := doc.Apply(cib.Change{Status: &cib.StatusChange{Edits: e}})
		if err != nil {
			t.Fatal(err)
		}
		doc = next
	}
	var b strings.Builder
	for op := range Entries(doc, "1", "web") {
		b.WriteString(op.ID() + " " + op.Get("operation_key") + " " + op.Get("op-status") + ":" + op.Get("rc-code") + "\n")
	}
	for name, v := range Attributes(doc, "1") {
		b.WriteString(name + "=" + v + "\n")
	}
	return b.String(), doc
}

func TestHistoryEntries(t *testing.T) {
	at := time.Unix(1000, 0)
	ok := Outcome{CallID: 7, Run: at, Changed: at, Exec: 30 * time.Millisecond}
	with := func(rc, status int, first bool) Outcome {
		o := ok
		o.RC, o.Status, o.First = rc, status, first
		return o
	}
	pending := func(j *Job) []cib.StatusEdit { return []cib.StatusEdit{Pending(j, at, Traits{})} }
	none := Traits{}
	probe := testJob("monitor", 0)
	probe.ExpectedRC = 7
	softStart := testJob("start", 0)
	softStart.StartFatal = false
	for _, c := range []struct {
		name  string
		edits [][]cib.StatusEdit
		want  string
	}{
		{"pending start", [][]cib.StatusEdit{pending(testJob("start", 0))}, "web_last_0 web_start_0 -1:193\n"},
		{"start", [][]cib.StatusEdit{pending(testJob("start", 0)), Result(testJob("start", 0), ok, none)}, "web_last_0 web_start_0 0:0\n"},
		{"failed start", [][]cib.StatusEdit{Result(testJob("start", 0), with(1, 0, false), none)},
			"web_last_failure_0 web_start_0 0:1\nweb_last_0 web_start_0 0:1\nfail-count-web#start_0=INFINITY\nlast-failure-web#start_0=1000\n"},
		{"failed start that is not fatal", [][]cib.StatusEdit{Result(softStart, with(1, 0, false), none), Result(softStart, with(1, 0, false), none)},
			"web_last_failure_0 web_start_0 0:1\nweb_last_0 web_start_0 0:1\nfail-count-web#start_0=2\nlast-failure-web#start_0=1000\n"},
		{"failed stop", [][]cib.StatusEdit{Result(testJob("stop", 0), with(1, 2, false), none)},
			"web_last_failure_0 web_stop_0 2:1\nweb_last_0 web_stop_0 2:1\nfail-count-web#stop_0=INFINITY\nlast-failure-web#stop_0=1000\n"},
		{"probe that finds it running", [][]cib.StatusEdit{Result(probe, with(0, 0, false), none)},
			"web_last_failure_0 web_monitor_0 0:0\nweb_last_0 web_monitor_0 0:0\n"},
		{"monitor", [][]cib.StatusEdit{pending(testJob("monitor", 10*time.Second)), Result(testJob("monitor", 10*time.Second), with(0, 0, true), none)},
			"web_monitor_10000 web_monitor_10000 0:0\n"},
		{"degraded monitor", [][]cib.StatusEdit{Result(testJob("monitor", 10*time.Second), with(190, 0, true), none)},
			"web_monitor_10000 web_monitor_10000 0:190\n"},
		{"monitor that fails at once", [][]cib.StatusEdit{pending(testJob("monitor", 10*time.Second)), Result(testJob("monitor", 10*time.Second), with(7, 0, true), none)},
			"web_last_failure_0 web_monitor_10000 0:7\nfail-count-web#monitor_10000=1\nlast-failure-web#monitor_10000=1000\n"},
		{"monitor that fails later", [][]cib.StatusEdit{Result(testJob("monitor", 10*time.Second), with(0, 0, true), none), Result(testJob("monitor", 10*time.Second), with(7, 0, false), none)},
			"web_monitor_10000 web_monitor_10000 0:0\nweb_last_failure_0 web_monitor_10000 0:7\nfail-count-web#monitor_10000=1\nlast-failure-web#monitor_10000=1000\n"},
		{"migration", [][]cib.StatusEdit{Result(testJob("migrate_to", 0), ok, none)}, "web_migrate_to_0 web_migrate_to_0 0:0\n"},
		{"failed migration", [][]cib.StatusEdit{Result(testJob("migrate_to", 0), with(1, 0, false), none)}, "web_migrate_to_0 web_migrate_to_0 0:1\n"},
		{"reload", [][]cib.StatusEdit{Result(testJob("reload-agent", 0), ok, none)}, "web_last_0 web_start_0 0:0\n"},
		{"failed reload", [][]cib.StatusEdit{Result(testJob("reload-agent", 0), with(1, 0, false), none)},
			"web_last_failure_0 web_monitor_0 0:1\nweb_last_0 web_monitor_0 0:1\n"},
		{"deletion", [][]cib.StatusEdit{Result(testJob("start", 0), ok, none), Result(testJob(Delete, 0), ok, none)}, ""},
	} {
		got, _ := history(t, c.edits...)
		if got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
}

// TestShutdownLock follows a resource whose node shuts down and comes back: it
// waits for the node until it runs again or the limit has passed.
func TestShutdownLock(t *testing.T) {
	at := time.Unix(1000, 0)
	ok := Outcome{CallID: 7, Run: at, Changed: at}
	stop, probe, start := testJob("stop", 0), testJob("monitor", 0), testJob("start", 0)
	stop.ShutdownLock, probe.ExpectedRC = 990, 7
	stopped := ok
	stopped.RC = 7
	failed := ok
	failed.RC = 1
	steps := [][]cib.StatusEdit{{Pending(stop, at, Traits{})}, Result(stop, ok, Traits{})}
	lockOf := func(edits ...[]cib.StatusEdit) (string, *cib.CIB) {
		_, doc := history(t, edits...)
		for r := range Resources(NodeState(doc, "1")) {
			return r.Get("shutdown-lock"), doc
		}
		return "", doc
	}
	for _, c := range []struct {
		name string
		then [][]cib.StatusEdit
		want string
	}{
		{"stopped", nil, "990"},
		{"probed after the return", [][]cib.StatusEdit{Result(probe, stopped, Traits{})}, "990"},
		{"about to start", [][]cib.StatusEdit{{Pending(start, at, Traits{})}}, "990"},
		{"started", [][]cib.StatusEdit{Result(start, ok, Traits{})}, ""},
		{"started in vain", [][]cib.StatusEdit{Result(start, failed, Traits{})}, ""},
		{"found running", [][]cib.StatusEdit{Result(probe, ok, Traits{})}, ""},
	} {
		if got, _ := lockOf(append(slices.Clip(steps), c.then...)...); got != c.want {
			t.Errorf("%s: locked since %q, want %q", c.name, got, c.want)
		}
	}
	if got, _ := lockOf(Result(stop, failed, Traits{})); got != "" {
		t.Errorf("a failed stop locks (since %s)", got)
	}
	_, doc := lockOf(steps...)
	conf := doc.Clone()
	for i, name := range []string{"node1", "node2"} {
		id := strconv.Itoa(i + 1)
		conf.Section("nodes").Add(cib.NewElement("node", "id", id, "uname", name))
		st := NodeState(conf, id)
		if st == nil {
			st = cib.NewElement("node_state", "id", id)
			conf.Status().Add(st)
		}
		st.Set("uname", name)
		for name, v := range map[string]string{"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"} {
			if i == 0 {
				v = map[string]string{"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down"}[name]
			}
			st.Set(name, v)
		}
	}
	conf.Root.Set("have-quorum", "1")
	options := cib.NewElement("cluster_property_set", "id", "options")
	for _, o := range [][2]string{{"stonith-enabled", "false"}, {"shutdown-lock", "true"}, {"shutdown-lock-limit", "60s"}} {
		options.Add(cib.NewElement("nvpair", "id", "options-"+o[0], "name", o[0], "value", o[1]))
	}
	conf.Section("crm_config").Add(options)
	conf.Section("resources").Add(cib.NewElement("primitive", "id", "web", "class", "ocf", "provider", "pacemaker", "type", "Dummy"))
	starts := func(now int64) (on string) {
		plan, err := scheduler.Schedule(conf, scheduler.Options{Now: time.Unix(now, 0)})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range plan.Actions {
			if a.Task == "start" && a.Kind == scheduler.ResourceAction {
				on = a.Node
			}
		}
		return on
	}
	if on := starts(1010); on != "" {
		t.Errorf("within the limit web starts on %s", on)
	}
	if on := starts(1060); on != "node2" {
		t.Errorf("after the limit web starts on %q, want node2", on)
	}
	for name, v := range map[string]string{"in_ccm": "true", "crmd": "online", "join": "member", "expected": "member"} {
		NodeState(conf, "1").Set(name, v)
	}
	if on := starts(1010); on != "node1" {
		t.Errorf("when its node is back web starts on %q, want node1", on)
	}
}

func TestRecordedFindsOneOutcomeOnly(t *testing.T) {
	j := testJob("monitor", 10*time.Second)
	o := Outcome{RC: 7, CallID: 7, Run: time.Unix(1000, 0), Changed: time.Unix(1000, 0)}
	_, doc := history(t, Result(j, o, Traits{}))
	if !Recorded(doc, j, o) {
		t.Error("the outcome is recorded")
	}
	later := o
	later.Changed = time.Unix(1100, 0)
	if Recorded(doc, j, later) {
		t.Error("a later failure of the same monitor is not recorded")
	}
}

func TestDigests(t *testing.T) {
	for _, c := range []struct {
		job  *Job
		want string // as Pacemaker writes it
	}{
		{testJob("start", 0), "f2317cad3d54cec5d7d7aa7d0bf35cf8"},
		{testJob("monitor", 10*time.Second), "4811cef7f7f94e3a35a70be7916cb2fd"},
	} {
		if got := digests(c.job, Traits{}); len(got) != 1 || got[0].Value != c.want {
			t.Errorf("%s: %v", c.job.Task, got)
		}
	}
	j := testJob("start", 0)
	j.Params = []cib.Attr{{Name: "b", Value: "2"}, {Name: "a", Value: "1"}, {Name: "secret", Value: "x"}}
	traits := Traits{ReloadAgent: true, Reloadable: []string{"a"}, Parameters: []string{"a", "b", "secret"}, Private: []string{"secret"}}
	attrs := digests(j, traits)
	want := []cib.Attr{
		{Name: "op-force-restart", Value: " b secret "},
		{Name: "op-restart-digest", Value: scheduler.Digest([]cib.Attr{{Name: "b", Value: "2"}, {Name: "secret", Value: "x"}})},
		{Name: "op-digest", Value: scheduler.Digest(j.Params)},
		{Name: "op-secure-params", Value: " secret "},
		{Name: "op-secure-digest", Value: scheduler.Digest(j.Params[:2])},
	}
	if len(attrs) != len(want) {
		t.Fatalf("got %v", attrs)
	}
	for i := range want {
		if attrs[i] != want[i] {
			t.Errorf("got %v, want %v", attrs[i], want[i])
		}
	}
}
