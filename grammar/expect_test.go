package grammar

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestExpect(t *testing.T) {
	for _, tt := range []struct {
		typed string
		want  []string // What or the word
	}{
		{"", []string{"primitive", "location", "xml"}},
		{"primitive", []string{"new-id"}},
		{"primitive web", []string{"agent", "template"}},
		{"primitive web Dummy", []string{"parameter", "params", "meta", "op", "operations", "utilization", "description="}},
		{"primitive web Dummy params", []string{"parameter", "$id=", "rule", "score"}},
		{"primitive web Dummy params state=/x", []string{"parameter", "meta", "op"}},
		{"primitive web Dummy meta", []string{"meta"}},
		{"primitive web Dummy op", []string{"operation"}},
		{"primitive web Dummy op monitor", []string{"operation-attribute", "op", "op_params"}},
		{"node", []string{"new-node"}},
		{"node n1", []string{"node-attribute", "attributes", "utilization"}},
		{"group g", []string{"group-member"}},
		{"clone c", []string{"clone-child"}},
		{"location l", []string{"resource", "{"}},
		{"location l web", []string{"score", "rule", "location-attribute"}},
		{"location l web 100:", []string{"node"}},
		{"location l web rule", []string{"score", "date", "defined", "rule-attribute", "$role="}},
		{"location l web rule #uname", []string{"comparison"}},
		{"location l web rule #uname eq", []string{"rule-value"}},
		{"location l web rule #uname eq n1", []string{"and", "or", "rule"}},
		{"location l web rule date", []string{"in", "spec", "date-comparison"}},
		{"location l web rule date spec", []string{"date-spec"}},
		{"colocation c", []string{"score"}},
		{"colocation c inf: a", []string{"resource-role"}},
		{"colocation c inf: a b", []string{"resource-role", "node-attribute="}},
		{"colocation c inf: ( a b", []string{")", "resource-role"}},
		{"order o", []string{"order-kind", "resource-action"}},
		{"order o Mandatory: a b", []string{"symmetrical=false"}},
		{"rsc_ticket t", []string{"ticket"}},
		{"rsc_ticket t T: a", []string{"loss-policy=stop"}},
		{"property", []string{"property", "rule"}},
		{"fencing_topology", []string{"fencing-level"}},
		{"role r", []string{"read", "write", "deny"}},
		{"role r read", []string{"acl-spec"}},
		{"acl_target a", []string{"acl-role"}},
		{"alert a /x", []string{"attributes", "meta", "select", "to"}},
		{"alert a /x select", []string{"nodes", "fencing", "resources", "attributes"}},
		{"bundle b", []string{"docker", "podman"}},
		{"bundle b docker image=x", []string{"network", "storage", "primitive", "meta"}},
		{"monitor a", []string{"interval-timeout"}},
		{"tag t", []string{"object"}},
	} {
		x := Expect(ReadCommand("", tt.typed).Words)
		if x.Err != nil {
			t.Errorf("%q: %v", tt.typed, x.Err)
			continue
		}
		var got []string
		for _, o := range x.Options {
			if o.Word != "" {
				got = append(got, o.Word)
			} else {
				got = append(got, string(o.What))
			}
		}
		for _, w := range tt.want {
			if !slices.Contains(got, w) {
				t.Errorf("after %q: no %q in %q", tt.typed, w, got)
			}
		}
	}
}

func TestExpectContext(t *testing.T) {
	for typed, want := range map[string]string{
		"primitive web Dummy params state=/x fake=1":  "id=web agent=Dummy given=[state fake]",
		"primitive web @tmpl meta priority=1":         "id=web template=tmpl given=[priority]",
		"primitive web Dummy op monitor interval=10s": "id=web agent=Dummy op=monitor given=[interval]",
		"primitive web Dummy op monitor meta a=1":     "id=web agent=Dummy given=[a]",
		"group g a b":                    "id=g members=[a b]",
		"colocation c inf: a:Started b":  "id=c members=[a b]",
		"property stonith-enabled=false": "given=[stonith-enabled]",
	} {
		x := Expect(ReadCommand("", typed).Words)
		var s []string
		for _, p := range []struct{ k, v string }{{"id", x.ID}, {"agent", x.Agent}, {"template", x.Template}, {"op", x.Operation}} {
			if p.v != "" {
				s = append(s, p.k+"="+p.v)
			}
		}
		if x.Members != nil {
			s = append(s, fmt.Sprintf("members=%v", x.Members))
		}
		if x.Given != nil {
			s = append(s, fmt.Sprintf("given=%v", x.Given))
		}
		if got := strings.Join(s, " "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", typed, got, want)
		}
	}
}

// TestExpectFollowsStatements: whatever the parser accepts, every beginning of
// it can be continued, and the whole may end there.
func TestExpectFollowsStatements(t *testing.T) {
	scripts, _ := filepath.Glob(filepath.Join(corpus, "cases", "*.crm"))
	if len(scripts) == 0 {
		t.Skip("the conformance corpus is not here: ", corpus)
	}
	n := 0
	for _, s := range scripts {
		for _, l := range ReadScript(filepath.Base(s), readFile(t, s)) {
			if !IsStatement(l.Words[0].Text) {
				continue
			}
			if _, err := Parse(l, Text); err != nil {
				continue
			}
			n++
			for i := range l.Words {
				x := Expect(l.Words[:i])
				if x.Err != nil || len(x.Options) == 0 {
					t.Errorf("%s: after %d words: %v, %d options", l.Text, i, x.Err, len(x.Options))
				}
			}
			if x := Expect(l.Words); x.Err != nil || !x.MayEnd {
				t.Errorf("%s: may not end: %v", l.Text, x.Err)
			}
		}
	}
	if n < 500 {
		t.Errorf("only %d statements", n)
	}
}
