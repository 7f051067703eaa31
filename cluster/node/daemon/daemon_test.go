package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/drivers"
	"gcrm/drivers/all"
	"gcrm/fencing"
	"gcrm/fencing/agent"
	"gcrm/fencing/keeper"
	"gcrm/fencing/sbd"
	"gcrm/scheduler"
)

// host is a machine with a state folder.
type host struct {
	t      *testing.T
	dir    string
	agents string // folder of fence agents
	keeper *keeper.Settings
	reset  func(how sbd.Command, why string)
	// methods, if set, are used instead of agents.
	methods *fencing.Registry
	cancel  context.CancelFunc
	abrupt  chan struct{}
	done    chan error
	// nodeLife is how long its certificates are good.
	nodeLife time.Duration
	die      func(time.Duration)
	schedule func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) // none if nil
}

func newHost(t *testing.T) *host { return &host{t: t, dir: t.TempDir()} }

func (h *host) socket() string { return filepath.Join(h.dir, "api.sock") }

func (h *host) run() {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan error, 1)
	done := h.done
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	o := Options{StateDir: h.dir, RunDir: filepath.Join(h.dir, "run"), Socket: h.socket(), Program: "/bin/true",
		Agents:   all.Registry(all.Options{Preferences: drivers.Preferences{Default: drivers.PreferNative}}),
		Schedule: func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) { return &scheduler.Plan{}, nil },
		Log:      slog.New(slog.NewTextHandler(log, nil)), EvacuationLimit: 5 * time.Second, crash: make(chan struct{})}
	h.abrupt, o.nodeLife, o.die = o.crash, h.nodeLife, h.die
	if h.schedule != nil {
		o.Schedule = h.schedule
	}
	o.Keeper, o.Reset = h.keeper, h.reset
	if h.methods != nil {
		o.Fencing = h.methods
	} else if h.agents != "" {
		f := agent.Finder{Dirs: []string{h.agents}}
		o.Fencing = fencing.NewRegistry(nil, f.Find, f.Names)
	}
	go func() {
		defer log.Close()
		done <- Run(ctx, o)
	}()
	h.t.Cleanup(func() {
		h.stop()
		if h.t.Failed() {
			b, _ := os.ReadFile(filepath.Join(h.dir, "log"))
			h.t.Logf("log of %s:\n%s", h.dir, b)
		}
	})
}

func (h *host) stop() {
	if h.done == nil {
		return
	}
	h.cancel()
	select {
	case err := <-h.done:
		if err != nil && !strings.Contains(err.Error(), "no quorum") {
			h.t.Errorf("daemon: %v", err)
		}
	case <-time.After(20 * time.Second):
		h.t.Error("the daemon does not end")
	}
	h.done = nil
}

// crash ends the daemon as kill -9 does.
func (h *host) crash() {
	close(h.abrupt)
	<-h.done
	h.done = nil
}

func (h *host) client() *client.HTTP {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := client.Dial(h.socket(), "test")
		if err == nil {
			if _, err = c.Info(h.t.Context()); err == nil {
				h.t.Cleanup(func() { c.Close() })
				return c
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatal(err)
		}
	}
}

// members waits until the cluster looks like that to a client: "node1* node2"
// for two that are online, the first with a vote.
func members(t *testing.T, c *client.HTTP, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		i, err := c.Info(t.Context())
		if err != nil {
			continue
		}
		var list []string
		for _, m := range i.Members {
			s := m.Name
			if !m.Online {
				s = "(" + s + ")"
			}
			if m.Voter {
				s += "*"
			}
			list = append(list, s)
		}
		got = strings.Join(list, " ")
		if got == want && i.Quorate {
			return
		}
	}
	t.Fatalf("members are %q, want %q", got, want)
}

// freeAddress is a loopback address with a port nobody uses.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestInitJoinLeaveReturn(t *testing.T) {
	one, two, three := newHost(t), newHost(t), newHost(t)
	s, err := Init(InitOptions{StateDir: one.dir, Cluster: "c", Node: "node1", Address: freeAddress(t), Detection: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{StateDir: one.dir, Cluster: "c"}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("second init: %v", err)
	}
	one.run()
	c1 := one.client()
	members(t, c1, "node1*")

	token, err := c1.Token(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	join := JoinOptions{StateDir: two.dir, Node: "node2", Address: freeAddress(t), Contact: s.Addresses[0], Token: token}
	for name, change := range map[string]func(*JoinOptions){
		"not a join token": func(o *JoinOptions) { o.Token = "nonsense" },
		"already; choose":  func(o *JoinOptions) { o.Node = "NODE1" },
		"no name":          func(o *JoinOptions) { o.Node = "a b" },
		"does not belong": func(o *JoinOptions) {
			o.Token = strings.Replace(token, token[len(token)-8:], "AAAAAA"+token[len(token)-2:], 1)
		},
	} {
		bad := join
		change(&bad)
		if _, err := Join(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) && name != "does not belong" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Join(t.Context(), join); err != nil {
		t.Fatal(err)
	}
	again := join
	again.StateDir, again.Node, again.Address = three.dir, "node3", freeAddress(t)
	if _, err := Join(t.Context(), again); err == nil || !strings.Contains(err.Error(), "used already") {
		t.Errorf("a token was good for two nodes: %v", err)
	}
	two.run()
	members(t, c1, "node1* node2*")
	c2 := two.client()
	if again.Token, err = c2.Token(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	three.run()
	members(t, c2, "node1* node2* node3*")
	doc, err := three.client().CIB(t.Context(), true)
	if err != nil || len(doc.Nodes()) != 3 || doc.NodeState("3").Get("crmd") != "online" {
		t.Errorf("document on the third node: %v\n%v", err, doc)
	}

	// Nodes leave one after the other, the leader first; the last one goes on.
	one.stop()
	members(t, c2, "(node1) node2* node3*")
	three.stop()
	members(t, c2, "(node1) node2* (node3)")
	if _, err := c2.Apply(t.Context(), cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "2", Name: "x", Value: "1"}}}}}); err != nil {
		t.Fatal(err)
	}
	one.run()
	members(t, c2, "node1* node2* (node3)")

	// One that is gone for good is forgotten, and its id is not used again.
	if err := c2.RemoveNode(t.Context(), "node1"); err == nil {
		t.Error("a node that is online was removed")
	}
	if err := c2.RemoveNode(t.Context(), "node3"); err != nil {
		t.Fatal(err)
	}
	members(t, c2, "node1* node2*")
	if token, err = c2.Token(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	four := newHost(t)
	f, err := Join(t.Context(), JoinOptions{StateDir: four.dir, Node: "node3", Address: freeAddress(t), Contact: s.Addresses[0], Token: token})
	if err != nil || f.ID != "4" {
		t.Errorf("joined as id %s: %v", f.ID, err)
	}
}

// With both nodes down and one of them back, an administrator can make it go
// on alone.
func TestForceAlone(t *testing.T) {
	one, two := newHost(t), newHost(t)
	s, err := Init(InitOptions{StateDir: one.dir, Cluster: "c", Node: "node1", Address: freeAddress(t), Detection: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	one.run()
	c1 := one.client()
	members(t, c1, "node1*")
	token, err := c1.Token(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), JoinOptions{StateDir: two.dir, Node: "node2", Address: freeAddress(t), Contact: s.Addresses[0], Token: token}); err != nil {
		t.Fatal(err)
	}
	two.run()
	members(t, c1, "node1* node2*")
	if err := c1.ForceAlone(t.Context(), "node2", "verified"); err == nil {
		t.Error("a cluster with quorum was forced")
	}
	two.crash()
	if err := c1.ForceAlone(t.Context(), "node2", "it looks down"); err == nil {
		t.Error("forced without the administrator's word")
	}
	var last error
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if last = c1.ForceAlone(t.Context(), "node2", "i verified it is down"); last == nil || time.Now().After(deadline) {
			break
		}
	}
	if last != nil {
		t.Fatal(last)
	}
	members(t, c1, "node1* (node2)")
	two.run()
	members(t, c1, "node1* node2*")
}

// fenceAgent is a power switch with a file for every node that is off.
const fenceAgent = `#!/bin/sh
while read -r line; do
	case "$line" in
	action=*) action=${line#action=} ;;
	plug=*|port=*) plug=${line#*=} ;;
	esac
done
case "$action" in
metadata)
	cat <<XML
<?xml version="1.0" ?>
<resource-agent name="fence_files" shortdesc="test"><longdesc>test</longdesc>
<parameters>
<parameter name="action" unique="0" required="1"><content type="string" default="off"/><shortdesc lang="en">action</shortdesc></parameter>
<parameter name="plug" unique="0" required="1"><content type="string"/><shortdesc lang="en">plug</shortdesc></parameter>
</parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
XML
	;;
off) touch "DIR/off-$plug" "DIR/fenced-$plug" ;;
on) rm -f "DIR/off-$plug" ;;
status) [ ! -e "DIR/off-$plug" ] || exit 2 ;;
monitor) ;;
*) exit 1 ;;
esac
`

// The survivor of two hosts fences the other with the device of the
// configuration, has its power read back, and goes on alone.
func TestSurvivorFencesWithDevice(t *testing.T) {
	one, two := newHost(t), newHost(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fence_files"), []byte(strings.ReplaceAll(fenceAgent, "DIR", dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	one.agents, two.agents = dir, dir
	s, err := Init(InitOptions{StateDir: one.dir, Cluster: "c", Node: "node1", Address: freeAddress(t), Detection: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	one.run()
	c1 := one.client()
	members(t, c1, "node1*")
	token, err := c1.Token(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), JoinOptions{StateDir: two.dir, Node: "node2", Address: freeAddress(t), Contact: s.Addresses[0], Token: token}); err != nil {
		t.Fatal(err)
	}
	two.run()
	members(t, c1, "node1* node2*")
	doc, err := c1.CIB(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	conf := doc.Configuration().Clone()
	conf.Child("resources").Add(cib.NewElement("primitive", "id", "switch", "class", "stonith", "type", "fence_files").Add(
		cib.NewElement("instance_attributes", "id", "ia").Add(
			cib.NewElement("nvpair", "id", "hl", "name", "pcmk_host_list", "value", "node1 node2"))))
	conf.Child("crm_config").Child("cluster_property_set").Add(cib.NewElement("nvpair", "id", "act", "name", "stonith-action", "value", "off"))
	if _, err := c1.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	two.crash()
	members(t, c1, "node1* (node2)")
	t.Logf("alone after %v", time.Since(begin))
	if _, err := os.Stat(filepath.Join(dir, "off-node2")); err != nil {
		t.Error(err)
	}
	history, err := os.ReadFile(filepath.Join(one.dir, "fencing.jsonl"))
	if err != nil || !strings.Contains(string(history), `"Proof":"read-back"`) {
		t.Errorf("history: %v\n%s", err, history)
	}
	list, err := c1.Fencings(t.Context())
	if err != nil || len(list) == 0 || list[0].Target != "node2" || list[0].State != "done" || list[0].Proof != "read-back" {
		t.Errorf("history through the API: %+v, %v", list, err)
	}
	if _, err := c1.Fence(t.Context(), "node9", "off"); err == nil {
		t.Error("a node that does not exist was fenced")
	}
	if proof, err := c1.Fence(t.Context(), "node2", "off"); err != nil || !strings.Contains(proof, "read-back") {
		t.Errorf("fencing by hand: %q, %v", proof, err)
	}
	if err := os.Remove(filepath.Join(dir, "off-node2")); err != nil {
		t.Fatal(err)
	}
	two.run()
	members(t, c1, "node1* node2*")
}
