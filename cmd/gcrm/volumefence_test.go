package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/embedded"
	"gcrm/drivers"
)

// TestFenceByConstraint fences a peer as crm-fence-peer.sh does, on a cluster.
func TestFenceByConstraint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	c, err := embedded.Start(t.Context(), embedded.Config{Nodes: 3, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c.Stop(ctx)
	})
	one, err := c.Client(1)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := c.Client(2)
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if code, err := fenceByConstraint(t.Context(), one, "r0", false); code != fenceFailed || err == nil {
		t.Errorf("without a clone: %d, %v", code, err)
	}
	now := readLinear(t, one)
	next := now.Clone()
	next.EnsureSection("resources").Add(cib.NewElement("clone", "id", "ms_drbd").Add(
		cib.NewElement("meta_attributes", "id", "ms_drbd-meta").Add(cib.NewElement("nvpair", "id", "ms_drbd-p", "name", "promotable", "value", "true"),
			cib.NewElement("nvpair", "id", "ms_drbd-t", "name", "target-role", "value", "Stopped")),
		cib.NewElement("primitive", "id", "p_drbd", "class", "ocf", "provider", "linbit", "type", "drbd").Add(
			cib.NewElement("instance_attributes", "id", "p_drbd-ia").Add(cib.NewElement("nvpair", "id", "p_drbd-r", "name", "drbd_resource", "value", "r0")))))
	if _, err := one.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: now.Version(), XML: next.Configuration().String()}}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int, wantErr bool, f func() (int, error)) {
		t.Helper()
		if code, err := f(); code != want || (err != nil) != wantErr {
			t.Errorf("%s: %d, %v, want %d", what, code, err, want)
		}
	}
	check("fence", fencePeerOutdated, false, func() (int, error) { return fenceByConstraint(t.Context(), one, "r0", false) })
	check("fence again", fencePeerOutdated, false, func() (int, error) { return fenceByConstraint(t.Context(), one, "r0", false) })
	doc := readLinear(t, two).String()
	for _, want := range []string{`id="drbd-fence-by-handler-r0-ms_drbd"`, `role="Promoted"`, `operation="ne"`, `value="node1"`} {
		if !strings.Contains(doc, want) {
			t.Errorf("the CIB does not have %s", want)
		}
	}
	check("the fenced node fences", fenceFailed, true, func() (int, error) { return fenceByConstraint(t.Context(), two, "r0", false) })
	check("unfence", 0, false, func() (int, error) { return fenceByConstraint(t.Context(), one, "r0", true) })
	check("unfence again", 0, false, func() (int, error) { return fenceByConstraint(t.Context(), one, "r0", true) })
	if strings.Contains(readLinear(t, two).String(), "drbd-fence-by-handler") {
		t.Error("the constraint is still there")
	}
}

// TestVolumeHandler: the program under the name of a handler of DRBD wants to know the
// resource, and fails without a cluster, so that the kernel keeps its I/O frozen.
func TestVolumeHandler(t *testing.T) {
	for name, undo := range drivers.VolumeHandlers() {
		if got := strings.HasPrefix(name, "crm-unfence"); got != undo {
			t.Errorf("%s undoes: %v", name, undo)
		}
		if code := volumeHandler(func(string) string { return "" }, undo); code != fenceFailed {
			t.Errorf("%s without a resource: %d", name, code)
		}
	}
}
