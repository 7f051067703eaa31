// Package client is how programs talk to a node's daemon: the interface the
// shell works against, the types on the wire, and the HTTP/JSON client over
// the daemon's unix socket or TLS.
//
// Callers are the shell, the agents' helper commands and the program's main;
// the server side is cluster/api, which uses the same types.
package client

import (
	"context"
	"time"

	"gcrm/cib"
)

// Cluster is a running cluster seen from one node.
type Cluster interface {
	// CIB returns the node's current document. With linearizable set, it
	// contains everything that was acknowledged to anybody before the call.
	CIB(ctx context.Context, linearizable bool) (*cib.CIB, error)
	// Apply commits a change through consensus. When it returns nil the
	// change is durable on a majority; the version is that of the document
	// it produced. A stale Base gives an error that is cib.ErrConflict.
	Apply(ctx context.Context, change cib.Change) (cib.Version, error)
	// Info tells what the node knows of the cluster besides the CIB.
	Info(ctx context.Context) (*Info, error)
	// Watch sends an event for every new CIB version and every change of
	// Info until ctx ends; slow readers miss intermediate events, never the
	// last.
	Watch(ctx context.Context) (<-chan Event, error)
	// Agents lists agent types the nodes can run: classes if class is
	// empty, for ocf the providers' types otherwise.
	Agents(ctx context.Context, class, provider string) ([]string, error)
	// Metadata returns the meta-data XML of an agent (class:provider:type)
	// and what serves it on this node.
	Metadata(ctx context.Context, agent string) (xml, source string, err error)
	// Close ends the connection.
	Close() error
}

// Info is the state of a node and of the cluster as that node sees it.
type Info struct {
	Node, NodeID string
	ClusterName  string
	Leader       string // node name; empty if there is none
	Quorate      bool
	Members      []Member
	// Transition tells whether the leader's controller is at work.
	Transition Transition
	Version    cib.Version
	// Trial is the commit that waits for its confirmation.
	Trial    Trial    `json:",omitzero"`
	Security Security `json:",omitzero"`
	// Level is the feature level that the cluster works at; Behind are the
	// nodes that keep it below what this node knows.
	Level  int
	Behind []string `json:",omitempty"`
	// Locks are the lockspaces of the kernel's lock manager that cannot go on,
	// each with what it waits for.
	Locks  []string `json:",omitempty"`
	Disk   Disk     `json:",omitzero"`
	Timing Timing   `json:",omitzero"`
}

// Timing are the two times that all timeouts of the cluster follow from, and
// those of them that people ask about, in nanoseconds.
type Timing struct {
	Preset                                                     string `json:",omitempty"` // its name, if they are one
	Detection, Fencing                                         time.Duration
	Heartbeat, DeadAfter, Election, Answer, Disk, JoinPatience time.Duration
}

// Disk is how the node's state folder does.
type Disk struct {
	Path string
	// Free is how many bytes are free; 0 with an empty Path if it is not known.
	Free uint64
	// Failing says why the state cannot be stored, Since when.
	Failing string    `json:",omitempty"`
	Since   time.Time `json:",omitzero"`
}

// Low is the free space below which a disk is about to be full.
func (d Disk) Low() bool { return d.Path != "" && d.Free < lowDisk }

const lowDisk = 128 << 20

// Security tells of the keys of a node and of its cluster.
type Security struct {
	// CertificateEnds is when the node's certificate ends, AuthorityEnds when
	// that of the cluster's authority does; both are renewed before.
	CertificateEnds, AuthorityEnds time.Time
	// Generation counts the steps of replacements, Replacing says how far one
	// under way is, and Waits for which nodes.
	Generation uint64   `json:",omitempty"`
	Replacing  string   `json:",omitempty"`
	Waits      []string `json:",omitempty"`
}

// Trial is a commit that is taken back unless it is confirmed.
type Trial struct {
	Version cib.Version
	Origin  cib.Origin
	Until   time.Time
}

// Pending reports whether there is one.
func (t Trial) Pending() bool { return t != Trial{} }

// Member is one node of the committed membership.
type Member struct {
	Name, ID string
	Online   bool
	Voter    bool
	Since    time.Time
	// Build is the version of its gcrm, if it is known.
	Build string `json:",omitempty"`
}

// Transition is the progress of the controller.
type Transition struct {
	// Idle is set when the last plan is done and nothing is left to do.
	Idle              bool
	Number            int
	Done, Total       int
	Running           []string // "web_start_0 on node1"
	ComputedAtVersion cib.Version
}

// Event says that something changed.
type Event struct {
	Version    cib.Version
	Info       *Info
	Connection string // "lost", "restored" or ""
}
