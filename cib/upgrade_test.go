package cib

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outdated makes a document of an old schema out of random old pieces.
func outdated(r *rand.Rand, schema string) *CIB {
	c := New()
	c.Root.Set("validate-with", schema)
	n := 0
	pair := func(name, value string) *Element {
		n++
		return NewElement("nvpair", "id", fmt.Sprintf("nv%d", n), "name", name, "value", value)
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	props := NewElement("cluster_property_set", "id", DefaultPropertySet)
	var names []string
	for name := range upgradedProperties {
		names = append(names, name)
	}
	slices.Sort(names)
	targets := map[string]bool{}
	for _, name := range append(names, "cluster-infrastructure", "cluster-name") {
		to := upgradedProperties[name].name
		if r.IntN(4) > 0 || to != "" && targets[to] { // two spellings of one: who wins is nobody's contract
			continue
		}
		targets[to] = true
		props.Add(pair(name, pick("1", "-INFINITY", "cman", "true")))
	}
	c.Section("crm_config").Add(props)
	for i := range 2 {
		c.Section("nodes").Add(NewElement("node", "id", fmt.Sprint("n", i), "uname", fmt.Sprint("n", i), "type", pick("normal", "member")))
	}
	for i := range 1 + r.IntN(3) {
		id := fmt.Sprint("p", i)
		p := NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", "Dummy")
		if r.IntN(2) == 0 {
			p.Add(NewElement("instance_attributes", "id", id+"i").Add(pair(pick("pcmk_arg_map", "pcmk_off_cmd", "ip"), pick("port:plug", "x:y", "z")), pair("other", "1")))
		}
		if r.IntN(2) == 0 {
			p.Add(NewElement("meta_attributes", "id", id+"m").Add(pair(pick("resource-failure-stickiness", "priority"), pick("-INFINITY", "5"))))
		}
		ops := NewElement("operations")
		for j, name := range []string{"start", "monitor"} {
			op := NewElement("op", "id", fmt.Sprintf("%so%d", id, j), "name", name, "interval", "10")
			switch r.IntN(4) {
			case 0:
				op.Set("requires", pick("nothing", "quorum", "fencing"))
			case 1:
				op.Add(NewElement("meta_attributes", "id", op.ID()+"m").Add(pair("requires", "quorum")))
			case 2:
				op.Add(NewElement("instance_attributes", "id", op.ID()+"i").Add(pair(pick("timeout", "on-fail", "start-delay"), "7"), pair("OCF_CHECK_LEVEL", "10")))
			}
			ops.Add(op)
		}
		c.Section("resources").Add(p.Add(ops))
	}
	c.Section("constraints").Add(NewElement("rsc_colocation", "id", "c", "rsc", "p0", "with-rsc", "p0", pick("score-attribute", "score", "score-attribute-mangle"), "5"))
	if schema < "pacemaker-2" {
		acls := c.Configuration().Ensure("acls")
		rule := func(id string) *Element {
			e := NewElement(pick("read", "write", "deny"), "id", id, pick("tag", "xpath", "ref"), "p0")
			if r.IntN(3) == 0 {
				e.Set("attribute", "a")
			}
			return e
		}
		acls.Add(NewElement("acl_role", "id", "role1").Add(rule("ru1"), rule("ru2")))
		acls.Add(NewElement("acl_user", "id", "u1").Add(NewElement("role_ref", "id", "role1")))
		acls.Add(NewElement("acl_user", "id", "u2").Add(rule("ru3")))
		if r.IntN(2) == 0 {
			acls.Add(NewElement("acl_user", "id", "u3"))
		}
	}
	return c
}

// meaning writes down what an upgrade must agree on: everything but the ids
// of new sets and nvpairs, and which set an option is in.
func meaning(c *CIB) string {
	var b strings.Builder
	var write func(e *Element, depth int)
	write = func(e *Element, depth int) {
		var lines []string
		sets := map[string][]string{}
		for _, s := range e.Children {
			if s.Name == "meta_attributes" || s.Name == "instance_attributes" {
				for p := range s.Named("nvpair") {
					sets[s.Name] = append(sets[s.Name], p.Get("name")+"="+p.Get("value"))
				}
			}
		}
		for name, pairs := range sets {
			slices.Sort(pairs)
			lines = append(lines, name+" "+strings.Join(pairs, " "))
		}
		slices.Sort(lines)
		attrs := slices.Clone(e.Attrs)
		slices.SortFunc(attrs, func(x, y Attr) int { return strings.Compare(x.Name, y.Name) })
		fmt.Fprintf(&b, "%*s%s %v %v\n", depth*2, "", e.Name, attrs, lines)
		for _, s := range e.Children {
			if s.Name != "meta_attributes" && s.Name != "instance_attributes" {
				write(s, depth+1)
			}
		}
	}
	var sections []*Element
	for s := range c.Configuration().Elements() {
		sections = append(sections, s)
	}
	slices.SortFunc(sections, func(x, y *Element) int { return strings.Compare(x.Name, y.Name) })
	for _, s := range sections {
		write(s, 0)
	}
	return b.String()
}

func TestUpgradeAgainstOracle(t *testing.T) {
	tool, err := exec.LookPath("cibadmin")
	if err != nil {
		t.Skip("cibadmin is not installed (Debian: pacemaker-cli-utils)")
	}
	path := filepath.Join(t.TempDir(), "cib.xml")
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 4))
		c := outdated(r, []string{"pacemaker-1.2", "pacemaker-1.3", "pacemaker-2.0", "pacemaker-2.10"}[seed%4])
		before := c.String()
		if p := CheckSchema(c, ""); len(p) > 0 {
			t.Fatalf("seed %d: the old document is wrong: %v\n%s", seed, p, before)
		}
		if err := SaveFile(path, c); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(tool, "--upgrade", "--force")
		cmd.Env = append(os.Environ(), "CIB_file="+path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("seed %d: cibadmin: %v\n%s\n%s", seed, err, out, before)
		}
		want, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		notes, err := Upgrade(c)
		if err != nil || len(notes) == 0 {
			t.Fatal(err, notes)
		}
		if p := CheckSchema(c, ""); len(p) > 0 || c.Schema() != DefaultSchema {
			t.Errorf("seed %d: the result is wrong: %v\n%s", seed, p, c)
		}
		if got, want := meaning(c), meaning(want); got != want {
			t.Errorf("seed %d\n%s\nbecame\n%s\nwant\n%s", seed, before, got, want)
		}
	}
}

func TestUpgrade(t *testing.T) {
	c := mustParse(t, `<cib validate-with="pacemaker-2.10"><configuration><crm_config><cluster_property_set id="s"><nvpair id="a" name="stonith_enabled" value="1"/><nvpair id="b" name="default-action-timeout" value="1"/></cluster_property_set></crm_config><nodes/><resources>
<primitive id="p" class="lsb" type="x"><meta_attributes id="m"><nvpair id="i" name="isolation" value="x"/></meta_attributes></primitive></resources><constraints/>
<op_defaults><meta_attributes id="o"><nvpair id="t" name="timeout" value="9"/></meta_attributes></op_defaults></configuration></cib>`)
	notes, err := Upgrade(c)
	if err != nil {
		t.Fatal(err)
	}
	got := c.Configuration().String()
	for _, w := range []string{`id="a" name="stonith-enabled" value="1"`, `name="timeout" value="9"`, `id="i" name="target-role" value="Stopped"`} {
		if !strings.Contains(got, w) {
			t.Errorf("no %s in\n%s", w, got)
		}
	}
	if strings.Contains(got, `id="b"`) || len(notes) != 4 {
		t.Errorf("%v\n%s", notes, got)
	}
	if notes, err := Upgrade(c); err != nil || len(notes) > 0 {
		t.Errorf("a second time: %v %v", notes, err)
	}
	c.Root.Set("validate-with", "none")
	if _, err := Upgrade(c); err == nil {
		t.Error("upgraded from nowhere")
	}
}
