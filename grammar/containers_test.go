package grammar

import (
	"strings"
	"testing"

	"gcrm/cib"
)

// A group takes over what its members were named for: once, with the role of
// the last mention, in whatever order the members are written.
func TestGroupTakesOverConstraints(t *testing.T) {
	for _, group := range []string{"group g a b", "group g b a"} {
		e := NewEdit(cib.New(), nil)
		script := "primitive a Dummy\nprimitive b Dummy\nprimitive c Dummy\ncolocation col -inf: b c a:Promoted\n" + group + "\n"
		for _, l := range ReadScript("t", script) {
			st, err := Parse(l, Command)
			if err == nil {
				_, err = e.Apply(st)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, want := Print(e.CIB, PrintOptions{}), "colocation col -inf: c g:Promoted\n"; !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing in\n%s", group, want, got)
		}
	}
}

// Two resources are left of a ticket's sets when others went into a group or
// were deleted: one set says the same, unless their roles differ.
func TestTicketSetsJoin(t *testing.T) {
	for script, want := range map[string]string{
		"rsc_ticket t T: ( a b ) c\ngroup g a b\n":               "rsc_ticket t T: g c\n",
		"rsc_ticket t T: ( a b ) c:Promoted\ngroup g a b\n":      "rsc_ticket t T: g c:Promoted\n",
		"rsc_ticket t T: ( a b ) c d\ngroup g a b\n":             "rsc_ticket t T: ( g ) c d\n",
		"rsc_ticket t T: ( a b ) c loss-policy=stop\ndelete b\n": "rsc_ticket t T: a c loss-policy=stop\n",
	} {
		e := NewEdit(cib.New(), nil)
		for _, l := range ReadScript("t", "primitive a Dummy\nprimitive b Dummy\nprimitive c Dummy\nprimitive d Dummy\n"+script) {
			if l.Words[0].Text == "delete" {
				if _, err := cib.Delete(e.CIB, l.Words[1].Text); err != nil {
					t.Fatal(err)
				}
				continue
			}
			st, err := Parse(l, Command)
			if err == nil {
				_, err = e.Apply(st)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := Print(e.CIB, PrintOptions{}); !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing in\n%s", script, want, got)
		}
		var refs int
		e.CIB.Section("constraints").Walk(func(x *cib.Element) bool {
			if x.Name == "resource_set" {
				refs++
			}
			return true
		})
		if joined := strings.Count(want, "Promoted") == 0 && !strings.Contains(want, "("); joined != (refs == 1) {
			t.Errorf("%s: %d sets", script, refs)
		}
	}
}
