package main

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

var (
	crmshScripts = flag.Int("crmsh.scripts", 1, "random scripts that TestDifferentialCrmshCommit gives to both tools")
	crmshShrink  = flag.Bool("crmsh.shrink", false, "look for the lines that make the difference")
)

// Random configure scripts go through the crm shell of the system and through
// this program: the same lines are accepted, and configuration and text are the
// same afterwards.
func TestDifferentialCrmshCommit(t *testing.T) {
	crm, err := exec.LookPath("crm")
	if err != nil {
		t.Skip("crmsh is not installed: nothing to compare with")
	}
	if _, err := exec.LookPath("cibadmin"); err != nil {
		t.Skip("Pacemaker's tools are not installed: crmsh cannot commit")
	}
	for i := range *crmshScripts {
		seed := *crmshSeed + uint64(i)
		g := &scriptMaker{r: rand.New(rand.NewPCG(seed, 11))}
		lines := g.script()
		if what := differs(t, crm, lines); what != "" {
			for i := len(lines) - 1; i >= 0 && *crmshShrink; i-- { // fewer lines say more
				fewer := slices.Delete(slices.Clone(lines), i, i+1)
				if w := differs(t, crm, fewer); w != "" {
					lines, what = fewer, w
				}
			}
			t.Errorf("seed %d:\n%s\n%s", seed, strings.Join(lines, "\n"), what)
		}
	}
}

// differs runs a script through both and tells what is different.
func differs(t *testing.T, crm string, lines []string) string {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "s.crm")
	if err := os.WriteFile(script, []byte("configure\n"+strings.Join(lines, "\n")+"\ncommit force\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type result struct {
		ok         bool
		said, text string
		objects    []string
	}
	run := func(name string, program func(file string, args ...string) *exec.Cmd) result {
		file := filepath.Join(dir, name+".xml")
		doc := cib.New()
		doc.Root.Set("validate-with", "pacemaker-3.7")
		doc.Root.Set("crm_feature_set", "3.16.1")
		nodes := doc.Section("nodes")
		nodes.Add(cib.NewElement("node", "id", "1", "uname", "n1"), cib.NewElement("node", "id", "2", "uname", "n2"))
		if err := cib.SaveFile(file, doc); err != nil {
			t.Fatal(err)
		}
		var r result
		out, err := program(file, "-f", script).CombinedOutput()
		r.ok, r.said = err == nil, string(out)
		out, _ = program(file, "configure", "show").Output()
		r.text = string(out)
		after, err := cib.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for s := range after.Configuration().Elements() {
			for o := range s.Elements() {
				r.objects = append(r.objects, s.Name+" "+canonicalObject(o))
			}
		}
		slices.Sort(r.objects)
		return r
	}
	theirs := run("crm", func(file string, args ...string) *exec.Cmd {
		c := exec.Command(crm, append([]string{"-D", "plain"}, args...)...)
		c.Env = append(os.Environ(), "CIB_file="+file, "HOME="+dir, "PAGER=cat", "TERM=dumb")
		return c
	})
	ours := run("gcrm", func(file string, args ...string) *exec.Cmd {
		c := exec.Command(os.Args[0], append([]string{"-D", "plain", "--cib", file}, args...)...)
		c.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir)
		return c
	})
	switch {
	case !theirs.ok && !ours.ok:
		return ""
	case theirs.ok != ours.ok:
		return fmt.Sprintf("accepted by crmsh: %v, here: %v\n%s\n%s", theirs.ok, ours.ok, theirs.said, ours.said)
	case !slices.Equal(theirs.objects, ours.objects):
		return "XML" + unlike(strings.Join(theirs.objects, "\n"), strings.Join(ours.objects, "\n"))
	case theirs.text != ours.text:
		return "text" + unlike(theirs.text, ours.text)
	}
	return ""
}

// unlike shows the lines that only one of two texts has.
func unlike(theirs, ours string) string {
	a, b := strings.Split(theirs, "\n"), strings.Split(ours, "\n")
	s := ":"
	for _, l := range a {
		if !slices.Contains(b, l) {
			s += "\ncrmsh only: " + l
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			s += "\nhere only:  " + l
		}
	}
	if s == ":" {
		return " in another order\n" + theirs + "\nhere\n" + ours
	}
	return s
}

// canonicalObject writes an object with its attributes sorted and, as on
// display, the sets of containers before their members.
func canonicalObject(e *cib.Element) string {
	n := e.Clone()
	n.Walk(func(x *cib.Element) bool {
		// Defaults go when they are read, not when they are typed.
		for _, d := range [][3]string{{"expression", "type", "string"}, {"resource_set", "sequential", "true"}, {"resource_set", "require-all", "true"}, {"rule", "boolean-op", "and"}, {"node", "type", "member"}} {
			if x.Name == d[0] && x.Get(d[1]) == d[2] {
				x.Unset(d[1])
			}
		}
		slices.SortFunc(x.Attrs, func(a, b cib.Attr) int { return cmp.Compare(a.Name, b.Name) })
		if cib.IsContainer(x.Name) {
			slices.SortStableFunc(x.Children, func(a, b *cib.Element) int {
				rank := func(e *cib.Element) int {
					if cib.IsResource(e.Name) {
						return 1
					}
					return 0
				}
				return rank(a) - rank(b)
			})
		}
		return true
	})
	return n.String()
}

// scriptMaker writes scripts in which every line fits what stands before it.
// What versions of crmsh differ in is left out: times without a unit, clones
// without interleave, old names of roles.
type scriptMaker struct {
	r         *rand.Rand
	n         int
	free      []string // primitives that stand alone
	resources []string
	objects   []string // what else may be deleted or renamed
}

func (g *scriptMaker) id(prefix string) string {
	g.n++
	return fmt.Sprintf("%s%d", prefix, g.n)
}

func (g *scriptMaker) pick(list ...string) string { return list[g.r.IntN(len(list))] }

func (g *scriptMaker) resource() string { return g.pick(g.resources...) }

// some returns a part half of the time.
func (g *scriptMaker) some(part string) string {
	if g.r.IntN(2) == 0 {
		return ""
	}
	return " " + part
}

// take takes n primitives that stand alone.
func (g *scriptMaker) take(n int) []string {
	out := g.free[:n]
	g.free = g.free[n:]
	return out
}

func (g *scriptMaker) rule() string {
	one := func() string {
		return g.pick("#uname eq n1", "site ne dc1", "defined pingd", "not_defined pingd", "pingd number:lt 3", "v version:gte 1.2",
			"date gt 2024-01-01", "date lt 2030-12-31", "date in start=2024-01-01 end=2025-01-01", "date spec hours=9-16 weekdays=1-5")
	}
	s := one()
	if op := g.pick("and", "or", ""); op != "" {
		s += " " + op + " " + one()
	}
	return s
}

func (g *scriptMaker) set(pairs ...string) string {
	s := ""
	if g.r.IntN(5) == 0 {
		s += fmt.Sprintf(" %d:", g.r.IntN(100))
	}
	if g.r.IntN(5) == 0 {
		s += " rule " + g.rule()
	}
	g.r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	return s + " " + strings.Join(pairs[:1+g.r.IntN(len(pairs))], " ")
}

// members writes resources for an order or colocation: two, many, or sets.
func (g *scriptMaker) members(suffixes ...string) string {
	list := slices.Clone(g.resources)
	g.r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = list[:min(len(list), 2+g.r.IntN(3))]
	for i := range list {
		if len(suffixes) > 0 && g.r.IntN(4) == 0 {
			list[i] += ":" + g.pick(suffixes...)
		}
	}
	if len(list) > 2 {
		switch g.r.IntN(4) {
		case 0:
			return "( " + strings.Join(list[:2], " ") + " ) " + strings.Join(list[2:], " ")
		case 1:
			return list[0] + " [ " + strings.Join(list[1:], " ") + " ]"
		}
	}
	return strings.Join(list, " ")
}

func (g *scriptMaker) script() []string {
	var lines []string
	for range 4 + g.r.IntN(3) {
		lines = append(lines, g.primitive())
	}
	for range 4 + g.r.IntN(8) {
		if l := g.statement(); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

func (g *scriptMaker) primitive() string {
	p := g.id("p")
	g.free, g.resources = append(g.free, p), append(g.resources, p)
	s := "primitive " + p + " " + g.pick("Dummy", "ocf:pacemaker:Dummy", "ocf:heartbeat:Delay")
	sections := []string{
		"params" + g.set("state=/run/x", `fake="a b"`, `x='say "hi"'`, "e=#y", `bs=a\\b`),
		"meta" + g.set("is-managed=true", "priority=5", "migration-threshold=3", "target-role=Started"),
		"utilization cpu=2 memory=512",
		// Together: crmsh 4.4 makes two elements of operations that stand apart.
		"op monitor interval=10s timeout=20s" + g.some("on-fail=restart") + g.some("op start timeout=30s interval=0s"+g.some("OCF_CHECK_LEVEL=10")),
	}
	g.r.Shuffle(len(sections), func(i, j int) { sections[i], sections[j] = sections[j], sections[i] })
	for _, x := range sections[:g.r.IntN(len(sections)+1)] {
		s += " " + x
	}
	return s
}

func (g *scriptMaker) statement() string {
	switch k := g.r.IntN(16); {
	case k == 0 && len(g.free) >= 2:
		id := g.id("g")
		m := g.take(2)
		g.resources = append(slices.DeleteFunc(g.resources, func(r string) bool { return slices.Contains(m, r) }), id)
		g.objects = append(g.objects, id)
		return "group " + id + " " + strings.Join(m, " ") + g.some("params"+g.set("a=b", "c=d")) + g.some("meta"+g.set("priority=3", "x=y"))
	case k == 1 && len(g.free) >= 1:
		id := g.id("c")
		m := g.take(1)
		g.resources = append(slices.DeleteFunc(g.resources, func(r string) bool { return r == m[0] }), id)
		g.objects = append(g.objects, id)
		return "clone " + id + " " + m[0] + " meta interleave=" + g.pick("true", "false") + g.some("clone-max=2")
	case k <= 3:
		id := g.id("l")
		g.objects = append(g.objects, id)
		if g.r.IntN(2) == 0 {
			return "location " + id + " " + g.resource() + g.some("resource-discovery=exclusive") + " " + g.pick("100", "-inf", "inf", "0") + ": n" + g.pick("1", "2")
		}
		return "location " + id + " " + g.resource() + " rule " + g.pick("", "50: ", "-inf: ") + g.rule()
	case k <= 5:
		id := g.id("col")
		g.objects = append(g.objects, id)
		return "colocation " + id + " " + g.pick("inf", "-inf", "50") + ": " + g.members("Started", "Promoted")
	case k <= 7:
		id := g.id("o")
		g.objects = append(g.objects, id)
		return "order " + id + " " + g.pick("", "Mandatory: ", "Optional: ", "Serialize: ") + g.members("start", "stop", "promote") + g.some("symmetrical=false")
	case k == 8:
		id := g.id("tk")
		g.objects = append(g.objects, id)
		return "rsc_ticket " + id + " T1: " + g.members() + g.some("loss-policy="+g.pick("stop", "demote", "fence", "freeze"))
	case k == 9:
		return g.pick("property", "rsc_defaults", "op_defaults") + " " + g.pick("stonith-enabled=false", "priority=3", "timeout=30s", "migration-threshold=4")
	case k == 10:
		id := g.id("t")
		g.objects = append(g.objects, id)
		return "tag " + id + " " + g.resource() + " " + g.resource()
	case k == 11:
		id := g.id("r")
		g.objects = append(g.objects, id)
		return "role " + id + " " + g.pick("read xpath:/cib", "write property:maintenance-mode", "deny type:primitive attribute:x", "write meta:"+g.resource())
	case k == 12:
		id := g.id("a")
		g.objects = append(g.objects, id)
		return "alert " + id + " /bin/true" + g.some("attributes a=b") + g.some("meta timeout=10s") + g.some("select nodes fencing") + g.some("to /tmp/x")
	case k == 13:
		return "node n1 " + g.pick("attributes", "utilization") + " a=" + fmt.Sprint(g.r.IntN(9))
	case k == 14 && len(g.objects) > 0:
		i := g.r.IntN(len(g.objects))
		id := g.objects[i]
		if id[0] == 'g' || id[0] == 'c' && id[1] != 'o' { // their members would have to be known
			return ""
		}
		g.objects = slices.Delete(g.objects, i, i+1)
		return "delete " + id
	case k == 15 && len(g.free) > 1 && len(g.resources) > 2:
		p := g.take(1)[0]
		g.resources = slices.DeleteFunc(g.resources, func(r string) bool { return r == p })
		return "delete " + p
	}
	return ""
}
