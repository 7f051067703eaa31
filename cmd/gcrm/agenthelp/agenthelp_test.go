package agenthelp

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/drivers/crmtools"
)

// memory is a cluster that is one document.
type memory struct {
	client.Cluster
	doc      *cib.CIB
	applied  int
	conflict int // this many commits fail first
}

func (m *memory) CIB(context.Context, bool) (*cib.CIB, error) { return m.doc, nil }

func (m *memory) Apply(_ context.Context, ch cib.Change) (cib.Version, error) {
	if m.conflict > 0 {
		m.conflict--
		return cib.Version{}, cib.ErrConflict
	}
	next, err := m.doc.Apply(ch)
	if err != nil {
		return cib.Version{}, err
	}
	m.doc = next
	m.applied++
	return next.Version(), nil
}

func (m *memory) Info(context.Context) (*client.Info, error) {
	return &client.Info{Node: "node1", NodeID: "1", Quorate: true,
		Members: []client.Member{{Name: "node1", ID: "1", Online: true}, {Name: "node2", ID: "2"}}}, nil
}

const document = `<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.8" epoch="4" num_updates="0" admin_epoch="0">
<configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="o1" name="foo" value="bar"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="node1"><instance_attributes id="nodes-1"><nvpair id="nodes-1-rack" name="rack" value="a"/></instance_attributes></node>
<node id="2" uname="node2"/></nodes><resources/><constraints/></configuration>
<status><node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member"/></status></cib>`

func start(t *testing.T) (*memory, func(line string) (int, string)) {
	doc, err := cib.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{doc: doc}
	return m, func(line string) (int, string) {
		var out bytes.Buffer
		words := strings.Fields(line)
		rc := crmtools.Main(words[0], words[1:], crmtools.Environment{Stdout: &out, Stderr: &out,
			Getenv:  func(n string) string { return map[string]string{"OCF_RESOURCE_INSTANCE": "db"}[n] },
			Connect: func(context.Context) (crmtools.Backend, error) { return &backend{m, words[0]}, nil }})
		return rc, strings.TrimSpace(out.String())
	}
}

func TestAttributesOfEveryKind(t *testing.T) {
	m, run := start(t)
	for _, c := range [][2]string{
		{"crm_attribute -n foo -Gq", "bar"},
		{"crm_attribute -n foo -v new", ""},
		{"crm_attribute -n foo -Gq", "new"},
		{"crm_attribute -n added -v 1 -s my-set", ""},
		{"crm_attribute -n added -Gq -s my-set", "1"},
		{"crm_attribute -t rsc_defaults -n resource-stickiness -v 100", ""},
		{"crm_attribute -t rsc_defaults -n resource-stickiness -Gq", "100"},
		{"crm_attribute -t op_defaults -n timeout -v 30s", ""},
		{"crm_attribute -N node1 -n rack -Gq", "a"},
		{"crm_attribute -N node2 -n rack -v b", ""},
		{"crm_attribute -N node2 -n rack -Gq", "b"},
		{"crm_attribute -N node2 -n cpu -z -v 8", ""},
		{"crm_attribute -N node2 -n cpu -z -Gq", "8"},
		{"crm_attribute -N node1 -n rack -D", ""},
		{"crm_master -l reboot -v 10", ""},
		{"crm_attribute -p -Gq", "10"},
		{"crm_attribute -p -v value++", ""},
		{"crm_attribute -p -Gq", "11"},
		{"attrd_updater -n pingd -U 1000 -N node2", ""},
		{"attrd_updater -n pingd -Q -N node2", `name="pingd" host="node2" value="1000"`},
		{"attrd_updater -n pingd -D -N node2", ""},
		{"crm_node -n", "node1"},
		{"crm_node -l", "1 node1 member\n2 node2 lost"},
	} {
		if rc, out := run(c[0]); rc != 0 || out != c[1] {
			t.Errorf("%s: exit %d, %q; want %q", c[0], rc, out, c[1])
		}
	}
	if _, ok := m.doc.Node("node1"); !ok || strings.Contains(m.doc.String(), `name="rack" value="a"`) {
		t.Error("the deleted attribute is still there")
	}
	for _, line := range []string{"crm_attribute -N node9 -n rack -v 1", "crm_attribute -N node9 -n x -l reboot -v 1"} {
		if rc, out := run(line); rc != 68 || !strings.Contains(out, "node node9: no such node") {
			t.Errorf("%s: %d %s", line, rc, out)
		}
	}
}

func TestUnchangedValuesMakeNoVersion(t *testing.T) {
	m, run := start(t)
	for range 3 {
		for _, line := range []string{"crm_attribute -n foo -v bar", "crm_master -l reboot -v 10", "crm_attribute -n nothing -D"} {
			if rc, out := run(line); rc != 0 {
				t.Errorf("%s: %d %s", line, rc, out)
			}
		}
	}
	if m.applied != 1 {
		t.Errorf("%d changes were applied, want 1", m.applied)
	}
}

func TestConflictsAreTriedAgain(t *testing.T) {
	m, run := start(t)
	m.conflict = 3
	if rc, out := run("crm_attribute -n foo -v other"); rc != 0 {
		t.Errorf("%d %s", rc, out)
	}
	if rc, out := run("crm_attribute -n foo -Gq"); rc != 0 || out != "other" {
		t.Errorf("%d %s", rc, out)
	}
}

const resources = `<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.8" epoch="4" num_updates="0" admin_epoch="0">
<configuration><crm_config/><nodes><node id="1" uname="node1"/><node id="2" uname="node2"/></nodes>
<resources><primitive id="vm" class="ocf" provider="heartbeat" type="VirtualDomain"><utilization id="vm-utilization"><nvpair id="vm-utilization-cpu" name="cpu" value="1"/></utilization></primitive>
<clone id="ms"><meta_attributes id="ms-m"><nvpair id="ms-p" name="promotable" value="true"/></meta_attributes><primitive id="disk" class="ocf" provider="linbit" type="drbd"/></clone></resources><constraints/></configuration>
<status><node_state id="1" uname="node1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources>
<lrm_resource id="disk" class="ocf" provider="linbit" type="drbd"><lrm_rsc_op id="disk_last_0" operation_key="disk_promote_0" operation="promote" crm_feature_set="3.16.2" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u" call-id="5" rc-code="0" op-status="0" interval="0"/></lrm_resource>
</lrm_resources></lrm></node_state>
<node_state id="2" uname="node2" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="2"><lrm_resources>
<lrm_resource id="disk" class="ocf" provider="linbit" type="drbd"><lrm_rsc_op id="disk_last_0" operation_key="disk_start_0" operation="start" crm_feature_set="3.16.2" transition-key="1:1:0:u" transition-magic="0:0;1:1:0:u" call-id="5" rc-code="0" op-status="0" interval="0"/></lrm_resource>
</lrm_resources></lrm></node_state></status></cib>`

func TestResources(t *testing.T) {
	m, run := start(t)
	doc, err := cib.Parse(resources)
	if err != nil {
		t.Fatal(err)
	}
	m.doc = doc
	for _, c := range [][2]string{
		{"crm_resource -r vm -z -g cpu", "1"},
		{"crm_resource -r vm -z -p cpu -v 2", ""},
		{"crm_resource -r vm -z -p hv_memory -v 512", ""},
		{"crm_resource -r vm -z -g hv_memory", "512"},
		{"crm_resource -r vm -z -d cpu", ""},
		{"crm_resource -r vm -z -g cpu", "Attribute 'cpu' not found for 'vm'"},
		{"crm_resource -r disk:1 -m -p target-role -v Started", ""}, // the clone's
		{"crm_resource -r ms -m -g target-role", "Started"},
		{"crm_resource -r disk:1 -p drbd_resource -v r0", ""},
		{"crm_resource -r disk -g drbd_resource", "r0"},
		{"crm_resource -r vm -W", "resource vm is NOT running"},
		{"crm_resource -r disk -W", "resource disk is running on: node1 Master\nresource disk is running on: node2"},
		{"crm_resource -r ms -W -Q", "node1\nnode2"},
	} {
		if rc, out := run(c[0]); rc != 0 || out != c[1] {
			t.Errorf("%s: exit %d, %q; want %q", c[0], rc, out, c[1])
		}
	}
	for _, id := range []string{"vm-utilization-hv_memory", "ms-m-target-role", "disk-instance_attributes-drbd_resource"} {
		if cib.NewIndex(m.doc).Element(id) == nil {
			t.Errorf("no %s in %s", id, m.doc)
		}
	}
	if rc, out := run("crm_resource -r nobody -g x"); rc != 105 || !strings.Contains(out, "resource nobody: no such resource") {
		t.Errorf("%d %s", rc, out)
	}
}

// TestAgentsSeeTheCluster: what pgsql, rabbitmq-cluster and ClusterMon look for.
func TestAgentsSeeTheCluster(t *testing.T) {
	m, run := start(t)
	doc, err := cib.Parse(resources)
	if err != nil {
		t.Fatal(err)
	}
	m.doc = doc
	for _, c := range []struct{ line, want string }{
		{"crm_mon -1 --output-as=xml", `<node name="node1" id="1" online="true"`},
		{"crm_mon -1 --as-xml", `<resource id="disk" resource_agent="ocf:linbit:drbd" role="Promoted"`},
		{"crm_mon -1 -n", "Node node1: online\n    * Resources:\n      * disk"},
		{"crm_mon -1 --output-as=html", "<!DOCTYPE html>"},
		{"crm_mon -s", "CLUSTER WARN: No DC"},
		{"cibadmin -Q --xpath //node_state[@crmd='online']", `<node_state id="1"`},
		{"cibadmin -Q -o resources -n", "<resources/>"},
		{"cibadmin -Q", "<cib "},
	} {
		if rc, out := run(c.line); rc != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, no %q in\n%s", c.line, rc, c.want, out)
		}
	}
	if rc, out := run("cibadmin -Q --xpath //node_state[@crmd='away']"); rc != 105 || !strings.Contains(out, "No such device or address") {
		t.Errorf("%d %s", rc, out)
	}
}
