package scheduler

import (
	"slices"
	"testing"

	"gcrm/cib"
)

// TestBundleOfAnAgentThatCannotBeUnique: several replicas on one host need an
// agent whose instances can be told apart. Of another one there are no more
// replicas than nodes, as in Pacemaker.
func TestBundleOfAnAgentThatCannotBeUnique(t *testing.T) {
	for class, want := range map[string]int{`class="ocf" provider="pacemaker" type="Dummy"`: 3, `class="systemd" type="chronyd"`: 2} {
		doc, err := cib.Parse(`<cib validate-with="pacemaker-3.9" have-quorum="1" dc-uuid="1"><configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><bundle id="b"><docker image="i" replicas="3" replicas-per-host="3"/><network ip-range-start="192.0.2.1"/><primitive id="p" ` + class + `/></bundle></resources><constraints/></configuration>
<status><node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/><node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := Schedule(doc, Options{})
		if err != nil {
			t.Fatalf("%s: %v", class, err)
		}
		var started []string
		for _, a := range plan.Actions {
			if a.Task == taskStart && a.Resource != nil && a.Resource.Type == "docker" {
				started = append(started, a.Resource.ID)
			}
		}
		slices.Sort(started)
		if started = slices.Compact(started); len(started) != want {
			t.Errorf("%s: containers %v, want %d", class, started, want)
		}
	}
}
