package embedded

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/fencing"
)

// pdu is a power switch with one outlet for each node of an embedded cluster.
type pdu struct {
	fencing.Description
	// one is held while it switches: it does one thing at a time.
	one chan struct{}

	mu    sync.Mutex
	c     *Cluster
	calls []string // what it switched
	slow  time.Duration
	deaf  bool
}

func newPDU() *pdu {
	return &pdu{one: make(chan struct{}, 1), Description: fencing.Description{Name: "fence_pdu", Short: "s", Long: "l",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List},
		Params:  fencing.WithPower(fencing.Param{Name: "plug", Short: "node"})}}
}

func (p *pdu) cluster() *Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.c
}

func (p *pdu) switched() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.calls, ", ")
}

func (p *pdu) Do(ctx context.Context, call fencing.Call) fencing.Outcome {
	p.mu.Lock()
	deaf := p.deaf
	p.mu.Unlock()
	if deaf {
		return fencing.Fail("see whether it has power", "the switch does not answer")
	}
	switch call.Action {
	case fencing.Monitor:
		return fencing.Outcome{}
	case fencing.List:
		return fencing.Outcome{Hosts: []string{"node1", "node2", "node3"}}
	}
	return fencing.Operate(ctx, call, plug{p, p.cluster().member(call.Plug)})
}

func (c *Cluster) member(name string) *member {
	i := slices.IndexFunc(c.members, func(m *member) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return c.members[i]
}

type plug struct {
	p *pdu
	m *member
}

func (o plug) Power(context.Context) (fencing.Power, error) {
	if o.m == nil {
		return 0, fmt.Errorf("no such plug")
	}
	if o.p.cluster().Running(o.m.number) {
		return fencing.PowerOn, nil
	}
	return fencing.PowerOff, nil
}

func (o plug) Switch(ctx context.Context, on bool) error {
	select {
	case o.p.one <- struct{}{}:
		defer func() { <-o.p.one }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.p.mu.Lock()
	o.p.calls = append(o.p.calls, fmt.Sprintf("%s=%v", o.m.name, on))
	slow := o.p.slow
	o.p.mu.Unlock()
	time.Sleep(slow)
	if on {
		return o.p.c.Restart(o.m.number)
	}
	return o.p.c.Kill(o.m.number)
}

// withPDU starts a cluster whose nodes are fenced by a device of the
// configuration.
func withPDU(t *testing.T, nodes int, params ...string) (*Cluster, *pdu) {
	t.Helper()
	p := newPDU()
	c := start(t, Config{Nodes: nodes, Fencing: fencing.NewRegistry(map[string]fencing.Method{"fence_pdu": p}, nil, nil)})
	p.mu.Lock()
	p.c = c
	p.mu.Unlock()
	h := connect(t, c, 1)
	alter(t, h, func(conf *cib.Element) {
		d := primitive("pdu", "fence_pdu", params...)
		d.Set("class", "stonith")
		d.Unset("provider")
		conf.Child("resources").Add(d, primitive("d", "Dummy"))
		inOrder(conf, "d")
	})
	eventually(t, patience, "the device is started", func() bool { return where(document(t, h), "pdu") != "" })
	eventually(t, patience, "the resource runs", func() bool { return where(document(t, h), "d") == "node1 " })
	return c, p
}

// fencings are what a node knows of past fencings, without times.
func fencings(t *testing.T, h client.Warden) string {
	t.Helper()
	list, err := h.Fencings(t.Context())
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s %s %s %s %s by %s", e.ID, e.Target, e.Action, e.State, e.Proof, e.Delegate))
	}
	return strings.Join(out, "\n")
}

func allOnline(t *testing.T, h client.Cluster) func() bool {
	return func() bool {
		i, err := h.Info(t.Context())
		return err == nil && !slices.ContainsFunc(i.Members, func(m client.Member) bool { return !m.Online || !m.Voter })
	}
}

// A node is cut off: it is fenced by the device, once, and only then its
// resource runs elsewhere; it returns, and everybody knows the same history,
// also after a restart of the daemon.
func TestDeviceFencesLostNode(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 3, "pcmk_host_list", "node1 node2 node3")
	h := connect(t, c, 2)
	p.mu.Lock()
	p.deaf = true
	p.mu.Unlock()
	c.Cut(1, 2)
	c.Cut(1, 3)
	eventually(t, patience, "an attempt fails", func() bool { return strings.Contains(fencings(t, h), "node1 reboot failed") })
	if w := where(document(t, h), "d"); strings.Contains(w, "node2") || strings.Contains(w, "node3") {
		t.Errorf("without proof the resource was recovered on %q", w)
	}
	p.mu.Lock()
	p.deaf = false
	p.mu.Unlock()
	eventually(t, patience, "the resource is recovered", func() bool { return where(document(t, h), "d") == "node2 " })
	if got := p.switched(); got != "node1=false, node1=true" && got != "node1=false" {
		t.Errorf("switched: %s", got)
	}
	c.Heal()
	eventually(t, patience, "the node is back", allOnline(t, h))
	time.Sleep(time.Second)
	if got := p.switched(); got != "node1=false, node1=true" {
		t.Errorf("switched, after the return: %s", got)
	}
	known := fencings(t, h)
	if !strings.Contains(known, "node1 reboot done read-back") {
		t.Errorf("history: %s", known)
	}
	for i := 1; i <= 3; i++ {
		eventually(t, patience, "the same history", func() bool { return fencings(t, connect(t, c, i)) == known })
	}
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	h1 := connect(t, c, 1)
	eventually(t, patience, "the history after a restart", func() bool { return fencings(t, h1) == known })
}

// An administrator's fencing is the only one: what follows from it is not a
// second loss. That holds for the leader, too.
func TestManualFencingIsTheOnlyOne(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 3, "pcmk_host_check", "none")
	for _, victim := range []int{c.Leader()%3 + 1, c.Leader()} {
		p.mu.Lock()
		p.calls = nil
		p.mu.Unlock()
		name := c.members[victim-1].name
		h := connect(t, c, victim%3+1)
		proof, err := h.Fence(t.Context(), name, "reboot")
		if err != nil || !strings.Contains(proof, "read-back") {
			t.Fatalf("%s, %v", proof, err)
		}
		eventually(t, patience, name+" is back", allOnline(t, h))
		time.Sleep(2 * time.Second)
		if got := p.switched(); got != name+"=false, "+name+"=true" {
			t.Errorf("switched: %s\n%s", got, fencings(t, h))
		}
	}
	if err := connect(t, c, 1).ConfirmDown(t.Context(), "node2"); err == nil {
		t.Error("a node that is there was confirmed to be down")
	}
}

// A node that has lost its power is off already: nothing is switched, and the
// word of an administrator is enough where no device answers.
func TestAlreadyOffAndConfirmed(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 3, "pcmk_host_check", "none", "pcmk_reboot_action", "off")
	h := connect(t, c, 2)
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the resource is recovered", func() bool { return where(document(t, h), "d") == "node2 " })
	if got := p.switched(); got != "" {
		t.Errorf("switched: %s", got)
	}
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node is back", allOnline(t, h))
	p.mu.Lock()
	p.deaf = true
	p.mu.Unlock()
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	h = connect(t, c, 1)
	eventually(t, patience, "fencing fails", func() bool { return strings.Count(fencings(t, h), "node2 reboot failed") > 0 })
	if err := h.ConfirmDown(t.Context(), "node2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the resource is recovered", func() bool { return where(document(t, h), "d") == "node1 " })
}

// Of two nodes that are cut off from each other, the one with the shorter delay
// survives.
func TestTwoNodesRaceWithDelay(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 2, "pcmk_host_check", "none", "pcmk_delay_base", "node1:3s;node2:0s", "pcmk_reboot_action", "off")
	c.Cut(1, 2)
	eventually(t, patience, "node1 goes on alone", func() bool { return c.Leader() == 1 && !c.Running(2) })
	time.Sleep(4 * time.Second)
	if got := p.switched(); got != "node2=false" || !c.Running(1) {
		t.Errorf("switched: %s", got)
	}
	h := connect(t, c, 1)
	if got := fencings(t, h); !strings.Contains(got, "node2 reboot done read-back by node1") {
		t.Errorf("history: %s", got)
	}
}

// The one that runs more important resources survives (priority-fencing-delay).
func TestTwoNodesRaceWithPriority(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 2, "pcmk_host_check", "none", "pcmk_reboot_action", "off")
	h := connect(t, c, 1)
	alter(t, h, func(conf *cib.Element) {
		set := conf.Child("crm_config").Child("cluster_property_set")
		set.Add(cib.NewElement("nvpair", "id", "pfd", "name", "priority-fencing-delay", "value", "4s"))
		conf.Child("resources").ChildByID("d").Add(cib.NewElement("meta_attributes", "id", "d-meta").Add(
			cib.NewElement("nvpair", "id", "d-priority", "name", "priority", "value", "10")))
	})
	eventually(t, patience, "the other node knows it", func() bool {
		doc := document(t, connect(t, c, 2))
		v, _ := doc.Property("priority-fencing-delay")
		return v == "4s" && where(doc, "d") == "node1 "
	})
	c.Cut(1, 2)
	eventually(t, patience, "node1 goes on alone", func() bool { return c.Leader() == 1 && !c.Running(2) })
	time.Sleep(5 * time.Second)
	if got := p.switched(); got != "node2=false" || !c.Running(1) {
		t.Errorf("switched: %s", got)
	}
}

// The alarm is false: the nodes hear each other again before the device was
// asked, and nobody is fenced.
func TestTwoNodesWithdraw(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 2, "pcmk_host_check", "none", "pcmk_delay_base", "6s")
	h := connect(t, c, 1)
	c.Cut(1, 2)
	eventually(t, patience, "both want to fence", func() bool {
		return strings.Contains(fencings(t, h), "node2 reboot exec") && strings.Contains(fencings(t, connect(t, c, 2)), "node1 reboot exec")
	})
	c.Heal()
	eventually(t, patience, "both are there", allOnline(t, h))
	time.Sleep(8 * time.Second)
	if got := p.switched(); got != "" {
		t.Errorf("switched: %s\n%s", got, fencings(t, h))
	}
}

// A rehearsal: the devices are asked, the node is really rebooted, and both are
// kept in the configuration, on all nodes.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	c, p := withPDU(t, 3, "pcmk_host_list", "node1 node2 node3")
	h := connect(t, c, 2)
	var plan *client.FencePlan
	var err error
	// node1 has started the device; node2, which is asked, hears of it later.
	eventually(t, patience, "it is known where the device is started", func() bool {
		plan, err = h.FencePlan(t.Context())
		return err != nil || len(plan.Devices) != 1 || len(plan.Devices[0].Started) > 0
	})
	if err != nil || len(plan.Nodes) != 3 || plan.Nodes[0].Warning != "its fencing was never proved" || len(plan.Devices) != 1 ||
		len(plan.Devices[0].Fences) != 3 || plan.Nodes[0].Levels[0].Devices[0] != "pdu" {
		t.Fatalf("%+v, %v", plan, err)
	}
	r, err := h.FenceTest(t.Context(), client.FenceTestRequest{Node: "node3"})
	if err != nil || len(r.Checks) != 2 || !r.Checks[0].Reached || r.Checks[0].Power != "on" || r.Unrecorded != "" || p.switched() != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	r, err = h.FenceTest(t.Context(), client.FenceTestRequest{Node: "node3", Really: true})
	if err != nil || r.Proved == nil || r.Proved.Proof != "read-back" || r.Proved.Device != "pdu" || r.Proved.Agent != "fence_pdu" || r.Unrecorded != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	eventually(t, patience, "the node is back", allOnline(t, h))
	for i := 1; i <= 3; i++ {
		var n client.FenceNode
		eventually(t, patience, "the proof is known", func() bool {
			plan, err := connect(t, c, i).FencePlan(t.Context())
			if err != nil || len(plan.Nodes) != 3 {
				return false
			}
			n = plan.Nodes[2]
			return n.Proved != nil && n.Checked != nil
		})
		if n.Proved.By == "" || n.Proved.Took <= 0 || n.Warning != "" || !strings.Contains(n.Checked.Evidence, "pdu on node1") {
			t.Errorf("node%d knows %+v, %+v", i, n, n.Proved)
		}
	}
	if doc := document(t, h); !strings.Contains(doc.Configuration().String(), `name="fencing-proved"`) {
		t.Error("the proof is not in the configuration")
	}
	// A wrong name at the device is found without switching anything.
	alter(t, h, func(conf *cib.Element) {
		set := conf.Child("resources").ChildByID("pdu").Child("instance_attributes")
		set.Add(cib.NewElement("nvpair", "id", "map", "name", "pcmk_host_map", "value", "node3:outlet9"))
	})
	eventually(t, patience, "the check fails", func() bool {
		r, err = h.FenceTest(t.Context(), client.FenceTestRequest{Node: "node3"})
		return err == nil && len(r.Checks) > 0 && !r.Checks[0].Knows && strings.Contains(r.Checks[0].Hint, "pcmk_host_map")
	})
}
