package scheduler

import (
	"regexp"
	"slices"
	"strings"

	"gcrm/cib"
)

// What is known to differ between the peer's version (2.1.5) and the
// semantics of 3.x that this package follows. Texts are made equal before
// anything is compared; what differs in substance is explained only if the
// answers are equal once the changes since then are taken back (see older). No
// rule knows seeds.

// textRule rewrites a line of either report into a common form.
type textRule struct {
	name    string
	rewrite func(line string) string
}

var (
	probeText = regexp.MustCompile(`(?i)(Stopped) \((not installed|invalid parameter|[a-z ]*not installed)\)`)
	flagText  = regexp.MustCompile(`\(([a-z:A-Z, -]+)\)(:| \[.*\]|)$`)
)

// textRules: each ties a wording of 2.1.5 to that of 3.x.
func textRules() []textRule {
	return []textRule{
		// 3.x says "maintenance" where 2.1.5 says "unmanaged" for a resource
		// whose maintenance meta-attribute is set, and lists flags in
		// another order (corpus: rsc-maintenance, shutdown-maintenance-node).
		{"wording of maintenance and order of flags", func(line string) string {
			m := flagText.FindStringSubmatchIndex(line)
			if m == nil {
				return line
			}
			flags := strings.Split(line[m[2]:m[3]], ", ")
			for i, f := range flags {
				if f == "maintenance" {
					flags[i] = "unmanaged"
				}
			}
			slices.Sort(flags)
			return line[:m[2]] + strings.Join(flags, ", ") + line[m[3]:]
		}},
		// 3.x adds what a masked probe failure said (corpus:
		// failed-probe-primitive, bug-cl-5028 and others).
		{"text of a masked probe failure", func(line string) string {
			return probeText.ReplaceAllString(line, "$1")
		}},
		// 3.x does not count fence devices when it says that a node in
		// standby has active resources.
		{"a node in standby with fence devices only", func(line string) string {
			return strings.Replace(line, ": standby (with active resources)", ": standby", 1)
		}},
		// 3.x counts target-role Unpromoted of a promotable clone as
		// disabled in the list of stopped instances.
		{"stopped instances of disabled clones", func(line string) string {
			return strings.Replace(line, "* Stopped (disabled): [", "* Stopped: [", 1)
		}},
	}
}

// commonText applies all text rules and joins the lists of stopped instances
// that become one by them.
func commonText(sections map[string][]string, used map[string]bool) map[string][]string {
	out := map[string][]string{}
	for name, lines := range sections {
		var list []string
		for _, line := range lines {
			for _, r := range textRules() {
				if after := r.rewrite(line); after != line {
					used[r.name] = true
					line = after
				}
			}
			if strings.HasPrefix(line, "* Stopped: [") {
				names := strings.Fields(line)[3:]
				if last := len(list) - 1; last >= 0 && strings.HasPrefix(list[last], "* Stopped: [") {
					names = append(names, strings.Fields(list[last])[3:]...)
					list = list[:last]
				}
				names = slices.DeleteFunc(names, func(s string) bool { return s == "]" })
				slices.Sort(names)
				line = "* Stopped: [ " + strings.Join(names, " ") + " ]"
			}
			list = append(list, line)
		}
		out[name] = list
	}
	return out
}

// olderNames name the changes that can be taken back one by one.
var olderNames = [...]string{
	"colocations of colocated resources count by the product of their scores since 2.1.6",
	"mandatory colocations are looked at before optional ones since 2.1.6",
	"an anti-colocation keeps a dependent's only node free since 2.1.7",
	"colocations of a group are those of all its members since 2.1.6",
	"an active member stops before an inactive one in front of it starts since 2.1.7",
	"a node that lacks the score attribute is not forbidden since 3.0",
	"the entry of a cancelled monitor is no activity since 2.1.6",
	"fail counts on nodes to be fenced or lost are cleared by the DC since 3.0",
	"clone-node-max above 1 makes a clone unique since 3.0",
	"a resource on a node in maintenance is itself in maintenance since 2.1.6",
	"guests that were never seen count as one node for the peer, which splits groups; not copied",
	"colocations look at the container's host since 2.1.8",
	"fencing of remote nodes without quorum asks for the nodes that can host them since 3.0",
	"the node of a pending operation is not named after a simulation since 3.0",
	"groups, clones and bundles that are unmanaged on offline nodes alone are listed since 3.0",
	"guest nodes that are offline are not listed, in whatever state, since 3.0",
	"instances of clones stay where they are if one is wanted there, and share all colocations of their clone, since 2.1.6 to 2.1.7",
	"mandatory colocations with clones look at their node attribute since 2.1.6",
	"roles in colocations count for their resources alone since 2.1.6",
	"rules of locations whose expressions are alternatives set scores, as others do, since 3.0",
	"degraded results are good ones for all operations, not monitors alone, since 3.0",
	"failures that tell of a promoted role, or of a stop beyond recovery, mean nothing once they expired since 3.0",
	"instances that are nowhere go last in promotion since 2.1.6",
	"interleaved with a bundle means with what is in its containers since 2.1.6",
	"instances of ordered clones are ordered with all others, not with the next one alone, since 2.1.6",
	"a rule that passes on the nodes of a bundle itself puts its containers there for the peer, which aborts where that is the container's own; not copied",
}

// takenBack returns the changes that have to be taken back to get the peer's
// answer, as few as possible; none if that does not do.
func takenBack(c *cib.CIB, d *difference) older {
	equal := func(o older) bool {
		sim, err := Simulate(c, SimulateOptions{Execute: true, older: o})
		return err == nil && sameAnswer(d.theirs, reportOf(sim))
	}
	for i := range olderNames {
		if equal(1 << i) {
			return 1 << i
		}
	}
	left := olderAll
	for !equal(left) {
		switch left { // the reworked placement of clones may be taken back wrongly
		case olderAll:
			left = olderAll &^ olderRoles
		case olderAll &^ olderRoles:
			left = olderAll &^ olderInstances
		case olderAll &^ olderInstances:
			left = olderAll &^ (olderInstances | olderRoles)
		default:
			return 0
		}
	}
	for i := range olderNames {
		if less := left &^ (1 << i); equal(less) {
			left = less
		}
	}
	return left
}

// pairing is one dependent and primary of a colocation constraint, as written.
type pairing struct {
	dependent, primary *cib.Element
	score              string
	roles              bool
}

// pairings expands sets and tags of the colocation constraints; the order of
// set members does not matter to those who ask.
func pairings(c *cib.CIB) []pairing {
	named := map[string][]*cib.Element{}
	for _, kind := range []string{"primitive", "group", "clone", "bundle"} {
		for _, el := range all(c.Section("resources"), kind) {
			named[el.ID()] = []*cib.Element{el}
		}
	}
	if tags := c.Section("tags"); tags != nil {
		for _, tag := range all(tags, "tag") {
			for _, ref := range all(tag, "obj_ref") {
				named[tag.ID()] = append(named[tag.ID()], named[ref.ID()]...)
			}
		}
	}
	var out []pairing
	for _, col := range all(c.Section("constraints"), "rsc_colocation") {
		var left, right []*cib.Element
		if refs := all(col, "resource_ref"); len(refs) > 0 {
			for _, ref := range refs {
				left = append(left, named[ref.ID()]...)
			}
			right = left
		} else {
			left, right = named[col.Get("rsc")], named[col.Get("with-rsc")]
		}
		for _, a := range left {
			for _, b := range right {
				if a != b {
					out = append(out, pairing{a, b, col.Get("score"), col.Has("rsc-role") || col.Has("with-rsc-role")})
				}
			}
		}
	}
	return out
}

// all returns the descendants of a kind.
func all(root *cib.Element, name string) []*cib.Element {
	var out []*cib.Element
	if root != nil {
		root.Walk(func(e *cib.Element) bool {
			if e.Name == name {
				out = append(out, e)
			}
			return true
		})
	}
	return out
}

// explain names the known rule that a difference falls under, or "".
func explain(c *cib.CIB, d *difference) string {
	why := ""
	if d.textOnly != "" {
		why = "text: " + d.textOnly
	} else if o := takenBack(c, d); o != 0 {
		var names []string
		for i, name := range olderNames {
			if o.has(1 << i) {
				names = append(names, name)
			}
		}
		why = "taken back: " + strings.Join(names, " + ")
	}
	if *differentialRule != "" && strings.Contains(why, *differentialRule) {
		return ""
	}
	return why
}
