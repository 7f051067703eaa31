package node

import (
	"golang.org/x/sys/unix"

	"gcrm/cluster/client"
)

// diskStep is how exactly free space is told: watchers are not to be woken by
// every entry of the log.
const diskStep = 16 << 20

// disk tells how the state folder does.
func (n *Node) disk() client.Disk {
	d := client.Disk{}
	if n.cfg.Storage == nil { // a real folder
		var st unix.Statfs_t
		if err := unix.Statfs(n.cfg.StateDir, &st); err == nil {
			d.Path, d.Free = n.cfg.StateDir, st.Bavail*uint64(st.Bsize)/diskStep*diskStep
		}
	}
	if since, err := n.cons.Load().Failing(); err != nil {
		d.Failing, d.Since = err.Error(), since
	}
	return d
}
