package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/cluster/client"
)

func TestAdministratorFromElsewhere(t *testing.T) {
	t.Parallel() // it waits more than it works
	h, other := newHost(t), newHost(t)
	address := freeAddress(t)
	if _, err := Init(InitOptions{StateDir: h.dir, Cluster: "c", Node: "n1", Address: address}); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{StateDir: other.dir, Cluster: "c", Node: "n1", Address: freeAddress(t)}); err != nil {
		t.Fatal(err)
	}
	h.run()
	other.run()
	members(t, h.client(), "n1*")
	members(t, other.client(), "n1*")
	file := func(h *host, user string) string {
		path := filepath.Join(t.TempDir(), "id.pem")
		if out, status := h.command("admin-cert", user, "--out", path); status != 0 {
			t.Fatal(out)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", st, err)
		}
		return path
	}
	dial := func(path string) *client.HTTP {
		c, err := client.DialTLS(address, path, "test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	root := dial(file(h, "root"))
	events, err := root.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Info == nil || e.Info.Node != "n1" {
		t.Errorf("first event: %+v", e)
	}
	doc, err := root.CIB(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	conf := doc.Configuration().Clone()
	set := conf.Child("crm_config").Child("cluster_property_set")
	if set == nil {
		t.Fatalf("no properties: %s", conf)
	}
	set.Add(cib.NewElement("nvpair", "id", "acl", "name", "enable-acl", "value", "true"))
	v, err := root.Apply(ctx, cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}})
	if err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.Version.Compare(v) >= 0 {
			break
		}
	}
	// Access lists hold for who comes over TLS too.
	if _, err := dial(file(h, "eve")).CIB(ctx, false); err == nil || !strings.Contains(err.Error(), "eve") {
		t.Errorf("a user without permissions reads: %v", err)
	}
	if out, _ := h.command("audit"); !strings.Contains(out, "certificate for administrator eve") || !strings.Contains(out, "tls 127.0.0.1") {
		t.Errorf("audit log:\n%s", out)
	}
	// An identity of another cluster, though of the same name, opens nothing.
	if _, err := dial(file(other, "root")).Info(ctx); err == nil {
		t.Error("an identity of another cluster is good here")
	}
	if out, status := h.command("admin-cert", "root", "--out", file(h, "root")); status == 0 || !strings.Contains(out, "exists") {
		t.Errorf("a file was overwritten: %s", out)
	}
}
