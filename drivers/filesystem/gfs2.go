package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"gcrm/drivers"
	"gcrm/drivers/dlm"
	"gcrm/drivers/gfs2"
	"gcrm/drivers/native"
)

// lockRoot is the configuration of the kernel's lock manager.
const lockRoot = "/sys/kernel/config/dlm/cluster"

// isGFS2 tells whether the file system needs the lock manager.
func (t target) isGFS2() bool {
	return t.fstype == "gfs2" && !slices.Contains(t.options.data, "lockproto=lock_nolock")
}

// shared is a GFS2 file system as it would be mounted.
type shared struct {
	gfs2.Superblock
	journals int
}

// readShared reads the file system on the device; mount options go before what
// the superblock has.
func (t target) readShared() (shared, error) {
	sb, journals, err := gfs2.Device(t.device)
	if err != nil {
		return shared{}, err
	}
	for _, o := range t.options.data {
		if v, ok := strings.CutPrefix(o, "locktable="); ok {
			sb.Table = v
		}
		if v, ok := strings.CutPrefix(o, "lockproto="); ok {
			sb.Protocol = v
		}
	}
	return shared{sb, journals}, nil
}

// lockManager refuses a cluster file system without its lock manager, or with
// a lock table of another cluster: the mount would hang in the kernel, where
// nothing can end it, or fail without a reason that helps.
func (t target) lockManager(_ context.Context, c *native.Call) drivers.Result {
	if !t.isGFS2() {
		return native.OK()
	}
	entries, err := os.ReadDir(lockRoot + "/comms")
	if err != nil || len(entries) == 0 {
		return native.Fail(drivers.GenericError, "gfs2 needs the lock manager, which does not run on %s: order this resource after a controld clone, "+
			"or mount with lockproto=lock_nolock on one node", c.Node.Name)
	}
	cluster, err := os.ReadFile(lockRoot + "/cluster_name")
	if err != nil {
		return native.Failed(err)
	}
	fs, err := t.readShared()
	if errors.Is(err, gfs2.ErrNotGFS2) {
		return native.Fail(drivers.NotInstalled, "%v; gcrm dlm mkfs NAME %s makes one", err, t.device)
	}
	if err != nil {
		return native.Failed(err)
	}
	return fs.fits(t, strings.TrimSpace(string(cluster)))
}

// fits checks a file system against the cluster's name.
func (s shared) fits(t target, cluster string) drivers.Result {
	switch {
	case s.Protocol != "lock_dlm":
		return native.Fail(drivers.NotConfigured, "%s was made for a single node (%s): tunegfs2 -o lockproto=lock_dlm,locktable=%s:NAME %s makes it one of this cluster, while nobody has it mounted",
			t.device, s.Protocol, cluster, t.device)
	case s.Cluster() != cluster || s.Space() == "":
		return native.Fail(drivers.NotConfigured, "the lock table of %s is %q, and this cluster is %s: tunegfs2 -o locktable=%s:%s %s changes it, while nobody of the other cluster has it mounted",
			t.device, s.Table, cluster, cluster, fallback(s.Space(), "NAME"), t.device)
	case s.journals == 0:
		return native.Fail(drivers.NotConfigured, "%s has no journals", t.device)
	}
	return native.OK()
}

func fallback(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// addJournals gives a mounted file system a journal for every instance of the
// clone.
func (t target) addJournals(ctx context.Context, c *native.Call) drivers.Result {
	nodes := c.MetaInt("clone_max", 1)
	if !t.isGFS2() || t.options.readOnly || c.Dry() {
		return native.OK()
	}
	fs, err := t.readShared()
	if err != nil || fs.journals >= nodes {
		return native.Failed(err)
	}
	c.Waiting("journals to be added to %s", t.directory)
	if err := c.Change(ctx, "gfs2_jadd", "-j", fmt.Sprint(nodes-fs.journals), t.directory); err != nil {
		return native.Fail(drivers.GenericError, "%s has %d journals for %d nodes, and more could not be added: %v", t.device, fs.journals, nodes, err)
	}
	return native.OK()
}

// withdrawal is what a monitor says of a file system that the kernel gave up.
// The node can only be restarted: its journal has to be replayed by others,
// which wait for its fencing.
func (t target) withdrawal(ctx context.Context, c *native.Call) drivers.Result {
	if !t.isGFS2() {
		return native.OK()
	}
	fs, err := t.readShared()
	if err != nil {
		return native.Failed(err)
	}
	gone, err := gfs2.Withdrawn(fs.Table)
	if err != nil || !gone {
		return native.OK() // a kernel that does not tell
	}
	why := fmt.Sprintf("the kernel withdrew from file system %s on %s", fs.Table, c.Node.Name)
	res := native.Fail(drivers.GenericError, "%s: it found it damaged or could not write it (see the kernel's log); the node has to be fenced, and the file system checked (fsck.gfs2) while nobody has it mounted", why)
	if err := dlm.Folder(c.Node.StateDir).GiveUp(ctx, why); err != nil {
		res.Reason += fmt.Sprintf("; the lock manager could not be told: %v", err)
	}
	return res
}
