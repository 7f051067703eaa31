package simtest

import (
	"fmt"
	"strings"
)

// configuration makes up a cluster's configuration: primitives, and now and
// then a group, a clone, a promotable clone and constraints.
func (w *world) configuration(nodes int) string {
	var b strings.Builder
	b.WriteString(`<configuration><crm_config><cluster_property_set id="cib-bootstrap-options">
<nvpair id="o1" name="stonith-enabled" value="true"/><nvpair id="o2" name="startup-fencing" value="false"/>`)
	if w.chance(0.2) {
		fmt.Fprintf(&b, `<nvpair id="o3" name="batch-limit" value="%d"/>`, 1+w.rng.IntN(4))
	}
	if w.chance(0.2) {
		b.WriteString(`<nvpair id="o4" name="start-failure-is-fatal" value="false"/>`)
	}
	b.WriteString(`</cluster_property_set></crm_config><nodes>`)
	for i := range nodes {
		fmt.Fprintf(&b, `<node id="%d" uname="node%d"/>`, i+1, i+1)
	}
	b.WriteString(`</nodes><resources><primitive id="fencer" class="stonith" type="fence_sim"/>`)
	primitives := 2 + w.rng.IntN(4)
	for i := range primitives {
		b.WriteString(primitive(fmt.Sprintf("p%d", i), "Dummy"))
	}
	if w.chance(0.4) {
		b.WriteString(`<group id="g">`)
		for i := range 2 + w.rng.IntN(2) {
			b.WriteString(primitive(fmt.Sprintf("g%d", i), "Dummy"))
		}
		b.WriteString(`</group>`)
		w.group = "g"
	}
	if w.chance(0.4) {
		fmt.Fprintf(&b, `<clone id="c"><meta_attributes id="c-meta"><nvpair id="c-meta-interleave" name="interleave" value="%t"/>
<nvpair id="c-meta-notify" name="notify" value="%t"/></meta_attributes>%s</clone>`, w.chance(0.5), w.chance(0.3), primitive("cc", "Dummy"))
		w.shared["cc"] = true
	}
	if w.chance(0.4) {
		fmt.Fprintf(&b, `<clone id="m"><meta_attributes id="m-meta"><nvpair id="m-meta-promotable" name="promotable" value="true"/>
<nvpair id="m-meta-notify" name="notify" value="%t"/></meta_attributes>%s</clone>`, w.chance(0.5), primitive("mm", "Stateful"))
		w.shared["mm"] = true
		w.promotable["mm"] = true
	}
	b.WriteString(`</resources><constraints>`)
	for i := range primitives {
		if w.chance(0.3) {
			fmt.Fprintf(&b, `<rsc_location id="l%d" rsc="p%d" node="node%d" score="%d"/>`, i, i, 1+w.rng.IntN(nodes), 50+w.rng.IntN(100))
		}
	}
	if w.chance(0.3) {
		b.WriteString(`<rsc_order id="o" first="p0" then="p1"/><rsc_colocation id="col" rsc="p1" with-rsc="p0" score="INFINITY"/>`)
		w.dependent["p1"] = true
	}
	b.WriteString(`</constraints></configuration>`)
	return b.String()
}

func primitive(id, agent string) string {
	ops := fmt.Sprintf(`<op id="%[1]s-start" name="start" interval="0" timeout="10s"/><op id="%[1]s-stop" name="stop" interval="0" timeout="10s"/>`, id)
	if agent == "Stateful" {
		ops += fmt.Sprintf(`<op id="%[1]s-m1" name="monitor" interval="5s" timeout="10s" role="Promoted"/>
<op id="%[1]s-m2" name="monitor" interval="6s" timeout="10s" role="Unpromoted"/>`, id)
	} else {
		ops += fmt.Sprintf(`<op id="%[1]s-monitor" name="monitor" interval="5s" timeout="10s"/>`, id)
	}
	return fmt.Sprintf(`<primitive id="%s" class="ocf" provider="pacemaker" type="%s"><operations>%s</operations></primitive>`, id, agent, ops)
}
