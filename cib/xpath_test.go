package cib

import (
	"strings"
	"testing"
)

func TestXPath(t *testing.T) {
	c := aclDoc(t, "")
	for _, tt := range []struct{ expr, want string }{
		{"/", "cib"},
		{"/cib/configuration/nodes/node", "1 2"},
		{"//primitive", "a b c"},
		{"//primitive[2]", "c"},
		{"(//primitive)[2]/@id", ""},
		{"//group/primitive[last()]", "c"},
		{"//primitive[@id='a']/meta_attributes/nvpair", "a-tr"},
		{"//primitive[not(@id='a') and starts-with(@type, \"Dum\")]", "b c"},
		{"//nvpair[@name='standby' or @value='secret']", "n2-s a-p"},
		{"//nvpair[contains(@id, '-p')]/..", "a-i"},
		{"//op/ancestor::group", "g"},
		{"//primitive[operations/op/@interval='10s']", "c"},
		{"//group/*[position() < 2]", "b"},
		{"//primitive[count(.//nvpair) = 2]", "a"},
		{"//node[@uname='n1']/following-sibling::node", "2"},
		{"//node[preceding-sibling::*]", "2"},
		{"//primitive | //rsc_location", "a b c l"},
		{"//@score", "l"},
		{"//*[name()='op' or local-name()='rsc_location']", "c-mon l"},
		{"//*[@score > 99 and @score <= 100]", "l"},
		{"//nvpair[string-length(@value) = 6]", "a-p"},
		{"//nvpair[translate(@value, 'ces', 'CES') = 'SECrEt']", "a-p"},
		{"//nvpair[substring-before(@id, '-') = 'n2']", "n2-s"},
		{"//primitive[substring(@type, 2, 3) = 'umm'][1]", "a b"},
		{"//nothing", ""},
		{"//node[@id = 1 + 1]", "2"},
		{"//node[-1 + 2]", "1"},
	} {
		x, err := CompileXPath(tt.expr)
		if tt.want == "" && err != nil {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		var got []string
		for _, e := range x.Select(c) {
			id := e.ID()
			if id == "" {
				id = e.Name
			}
			got = append(got, id)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.expr, s, tt.want)
		}
	}
	for _, bad := range []string{"", "//", "//a[", "//a]", "a b", "//a[@]", "foo()", "count()", "'x", "//a[1", "bogus::a", "(((((", strings.Repeat("(", 5000), strings.Repeat("-", 2000) + "1"} {
		if _, err := CompileXPath(bad); err == nil {
			t.Errorf("%.20s was accepted", bad)
		}
	}
}

func FuzzXPath(f *testing.F) {
	f.Add("//primitive[@id='a']/..|/cib[1]")
	f.Add("//*[contains(name(),'x') and not(position()=last())]")
	c := aclDoc(f, "")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 60 {
			return // nested steps may cost much on purpose
		}
		if x, err := CompileXPath(s); err == nil {
			x.Select(c)
		}
	})
}
