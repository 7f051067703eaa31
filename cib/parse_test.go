package cib

import (
	"encoding/xml"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestParseRoundTrip(t *testing.T) {
	in := `<?xml version="1.0"?>
<cib epoch="1" num_updates='2' admin_epoch="0"><!-- c1 -->
  <configuration new:thing="&lt;&amp;&gt;&quot;&apos;&#10;x&#x41;">
    <crm_config/><unknown a="1">text &amp; more</unknown>
  </configuration>
</cib>`
	e, err := ParseElement(in, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Child("configuration").Get("new:thing"); got != "<&>\"'\nxA" {
		t.Errorf("entities: %q", got)
	}
	again, err := ParseElement(e.String(), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Equal(again) {
		t.Errorf("round trip differs:\n%s\n%s", e, again)
	}
}

// TestParseValues covers values that need a second look, and text that looks
// like layout.
func TestParseValues(t *testing.T) {
	e, err := ParseElement("<a a=\"it's\" b='say \"x\"' c=\"1\r\n2\t3\" d=\"\uff01\"> \n<b>&#32;</b> <c> </c><d> x </d><e><![CDATA[ <&]]>]</e></a>", DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "it's", "b": `say "x"`, "c": "1 2 3", "d": "\uff01"} {
		if got := e.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"b": " ", "c": "", "d": " x ", "e": " <&]"} {
		if got := e.Child(name).Text; got != want {
			t.Errorf("text of %s is %q, want %q", name, got, want)
		}
	}
	if again, err := ParseElement(e.String(), DefaultLimits); err != nil || !again.Equal(e) {
		t.Errorf("%v\n%s", err, e)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{``, "xml:1:1: no element found"},
		{`<!DOCTYPE x [<!ENTITY a "b">]><x/>`, "xml:1:1: document type definitions are not accepted"},
		{"<a>\n <b></a>", "xml:2:7: </a> does not close <b>"},
		{`<a x="1" x="2"/>`, "xml:1:10: attribute x is given twice"},
		{`<a x="&foo;"/>`, "xml:1:7: unknown entity"},
		{`<a x=1/>`, "must be quoted"},
		{`<a x="1"y="2"/>`, "expected white space"},
		{`<a/><b/>`, "text after the end"},
		{"<a b=\"\x01\"/>", "not allowed"},
		{"<a b=\"\xff\"/>", "invalid UTF-8"},
		{"<a b=\"\uffff\"/>", "xml:1:7: character U+FFFF is not allowed"},
		{"<a b=\"x<\"/>", "xml:1:8: \"<\" inside the value"},
		{"<a b=\"x", "not closed"},
		{strings.Repeat("<a>", 70), "nested deeper"},
		{`<a`, "not closed"},
		{`<a><!-- `, "comment is not closed"},
	} {
		_, err := ParseElement(c.in, DefaultLimits)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.in, err, c.want)
		}
	}
}

// TestParseInSeries reads elements one after another and each for itself: what
// came before must not make a difference, to what is accepted or how.
func TestParseInSeries(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	seldom := func(bad, good string) string {
		if r.IntN(80) == 0 {
			return bad
		}
		return good
	}
	accepted := 0
	for range 3000 {
		var series []string
		for range 2 + r.IntN(6) {
			var b strings.Builder
			b.WriteString("<" + pick("op", "op", "op", "res", "po"))
			for _, name := range []string{"id", "name", "interval", "type"} {
				if r.IntN(6) == 0 {
					name = pick("nam", "names", "extra"+name, seldom("id", "ID"))
				}
				if r.IntN(8) > 0 {
					b.WriteString(seldom("", pick(" ", " ", "  ", "\n")) + name + seldom("", pick("=", "=", "=", " =", "= ", "\t=\n")) +
						seldom(pick(`"a`, `"<"`, `"&no;"`, `a`), pick(`"a"`, `"a"`, `"a"`, `'a'`, `"ab"`, `""`, `"&amp;"`, `"&amp;"`, `"x	y"`, `"'"`)))
				}
			}
			b.WriteString(seldom(pick(">", "/"), pick("/>", "/>", " />")))
			series = append(series, b.String())
		}
		whole, err := ParseElement("<all>"+strings.Join(series, "")+"</all>", DefaultLimits)
		var last *SyntaxError
		for i, text := range series {
			alone, e := ParseElement(text, DefaultLimits)
			if errors.As(e, &last) {
				break
			}
			if err == nil && !slices.EqualFunc([]*Element{alone}, whole.Children[i:i+1], func(a, b *Element) bool {
				return a.String() == b.String()
			}) {
				t.Fatalf("%q in %q: %s, alone %s", text, series, whole.Children[i], alone)
			}
		}
		switch {
		case err == nil && last != nil, err != nil && last == nil:
			t.Fatalf("%q: in series %v, alone %v", series, err, last)
		case err == nil:
			accepted++
		}
	}
	if accepted < 100 {
		t.Errorf("only %d series were accepted", accepted)
	}
}

func TestParseTextInPieces(t *testing.T) {
	const n = 100000
	e, err := ParseElement("<a>"+strings.Repeat("x<!--y--><![CDATA[<]]>", n)+"</a>", DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	if e.Text != strings.Repeat("x<", n) || len(e.Children) != n {
		t.Errorf("text of %d bytes, %d comments", len(e.Text), len(e.Children))
	}
}

// FuzzParse checks that nothing panics, that what is accepted survives a
// round trip, and that the standard library accepts it too.
func FuzzParse(f *testing.F) {
	f.Add(`<cib a="1"><b/>&amp;<!--x--><![CDATA[y]]></cib>`)
	f.Add(`<?xml version="1.0"?><a b='&#10;'>t</a>`)
	f.Add("<a>&#32;<b> x\r\n</b><c><![CDATA[ ]]></c></a>")
	f.Add("<a b=\"x\r\ty\ufffd'\" c='\"'/>")
	f.Fuzz(func(t *testing.T, in string) {
		e, err := ParseElement(in, Limits{Bytes: 1 << 16, Depth: 32, Nodes: 1000, Attrs: 32})
		if err != nil {
			return
		}
		again, err := ParseElement(e.String(), DefaultLimits)
		if err != nil || !e.Equal(again) {
			t.Fatalf("round trip: %v\n%q\n%q", err, in, e.String())
		}
		var v struct {
			XMLName xml.Name
		}
		if err := xml.Unmarshal([]byte(e.String()), &v); err != nil {
			t.Skip("stricter library:", err)
		}
	})
}
