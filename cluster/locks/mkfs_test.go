package locks

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/cluster/client"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/gfs2"
)

// fixedView is a daemon that says the same at all times.
type fixedView struct{ client.LockspaceView }

func (v fixedView) Lockspaces(context.Context, string) (*client.LockspaceView, error) {
	return &v.LockspaceView, nil
}
func (fixedView) Lockspace(context.Context, client.LockspaceEntry) error { return nil }

func TestMkfs(t *testing.T) {
	view := client.LockspaceView{Cluster: "cluster1", Nodes: []client.LockNode{{Number: 1}, {Number: 2}, {Number: 3, Witness: true}},
		Table: lockspace.Table{Spaces: []lockspace.Space{{Name: "mounted"}}}}
	image := func(content string, size int64) string {
		path := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		return path
	}
	superblock := func(table string) string {
		b := make([]byte, 1<<17)
		copy(b[64<<10:], []byte{1, 0x16, 0x19, 0x70, 0, 0, 0, 1})
		copy(b[64<<10+36:], []byte{0, 0, 16, 0})
		copy(b[64<<10+160:], table)
		return string(b)
	}
	for _, c := range []struct {
		m    mkfs
		want string
	}{
		{mkfs{Name: "kvm1", Device: image("", 1<<20)}, ""},
		{mkfs{Name: "kvm 1", Device: image("", 1<<20)}, "no name"},
		{mkfs{Name: "mounted", Device: image("", 1<<20)}, "in use in this cluster"},
		{mkfs{Name: "kvm1", Journals: 1, Device: image("", 1<<20)}, "1 journals for 2 nodes"},
		{mkfs{Name: "kvm1", Device: image("EFI PART", 1<<20)}, "not empty"},
		{mkfs{Name: "kvm1", Device: image("EFI PART", 1<<20), Overwrite: true}, ""},
		{mkfs{Name: "kvm1", Device: image(superblock("other:kvm1"), 1<<20)}, "of another cluster"},
		{mkfs{Name: "kvm1", Device: image(superblock("cluster1:old"), 1<<20)}, "--overwrite destroys it"},
		{mkfs{Name: "kvm1", Device: image(superblock("cluster1:mounted"), 1<<20), Overwrite: true}, "is mounted in this cluster"},
	} {
		c.m.view = &view
		err := c.m.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v; want %q", c.m, err, c.want)
		}
	}
	if _, err := exec.LookPath("mkfs.gfs2"); err != nil {
		t.Skip("SKIPPED: no mkfs.gfs2 here (package gfs2-utils)")
	}
	m := mkfs{Name: "kvm1", Device: image("", 400<<20)}
	var out bytes.Buffer
	if err := m.run(t.Context(), fixedView{view}, &out); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if sb, journals, err := gfs2.Device(m.Device); err != nil || sb.Table != "cluster1:kvm1" || journals != 2 {
		t.Errorf("%+v %d %v", sb, journals, err)
	}
}
