package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

func TestByHand(t *testing.T) {
	doc, err := cib.Parse(`<cib validate-with="pacemaker-3.9" crm_feature_set="3.19.0"><configuration><crm_config/>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources><template id="t" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="t-i"><nvpair id="t-a" name="fake" value="template"/></instance_attributes>
<operations><op id="t-s" name="start" interval="0s" timeout="33s"/></operations></template>
<clone id="c"><meta_attributes id="c-m"><nvpair id="c-p" name="promotable" value="true"/></meta_attributes><primitive id="d" template="t">
<instance_attributes id="d-i1" score="10"><rule id="d-r" score="INFINITY"><expression id="d-e" attribute="#uname" operation="eq" value="n2"/></rule><nvpair id="d-x" name="state" value="second"/></instance_attributes>
<instance_attributes id="d-i2"><nvpair id="d-y" name="state" value="first"/></instance_attributes>
<operations><op id="d-m" name="monitor" interval="10s" timeout="7s"/></operations></primitive></clone></resources><constraints/></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	before := doc.Root.String()
	for _, c := range []struct {
		node, task string
		interval   time.Duration
		want       string
	}{
		{"n1", "start", 0, "ocf:pacemaker:Dummy d start 33s fake=template state=first"},
		{"n2", "start", 0, "ocf:pacemaker:Dummy d start 33s fake=template state=second"},
		{"N2", "monitor", 10 * time.Second, "ocf:pacemaker:Dummy d monitor 7s fake=template state=second"},
		{"n1", "stop", 0, "ocf:pacemaker:Dummy d stop 20s fake=template state=first"},
	} {
		a, err := ByHand(doc, Options{}, "d", c.node, c.task, c.interval)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		got := fmt.Sprintf("%s:%s:%s %s %s %v", a.Resource.Class, a.Resource.Provider, a.Resource.Type, a.Resource.ID, a.Task, a.Timeout)
		for _, p := range a.Params {
			if !strings.HasPrefix(p.Name, "CRM_meta") {
				got += " " + p.Name + "=" + p.Value
			}
		}
		if got != c.want || a.Node != strings.ToLower(c.node) || a.Interval != c.interval {
			t.Errorf("%s on %s: %s\nwant %s", c.task, c.node, got, c.want)
		}
	}
	for _, bad := range [][2]string{{"c", "n1"}, {"x", "n1"}, {"d", "n3"}} {
		if a, err := ByHand(doc, Options{}, bad[0], bad[1], "start", 0); err == nil {
			t.Errorf("%v: %+v", bad, a)
		}
	}
	if doc.Root.String() != before {
		t.Error("the document was changed")
	}
}
