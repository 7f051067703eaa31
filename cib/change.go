package cib

import "time"

// A Change is one entry of the replicated log: everything that ever happens
// to a cluster's CIB is a Change applied by [CIB.Apply], on every node in the
// same order. Changes are JSON on the wire and in the log.
//
// Exactly one of the pointers is set.
type Change struct {
	Origin        Origin
	Configuration *ConfigurationChange `json:",omitempty"`
	Status        *StatusChange        `json:",omitempty"`
}

// Origin says who made a change, for the history of versions.
type Origin struct {
	User    string    `json:",omitempty"` // user name on the node it came from
	Node    string    `json:",omitempty"` // node that accepted it
	Client  string    `json:",omitempty"` // "gcrm shell", "controller", ...
	Time    time.Time // on the clock of Node
	Message string    `json:",omitempty"` // commit -m
}

// ConfigurationChange replaces the configuration section: one commit, one
// version. It is refused with [ErrConflict] unless Base is the version (but
// for num_updates) of the document it is applied to.
type ConfigurationChange struct {
	Base Version
	// XML is the whole new configuration element.
	XML string
	// Schema, if set, replaces validate-with.
	Schema string `json:",omitempty"`
	// Confirm, if set, is how long the cluster waits for a confirmation
	// before it takes the change back.
	Confirm time.Duration `json:",omitempty"`
}

// StatusChange is an atomic list of edits of the status section. It never
// conflicts; edits are applied in order. num_updates grows by one.
type StatusChange struct {
	Edits []StatusEdit
}

// StatusEdit is one edit of the status section; exactly one pointer is set.
type StatusEdit struct {
	Node      *NodeStateEdit `json:",omitempty"`
	Operation *OperationEdit `json:",omitempty"`
	Forget    *ForgetEdit    `json:",omitempty"`
	Attribute *AttributeEdit `json:",omitempty"`
	Ticket    *TicketEdit    `json:",omitempty"`
	Root      *RootEdit      `json:",omitempty"`
}

// NodeStateEdit creates or changes node_state attributes (in_ccm, crmd, join,
// expected, ...). An empty value removes the attribute. ID is the node's id;
// Uname may be left out for a node_state that exists.
type NodeStateEdit struct {
	ID, Uname  string
	Attributes []Attr `json:",omitempty"`
	// Fenced also removes the node's operation history and transient
	// attributes, since what ran there is gone.
	Fenced bool `json:",omitempty"`
	// Gone removes the whole node_state.
	Gone bool `json:",omitempty"`
}

// OperationEdit records a result (or a pending operation) in a node's
// lrm_resource history, replacing the entry of the same id. Attributes are
// those of lrm_rsc_op, among them id, operation, operation_key, interval,
// call-id, rc-code, op-status, transition-key, transition-magic, last-rc-change,
// exec-time, queue-time, op-digest, exit-reason, on_node.
type OperationEdit struct {
	Node       string // node id
	Resource   string // history id: the instance name without :N for anonymous clones
	Class      string
	Provider   string `json:",omitempty"`
	Type       string
	Attributes []Attr
	// ShutdownLock is noted with the resource (shutdown-lock, seconds since
	// 1970): it stopped because its node shut down then, and waits for it.
	// Unlock ends the waiting. With neither a lock stays as it is.
	ShutdownLock int64 `json:",omitempty"`
	Unlock       bool  `json:",omitempty"`
}

// ForgetEdit removes history: of one resource on a node, of all its
// operations or of one operation entry (by lrm_rsc_op id). With Node empty, on
// all nodes; with Resource empty, all resources.
type ForgetEdit struct {
	Node, Resource string `json:",omitempty"`
	Operation      string `json:",omitempty"`
}

// AttributeEdit sets a transient node attribute (an nvpair in
// transient_attributes); an empty Value with Delete set removes it. Add
// increments an integer value instead ("fail-count-...", "value++").
type AttributeEdit struct {
	Node   string // node id
	Name   string
	Value  string `json:",omitempty"`
	Delete bool   `json:",omitempty"`
	Add    bool   `json:",omitempty"`
}

// TicketEdit sets attributes of a ticket_state; an empty value removes one;
// Delete removes the ticket.
type TicketEdit struct {
	ID         string
	Attributes []Attr `json:",omitempty"`
	Delete     bool   `json:",omitempty"`
}

// RootEdit sets attributes of the cib element that the cluster maintains:
// have-quorum, dc-uuid.
type RootEdit struct {
	Attributes []Attr
}
