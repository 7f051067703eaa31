package cib

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// editDoc makes a document from a line of resources and one of constraints in
// a shorthand: "a", "g(a b)", "c[a]" for a clone, "a@t" and "t!" for templates.
func editDoc(t *testing.T, resources, constraints string) *CIB {
	t.Helper()
	c := mustParse(t, `<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources/><constraints>`+constraints+`</constraints></configuration></cib>`)
	s := strings.NewReplacer("(", " ( ", ")", " ) ", "[", " [ ", "]", " ] ").Replace(resources)
	stack := []*Element{c.Section("resources")}
	var last *Element
	for _, w := range strings.Fields(s) {
		switch w {
		case "(", "[":
			last.Attrs = last.Attrs[:1]
			last.Name = map[string]string{"(": "group", "[": "clone"}[w]
			stack = append(stack, last)
		case ")", "]":
			stack = stack[:len(stack)-1]
		default:
			id, template, _ := strings.Cut(w, "@")
			last = NewElement("primitive", "id", strings.TrimSuffix(id, "!"), "class", "ocf", "provider", "heartbeat", "type", "Dummy")
			if strings.HasSuffix(id, "!") {
				last.Name = "template"
			} else if template != "" {
				last = NewElement("primitive", "id", id, "template", template)
			}
			stack[len(stack)-1].Add(last)
		}
	}
	return c
}

// shorthand is the way back.
func shorthand(c *CIB) string {
	var b strings.Builder
	var write func(e *Element)
	write = func(e *Element) {
		for r := range e.Elements() {
			switch {
			case r.Name == "template":
				b.WriteString(r.ID() + "! ")
			case r.Name == "primitive":
				b.WriteString(r.ID() + " ")
			case r.Name == "group":
				b.WriteString(r.ID() + "( ")
				write(r)
				b.WriteString(") ")
			case r.Name == "clone":
				b.WriteString(r.ID() + "[ ")
				write(r)
				b.WriteString("] ")
			}
		}
	}
	write(c.Section("resources"))
	b.WriteString("|")
	for e := range c.Section("constraints").Elements() {
		b.WriteString(" " + e.ID() + ":")
		var names []string
		for _, a := range []string{"rsc", "rsc-role", "with-rsc", "with-rsc-role", "first", "first-action", "then", "then-action"} {
			if v := e.Get(a); v != "" {
				names = append(names, v)
			}
		}
		for set := range e.Named("resource_set") {
			open, shut := "{", "}"
			if set.Get("sequential") == "false" {
				open, shut = "(", ")"
			}
			var in []string
			for r := range set.Elements() {
				in = append(in, r.ID())
			}
			names = append(names, open+strings.Join(in, ",")+shut)
		}
		b.WriteString(strings.Join(names, ","))
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func constraintSets(kind, id string, sets ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<%s id="%s">`, kind, id)
	for i, s := range sets {
		attr := ""
		if strings.HasPrefix(s, "(") {
			attr, s = ` sequential="false"`, strings.Trim(s, "()")
		}
		s, role, _ := strings.Cut(s, ":")
		if role != "" {
			attr += ` role="` + role + `"`
		}
		fmt.Fprintf(&b, `<resource_set id="%s-%d"%s>`, id, i, attr)
		for r := range strings.FieldsSeq(s) {
			fmt.Fprintf(&b, `<resource_ref id="%s"/>`, r)
		}
		b.WriteString(`</resource_set>`)
	}
	fmt.Fprintf(&b, `</%s>`, kind)
	return b.String()
}

func TestDelete(t *testing.T) {
	loc := func(id, rsc string) string {
		return `<rsc_location id="` + id + `" rsc="` + rsc + `" node="n1" score="1"/>`
	}
	many := constraintSets("rsc_order", "o1", "d1 d2", "(d3 d4)") + constraintSets("rsc_colocation", "c1", "d4", "(d1 d2 d3)") +
		constraintSets("rsc_colocation", "c2", "d1 d2 d3 d4") + constraintSets("rsc_colocation", "c3", "(d3 d4)", "(d1 d2)")
	for name, c := range map[string]struct{ resources, constraints, delete, want, notes string }{
		"primitive":             {"a b", loc("l", "a"), "a", "b |", "rsc_location:l deleted"},
		"other constraint":      {"a b", loc("l", "b"), "a", "b | l:b", ""},
		"constraint":            {"a", loc("l", "a"), "l", "a |", ""},
		"constraint too":        {"a", loc("l", "a"), "l a", "|", ""},
		"group member":          {"g(a b)", "", "b", "g( a ) |", ""},
		"last member":           {"g(a)", loc("l", "g"), "a", "|", "group:g deleted, rsc_location:l deleted"},
		"all members":           {"g(a b) c", "", "a b", "c |", "group:g deleted"},
		"cloned":                {"c[a]", "", "a", "|", "clone:c deleted"},
		"clone":                 {"c[a] z", loc("l", "c"), "c", "a z | l:a", "rsc_location:l updated"},
		"group":                 {"x g(a b) z", loc("l", "g") + `<rsc_order id="o" first="g" then="z"/>`, "g", "x a b z | l:a o:a,z", "rsc_location:l updated, rsc_order:o updated"},
		"group in clone":        {"c[g(a b)]", "", "g", "a b |", "clone:c deleted"},
		"clone of group":        {"c[g(a b)]", loc("l", "c"), "c", "g( a b ) | l:g", "rsc_location:l updated"},
		"group and its heir":    {"g(a b)", loc("l", "g"), "g a", "b | l:b", "rsc_location:l updated"},
		"inherited loop":        {"g(a b)", `<rsc_order id="o" first="g" then="a"/>`, "g", "a b |", "rsc_order:o deleted"},
		"template":              {"t! a@t g(b@t c)", loc("l", "a"), "t", "g( c ) |", "primitive:a deleted, primitive:b deleted, rsc_location:l deleted"},
		"sets":                  {"d1 d2 d3 d4", many, "d2", "d1 d3 d4 | o1:{d1},(d3,d4) c1:{d4},(d1,d3) c2:{d1,d3,d4} c3:(d3,d4),(d1)", "rsc_order:o1 updated, rsc_colocation:c1 updated, rsc_colocation:c2 updated, rsc_colocation:c3 updated"},
		"sets twice":            {"d1 d2 d3 d4", many, "d2 d4", "d1 d3 | o1:d1,d3 c1:(d1,d3) c2:d3,d1 c3:d3,d1", "rsc_order:o1 updated, rsc_colocation:c1 updated, rsc_colocation:c2 updated, rsc_colocation:c3 updated"},
		"sets with roles":       {"a b c", constraintSets("rsc_colocation", "k", "a:Promoted", "b c:Started"), "c", "a b | k:a,Promoted,b,Started", "rsc_colocation:k updated"},
		"one left":              {"a b", constraintSets("rsc_order", "o", "(a b)"), "a", "b |", "rsc_order:o deleted"},
		"ticket":                {"a b", constraintSets("rsc_ticket", "t", "a b"), "a", "b | t:{b}", "rsc_ticket:t updated"},
		"location set":          {"a b", constraintSets("rsc_location", "l", "a b"), "a", "b | l:{b}", "rsc_location:l updated"},
		"set of a group":        {"g(a b) c", constraintSets("rsc_order", "o", "(g c)"), "g", "a b c |", "rsc_order:o deleted"},
		"larger set of a group": {"g(a b) c d", constraintSets("rsc_order", "o", "(g c d)"), "g", "a b c d | o:(c,d)", "rsc_order:o updated"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := editDoc(t, c.resources, c.constraints)
			notes, err := Delete(doc, strings.Fields(c.delete)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := shorthand(doc); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var words []string
			for _, n := range notes {
				w := n.Element + ":" + n.ID + " updated"
				if n.Deleted {
					w = n.Element + ":" + n.ID + " deleted"
				}
				words = append(words, w)
			}
			if got := strings.Join(words, ", "); got != c.notes {
				t.Errorf("notes %s\nwant  %s", got, c.notes)
			}
			for _, p := range CheckSchema(doc, "") {
				if p.Severity == Error && !strings.Contains(c.constraints, "resource_set") {
					t.Error(p)
				}
			}
		})
	}
}

func TestDeleteOthers(t *testing.T) {
	doc := mustParse(t, `<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="a"/></nodes>
<resources><primitive id="a" class="lsb" type="x"/><primitive id="b" class="lsb" type="x"/></resources><constraints/>
<tags><tag id="t1"><obj_ref id="a"/></tag><tag id="t2"><obj_ref id="a"/><obj_ref id="b"/></tag></tags>
<fencing-topology><fencing-level id="f" index="1" target="n1" devices="a,b"/></fencing-topology>
<acls><acl_role id="r"><acl_permission id="p1" kind="read" reference="a"/><acl_permission id="p2" kind="read" xpath="/cib"/></acl_role><acl_role id="s"/><acl_target id="u"><role id="r"/><role id="s"/></acl_target></acls></configuration></cib>`)
	notes, err := Delete(doc, "a", "n1", "s")
	if err != nil {
		t.Fatal(err)
	}
	got := doc.Configuration().String()
	for _, gone := range []string{`id="t1"`, `<obj_ref id="a"`, `id="p1"`, `<role id="s"`, `uname="n1"`, `<primitive id="a"`} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is still there\n%s", gone, got)
		}
	}
	for _, there := range []string{`<obj_ref id="b"`, `id="p2"`, `<role id="r"`, `uname="a"`, `devices="a,b"`} {
		if !strings.Contains(got, there) {
			t.Errorf("%s is gone\n%s", there, got)
		}
	}
	if len(notes) != 4 {
		t.Errorf("%v", notes)
	}
	if _, err := Delete(doc, "u", "fencing_topology", "t2", "r"); err != nil || doc.Section("fencing-topology") != nil || doc.Section("acls") != nil || doc.Section("tags") != nil {
		t.Errorf("%v\n%s", err, doc)
	}
	before := doc.String()
	if _, err := Delete(doc, "b", "x", "y", "p2"); !errors.Is(err, ErrNoObject) || !strings.Contains(err.Error(), "object x does not exist\nobject y") || doc.String() != before {
		t.Errorf("%v", err)
	}
}

func TestRename(t *testing.T) {
	doc := editDoc(t, "g(a b) t! p@t", `<rsc_location id="l" rsc="a" node="n1" score="1"/>`+constraintSets("rsc_order", "o", "(g a b)"))
	doc.Configuration().Ensure("tags").Add(NewElement("tag", "id", "tag").Add(NewElement("obj_ref", "id", "a")))
	doc.Configuration().Ensure("fencing-topology").Add(NewElement("fencing-level", "id", "f", "index", "1", "target", "n1", "devices", "x,a,b"))
	notes, err := Rename(doc, "a", "web")
	if err != nil {
		t.Fatal(err)
	}
	if got := shorthand(doc); got != "g( web b ) t! p | l:web o:(g,web,b)" {
		t.Error(got)
	}
	if fmt.Sprint(doc.Section("tags").Children[0].Children[0].ID(), doc.Section("fencing-topology").Children[0].Get("devices")) != "webx,web,b" {
		t.Error(doc)
	}
	if len(notes) != 3 || notes[0].ID != "l" || notes[0].Deleted {
		t.Errorf("%v", notes)
	}
	if _, err := Rename(doc, "t", "tt"); err != nil || doc.Section("resources").ChildByID("p").Get("template") != "tt" {
		t.Error(err)
	}
	before := doc.String()
	for _, c := range [][3]string{{"nosuch", "x", "object nosuch does not exist"}, {"web", "b", "b: id is already in use"}, {"web", "1x", "1x: invalid object id"},
		{"web", "o-0", "o-0: id is already in use"}, {"n1", "x", "n1: a node cannot be renamed"}} {
		if _, err := Rename(doc, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if doc.String() != before {
		t.Error("a refused rename changed something")
	}
}

func TestGroupMembers(t *testing.T) {
	start := func() *CIB {
		return editDoc(t, "g(a b) c d(e) k[x]", `<rsc_order id="o" first="c" then="x"/>`+constraintSets("rsc_order", "s", "(c a)"))
	}
	for _, c := range []struct{ group, member, before, after, want string }{
		{"g", "c", "", "", "g( a b c ) d( e ) k[ x ] | o:c,x s:(c,a)"},
		{"g", "c", "a", "", "g( c a b ) d( e ) k[ x ] | o:c,x s:(c,a)"},
		{"g", "c", "", "a", "g( a c b ) d( e ) k[ x ] | o:c,x s:(c,a)"},
		{"g", "nosuch", "", "", "g refers to missing object nosuch"},
		{"nosuch", "c", "", "", "group nosuch does not exist"},
		{"k", "c", "", "", "element k is not a group"},
		{"g", "e", "", "", "e is already in group d"},
		{"g", "a", "", "", "a is already a member of g"},
		{"g", "k", "", "", "only primitives"},
		{"g", "c", "x", "", "x is not member of g"},
	} {
		doc := start()
		err := AddMember(doc, c.group, c.member, c.before, c.after)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || shorthand(doc) != shorthand(start()) {
				t.Errorf("%v: %v", c, err)
			}
		} else if got := shorthand(doc); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
	doc := start()
	if err := RemoveMember(doc, "g", "a"); err != nil || !strings.HasPrefix(shorthand(doc), "g( b ) a c") {
		t.Error(err, shorthand(doc))
	}
	for _, c := range [][3]string{{"g", "nosuch", "nosuch is not member of g"}, {"g", "b", "last member"}, {"x", "y", "not a group"}} {
		if err := RemoveMember(doc, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
