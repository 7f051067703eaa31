package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// statementMaker writes random statements of the whole language. Most are
// right; some are wrong on purpose, because to refuse is part of the language.
type statementMaker struct {
	r *rand.Rand
	n int
}

func (g *statementMaker) chance(p float64) bool { return g.r.Float64() < p }

func (g *statementMaker) pick(list ...string) string { return list[g.r.IntN(len(list))] }

// maybe returns one of the list, with a blank before it, or nothing.
func (g *statementMaker) maybe(p float64, list ...string) string {
	if !g.chance(p) {
		return ""
	}
	return " " + g.pick(list...)
}

// sample returns n different ones of the list in random order.
func (g *statementMaker) sample(n int, list ...string) []string {
	g.r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

func (g *statementMaker) id(prefix string) string {
	g.n++
	return fmt.Sprintf("%s%d", prefix, g.n)
}

// crmshBase is what statements find; see crmshNodes.
var crmshBase = []string{
	"primitive a Dummy", "primitive b Dummy", "primitive c Dummy", "primitive d ocf:pacemaker:Dummy", "primitive e Dummy",
	"primitive f Dummy params $id=f-ia state=/run/f fake=x meta $id=f-ma priority=1 op monitor interval=10s timeout=20s",
	"primitive base Dummy params $id=base-ia state=/x operations $id=base-ops op monitor interval=10s timeout=20s",
	"primitive g1a Dummy", "group g1 g1a",
	"primitive g2a Dummy", "primitive g2b Dummy", "group g2 g2a g2b",
	"primitive c1a Dummy", "clone c1 c1a meta interleave=true",
	"primitive m1a ocf:pacemaker:Stateful", "clone m1 m1a meta promotable=true interleave=true",
	"primitive st1 stonith:fence_ipmilan params ip=1.2.3.4", "primitive st2 stonith:fence_ipmilan params ip=1.2.3.5",
	"rsc_template tpl ocf:heartbeat:Dummy op monitor interval=10s timeout=20s",
	"role r1 read xpath:/cib", "role r2 read xpath:/cib",
	"tag tag1 a b",
	"location base-loc a rule $id=base-rule #uname eq n1",
}

const crmshNodes = `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.7" epoch="0" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources/><constraints/></configuration><status/></cib>
`

// item returns the lines of one experiment: the last is the statement, those
// before make what it needs.
func (g *statementMaker) item() []string {
	makers := []func() []string{
		g.primitive, g.primitive, g.primitive, g.primitive, g.template,
		g.location, g.location, g.location, g.colocation, g.colocation, g.order, g.order, g.ticket,
		g.group, g.clone, g.bundle, g.property, g.node, g.tag, g.alert, g.alert, g.role, g.role, g.target, g.monitor, g.literal,
	}
	lines := makers[g.r.IntN(len(makers))]()
	last := &lines[len(lines)-1]
	switch {
	case g.chance(0.02):
		*last = strings.Replace(*last, " ", "  ", 1)
	case g.chance(0.01):
		*last += g.pick(" extra", " a=b", " :", " =", " rule", " params", " op", " {", " )")
	case g.chance(0.01):
		if w := strings.Fields(*last); len(w) > 2 {
			i := 1 + g.r.IntN(len(w)-1)
			*last = strings.Join(append(w[:i:i], w[i+1:]...), " ")
		}
	}
	return lines
}

// free makes a primitive of its own for a container to take.
func (g *statementMaker) free(lines *[]string) string {
	id := g.id("x")
	*lines = append(*lines, "primitive "+id+" Dummy")
	return id
}

func (g *statementMaker) expression() string {
	if g.chance(0.04) {
		return g.pick("x lt", "defined", "date", "date foo 3", "date start=2024-01-01", "date duration weeks=4", "foo type=number:lt 3", "x like y", "date in start=2024-01-01", "date spec")
	}
	return g.pick("#uname eq n1", "#uname ne n2", "site ne dc1", "defined pingd", "not_defined pingd", "pingd number:lt 3", "pingd lt 3",
		"pingd gte 100", "pingd lte 1", "v version:gte 1.2", "x string:eq abc", "x integer:gt 5", "date gt 2024-01-01", "date lt 2030-12-31",
		"date in start=2024-01-01 end=2025-01-01", "date in start=2024-01-01 hours=3", "date in_range start=2024-01-01 months=2",
		"date in_range end=2025-01-01 start=2024-01-01", "date spec hours=9-16 weekdays=1-5", "date date_spec hours=9-16",
		`date gt "2024-01-01 12:00:00"`, "#kind eq container", "date spec years=2026 months=1", "not_defined #x", "#id eq 1",
		"date spec monthdays=1-7 weekdays=5", "date spec weekyears=2026 weeks=3", "date spec yearsdays=100-200", "a-b eq c.d",
		"x eq param{y}", "x eq meta{y}", "x eq literal{y}", "x eq y:z", "x eq #uname", "DEFINED y", "x eq 1=2")
}

func (g *statementMaker) expressions() string {
	s := g.expression()
	op := g.pick("and", "or")
	for range g.r.IntN(3) {
		s += " " + op + " " + g.expression()
		if g.chance(0.05) {
			op = g.pick("and", "or")
		}
	}
	return s
}

func (g *statementMaker) rule(roles bool) string {
	s := "rule"
	if g.chance(0.05) {
		return s + " $id-ref=base-rule"
	}
	if g.chance(0.25) {
		s += " $id=" + g.id("rl")
	}
	if roles && g.chance(0.2) {
		s += " " + g.pick("$role=Promoted", "role=Promoted", "$role=Started", "$role=Unpromoted")
	}
	s += g.maybe(0.5, "50:", "-inf:", "inf:", "INFINITY:", "-INFINITY:", "pingd:", "+inf:", "mandatory:", "advisory:", "0:", "infinity:", "-5:")
	return s + " " + g.expressions()
}

func (g *statementMaker) value() string {
	return g.pick("1", "true", "a", `"a b"`, `'x y'`, `""`, "10s", `"say \"hi\""`, "/run/x", "a=b", `"q's"`, "$x", "#h", "x:y", "@z", "a,b", `b\\c`,
		"1.2.3.4", "a;b", "(x)", "[y]", "{z}", "%d", "*", "~", "<&>", `"two  blanks"`, "rule", "-", "_")
}

func (g *statementMaker) pairs(names ...string) string {
	var out []string
	for _, n := range g.sample(1+g.r.IntN(3), names...) {
		out = append(out, n+"="+g.value())
	}
	switch {
	case g.chance(0.03):
		out = append(out, g.pick("novalue", "$"+g.id("nv")+":named=1", "$"+g.id("nv")+"=2"))
	case g.chance(0.01):
		out = append(out, g.pick("=x", "a==b", `"a"=b`, "a:", ":a", "a:b", "x:y=1"))
	}
	return strings.Join(out, " ")
}

func (g *statementMaker) set(ref string, names ...string) string {
	if ref != "" && g.chance(0.05) {
		return " $id-ref=" + ref
	}
	s := ""
	if g.chance(0.1) {
		s += " $id=" + g.id("st")
	}
	s += g.maybe(0.12, "10:", "-5:", "inf:", "0:")
	if g.chance(0.12) {
		s += " " + g.rule(false)
	}
	return s + " " + g.pairs(names...)
}

func (g *statementMaker) operation() string {
	name := g.pick("monitor", "start", "stop", "promote", "demote", "notify", "migrate_to", "migrate_from", "validate-all", "reload", "frob")
	attrs := g.sample(g.r.IntN(4), "timeout=20s", "on-fail="+g.pick("restart", "fence", "ignore", "block", "standby"), "enabled=false",
		"start-delay=5s", "record-pending=true", "role="+g.pick("Promoted", "Unpromoted", "Started", "Stopped"))
	s := "op " + name + " interval=" + g.pick("10s", "11s", "1min", "0s", "500ms", "1h")
	if len(attrs) > 0 {
		s += " " + strings.Join(attrs, " ")
	}
	if g.chance(0.05) {
		s += " $id=" + g.id("op")
	}
	s += g.maybe(0.15, "OCF_CHECK_LEVEL=10", "depth=0", `fake="a b"`, `fake=""`)
	if g.chance(0.12) {
		s += " op_params" + g.set("", "depth", "x", "OCF_CHECK_LEVEL")
	}
	if g.chance(0.08) {
		s += " op_meta" + g.set("", "x", "timeout", "foo")
	}
	return s
}

func (g *statementMaker) agent() string {
	return g.pick("Dummy", "Dummy", "ocf:heartbeat:Dummy", "ocf:pacemaker:Dummy", "ocf:pacemaker:Stateful", "ocf:heartbeat:IPaddr2", "IPaddr2",
		"systemd:nginx", "lsb:foo", "stonith:fence_ipmilan", "ocf:heartbeat:nosuch", "nosuch", "service:x", "ocf:Dummy", "systemd:a@b.service",
		"Stateful", "ocf:linbit:drbd", "Filesystem", "fence_xvm", "stonith:external/ssh", "ocf:a:b:c", "ocf::Dummy", "heartbeat:Dummy", "upstart:x")
}

// sections returns those of a primitive; operations stand together, for crmsh
// 4.4 makes two elements of those that stand apart.
func (g *statementMaker) sections(id string) string {
	operations := g.operation()
	for range g.r.IntN(3) {
		operations += " " + g.operation()
	}
	switch {
	case g.chance(0.1):
		operations = "operations $id=" + id + "-ops " + operations
	case g.chance(0.04):
		operations = "operations $id-ref=base-ops"
	}
	list := g.sample(g.r.IntN(5),
		"params"+g.set("base-ia", "state", "fake", "x", "ip", "op_sleep", "passwd", "a-b", "a_b", "A.b"),
		"params"+g.set("f", "state", "y"),
		"meta"+g.set("f-ma", "is-managed", "priority", "target-role", "migration-threshold", "failure-timeout", "resource-stickiness", "allow-migrate"),
		"utilization"+g.set("", "cpu", "memory"),
		operations)
	return strings.Join(list, " ")
}

func (g *statementMaker) primitive() []string {
	id := g.id("p")
	switch {
	case g.chance(0.01):
		id = g.pick("1x", "x:y", `"a b"`, "p,q", "@x", "ä") + id
	case g.chance(0.01):
		id = g.pick("a", "g1", "tpl", "n1", "base-ia")
	}
	s := "primitive " + id + " "
	if g.chance(0.1) {
		s += g.pick("@tpl", "@tpl", "@nosuch")
	} else {
		s += g.agent()
	}
	s += g.maybe(0.1, `description="some text"`, "description=word", `description="q \"x\""`)
	if g.chance(0.15) {
		s += " " + g.pairs("state", "fake")
	}
	if x := g.sections(id); x != "" {
		s += " " + x
	}
	return []string{s}
}

func (g *statementMaker) template() []string {
	id := g.id("t")
	return []string{strings.TrimRight("rsc_template "+id+" "+g.agent()+g.maybe(0.1, `description="t t"`)+" "+g.sections(id), " ")}
}

func (g *statementMaker) member(suffixes ...string) string {
	m := g.pick("a", "b", "c", "d", "e", "f", "g1", "g2", "c1", "m1", "tag1", "st1")
	if g.chance(0.02) {
		m = "nosuch"
	}
	if g.chance(0.2) && len(suffixes) > 0 {
		m += ":" + g.pick(suffixes...)
	}
	return m
}

// members writes resource sets.
func (g *statementMaker) members(suffixes ...string) string {
	var parts []string
	seen := map[string]bool{}
	one := func() string {
		for {
			m := g.member(suffixes...)
			id, _, _ := strings.Cut(m, ":")
			if !seen[id] || g.chance(0.02) {
				seen[id] = true
				return m
			}
		}
	}
	for range 1 + g.r.IntN(4) {
		if !g.chance(0.35) {
			parts = append(parts, one())
			continue
		}
		brackets := g.pick("()", "[]", "()")
		in := []string{one()}
		for range g.r.IntN(2) {
			in = append(in, one())
		}
		in = append(in, strings.Fields(g.maybe(0.2, "sequential=true", "sequential=false", "require-all=false", "require-all=true"))...)
		if g.chance(0.02) {
			in = append(in, g.pick("role=Promoted", "action=stop", "foo=bar", "sequential=perhaps"))
		}
		if g.chance(0.1) {
			parts = append(parts, brackets[:1]+strings.Join(in, " ")+brackets[1:])
		} else {
			parts = append(parts, brackets[:1]+" "+strings.Join(in, " ")+" "+brackets[1:])
		}
	}
	if g.chance(0.02) {
		parts = append(parts, g.pick("(", ")", "[", "]", "( )", "( a ]", "( a ( b ) )"))
	}
	return strings.Join(parts, " ")
}

func (g *statementMaker) location() []string {
	s := "location " + g.id("l") + " "
	switch {
	case g.chance(0.15):
		s += "{ " + g.members("Promoted", "Started") + " }"
	case g.chance(0.15):
		s += g.pick("/^web-.*/", "/a.*/", "/a|b/", `"/a b/"`, "/(x)(y)/")
	default:
		s += g.member()
	}
	s += g.maybe(0.15, "role=Promoted", "role=Started", "$role=Promoted", "role=Unpromoted")
	s += g.maybe(0.15, "resource-discovery=exclusive", "resource-discovery=never", "resource-discovery=always")
	s += g.maybe(0.01, "foo=bar", "resource-discovery=foo", "role=Foo")
	if g.chance(0.5) {
		return []string{s + " " + g.pick("100:", "-inf:", "inf:", "0:", "INFINITY:", "+5:", "-5:", "mandatory:", "advisory:", "-INFINITY:", "attr:", "+inf:", "infinity:") +
			" " + g.pick("n1", "n2", "n1", "N1", "n9")}
	}
	for range 1 + g.r.IntN(2) {
		s += " " + g.rule(true)
	}
	return []string{s}
}

func (g *statementMaker) colocation() []string {
	s := g.pick("colocation", "colocation", "colocation", "collocation") + " " + g.id("col") + " "
	s += g.pick("inf:", "-inf:", "50:", "INFINITY:", "0:", "mandatory:", "advisory:", "-INFINITY:", "+inf:", "attr:", "-50:", "Mandatory:")
	if g.chance(0.05) {
		s = strings.TrimSuffix(s, ":")
	}
	roles := []string{"Started", "Stopped", "Promoted", "Unpromoted", "started", "PROMOTED"}
	if g.chance(0.05) {
		roles = append(roles, "foo", "0", "1", "")
	}
	if g.chance(0.5) {
		s += " " + g.members(roles...)
	} else {
		s += " " + g.member(roles...) + " " + g.member(roles...)
	}
	return []string{s + g.maybe(0.1, "node-attribute=site", "node-attribute=Rack") + g.maybe(0.01, "influence=false", "foo=bar", "score=5")}
}

func (g *statementMaker) order() []string {
	s := "order " + g.id("o") + g.maybe(0.8, "Mandatory:", "Optional:", "Serialize:", "inf:", "0:", "100:", "mandatory:", "-inf:", "INFINITY:", "serialize:", "OPTIONAL:", "-5:")
	s += g.maybe(0.02, "Foo:", "advisory:", "Mandatory", "kind=Optional")
	suffixes := []string{"start", "stop", "promote", "demote", "START", "Stop"}
	if g.chance(0.05) {
		suffixes = append(suffixes, "foo", "Promoted", "0", "")
	}
	if g.chance(0.5) {
		s += " " + g.members(suffixes...)
	} else {
		s += " " + g.member(suffixes...) + " " + g.member(suffixes...)
	}
	return []string{s + g.maybe(0.15, "symmetrical=true", "symmetrical=false", "symmetrical=yes", "symmetrical=off") + g.maybe(0.01, "symmetrical=maybe", "require-all=false", "foo=bar")}
}

func (g *statementMaker) ticket() []string {
	s := "rsc_ticket " + g.id("tk") + " " + g.pick("T1:", "T-1:", "T.1:", `"T 1":`, "T1:", "T1")
	if g.chance(0.4) {
		s += " " + g.members("Promoted", "Started", "Unpromoted")
	} else {
		s += " " + g.member("Promoted", "Started", "Unpromoted")
	}
	return []string{s + g.maybe(0.4, "loss-policy=stop", "loss-policy=fence", "loss-policy=demote", "loss-policy=freeze", "loss-policy=foo", "loss-policy=STOP")}
}

func (g *statementMaker) group() (lines []string) {
	s := "group " + g.id("g")
	for range 1 + g.r.IntN(3) {
		s += " " + g.free(&lines)
	}
	s += g.maybe(0.02, "a", "g1", "c1", "nosuch", "n1")
	s += g.maybe(0.1, `description="d e"`)
	if g.chance(0.3) {
		s += " params" + g.set("base-ia", "x", "y")
	}
	if g.chance(0.4) {
		s += " meta" + g.set("f-ma", "target-role", "priority", "ordered")
	}
	if g.chance(0.05) {
		s += g.pick(" params z=1", " x=1", " op monitor interval=5s", " utilization a=1")
	}
	return append(lines, s)
}

func (g *statementMaker) clone() (lines []string) {
	s := "clone " + g.id("cl") + " "
	switch {
	case g.chance(0.3):
		s2 := "group " + g.id("g") + " " + g.free(&lines)
		lines = append(lines, s2)
		s += strings.Fields(s2)[1]
	case g.chance(0.03):
		s += g.pick("nosuch", "c1", "g1a", "n1")
	default:
		s += g.free(&lines)
	}
	s += g.maybe(0.1, `description="d e"`)
	if g.chance(0.2) {
		s += " params" + g.set("", "x", "y")
	}
	s += " meta interleave=" + g.pick("true", "false")
	if g.chance(0.5) {
		s += " " + g.pairs("clone-max", "clone-node-max", "globally-unique", "notify", "promoted-max", "promotable")
	}
	return append(lines, s)
}

func (g *statementMaker) bundle() (lines []string) {
	s := "bundle " + g.id("bu") + g.maybe(0.05, `description="d e"`) + " docker " + g.pick("image=x", "image=x replicas=2", `image="a b" run-command="x y"`, "image=pcmk:http options=--log-driver=none promoted-max=1", "replicas=2", "image=x replicas-per-host=1 network=host")
	if g.chance(0.5) {
		s += " network " + g.pick("ip-range-start=192.168.1.1", "control-port=3121", "ip-range-start=1.2.3.4 host-netmask=24 host-interface=eth0")
		for range g.r.IntN(3) {
			s += " port-mapping" + g.maybe(0.5, "id="+g.id("pm")) + " " + g.pick("port=80", "port=80 internal-port=8080", "range=1-5")
		}
	}
	if g.chance(0.5) {
		s += " storage"
		for range 1 + g.r.IntN(2) {
			s += " storage-mapping" + g.maybe(0.5, "id="+g.id("sm")) + " " + g.pick("source-dir=/a target-dir=/b", "source-dir=/a target-dir=/b options=rw", "source-dir-root=/c target-dir=/d")
		}
	}
	if g.chance(0.4) {
		s += " meta " + g.pairs("target-role", "priority", "is-managed")
	}
	if g.chance(0.5) {
		s += " primitive " + g.free(&lines)
	}
	return append(lines, s)
}

func (g *statementMaker) property() []string {
	s := g.pick("property", "rsc_defaults", "op_defaults")
	names := map[string][]string{
		"property":     {"no-quorum-policy", "stonith-enabled", "batch-limit", "foo", "cluster-name", "maintenance-mode"},
		"rsc_defaults": {"priority", "resource-stickiness", "migration-threshold", "target-role"},
		"op_defaults":  {"timeout", "record-pending", "on-fail"},
	}[s]
	if g.chance(0.6) {
		id := g.id("set")
		s += " " + g.pick("$id="+id, id+":")
	}
	if g.chance(0.2) {
		s += " " + g.rule(false)
	}
	return []string{s + " " + g.pairs(names...)}
}

func (g *statementMaker) node() []string {
	s := "node " + g.pick("", "", fmt.Sprintf("$id=%d ", 100+g.n), fmt.Sprintf("%d: ", 100+g.n))
	name := g.id("n")
	if g.chance(0.2) {
		s, name = "node ", g.pick("n1", "n2", "1: n1", "N1")
	}
	s += name + g.pick("", "", "", ":remote", ":member")
	s += g.maybe(0.15, `description="d e"`, "description=x")
	if g.chance(0.1) {
		s += " " + g.pairs("standby", "x")
	}
	if g.chance(0.5) {
		s += " attributes" + g.set("", "a", "b", "standby", "maintenance", "#health-disk")
	}
	if g.chance(0.3) {
		s += " utilization" + g.set("", "cpu", "memory")
	}
	return []string{s + g.maybe(0.02, "attributes", "params a=b", "x", ":ping")}
}

func (g *statementMaker) tag() []string {
	s := "tag " + g.id("tg") + g.pick("", "", ":")
	for _, m := range g.sample(1+g.r.IntN(3), "a", "b", "c", "g1", "n1", "nosuch", "tag1", "col1") {
		s += " " + m
	}
	return []string{s}
}

func (g *statementMaker) alert() []string {
	set := func() string {
		return g.pick("attributes", "meta") + g.set("", "a", "timeout", "x_y", "timestamp-format")
	}
	s := "alert " + g.id("al") + " " + g.pick("/bin/true", `"/bin/x y"`, "/usr/share/pacemaker/alerts/alert_smtp.sh")
	s += g.maybe(0.1, `description="d e"`)
	for range g.r.IntN(3) {
		s += " " + set()
	}
	if g.chance(0.4) {
		s += " select " + strings.Join(g.sample(1+g.r.IntN(3), "nodes", "fencing", "resources", "attributes { x }", "attributes { standby shutdown }"), " ")
	}
	for range g.r.IntN(3) {
		value := g.pick("/tmp/x", `"/tmp/a b"`, "admin@example.com", `"a, b"`, "192.168.1.1:162")
		switch {
		case g.chance(0.4):
			s += " to { " + value + " " + set() + " }"
		case g.chance(0.3):
			s += " to " + value + " " + set()
		default:
			s += " to " + value
		}
	}
	return []string{s + g.maybe(0.02, "select foo", "to", "to {", "params x=y", "select attributes x")}
}

func (g *statementMaker) role() []string {
	s := "role " + g.id("r") + g.maybe(0.1, `description="d e"`)
	for range 1 + g.r.IntN(3) {
		s += " " + g.pick("read", "write", "deny", "Read") + g.maybe(0.08, g.id("perm")+":") + g.maybe(0.05, `description="x y"`) + " "
		s += g.pick("xpath:/cib", `xpath:"//primitive[@id='a']"`, "property:maintenance-mode", "type:primitive attribute:x", "meta:a",
			"meta:a:target-role", "ref:a", "tag:primitive", "tag:nvpair attribute:value", "node", "node:n1", "params:a", "params:a:ip",
			"utilization:a", "status", "cib", "property", "location:a", "nodeattr", "nodeattr:standby", "nodeutil:n1", "nodeutil", "reference:a",
			"type:primitive", "type:nvpair attr:value", "xpath:/cib/status", "ref:a type:primitive", "xpath:/cib ref:b", `xpath:"//node[@uname='n1']/utilization"`,
			`xpath:"/cib/configuration/nodes//node"`)
		s += g.maybe(0.02, "meta", "bogus:x", "attribute:x", "params", "utilization:a:b", "xpath:", "rscstatus:a")
	}
	return []string{s}
}

func (g *statementMaker) target() []string {
	return []string{g.pick("acl_target", "acl_target", "acl_group", "user") + " " + g.id("at") + " " + g.pick("r1", "r1 r2", "r2 r1", "role:r1", "nosuch", "", "read xpath:/cib")}
}

func (g *statementMaker) monitor() (lines []string) {
	p := g.free(&lines)
	if g.chance(0.05) {
		p = g.pick("nosuch", "g1", "tpl")
	}
	return append(lines, "monitor "+p+g.pick("", "", ":Promoted", ":Started", ":foo")+" "+g.pick("10s", "10s:20s", "1min", "5s:1h", "10s:20s:30s", ""))
}

func (g *statementMaker) literal() []string {
	form := g.pick(
		`xml '<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"/>'`,
		`xml '<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes><nvpair name="a" value="b"/></instance_attributes></primitive>'`,
		`xml '<primitive id="%s" class="ocf" provider="heartbeat" type="Dummy"><operations><op name="monitor" interval="10s"/></operations><meta_attributes id="%s-m"><nvpair id="%s-n" name="a" value="b"/></meta_attributes></primitive>'`,
		`xml '<rsc_location id="%s" rsc="a" score="5" node="n1"/>'`,
		`xml '<rsc_location id="%s" rsc="a"><rule score="5"><expression attribute="x" operation="eq" value="1"/><rule score="1"><expression attribute="y" operation="defined"/></rule></rule></rsc_location>'`,
		`xml '<rsc_order id="%s" first="a" then="b" kind="Optional"/>'`,
		`xml '<rsc_order id="%s" first="a" first-action="start" then="b" then-action="stop" symmetrical="false"/>'`,
		`xml '<rsc_colocation id="%s" score="INFINITY"><resource_set sequential="false"><resource_ref id="a"/><resource_ref id="b"/></resource_set></rsc_colocation>'`,
		`xml '<rsc_colocation id="%s" score="INFINITY"><resource_set><resource_ref id="a"/><resource_ref id="b"/></resource_set></rsc_colocation>'`,
		`xml '<rsc_order id="%s"><resource_set require-all="false"><resource_ref id="a"/><resource_ref id="b"/></resource_set><resource_set><resource_ref id="c"/></resource_set></rsc_order>'`,
		`xml '<rsc_ticket id="%s" ticket="T" rsc="a" rsc-role="Promoted" loss-policy="fence"/>'`,
		`xml '<tag id="%s"><obj_ref id="a"/></tag>'`,
		`xml '<alert id="%s" path="/x"><recipient value="y" id="%s-r"/></alert>'`,
		`xml '<acl_role id="%s"><acl_permission kind="read" xpath="/cib" id="%s-p"/></acl_role>'`,
		`xml '<foo id="%s"/>'`, `xml '<primitive id="%s"'`, `xml <rsc_location id="%s" rsc="a" score="5" node="n1"/>`,
	)
	return []string{strings.ReplaceAll(form, "%s", g.id("x"))}
}
