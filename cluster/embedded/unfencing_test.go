package embedded

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
)

// journal is what devices and agents did, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) since(n int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines[min(n, len(j.lines)):])
}

// disk is a shared disk with reservations: a node has to register itself before
// it works, and off takes the registration away. The nodes of an embedded
// cluster die with it, as with a watchdog that looks at the registration.
type disk struct {
	*journal
	mu      sync.Mutex
	c       *Cluster
	keys    map[string]bool
	refuses string // the node that cannot register
}

func (*disk) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_disk" shortdesc="d"><longdesc>l</longdesc><parameters><parameter name="plug"><content type="string"/></parameter></parameters>
<actions><action name="on" on_target="1" automatic="1"/><action name="off"/><action name="status"/><action name="monitor"/></actions></resource-agent>`, nil
}

func (d *disk) Do(_ context.Context, c fencing.Call) fencing.Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch c.Action {
	case fencing.On:
		if d.refuses == c.Plug {
			d.note("refused %s by %s", c.Plug, c.Self)
			return fencing.Fail("free the disk", "the disk does not take the key")
		}
		d.keys[c.Plug] = true
		d.note("on %s by %s", c.Plug, c.Self)
	case fencing.Off:
		d.keys[c.Plug] = false
		d.note("off %s by %s", c.Plug, c.Self)
		if m := d.c.member(c.Plug); m != nil && d.c.Running(m.number) {
			if err := d.c.Kill(m.number); err != nil {
				return fencing.Fail("", "%v", err)
			}
		}
		return fencing.Outcome{Power: fencing.PowerOff}
	case fencing.Status:
		if d.keys[c.Plug] {
			return fencing.Outcome{Power: fencing.PowerOn}
		}
		return fencing.Outcome{Power: fencing.PowerOff}
	}
	return fencing.Outcome{}
}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// user works on the disk.
type user struct {
	drivers.Agent
	*journal
}

func (u user) Run(ctx context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Start {
		u.note("start %s", r.Node.Name)
	}
	return u.Agent.Run(ctx, r)
}

// TestUnfencedBeforeItWorks: a node registers itself at the disk before anything
// is started on it, also when it returns after its fencing; as long as it cannot,
// nothing is.
func TestUnfencedBeforeItWorks(t *testing.T) {
	t.Parallel()
	j := &journal{}
	d := &disk{journal: j, keys: map[string]bool{}}
	agents := maps.Clone(all.Natives())
	dummy := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "Dummy"}
	agents[dummy] = user{agents[dummy], j}
	c := start(t, Config{Nodes: 3, Agents: drivers.NewRegistry(agents, nil, drivers.Preferences{Default: drivers.PreferNative}),
		Fencing: fencing.NewRegistry(map[string]fencing.Method{"fence_disk": d}, nil, nil)})
	d.set(func() { d.c = c })
	h := connect(t, c, 1)
	alter(t, h, func(conf *cib.Element) {
		p := primitive("disk", "fence_disk", "pcmk_host_list", "node1 node2 node3")
		p.Set("class", "stonith")
		p.Unset("provider")
		p.Add(cib.NewElement("meta_attributes", "id", "disk-meta").Add(cib.NewElement("nvpair", "id", "disk-provides", "name", "provides", "value", "unfencing")))
		conf.Child("resources").Add(p, primitive("d", "Dummy"))
		inOrder(conf, "d")
	})
	eventually(t, patience, "the resource runs", startedOn(t, h, "d", "node1"))
	for _, line := range j.since(0) {
		if node, ok := strings.CutPrefix(line, "start "); ok && !slices.Contains(j.since(0)[:slices.Index(j.since(0), line)], "on "+node+" by "+node) {
			t.Errorf("%s before it was unfenced: %q", line, j.since(0))
		}
	}

	// It dies, is fenced, and cannot register when it returns.
	d.set(func() { d.refuses = "node1" })
	h2 := connect(t, c, 2)
	if err := c.Kill(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the resource is recovered", startedOn(t, h2, "d", "node2"))
	if !slices.ContainsFunc(j.since(0), func(l string) bool { return strings.HasPrefix(l, "off node1 by ") }) {
		t.Errorf("node1 was not fenced: %q", j.since(0))
	}
	mark := len(j.since(0))
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "the node tries to register", func() bool { return slices.Contains(j.since(mark), "refused node1 by node1") })
	alter(t, h2, func(conf *cib.Element) { // there is no other place for the resource
		for _, n := range []string{"node2", "node3"} {
			conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "not-"+n, "rsc", "d", "node", n, "score", "-INFINITY"))
		}
	})
	eventually(t, patience, "the resource is stopped", func() bool { return where(document(t, h2), "d") == "" })
	time.Sleep(2 * time.Second)
	if later := j.since(mark); slices.Contains(later, "start node1") {
		t.Fatalf("started on a node that was not unfenced: %q", later)
	}
	d.set(func() { d.refuses = "" })
	alter(t, h2, func(conf *cib.Element) { // something changes, so that it is tried again
		conf.Child("resources").ChildByID("disk").Child("instance_attributes").Add(cib.NewElement("nvpair", "id", "disk-retries", "name", "pcmk_on_retries", "value", "3"))
	})
	eventually(t, patience, "the resource runs where it may now", startedOn(t, h2, "d", "node1"))
	later := j.since(mark)
	if on, started := slices.Index(later, "on node1 by node1"), slices.Index(later, "start node1"); on < 0 || started < on {
		t.Errorf("order: %q", later)
	}
}
