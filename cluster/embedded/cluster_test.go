package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

func start(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	begin := time.Now()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %v", time.Since(begin))
	t.Cleanup(func() {
		if t.Failed() {
			if log, err := os.ReadFile(c.LogFile()); err == nil {
				lines := strings.Split(string(log), "\n")
				t.Logf("log:\n%s", strings.Join(lines[max(0, len(lines)-150):], "\n"))
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c.Stop(ctx)
	})
	return c
}

func connect(t *testing.T, c *Cluster, i int) *client.HTTP {
	t.Helper()
	h, err := c.Client(i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func document(t *testing.T, c client.Cluster) *cib.CIB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	doc, err := c.CIB(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// eventually waits for something to become true.
func eventually(t *testing.T, limit time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !f() {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// set commits a cluster property through a client.
func set(t *testing.T, c client.Cluster, name, value string) cib.Version {
	t.Helper()
	doc := document(t, c)
	conf := doc.Configuration().Clone()
	config := conf.Child("crm_config").Ensure("cluster_property_set")
	config.Set("id", cib.DefaultPropertySet)
	for nv := range config.Named("nvpair") {
		if nv.Get("name") == name {
			config.Remove(nv)
			break
		}
	}
	config.Add(cib.NewElement("nvpair", "id", "p-"+name, "name", name, "value", value))
	v, err := c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestUpAndThroughTheAPI(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	one, two := connect(t, c, 1), connect(t, c, 2)
	doc := document(t, one)
	if n := len(doc.Nodes()); n != 3 {
		t.Errorf("%d nodes are entered", n)
	}
	for _, id := range []string{"1", "2", "3"} {
		s := doc.NodeState(id)
		if s == nil || s.Get("in_ccm") != "true" || s.Get("crmd") != "online" || s.Get("join") != "member" || s.Get("expected") != "member" {
			t.Errorf("node_state of %s: %v", id, s)
		}
	}
	if doc.Root.Get("have-quorum") != "1" || doc.Root.Get("dc-uuid") == "" {
		t.Errorf("root: %v", doc.Root.Attrs)
	}

	events, err := two.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := set(t, one, "stonith-enabled", "false")
	for {
		e := <-events
		if e.Info == nil || e.Info.Node != "node2" || e.Info.Leader == "" {
			t.Errorf("event: %+v", e)
		}
		if e.Version.Compare(v) >= 0 {
			break
		}
	}
	if got := document(t, two); !got.Version().SameConfiguration(v) {
		t.Errorf("node2 is at %v, committed was %v", got.Version(), v)
	}
	// A change from an old version is a conflict, with its details.
	_, err = two.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: doc.Configuration().String()}})
	var conflict *cib.ConflictError
	if !errors.Is(err, cib.ErrConflict) || !errors.As(err, &conflict) || !conflict.Current.SameConfiguration(v) {
		t.Errorf("conflict: %v", err)
	}
	if _, err := two.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: v, XML: "<x/>"}}); err == nil || errors.Is(err, cib.ErrConflict) {
		t.Errorf("nonsense: %v", err)
	}
	list, err := one.Revisions(t.Context())
	if err != nil || len(list) < 2 || list[len(list)-1].Origin.Node != "node1" || list[len(list)-1].Origin.Client != "gcrm shell" {
		t.Errorf("revisions: %+v, %v", list, err)
	}
	if r, err := one.Revision(t.Context(), v); err != nil || !strings.Contains(r.XML, "stonith-enabled") {
		t.Errorf("revision: %+v, %v", r, err)
	}
	if classes, err := one.Agents(t.Context(), "", ""); err != nil || len(classes) == 0 {
		t.Errorf("classes: %v, %v", classes, err)
	}
	if xml, source, err := one.Metadata(t.Context(), "ocf:heartbeat:Dummy"); err != nil || !strings.Contains(xml, "resource-agent") || source == "" {
		t.Errorf("meta-data: %v, %v", source, err)
	}
	if _, _, err := one.Metadata(t.Context(), "ocf:heartbeat:Nonsense"); err == nil {
		t.Error("an agent that does not exist has meta-data")
	}
	links, err := one.Links(t.Context())
	if err != nil || len(links) != 2 || !links[0].Up {
		t.Errorf("links: %+v, %v", links, err)
	}
	mesh, err := one.Mesh(t.Context())
	if err != nil || len(mesh) != 3 {
		t.Errorf("links of all nodes: %+v, %v", mesh, err)
	}
	for _, n := range mesh {
		if n.Error != "" || len(n.Links) != 2 || n.Links[0].Peer == n.Node {
			t.Errorf("links of %s: %+v", n.Node, n)
		}
	}
}

func TestLeaderIsKilled(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	lead := c.Leader()
	other := connect(t, c, lead%3+1)
	set(t, other, "stonith-enabled", "false")
	begin := time.Now()
	if err := c.Kill(lead); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, patience, "a new leader", func() bool { l := c.Leader(); return l != 0 && l != lead })
	t.Logf("new leader after %v", took)
	atMost(t, "the election of a new leader", took, 1500*time.Millisecond)
	set(t, other, "x", "1")
	id := []string{"1", "2", "3"}[lead-1]
	eventually(t, patience, "the killed node is down", func() bool {
		s := document(t, other).NodeState(id)
		return s != nil && s.Get("in_ccm") == "false" && s.Get("expected") == "down"
	})
	t.Logf("known to be down after %v", time.Since(begin))
	// However long it was away, it is up to date soon after its return.
	time.Sleep(3 * time.Second)
	if err := c.Restart(lead); err != nil {
		t.Fatal(err)
	}
	took = eventually(t, patience, "the node is back", func() bool {
		s := document(t, other).NodeState(id)
		n := c.nodes()[c.members[lead-1].name]
		return s != nil && s.Get("in_ccm") == "true" && n.Admitted()
	})
	t.Logf("back after %v", took)
	atMost(t, "coming back", took, time.Second)
	if doc := document(t, connect(t, c, lead)); !strings.Contains(doc.String(), `name="x"`) {
		t.Error("the returned node does not have the latest version")
	}
}

func TestResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 20))
	c := start(t, Config{Nodes: 3, StateDir: dir, Name: "kept"})
	if _, err := Start(t.Context(), Config{StateDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second cluster on the same folder: %v", err)
	}
	v := set(t, connect(t, c, 1), "stonith-enabled", "false")
	if err := c.Abandon(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{StateDir: dir, Nodes: 2}); err == nil {
		t.Error("a cluster of three was resumed with two nodes")
	}
	c = start(t, Config{StateDir: dir})
	if c.Nodes() != 3 || c.Name() != "kept" {
		t.Errorf("resumed %d nodes of %s", c.Nodes(), c.Name())
	}
	if doc := document(t, connect(t, c, 3)); !doc.Version().SameConfiguration(v) {
		t.Errorf("resumed at %v, committed was %v", doc.Version(), v)
	}
}
