package scheduler

import (
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

func TestLocationBans(t *testing.T) {
	const text = `<cib><configuration><crm_config><cluster_property_set id="p"><nvpair id="p-s" name="symmetric-cluster" value="true"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"><instance_attributes id="na"><nvpair id="na-r" name="rack" value="7"/></instance_attributes></node><node id="2" uname="b"/><node id="3" uname="c"/></nodes>
<resources><primitive id="f" class="stonith" type="fence_x"/><group id="g"><primitive id="h" class="stonith" type="fence_x"/></group><primitive id="free" class="stonith" type="fence_x"/></resources>
<constraints><rsc_location id="l1" rsc="f"><rule id="r1" score="-INFINITY"><expression id="e1" attribute="rack" operation="eq" value="7"/></rule></rsc_location>
<rsc_location id="l2" rsc="f" node="b" score="-INFINITY"/><rsc_location id="l3" rsc="g" node="c" score="-INFINITY"/><rsc_location id="l4" rsc="free" node="a" score="-500"/>
<rsc_location id="l5" rsc="f"><rule id="r5" score="-INFINITY"><date_expression id="d5" operation="gt" start="2030-01-01"/></rule></rsc_location></constraints></configuration><status/></cib>`
	for _, c := range []struct {
		symmetric bool
		year      int
		want      string // resource@node that are banned
	}{
		{true, 2026, "f@a f@b h@c"},
		{true, 2031, "f@a f@b f@c h@c"},
		// Only where a constraint opts in.
		{false, 2026, "f@a f@b f@c h@a h@b h@c free@b free@c"},
	} {
		source := text
		if !c.symmetric {
			source = strings.Replace(text, `"symmetric-cluster" value="true"`, `"symmetric-cluster" value="false"`, 1)
		}
		doc, err := cib.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		b, err := LocationBans(doc, Options{Now: time.Date(c.year, 6, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range []string{"f", "h", "free"} {
			for _, n := range []string{"a", "b", "c"} {
				if b.Banned(r, n) {
					got = append(got, r+"@"+n)
				}
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%+v: %s", c, g)
		}
		if b.Banned("nothing", "a") || b.Banned("f", "nobody") {
			t.Error("what is not there is banned")
		}
	}
}
