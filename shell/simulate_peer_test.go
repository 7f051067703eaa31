package shell

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

// simulatedCluster is for events: two nodes, something that runs and is
// watched, a clone with a ticket, capacities and attributes.
const simulatedCluster = `<cib validate-with="pacemaker-3.9" epoch="3" admin_epoch="0" num_updates="9" have-quorum="1" dc-uuid="1" crm_feature_set="3.16.0" execution-date="1700000000">
<configuration>
 <crm_config><cluster_property_set id="o"><nvpair id="o-1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
 <nodes>
  <node id="1" uname="n1"><utilization id="u1"><nvpair id="u11" name="cpu" value="4"/><nvpair id="u12" name="memory" value="1000"/></utilization>
   <instance_attributes id="ia"><nvpair id="ia1" name="site" value="x"/></instance_attributes></node>
  <node id="2" uname="n2"><utilization id="u2"><nvpair id="u21" name="cpu" value="8"/></utilization></node>
 </nodes>
 <resources>
  <primitive id="run" class="ocf" provider="pacemaker" type="Dummy"><operations><op id="x" name="monitor" interval="10s"/></operations>
   <meta_attributes id="m"><nvpair id="m1" name="migration-threshold" value="3"/></meta_attributes>
   <utilization id="u3"><nvpair id="u31" name="cpu" value="2"/></utilization></primitive>
  <primitive id="after" class="ocf" provider="pacemaker" type="Dummy"/>
  <clone id="c"><primitive id="ci" class="ocf" provider="pacemaker" type="Dummy"/></clone>
 </resources>
 <constraints><rsc_ticket id="t" rsc="c" ticket="T"/><rsc_order id="ord" first="run" then="after"/></constraints>
</configuration>
<status>
 <node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member">
  <transient_attributes id="1"><instance_attributes id="s1"><nvpair id="s1-1" name="fail-count-run#monitor_10000" value="1"/><nvpair id="s1-2" name="last-failure-run#monitor_10000" value="1000"/></instance_attributes></transient_attributes>
  <lrm id="1"><lrm_resources>
   <lrm_resource id="run" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="run_last_0" operation_key="run_start_0" operation="start" crm_feature_set="3.16.1" transition-key="1:1:0:00000000-0000-0000-0000-000000000000" transition-magic="0:0;1:1:0:00000000-0000-0000-0000-000000000000" call-id="2" rc-code="0" op-status="0" interval="0" last-rc-change="1000" exec-time="120" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>
    <lrm_rsc_op id="run_monitor_10000" operation_key="run_monitor_10000" operation="monitor" crm_feature_set="3.16.1" transition-key="2:1:0:00000000-0000-0000-0000-000000000000" transition-magic="0:0;2:1:0:00000000-0000-0000-0000-000000000000" call-id="3" rc-code="0" op-status="0" interval="10000" last-rc-change="1000" exec-time="20" op-digest="4811cef7f7f94e3a35a70be7916cb2fd"/></lrm_resource>
   <lrm_resource id="after" class="ocf" provider="pacemaker" type="Dummy"><lrm_rsc_op id="after_last_0" operation_key="after_monitor_0" operation="monitor" crm_feature_set="3.16.1" transition-key="1:1:7:00000000-0000-0000-0000-000000000000" transition-magic="0:7;1:1:7:00000000-0000-0000-0000-000000000000" call-id="4" rc-code="7" op-status="0" interval="0" last-rc-change="1000"/></lrm_resource>
  </lrm_resources></lrm>
 </node_state>
 <node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="2"><lrm_resources/></lrm></node_state>
</status></cib>`

var timeStamps = regexp.MustCompile(`(last-failure[^=]*)=(\d{9,}|'[^']*')`)

// simulateLike brings a simulation's text into a form in which white space and
// the time of the day do not count, and 3.x and 2.1 say the same alike.
func simulateLike(text string) string {
	text = timeStamps.ReplaceAllString(text, "$1=NOW")
	text = strings.ReplaceAll(text, "pcmk__finalize_assignment", "pcmk__assign_resource")
	text = strings.ReplaceAll(text, "pcmk__clone_allocate", "pcmk__clone_assign")
	var b strings.Builder
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "Assignment") || strings.HasPrefix(line, "Utilization") {
			continue
		}
		b.WriteString(strings.Join(f, " ") + "\n")
	}
	return b.String()
}

// Events, and operations that fail, have the effect and the words that they
// have in crm_simulate.
func TestEventsAsInCrmSimulate(t *testing.T) {
	peer, err := exec.LookPath("crm_simulate")
	if err != nil {
		t.Skip("crm_simulate (Debian: pacemaker-cli-utils) is not installed")
	}
	path := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(path, []byte(simulatedCluster), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"-S",
		"-R",
		"-S -d n1",
		"-S -f n2",
		"-S -d n2 -u n2",
		// Not -q alone, which the peer passes over; and no second failure of
		// what has failed before, whose count it writes beside the first.
		"-S -q false -w true",
		"-S -g T",
		"-S -g T -b T",
		"-S -g T -b T -e T",
		"-S -g T -r T",
		"-S -i run_monitor_10000@n1=7",
		"-S -i run_monitor_0@n2=0",
		"-S -i after_monitor_0@n2=7",
		"-S -i run_stop_0@n1=1",
		"-S -i after_start_0@n2=5",
		"-S -i run_monitor_10000@n1=7 -F run_stop_0@n1=1",
		"-S -F after_start_0@n2=1",
		"-S -d n1 -F run_start_0@n2=1",
		"-S -g T -F ci_start_0@n1=1",
		"-S -t 2026-11-21T06:00:00Z",
		"-S -Q -s",
		"-S -Q -U",
		"-S -Q -U -s",
		"-S -A -c",
		"-A -c",
	} {
		t.Run(args, func(t *testing.T) {
			words := append(strings.Fields(args), "-x", path)
			cmd := exec.CommandContext(t.Context(), peer, words...)
			cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
			theirs, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var ours bytes.Buffer
			r := simulator{out: &ours, err: &ours, now: time.Unix(1700000000, 0)}
			if err := r.run(t.Context(), words); err != nil {
				t.Fatal(err)
			}
			if a, b := simulateLike(string(theirs)), simulateLike(ours.String()); a != b {
				t.Errorf("%s", unifiedDiff(a, b, palette{}))
			}
		})
	}
}

// What -I and -O save is a CIB that simulates again.
func TestSimulateSaves(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cib.xml")
	if err := os.WriteFile(path, []byte(simulatedCluster), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		r := simulator{out: &out, err: &out, now: time.Unix(1700000000, 0)}
		if err := r.run(t.Context(), args); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	run("-S", "-x", path, "-d", "n1", "-I", file("in.xml"), "-O", file("out.xml"), "-G", file("graph.xml"), "-D", file("plan.dot"), "-a", "--svg", file("plan.svg"), "--output-to", file("text"))
	in, err := cib.ReadFile(file("in.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if s := in.NodeState("1"); s.Get("crmd") != "offline" {
		t.Errorf("the input has no event: %s", s)
	}
	if text := run("-S", "-x", file("out.xml")); strings.Contains(text, "start") || strings.Contains(text, "monitor on") {
		t.Errorf("what comes out is not settled:\n%s", text)
	}
	run("-X", "-x", file("in.xml"))
	if plan := run("-x", file("in.xml")); !strings.Contains(plan, "Nothing is to be done.") {
		t.Errorf("in place nothing was carried out:\n%s", plan)
	}
	for name, want := range map[string]string{"graph.xml": "<transition_graph", "plan.dot": "digraph", "plan.svg": "</svg>", "text": "Transition Summary:"} {
		if b, err := os.ReadFile(file(name)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Rename(file("graph.xml"), file("graph")); err != nil {
		t.Fatal(err)
	}
	if text := run("-P", dir, "-N", "2"); strings.Count(text, "Testing") != 3 {
		t.Errorf("profile: %s", text)
	}
}

func TestSimulateOptionsAreChecked(t *testing.T) {
	for args, want := range map[string]string{
		"-x a -L":      "exclude each other",
		"-N 3":         "goes with -P",
		"-a":           "goes with -D",
		"-X":           "writes back",
		"-O f -R":      "goes with -S",
		"-F a_b_0@c=1": "goes with -S",
		"-S -F nix":    "is no operation result",
		"-o xml":       "unknown output format",
		"-t yesterday": "no date",
		"--live=1":     "unknown option",
		"-R=1":         "unknown option",
		"-x":           "needs a value",
	} {
		_, err := parseSimulate(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	o, err := parseSimulate([]string{"-SQs", "-xfile", "--node-down=n1"})
	if err != nil || !o.run.Execute || !o.run.Quiet || !o.run.Scores || o.file != "file" || len(o.run.Events) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}
