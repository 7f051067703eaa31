package grammar

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gcrm/cib"

	"pgregory.net/rapid"
)

// Words that have gone wrong somewhere, sometime.
var nasty = []string{"", "a", "1", "x y", `say "hi"`, `it's`, `C:\temp`, `back\\slash`, `end\`, `\"`, "a=b", "=", "$id", "$x=1", "@ref", "100:", "inf:", "#c",
	"über", "日本", "{a}", "(a", "a]", "params", "meta", "op", "rule", "date", "eq", "and", "defined", "a:b", "a\tb", "a\nb", "-", "--", "description=x",
	"/run/x", "%H:%M", "true", "false", "&<>", "to", "select", "\u00a0", "“q”", "param{x}", "role=Master", "Master", "[", "xml", "# not"}

func value(t *rapid.T, name string) string {
	if rapid.IntRange(0, 3).Draw(t, name+" plain") > 0 {
		return rapid.SampledFrom([]string{"a", "b1", "10s", "x y", "/run/x", "true"}).Draw(t, name)
	}
	return rapid.SampledFrom(nasty).Draw(t, name)
}

func word(t *rapid.T, name string) string {
	if rapid.IntRange(0, 5).Draw(t, name+" plain") > 0 {
		return rapid.SampledFrom([]string{"a", "state", "x-y", "cpu", "#health", "role", "target-role", "passwd", "interval"}).Draw(t, name)
	}
	v := rapid.SampledFrom(nasty).Draw(t, name)
	if v == "" {
		return "empty"
	}
	return v
}

// generator makes a random configuration. Ids are unique; half of the inner
// ids are those that would be generated, half are not.
type generator struct {
	t    *rapid.T
	n    int
	sets []string // ids of attribute sets, for references
	res  []string
}

func (g *generator) chance(n int, what string) bool { return rapid.IntRange(0, n).Draw(g.t, what) == 0 }

func (g *generator) id(prefix string) string {
	g.n++
	return prefix + strconv.Itoa(g.n)
}

func (g *generator) pairs(e *cib.Element) *cib.Element {
	for i := range rapid.IntRange(0, 3).Draw(g.t, "pairs") {
		p := cib.NewElement("nvpair", "id", g.id("nv"), "name", word(g.t, "name")+strconv.Itoa(i))
		if !g.chance(5, "valueless") {
			p.Set("value", value(g.t, "value"))
		}
		e.Add(p)
	}
	return e
}

func (g *generator) set(name string) *cib.Element {
	if len(g.sets) > 0 && g.chance(8, "reference") {
		return cib.NewElement(name, "id-ref", rapid.SampledFrom(g.sets).Draw(g.t, "ref"))
	}
	e := cib.NewElement(name, "id", g.id("set"))
	g.sets = append(g.sets, e.ID())
	if g.chance(3, "score") {
		e.Set("score", rapid.SampledFrom([]string{"1", "INFINITY", "-5", "1.5", "x"}).Draw(g.t, "set score"))
	}
	for g.chance(3, "rule") {
		e.Add(g.rule())
	}
	return g.pairs(e)
}

func (g *generator) rule() *cib.Element {
	e := cib.NewElement("rule", "id", g.id("rule"))
	switch rapid.IntRange(0, 4).Draw(g.t, "rule score") {
	case 0:
		e.Set("score-attribute", word(g.t, "score attribute"))
	case 1:
	default:
		e.Set("score", rapid.SampledFrom([]string{"100", "INFINITY", "-INFINITY", "0"}).Draw(g.t, "score"))
	}
	if g.chance(3, "role") {
		e.Set("role", rapid.SampledFrom([]string{"Started", "Promoted", "odd role"}).Draw(g.t, "rule role"))
	}
	if op := rapid.SampledFrom([]string{"", "and", "or"}).Draw(g.t, "bool"); op != "" {
		e.Set("boolean-op", op)
	}
	for i := 0; i == 0 || g.chance(2, "more"); i++ {
		e.Add(g.expression())
	}
	return e
}

func (g *generator) expression() *cib.Element {
	id := g.id("ex")
	switch rapid.IntRange(0, 6).Draw(g.t, "expression") {
	case 0:
		return cib.NewElement("expression", "id", id, "operation", "defined", "attribute", word(g.t, "attribute"))
	case 1:
		return cib.NewElement("date_expression", "id", id, "operation", "lt", "end", value(g.t, "date"))
	case 2:
		return cib.NewElement("date_expression", "id", id, "operation", "in_range", "start", "2026-01-01", "end", value(g.t, "end"))
	case 3:
		d := cib.NewElement("date_expression", "id", id, "operation", "in_range", "start", "2026-01-01")
		return d.Add(cib.NewElement("duration", "id", g.id("du"), "months", "3"))
	case 4:
		d := cib.NewElement("date_expression", "id", id, "operation", "date_spec")
		return d.Add(cib.NewElement("date_spec", "id", g.id("ds"), "hours", "9-16", "weekdays", value(g.t, "weekdays")))
	case 5:
		return g.rule()
	}
	e := cib.NewElement("expression", "id", id, "operation", rapid.SampledFrom(comparisons).Draw(g.t, "operation"), "attribute", word(g.t, "attribute"))
	e.Set("value", value(g.t, "expression value"))
	if g.chance(3, "type") {
		e.Set("type", rapid.SampledFrom(valueTypes).Draw(g.t, "type"))
	}
	if g.chance(5, "source") {
		e.Set("value-source", rapid.SampledFrom([]string{"param", "meta", "literal"}).Draw(g.t, "source"))
	}
	return e
}

func (g *generator) described(e *cib.Element) *cib.Element {
	if g.chance(4, "described") {
		e.Set("description", value(g.t, "description"))
	}
	return e
}

func (g *generator) primitive() *cib.Element {
	e := g.described(cib.NewElement("primitive", "id", g.id("p"), "class", "ocf", "provider",
		rapid.SampledFrom([]string{"heartbeat", "pacemaker"}).Draw(g.t, "provider"), "type", "Dummy"))
	g.res = append(g.res, e.ID())
	sections := rapid.SliceOfN(rapid.SampledFrom([]string{"instance_attributes", "meta_attributes", "utilization", "operations"}), 0, 4).Draw(g.t, "sections")
	for _, s := range sections {
		if s != "operations" {
			e.Add(g.set(s))
			continue
		}
		if e.Child("operations") != nil {
			continue
		}
		ops := cib.NewElement("operations")
		if g.chance(3, "ops id") {
			ops.Set("id", g.id("ops"))
		}
		for i := range rapid.IntRange(0, 3).Draw(g.t, "ops") {
			op := cib.NewElement("op", "id", g.id("op"), "name", rapid.SampledFrom([]string{"monitor", "start"}).Draw(g.t, "op"), "interval", strconv.Itoa(i)+"s")
			if g.chance(2, "timeout") {
				op.Set("timeout", value(g.t, "timeout"))
			}
			if g.chance(3, "op set") {
				op.Add(g.set("instance_attributes"))
			}
			if g.chance(4, "op meta") {
				op.Add(g.set("meta_attributes"))
			}
			ops.Add(op)
		}
		e.Add(ops)
	}
	return e
}

func (g *generator) resourceSet(e *cib.Element, suffix string, values []string) {
	for i := 0; i < 1 || g.chance(1, "more sets"); i++ {
		s := cib.NewElement("resource_set", "id", g.id("rs"))
		for _, a := range []string{"sequential", "require-all"} {
			if v := rapid.SampledFrom([]string{"", "", "true", "false"}).Draw(g.t, a); v != "" {
				s.Set(a, v)
			}
		}
		if v := rapid.SampledFrom(append([]string{""}, values...)).Draw(g.t, suffix); v != "" {
			s.Set(suffix, v)
		}
		for j := 0; j < 1 || g.chance(1, "more refs"); j++ {
			s.Add(cib.NewElement("resource_ref", "id", rapid.SampledFrom(g.res).Draw(g.t, "ref")))
		}
		e.Add(s)
	}
}

func (g *generator) configuration() *cib.CIB {
	c := cib.New()
	at := func(section string) *cib.Element { return c.Configuration().Ensure(section) }
	for range rapid.IntRange(0, 2).Draw(g.t, "nodes") {
		name := g.id("node")
		n := g.described(cib.NewElement("node", "id", rapid.SampledFrom([]string{name, strconv.Itoa(g.n)}).Draw(g.t, "node id"), "uname", name))
		if g.chance(3, "node type") {
			n.Set("type", rapid.SampledFrom([]string{"member", "remote"}).Draw(g.t, "type"))
		}
		if g.chance(1, "attributes") {
			n.Add(g.set("instance_attributes"))
		}
		if g.chance(2, "utilization") {
			n.Add(g.set("utilization"))
		}
		at("nodes").Add(n)
	}
	r := at("resources")
	for range rapid.IntRange(1, 3).Draw(g.t, "primitives") {
		r.Add(g.primitive())
	}
	if g.chance(1, "group") {
		e := g.described(cib.NewElement("group", "id", g.id("g")))
		e.Add(g.primitive(), g.primitive())
		if g.chance(1, "group meta") {
			e.Add(g.set("meta_attributes"))
		}
		g.res = append(g.res, e.ID())
		if g.chance(1, "clone") {
			k := cib.NewElement(rapid.SampledFrom([]string{"clone", "master"}).Draw(g.t, "clone kind"), "id", g.id("c"))
			e = k.Add(g.set("meta_attributes"), e)
		}
		r.Add(e)
	}
	if g.chance(2, "bundle") {
		e := cib.NewElement("bundle", "id", g.id("b"))
		d := cib.NewElement("docker", "image", "i", "replicas", "2")
		d.Set("run-command", value(g.t, "run"))
		e.Add(d)
		if g.chance(1, "network") {
			e.Add(cib.NewElement("network", "ip-range-start", "10.0.0.1").Add(cib.NewElement("port-mapping", "id", g.id("pm"), "port", "80")))
		}
		if g.chance(1, "member") {
			e.Add(g.primitive())
		}
		r.Add(e)
	}
	roleNames := []string{"Started", "Promoted", "Stopped", "odd"}
	if g.chance(1, "location") {
		e := cib.NewElement("rsc_location", "id", g.id("l"))
		switch rapid.IntRange(0, 2).Draw(g.t, "location kind") {
		case 0:
			e.Set("rsc", rapid.SampledFrom(g.res).Draw(g.t, "rsc"))
		case 1:
			e.Set("rsc-pattern", rapid.SampledFrom([]string{"web.*", "[a", "x y", "a/b", "a:"}).Draw(g.t, "pattern"))
		default:
			g.resourceSet(e, "role", roleNames)
		}
		if g.chance(2, "discovery") {
			e.Set("resource-discovery", "never")
		}
		if g.chance(1, "score") {
			e.Set("score", rapid.SampledFrom([]string{"100", "-INFINITY", "+INFINITY"}).Draw(g.t, "location score"))
			e.Set("node", value(g.t, "location node"))
		} else {
			e.Add(g.rule())
		}
		at("constraints").Add(e)
	}
	if g.chance(1, "colocation") {
		e := cib.NewElement("rsc_colocation", "id", g.id("col"), "score", "INFINITY")
		if g.chance(1, "sets") {
			g.resourceSet(e, "role", roleNames)
		} else {
			e.Set("rsc", rapid.SampledFrom(g.res).Draw(g.t, "rsc"))
			e.Set("with-rsc", rapid.SampledFrom(g.res).Draw(g.t, "with"))
			if g.chance(2, "node attribute") {
				e.Set("node-attribute", word(g.t, "node attribute"))
			}
		}
		at("constraints").Add(e)
	}
	if g.chance(1, "order") {
		e := cib.NewElement("rsc_order", "id", g.id("o"))
		if k := rapid.SampledFrom([]string{"", "Mandatory", "Optional"}).Draw(g.t, "kind"); k != "" {
			e.Set("kind", k)
		}
		if g.chance(1, "sets") {
			g.resourceSet(e, "action", []string{"start", "promote", "dance"})
		} else {
			e.Set("first", rapid.SampledFrom(g.res).Draw(g.t, "first"))
			e.Set("then", rapid.SampledFrom(g.res).Draw(g.t, "then"))
		}
		if g.chance(2, "symmetrical") {
			e.Set("symmetrical", rapid.SampledFrom([]string{"true", "false", "no"}).Draw(g.t, "symmetrical"))
		}
		at("constraints").Add(e)
	}
	if g.chance(2, "ticket") {
		e := cib.NewElement("rsc_ticket", "id", g.id("t"), "ticket", rapid.SampledFrom([]string{"T", "t:x", "x y"}).Draw(g.t, "ticket"))
		if g.chance(1, "sets") {
			g.resourceSet(e, "role", roleNames)
		} else {
			e.Set("rsc", rapid.SampledFrom(g.res).Draw(g.t, "rsc"))
		}
		at("constraints").Add(e)
	}
	if g.chance(1, "property") {
		at("crm_config").Add(g.withoutScore(g.ownSet("cluster_property_set")))
	}
	if g.chance(1, "defaults") {
		at("rsc_defaults").Add(g.withoutScore(g.ownSet("meta_attributes")))
		at("op_defaults").Add(g.withoutScore(g.ownSet("meta_attributes")))
	}
	if g.chance(2, "topology") {
		e := at("fencing-topology")
		for i := range rapid.IntRange(1, 3).Draw(g.t, "levels") {
			l := cib.NewElement("fencing-level", "id", g.id("fl"))
			switch rapid.IntRange(0, 2).Draw(g.t, "target") {
			case 0:
				l.Set("target", value(g.t, "target"))
			case 1:
				l.Set("target-pattern", value(g.t, "target pattern"))
			default:
				l.Set("target-attribute", "rack")
				l.Set("target-value", value(g.t, "target value"))
			}
			l.Set("index", strconv.Itoa(i+1))
			l.Set("devices", rapid.SampledFrom([]string{"f1", "f1,f2", "a b", ""}).Draw(g.t, "devices"))
			e.Add(l)
		}
	}
	if g.chance(2, "acls") {
		e := g.described(cib.NewElement("acl_role", "id", g.id("r")))
		for i := 0; i == 0 || g.chance(1, "more permissions"); i++ {
			p := g.described(cib.NewElement("acl_permission", "id", g.id("perm"), "kind", "read"))
			switch rapid.IntRange(0, 2).Draw(g.t, "permission") {
			case 0:
				p.Set("xpath", rapid.SampledFrom([]string{"/cib", "//nodes/node[@uname='x']", "//primitive[@id='a b']/utilization", "//x[@y=\"z\"]", "a b", "x:"}).Draw(g.t, "xpath"))
			case 1:
				p.Set("reference", rapid.SampledFrom(g.res).Draw(g.t, "reference"))
			default:
				p.Set("object-type", word(g.t, "object type"))
				if g.chance(1, "attribute") {
					p.Set("attribute", word(g.t, "acl attribute"))
				}
			}
			e.Add(p)
		}
		at("acls").Add(e, cib.NewElement("acl_target", "id", value(g.t, "user")+"u").Add(cib.NewElement("role", "id", e.ID())))
	}
	if g.chance(2, "tag") {
		e := cib.NewElement("tag", "id", g.id("tag"))
		e.Add(cib.NewElement("obj_ref", "id", g.res[0]))
		at("tags").Add(e)
	}
	if g.chance(2, "alert") {
		e := g.described(cib.NewElement("alert", "id", g.id("al"), "path", value(g.t, "path")))
		for _, s := range rapid.SliceOfN(rapid.SampledFrom([]string{"instance_attributes", "meta_attributes", "select", "recipient"}), 0, 4).Draw(g.t, "alert parts") {
			switch s {
			case "select":
				sel := cib.NewElement("select")
				if g.chance(1, "select nodes") {
					sel.Add(cib.NewElement("select_nodes"))
				}
				if g.chance(1, "select attributes") {
					sel.Add(cib.NewElement("select_attributes").Add(cib.NewElement("attribute", "id", g.id("at"), "name", word(g.t, "selected"))))
				}
				e.Add(sel)
			case "recipient":
				x := g.described(cib.NewElement("recipient", "id", g.id("rec")))
				x.Set("value", value(g.t, "recipient"))
				if g.chance(1, "recipient set") {
					x.Add(g.set("instance_attributes"))
				}
				e.Add(x)
			default:
				e.Add(g.set(s))
			}
		}
		at("alerts").Add(e)
	}
	return c
}

// ownSet makes a set that is no reference.
func (g *generator) ownSet(name string) *cib.Element {
	e := cib.NewElement(name, "id", g.id("set"))
	g.sets = append(g.sets, e.ID())
	if g.chance(2, "rule") {
		e.Add(g.rule())
	}
	return g.pairs(e)
}

func (g *generator) withoutScore(e *cib.Element) *cib.Element { e.Unset("score"); return e }

// TestPrintParseIsIdentity: what is printed for editing, read back over the
// CIB that it came from, changes nothing; read into an empty CIB, it gives the
// same but for generated ids.
func TestPrintParseIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &generator{t: t}
		doc := g.configuration()
		checkRoundTrip(t, doc)
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

func checkRoundTrip(t failer, doc *cib.CIB) {
	text := Print(doc, PrintOptions{SetIDs: true})
	want := canonical(Display(doc.Configuration()))

	same := NewEdit(doc.Clone(), nil)
	if _, err := LoadEdited(same, Objects(doc, false), "printed", text, false); err != nil || !same.CIB.Root.Equal(doc.Root) {
		t.Fatalf("unchanged text changes the CIB: %v\n%s\nwas:\n%s\nis:\n%s", err, text, doc, same.CIB)
	}
	if _, err := same.load(loading{method: Update, edited: true, repeat: true, selection: Objects(doc, false), name: "printed", text: text}); err != nil {
		t.Fatalf("printed text is not accepted: %v\n%s", err, text)
	}
	if got := canonical(Display(same.CIB.Configuration())); got != want {
		t.Fatalf("reading back what was printed changes the CIB\ntext:\n%s\nwas:\n%s\nis:\n%s", text, want, got)
	}

	fresh := NewEdit(cib.New(), nil)
	fresh.CIB.Root.Set("validate-with", doc.Schema())
	if _, err := Load(fresh, Update, "printed", text); err != nil {
		t.Fatalf("printed text is not accepted by an empty CIB: %v\n%s", err, text)
	}
	if again := Print(fresh.CIB, PrintOptions{SetIDs: true}); again != text && !strings.Contains(text, "xml ") && !strings.Contains(text, "$id=") {
		t.Fatalf("text is no fixed point\nfirst:\n%s\nsecond:\n%s", text, again)
	}
	a, b := anonymous(Display(doc.Configuration())), anonymous(Display(fresh.CIB.Configuration()))
	if a != b {
		t.Fatalf("an empty CIB gets something else\ntext:\n%s\nwas:\n%s\nis:\n%s", text, a, b)
	}
}

// anonymous is canonical without the ids that a tool may choose.
func anonymous(conf *cib.Element) string {
	conf = conf.Clone()
	for s := range conf.Elements() {
		for _, o := range s.Children {
			for _, c := range o.Children {
				c.Walk(func(e *cib.Element) bool {
					if needsIDName(e.Name) {
						e.Unset("id")
					}
					return true
				})
			}
			if o.Name == "fencing-level" {
				o.Unset("id")
			}
		}
	}
	return canonical(conf)
}

// TestCorpusRoundTrip prints and reads back every configuration of the
// corpus.
func TestCorpusRoundTrip(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpus, "cases", "*.xml"))
	if len(files) == 0 {
		t.Skip("the conformance corpus is not here: ", corpus)
	}
	for _, f := range files {
		if strings.HasSuffix(f, ".cib.xml") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := cib.ParseElement(string(b), cib.DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		doc := cib.New()
		for i, c := range doc.Root.Children {
			if c.Name == "configuration" {
				doc.Root.Children[i] = conf
			}
		}
		if doc, err = cib.FromElement(doc.Root); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(f), "schema210") {
			doc.Root.Set("validate-with", "pacemaker-2.10")
		}
		t.Run(filepath.Base(f), func(t *testing.T) { checkRoundTrip(t, doc) })
	}
}
