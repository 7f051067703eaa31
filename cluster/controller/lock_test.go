package controller

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// Shutdown locks with the real scheduler: what was on a node that leaves waits
// for its return, but no longer than the limit.

// lockedCluster has web on b, where it prefers to be.
func lockedCluster(t *testing.T) *driver {
	doc, err := cib.Parse(`<cib crm_feature_set="3.16.0" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0" have-quorum="1" dc-uuid="a">
<configuration><crm_config><cluster_property_set id="options"><nvpair id="o1" name="stonith-enabled" value="false"/>
<nvpair id="o2" name="shutdown-lock" value="true"/><nvpair id="o3" name="shutdown-lock-limit" value="5min"/></cluster_property_set></crm_config>
<nodes><node id="a" uname="a"/><node id="b" uname="b"/></nodes>
<resources><primitive id="web" class="ocf" provider="pacemaker" type="Dummy"/></resources>
<constraints><rsc_location id="l1" rsc="web" node="b" score="100"/></constraints></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{t: t, now: time.Unix(1_000_000, 0), doc: doc, jobs: map[string]operation.Job{}}
	d.c = New(Config{Node: "a", Schedule: scheduler.Schedule})
	d.do("nodes a b")
	d.do("lead")
	d.do("answer a")
	if out := d.do("answer b") + d.work(); !strings.Contains(out, "dispatch to b: web_start_0") {
		t.Fatalf("web does not start on b:\n%s", out)
	}
	return d
}

// do is one command of a transcript.
func (d *driver) do(line string) string {
	f := strings.Fields(line)
	td := &datadriven.TestData{Cmd: f[0]}
	for _, w := range f[1:] {
		k, v, ok := strings.Cut(w, "=")
		arg := datadriven.CmdArg{Key: k}
		if ok {
			arg.Vals = []string{v}
		}
		td.CmdArgs = append(td.CmdArgs, arg)
	}
	return d.command(d.t, td)
}

// work does what was asked for, each operation with the result that is
// expected, until nothing more is.
func (d *driver) work() string {
	var out strings.Builder
	for len(d.applies)+len(d.jobs) > 0 {
		if len(d.applies) > 0 {
			out.WriteString(d.do("commit"))
			continue
		}
		key := slices.Sorted(maps.Keys(d.jobs))[0]
		rc := "0"
		if strings.Contains(key, "_monitor_0@") {
			rc = "7"
		}
		out.WriteString(d.do("result " + key + " rc=" + rc))
		delete(d.jobs, key)
	}
	return out.String()
}

// leave lets b shut down; it returns what the controller did meanwhile.
func (d *driver) leave() string {
	out := d.do("attribute b shutdown 1000000") + d.work()
	for _, want := range []string{"dispatch to b: web_stop_0", "shut down b"} {
		if !strings.Contains(out, want) {
			d.t.Fatalf("no %q:\n%s", want, out)
		}
	}
	d.apply(cib.Origin{}, cib.StatusEdit{Node: &cib.NodeStateEdit{ID: "b", Attributes: []cib.Attr{{Name: "in_ccm", Value: "false"},
		{Name: "crmd", Value: "offline"}, {Name: "join", Value: "down"}, {Name: "expected", Value: "down"}}}})
	return out + d.do("unset b shutdown") + d.work()
}

func (d *driver) locked() bool {
	locked := false
	d.doc.Status().Walk(func(e *cib.Element) bool {
		locked = locked || e.Name == "lrm_resource" && e.ID() == "web" && e.Has("shutdown-lock") && e.Get("shutdown-lock") != "0"
		return true
	})
	return locked
}

func TestLockedResourceWaitsForItsNode(t *testing.T) {
	d := lockedCluster(t)
	if out := d.leave(); strings.Contains(out, "dispatch to a: web_start_0") {
		t.Fatalf("web does not wait:\n%s", out)
	}
	if !d.locked() {
		t.Fatalf("nothing is locked:\n%s", d.doc)
	}
	d.do("tick 4m")
	if out := d.work(); strings.Contains(out, "web_start_0") {
		t.Fatalf("web does not wait for the limit:\n%s", out)
	}
	out := d.do("online b") + d.do("attribute b "+IncarnationAttribute+" i2")
	out += d.do("answer b incarnation=i2") + d.work()
	if !strings.Contains(out, "dispatch to b: web_start_0") || strings.Contains(out, "dispatch to a: web_start_0") {
		t.Errorf("web does not come back to b:\n%s", out)
	}
	if d.do("tick 10m"); d.locked() {
		t.Errorf("the lock stays after its node is back:\n%s", d.doc)
	}
}

func TestLockEndsWithItsLimit(t *testing.T) {
	d := lockedCluster(t)
	d.leave()
	out := d.do("tick 4m") + d.work()
	if strings.Contains(out, "web_start_0") {
		t.Fatalf("web starts before the limit:\n%s", out)
	}
	out = d.do("tick 2m") + d.work()
	if !strings.Contains(out, "dispatch to a: web_start_0") {
		t.Errorf("web does not start elsewhere after the limit:\n%s", out)
	}
}
