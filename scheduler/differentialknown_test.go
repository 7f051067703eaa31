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
	probeText   = regexp.MustCompile(`(?i)(Stopped) \((not installed|invalid parameter|[a-z ]*not installed)\)`)
	pendingNode = regexp.MustCompile(`(\): Stopped) [^ (]\S*( \(|$)`)
	flagText    = regexp.MustCompile(`\(([a-z:A-Z, -]+)\)(:| \[.*\]|)$`)
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
		// 2.1.5 names the node of a pending operation of a stopped resource.
		{"node of a pending operation", func(line string) string {
			return pendingNode.ReplaceAllString(line, "$1$2")
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
			if last := len(list) - 1; last >= 0 && strings.HasPrefix(line, "* Stopped: [") && strings.HasPrefix(list[last], "* Stopped: [") {
				names := append(strings.Fields(list[last])[3:], strings.Fields(line)[3:]...)
				names = slices.DeleteFunc(names, func(s string) bool { return s == "]" })
				slices.Sort(names)
				list[last] = "* Stopped: [ " + strings.Join(names, " ") + " ]"
				continue
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
		{"groups and clones active on offline nodes only are not listed by 2.1.5", listedOffline},
		{"fencing of remote nodes without quorum asks for the nodes that can host it since 3.0", remoteWithoutQuorum},
		{"guest nodes in maintenance that are offline are not listed since 3.0", offlineGuest},
		{"a monitor that found nothing is newer than a failed migration since 2.1.6", monitorAfterMigration},
		{"a score attribute that a node lacks forbids the node in 2.1.5", missingScoreAttribute},
		{"clear_failcount on a node to be fenced or lost is executed by the DC since 3.0", clearFailcountOnLostNode},
		{"clone-node-max above 1 makes a clone unique since 3.0", uniqueByNodeMax},
		{"a resource on a node in maintenance is itself in maintenance since 2.1.6", stoppedMonitorInMaintenance},
		{"an active unmanaged member blocks the members before it since 3.0", unmanagedMemberBlocks},
		{"colocations of groups and of inner members count for the whole group since 2.1.6", groupColocation},
		{"mandatory colocations are looked at before optional ones since 2.1.6", mixedColocations},
		{"an anti-colocation keeps a dependent's only node free since 2.1.7", antiColocation},
		{"colocations of clones and roles were reworked in 2.1.6 to 3.0", cloneColocation},
		{"instances of clones do not change places since 2.1.7", cloneShuffle},
		{"undecided: only pseudo-actions differ", onlyPseudo},
	}
}

// missingScoreAttribute: 2.1.5 takes a missing score attribute for -INFINITY,
// 3.x for "no effect".
func missingScoreAttribute(c *cib.CIB, d *difference) bool {
	return slices.ContainsFunc(all(c.Section("constraints"), "rule"), func(rule *cib.Element) bool {
		name := rule.Get("score-attribute")
		return name != "" && slices.ContainsFunc(c.Nodes(), func(n cib.Node) bool {
			node := c.Section("nodes").ChildByID(n.ID)
			_, ok := cib.SetValue(node, "instance_attributes", name)
			return !ok
		})
	})
}

// clearFailcountOnLostNode: the corpus has it in expire-non-blocked-failure.
// A stop of a removed resource waits for it, and never runs in 2.1.5.
func clearFailcountOnLostNode(c *cib.CIB, d *difference) bool {
	cleared := slices.ContainsFunc(d.plus, func(s string) bool { return strings.HasPrefix(s, "* Cluster action: clear_failcount for ") })
	return cleared && !slices.ContainsFunc(d.minus, func(s string) bool { return s != invalidTransition })
}

func uniqueByNodeMax(c *cib.CIB, d *difference) bool {
	for _, clone := range all(c.Section("resources"), "clone") {
		if v := cib.Meta(clone, "clone-node-max"); v != "" && v != "1" && cib.Meta(clone, "globally-unique") == "" && d.concerns(clone) {
			return true
		}
	}
	return false
}

// stoppedMonitorInMaintenance: a primitive that is active on a node in
// maintenance gets no monitors anywhere in 3.x, and loses those it has.
func stoppedMonitorInMaintenance(c *cib.CIB, d *difference) bool {
	maintained := map[string]bool{}
	for _, n := range c.Nodes() {
		if v, _ := cib.SetValue(c.Section("nodes").ChildByID(n.ID), "instance_attributes", "maintenance"); v == "true" {
			maintained[n.ID] = true
		}
	}
	there := map[string]bool{}
	for st := range c.Status().Named("node_state") {
		for _, entry := range all(st, "lrm_resource") {
			if maintained[st.ID()] {
				id, _, _ := strings.Cut(entry.ID(), ":")
				there[id] = true
			}
		}
	}
	for _, id := range d.resources() {
		if !there[id] {
			return false
		}
	}
	return !d.revised && !slices.ContainsFunc(slices.Concat(d.minus, d.plus), func(s string) bool {
		return !strings.Contains(s, " monitor=") && !strings.Contains(s, " cancel=")
	})
}

func bothInvalid(c *cib.CIB, d *difference) bool {
	return slices.Contains(d.theirs["execute"], invalidTransition) && slices.Contains(d.ours["execute"], invalidTransition)
}

// listedOffline: corpus: stop-failure-no-quorum.
func listedOffline(c *cib.CIB, d *difference) bool {
	if len(d.minus)+len(d.plus) > 0 || slices.ContainsFunc(d.revMinus, func(s string) bool { return s != "* No resources" }) {
		return false
	}
	return len(d.revPlus) > 0 && slices.ContainsFunc(d.ours["revised"], func(s string) bool {
		return strings.Contains(s, "OFFLINE") || strings.Contains(s, "(offline)")
	}) || slices.ContainsFunc(all(c.Status(), "node_state"), func(st *cib.Element) bool { return st.Has("remote_node") })
}

// remoteWithoutQuorum: fence-remote-without-quorum came with 3.0.
func remoteWithoutQuorum(c *cib.CIB, d *difference) bool {
	return c.Root.Get("have-quorum") == "0" && slices.ContainsFunc(slices.Concat(d.plus, d.minus), func(s string) bool {
		return strings.HasPrefix(s, "* Fencing remote")
	})
}

func offlineGuest(c *cib.CIB, d *difference) bool {
	return len(d.minus)+len(d.plus)+len(d.revPlus) == 0 && !slices.ContainsFunc(d.revMinus, func(s string) bool {
		return !strings.HasPrefix(s, "* GuestNode ") || !strings.Contains(s, ": OFFLINE")
	})
}

func monitorAfterMigration(c *cib.CIB, d *difference) bool {
	failed := slices.ContainsFunc(all(c.Status(), "lrm_rsc_op"), func(op *cib.Element) bool {
		return strings.HasPrefix(op.Get("operation"), "migrate_") && op.Get("rc-code") != "0"
	})
	return failed && len(d.minus)+len(d.plus) == 0 && d.revised
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

func (p pairing) mandatory() bool { return strings.HasSuffix(p.score, "INFINITY") }

// inGroup tells whether a resource is, is in or contains a group.
func inGroup(c *cib.CIB, el *cib.Element) bool {
	return el.Name == "group" || len(all(el, "group")) > 0 ||
		slices.ContainsFunc(all(c.Section("resources"), "group"), func(g *cib.Element) bool { return g.ChildByID(el.ID()) != nil })
}

// groupColocation: corpus: coloc-group, group-anticolocation,
// banned-group-inner-constraints, primitive-with-group-with-clone.
func groupColocation(c *cib.CIB, d *difference) bool {
	return d.placement() && slices.ContainsFunc(pairings(c), func(p pairing) bool {
		return (inGroup(c, p.dependent) || inGroup(c, p.primary)) && (d.concerns(p.dependent) || d.concerns(p.primary))
	})
}

// mixedColocations: 2.1.5 follows the colocations of a resource in one list,
// 3.x the mandatory ones first; that decides who chooses a node first.
func mixedColocations(c *cib.CIB, d *difference) bool {
	list := pairings(c)
	for i, p := range list {
		for _, q := range list[:i] {
			shared := p.dependent == q.dependent || p.primary == q.primary || p.dependent == q.primary || p.primary == q.dependent
			if d.placement() && shared && p.mandatory() != q.mandatory() && (d.concerns(p.dependent) || d.concerns(p.primary) || d.concerns(q.dependent) || d.concerns(q.primary)) {
				return true
			}
		}
	}
	return false
}

// antiColocation: a negative preference for a node that the dependent cannot
// use was ignored by 2.1.5; 3.x takes it as a wish to leave the dependent the
// one node it may use.
func antiColocation(c *cib.CIB, d *difference) bool {
	return d.placement() && slices.ContainsFunc(pairings(c), func(p pairing) bool {
		return strings.HasPrefix(p.score, "-") && (d.concerns(p.dependent) || d.concerns(p.primary))
	})
}

// cloneColocation: corpus: coloc-cloned-group-promoted-dependent1,
// coloc-optional-promoted-dependent-*, bundle-promoted-colocation-*.
func cloneColocation(c *cib.CIB, d *difference) bool {
	collective := func(el *cib.Element) bool { return el.Name == "clone" || el.Name == "bundle" }
	return d.placement() && slices.ContainsFunc(pairings(c), func(p pairing) bool {
		return (collective(p.dependent) || collective(p.primary)) && (d.concerns(p.dependent) || d.concerns(p.primary))
	})
}

// cloneShuffle: corpus: clone-recover-no-shuffle-*. Only instances of clones
// differ, and at least one is started, stopped or migrated by one side alone.
func cloneShuffle(c *cib.CIB, d *difference) bool {
	clones := all(c.Section("resources"), "clone")
	clones = append(clones, all(c.Section("resources"), "bundle")...)
	for _, id := range d.resources() {
		if !slices.ContainsFunc(clones, func(el *cib.Element) bool { return hasResource(el, id) }) {
			return false
		}
	}
	return d.placement() && slices.ContainsFunc(clones, d.concerns)
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
	for _, k := range knownDifferences() {
		if k.is(c, d) {
			return k.name
		}
	}
	return ""
}
