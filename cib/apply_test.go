package cib

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const applyBase = `<cib epoch="4" num_updates="7" admin_epoch="1" validate-with="pacemaker-3.9">
<configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><primitive id="web" class="ocf" provider="heartbeat" type="Dummy"/></resources><constraints/></configuration><status/></cib>`

func mustParse(t testing.TB, text string) *CIB {
	t.Helper()
	c, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustApply applies status edits through JSON, as a log would, and checks
// that the receiver stays as it was.
func mustApply(t testing.TB, c *CIB, edits ...StatusEdit) *CIB {
	t.Helper()
	before := c.String()
	raw, err := json.Marshal(Change{Status: &StatusChange{Edits: edits}})
	if err != nil {
		t.Fatal(err)
	}
	var ch Change
	if err := json.Unmarshal(raw, &ch); err != nil {
		t.Fatal(err)
	}
	next, err := c.Apply(ch)
	if err != nil {
		t.Fatal(err)
	}
	if c.String() != before {
		t.Fatalf("the receiver changed:\n%s\nto\n%s", before, c)
	}
	v, w := c.Version(), next.Version()
	if !v.SameConfiguration(w) || w.NumUpdates != v.NumUpdates+1 {
		t.Fatalf("version %v became %v", v, w)
	}
	if next.Configuration() != c.Configuration() {
		t.Fatal("the configuration is not shared")
	}
	return next
}

func wantStatus(t *testing.T, c *CIB, want string) {
	t.Helper()
	w, err := ParseElement(want, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Status().Equal(w) {
		t.Errorf("status is\n%swant\n%s", c.Status(), w)
	}
}

func opEdit(node, rsc, id, rc string) StatusEdit {
	return StatusEdit{Operation: &OperationEdit{Node: node, Resource: rsc, Class: "ocf", Provider: "heartbeat", Type: "Dummy",
		Attributes: []Attr{{"id", id}, {"operation", "start"}, {"rc-code", rc}, {"exit-reason", ""}}}}
}

func TestApplyStatusEdits(t *testing.T) {
	c := mustParse(t, applyBase)
	c = mustApply(t, c,
		StatusEdit{Node: &NodeStateEdit{ID: "1", Uname: "n1", Attributes: []Attr{{"in_ccm", "true"}, {"crmd", "online"}}}},
		opEdit("1", "web", "web_last_0", "0"),
		opEdit("2", "web", "web_last_0", "7"), // makes the node_state, named by the configuration
		StatusEdit{Attribute: &AttributeEdit{Node: "1", Name: "fail-count-web#monitor_10000", Add: true}},
		StatusEdit{Ticket: &TicketEdit{ID: "T", Attributes: []Attr{{"granted", "true"}}}},
		StatusEdit{Root: &RootEdit{Attributes: []Attr{{"have-quorum", "1"}, {"dc-uuid", "1"}}}},
	)
	full := `<status><node_state id="1" uname="n1" in_ccm="true" crmd="online">
 <lrm id="1"><lrm_resources><lrm_resource id="web" type="Dummy" class="ocf" provider="heartbeat"><lrm_rsc_op id="web_last_0" operation="start" rc-code="0"/></lrm_resource></lrm_resources></lrm>
 <transient_attributes id="1"><instance_attributes id="status-1"><nvpair id="status-1-fail-count-web.monitor_10000" name="fail-count-web#monitor_10000" value="1"/></instance_attributes></transient_attributes>
 </node_state><node_state id="2" uname="n2"><lrm id="2"><lrm_resources><lrm_resource id="web" type="Dummy" class="ocf" provider="heartbeat"><lrm_rsc_op id="web_last_0" operation="start" rc-code="7"/></lrm_resource></lrm_resources></lrm></node_state>
 <tickets><ticket_state id="T" granted="true"/></tickets></status>`
	wantStatus(t, c, full)
	if c.Root.Get("have-quorum") != "1" || c.Root.Get("dc-uuid") != "1" {
		t.Error("root attributes", c.Root.Attrs)
	}

	more := mustApply(t, c,
		opEdit("1", "web", "web_monitor_10000", "0"),
		opEdit("1", "web", "web_last_0", "1"),
		StatusEdit{Attribute: &AttributeEdit{Node: "1", Name: "fail-count-web#monitor_10000", Value: "value+=2", Add: true}},
		StatusEdit{Attribute: &AttributeEdit{Node: "2", Name: "master-web", Value: "INFINITY"}},
		StatusEdit{Attribute: &AttributeEdit{Node: "2", Name: "master-web", Value: "5", Add: true}},
		StatusEdit{Ticket: &TicketEdit{ID: "T", Attributes: []Attr{{"granted", ""}, {"standby", "true"}}}},
		StatusEdit{Node: &NodeStateEdit{ID: "1", Attributes: []Attr{{"crmd", ""}}}},
	)
	wantStatus(t, c, full) // still
	wantStatus(t, more, strings.NewReplacer(` crmd="online"`, "", `granted="true"`, `standby="true"`,
		`operation="start" rc-code="0"/>`, `operation="start" rc-code="1"/><lrm_rsc_op id="web_monitor_10000" operation="start" rc-code="0"/>`,
		`value="1"`, `value="3"`, `</lrm></node_state>`, `</lrm><transient_attributes id="2"><instance_attributes id="status-2"><nvpair id="status-2-master-web" name="master-web" value="INFINITY"/></instance_attributes></transient_attributes></node_state>`,
	).Replace(full))

	// One entry, then the resource everywhere, then what is not there.
	some := mustApply(t, more, StatusEdit{Forget: &ForgetEdit{Node: "1", Resource: "web", Operation: "web_last_0"}})
	if got := some.NodeState("1").Child("lrm").String(); strings.Contains(got, "web_last_0") || !strings.Contains(got, "web_monitor_10000") {
		t.Error(got)
	}
	none := mustApply(t, some, StatusEdit{Forget: &ForgetEdit{Resource: "web"}}, StatusEdit{Forget: &ForgetEdit{Resource: "nothing"}})
	if strings.Contains(none.String(), "lrm_rsc_op") || strings.Contains(none.String(), "lrm_resource ") {
		t.Error(none)
	}
	if n := mustApply(t, none, StatusEdit{Forget: &ForgetEdit{}}); n.NodeState("1") != none.NodeState("1") {
		t.Error("forgetting nothing copied a node_state")
	}

	fenced := mustApply(t, more, StatusEdit{Node: &NodeStateEdit{ID: "1", Fenced: true, Attributes: []Attr{{"in_ccm", "false"}}}},
		StatusEdit{Node: &NodeStateEdit{ID: "2", Gone: true}}, StatusEdit{Ticket: &TicketEdit{ID: "T", Delete: true}},
		StatusEdit{Attribute: &AttributeEdit{Node: "2", Name: "x", Delete: true}})
	wantStatus(t, fenced, `<status><node_state id="1" uname="n1" in_ccm="false"/><tickets/></status>`)
	gone := mustApply(t, more, StatusEdit{Attribute: &AttributeEdit{Node: "2", Name: "master-web", Delete: true}})
	if strings.Contains(gone.String(), "master-web") {
		t.Error(gone)
	}
}

func TestApplyRefusesBadStatusEdits(t *testing.T) {
	c := mustParse(t, applyBase)
	for _, e := range []StatusEdit{
		{}, {Node: &NodeStateEdit{}}, {Node: &NodeStateEdit{ID: "1"}, Forget: &ForgetEdit{}},
		{Operation: &OperationEdit{Node: "1", Resource: "a"}}, {Operation: &OperationEdit{Resource: "a", Attributes: []Attr{{"id", "x"}}}},
		{Attribute: &AttributeEdit{Node: "1"}}, {Attribute: &AttributeEdit{Node: "1", Name: "a", Add: true, Value: "many"}},
		{Ticket: &TicketEdit{}}, {Root: &RootEdit{Attributes: []Attr{{"epoch", "99"}}}},
		{Node: &NodeStateEdit{ID: "1", Attributes: []Attr{{"a b", "1"}}}},
	} {
		next, err := c.Apply(Change{Status: &StatusChange{Edits: []StatusEdit{opEdit("1", "web", "a", "0"), e}}})
		if err == nil || next != nil {
			t.Errorf("%+v accepted", e)
		}
	}
	if c.String() != mustParse(t, applyBase).String() {
		t.Error("a refused change left traces")
	}
	for _, ch := range []Change{{}, {Status: &StatusChange{}, Configuration: &ConfigurationChange{}}} {
		if _, err := c.Apply(ch); err == nil {
			t.Errorf("%+v accepted", ch)
		}
	}
}

func TestApplyConfiguration(t *testing.T) {
	c := mustParse(t, applyBase)
	c = mustApply(t, c, opEdit("1", "web", "a", "0"))
	status := c.Status()
	when := time.Date(2026, 11, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	next, err := c.Apply(Change{
		Origin: Origin{User: "root", Node: "n1", Client: "gcrm shell", Time: when},
		Configuration: &ConfigurationChange{Base: Version{1, 4, 0}, Schema: "pacemaker-3.8",
			XML: `<configuration><crm_config/><nodes/><resources/></configuration>`},
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := next.Version(); v != (Version{1, 5, 0}) {
		t.Errorf("version %v", v)
	}
	if next.Status() != status {
		t.Error("status is not shared")
	}
	r := next.Root
	for name, want := range map[string]string{"validate-with": "pacemaker-3.8", "cib-last-written": "Mon Nov  2 03:04:05 2026",
		"update-origin": "n1", "update-user": "root", "update-client": "gcrm shell"} {
		if r.Get(name) != want {
			t.Errorf("%s=%q, want %q", name, r.Get(name), want)
		}
	}
	if next.Section("constraints") == nil {
		t.Error("the constraints section is missing")
	}
	if c.Schema() != "pacemaker-3.9" || c.Section("resources").Child("primitive") == nil {
		t.Error("the receiver changed")
	}

	_, err = next.Apply(Change{Configuration: &ConfigurationChange{Base: Version{1, 4, 9}, XML: `<configuration/>`}})
	conflict, ok := errors.AsType[*ConflictError](err)
	if !errors.Is(err, ErrConflict) || !ok || conflict.Current != (Version{1, 5, 0}) {
		t.Errorf("conflict: %v", err)
	}
	for _, text := range []string{"", "<x/>", "<cib/>", "<configuration><resources/><resources/></configuration>", "<configuration>text</configuration>",
		`<configuration><resources><primitive id="a"/><primitive id="a"/></resources></configuration>`,
		`<configuration><resources><primitive/></resources></configuration>`,
		`<configuration><nodes><node id="1"/><node id="1"/></nodes></configuration>`,
		`<configuration><resources>`, strings.Repeat("<configuration>", 100)} {
		if _, err := next.Apply(Change{Configuration: &ConfigurationChange{Base: next.Version(), XML: text}}); err == nil {
			t.Errorf("accepted: %s", text)
		}
	}
}
