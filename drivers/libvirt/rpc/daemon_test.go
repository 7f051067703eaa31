package rpc_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

// TestRealDaemon makes every call the test hypervisor has.
func TestRealDaemon(t *testing.T) {
	const pings = 5
	uri := rpctest.PingingDaemon(t, pings)
	c := dial(t, uri, rpc.Options{Silence: time.Second})
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	kind, err := c.Type(ctx)
	must("type", err)
	name, err := c.Hostname(ctx)
	must("hostname", err)
	where, err := c.URI(ctx)
	must("uri", err)
	v, err := c.LibVersion(ctx)
	must("version", err)
	if kind != "TEST" || name == "" || where != "test:///default" || v < 1000000 {
		t.Errorf("%s %s %s %d", kind, name, where, v)
	}
	for feature, want := range map[int32]bool{rpc.FeatureKeepalive: true, rpc.FeatureEventCallback: true, rpc.FeatureMigrationP2P: false} {
		if got, err := c.Supports(ctx, feature); got != want || err != nil {
			t.Errorf("feature %d: %v %v", feature, got, err)
		}
	}
	_, err = c.SubscribeLifecycle(ctx, nil)
	must("subscribe", err)
	list, err := c.Domains(ctx)
	must("list", err)
	if len(list) != 1 || list[0].Name != "test" || list[0].ID != 1 {
		t.Fatalf("%+v", list)
	}
	byUUID, err := c.LookupByUUID(ctx, list[0].UUID)
	if must("by uuid", err); byUUID != list[0] {
		t.Errorf("%+v", byUUID)
	}
	dom, err := c.CreateXML(ctx, "<domain type='test'><name>vm1</name><memory>524288</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>")
	must("create", err)
	select {
	case e := <-c.Events():
		if e.Event != rpc.EventStarted || e.Domain.Name != "vm1" {
			t.Errorf("%+v", e)
		}
	case <-time.After(5 * time.Second):
		t.Error("no event of the start")
	}
	state := func(want rpc.State) {
		t.Helper()
		if s, _, err := c.State(ctx, dom); s != want || err != nil {
			t.Errorf("state %v, want %v: %v", s, want, err)
		}
	}
	state(rpc.Running)
	info, err := c.Info(ctx, dom)
	if must("info", err); info.CPUs != 2 || info.MaxMemory != 524288 {
		t.Errorf("%+v", info)
	}
	text, err := c.XMLDesc(ctx, dom, 0)
	if must("xml", err); !strings.Contains(text, "<name>vm1</name>") {
		t.Error(text)
	}
	active, err := c.IsActive(ctx, dom)
	must("active", err)
	persistent, err := c.IsPersistent(ctx, dom)
	if must("persistent", err); !active || persistent {
		t.Errorf("active %v, persistent %v", active, persistent)
	}
	must("suspend", c.Suspend(ctx, dom))
	state(rpc.Paused)
	must("resume", c.Resume(ctx, dom))
	file := filepath.Join(t.TempDir(), "state")
	must("save", c.Save(ctx, dom, file))
	if _, err := c.LookupByName(ctx, "vm1"); !rpc.IsNoDomain(err) {
		t.Errorf("saved: %v", err)
	}
	must("restore", c.Restore(ctx, file))
	dom, err = c.LookupByName(ctx, "vm1")
	must("lookup", err)
	for what, err := range map[string]error{"job": c.AbortJob(ctx, dom), "migrate": c.Migrate(ctx, rpc.Migration{Domain: dom, To: "qemu+tcp://h/system", Params: []rpc.Param{{Field: "bandwidth", Value: uint64(1)}}, Flags: 3})} {
		if !rpc.IsUnsupported(err) {
			t.Errorf("%s on the test hypervisor: %v", what, err)
		}
	}
	must("shutdown", c.Shutdown(ctx, dom, 0))
	if _, _, err := c.State(ctx, dom); !rpc.IsNoDomain(err) {
		t.Errorf("after shutdown: %v", err)
	}
	dom, err = c.DefineXML(ctx, text)
	must("define", err)
	state(rpc.ShutOff)
	dom, err = c.Create(ctx, dom)
	must("start", err)
	must("destroy", c.Destroy(ctx, dom))
	if err := c.Destroy(ctx, dom); err == nil {
		t.Error("a stopped domain was destroyed")
	}
	must("undefine", c.Undefine(ctx, dom, rpc.UndefineManagedSave|rpc.UndefineSnapshots))
	must("pool", c.StartPool(ctx, "default-pool"))
	must("network", c.StartNetwork(ctx, "default"))
	if _, err := c.CreateXML(ctx, "<domain type='test'><memory>1</memory></domain>"); err == nil || rpc.IsLost(err) {
		t.Errorf("a domain without name: %v", err)
	}
	// The daemon gives clients up that do not answer so many pings, one each second.
	time.Sleep((pings + 2) * time.Second)
	if _, err := c.Domains(ctx); err != nil {
		t.Errorf("after silence: %v", err)
	}
	if _, err := rpc.Dial(ctx, strings.Replace(uri, "test+unix:///default", "nonsense+unix:///x", 1), rpc.Options{}); !rpc.Is(err, rpc.CodeNoConnect) {
		t.Errorf("unknown hypervisor: %v", err)
	}
}
