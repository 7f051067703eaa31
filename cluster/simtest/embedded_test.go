package simtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/embedded"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
	"gcrm/drivers/anything"
)

// exclusive is an agent whose resource is a file in the node's run folder. Its
// start notices if the same resource has its file on another node.
type exclusive struct {
	root string // state folder of the cluster

	mu       sync.Mutex
	violated []string
	starts   int
}

func (x *exclusive) Metadata(context.Context) (string, error) {
	return `<resource-agent name="Exclusive"><version>1.0</version><parameters><parameter name="took"/></parameters><actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/></actions></resource-agent>`, nil
}

func (x *exclusive) Run(ctx context.Context, r drivers.Request) drivers.Result {
	file := filepath.Join(r.Node.StateDir, "exclusive-"+r.Resource)
	took, _ := time.ParseDuration(r.Params["took"])
	work := func() bool {
		select {
		case <-time.After(took):
			return true
		case <-ctx.Done():
			return false
		}
	}
	switch r.Action {
	case drivers.Start:
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
		others, _ := filepath.Glob(filepath.Join(x.root, "node*", "run", "exclusive-"+r.Resource))
		x.mu.Lock()
		x.starts++
		if len(others) != 1 {
			x.violated = append(x.violated, fmt.Sprintf("%s started on %s: %v", r.Resource, r.Node.Name, others))
		}
		x.mu.Unlock()
		if !work() {
			return drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut}
		}
	case drivers.Stop:
		if !work() {
			return drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut}
		}
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
	case drivers.Monitor:
		if _, err := os.Stat(file); err != nil {
			return drivers.Result{RC: drivers.NotRunning}
		}
	default:
		return drivers.Result{RC: drivers.Unimplemented}
	}
	return drivers.Result{}
}

// device stands for a fence device; the embedded cluster does the fencing.
type device struct{}

func (device) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_embedded"><parameters/><actions><action name="off"/><action name="reboot"/></actions></resource-agent>`, nil
}

func (device) Run(_ context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Monitor && r.Interval == 0 {
		return drivers.Result{RC: drivers.NotRunning}
	}
	return drivers.Result{}
}

// lab is an embedded cluster of three nodes with fencing switched off.
type lab struct {
	*testing.T
	cluster *embedded.Cluster
	agent   *exclusive
	root    string
}

func newLab(t *testing.T) *lab {
	l := &lab{T: t, root: t.TempDir()}
	l.agent = &exclusive{root: l.root}
	agents := drivers.NewRegistry(map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "gcrm", Type: "Exclusive"}:     l.agent,
		{Class: "ocf", Provider: "heartbeat", Type: "anything"}: anything.Agent(),
		{Class: "stonith", Type: "fence_embedded"}:              device{},
	}, nil, drivers.Preferences{Default: drivers.PreferNative})
	var err error
	l.cluster, err = embedded.Start(t.Context(), embedded.Config{Nodes: 3, StateDir: l.root, Agents: agents, Schedule: thePlanner(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := l.cluster.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			if log, err := os.ReadFile(l.cluster.LogFile()); err == nil {
				lines := strings.Split(string(log), "\n")
				t.Logf("log:\n%s", strings.Join(lines[max(0, len(lines)-150):], "\n"))
			}
		}
	})
	return l
}

// client talks to a node that runs.
func (l *lab) client(i int) *client.HTTP {
	l.Helper()
	c, err := l.cluster.Client(i)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { c.Close() })
	return c
}

func (l *lab) doc(c *client.HTTP) *cib.CIB {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 10*time.Second)
	defer cancel()
	doc, err := c.CIB(ctx, true)
	if err != nil {
		l.Fatal(err)
	}
	return doc
}

// commit changes the configuration.
func (l *lab) commit(c *client.HTTP, change func(conf *cib.Element)) {
	l.Helper()
	for {
		doc := l.doc(c)
		conf := doc.Configuration().Clone()
		change(conf)
		_, err := c.Apply(l.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}})
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), cib.ErrConflict.Error()) {
			l.Fatal(err)
		}
	}
}

func (l *lab) wait(limit time.Duration, what string, f func() bool) time.Duration {
	l.Helper()
	begin := time.Now()
	for !f() {
		if time.Since(begin) > limit {
			l.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// where lists the nodes on which a resource is active, by its files.
func (l *lab) where(id string) []string {
	var out []string
	for i := range 3 {
		if _, err := os.Stat(filepath.Join(l.root, fmt.Sprintf("node%d", i+1), "run", "exclusive-"+id)); err == nil {
			out = append(out, fmt.Sprintf("node%d", i+1))
		}
	}
	return out
}

func exclusiveXML(id, took string) string {
	return fmt.Sprintf(`<primitive id="%[1]s" class="ocf" provider="gcrm" type="Exclusive"><instance_attributes id="%[1]s-ia">
<nvpair id="%[1]s-took" name="took" value="%[2]s"/></instance_attributes><operations><op id="%[1]s-m" name="monitor" interval="1s" timeout="10s"/></operations></primitive>`, id, took)
}

func parse(t *testing.T, text string) *cib.Element {
	t.Helper()
	e, err := cib.ParseElement(text, cib.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (l *lab) withoutFencing(conf *cib.Element) {
	set := conf.Child("crm_config").Ensure("cluster_property_set")
	set.Set("id", cib.DefaultPropertySet)
	set.Add(cib.NewElement("nvpair", "id", "no-fencing", "name", "stonith-enabled", "value", "false"))
}

// processes lists the pids of programs that were given an argument.
func processes(argument string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil || !slices.Contains(strings.Split(string(line), "\x00"), argument) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		pids = append(pids, pid)
	}
	return pids
}

func TestEmbeddedClusterRecovers(t *testing.T) {
	argument := fmt.Sprintf("98765.%d", time.Now().UnixNano()) // seconds to sleep, found by nobody else
	t.Cleanup(func() {
		if left := processes(argument); len(left) > 0 {
			t.Errorf("the cluster left processes behind: %v", left)
			for _, pid := range left {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	l := newLab(t)
	c := l.client(1)
	began := time.Now()
	l.commit(c, func(conf *cib.Element) {
		l.withoutFencing(conf)
		conf.Child("resources").Add(parse(t, exclusiveXML("db", "50ms")), parse(t, `<primitive id="web" class="ocf" provider="heartbeat" type="anything">
<instance_attributes id="web-ia"><nvpair id="web-b" name="binfile" value="sleep"/><nvpair id="web-c" name="cmdline_options" value="`+argument+`"/></instance_attributes>
<operations><op id="web-m" name="monitor" interval="1s" timeout="10s"/></operations></primitive>`))
	})
	l.wait(10*time.Second, "everything is started", func() bool { return len(l.where("db")) == 1 && len(processes(argument)) == 1 })
	t.Logf("from commit to the last start: %v", time.Since(began))
	idle := func() bool {
		i, err := c.Info(t.Context())
		return err == nil && i.Transition.Idle
	}
	l.wait(10*time.Second, "idle", idle)

	// A process that dies comes back after its next monitor.
	old := processes(argument)[0]
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	took := l.wait(5*time.Second, "the process is back", func() bool {
		p := processes(argument)
		return len(p) == 1 && p[0] != old
	})
	t.Logf("killed process is back after %v", took)
	failures := 0
	doc := l.doc(c)
	for _, n := range doc.Nodes() {
		for name := range operation.Attributes(doc, n.ID) {
			if name == operation.FailCount("web", "monitor", time.Second) {
				failures++
			}
		}
	}
	if failures != 1 {
		t.Errorf("%d nodes count the failure of web", failures)
	}
	l.wait(10*time.Second, "idle", idle)

	// A node in standby loses its resources within two seconds.
	from := l.where("db")[0]
	l.commit(c, func(conf *cib.Element) {
		for n := range conf.Child("nodes").Named("node") {
			if n.Get("uname") == from {
				n.Add(parse(t, `<instance_attributes id="sb"><nvpair id="sb-1" name="standby" value="on"/></instance_attributes>`))
			}
		}
	})
	took = l.wait(2*time.Second, "db has moved away", func() bool {
		w := l.where("db")
		return len(w) == 1 && w[0] != from
	})
	t.Logf("moved away from a standby node after %v", took)
	l.wait(10*time.Second, "idle", idle)
	if len(l.agent.violated) > 0 {
		t.Error(l.agent.violated)
	}
}

func TestEmbeddedLeaderKilledInTheMiddle(t *testing.T) {
	l := newLab(t)
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("r%02d", i))
	}
	lead := l.cluster.Leader()
	c := l.client(lead%3 + 1)
	l.commit(c, func(conf *cib.Element) {
		l.withoutFencing(conf)
		for _, id := range ids {
			conf.Child("resources").Add(parse(t, exclusiveXML(id, "400ms")))
		}
	})
	started := func() bool {
		for _, id := range ids {
			if len(l.where(id)) != 1 {
				return false
			}
		}
		return true
	}
	l.wait(5*time.Second, "the first start", func() bool {
		l.agent.mu.Lock()
		defer l.agent.mu.Unlock()
		return l.agent.starts > 0
	})
	if err := l.cluster.Kill(lead); err != nil {
		t.Fatal(err)
	}
	before := l.doc(c).Version()
	took := l.wait(20*time.Second, "everything is started under a new leader", started)
	l.wait(20*time.Second, "idle", func() bool {
		i, err := c.Info(t.Context())
		return err == nil && i.Transition.Idle && i.Leader != ""
	})
	t.Logf("%d starts; all %d resources run %v after the leader was killed", l.agent.starts, len(ids), took)
	if err := l.cluster.Restart(lead); err != nil {
		t.Fatal(err)
	}
	l.wait(10*time.Second, "the old leader has every version", func() bool {
		return l.doc(l.client(lead)).Version().Compare(before) >= 0
	})
	if !started() {
		t.Error("not everything runs once")
	}
	if len(l.agent.violated) > 0 {
		t.Error(l.agent.violated)
	}
}

// TestEmbeddedCrashIsFencedFirst kills the daemon of a node, whose resources go
// on running: they may start elsewhere only after the node was fenced.
func TestEmbeddedCrashIsFencedFirst(t *testing.T) {
	l := newLab(t)
	lead := l.cluster.Leader()
	c := l.client(lead)
	l.commit(c, func(conf *cib.Element) {
		conf.Child("resources").Add(parse(t, `<primitive id="fencer" class="stonith" type="fence_embedded"/>`),
			parse(t, exclusiveXML("db", "50ms")), parse(t, exclusiveXML("web", "50ms")), parse(t, exclusiveXML("mail", "50ms")))
	})
	all := []string{"db", "web", "mail"}
	running := func() bool {
		return !slices.ContainsFunc(all, func(id string) bool { return len(l.where(id)) != 1 })
	}
	l.wait(10*time.Second, "everything is started", running)
	victim := 0
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("node%d", i)
		if i != lead && slices.ContainsFunc(all, func(id string) bool { return slices.Contains(l.where(id), name) }) {
			victim = i
		}
	}
	if victim == 0 {
		t.Fatal("everything runs on the leader")
	}
	name := fmt.Sprintf("node%d", victim)
	l.cluster.Crash(victim)
	took := l.wait(15*time.Second, "everything runs elsewhere or on the node that was fenced", func() bool {
		log, err := os.ReadFile(l.cluster.LogFile())
		return err == nil && strings.Contains(string(log), name+" was fenced") && running()
	})
	t.Logf("recovered %v after the crash of %s", took, name)
	if len(l.agent.violated) > 0 {
		t.Error(l.agent.violated)
	}
}
