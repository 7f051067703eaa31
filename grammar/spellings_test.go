package grammar

import (
	"strings"
	"testing"

	"gcrm/cib"
)

// Spellings and corners of crmsh that random statements brought to light: what
// a statement makes, and how it is shown.
func TestCornersOfCrmsh(t *testing.T) {
	const base = "primitive a Dummy\nprimitive b Dummy\nprimitive c Dummy\nprimitive f Dummy params $id=f-ia state=1\n"
	for _, c := range []struct{ statement, xml, text string }{
		{"primitive p Dummy op monitor interval=10s $id=x", `<op name="monitor" interval="10s" id="x"/>`, "op monitor interval=10s"},
		{"primitive p Dummy op monitor $id=x interval=10s", `<op name="monitor" id="x" interval="10s"/>`, "op monitor interval=10s"},
		{"primitive p Dummy op monitor interval=10s $x:timeout=20s", `timeout="20s" id="p-monitor-10s"/>`, "timeout=20s"},
		{"primitive p systemd:a@b.service", `type="a@b.service"`, "primitive p systemd:a@b.service\n"},
		{"primitive p Dummy params $id-ref=f params x=1", `<instance_attributes id-ref="f-ia"/>`, `xml <primitive id="p"`},
		{"primitive p Dummy params x=1 params $id-ref=f", `<instance_attributes id-ref="f-ia"/>`, "params $id-ref=f-ia"},
		{"primitive p Dummy params rule date lt \"a=b\" x=1", `end="a=b"`, `rule date lt "a=b" x=1`},
		{"rsc_ticket t \"T 1\": a loss-policy=stop", `ticket="T 1" loss-policy="stop" rsc="a"`, `xml <rsc_ticket id="t" ticket="T 1" loss-policy="stop" rsc="a"/>`},
		{"colocation k inf: a b node-attribute=Rack", `score="INFINITY" node-attribute="rack" rsc="a"`, "node-attribute=rack"},
		{"order o Optional: a b symmetrical=no", `kind="Optional" symmetrical="false" first="a"`, "symmetrical=false"},
		{"order o ( a b:stop require-all=false ) c", `<resource_set sequential="false" id="o-0">`, "( a ) [ b:stop ] c"},
		{"alert l /x select attributes { y } attributes { z }", `<attribute name="z"`, `xml <alert id="l"`},
		{"alert l /x select to y", `<alert id="l" path="/x">`, "alert l \"/x\" \\\n\tto y\n"},
		{`xml '<alert id="l" path="/x"><recipient id="mine" value="y"/></alert>'`, `id="mine"`, `xml <alert id="l"`},
	} {
		e := NewEdit(cib.New(), nil)
		for _, l := range ReadScript("t", base+c.statement+"\n") {
			st, err := Parse(l, Command)
			if err == nil {
				_, err = e.Apply(st)
			}
			if err != nil {
				t.Fatalf("%s: %v", c.statement, err)
			}
		}
		if x := e.CIB.String(); !strings.Contains(x, c.xml) {
			t.Errorf("%s: %s is missing in\n%s", c.statement, c.xml, x)
		}
		if s := Print(e.CIB, PrintOptions{}); !strings.Contains(s, c.text) {
			t.Errorf("%s: %s is missing in\n%s", c.statement, c.text, s)
		}
	}
}

// Programs that work by lines get each object on one.
func TestOneLine(t *testing.T) {
	e := NewEdit(cib.New(), nil)
	if _, err := Load(e, Update, "t", "primitive a Dummy params x=1 op monitor interval=10s\nxml <primitive id=\"b\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"><utilization/><future/></primitive>\nbundle u docker image=x network control-port=1 port-mapping port=80\n"); err != nil {
		t.Fatal(err)
	}
	text := Print(e.CIB, PrintOptions{OneLine: true})
	if n := strings.Count(text, "\n"); n != 3 || strings.Contains(text, "\\") {
		t.Errorf("%d lines:\n%s", n, text)
	}
	before := e.CIB.String()
	if _, err := Load(e, Replace, "t", text); err != nil || e.CIB.String() != before {
		t.Errorf("%v: read back\n%s\nwas\n%s", err, e.CIB, before)
	}
}
