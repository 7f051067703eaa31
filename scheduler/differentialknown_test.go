package scheduler

import (
	"regexp"
	"slices"
	"strings"

	"gcrm/cib"
)

// What is known to differ between the peer's version (2.1.5) and the
// semantics of 3.x that this package follows. Texts are made equal before
// anything is compared; what differs in substance is recognised from the
// input and the outputs. No rule knows seeds.

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

// knownDifference recognises, from input and outputs alone, a difference of
// substance that comes from the peer's version.
type knownDifference struct {
	name string
	is   func(c *cib.CIB, d *difference) bool
}

func knownDifferences() []knownDifference {
	return []knownDifference{
		{"neither transition can be executed to its end: where each gets stuck is chance", bothInvalid},
		{"an active unmanaged member blocks the members before it since 3.0", unmanagedMemberBlocks},
		{"colocations of clones and roles were reworked in 2.1.6 to 3.0", cloneColocation},
		{"colocations of groups and of inner members count for the whole group since 2.1.6", groupColocation},
		{"instances of clones do not change places since 2.1.7", cloneShuffle},
		{"undecided: only pseudo-actions differ", onlyPseudo},
	}
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

func bothInvalid(c *cib.CIB, d *difference) bool {
	minus, plus := bagDifference(d.theirs["summary"], d.ours["summary"])
	return len(minus)+len(plus) == 0 && slices.Contains(d.theirs["execute"], invalidTransition) && slices.Contains(d.ours["execute"], invalidTransition)
}

// unmanagedMemberBlocks: where the later member of a group is active and
// unmanaged, 2.1.5 starts the earlier ones or makes a transition that cannot
// be executed to its end (corpus: unmanaged-block-restart).
func unmanagedMemberBlocks(c *cib.CIB, d *difference) bool {
	for _, g := range all(c.Section("resources"), "group") {
		blocked := strings.Contains(strings.Join(d.ours["summary"], "\n"), "(blocked)")
		unmanaged := slices.ContainsFunc(all(g, "nvpair"), func(p *cib.Element) bool {
			return p.Get("name") == "is-managed" && p.Get("value") == "false" || p.Get("name") == "on-fail"
		})
		if d.concerns(g) && (unmanaged || blocked) && (blocked || slices.Contains(d.minus, invalidTransition)) {
			return true
		}
	}
	return false
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

// inGroup tells whether a resource is, is in or contains a group.
func inGroup(c *cib.CIB, el *cib.Element) bool {
	return el.Name == "group" || len(all(el, "group")) > 0 ||
		slices.ContainsFunc(all(c.Section("resources"), "group"), func(g *cib.Element) bool { return g.ChildByID(el.ID()) != nil })
}

// groupColocation: corpus: coloc-group, group-anticolocation,
// banned-group-inner-constraints, primitive-with-group-with-clone.
func groupColocation(c *cib.CIB, d *difference) bool {
	concerned := d.placement() && slices.ContainsFunc(pairings(c), func(p pairing) bool {
		return (inGroup(c, p.dependent) || inGroup(c, p.primary)) && (d.concerns(p.dependent) || d.concerns(p.primary))
	})
	if !concerned {
		return false
	}
	// what is colocated with a group that is itself colocated counts twice for
	// the peer
	for _, p := range pairings(c) {
		if p.primary.Name == "group" && slices.ContainsFunc(pairings(c), func(q pairing) bool { return q.dependent == p.primary && q.primary != p.dependent }) {
			return true
		}
	}
	sim, err := Simulate(c, SimulateOptions{Execute: true, older: olderGroups | olderFactors | olderMixed})
	return err == nil && !sameAnswer(d.ours, reportOf(sim)) // the changes matter here
}

func collectives(c *cib.CIB) []*cib.Element {
	return append(all(c.Section("resources"), "clone"), all(c.Section("resources"), "bundle")...)
}

// cloneColocation: corpus: coloc-cloned-group-promoted-dependent1,
// coloc-optional-promoted-dependent-*, bundle-promoted-colocation-*. Other
// resources may do the same on other nodes: places are given by turns.
func cloneColocation(c *cib.CIB, d *difference) bool {
	collective := func(el *cib.Element) bool { return el.Name == "clone" || el.Name == "bundle" }
	concerned := slices.ContainsFunc(pairings(c), func(p pairing) bool {
		return (collective(p.dependent) || collective(p.primary)) &&
			(d.concerns(p.dependent) || d.concerns(p.primary) || len(d.othersThan(collectives(c))) > 0)
	})
	return concerned && d.onOtherNodes(d.othersThan(slices.Concat(collectives(c), pairedWithCollectives(c))))
}

// pairedWithCollectives are the resources that colocations tie to clones and
// bundles.
func pairedWithCollectives(c *cib.CIB) []*cib.Element {
	var out []*cib.Element
	for _, p := range pairings(c) {
		if k := p.dependent.Name; k == "clone" || k == "bundle" {
			out = append(out, p.primary)
		}
		if k := p.primary.Name; k == "clone" || k == "bundle" {
			out = append(out, p.dependent)
		}
	}
	return out
}

// cloneShuffle: corpus: clone-recover-no-shuffle-*. An instance of a clone is
// elsewhere; what is no clone does the same, perhaps on other nodes.
func cloneShuffle(c *cib.CIB, d *difference) bool {
	minus, plus := bagDifference(d.theirs["summary"], d.ours["summary"])
	moved := slices.ContainsFunc(slices.Concat(minus, plus), func(line string) bool {
		f := strings.Fields(line)
		id, _, numbered := strings.Cut(f[min(2, len(f)-1)], ":")
		return numbered && slices.ContainsFunc(collectives(c), func(el *cib.Element) bool { return hasResource(el, id) })
	})
	return moved && d.onOtherNodes(d.othersThan(collectives(c)))
}

// othersThan are the resources in the differing actions that are not in any of
// the elements.
func (d *difference) othersThan(list []*cib.Element) []string {
	return slices.DeleteFunc(d.resources(), func(id string) bool {
		return slices.ContainsFunc(list, func(el *cib.Element) bool { return hasResource(el, id) })
	})
}

// onOtherNodes tells whether each of the resources does the same on both sides,
// if not on the same node, as far as the peer's transition gets.
func (d *difference) onOtherNodes(ids []string) bool {
	if slices.Contains(d.theirs["execute"], invalidTransition) {
		return true
	}
	tasks := func(lines []string, id string) []string {
		var out []string
		for _, line := range lines {
			if m := resourceLine.FindStringSubmatch(line); m != nil && m[1] == id {
				what, _, _ := strings.Cut(line, " on ")
				out = append(out, what)
			}
		}
		slices.Sort(out)
		return out
	}
	return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Equal(tasks(d.minus, id), tasks(d.plus, id)) })
}

// onlyPseudo: the version is not known to explain these; nothing that is
// executed depends on them. Most are completion actions of groups whose
// members migrate or start already.
func onlyPseudo(c *cib.CIB, d *difference) bool {
	return !d.revised && !slices.ContainsFunc(slices.Concat(d.minus, d.plus), func(s string) bool {
		return !strings.HasPrefix(s, "* Pseudo action: ")
	})
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

var (
	resourceLine = regexp.MustCompile(`^\* (?:Resource|Cluster) action: (\S+)`)
	pseudoLine   = regexp.MustCompile(`^\* Pseudo action: (.+?)_(?:confirmed-|post_|pre_|start|stop|running|stopped|promote|demote|notif|migrate|monitor)`)
	placingLine  = regexp.MustCompile(`^\* Resource action: \S+ (?:start|stop|promote|demote|migrate_to|migrate_from) `)
)

// resources are the ids, without instance numbers, in the executed actions
// that differ.
func (d *difference) resources() []string {
	var out []string
	for _, line := range slices.Concat(d.minus, d.plus) {
		if strings.Contains(line, ": load_stopped_") {
			continue
		}
		for _, re := range []*regexp.Regexp{resourceLine, pseudoLine} {
			if m := re.FindStringSubmatch(line); m != nil {
				id, _, _ := strings.Cut(m[1], ":")
				out = append(out, id)
			}
		}
	}
	return out
}

func hasResource(el *cib.Element, id string) bool {
	found := false
	el.Walk(func(e *cib.Element) bool {
		found = found || e.ID() == id
		return !found
	})
	return found || el.Name == "bundle" && strings.HasPrefix(id, el.ID()+"-")
}

// concerns tells whether a differing action belongs to a resource or to a
// part of it.
func (d *difference) concerns(el *cib.Element) bool {
	return slices.ContainsFunc(d.resources(), func(id string) bool { return hasResource(el, id) })
}

// placement tells whether something is started, stopped, moved or changes its
// role on one side alone.
func (d *difference) placement() bool {
	return slices.ContainsFunc(slices.Concat(d.minus, d.plus), placingLine.MatchString)
}

// explain names the known rule that a difference falls under, or "".
func explain(c *cib.CIB, d *difference) string {
	if d.textOnly != "" {
		return "text: " + d.textOnly
	}
	if o := takenBack(c, d); o != 0 {
		var names []string
		for i, name := range olderNames {
			if o.has(1 << i) {
				names = append(names, name)
			}
		}
		return "taken back: " + strings.Join(names, " + ")
	}
	for _, k := range knownDifferences() {
		if k.is(c, d) && (*differentialRule == "" || !strings.Contains(k.name, *differentialRule)) {
			return k.name
		}
	}
	return ""
}
