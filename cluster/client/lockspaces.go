package client

import (
	"context"
	"net/http"
	"net/url"

	"gcrm/drivers/dlm/lockspace"
)

// LockNode is a node of the cluster as its lock manager needs to know it.
type LockNode struct {
	Name   string
	Number int
	// Addresses are host:port of the node's daemon, one for each network.
	Addresses []string
	// Present tells that the node is a member that is in contact.
	Present bool
	// Witness nodes have no lock manager.
	Witness bool `json:",omitempty"`
}

// LockspaceView is what the lock manager's control process on a node goes by.
type LockspaceView struct {
	// Tag differs for every other view.
	Tag string
	// Epoch and Index are where in the log the view is.
	Epoch, Index uint64
	Node         string
	Number       int
	Cluster      string // as the lock tables of file systems name it
	Quorate      bool
	// Fencing tells that nodes that are lost can be fenced at all.
	Fencing bool
	Nodes   []LockNode
	Table   lockspace.Table
}

// LockspaceEntry is what the control process says to all nodes.
type LockspaceEntry = lockspace.Entry

// Lockspaces waits for a view with another tag, some seconds at most; with an
// empty one it returns at once.
func (h *HTTP) Lockspaces(ctx context.Context, tag string) (*LockspaceView, error) {
	v := &LockspaceView{}
	return v, h.get(ctx, PathLockspaces, url.Values{"tag": {tag}}, v)
}

// Lockspace offers an entry to the log. It may be in it although there is an
// error.
func (h *HTTP) Lockspace(ctx context.Context, e LockspaceEntry) error {
	return h.send(ctx, http.MethodPost, PathLockspaces, nil, e, nil)
}
