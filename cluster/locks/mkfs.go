package locks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"gcrm/cluster/client"
	"gcrm/drivers/gfs2"
)

// mkfs makes a GFS2 file system whose lock table and journals are those of this
// cluster. It refuses a device that is in use here, or has anything on it, or
// is mounted on any node.
type mkfs struct {
	Name, Device string
	Journals     int // one for each node if 0
	// Overwrite makes it on a device with something on it.
	Overwrite bool
	view      *client.LockspaceView
}

// spaceName is what GFS2 takes for the second part of a lock table.
var spaceName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]{1,30}$`) })

// check decides whether it may be made, and completes the number of journals.
func (m *mkfs) check() error {
	if !spaceName().MatchString(m.Name) {
		return fmt.Errorf("%q is no name of a file system: letters, digits, - and _, at most 30", m.Name)
	}
	if _, used := m.view.Table.Space(m.Name); used {
		return fmt.Errorf("a lockspace %s is in use in this cluster: the file system of that name is mounted, or another one; choose another name, or unmount it everywhere", m.Name)
	}
	nodes := 0
	for _, n := range m.view.Nodes {
		if !n.Witness {
			nodes++
		}
	}
	if m.Journals == 0 {
		m.Journals = nodes
	}
	if m.Journals < nodes {
		return fmt.Errorf("%d journals for %d nodes: every node that mounts the file system needs one of its own", m.Journals, nodes)
	}
	f, err := os.OpenFile(m.Device, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s is in use on this node: it is mounted, or part of a volume group, mirror or mapping", m.Device)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return m.content(f)
}

// content refuses a device with something on it.
func (m *mkfs) content(dev io.ReaderAt) error {
	sb, err := gfs2.Read(dev)
	switch {
	case err == nil && m.inUse(sb):
		return fmt.Errorf("%s has the file system %s, which is mounted in this cluster", m.Device, sb.Table)
	case m.Overwrite:
		return nil
	case err == nil && sb.Cluster() != m.view.Cluster && sb.Table != "":
		return fmt.Errorf("%s has the GFS2 file system %s of another cluster, which may have it mounted; --overwrite destroys it", m.Device, sb.Table)
	case err == nil:
		return fmt.Errorf("%s has the GFS2 file system %s; --overwrite destroys it", m.Device, sb.Table)
	case !errors.Is(err, gfs2.ErrNotGFS2):
		return fmt.Errorf("%s: %w", m.Device, err)
	}
	b := make([]byte, 1<<20)
	n, err := dev.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", m.Device, err)
	}
	for i, x := range b[:n] {
		if x != 0 {
			return fmt.Errorf("%s is not empty (there is something at byte %d): another file system, a partition table or a volume group; --overwrite destroys it", m.Device, i)
		}
	}
	return nil
}

// inUse tells whether the file system is mounted on any node.
func (m *mkfs) inUse(sb gfs2.Superblock) bool {
	if sb.Cluster() != m.view.Cluster {
		return false
	}
	_, used := m.view.Table.Space(sb.Space())
	return used
}

// argv is the command that makes it.
func (m *mkfs) argv() []string {
	return []string{"mkfs.gfs2", "-O", "-p", "lock_dlm", "-t", m.view.Cluster + ":" + m.Name, "-j", strconv.Itoa(m.Journals), m.Device}
}

// run makes it.
func (m *mkfs) run(ctx context.Context, daemon daemonAPI, out io.Writer) error {
	var err error
	if m.view, err = daemon.Lockspaces(ctx, ""); err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	argv := m.argv()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mkfs.gfs2 (package gfs2-utils): %w", err)
	}
	return nil
}
