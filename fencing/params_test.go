package fencing

import (
	"maps"
	"strings"
	"testing"

	"gcrm/cib"
)

// TestParametersOfEveryDevice: what completion and help tell of is understood.
func TestParametersOfEveryDevice(t *testing.T) {
	values := map[string]string{"string": "x", "integer": "2", "time": "5s"}
	for _, p := range cib.FencingParams() {
		v := values[p.Type]
		listed := "pcmk_host_list=a "
		switch {
		case len(p.Values) > 0:
			v = p.Values[0].Value
		case p.Name == "pcmk_host_map":
			v = "a:1"
		case p.Name == "pcmk_delay_base":
			v = "a:5s"
		case p.Name == "pcmk_host_list":
			v, listed = "a", ""
		}
		if _, problems := Unpack(document(t, "node a\ndevice d fence_off "+listed+p.Name+"="+v), Sources{Agents: testAgents}); len(problems) > 0 {
			t.Errorf("%s=%s: %v", p.Name, v, problems)
		}
	}
	if _, problems := Unpack(document(t, "node a\ndevice d fence_off pcmk_hots_list=a"), Sources{Agents: testAgents}); len(problems) == 0 || !strings.Contains(problems[0].String(), "pcmk_hots_list") {
		t.Errorf("a name that is none: %v", problems)
	}
}

// TestHostMapSeparators: all that separates entries, and both signs within one.
func TestHostMapSeparators(t *testing.T) {
	want := map[string]string{"n1": "7", "n2": "8,9", "n3": "p:1", "n4": "x"}
	for _, text := range []string{"n1:7;n2:8,9;n3:p:1;n4:x", "N1:7 n2:8,9\tn3:p:1 n4=x", "n1=7; n2=8,9;n3:p:1;;n4:x;"} {
		if got, err := ParseHostMap(text); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"n1", ":7", "n1:", "n1:7;n2"} {
		if _, err := ParseHostMap(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
