package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// replica applies commands as the replicated state machine does.
type replica struct {
	t     *testing.T
	state *consensus.State
	v     view
}

func newReplica(t *testing.T, names ...string) *replica {
	r := &replica{t: t, state: consensus.NewState()}
	r.v = view{self: names[0], incarnation: 10, cluster: "c", now: time.Unix(100, 0), seen: map[string]sight{}}
	for i, n := range names {
		r.v.seeds = append(r.v.seeds, Seed{Name: n, ID: fmt.Sprint(i + 1)})
	}
	return r
}

// settle reconciles until nothing is left to do and returns what was done.
func (r *replica) settle() string {
	r.t.Helper()
	var all []string
	for range 10 {
		r.v.state = r.state
		cmd, what, ok := reconcile(r.v)
		if !ok {
			return strings.Join(all, " / ")
		}
		next, err := r.state.Apply(r.state.Index+1, cmd)
		if err != nil {
			r.t.Fatal(err)
		}
		r.state = next
		all = append(all, what)
	}
	r.t.Fatalf("the membership does not settle: %v", all)
	return ""
}

func (r *replica) member(name string) string {
	m, _ := r.state.Member(name)
	return fmt.Sprintf("%s/%d/%d", m.State, m.Incarnation, m.Expelled)
}

func (r *replica) nodeState(id string) string {
	s := r.state.CIB.NodeState(id)
	if s == nil {
		return ""
	}
	return fmt.Sprintf("in_ccm=%s crmd=%s join=%s expected=%s", s.Get("in_ccm"), s.Get("crmd"), s.Get("join"), s.Get("expected"))
}

func (r *replica) property(name, value string) {
	conf := r.state.CIB.Configuration().Clone()
	set := conf.Child("crm_config").Child("cluster_property_set")
	set.Add(cib.NewElement("nvpair", "id", "t-"+name, "name", name, "value", value))
	next, err := r.state.Apply(r.state.Index+1, consensus.Command{Change: &cib.Change{Configuration: &cib.ConfigurationChange{
		Base: r.state.CIB.Version(), XML: conf.String()}}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.state = next
}

const (
	online = "in_ccm=true crmd=online join=member expected=member"
	lost   = "in_ccm=false crmd=offline join=down expected=member"
	down   = "in_ccm=false crmd=offline join=down expected=down"
)

func (r *replica) expect(what, name, id, member, state string) {
	r.t.Helper()
	if got := r.member(name); got != member {
		r.t.Errorf("%s: member %s is %s, want %s", what, name, got, member)
	}
	if got := r.nodeState(id); got != state {
		r.t.Errorf("%s: node_state of %s is %q, want %q", what, name, got, state)
	}
}

func TestMembership(t *testing.T) {
	r := newReplica(t, "a", "b", "c")
	r.v.seen["b"] = sight{up: true, incarnation: 20}
	r.settle()
	r.expect("start", "a", "1", "online/10/0", online)
	r.expect("start", "b", "2", "online/20/0", online)
	r.expect("never seen", "c", "3", "joining/0/0", "")
	if got := r.state.CIB.Root.Get("dc-uuid"); got != "1" {
		t.Errorf("dc-uuid is %q", got)
	}
	if v, _ := r.state.CIB.Property("cluster-name"); v != "c" || len(r.state.CIB.Nodes()) != 3 {
		t.Errorf("configuration: %s", r.state.CIB.Configuration())
	}
	if integrated(r.v, time.Second, 20*time.Second) || !integrated(r.v, 21*time.Second, 20*time.Second) {
		t.Error("the leader has to wait for c, but not for ever")
	}

	// With fencing (the default) a silent node is lost until it is fenced.
	r.v.seen["b"] = sight{incarnation: 20}
	r.settle()
	r.expect("silent", "b", "2", "lost/20/20", lost)
	// The same incarnation does not come back.
	r.v.seen["b"] = sight{up: true, incarnation: 20}
	if what := r.settle(); what != "" {
		t.Errorf("a lost incarnation came back: %s", what)
	}
	// A new one does.
	r.v.seen["b"] = sight{up: true, incarnation: 21}
	r.settle()
	r.expect("new incarnation", "b", "2", "online/21/20", online)
	// It is restarted before anybody misses it: what it did is forgotten.
	if next, err := r.state.Apply(0, consensus.Command{Change: &cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{
		{Attribute: &cib.AttributeEdit{Node: "2", Name: "shutdown", Value: "1"}}}}}}); err != nil {
		t.Fatal(err)
	} else {
		r.state = next
	}
	r.v.seen["b"] = sight{up: true, incarnation: 22}
	r.settle()
	r.expect("restart", "b", "2", "online/22/20", online)
	if strings.Contains(r.state.CIB.Status().String(), "shutdown") {
		t.Error("transient attributes outlived a restart")
	}
	// Another one led when it came in; all that was heard of it here is that the
	// one before left.
	before := r.state
	r.v.seen["b"] = sight{incarnation: 20, left: true}
	r.settle()
	if got := r.member("b"); got != "lost/22/22" {
		t.Errorf("an earlier farewell makes it %s", got)
	}
	r.state = before
	// It leaves.
	r.v.seen["b"] = sight{incarnation: 22, left: true}
	r.settle()
	r.expect("left", "b", "2", "left/22/22", down)

	// Without fencing a silent node counts as down at once.
	r.v.seen["b"] = sight{up: true, incarnation: 23}
	r.settle()
	r.property("stonith-enabled", "false")
	r.v.seen["b"] = sight{incarnation: 23}
	r.settle()
	r.expect("silent without fencing", "b", "2", "down/23/23", down)
}

// A node that is lost has no transient attributes any more; one that died while
// it was shutting down does not look as if it had stopped in order.
func TestLostNodeLosesAttributes(t *testing.T) {
	for _, fencing := range []string{"true", "false"} {
		r := newReplica(t, "a", "b")
		r.v.seen["b"] = sight{up: true, incarnation: 20}
		r.settle()
		r.property("stonith-enabled", fencing)
		next, err := r.state.Apply(0, consensus.Command{Change: &cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{
			{Attribute: &cib.AttributeEdit{Node: "1", Name: "shutdown", Value: "1"}},
			{Attribute: &cib.AttributeEdit{Node: "2", Name: "shutdown", Value: "1"}},
			{Attribute: &cib.AttributeEdit{Node: "2", Name: "master-db", Value: "5"}},
			{Operation: &cib.OperationEdit{Node: "2", Resource: "db", Class: "ocf", Provider: "heartbeat", Type: "Dummy",
				Attributes: []cib.Attr{{Name: "id", Value: "db_last_0"}, {Name: "operation", Value: "start"}}}},
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		r.state = next
		r.v.seen["b"] = sight{incarnation: 20}
		r.settle()
		if m, _ := r.state.Member("b"); m.State == consensus.Online {
			t.Fatalf("stonith-enabled=%s: b is not lost", fencing)
		}
		for name, value := range operation.Attributes(r.state.CIB, "2") {
			t.Errorf("stonith-enabled=%s: the lost node still has %s=%s", fencing, name, value)
		}
		if _, ok := operation.Attribute(r.state.CIB, "1", "shutdown"); !ok {
			t.Errorf("stonith-enabled=%s: another node lost its attribute", fencing)
		}
		// What may still run there is known until it is fenced.
		if known := strings.Contains(r.state.CIB.NodeState("2").String(), "db_last_0"); known != (fencing == "true") {
			t.Errorf("stonith-enabled=%s: the history is there: %v", fencing, known)
		}
	}
}

// A node that is lost when fencing is switched off is taken for down.
func TestFencingSwitchedOffLater(t *testing.T) {
	r := newReplica(t, "a", "b")
	r.v.seen["b"] = sight{up: true, incarnation: 20}
	r.settle()
	r.v.seen["b"] = sight{incarnation: 20}
	r.settle()
	r.expect("silent", "b", "2", "lost/20/20", lost)
	r.property("fencing-enabled", "off")
	r.settle()
	r.expect("fencing off", "b", "2", "down/20/20", down)
}

func TestWitnessRunsNothing(t *testing.T) {
	r := newReplica(t, "a", "b", "w")
	r.v.seeds[2].Witness = true
	for _, n := range []string{"b", "w"} {
		r.v.seen[n] = sight{up: true, incarnation: 20}
	}
	r.settle()
	r.expect("witness", "w", "3", "online/20/0", "")
	if _, ok := r.state.CIB.Node("w"); ok {
		t.Error("a witness is entered as a node")
	}
	r.v.seen["w"] = sight{incarnation: 20}
	r.settle()
	r.expect("lost witness", "w", "3", "down/20/20", "")
}

func TestStopsInOrder(t *testing.T) {
	act := func(id int, kind scheduler.ActionKind, task, node string, inputs ...int) *scheduler.Action {
		return &scheduler.Action{ID: id, Kind: kind, Task: task, Node: node, Inputs: inputs}
	}
	plan := &scheduler.Plan{Actions: []*scheduler.Action{
		act(1, scheduler.ResourceAction, "stop", "a", 4),
		act(2, scheduler.ResourceAction, "start", "a"),
		act(3, scheduler.ResourceAction, "stop", "b"),
		act(4, scheduler.Pseudo, "stopped", "", 5),
		act(5, scheduler.ResourceAction, "demote", "a", 9),
	}}
	var got []int
	for _, a := range stops(plan, "a") {
		got = append(got, a.ID)
	}
	if fmt.Sprint(got) != "[5 1]" {
		t.Errorf("order %v", got)
	}
}

func TestIncarnationGrows(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	var last uint64
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Hour)} {
		n, err := nextIncarnation(folder(dir), at, 0)
		if err != nil || n <= last {
			t.Errorf("start %d: incarnation %d after %d, %v", i, n, last, err)
		}
		last = n
	}
	// The machine that had the name before was further, and this one's clock is behind.
	if n, err := nextIncarnation(folder(t.TempDir()), now, 5000); err != nil || n != 5001 {
		t.Errorf("incarnation %d after 5000, %v", n, err)
	}
}

// A node that was invited and has not started yet is down, not one that nobody
// has seen, which would be fenced; and what a removed node of its name has left
// goes when it comes.
func TestInvitedNodeIsDown(t *testing.T) {
	r := newReplica(t, "a")
	r.settle()
	apply := func(cmd consensus.Command) {
		t.Helper()
		next, err := r.state.Apply(r.state.Index+1, cmd)
		if err != nil {
			t.Fatal(err)
		}
		r.state = next
	}
	apply(consensus.Command{Invite: &consensus.Invitation{Hash: "h", Expires: time.Unix(200, 0)}})
	apply(consensus.Command{Admit: &consensus.Admission{Hash: "h", At: time.Unix(150, 0), Member: consensus.Member{Name: "b"}}})
	r.v.state = r.state
	if cmd, what, _ := reconcile(r.v); cmd.Change == nil || cmd.Change.Status == nil {
		t.Errorf("the first step is %q: the node is in the configuration before it has a state", what)
	}
	r.settle()
	r.expect("invited", "b", "2", "joining/0/0", down)
	if _, ok := r.state.CIB.Node("b"); !ok {
		t.Error("the invited node is not in the configuration")
	}
	apply(consensus.Command{Change: &cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{
		Node: &cib.NodeStateEdit{ID: "9", Uname: "b", Attributes: []cib.Attr{{Name: "crmd", Value: "offline"}}}}}}}})
	r.v.seen["b"] = sight{up: true, incarnation: 20}
	r.settle()
	r.expect("came", "b", "2", "online/20/0", online)
	if r.state.CIB.NodeState("9") != nil {
		t.Error("the state of the removed node of the same name is still there")
	}
}

// TestOldBuildIsNotTakenIn: the daemon of one that was installed again in an
// older version ends when it finds out; a member would be fenced for that, again
// and again.
func TestOldBuildIsNotTakenIn(t *testing.T) {
	r := newReplica(t, "a", "b")
	r.v.level = 2
	r.v.seen["b"] = sight{up: true, incarnation: 10, level: 2}
	r.settle()
	if r.state.Works() != 2 {
		t.Fatalf("level %d", r.state.Works())
	}
	r.v.seen["b"] = sight{incarnation: 10, left: true}
	r.settle()
	r.v.seen["b"] = sight{up: true, incarnation: 11, level: 1}
	r.settle()
	if got := r.member("b"); got != "left/10/10" {
		t.Errorf("the old build is %s", got)
	}
	r.v.seen["b"] = sight{up: true, incarnation: 12, level: 2}
	r.settle()
	if got := r.member("b"); got != "online/12/10" {
		t.Errorf("the new build is %s", got)
	}
}

// TestLeavingInDoubt: who leaves before it is known what it runs is lost.
func TestLeavingInDoubt(t *testing.T) {
	ran := func(id, key string, attrs ...cib.Attr) cib.StatusEdit {
		return cib.StatusEdit{Operation: &cib.OperationEdit{Node: "2", Resource: id, Class: "ocf", Provider: "pacemaker", Type: "Dummy",
			Attributes: append([]cib.Attr{{Name: "id", Value: id + "_" + key}, {Name: "operation_key", Value: id + "_" + key + "_0"}, {Name: "interval", Value: "0"}}, attrs...)}}
	}
	done := func(id, task, rc string) cib.StatusEdit {
		return ran(id, "last_0", cib.Attr{Name: "operation", Value: task}, cib.Attr{Name: "call-id", Value: "7"}, cib.Attr{Name: "rc-code", Value: rc}, cib.Attr{Name: "op-status", Value: "0"})
	}
	pending := func(id, task string) cib.StatusEdit {
		return ran(id, "last_0", cib.Attr{Name: "operation", Value: task}, cib.Attr{Name: "call-id", Value: "-1"}, cib.Attr{Name: "rc-code", Value: "193"}, cib.Attr{Name: "op-status", Value: "-1"})
	}
	for _, c := range []struct {
		name     string
		anew     bool // its daemon was started again while p ran
		then     []cib.StatusEdit
		want     string
		leftover string
	}{
		{name: "at rest", then: []cib.StatusEdit{done("p", "stop", "0")}, want: "left"},
		{name: "with what it runs", want: "left"},
		{name: "while p stops", then: []cib.StatusEdit{pending("p", "stop")}, want: "lost"},
		{name: "while p is probed", then: []cib.StatusEdit{done("p", "stop", "0"), pending("q", "monitor")}, want: "left"},
		{name: "before p was probed", anew: true, want: "lost", leftover: "p"},
		{name: "while p is probed again", anew: true, then: []cib.StatusEdit{pending("p", "monitor")}, want: "lost", leftover: "p"},
		{name: "after p was found stopped", anew: true, then: []cib.StatusEdit{done("p", "monitor", "7")}, want: "left", leftover: "p"},
		{name: "after p was found running", anew: true, then: []cib.StatusEdit{done("p", "monitor", "0")}, want: "left", leftover: "p"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReplica(t, "a", "b")
			r.v.seen["b"] = sight{up: true, incarnation: 10}
			r.settle()
			apply := func(ch cib.Change) {
				t.Helper()
				next, err := r.state.Apply(r.state.Index+1, consensus.Command{Change: &ch})
				if err != nil {
					t.Fatal(err)
				}
				r.state = next
			}
			conf := r.state.CIB.Configuration().Clone()
			conf.Ensure("resources").Add(cib.NewElement("primitive", "id", "p", "class", "ocf", "provider", "pacemaker", "type", "Dummy"))
			apply(cib.Change{Configuration: &cib.ConfigurationChange{Base: r.state.CIB.Version(), XML: conf.String()}})
			apply(cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{done("p", "start", "0")}}})
			if c.anew {
				r.v.seen["b"] = sight{up: true, incarnation: 11}
				r.settle()
			}
			m, _ := r.state.Member("b")
			if got := strings.Join(m.Leftover, " "); got != c.leftover {
				t.Errorf("leftover %q", got)
			}
			if len(c.then) > 0 {
				apply(cib.Change{Status: &cib.StatusChange{Edits: c.then}})
			}
			r.v.seen["b"] = sight{incarnation: m.Incarnation, left: true}
			r.settle()
			if got := r.member("b"); !strings.HasPrefix(got, c.want+"/") {
				t.Errorf("it is %s, not %s", got, c.want)
			}
		})
	}
}

// TestEntryOfANamesake: the removal of a node was interrupted before its entry
// was struck out, and another machine joins under its name.
func TestEntryOfANamesake(t *testing.T) {
	for _, removed := range []bool{true, false} {
		r := newReplica(t, "a", "b")
		r.v.seen["b"] = sight{up: true, incarnation: 10}
		r.settle()
		conf := r.state.CIB.Configuration().Clone()
		for n := range conf.Child("nodes").Named("node") {
			if n.Get("uname") == "b" {
				n.Add(cib.NewElement("instance_attributes", "id", "nodes-2"))
				if !removed { // a script has it by another id
					n.Set("id", "168430090")
				}
			}
		}
		cmds := []consensus.Command{{Change: &cib.Change{Configuration: &cib.ConfigurationChange{Base: r.state.CIB.Version(), XML: conf.String()}}}}
		want := "2"
		if removed {
			want = "7"
			cmds = append(cmds, consensus.Command{Forget: []string{"b"}}, consensus.Command{Members: []consensus.Member{{Name: "b", ID: "7", State: consensus.Joining}}})
			delete(r.v.seen, "b")
		}
		for _, cmd := range cmds {
			next, err := r.state.Apply(r.state.Index+1, cmd)
			if err != nil {
				t.Fatal(err)
			}
			r.state = next
		}
		r.settle()
		entry, ok := r.state.CIB.Node("b")
		if n := len(slices.Collect(r.state.CIB.Section("nodes").Named("node"))); !ok || entry.ID != want || n != 2 {
			t.Errorf("the entry is of %q, of %d, not of %q", entry.ID, n, want)
		}
		kept := strings.Contains(r.state.CIB.Configuration().String(), "nodes-2")
		if kept == removed {
			t.Errorf("removed %v, attributes kept %v", removed, kept)
		}
		if removed && r.state.CIB.NodeState("7") == nil {
			t.Error("the new one has no state: it would be fenced")
		}
	}
}
