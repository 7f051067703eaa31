package shell

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

// statusDocument is two nodes, of which n1 runs run, stopped is told to stop,
// banned may not run anywhere, and broken has failed on n1.
const statusDocument = `<cib validate-with="pacemaker-3.9" epoch="3" admin_epoch="0" num_updates="9" have-quorum="1" dc-uuid="1">
<configuration>
 <crm_config><cluster_property_set id="o"><nvpair id="o-1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
 <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
 <resources>
  <primitive id="run" class="ocf" provider="pacemaker" type="Dummy"/>
  <primitive id="stopped" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="sm"><nvpair id="sm-1" name="target-role" value="Stopped"/></meta_attributes></primitive>
  <primitive id="banned" class="ocf" provider="pacemaker" type="Dummy"/>
  <primitive id="broken" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="bm"><nvpair id="bm-1" name="migration-threshold" value="1"/></meta_attributes></primitive>
 </resources>
 <constraints>
  <rsc_location id="b1" rsc="banned" node="n1" score="-INFINITY"/>
  <rsc_location id="b2" rsc="banned" node="n2" score="-INFINITY"/>
  <rsc_location id="b3" rsc="broken" node="n2" score="-INFINITY"/>
 </constraints>
</configuration>
<status>
 <node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member">
  <transient_attributes id="1"><instance_attributes id="s1"><nvpair id="s1-1" name="fail-count-broken#monitor_10000" value="1"/></instance_attributes></transient_attributes>
  <lrm id="1"><lrm_resources>
   <lrm_resource id="run" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="run_last_0" operation_key="run_start_0" operation="start" crm_feature_set="3.16.1" transition-key="1:1:0:00000000-0000-0000-0000-000000000000" transition-magic="0:0;1:1:0:00000000-0000-0000-0000-000000000000" call-id="2" rc-code="0" op-status="0" interval="0" last-rc-change="1000" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/></lrm_resource>
   <lrm_resource id="stopped" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="stopped_last_0" operation_key="stopped_monitor_0" operation="monitor" crm_feature_set="3.16.1" transition-key="1:1:7:00000000-0000-0000-0000-000000000000" transition-magic="0:7;1:1:7:00000000-0000-0000-0000-000000000000" call-id="1" rc-code="7" op-status="0" interval="0" last-rc-change="1000"/></lrm_resource>
   <lrm_resource id="broken" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="broken_last_failure_0" operation_key="broken_monitor_10000" operation="monitor" crm_feature_set="3.16.1" transition-key="1:1:0:00000000-0000-0000-0000-000000000000" transition-magic="0:1;1:1:0:00000000-0000-0000-0000-000000000000" call-id="4" rc-code="1" op-status="0" interval="10000" last-rc-change="1000" exec-time="20" exit-reason="disk is full"/><lrm_rsc_op id="broken_last_0" operation_key="broken_stop_0" operation="stop" crm_feature_set="3.16.1" transition-key="1:1:0:00000000-0000-0000-0000-000000000000" transition-magic="0:0;1:1:0:00000000-0000-0000-0000-000000000000" call-id="5" rc-code="0" op-status="0" interval="0" last-rc-change="1001"/></lrm_resource>
  </lrm_resources></lrm>
 </node_state>
 <node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="2"><lrm_resources/></lrm></node_state>
</status></cib>`

func statusSession(t *testing.T) (*Session, *strings.Builder) {
	t.Helper()
	t.Setenv("TZ", "UTC")
	path := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(path, []byte(statusDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFile(path, fakeAgents{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	s := NewSession(Config{Cluster: c, Offline: true, Source: "x", Out: &out, Err: &out, Now: func() time.Time { return time.Unix(2000, 0) }})
	return s, &out
}

func (s *Session) try(t *testing.T, line string) bool {
	return s.run(t.Context(), &sourceLine{line: readTestLine(line), text: line})
}

// The answer for programs has what the text has.
func TestWhyAsJSON(t *testing.T) {
	s, out := statusSession(t)
	s.cfg.Format = "json"
	if !s.try(t, "resource why broken") {
		t.Fatal(out)
	}
	var w scheduler.Why
	if err := json.Unmarshal([]byte(out.String()), &w); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if len(w.Instances) != 1 || len(w.Instances[0].Places) != 2 || len(w.Instances[0].Failures) != 1 || w.Instances[0].Reasons[0].Code != scheduler.CodeNoNode {
		t.Fatalf("%+v", w)
	}
	p := w.Instances[0].Places[0]
	if p.Node != "n1" || p.Possible || p.Score != -cib.Infinity || p.Origin[0].By != scheduler.ByThreshold || p.Origin[0].Count != 1 || p.Origin[0].Limit != 1 {
		t.Errorf("%+v", p)
	}
	if f := w.Instances[0].Failures[0]; f.Reason != "disk is full" || f.Operation != "monitor every 10s" || f.Time.Unix() != 1000 {
		t.Errorf("%+v", f)
	}
	out.Reset()
	if !s.try(t, "simulate") {
		t.Fatal(out)
	}
	var plan simulateJSON
	if err := json.Unmarshal([]byte(out.String()), &plan); err != nil || len(plan.Idle) != 3 || len(plan.Unchanged) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// A commit that stops or moves what runs says so; starts are no reason to ask.
func TestImpact(t *testing.T) {
	s, _ := statusSession(t)
	doc, err := s.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := s.impact(doc); err != nil || text != "" {
		t.Errorf("nothing is changed, and it says %q, %v", text, err)
	}
	work := doc.Clone()
	work.Section("constraints").Add(cib.NewElement("rsc_location", "id", "away", "rsc", "run", "node", "n1", "score", "-INFINITY"))
	text, err := s.impact(work)
	for _, want := range []string{"Move  run  n1 -> n2", "it leaves n1: forbidden by location away"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%q is not said: %v\n%s", want, err, text)
		}
	}
}

func TestStatusText(t *testing.T) {
	s, out := statusSession(t)
	if !s.try(t, "status inactive failcounts") {
		t.Fatal(out)
	}
	want := `Cluster Summary:
  * Stack: unknown
  * Current DC: n1 - partition with quorum
  * Last updated: Thu Jan  1 00:33:20 1970
  * 2 nodes configured
  * 4 resource instances configured (1 DISABLED)

Node List:
  * Online: [ n1 n2 ]

Full List of Resources:
  * run	(ocf:pacemaker:Dummy):	 Started n1
  * stopped	(ocf:pacemaker:Dummy):	 Stopped (disabled)
  * banned	(ocf:pacemaker:Dummy):	 Stopped
  * broken	(ocf:pacemaker:Dummy):	 Stopped

Migration Summary:
  * Node: n1:
    * broken: migration-threshold=1 fail-count=1

Failed Resource Actions:
  * broken 10s-interval monitor on n1 returned 'error' (disk is full) at Thu Jan  1 00:16:40 1970 after 20ms
`
	if out.String() != want {
		t.Errorf("%s", unifiedDiff(want, out.String(), palette{}))
	}
}

func TestNotRunningNamesReasons(t *testing.T) {
	s, _ := statusSession(t)
	got, err := s.NotRunning(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"resource banned does not run", "resource broken does not run: monitor on n1: disk is full"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// cleanup forgets failures and nothing else; failcount shows and sets.
func TestCleanupAndFailcount(t *testing.T) {
	s, out := statusSession(t)
	if !s.try(t, "resource failcount broken show n1") || !strings.Contains(out.String(), "name=fail-count-broken value=1") {
		t.Errorf("%s", out)
	}
	if !s.try(t, "resource cleanup") {
		t.Fatal(out)
	}
	doc, err := s.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state := doc.NodeState("1")
	var left []string
	for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
		left = append(left, r.ID())
	}
	if strings.Join(left, " ") != "run stopped" || failCount(doc, "1", "broken") != 0 {
		t.Errorf("left are %q, fail count %d", left, failCount(doc, "1", "broken"))
	}
	if !s.try(t, "resource failcount run set n2 INFINITY") {
		t.Fatal(out)
	}
	if doc, _ = s.current(t.Context()); failCount(doc, "2", "run") != cib.Infinity {
		t.Errorf("fail count is %d", failCount(doc, "2", "run"))
	}
}
