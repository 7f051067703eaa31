package shell

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// clusterView is the state of a cluster as status shows it. JSON output is
// this, so names and meanings stay.
type clusterView struct {
	Stack        string         `json:"stack"`
	DC           string         `json:"dc,omitempty"`
	DCVersion    string         `json:"dc_version,omitempty"`
	WithQuorum   bool           `json:"with_quorum"`
	Updated      time.Time      `json:"last_updated"`
	UpdatedOn    string         `json:"last_updated_on,omitempty"`
	Changed      string         `json:"last_change,omitempty"`
	ChangedBy    string         `json:"last_change_by,omitempty"`
	ChangedVia   string         `json:"last_change_via,omitempty"`
	ChangedOn    string         `json:"last_change_on,omitempty"`
	Version      string         `json:"version"`
	Maintenance  bool           `json:"maintenance_mode"`
	StopAll      bool           `json:"stop_all_resources"`
	Instances    int            `json:"resource_instances"`
	Disabled     int            `json:"disabled_instances"`
	Blocked      int            `json:"blocked_instances"`
	Nodes        []nodeView     `json:"nodes"`
	Resources    []resourceView `json:"resources"`
	Failures     []failureView  `json:"failures"`
	Fencings     []fencingView  `json:"fencing,omitempty"` // the latest of each kind, newest first
	Tickets      []ticketView   `json:"tickets,omitempty"`
	Bans         []banView      `json:"bans,omitempty"`
	Transition   string         `json:"transition,omitempty"`
	Trial        string         `json:"unconfirmed,omitempty"`
	Locks        []string       `json:"blocked_lockspaces,omitempty"`
	Unproved     []string       `json:"fencing_warnings,omitempty"`
	configuredAt int            // nodes configured
	pings        map[string]int // attributes that agents set by pinging, with the best value
}

// nodeView is a cluster, remote or guest node.
type nodeView struct {
	Name          string            `json:"name"`
	ID            string            `json:"id"`
	Kind          string            `json:"kind"` // member, remote, guest
	Online        bool              `json:"online"`
	Standby       bool              `json:"standby"`
	StandbyOnFail bool              `json:"standby_onfail"`
	Maintenance   bool              `json:"maintenance"`
	Pending       bool              `json:"pending"`
	Unclean       bool              `json:"unclean"`
	DC            bool              `json:"is_dc"`
	Health        string            `json:"health,omitempty"` // red, yellow or empty
	Running       int               `json:"resources_running"`
	Devices       int               `json:"fence_devices_running,omitempty"`
	Shutdown      bool              `json:"shutdown,omitempty"`
	Expected      bool              `json:"expected_up,omitempty"`
	Container     string            `json:"id_as_resource,omitempty"` // of a guest
	Attributes    map[string]string `json:"attributes,omitempty"`
}

// resourceView is a resource, or an instance of one, with its members.
type resourceView struct {
	ID             string         `json:"id"`
	Kind           string         `json:"kind"` // primitive, group, clone, bundle
	Agent          string         `json:"agent,omitempty"`
	Role           string         `json:"role,omitempty"`
	TargetRole     string         `json:"target_role,omitempty"`
	Nodes          []string       `json:"nodes,omitempty"`
	Active         bool           `json:"active"`
	Orphan         bool           `json:"orphan,omitempty"`
	Blocked        bool           `json:"blocked,omitempty"`
	Managed        bool           `json:"managed"`
	Maintenance    bool           `json:"maintenance,omitempty"`
	Failed         bool           `json:"failed,omitempty"`
	FailureIgnored bool           `json:"failure_ignored,omitempty"`
	Disabled       bool           `json:"disabled,omitempty"`
	Pending        string         `json:"pending,omitempty"` // Starting, Monitoring, ...
	Locked         string         `json:"locked_to,omitempty"`
	ProbeResult    string         `json:"probe_result,omitempty"` // why a stopped one cannot run there
	Promotable     bool           `json:"promotable,omitempty"`
	Unique         bool           `json:"unique,omitempty"`
	Image          string         `json:"image,omitempty"`
	BundleType     string         `json:"bundle_type,omitempty"` // docker, podman, rkt
	Members        []resourceView `json:"members,omitempty"`
	Parts          []resourceView `json:"parts,omitempty"` // of a bundle's replica
	// Unclean is set if the node it runs on is offline and not fenced yet.
	Unclean bool `json:"-"`
	// Idle are the nodes without an instance of a clone.
	Idle    []idleView `json:"idle,omitempty"`
	Address string     `json:"address,omitempty"`
	// Child is what a clone multiplies.
	Child     string `json:"-"`
	pendingOn string
}

// idleView is a node on which a clone has no instance, and why if that is
// known.
type idleView struct {
	Node string `json:"node"`
	Why  string `json:"why,omitempty"`
}

// failureView is a failed operation.
type failureView struct {
	Resource string `json:"resource"`
	Node     string `json:"node"`
	Task     string `json:"task"`
	Interval string `json:"interval,omitempty"` // milliseconds
	Key      string `json:"key"`
	Call     string `json:"call"`
	RC       string `json:"rc"`
	RCText   string `json:"rc_text"`
	Status   string `json:"status"`
	Reason   string `json:"exit_reason,omitempty"`
	At       int64  `json:"last_rc_change,omitempty"` // seconds
	Exec     string `json:"exec_ms,omitempty"`
	Queued   string `json:"queue_ms,omitempty"`
	Done     bool   `json:"-"` // executed, as opposed to not executable
}

// fencingView is the latest fencing of a node by one action.
type fencingView struct {
	Action    string    `json:"action"`
	Target    string    `json:"target"`
	State     string    `json:"state"` // pending, success, failed
	Client    string    `json:"client,omitempty"`
	Origin    string    `json:"origin,omitempty"`
	Delegate  string    `json:"delegate,omitempty"`
	Completed time.Time `json:"completed,omitzero"`
	Why       string    `json:"reason,omitempty"` // of a failure
	// Later is the node that fenced it after all, after a failure.
	Later string `json:"later_success,omitempty"`
}

type ticketView struct {
	ID          string `json:"id"`
	Granted     bool   `json:"granted"`
	Standby     bool   `json:"standby"`
	LastGranted string `json:"last_granted,omitempty"`
}

type banView struct {
	ID       string `json:"id"`
	Resource string `json:"resource"`
	Node     string `json:"node"`
	Weight   int    `json:"weight"`
	Promoted bool   `json:"promoted_only"`
}

// eachInstance calls f for every primitive instance.
func (r *resourceView) eachInstance(f func(*resourceView)) {
	if r.Kind == "primitive" {
		f(r)
		return
	}
	for i := range r.Members {
		r.Members[i].eachInstance(f)
	}
}

// findView finds a resource or instance by id, also without the number of an
// instance.
func findView(list []resourceView, id string) []*resourceView {
	var out []*resourceView
	for i := range list {
		r := &list[i]
		if r.ID == id || historyName(r.ID) == id {
			out = append(out, r)
			continue
		}
		out = append(out, findView(r.Members, id)...)
	}
	return out
}

// shownAttributes are the names of a node's attributes that are not the
// cluster's own, sorted.
func shownAttributes(n *nodeView) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(n.Attributes)), func(k string) bool {
		return slices.ContainsFunc([]string{"fail-count", "last-failure", "shutdown", "terminate", "standby", "#"},
			func(p string) bool { return strings.HasPrefix(k, p) })
	})
}
