package shell

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const looking = `<cib validate-with="pacemaker-3.9" epoch="5" admin_epoch="0" num_updates="0" have-quorum="1" dc-uuid="1"><configuration><crm_config>
<cluster_property_set id="cib-bootstrap-options"><nvpair id="o-s" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes>
<resources><primitive id="web" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="i"><nvpair id="i-p" name="passwd" value="hush-hush"/>
<nvpair id="i-c" name="community" value="geheim!"/></instance_attributes>
<operations><op id="m" name="monitor" interval="10s"/></operations></primitive></resources><constraints/></configuration>
<status><node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources><lrm_resource id="web" class="ocf" provider="pacemaker" type="Dummy">
<lrm_rsc_op id="web_last_0" operation_key="web_start_0" operation="start" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u" call-id="2" rc-code="0" op-status="0" interval="0" last-rc-change="1000"/>
<lrm_rsc_op id="web_monitor_10000" operation_key="web_monitor_10000" operation="monitor" transition-key="2:1:0:u" transition-magic="0:0;2:1:0:u" call-id="3" rc-code="0" op-status="0" interval="10000" last-rc-change="2000"/>
</lrm_resource></lrm_resources></lrm></node_state>
<node_state id="2" uname="node2" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`

// lookingSession works on a file in which a resource runs.
func lookingSession(t *testing.T) (func(line string) string, *Session) {
	t.Helper()
	t.Setenv("TZ", "UTC")
	path := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(path, []byte(looking), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFile(path, fakeAgents{})
	if err != nil {
		t.Fatal(err)
	}
	out := &strings.Builder{}
	s := NewSession(Config{Cluster: c, Offline: true, Source: "test", Out: out, Err: out, Now: testClock()})
	return func(line string) string {
		t.Helper()
		out.Reset()
		if !s.RunLine(t.Context(), line) {
			return "FAILED " + out.String()
		}
		return out.String()
	}, s
}

func expectText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is missing in\n%s", w, got)
		}
	}
}

// What is imagined is where simulations start, and nothing else changes.
func TestImaginedStatus(t *testing.T) {
	run, s := lookingSession(t)
	before := run("simulate")
	if got := run("cibstatus node node1 offline"); strings.Contains(got, "FAILED") {
		t.Fatal(got)
	}
	expectText(t, run("cibstatus show"), "node node1 offline")
	expectText(t, run("cibstatus simulate"), "What if:", "node1", "web")
	expectText(t, run("configure simulate actions"), "web", "node2")
	expectText(t, run("cibstatus node nosuch offline"), "FAILED", "nosuch")
	run("cibstatus reset")
	expectText(t, run("cibstatus op monitor web not_running"))
	expectText(t, run("cibstatus simulate"), "web_monitor_10000", "web")
	expectText(t, run("cibstatus op monitor:x web not_running"), "FAILED", `"x" is no interval`)
	saved := filepath.Join(t.TempDir(), "if.xml")
	run("cibstatus save " + saved)
	run("cibstatus reset")
	run("cibstatus load " + saved)
	expectText(t, run("cibstatus origin"), saved)
	expectText(t, run("cibstatus simulate"), "web")
	run("cibstatus reset")
	if after := run("simulate"); after != before {
		t.Errorf("something stayed:\n%s\n%s", before, after)
	}
	s.cfg.Format = "json"
	expectText(t, run("cibstatus show"), `"events": []`)
}

func TestHistoryOfOperations(t *testing.T) {
	run, _ := lookingSession(t)
	log := run("history log")
	expectText(t, log, "node1", "web", "start", "monitor every 10s", "ok")
	if strings.Index(log, "start") > strings.Index(log, "monitor") {
		t.Errorf("out of order:\n%s", log)
	}
	if got := run("history log 1"); strings.Contains(got, "start") {
		t.Errorf("more than one event:\n%s", got)
	}
	if got := run("history latest"); strings.Contains(got, "start") || !strings.Contains(got, "monitor") {
		t.Errorf("the latest ten minutes:\n%s", got)
	}
	expectText(t, run("history resource web"), "start")
	expectText(t, run("history resource nosuch"), "FAILED")
	if got := run("history node node2"); strings.Contains(got, "start") {
		t.Errorf("node2 has done nothing:\n%s", got)
	}
	expectText(t, run("history info"), "Events: 2")
	expectText(t, run("history show 3"), "FAILED", "needs a running cluster")
}

// A report has what there is to know, and no secrets.
func TestReport(t *testing.T) {
	run, _ := lookingSession(t)
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	expectText(t, run("report "+file), "was written")
	expectText(t, run("report "+file), "FAILED", "name a file that does not exist")
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		seen[h.Name] = string(b)
		for _, secret := range []string{"hush-hush", "geheim!"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s has the secret %s", h.Name, secret)
			}
		}
	}
	for name, want := range map[string]string{"configuration.crm": "primitive web", "cib.xml": "<lrm_rsc_op", "status.txt": "web",
		"history.txt": "monitor every 10s", "verify.txt": "", "plan.txt": "", "journal.txt": ""} {
		text, ok := seen["r/"+name]
		if !ok || !strings.Contains(text, want) {
			t.Errorf("r/%s: there %v, %q is missing in\n%s", name, ok, want, text)
		}
	}
}

func TestAssist(t *testing.T) {
	run, s := lookingSession(t)
	run("configure")
	run("primitive two ocf:pacemaker:Dummy")
	run("primitive three ocf:heartbeat:Dummy")
	expectText(t, run("assist template web two"), "template-dummy-1")
	expectText(t, run("assist template web"), "FAILED", "made from template template-dummy-1 already")
	expectText(t, run("assist template three nosuch"), "FAILED", "nosuch")
	run("assist weak-bond web two three")
	expectText(t, run("show"), "rsc_template template-dummy-1 ocf:pacemaker:Dummy", "primitive two @template-dummy-1",
		"colocation place-constraint-1 inf: ( web two three ) place-dummy-1", "primitive place-dummy-1 Dummy")
	if !s.changed() {
		t.Error("nothing is staged")
	}
}

func TestValidate(t *testing.T) {
	run, _ := lookingSession(t)
	expectText(t, run("ra validate ocf:heartbeat:Dummy ip=1"), "nothing is wrong")
	expectText(t, run("ra validate ocf:heartbeat:Dummy ipp=1"), "FAILED", "ipp")
	expectText(t, run("ra validate ocf:heartbeat:Nosuch"), "Nosuch")
	expectText(t, run("configure validate-all web"), "web")
	expectText(t, run("configure validate-all nosuch"), "FAILED")
}

// What belongs to another level is told, not taken for something else.
func TestCommandsOfOtherLevels(t *testing.T) {
	run, s := lookingSession(t)
	run("configure")
	expectText(t, run("resource stop web"), "FAILED", "up leads to the top level")
	expectText(t, run("statsu"), "FAILED", "did you mean status of the top level?")
	if s.changed() {
		t.Error("something was staged")
	}
}
