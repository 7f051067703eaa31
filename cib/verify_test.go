package cib

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// testAgents is a MetadataSource with fixed descriptions.
type testAgents map[AgentName]string

func (s testAgents) Metadata(n AgentName) (*AgentMeta, error) {
	if n.Class == "systemd" {
		return nil, nil
	}
	text, ok := s[n]
	if !ok {
		return nil, fmt.Errorf("%v: %w", n, ErrNoAgent)
	}
	if text == "" {
		return nil, errors.New("exit status 1")
	}
	return ParseAgentMeta(text)
}

func (s testAgents) Agents() []AgentName {
	var out []AgentName
	for n := range s {
		out = append(out, n)
	}
	return out
}

const ipMeta = `<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="IPaddr2" version="1.0"><version>1.0</version>
<longdesc lang="en">Long &amp; winding.</longdesc><shortdesc lang="en">Address</shortdesc><shortdesc lang="de">Adresse</shortdesc>
<parameters>
<parameter name="ip" unique="1" required="1"><longdesc lang="en">x</longdesc><shortdesc lang="en">the address</shortdesc><content type="string" default=""/></parameter>
<parameter name="cidr_netmask"><content type="integer"/></parameter>
<parameter name="lvs_support"><content type="boolean" default="false"/></parameter>
<parameter name="mode"><content type="select" default="a"><option value="a"/><option value="b"/></content></parameter>
<parameter name="nic"><deprecated><replaced-with name="mode"/></deprecated><content type="string"/></parameter>
</parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="monitor" depth="0" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions></resource-agent>`

const statefulMeta = `<resource-agent name="Stateful"><parameters/><actions><action name="start" timeout="20"/>
<action name="promote" timeout="90s"/><action name="demote" timeout="90s"/><action name="monitor" timeout="20" interval="10" role="Master"/>
<action name="monitor" timeout="30" interval="11" role="Slave"/></actions></resource-agent>`

const fenceMeta = `<resource-agent name="fence_apc" shortdesc="APC"><parameters>
<parameter name="action" unique="0" required="1"><getopt mixed="-o"/><content type="string" default="reboot"/></parameter>
<parameter name="ipaddr" required="1" deprecated="1"><content type="string"/></parameter>
<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="username" required="1" obsoletes="login"><content type="string"/></parameter>
</parameters><actions><action name="on" automatic="1" on_target="1"/><action name="off"/><action name="monitor"/></actions></resource-agent>`

var someAgents = testAgents{
	{"ocf", "heartbeat", "IPaddr2"}:    ipMeta,
	{"ocf", "pacemaker", "Stateful"}:   statefulMeta,
	{"stonith", "", "fence_apc"}:       fenceMeta,
	{"ocf", "heartbeat", "Silent"}:     "",
	{"ocf", "heartbeat", "Dummy"}:      `<resource-agent name="Dummy"><parameters/><actions><action name="monitor" interval="10s" timeout="20s"/><action name="start"/><action name="stop"/></actions></resource-agent>`,
	{"ocf", "pacemaker", "controld"}:   `<resource-agent name="controld"><parameters/><actions/></resource-agent>`,
	{"ocf", "heartbeat", "Filesystem"}: `<resource-agent name="Filesystem"><parameters><parameter name="device" unique-group="mount"/><parameter name="directory" unique-group="mount"/><parameter name="fstype"/></parameters><actions/></resource-agent>`,
}

func TestParseAgentMeta(t *testing.T) {
	m, err := ParseAgentMeta(ipMeta)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Param("ip")
	if m.Name != "IPaddr2" || m.Version != "1.0" || m.Short.In("de") != "Adresse" || m.Short.In("fr") != "Address" ||
		m.Long.In("en") != "Long & winding." || p == nil || !p.Required || !p.Unique || p.Short.In("") != "the address" || !p.HasDefault {
		t.Errorf("%+v", m)
	}
	if p := m.Param("mode"); len(p.Values) != 2 || p.Default != "a" {
		t.Errorf("%+v", p)
	}
	if p := m.Param("nic"); !p.Deprecated || p.ReplacedBy[0] != "mode" {
		t.Errorf("%+v", p)
	}
	if a := m.Action("monitor", ""); a == nil || a.Interval.Seconds() != 10 || a.Depth != "0" {
		t.Errorf("%+v", a)
	}
	s, _ := ParseAgentMeta(statefulMeta)
	if a := s.Action("monitor", "Unpromoted"); a == nil || a.Timeout.Seconds() != 30 || !s.Promotable() || m.Promotable() {
		t.Errorf("%+v", a)
	}
	f, _ := ParseAgentMeta(fenceMeta)
	if p := f.Param("ipaddr"); !p.Deprecated || p.ReplacedBy[0] != "ip" || f.Short.In("en") != "APC" || !f.Action("on", "").Automatic {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", "<x/>", `<!DOCTYPE a [<!ENTITY b "c">]><resource-agent/>`, "<resource-agent>"} {
		if _, err := ParseAgentMeta(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

const fencedOff = `<cluster_property_set id="cib-bootstrap-options"><nvpair id="se" name="stonith-enabled" value="false"/></cluster_property_set>`

const dlmClone = `<clone id="c"><primitive id="dlm" class="ocf" provider="pacemaker" type="controld"/></clone>`

// gfs2 is a file system with mount options.
func gfs2(options string) string {
	return `<primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"><instance_attributes id="fa"><nvpair id="f1" name="fstype" value="gfs2"/>` +
		`<nvpair id="f2" name="options" value="` + options + `"/></instance_attributes></primitive>`
}

// TestVerify gives fragments of configurations and the problems they must
// have; "!x" must not appear.
func TestVerify(t *testing.T) {
	dummy := func(id string) string {
		return `<primitive id="` + id + `" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="` + id + `-m" name="monitor" interval="10s"/></operations></primitive>`
	}
	for name, c := range map[string]struct {
		config, nodes, resources, constraints, more string
		want                                        []string
	}{
		"nothing": {want: []string{}},
		"good": {config: fencedOff, nodes: `<node id="1" uname="a"/>`, resources: dummy("d"),
			want: []string{"warning: cib: fencing is off"}},
		"schema": {resources: `<primitive id="1a" class="ocf" type="Dummy"/>`, want: []string{`error: 1a: "1a" is not a valid id`,
			`error: 1a: <primitive> must have exactly one of: class="ocf" with provider with type; or another class with type; or template`}},
		"duplicate id": {resources: dummy("d") + dummy("d"), want: []string{`error: d: id "d" of <primitive> is already in use by a <primitive>`}},
		"clone in group": {resources: `<group id="g">` + dummy("d") + `<clone id="c">` + dummy("e") + `</clone></group>`, want: []string{
			`error: g: <clone> in <group> is not allowed by schema pacemaker-3.9 (members of a group are primitives: take it out, and tie it to the group with colocation and order constraints; or clone the whole group)`}},
		"group in group": {resources: `<group id="g">` + dummy("d") + `<group id="h">` + dummy("e") + `</group></group>`, want: []string{
			`error: g: <group> in <group> is not allowed by schema pacemaker-3.9 (groups cannot be nested: name all primitives in one group, or tie two groups together with colocation and order constraints)`}},
		"unknown attr":  {resources: `<group id="g" descrition="x">` + dummy("d") + `</group>`, want: []string{`error: g: attribute descrition of <group> is not allowed by schema pacemaker-3.9 (did you mean "description"?)`}},
		"dangling":      {resources: dummy("web"), constraints: `<rsc_order id="o" first="web" then="wbe"/>`, want: []string{`error: o: resource wbe does not exist (then of <rsc_order>) (did you mean "web"?)`}},
		"unknown agent": {resources: `<primitive id="x" class="ocf" provider="heartbeat" type="Statefull"/><primitive id="y" class="ocf" provider="heartbeat" type="Stateful"/>`, want: []string{"warning: x: agent ocf:heartbeat:Statefull is not installed here", "warning: y: agent ocf:heartbeat:Stateful is not installed here (did you mean ocf:pacemaker:Stateful?)"}},
		"silent agent":  {resources: `<primitive id="x" class="ocf" provider="heartbeat" type="Silent"/>`, want: []string{"warning: x: agent ocf:heartbeat:Silent does not describe itself: exit status 1"}},
		"systemd":       {resources: `<primitive id="x" class="systemd" type="nginx"><operations><op id="m" name="monitor" interval="10s"/></operations></primitive>`, want: []string{"!nginx"}},
		"parameters": {resources: `<primitive id="i" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="s"><nvpair id="p1" name="cidr-netmask" value="24"/><nvpair id="p2" name="cidr_netmask" value="many"/>
			<nvpair id="p3" name="lvs_support" value="perhaps"/><nvpair id="p4" name="mode" value="c"/><nvpair id="p5" name="nic" value="eth0"/><nvpair id="p6" name="trace_ra" value="1"/></instance_attributes></primitive>`,
			want: []string{`warning: i: parameter "cidr-netmask" is not known to ocf:heartbeat:IPaddr2 (did you mean "cidr_netmask"?)`, `warning: i: required parameter "ip" of ocf:heartbeat:IPaddr2 is not set (the address)`,
				`parameter cidr_netmask="many" is not an integer`, `parameter lvs_support="perhaps" is not a boolean`, `parameter mode="c" is not one of a, b`, `info: i: parameter "nic" is deprecated (use mode)`,
				"warning: i: no monitor is configured, its failures will not be noticed (add op monitor interval=10s timeout=20s)", "!trace_ra"}},
		"unique": {resources: `<primitive id="i1" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="s1"><nvpair id="p1" name="ip" value="1.1.1.1"/></instance_attributes></primitive>
			<primitive id="i2" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="s2"><nvpair id="p2" name="ip" value="1.1.1.1"/></instance_attributes></primitive>`,
			want: []string{"warning: i2: ip=1.1.1.1 must be unique, but i1 has the same"}},
		"template": {resources: `<template id="t" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="s1"><nvpair id="p1" name="ip" value="1.1.1.1"/></instance_attributes>
			<operations><op id="tm" name="monitor" interval="10s" timeout="5s"/></operations></template><primitive id="i1" template="t"/>`,
			want: []string{"warning: i1: specified timeout 5s for monitor is smaller than the advised 20s", "!required", "!no monitor"}},
		"operations": {resources: `<primitive id="i" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="s"><nvpair id="p1" name="ip" value="1.1.1.1"/></instance_attributes><operations>
			<op id="o1" name="monitor" interval="10s"/><op id="o2" name="monitor" interval="10000ms"/><op id="o3" name="monitor" interval="0"/><op id="o4" name="start" interval="5s" timeout="soon"/><op id="o5" name="frobnicate" interval="0"/></operations></primitive>`,
			want: []string{"interval in monitor must be unique, 10s is given twice", "a monitor without an interval does not recur", "start does not recur", `timeout "soon" of start is not a time`, `error: i: ocf:heartbeat:IPaddr2 has no action "frobnicate"`}},
		"fence device": {config: `<cluster_property_set id="cib-bootstrap-options"><nvpair id="se" name="stonith-enabled" value="true"/></cluster_property_set>`,
			resources: `<primitive id="f" class="stonith" type="fence_apc"><instance_attributes id="s"><nvpair id="p1" name="ipaddr" value="x"/><nvpair id="p2" name="pcmk_host_list" value="a"/></instance_attributes></primitive>` + dummy("d"),
			want:      []string{`required parameter "username"`, `!required parameter "ip"`, "!action", "!pcmk", "!no fence device"}},
		"no device": {resources: dummy("d"), want: []string{"fencing is on, but there is no fence device"}},
		"two nodes": {config: fencedOff, nodes: `<node id="1" uname="a"/><node id="2" uname="b"/>`, resources: dummy("d"), want: []string{"a cluster of two nodes without fencing"}},
		"shared storage": {config: fencedOff, resources: `<primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"/>`,
			want: []string{"fencing is off although fs may be damaged"}},
		"options": {config: `<cluster_property_set id="cib-bootstrap-options"><nvpair id="a" name="no-quorum-polcy" value="stop"/><nvpair id="b" name="symmetric-cluster" value="maybe"/><nvpair id="c" name="stonith-timeout" value="60s"/></cluster_property_set><cluster_property_set id="own"><nvpair id="d" name="anything" value="1"/></cluster_property_set>`,
			resources: `<group id="g"><meta_attributes id="gm"><nvpair id="e" name="is-manged" value="true"/></meta_attributes>` + dummy("d") + `</group>`,
			want:      []string{`unknown cluster property "no-quorum-polcy" (did you mean "no-quorum-policy"?)`, `symmetric-cluster="maybe" is not a boolean`, `warning: g: unknown meta attribute "is-manged" (did you mean "is-managed"?)`, "!anything", "!stonith-timeout"}},
		"operation defaults": {more: `<op_defaults><meta_attributes id="od"><nvpair id="a" name="timout" value="5"/><nvpair id="b" name="on-fail" value="explode"/><nvpair id="c" name="record-pending" value="true"/></meta_attributes></op_defaults>`,
			want: []string{`warning: od: unknown operation attribute "timout" (did you mean "timeout"?)`, `on-fail="explode" is not one of ignore, block`, "!record-pending"}},
		"node names": {nodes: `<node id="1" uname="alpha"/>`, resources: dummy("d"), constraints: `<rsc_location id="l1" rsc="d" node="alpa" score="1"/><rsc_location id="l2" rsc="d" node="ALPHA" score="1"/><rsc_location id="l3" rsc="d"><rule id="r" score="1"><expression id="e" attribute="#uname" operation="eq" value="beta"/></rule></rsc_location>`,
			want: []string{`warning: l1: referenced node alpa does not exist (did you mean "alpha"?)`, "!l2", "warning: l3: referenced node beta does not exist"}},
		"grouped and cloned": {resources: `<group id="g">` + dummy("a") + dummy("b") + `</group><clone id="c">` + dummy("x") + `</clone>`,
			constraints: `<rsc_colocation id="k" score="1" rsc="a" with-rsc="x"/>`, want: []string{"warning: k: resource a is grouped", "warning: k: resource x is cloned"}},
		"remote": {resources: `<group id="g"><primitive id="r" class="ocf" provider="pacemaker" type="remote"/></group>`, constraints: `<rsc_location id="l" rsc="r" node="r" score="1"/>`,
			want: []string{"error: g: remote node r cannot be a member of a group", "!l: "}},
		"topology": {nodes: `<node id="1" uname="a"/>`, resources: dummy("d"), more: `<fencing-topology><fencing-level id="f1" index="1" target="b" devices="d,nosuch"/></fencing-topology>`,
			want: []string{"target b is not a node", "d is not a fence device", "fence device nosuch does not exist"}},
		"order loop": {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_order id="o1" first="a" then="b"/><rsc_order id="o2" first="b" then="c"/><rsc_order id="o3" first="c" then="a"/>`,
			want: []string{"warning: o1: orders form a loop, so none of a, b and c can be started (delete one of them: o1, o2, o3)"}},
		"no order loop": {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_order id="o1" first="a" then="b"/><rsc_order id="o2" first="b" then="a" kind="Optional"/><rsc_order id="o3" first="b" then="a" first-action="stop" then-action="stop"/>`, want: []string{"!loop"}},
		"group loop":    {resources: `<group id="g">` + dummy("a") + dummy("b") + `</group>` + dummy("c"), constraints: `<rsc_order id="o1" first="g" then="c"/><rsc_order id="o2" first="c" then="a"/>`, want: []string{"orders form a loop"}},
		"member loop":   {resources: `<group id="g">` + dummy("a") + dummy("b") + `</group>`, constraints: `<rsc_order id="o1" first="b" then="a"/>`, want: []string{"orders form a loop"}},
		"set loop":      {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_order id="o1"><resource_set id="s1"><resource_ref id="a"/><resource_ref id="b"/></resource_set><resource_set id="s2" sequential="false"><resource_ref id="c"/></resource_set></rsc_order><rsc_order id="o2" first="c" then="b"/>`, want: []string{"orders form a loop"}},
		"no set loop":   {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_order id="o1"><resource_set id="s1" sequential="false"><resource_ref id="a"/><resource_ref id="b"/></resource_set><resource_set id="s2"><resource_ref id="c"/></resource_set></rsc_order><rsc_order id="o2" first="b" then="a"/>`, want: []string{"!loop"}},
		"apart":         {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_colocation id="k1" score="INFINITY" rsc="a" with-rsc="b"/><rsc_colocation id="k2" score="-INFINITY" rsc="b" with-rsc="a"/>`, want: []string{"warning: k2: it keeps b and a apart, but k1 demands that they are together"}},
		"apart in turn": {resources: dummy("a") + dummy("b") + dummy("c"), constraints: `<rsc_colocation id="k1" score="INFINITY" rsc="a" with-rsc="b"/><rsc_colocation id="k2" score="INFINITY" rsc="b" with-rsc="c"/><rsc_colocation id="k3" score="-INFINITY" rsc="c" with-rsc="a"/>`, want: []string{"warning: k3: it keeps c and a apart, but other colocations"}},
		"clone between": {resources: dummy("a") + dummy("b") + `<clone id="c">` + dummy("x") + `</clone>`, constraints: `<rsc_colocation id="k1" score="INFINITY" rsc="a" with-rsc="c"/><rsc_colocation id="k2" score="INFINITY" rsc="b" with-rsc="c"/><rsc_colocation id="k3" score="-INFINITY" rsc="b" with-rsc="a"/>`, want: []string{"!k3"}},
		"cancelling":    {nodes: `<node id="1" uname="a"/>`, resources: dummy("d"), constraints: `<rsc_location id="l1" rsc="d" node="a" score="100"/><rsc_location id="l2" rsc="d" node="a" score="-100"/>`, want: []string{"warning: l2: its score -100 for d on a cancels the 100 of l1"}},
		"promotion": {resources: `<primitive id="s" class="ocf" provider="pacemaker" type="Stateful"/><clone id="c"><meta_attributes id="cm"><nvpair id="cp" name="promotable" value="true"/></meta_attributes>` + dummy("d") + `</clone>`,
			want: []string{"warning: s: ocf:pacemaker:Stateful is made to be promoted", "warning: c: ocf:heartbeat:Dummy cannot be promoted"}},
		"dual primary": {resources: `<master id="ms"><meta_attributes id="mm"><nvpair id="m1" name="master-max" value="2"/></meta_attributes><primitive id="drbd" class="ocf" provider="linbit" type="drbd"/></master>
			<clone id="cfs"><primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"><instance_attributes id="fa"><nvpair id="f1" name="fstype" value="ext4"/></instance_attributes></primitive></clone>`,
			constraints: `<rsc_colocation id="k" score="INFINITY" rsc="cfs" with-rsc="ms" with-rsc-role="Master"/>`,
			want:        []string{"ext4 is not a cluster file system, but its volume ms is promoted on several nodes at once"}},
		"dual primary with gfs2": {resources: `<master id="ms"><meta_attributes id="mm"><nvpair id="m1" name="master-max" value="2"/></meta_attributes><primitive id="drbd" class="ocf" provider="linbit" type="drbd"/></master>
			<clone id="cfs"><primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"><instance_attributes id="fa"><nvpair id="f1" name="fstype" value="gfs2"/></instance_attributes></primitive></clone>`, want: []string{"!cluster file system"}},
		"dlm": {resources: `<clone id="c"><primitive id="dlm" class="ocf" provider="pacemaker" type="controld"/></clone>`, want: []string{"warning: dlm: without quorum the lock manager"}},
		"dual primary without fencing": {config: fencedOff, resources: `<master id="ms"><meta_attributes id="mm"><nvpair id="m1" name="master-max" value="2"/></meta_attributes><primitive id="drbd" class="ocf" provider="linbit" type="drbd"/></master>`,
			want: []string{"ms: its volume is promoted on several nodes at once while fencing is off"}},
		"dual primary with fencing": {resources: `<master id="ms"><meta_attributes id="mm"><nvpair id="m1" name="master-max" value="2"/></meta_attributes><primitive id="drbd" class="ocf" provider="linbit" type="drbd"/></master>`,
			want: []string{"!while fencing is off"}},
		"gfs2 alone":       {resources: `<clone id="cfs">` + gfs2(`noatime`) + `</clone>`, want: []string{"fs: gfs2 needs the kernel's lock manager, and no resource controls it"}},
		"gfs2 on one node": {resources: gfs2(`lockproto=lock_nolock`), want: []string{"!lock manager"}},
		"gfs2 not ordered": {resources: dlmClone + `<clone id="cfs">` + gfs2(`noatime`) + `</clone>`, constraints: `<rsc_order id="o" first="c" then="cfs" kind="Optional"/>`,
			want: []string{"fs: gfs2 is not ordered after the lock manager c"}},
		"gfs2 ordered in turn": {resources: dlmClone + `<clone id="cl">` + dummy("lvm") + `</clone><clone id="cfs">` + gfs2(`noatime`) + `</clone>`,
			constraints: `<rsc_order id="o1" first="c" then="cl"/><rsc_order id="o2" first="cl" then="cfs" kind="Mandatory"/>`, want: []string{"!not ordered"}},
		"gfs2 in a group":       {resources: `<clone id="cg"><group id="g"><primitive id="dlm" class="ocf" provider="pacemaker" type="controld"/>` + gfs2(`noatime`) + `</group></clone>`, want: []string{"!not ordered"}},
		"gfs2 first in a group": {resources: `<clone id="cg"><group id="g">` + gfs2(`noatime`) + `<primitive id="dlm" class="ocf" provider="pacemaker" type="controld"/></group></clone>`, want: []string{"fs: gfs2 is not ordered"}},
		"lock table of another cluster": {config: `<cluster_property_set id="cib-bootstrap-options"><nvpair id="cn" name="cluster-name" value="cluster1"/></cluster_property_set>`,
			resources: gfs2(`noatime,locktable=other:kvm1`), want: []string{"fs: its lock table other:kvm1 is not one of cluster cluster1"}},
		"own lock table": {config: `<cluster_property_set id="cib-bootstrap-options"><nvpair id="cn" name="cluster-name" value="cluster1"/></cluster_property_set>`,
			resources: gfs2(`locktable=cluster1:kvm1`), want: []string{"!lock table"}},
	} {
		t.Run(name, func(t *testing.T) {
			doc := mustParse(t, `<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config>`+c.config+`</crm_config><nodes>`+c.nodes+
				`</nodes><resources>`+c.resources+`</resources><constraints>`+c.constraints+`</constraints>`+c.more+`</configuration></cib>`)
			before := doc.String()
			var got []string
			for _, p := range Verify(doc, someAgents, VerifyOptions{}) {
				got = append(got, p.String())
			}
			all := strings.Join(got, "\n")
			for _, w := range c.want {
				unwanted, not := strings.CutPrefix(w, "!")
				if not && strings.Contains(all, unwanted) {
					t.Errorf("unwanted %q in\n%s", unwanted, all)
				} else if !not && !strings.Contains(all, w) {
					t.Errorf("no %q in\n%s", w, all)
				}
			}
			if len(c.want) == 0 && all != "" {
				t.Error(all)
			}
			if doc.String() != before {
				t.Error("verification changed the document")
			}
		})
	}
}

func TestVerifySortsAndGrades(t *testing.T) {
	c := mustParse(t, `<cib admin_epoch="0" epoch="0" num_updates="0" validate-with="pacemaker-3.9"><configuration><crm_config/><nodes/><resources><primitive id="p" class="ocf" provider="heartbeat" type="IPaddr2" bogus="1"/></resources><constraints/></configuration></cib>`)
	p := Verify(c, someAgents, VerifyOptions{})
	if len(p) < 3 || p[0].Severity != Error || !p[1].NeedsForce {
		t.Errorf("%v", p)
	}
	if worst, force := WorstOf(p); worst != Error || !force {
		t.Error(worst, force)
	}
	if worst, force := WorstOf(nil); worst != Info || force {
		t.Error(worst, force)
	}
}

func TestSchemaNames(t *testing.T) {
	for schema, want := range map[string]string{
		"pacemaker-3.9": "", "none": "info: cib", "": "warning: cib: no schema", "pacemaker-next": "", "pacemaker-0.6": "error: cib: schema pacemaker-0.6 is not supported",
		"bogus": "error: cib: schema bogus", "pacemaker-9.1": "warning: cib: schema pacemaker-9.1 is newer", "pacemaker-4.0": "", "pacemaker-3.10": "",
	} {
		c := New()
		c.Root.Set("validate-with", schema)
		if schema == "" {
			c.Root.Unset("validate-with")
		}
		got := ""
		if p := CheckSchema(c, ""); len(p) > 0 {
			got = p[0].String()
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", schema, got)
		}
	}
	// Newer schemas: what was taken away is refused, what is unknown survives.
	c := New()
	c.Root.Set("validate-with", "pacemaker-4.0")
	c.Section("resources").Add(NewElement("master", "id", "m").Add(NewElement("primitive", "id", "p", "class", "ocf", "provider", "x", "type", "y", "new-thing", "1")))
	p := fmt.Sprint(CheckSchema(c, ""))
	if !strings.Contains(p, "error: m: <master> in <resources> is not allowed since schema pacemaker-4.0") {
		t.Error(p)
	}
	c.Section("resources").Children[0].Name = "clone"
	if p := fmt.Sprint(CheckSchema(c, "")); !strings.Contains(p, "warning: m: attribute new-thing of <primitive> is not known; it is kept") {
		t.Error(p)
	}
}

func TestNearest(t *testing.T) {
	words := func(yield func(string) bool) {
		for _, w := range []string{"primitive", "clone", "colocation", "colour", "order"} {
			if !yield(w) {
				return
			}
		}
	}
	for in, want := range map[string]string{"primtive": "primitive", "collocation": "colocation", "clnoe": "clone", "zzz": "", "Order": "order", "oder": "order"} {
		if got := Nearest(in, words); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
