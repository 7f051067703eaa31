package agenttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/ocf"
)

// SameAsScript compares the meta-data of a native agent with that of the
// script of the same name where one is installed, and skips where not: every
// parameter of the script must be there with its default, type and
// uniqueness, every action with its timeout. Parameters in newer are known
// only to later versions of the script; loose are parameters whose default is
// a place on the host or text that need not agree.
func SameAsScript(t *testing.T, name drivers.Name, native drivers.Agent, newer, loose []string) {
	t.Helper()
	script, _, err := ocf.NewFinder("").Find(name)
	if err != nil {
		t.Skipf("not compared with the script: %v", err)
	}
	theirs := parsed(t, script)
	ours := parsed(t, native)
	for _, p := range theirs.Params {
		q, ok := ours.Param(p.Name)
		if !ok {
			t.Errorf("parameter %s is missing", p.Name)
			continue
		}
		if !slices.Contains(loose, p.Name) && !sameDefault(p, q) {
			t.Errorf("parameter %s: default is %q, the script's %q", p.Name, q.Default, p.Default)
		}
		if p.Required != q.Required || p.Unique != q.Unique || p.UniqueGroup != q.UniqueGroup || p.Reloadable != q.Reloadable {
			t.Errorf("parameter %s: required %v, unique %v %q, reloadable %v; the script's: %v, %v %q, %v", p.Name,
				q.Required, q.Unique, q.UniqueGroup, q.Reloadable, p.Required, p.Unique, p.UniqueGroup, p.Reloadable)
		}
		if p.Type != q.Type && !slices.Contains(loose, p.Name) {
			t.Errorf("parameter %s: type %s, the script's %s", p.Name, q.Type, p.Type)
		}
	}
	for _, q := range ours.Params {
		if _, ok := theirs.Param(q.Name); !ok && !slices.Contains(newer, q.Name) {
			t.Errorf("parameter %s is unknown to the script", q.Name)
		}
	}
	actions := func(a *meta.Agent) map[string]bool {
		out := map[string]bool{}
		for _, x := range a.Actions {
			role := strings.NewReplacer("Master", "Promoted", "Slave", "Unpromoted").Replace(x.Role)
			out[fmt.Sprintf("%s(%s) timeout %v interval %v depth %d", x.Name, role, x.Timeout, x.Interval, x.Depth)] = true
		}
		return out
	}
	a, b := actions(theirs), actions(ours)
	for x := range a {
		if !b[x] {
			t.Errorf("action of the script that differs or is missing: %s", x)
		}
	}
}

func sameDefault(p, q meta.Param) bool {
	if p.Default == q.Default {
		return true
	}
	x, ok := meta.ParseBool(p.Default)
	y, ok2 := meta.ParseBool(q.Default)
	return p.Type == meta.Boolean && ok && ok2 && x == y
}

func parsed(t *testing.T, a drivers.Agent) *meta.Agent {
	t.Helper()
	text, err := a.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := meta.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
