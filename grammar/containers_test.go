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
