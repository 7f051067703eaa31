package operation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// TestPacemakerUnderstandsTheHistory gives a history written here to
// Pacemaker's own scheduler: it must see what happened, and that the running
// resource's parameters are those of the configuration.
func TestPacemakerUnderstandsTheHistory(t *testing.T) {
	tool, err := exec.LookPath("crm_simulate")
	if err != nil {
		t.Skip("crm_simulate is not installed; nothing else can tell how Pacemaker reads the history")
	}
	doc, err := cib.Parse(`<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="0" admin_epoch="0" have-quorum="1">
<configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o1" name="stonith-enabled" value="false"/>
</cluster_property_set></crm_config><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes><resources>
<primitive id="web" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="web-ia"><nvpair id="web-ia-s" name="state" value="/x &amp; y"/>
<nvpair id="web-ia-f" name="fake" value="1"/></instance_attributes>
<operations><op id="web-m" name="monitor" interval="10s" timeout="30s"/></operations></primitive></resources><constraints/></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour)
	var call int
	op := func(node, task string, every time.Duration, target, rc int) []cib.StatusEdit {
		call++
		j := &Job{Key: TransitionKey(call, 1, target, "0a3a2d09-5bd2-4d7e-a4a3-9c4b5a1a7f11"), Node: "node" + node, NodeID: node, Resource: "web", Class: "ocf",
			Provider: "pacemaker", Type: "Dummy", Task: task, Interval: every, ExpectedRC: target, StartFatal: true, Timeout: 30 * time.Second,
			Params: []cib.Attr{{Name: "state", Value: "/x & y"}, {Name: "fake", Value: "1"}},
			Meta:   []cib.Attr{{Name: "timeout", Value: "30000"}, {Name: "interval", Value: "10000"}}}
		at = at.Add(time.Second)
		return Result(j, Outcome{RC: rc, CallID: call, Run: at, Changed: at, Exec: time.Second}, Traits{})
	}
	apply := func(edits ...cib.StatusEdit) {
		t.Helper()
		if doc, err = doc.Apply(cib.Change{Status: &cib.StatusChange{Edits: edits}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"1", "2"} {
		apply(cib.StatusEdit{Node: &cib.NodeStateEdit{ID: n, Uname: "node" + n, Attributes: []cib.Attr{{Name: "in_ccm", Value: "true"},
			{Name: "crmd", Value: "online"}, {Name: "crm-debug-origin", Value: "test"}, {Name: "join", Value: "member"}, {Name: "expected", Value: "member"}}}})
		apply(op(n, "monitor", 0, 7, 7)...)
	}
	simulate := func() string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "cib.xml")
		if err := os.WriteFile(file, []byte(doc.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "-S", "-x", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := simulate(); !strings.Contains(out, "Start      web") {
		t.Errorf("probed and stopped, it must be started:\n%s", out)
	}
	apply(op("1", "start", 0, 0, 0)...)
	apply(op("1", "monitor", 10*time.Second, 0, 0)...)
	out := simulate()
	if !strings.Contains(out, "Started node1") || strings.Contains(out, "Resource action") {
		t.Errorf("running as configured, nothing is to be done:\n%s", out)
	}
	apply(op("1", "monitor", 10*time.Second, 0, 7)...)
	if out := simulate(); !strings.Contains(out, "FAILED node1") || !strings.Contains(out, "Recover    web") {
		t.Errorf("a failed monitor must lead to recovery:\n%s", out)
	}
	apply(op("1", "stop", 0, 0, 0)...)
	apply(op("1", "start", 0, 0, 1)...)
	if out := simulate(); !strings.Contains(out, "( node1 -> node2 )") {
		t.Errorf("a failed start must lead to the other node:\n%s", out)
	}
}
