package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// editBase is what sequences of edits begin with.
var editBase = []string{
	"primitive a Dummy", "primitive b Dummy params state=/run/b meta priority=1", "primitive c ocf:pacemaker:Dummy op monitor interval=10s timeout=20s",
	"primitive d Dummy op monitor interval=10s op start timeout=5s interval=0s", "primitive e Dummy utilization cpu=2",
	"primitive g1a Dummy", "group g1 g1a",
	"primitive g2a Dummy", "primitive g2b Dummy", "primitive g2c Dummy", "group g2 g2a g2b g2c meta target-role=Started",
	"primitive c1a Dummy", "clone c1 c1a meta interleave=true",
	"primitive g3a Dummy", "primitive g3b Dummy", "group g3 g3a g3b", "clone c3 g3 meta interleave=true",
	"primitive m1a ocf:pacemaker:Stateful op monitor interval=10s role=Promoted op monitor interval=11s role=Unpromoted", "clone m1 m1a meta promotable=true interleave=true",
	"primitive st1 stonith:fence_ipmilan params ip=1.2.3.4", "primitive st2 stonith:fence_ipmilan params ip=1.2.3.5",
	"rsc_template tpl Dummy op monitor interval=10s timeout=20s", "primitive t1 @tpl params state=/run/t1",
	"tag tag1 a b g1", "tag tag2 c",
	"location l-a a 100: n1", "location l-g2 g2 rule -inf: #uname eq n2", "location l-set { a b } inf: n1", "location l-m1 m1 role=Promoted 50: n2", "location l-t tpl 5: n1",
	"colocation col-ab inf: a b", "colocation col-set inf: a b c", "colocation col-par inf: ( a b ) c d", "colocation col-m m1:Promoted inf: a",
	"colocation col-gm inf: g2 m1:Promoted",
	"order o-ab Mandatory: a b", "order o-set a b c d", "order o-par ( a b ) g2", "order o-req [ a b ] c1 symmetrical=false", "order o-m m1:promote g2:start",
	"rsc_ticket tk1 T1: a loss-policy=stop", "rsc_ticket tk2 T2: a b c1",
	"fencing_topology st1 st2",
	"property stonith-enabled=false no-quorum-policy=ignore", "rsc_defaults resource-stickiness=10",
	"role r1 read xpath:/cib", "role r2 write meta:a", "acl_target u1 r1 r2",
	"alert al1 /bin/true to /tmp/x",
}

// editMaker writes sequences of edits.
type editMaker struct {
	statementMaker
	files map[string]string
}

func (g *editMaker) resource() string {
	return g.pick("a", "b", "c", "d", "e", "g1", "g2", "c1", "g3", "c3", "m1", "g1a", "g2a", "g2b", "g2c", "c1a", "g3a", "m1a", "st1", "tpl", "t1")
}

func (g *editMaker) object() string {
	if g.chance(0.6) {
		return g.resource()
	}
	return g.pick("tag1", "tag2", "l-a", "l-g2", "l-set", "l-m1", "col-ab", "col-set", "col-par", "col-gm", "o-ab", "o-set", "o-par", "o-req", "o-m", "tk1", "tk2",
		"r1", "r2", "u1", "al1", "cib-bootstrap-options", "rsc-options", "fencing_topology", "nosuch")
}

func (g *editMaker) sequence() []string {
	var lines []string
	for range 2 + g.r.IntN(6) {
		lines = append(lines, g.edit())
	}
	return lines
}

func (g *editMaker) edit() string {
	switch g.r.IntN(18) {
	case 0, 1:
		return "rename " + g.object() + " " + g.pick(g.id("new"), g.id("new"), g.id("new"), "a", "n1", "1x")
	case 2, 3, 4:
		return "delete " + g.maybeFirst(0.15, "--force ", "-f ") + g.object() + g.maybe(0.3, g.object())
	case 5:
		return "modgroup " + g.pick("g1", "g2", "g2", "g3", "a") + " add " + g.pick("a", "b", "e", "d", "c1", "nosuch", "g2a") + g.maybe(0.6, "after g2a", "before g2a", "after g2c", "before g1a", "after a")
	case 6:
		return "modgroup " + g.pick("g2", "g2", "g1", "g3", "c1") + " remove " + g.pick("g2a", "g2b", "g2c", "g1a", "g3a", "a")
	case 7:
		return "group " + g.id("ng") + " " + strings.Join(g.sample(1+g.r.IntN(3), "a", "b", "c", "d", "e"), " ") + g.maybe(0.3, "meta priority=2")
	case 8:
		return "clone " + g.id("nc") + " " + g.pick("a", "b", "c", "d", "e", "g1", "g2") + " meta interleave=true promotable=false"
	case 9:
		return "set " + g.pick("b.state /x", "b.priority 7", "c.monitor.timeout 30s", "c.monitor.10s.timeout 40s", "d.start.timeout 9s", "m1a.monitor.timeout 5s", "m1a.monitor.10s.timeout 5s",
			"a.state /y", "g2.target-role Stopped", "nosuch.x 1", "e.cpu 4", "cib-bootstrap-options.no-quorum-policy stop", "b.monitor.timeout 1s", "c.monitor.on-fail fence", "tpl.monitor.timeout 33s")
	case 10:
		return "default-timeouts " + g.pick("a", "c", "d", "m1a", "t1", "g2", "nosuch", "b e")
	case 11:
		return g.pick("property", "rsc_defaults", "op_defaults") + " " + g.pick("stonith-enabled=true", "priority=3", "timeout=30s", "no-quorum-policy=stop x=y", "resource-stickiness=5")
	case 12:
		return "node " + g.pick("n1 attributes standby=on", "n2 utilization cpu=4", "n1 attributes standby=off x=y", "n3", "1: n1 attributes z=1")
	case 13:
		return "filter " + g.pick(`"sed 's/100/200/'"`, `"sed 's/Dummy/Delay/'"`, `"sed '/interval/d'"`, `"sed 's/inf/50/'"`, `"sed 's/ g2b / /'"`, `"sed 's/priority=1/priority=2/'"`) + " " + g.pick("l-a", "b", "c", "col-ab", "g2", "a b", "type:primitive", "")
	case 14:
		name := g.id("f") + ".crm"
		g.files[name] = g.text()
		return "load " + g.pick("update", "update", "push", "replace") + " " + name
	case 15, 16:
		return "show " + g.pick("a", "type:primitive", "type:group", "type:order", "tag:tag1", "related:a", "related:Dummy", "related:ocf:pacemaker:Dummy", "g*", "type:primitive and tag:tag1", "a b", "nosuch", "xml a", "xml g2a",
			"xml type:location", "c1", "type:property", "n1", "type:node", "xml l-a o-ab", "related:g2", "fencing_topology", "u1 r1 al1", "type:node or a", "o* and type:order", "obscure:sta* b")
	}
	return g.pick("location "+g.id("nl")+" "+g.resource()+" 10: n2", "colocation "+g.id("ncol")+" inf: "+g.resource()+" "+g.pick("st2", "e"), "order "+g.id("no")+" "+g.resource()+" "+g.pick("st2", "e"),
		"monitor a 10s:20s", "monitor c 10s", "tag "+g.id("nt")+" a b", "primitive "+g.id("np")+" Dummy", "primitive "+g.id("np")+" @tpl", "erase", "erase nodes", "schema", "schema pacemaker-3.6", "get_property no-quorum-policy",
		"get-property -t stonith-enabled", "rm a", "xml '<rsc_location id=\""+g.id("xl")+"\" rsc=\"a\" score=\"5\" node=\"n1\"/>'")
}

func (g *editMaker) maybeFirst(p float64, list ...string) string {
	if !g.chance(p) {
		return ""
	}
	return g.pick(list...)
}

// text writes a text to be loaded.
func (g *editMaker) text() string {
	objects := []string{
		"# about a\nprimitive a Dummy \\\n\tparams state=\"/run/new\" \\\n\top monitor interval=10s",
		"primitive b Dummy \\\n\tparams state=\"/run/c\" \\\n\tmeta priority=1 is-managed=false",
		"primitive c ocf:pacemaker:Dummy \\\n\top monitor interval=10s timeout=25s",
		"group g2 g2a g2b \\\n\tmeta target-role=Stopped",
		"group g1 g1a", "group g1 g1a e", "group g2 g2a e g2c", "primitive g2a Dummy", "primitive g2b Dummy", "primitive g2c Dummy", "primitive g1a Dummy",
		"location l-a a 200: n1", "location l-new b 5: n2", "order o-ab Optional: a b", "colocation col-ab 5: b a",
		"property cib-bootstrap-options: \\\n\tstonith-enabled=true \\\n\tcluster-name=x", "rsc_defaults rsc-options: \\\n\tpriority=1",
		"tag tag1 c", "node 1: n1 \\\n\tattributes standby=on", "node 2: n2", "clone c1 c1a \\\n\tmeta clone-max=3", "primitive c1a Dummy", "primitive new Dummy",
		"role r1 \\\n\tread status", "alert al1 \"/bin/false\" \\\n\tto \"/tmp/y\"", "rsc_template tpl Dummy", "fencing_topology st2 st1",
		"primitive st1 stonith:fence_ipmilan \\\n\tparams ip=1.2.3.9", "primitive st2 stonith:fence_ipmilan", "primitive t1 @tpl",
	}
	if g.chance(0.1) {
		objects = append(objects, "nonsense x y", "primitive p", "location x", "primitive a Dummy")
	}
	return strings.Join(g.sample(1+g.r.IntN(6), objects...), "\n") + "\n"
}

// compareSequences gives sequences to both shells, and the shortest part of one
// that still differs to the reader.
func compareSequences(t *testing.T, them peer, seed uint64, g *editMaker, items [][]string) {
	t.Helper()
	both := func(items [][]string) ([]outcome, []outcome) {
		return them.talk(t, crmshNodes, editBase, items, g.files, true), here().talk(t, crmshNodes, editBase, items, g.files, true)
	}
	theirs, ours := both(items)
	excused, crashes := map[string]int{}, 0
	for i, it := range items {
		what := compareSteps(it, theirs[i], ours[i])
		if theirs[i].crashed {
			crashes++
		}
		if what == "" {
			continue
		}
		x, y := theirs[i], ours[i]
		for k := len(it) - 1; k >= 0 && *crmshShrink; k-- {
			fewer := slices.Delete(slices.Clone(it), k, k+1)
			if len(fewer) == 0 {
				break
			}
			a, b := both([][]string{fewer})
			if w := compareSteps(fewer, a[0], b[0]); w != "" {
				it, what, x, y = fewer, w, a[0], b[0]
			}
		}
		if e := excuse(t, strings.Join(it, "\n"), x, y); e != "" {
			excused[e]++
			continue
		}
		texts := ""
		for name, text := range g.files {
			if strings.Contains(strings.Join(it, "\n"), " "+name) {
				texts += name + ":\n" + text
			}
		}
		t.Errorf("seed %d: %s\n%s\n%s", seed, strings.Join(it, "\n"), texts, what)
	}
	t.Logf("seed %d: %d sequences, %d of them crash crmsh, excused %v", seed, len(items), crashes, excused)
}

// compareSteps compares what was said and done in each step and at the end.
func compareSteps(lines []string, theirs, ours outcome) string {
	if theirs.crashed && !ours.crashed {
		return ""
	}
	for i, l := range lines {
		if i >= len(theirs.steps) || i >= len(ours.steps) {
			break
		}
		a, b := theirs.steps[i], ours.steps[i]
		if l == "erase" || strings.HasPrefix(l, "load ") { // crmsh misses what has gone with something else
			a = regexp.MustCompile(`ERROR: object \S+ does not exist\n`).ReplaceAllString(a, "")
		}
		if x, y := complains(a), complains(b); x != y {
			return fmt.Sprintf("%s\nrefused by crmsh: %v, here: %v\ncrmsh: %s\nhere:  %s", l, x, y, a, b)
		}
		if strings.HasPrefix(l, "show") || strings.HasPrefix(l, "get") || strings.HasPrefix(l, "schema") {
			if x, y := shown(a), shown(b); x != y {
				return fmt.Sprintf("%s\ncrmsh:\n%s\nhere:\n%s", l, x, y)
			}
		} else if x, y := told(a), told(b); !tells(y, x) && !strings.HasPrefix(l, "load ") && l != "erase" { // what goes to make room is no news
			return fmt.Sprintf("%s\ncrmsh tells:\n%s\nhere:\n%s", l, strings.Join(x, "\n"), strings.Join(y, "\n"))
		}
	}
	theirs.refused, ours.refused, theirs.scolded, ours.scolded = false, false, false, false
	return compareOutcomes(theirs, ours)
}

// tells reports whether every remark of crmsh is made here, perhaps with more. What
// crmsh changes before it deletes it is only deleted here.
func tells(ours, theirs []string) bool {
	for _, l := range theirs {
		if w := strings.Fields(l); w[0] == "modified" && slices.ContainsFunc(ours, func(o string) bool { return strings.HasPrefix(o, "hanging "+w[1]+" deleted") }) {
			continue
		}
		if !slices.ContainsFunc(ours, func(o string) bool { return strings.HasPrefix(o, l) }) {
			return false
		}
	}
	return true
}

// shown is what a command printed, without remarks.
func shown(s string) string {
	var lines []string
	for l := range strings.Lines(plainText(s)) {
		if l = strings.TrimRight(l, " \n"); !strings.HasPrefix(l, "ERROR: ") && !strings.HasPrefix(l, "  show ") && strings.Trim(l, " ^~") != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n")
}

// told are the remarks on what was done, in any order.
func told(s string) []string {
	var lines []string
	for l := range strings.Lines(s) {
		if l, ok := strings.CutPrefix(strings.TrimSpace(l), "INFO: "); ok && !strings.Contains(l, " is accepted as ") {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return lines
}
