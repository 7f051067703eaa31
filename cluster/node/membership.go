package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/executor/operation"
)

// Seed is a node that the cluster was made of at first.
type Seed struct {
	Name, ID  string
	Addresses []string // host:port, one for each link
	Witness   bool
}

// sight is what the leader's heartbeats know of a node.
type sight struct {
	up          bool
	incarnation uint64
	left        bool // it said that it leaves
	level       int  // feature level of its build
}

// hasLeft reports whether that incarnation of the node has said that it leaves, or a
// later one: who comes back may be a member already when this node has not heard
// of it yet.
func (s sight) hasLeft(incarnation uint64) bool {
	return s.left && s.incarnation >= incarnation
}

// view is all that the membership depends on.
type view struct {
	state *consensus.State
	self  string
	// seen holds the other nodes; self counts as up with incarnation.
	seen        map[string]sight
	incarnation uint64
	level       int // feature level of this build
	seeds       []Seed
	cluster     string
	now         time.Time
	// held are nodes whose fencing is not yet recorded; they do not come in
	// before, or the record would undo it. Those that were hit a moment ago, or
	// that another node is having fenced, do not either.
	held map[string]bool
	// armed are the watchdogs of the nodes that said whether they have one, by
	// name in lower case; zero is none.
	armed map[string]time.Duration
}

// Origin of changes that the membership makes.
const membershipClient = consensus.MembershipClient

// reconcile returns the next command that brings the committed membership in
// line with what is seen, and what it does in words; false if nothing is left
// to do. It is a pure function. The rules:
//
//   - a node comes in when it is seen with an incarnation that was not lost
//     before; what the CIB knew of an earlier incarnation is forgotten, and
//     the resources it may have left running are found by probes;
//   - a node that is not seen any more is lost; without fencing it counts as
//     down at once, with fencing only once that is confirmed (see
//     [Node.Fence]); either way its transient attributes are gone, since with
//     its shutdown attribute it would look like a node that stopped in order;
//   - a node that said that it leaves has left; what it left running stays in
//     its history. If it is not known what that is, it is lost.
func reconcile(v view) (consensus.Command, string, bool) {
	if cmd, what, ok := nodeEntries(v); ok {
		return cmd, what, true
	}
	fencing := fencingEnabled(v.state.CIB)
	var members, everybody []consensus.Member
	var edits []cib.StatusEdit
	what := ""
	note := func(format string, args ...any) {
		if what != "" {
			what += "; "
		}
		what += fmt.Sprintf(format, args...)
	}
	for _, m := range roster(v) {
		s := v.seen[m.Name]
		if m.Name == v.self {
			s = sight{up: true, incarnation: v.incarnation, level: v.level}
		}
		before := m
		known, _ := v.state.Member(m.Name)
		switch {
		case v.held[m.Name]:
		case s.up && m.State != consensus.Online && s.level > 0 && s.level < v.state.Works():
			// Its daemon finds out and ends; as a member it would be fenced for that.
		case s.up && s.incarnation > m.Expelled && (m.State != consensus.Online || m.Incarnation != s.incarnation):
			m.Leftover = leftover(v.state.CIB, m)
			m.State, m.Incarnation, m.Since, m.Reason = consensus.Online, s.incarnation, v.now, "heartbeats go both ways"
			if !m.Witness {
				edits = append(edits, namesakes(v.state.CIB, m)...)
				edits = append(edits, stateEdit(m, true, "member", "member", "online", true))
			}
			note("%s is a member (incarnation %d)", m.Name, m.Incarnation)
		case s.up && m.State == consensus.Online && !m.Witness && !shownOnline(v.state.CIB, m.ID):
			edits = append(edits, stateEdit(m, true, "member", "member", "online", true))
			note("%s is shown as a member again", m.Name)
		case !s.up && m.State == consensus.Online && s.hasLeft(m.Incarnation) && len(unsettled(v.state.CIB, m)) == 0:
			m.State, m.Since, m.Expelled, m.Reason = consensus.Left, v.now, m.Incarnation, "it left"
			if !m.Witness {
				edits = append(edits, leftEdits(v.state.CIB, m)...)
			}
			note("%s has left", m.Name)
		case !s.up && m.State == consensus.Online:
			m.Since, m.Expelled, m.Reason = v.now, m.Incarnation, "its heartbeats stopped"
			if fencing && !m.Witness {
				m.State = consensus.Lost
				edits = append(edits, stateEdit(m, false, "down", "member", "offline", false))
				edits = append(edits, forgetAttributes(v.state.CIB, m.ID)...)
				note("%s is lost and has to be fenced", m.Name)
			} else {
				m.State, m.Leftover = consensus.Down, nil
				if !m.Witness {
					edits = append(edits, stateEdit(m, false, "down", "down", "offline", true))
				}
				if m.Witness {
					note("witness %s is lost", m.Name)
				} else {
					note("%s is lost and taken for down, since fencing is switched off", m.Name)
				}
			}
		case m.State == consensus.Lost && !fencing:
			m.State, m.Since, m.Leftover, m.Reason = consensus.Down, v.now, nil, "fencing was switched off"
			edits = append(edits, stateEdit(m, false, "down", "down", "offline", true))
			note("%s is taken for down, since fencing is switched off", m.Name)
		}
		if s.up && m.State == consensus.Online && m.Level != s.level {
			m.Level = s.level
			note("%s knows feature level %d", m.Name, m.Level)
		}
		everybody = append(everybody, m)
		if known.Name == "" || !sameMember(before, m) {
			members = append(members, m)
			if what == "" {
				note("%s is known", m.Name)
			}
		}
	}
	var root []cib.Attr
	id := ""
	for _, m := range everybody {
		if m.Name == v.self {
			id = m.ID
		}
	}
	for _, a := range []cib.Attr{{Name: "have-quorum", Value: "1"}, {Name: "dc-uuid", Value: id}} {
		if a.Value != "" && v.state.CIB.Root.Get(a.Name) != a.Value {
			root = append(root, a)
		}
	}
	if len(root) > 0 {
		edits = append(edits, cib.StatusEdit{Root: &cib.RootEdit{Attributes: root}})
		note("%s leads", v.self)
	}
	level := v.state.Raise(everybody)
	if level > 0 {
		note("all nodes know feature level %d: the cluster works at it from now on", level)
	}
	if len(members) == 0 && len(edits) == 0 && level == 0 {
		return haveWatchdog(v)
	}
	cmd := consensus.Command{Members: members, Level: level}
	if len(edits) > 0 {
		cmd.Change = &cib.Change{Origin: origin(v), Status: &cib.StatusChange{Edits: edits}}
	}
	return cmd, what, true
}

// shownOnline reports whether the status section has the node as a member.
func shownOnline(doc *cib.CIB, id string) bool {
	s := doc.NodeState(id)
	return s != nil && s.Get("in_ccm") == "true" && s.Get("crmd") == "online"
}

func origin(v view) cib.Origin {
	return cib.Origin{User: "gcrm", Node: v.self, Client: membershipClient, Time: v.now}
}

func sameMember(a, b consensus.Member) bool {
	return a.State == b.State && a.Incarnation == b.Incarnation && a.Expelled == b.Expelled && a.Level == b.Level && slices.Equal(a.Leftover, b.Leftover)
}

// roster lists the committed members, or in a new cluster those that it is to
// have.
func roster(v view) []consensus.Member {
	if len(v.state.Members) > 0 {
		return v.state.Members
	}
	var list []consensus.Member
	for _, s := range v.seeds {
		list = append(list, consensus.Member{Name: s.Name, ID: s.ID, Addresses: s.Addresses, Witness: s.Witness,
			State: consensus.Joining, Since: v.now})
	}
	return list
}

// stateEdit writes a node_state as Pacemaker 2.1 and 3 do. fresh forgets the
// history and the transient attributes.
func stateEdit(m consensus.Member, inCCM bool, join, expected, crmd string, fresh bool) cib.StatusEdit {
	return cib.StatusEdit{Node: &cib.NodeStateEdit{ID: m.ID, Uname: m.Name, Fenced: fresh, Attributes: []cib.Attr{
		{Name: "in_ccm", Value: fmt.Sprint(inCCM)},
		{Name: "crmd", Value: crmd},
		{Name: "crm-debug-origin", Value: "gcrm_membership"},
		{Name: "join", Value: join},
		{Name: "expected", Value: expected},
	}}}
}

// leftEdits write the state of a node that leaves in order. What it leaves
// running, as nodes in maintenance do, stays in its history: once the resource
// is managed again, the node has to be back or be fenced before another one
// starts it.
func leftEdits(doc *cib.CIB, m consensus.Member) []cib.StatusEdit {
	edits := []cib.StatusEdit{stateEdit(m, false, "down", "down", "offline", len(operation.Active(doc, m.ID)) == 0)}
	if !edits[0].Node.Fenced {
		edits = append(edits, forgetAttributes(doc, m.ID)...)
	}
	return edits
}

// leftover are the resources that a member's incarnations so far may have left
// running, when another one comes in whose history begins empty.
func leftover(doc *cib.CIB, m consensus.Member) []string {
	if m.Witness {
		return nil
	}
	all := append(operation.Active(doc, m.ID), unprobed(doc, m)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// unsettled are the resources of which nobody knows whether they run on a member
// after it has left: nothing tells of them yet, or an action is under way.
func unsettled(doc *cib.CIB, m consensus.Member) []string {
	all := append(unprobed(doc, m), operation.UnderWay(doc, m.ID)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// leaves reports whether a command has a member leave.
func leaves(cmd consensus.Command) bool {
	return slices.ContainsFunc(cmd.Members, func(m consensus.Member) bool { return m.State == consensus.Left })
}

// unprobed are those that an earlier incarnation may have left running, and no
// probe was done for.
func unprobed(doc *cib.CIB, m consensus.Member) []string {
	return operation.Unprobed(doc, m.ID, m.Leftover)
}

// namesakes removes what is left of removed members of the same name.
func namesakes(doc *cib.CIB, m consensus.Member) []cib.StatusEdit {
	var edits []cib.StatusEdit
	for s := range doc.Status().Named("node_state") {
		if s.Get("uname") == m.Name && s.ID() != m.ID {
			edits = append(edits, cib.StatusEdit{Node: &cib.NodeStateEdit{ID: s.ID(), Uname: m.Name, Gone: true}})
		}
	}
	return edits
}

// forgetAttributes removes all transient attributes of a node; its history
// stays.
func forgetAttributes(doc *cib.CIB, id string) []cib.StatusEdit {
	var edits []cib.StatusEdit
	for name := range operation.Attributes(doc, id) {
		edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: id, Name: name, Delete: true}})
	}
	return edits
}

// nodeEntries adds what a configuration lacks: an entry with the right id for every
// member that runs resources, and in a new cluster the properties that clusters set
// themselves.
func nodeEntries(v view) (consensus.Command, string, bool) {
	doc := v.state.CIB
	founded := len(v.state.Members) > 0
	var missing []consensus.Member
	var clean []cib.StatusEdit
	for _, m := range roster(v) {
		if entry, ok := entryOf(doc, m); m.Witness || ok && entry.ID == m.ID {
			continue
		}
		missing = append(missing, m)
		// Who was invited and has not started yet runs nothing: without a
		// state it would be one that nobody has seen, and be fenced.
		if founded && m.State == consensus.Joining && doc.NodeState(m.ID) == nil {
			clean = append(clean, stateEdit(m, false, "down", "down", "offline", true))
		}
	}
	if len(clean) > 0 {
		return consensus.Command{Change: &cib.Change{Origin: origin(v), Status: &cib.StatusChange{Edits: clean}}},
			fmt.Sprintf("%d nodes were invited and are still down", len(clean)), true
	}
	if len(missing) == 0 {
		return consensus.Command{}, "", false
	}
	conf := doc.Configuration().Clone()
	nodes := conf.Ensure("nodes")
	fresh := len(nodes.Children) == 0
	for _, m := range missing {
		if entry, ok := entryOf(doc, m); ok {
			// With another id it would be a node that nobody has seen, and be fenced:
			// one of a removed namesake, or of a script.
			e := nodes.ChildByID(entry.ID)
			if !v.state.Removed(m.Name, entry.ID) {
				e.Set("id", m.ID)
				continue
			}
			nodes.Remove(e)
		}
		nodes.Add(cib.NewElement("node", "id", m.ID, "uname", m.Name))
	}
	if fresh {
		ownProperties(conf.Ensure("crm_config"), v.cluster)
	}
	return consensus.Command{Change: &cib.Change{Origin: origin(v), Configuration: &cib.ConfigurationChange{
		Base: doc.Version(), XML: conf.String()}}}, fmt.Sprintf("%d nodes are entered in the configuration", len(missing)), true
}

// entryOf is the entry under a member's name.
func entryOf(doc *cib.CIB, m consensus.Member) (cib.Node, bool) {
	n, ok := doc.Node(m.Name)
	return n, ok && strings.EqualFold(n.Uname, m.Name)
}

// Infrastructure is the value of the property cluster-infrastructure.
const Infrastructure = "gcrm"

// Version is the value of the property dc-version.
const Version = "1.0-gcrm"

func ownProperties(config *cib.Element, cluster string) {
	var set *cib.Element
	for s := range config.Named("cluster_property_set") {
		if s.ID() == cib.DefaultPropertySet {
			set = s
		}
	}
	if set == nil {
		set = cib.NewElement("cluster_property_set", "id", cib.DefaultPropertySet)
		config.Add(set)
	}
	for _, p := range []cib.Attr{{Name: "have-watchdog", Value: "false"}, {Name: "dc-version", Value: Version},
		{Name: "cluster-infrastructure", Value: Infrastructure}, {Name: "cluster-name", Value: cluster}} {
		if _, ok := cib.PairValue(set, p.Name); !ok && p.Value != "" {
			set.Add(cib.NewElement("nvpair", "id", cib.DefaultPropertySet+"-"+p.Name, "name", p.Name, "value", p.Value))
		}
	}
}

// fencingEnabled reads the property in both its spellings; the default is on.
func fencingEnabled(doc *cib.CIB) bool {
	v, ok := doc.Property("stonith-enabled", "fencing-enabled")
	if !ok {
		return true
	}
	switch v {
	case "false", "no", "off", "0", "n", "False", "FALSE", "No", "NO", "Off", "OFF":
		return false
	}
	return true
}

// integrated reports whether the controller may begin to work: every node that
// is in the configuration has come in or is known to be away, or the leader
// has waited long enough for them.
func integrated(v view, waited, limit time.Duration) bool {
	for _, m := range roster(v) {
		if m.State == consensus.Joining && waited < limit {
			return false
		}
		// A node that is seen is about to be taken in.
		if s := v.seen[m.Name]; !v.held[m.Name] && s.up && s.incarnation > m.Expelled && (m.State != consensus.Online || m.Incarnation != s.incarnation) {
			return false
		}
	}
	me, ok := v.state.Member(v.self)
	return ok && me.State == consensus.Online && me.Incarnation == v.incarnation
}
