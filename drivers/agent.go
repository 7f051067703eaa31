// Package drivers is how gcrm works on a host: the agent interface, the
// registry that finds the agent for a name, and below it one package per
// kind or subject of agents (ocf scripts, systemd units, native agents).
//
// Callers are the cluster's executor and, for metadata, the program's main.
// Only drivers start programs, mount file systems or configure addresses.
package drivers

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Name is a full agent name, class:provider:type; provider is empty but for
// class ocf.
type Name struct {
	Class, Provider, Type string
}

func (n Name) String() string {
	if n.Provider == "" {
		return n.Class + ":" + n.Type
	}
	return n.Class + ":" + n.Provider + ":" + n.Type
}

// ParseName reads a full name. (Short names are resolved where the language
// is: a CIB always has full ones.)
func ParseName(s string) (Name, error) {
	p := strings.Split(s, ":")
	switch {
	case len(p) == 2 && p[0] != "" && p[1] != "":
		return Name{Class: p[0], Type: p[1]}, nil
	case len(p) == 3 && p[0] != "" && p[1] != "" && p[2] != "":
		return Name{p[0], p[1], p[2]}, nil
	}
	return Name{}, fmt.Errorf("%q is not an agent name (class:provider:type)", s)
}

// Actions of the OCF resource agent API.
const (
	Start       = "start"
	Stop        = "stop"
	Monitor     = "monitor"
	Promote     = "promote"
	Demote      = "demote"
	Notify      = "notify"
	MigrateTo   = "migrate_to"
	MigrateFrom = "migrate_from"
	Validate    = "validate-all"
	Reload      = "reload"
	ReloadAgent = "reload-agent"
	MetaData    = "meta-data"
)

// Agent is one resource agent with the OCF meaning of its actions: start of a
// started and stop of a stopped resource succeed; monitor changes nothing and
// tells the truth; validate-all checks parameters without the resource.
//
// Implementations must be safe for concurrent use. They keep no state in
// memory between calls: a restarted daemon sees the same world.
type Agent interface {
	// Metadata returns the agent's meta-data XML (ra-api DTD).
	Metadata(ctx context.Context) (string, error)
	// Run executes one action and returns when it is over or ctx is done;
	// when ctx is done, everything it started for the action is gone (the
	// process group killed). An action the agent does not have gives
	// [Unimplemented].
	Run(ctx context.Context, req Request) Result
}

// Request is one action on one resource instance on one node.
type Request struct {
	Agent    Name
	Resource string // OCF_RESOURCE_INSTANCE
	Action   string
	Interval time.Duration
	Timeout  time.Duration
	// Params are instance attributes; a present empty value differs from an
	// absent one. Meta are the CRM_meta_* values with the prefix left off
	// and "-" turned into "_".
	Params, Meta map[string]string
	Node         Node
}

// Node is what an agent may know of the node it runs on.
type Node struct {
	Name, ID    string
	ClusterName string
	// StateDir is a folder of this node that lives as long as the boot:
	// agents keep pid and state files below it. Two nodes of an embedded
	// cluster have different ones.
	StateDir string
	// Home is the state folder of the node's daemon, with the node's keys.
	Home string
	// Secrets is the folder of the node's secret parameters, see package secret.
	Secrets string
	// HelperDir holds crm_master, crm_attribute, crm_node, attrd_updater
	// for scripts; it is put in front of PATH.
	HelperDir string
	// Socket is the API socket of the node's daemon, for those helpers.
	Socket string
	// Cluster is how native agents reach the daemon; never nil.
	Cluster Cluster
}

// CallNotes is the folder in which scripts that run are noted; empty if the
// node has no folder. See process.EndLeftovers.
func (n Node) CallNotes() string {
	if n.StateDir == "" {
		return ""
	}
	return filepath.Join(n.StateDir, "calls")
}

// Cluster is what agents may ask of the node's daemon.
type Cluster interface {
	// SetPromotionScore sets or, with nil, removes the promotion score of a
	// resource on this node (crm_master).
	SetPromotionScore(ctx context.Context, resource string, score *int) error
	// SetAttribute sets or, with nil, removes a transient node attribute
	// (attrd_updater).
	SetAttribute(ctx context.Context, name string, value *string) error
	// SetNodeAttribute sets or, with nil, removes a permanent attribute of
	// any node. When it returns, the value survives the crash of any
	// minority of nodes.
	SetNodeAttribute(ctx context.Context, node, name string, value *string) error
	// Attribute reads a node attribute of any node, transient before
	// permanent, as this node knows it at present; see Sync.
	Attribute(ctx context.Context, node, name string) (string, bool, error)
	// Sync returns when everything that any node wrote before the call is
	// seen by Attribute; without quorum it fails when ctx ends.
	Sync(ctx context.Context) error
	// Nodes lists the names of the cluster's nodes, sorted.
	Nodes(ctx context.Context) ([]string, error)
}

// RC is the exit code of an action, as the OCF API numbers them.
type RC int

const (
	OK               RC = 0
	GenericError     RC = 1
	BadArgs          RC = 2
	Unimplemented    RC = 3
	Permission       RC = 4
	NotInstalled     RC = 5
	NotConfigured    RC = 6
	NotRunning       RC = 7
	RunningPromoted  RC = 8
	FailedPromoted   RC = 9
	Degraded         RC = 190
	DegradedPromoted RC = 191
)

// Status tells how an execution ended, with Pacemaker's numbers.
type Status int

const (
	Done          Status = 0
	Cancelled     Status = 1
	TimedOut      Status = 2
	NotSupported  Status = 3
	Error         Status = 4
	NoSuchAgent   Status = 7
	NotConnected  Status = 8
	InvalidParams Status = 9
)

// Result is the outcome of an action.
type Result struct {
	RC     RC
	Status Status
	// Reason is one line for administrators ("ocf-exit-reason"); it names
	// the object and what to do where possible.
	Reason string
	// Output is what the agent printed, cut to a bounded length.
	Output string
}

// Source says what serves an agent name on this host.
type Source struct {
	Kind string // "native", "script", "systemd", "lsb", "fence-agent"
	Path string // of the script or unit; empty for native
}
