package grammar

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gcrm/cib"
)

// TestErrors pins what an administrator reads: place, what is wrong, what was
// expected, what to do.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"primitive", "f:1:10: syntax in primitive: Expected at least 2 arguments, expected an id"},
		{"primitive web", "f:1:14: syntax in primitive: Expected at least 2 arguments, expected an agent ([class:[provider:]]type) or a template (@NAME)"},
		{"primitive web a:b:c:d", "f:1:15: syntax in primitive: bad resource type specification a:b:c:d; write [class:[provider:]]type, as in ocf:heartbeat:IPaddr2"},
		{"primitive 1web Dummy", "f:1:11: syntax in primitive: 1web: invalid object id; ids begin with a letter or _ and go on with letters, digits, _, - and ."},
		{"primitive web Dummy params x=\"a b", "f:1:30: No closing quotation; the quote that opens here is not closed in this line"},
		{"primitive web Dummy op monitor OCF_CHECK_LEVEL=10 interval=10s", "f:1:51: syntax in primitive: Attribute order error: interval must appear before any instance attribute; move interval=10s up"},
		{"primitve web Dummy", `f:1:1: "primitve" is not a statement; did you mean "primitive"?`},
		{"location l web 100 n1", `f:1:16: syntax in location: unexpected "100", expected name=value, a score (100:, inf:) or rule; did you mean "100:"?`},
		{"location l web inf:n1", `f:1:16: syntax in location: unexpected "inf:n1", expected name=value, a score (100:, inf:) or rule; write a blank behind the colon: inf: n1`},
		{"location l web ruel 100: defined x", `f:1:16: syntax in location: unexpected "ruel", expected name=value, a score (100:, inf:) or rule; did you mean "rule"?`},
		{"location l web rule 100: #uname == n1", `f:1:33: syntax in location: unexpected "==", expected a comparison (eq, ne, lt, gt, lte, gte); did you mean "eq"?`},
		{"location l web rule 100: #uname EQ n1", `f:1:33: syntax in location: comparisons are written in small letters; write "eq"`},
		{"location l web rule 100: a eq 1 and b eq 2 or c eq 3", "f:1:44: syntax in location: Mixing bool ops not allowed: and != or; split it into two rules"},
		{"location l web rule date in start=2026-01-01", "f:1:29: syntax in location: Expected at least 2 name-value pairs; write start=... and end=... or a duration"},
		{"colocation c a b", `f:1:14: syntax in colocation: unexpected "a", expected a score (100:, inf:)`},
		{"colocation c inf: a b:Promotd", "f:1:21: syntax in colocation: Invalid role 'Promotd' for 'b'; did you mean Promoted?"},
		{"colocation c inf: ( a ( b c ) )", "f:1:23: syntax in role: Cannot nest resource sets"},
		{"colocation c inf: ( a b ] c", "f:1:25: syntax in role: Mismatched closing bracket"},
		{"colocation c inf: a b ) c", "f:1:23: syntax in role: Unmatched closing bracket"},
		{"colocation c inf: ( a b", "f:1:19: syntax in role: Unmatched opening bracket"},
		{"order o Mandatroy: a b", "f:1:9: syntax in order: Invalid kind \"Mandatroy\"; did you mean Mandatory:?"},
		{"order o a:explode b", "f:1:9: syntax in order: Invalid action 'explode' for 'a'; known are start, stop, promote, demote"},
		{"rsc_ticket t a", `f:1:14: syntax in rsc_ticket: unexpected "a", expected a ticket (NAME:)`},
		{"property stonith-enabled=false #禁用", "f:1:32: syntax in property: Unknown arguments: #禁用; a comment stands on a line of its own, # being its first character"},
		{"primitive w Dummy op interval=10s", `f:1:22: syntax in primitive: unexpected "interval=10s", expected an operation name`},
		{"role r read status xpath:", "f:1:20: syntax in role: Expected <type>:<spec>; write what stands behind the colon"},
		{"property no-quorum-policy", "f:1:10: syntax in property: Unknown arguments: no-quorum-policy; write NAME=VALUE"},
		{"role r modify cib", `f:1:8: syntax in role: unexpected "modify", expected description=..., read, write or deny`},
		{"role r read xpth:/cib", `f:1:13: syntax in role: "xpth:/cib" says nothing about what to read; did you mean xpath?`},
		{"bundle b rkt image=x", `f:1:10: syntax in bundle: unexpected "rkt", expected description=..., docker or podman; rkt is no longer supported: use docker or podman`},
		{"monitor web 10s", "f:1:9: syntax in monitor: object web does not exist"},
		{"xml <foo/>", "f:1:5: syntax in xml: Element foo not recognized; give one object: a primitive, rsc_location, cluster_property_set, ..."},
		{"group g nosuch", "f:1:9: syntax in group: g refers to missing object nosuch"},
		{"user u role:x", "f:1:1: syntax in user: user not supported by the RNG schema; write acl_target ID ROLE"},
		// Positions through continuations, tabs and quotes.
		{"primitive web Dummy \\\n\tparams state=/x \\\n\top monitor X=1 timeout=1", "f:3:17: syntax in primitive: Attribute order error: timeout must appear before any instance attribute; move timeout=1 up"},
		{"location l \"web\" ru\\\nel 100: n1", `f:1:18: syntax in location: unexpected "ruel", expected name=value, a score (100:, inf:) or rule; did you mean "rule"?`},
		{"colocation c inf: \"ü\" ( a ( b ) )", "f:1:27: syntax in role: Cannot nest resource sets"},
	} {
		e := NewEdit(cib.New(), nil)
		var got []string
		for _, l := range ReadScript("f", tt.script) {
			st, err := Parse(l, Command)
			if err == nil {
				_, err = e.Apply(st)
			}
			if err != nil {
				got = append(got, err.Error())
			}
		}
		if s := strings.Join(got, "\n"); s != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.script, s, tt.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	l := ReadScript("f", "# x\nlocation l \\\n\tweb ruel 100: n1\n")
	_, err := Parse(l[0], Command)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := "  \tweb ruel 100: n1\n  \t    ^~~~\n"
	if got := e.Excerpt(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRemarks: what is legal but looks like a slip gets a warning with a
// suggestion.
func TestRemarks(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"primitive w Dummy op monitor interval=10s on-fail-restart", `"on-fail-restart" is taken as the name of an attribute without value; did you mean on-fail=restart?`},
		{"primitive w Dummy parms state=/x", `"parms" is taken as the name of an attribute without value; did you mean "params"?`},
		{"primitive w Dummy params state=“/x”", `"state=“/x”" is taken as it stands; these are typographic quotes; type " instead`},
		{"primitive w Dummy params —state", `"—state" is taken as it stands; this is a typographic dash; type - instead`},
		{"primitive w Dummy op monitor intervall=10s", `intervall is taken as a parameter of the operation; did you mean "interval"?`},
		{"primitive w Dummy # the web", `"#" is taken as the name of an attribute without value; a comment stands on a line of its own, # being its first character`},
		{"master m w notify=”True”", `"notify=”True”" is taken as it stands; these are typographic quotes; type " instead`},
		{"collocation c inf: a b", `"collocation" is accepted as "colocation"`},
		{"resource w Dummy", `"resource" is accepted as "primitive"`},
		{"ms m w", `"ms" is deprecated; write a clone with meta promotable=true`},
		{"primitive w Dummy op monitor role=Master interval=10s", `Convert deprecated "Master" to "Promoted"`},
	} {
		e := NewEdit(cib.New(), nil)
		mustApply(t, e, "primitive w0 Dummy")
		line := strings.Replace(tt.line, "ms m w", "ms m w0", 1)
		line = strings.Replace(line, "master m w ", "master m w0 meta ", 1)
		st, err := Parse(ReadCommand("", line), Command)
		if err != nil {
			t.Fatal(err)
		}
		remarks, err := e.Apply(st)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range remarks {
			found = found || r.Message() == tt.want
		}
		if !found {
			t.Errorf("%s: got %v, want %s", line, remarks, tt.want)
		}
	}
}

func mustApply(t *testing.T, e *Edit, script string) Errors {
	t.Helper()
	var all Errors
	for _, l := range ReadScript("", script) {
		st, err := Parse(l, Command)
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Apply(st)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r...)
	}
	return all
}

// TestFailedStatementChangesNothing: not the CIB, and not the ids in use.
func TestFailedStatementChangesNothing(t *testing.T) {
	e := NewEdit(cib.New(), nil)
	mustApply(t, e, "node n1\nprimitive a Dummy params $id=x s=1\ngroup g a\nlocation l g 10: n1\nproperty p=q")
	before := e.CIB.Clone()
	for _, bad := range []string{
		"primitive b Dummy params $id=x",
		"primitive b Dummy op start X=1 timeout=1",
		"primitive a Dummy",
		"group h a",
		"group h nosuch a",
		"clone c nosuch",
		"clone g g",
		"location l g 20: n1",
		"property $id=g x=y",
		"node 7: n1 a=b",
		"tag 1t a",
		"primitive c Dummy params $id-ref=nosuch",
		"monitor g 10s",
		"xml '<primitive id=\"a\" class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"/>'",
	} {
		st, err := Parse(ReadCommand("", bad), Command)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Apply(st); err == nil {
			t.Errorf("%s: accepted", bad)
		}
		if !e.CIB.Root.Equal(before.Root) {
			t.Fatalf("%s: changed the CIB\n%s", bad, e.CIB)
		}
	}
	mustApply(t, e, "primitive b Dummy params s=1")
	if e.CIB.Section("resources").ChildByID("b").Child("instance_attributes").ID() != "b-instance_attributes" {
		t.Errorf("a failed statement kept an id: %s", e.CIB)
	}
}

// TestLoadReportsEverything: all mistakes of a text in one run, in order, and
// nothing of it is kept.
func TestLoadReportsEverything(t *testing.T) {
	e := NewEdit(cib.New(), nil)
	mustApply(t, e, "primitive a Dummy")
	before := e.CIB.Clone()
	_, err := Load(e, Update, "conf", "primitive b Dummy\nprimitve c Dummy\ncolocation x a b\nprimitive b Dummy\ngroup g nosuch\nprimitive d Dummy meta $id-ref=none\n")
	want := []string{
		`conf:2:1: "primitve" is not a statement; did you mean "primitive"?`,
		`conf:3:14: syntax in colocation: unexpected "a", expected a score (100:, inf:)`,
		`conf:4:1: syntax in primitive: Duplicate resource: b`,
		`conf:5:9: syntax in group: g refers to missing object nosuch`,
		`conf:6:24: syntax in primitive: Reference not found: none`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	if !e.CIB.Root.Equal(before.Root) {
		t.Errorf("the failed load changed the CIB\n%s", e.CIB)
	}
}

// TestPositions: every word of every physical line is found where it stands.
func TestPositions(t *testing.T) {
	text := "# c\n  primitive w \\\n\tD'um'my params a=\"b c\"\\ d \\\n  # x\n\nnode ü n\n"
	lines := ReadScript("f", text)
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var got []string
	for _, l := range lines {
		for _, w := range l.Words {
			got = append(got, fmt.Sprintf("%s@%d:%d", w.Text, w.Pos.Line, w.Pos.Column))
		}
	}
	want := "primitive@2:3 w@2:13 Dummy@3:2 params@3:10 a=b c d@3:17 #@4:3 x@4:5 node@6:1 ü@6:6 n@6:8"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	w := lines[0].Words[2]
	for i, column := range []int{2, 4, 5, 7, 8} {
		if p := w.At(i); p.Column != column || text[p.Offset] != w.Text[i] {
			t.Errorf("byte %d of %q: %v", i, w.Text, p)
		}
	}
}

func TestCompletenessForThePrompt(t *testing.T) {
	for text, more := range map[string]bool{`primitive a \`: true, "primitive a": false, "primitive a \\\n\tDummy": false, "a \\\n b\\ ": true} {
		if NeedsMore(text) != more {
			t.Errorf("NeedsMore(%q) = %v", text, !more)
		}
	}
	if l := ReadCommand("", "primitive a \\"); !l.Unterminated {
		t.Error("not unterminated")
	}
	if l := ReadCommand("", `a "b`); l.Err == nil || len(l.Words) != 2 {
		t.Errorf("open quote: %+v", l)
	}
	if got := ReadArguments("", []string{"a b", "", `"`}).Words; len(got) != 3 || got[0].Text != "a b" || got[1].Text != "" || got[2].Text != `"` {
		t.Errorf("arguments: %+v", got)
	}
}

// TestVocabulary: one property is not set under two names.
func TestVocabulary(t *testing.T) {
	e := NewEdit(cib.New(), nil)
	mustApply(t, e, "property stonith-enabled=true")
	remarks := mustApply(t, e, "property fencing-enabled=false no-quorum-policy=stop")
	if len(remarks) != 1 || remarks[0].Message() != "fencing-enabled is called stonith-enabled in this CIB" {
		t.Errorf("remarks: %v", remarks)
	}
	if got, want := Print(e.CIB, PrintOptions{}), "property cib-bootstrap-options: \\\n\tstonith-enabled=false \\\n\tno-quorum-policy=stop\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
