package embedded

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

func TestNodesTellWhatTheyWouldDo(t *testing.T) {
	c := start(t, Config{Nodes: 2})
	h := connect(t, c, 1)
	alter(t, h, func(conf *cib.Element) {
		conf.Child("crm_config").Child("cluster_property_set").Add(cib.NewElement("nvpair", "id", "o-stonith", "name", "stonith-enabled", "value", "false"))
	})
	doc := document(t, h)
	next := doc.Clone()
	file := filepath.Join(t.TempDir(), "state")
	resources := next.Configuration().Child("resources")
	resources.Add(primitive("state", "Dummy", "state", file), primitive("ip", "IPaddr2", "ip", "198.51.100.7"), primitive("none", "NoSuchAgent"))
	list, err := h.Rehearse(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, a := range list {
		if a.Action == "start" {
			told[a.Resource] = a.Node + " " + strings.Join(a.Steps, "; ") + " " + a.Unclear
		}
	}
	for resource, want := range map[string]string{"state": "write " + file, "none": "not installed"} {
		if !strings.Contains(told[resource], want) {
			t.Errorf("%s: %q, want %q", resource, told[resource], want)
		}
	}
	if told["ip"] == "" {
		t.Errorf("no start of the address: %+v", list)
	}
	var nodes []string
	for _, a := range list {
		if !slices.Contains(nodes, a.Node) {
			nodes = append(nodes, a.Node)
		}
	}
	if len(nodes) != 2 {
		t.Errorf("nodes %q", nodes)
	}
	// The status may have changed meanwhile.
	if document(t, h).Configuration().String() != doc.Configuration().String() {
		t.Error("the rehearsal changed the configuration")
	}
	if list, err := h.Rehearse(t.Context(), document(t, h)); err != nil || len(list) != 0 {
		t.Errorf("what is committed already: %+v %v", list, err)
	}
}
