package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gcrm/cib"
)

// Paths of the API, all of them below the version.
const (
	PathCIB       = "/v1/cib"
	PathApply     = "/v1/apply"
	PathInfo      = "/v1/info"
	PathWatch     = "/v1/watch"
	PathAgents    = "/v1/agents"
	PathMetadata  = "/v1/metadata"
	PathRevisions = "/v1/revisions"
	PathLinks     = "/v1/links"
	PathMesh      = "/v1/mesh"
	PathTokens    = "/v1/tokens"
	PathMembers   = "/v1/members"
	PathForce     = "/v1/force-alone"
	PathStop      = "/v1/stop"
	PathFencing   = "/v1/fencing"
	PathConfirm   = "/v1/fencing/confirm"
	PathFencePlan = "/v1/fencing/plan"
	PathFenceTest = "/v1/fencing/test"
	PathTrial     = "/v1/trial"
	PathRehearse  = "/v1/rehearse"
	PathAudit     = "/v1/audit"
	PathDrill     = "/v1/drill"
	PathRotate    = "/v1/rotate"
	PathAdminCert = "/v1/admin-certs"
	// PathSecrets is about secret parameters on all nodes, PathSecret about one.
	PathSecrets = "/v1/secrets"
	PathSecret  = "/v1/secrets/read"
	PathAct     = "/v1/act"
	PathOpenAPI = "/v1/openapi.json"
	// PathLockspaces is about the lockspaces of the kernel's lock manager.
	PathLockspaces = "/v1/lockspaces"
)

// MaxBody bounds requests and answers but for the watch stream.
const MaxBody = 256 << 20

// ApplyRequest is the body of a request to apply a change. Request identifies
// it: the same number gives the same answer and is not applied twice.
type ApplyRequest struct {
	Request string
	Change  cib.Change
}

// ApplyAnswer is the answer to it.
type ApplyAnswer struct {
	Version string
}

// Codes of errors on the wire.
const (
	CodeConflict    = "conflict"
	CodeRefused     = "refused"
	CodeNoLeader    = "no-leader"
	CodeUnknown     = "unknown-outcome"
	CodeNotFound    = "not-found"
	CodeForbidden   = "forbidden"
	CodeMalformed   = "malformed"
	CodeUnavailable = "unavailable"
)

// Error is an error that the daemon reported.
type Error struct {
	Code string
	Text string
	// Conflict is set with CodeConflict.
	Conflict *cib.ConflictError `json:",omitempty"`
}

func (e *Error) Error() string { return e.Text }

// ErrNoLeader means that the cluster has no leader: nothing was changed.
var ErrNoLeader = errors.New("the cluster has no quorum: nothing can be changed until a majority of its nodes can reach each other")

// ErrUnknownOutcome means that a change may or may not have been committed.
var ErrUnknownOutcome = errors.New("it is unknown whether the change was committed; look before trying again")

// Is makes errors of the daemon known as the errors they were there.
func (e *Error) Is(target error) bool {
	switch target {
	case cib.ErrConflict:
		return e.Code == CodeConflict
	case ErrNoLeader:
		return e.Code == CodeNoLeader
	case ErrUnknownOutcome:
		return e.Code == CodeUnknown
	}
	return false
}

// As gives access to the details of a conflict.
func (e *Error) As(target any) bool {
	if t, ok := target.(**cib.ConflictError); ok && e.Conflict != nil {
		*t = e.Conflict
		return true
	}
	return false
}

// Status is the HTTP status that goes with the error's code.
func (e *Error) Status() int {
	switch e.Code {
	case CodeConflict:
		return http.StatusConflict
	case CodeRefused:
		return http.StatusUnprocessableEntity
	case CodeNoLeader, CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeUnknown:
		return http.StatusGatewayTimeout
	case CodeNotFound:
		return http.StatusNotFound
	case CodeForbidden:
		return http.StatusForbidden
	case CodeMalformed:
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// Metadata is the answer to a request for an agent's meta-data.
type Metadata struct {
	XML, Source string
}

// Revision is one version of the configuration that the cluster remembers.
type Revision struct {
	Version cib.Version
	Origin  cib.Origin
	// Confirmed is who confirmed it, if it was on trial.
	Confirmed *cib.Origin `json:",omitempty"`
	// XML is the configuration element; empty in lists.
	XML string `json:",omitempty"`
}

// Link is the health of one way between the answering node and another.
type Link struct {
	Peer, Address string
	// Up tells that traffic goes both ways.
	Up bool
	// Hears tells that the peer's heartbeats arrive here, Heard that ours
	// arrive there.
	Hears, Heard bool
	// Loss is the share of the peer's last heartbeats that did not arrive.
	Loss float64
	// RoundTrip is the last measured time there and back, in microseconds.
	RoundTrip int64
}

// NodeLinks are the links of one node to the others, or why they are not known.
type NodeLinks struct {
	Node  string
	Links []Link
	Error string `json:",omitempty"`
}

// TokenRequest asks for a join token, TokenAnswer has it.
type TokenRequest struct{ Seconds int }

// TokenAnswer has a join token.
type TokenAnswer struct{ Token string }

// ForceRequest makes the node go on without the other one of two.
type ForceRequest struct {
	Peer string
	// Words are what the administrator says to have verified.
	Words string
}

// Administrator is what a Cluster may offer besides: changes of the
// membership.
type Administrator interface {
	// Token makes a join token that is good for one node and some time.
	Token(ctx context.Context, life time.Duration) (string, error)
	// RemoveNode forgets a node that is gone for good.
	RemoveNode(ctx context.Context, name string) error
	// ForceAlone makes the node go on without the other one of two, which
	// the administrator says is down.
	ForceAlone(ctx context.Context, peer, words string) error
	// StopNode ends the daemon in order: resources are moved away and the
	// node leaves the cluster. It returns when that has begun.
	StopNode(ctx context.Context) error
}

// FenceRequest asks for a node to be fenced, or (with PathConfirm) says that it
// is known to be down.
type FenceRequest struct {
	Node   string
	Action string // off, reboot or on
}

// FenceEntry is one fencing, past or under way.
type FenceEntry struct {
	ID, Target, Action string
	State              string
	Client, Origin     string
	Delegate, Device   string
	Started, Completed time.Time
	// Proof says how it is known that the node was down, Text that in words,
	// or why it failed.
	Proof, Reason, Text string
}

// FenceDevice is a fence device of the configuration.
type FenceDevice struct {
	ID       string   `json:"id"`
	Agent    string   `json:"agent"`
	Native   bool     `json:"native"`
	Disabled bool     `json:"disabled,omitempty"`
	Check    string   `json:"host_check"`
	Fences   []string `json:"fences,omitempty"`  // nodes its lists name, with static-list
	Started  []string `json:"started,omitempty"` // nodes it is known to be reached from
	Proves   bool     `json:"proves"`            // its success is proof by itself
}

// FenceLevel is tried before the ones behind it; all of its devices must succeed.
type FenceLevel struct {
	Index   int      `json:"index,omitempty"` // 0 without topology
	Devices []string `json:"devices"`
}

// FenceProof says when and how it was seen that a node can be fenced.
type FenceProof struct {
	At       time.Time     `json:"at"`
	Kind     string        `json:"kind"` // reboot (rehearsal), fencing (in earnest), check
	Device   string        `json:"device,omitempty"`
	Agent    string        `json:"agent,omitempty"`
	By       string        `json:"by,omitempty"`
	Took     time.Duration `json:"took_ns"`
	Proof    string        `json:"proof,omitempty"`
	Evidence string        `json:"evidence,omitempty"`
}

// FenceNode is how a node is fenced, and whether that was ever proved.
type FenceNode struct {
	Node     string        `json:"node"`
	Levels   []FenceLevel  `json:"levels"`
	Topology bool          `json:"topology"`
	Watchdog time.Duration `json:"watchdog_ns,omitempty"`
	Proved   *FenceProof   `json:"proved,omitempty"`
	Checked  *FenceProof   `json:"checked,omitempty"`
	Warning  string        `json:"warning,omitempty"`
}

// FencePlan is all of it. Devices are missing where the nodes are not fenced by
// devices of the configuration.
type FencePlan struct {
	Enabled bool          `json:"enabled"`
	Devices []FenceDevice `json:"devices"`
	Nodes   []FenceNode   `json:"nodes"`
}

// FenceTestRequest asks for a rehearsal.
type FenceTestRequest struct {
	Node   string
	Really bool // reboot the node, which the caller has emptied
}

// FenceCheck is what one device said on one node, without switching anything.
type FenceCheck struct {
	Device  string        `json:"device"`
	Agent   string        `json:"agent"`
	By      string        `json:"by"`
	Level   int           `json:"level,omitempty"`
	Reached bool          `json:"reached"`
	Knows   bool          `json:"knows_node"`
	Power   string        `json:"power,omitempty"`
	Took    time.Duration `json:"took_ns"`
	Text    string        `json:"text,omitempty"`
	Hint    string        `json:"hint,omitempty"`
}

// FenceReport is what came of a rehearsal.
type FenceReport struct {
	Checks []FenceCheck `json:"checks,omitempty"`
	Proved *FenceProof  `json:"proved,omitempty"`
	// Unrecorded says why it could not be kept in the configuration.
	Unrecorded string `json:"unrecorded,omitempty"`
}

// Warden is what a Cluster may offer besides: fencing by the devices of the
// configuration.
type Warden interface {
	// Fence returns when the node is known to be down, with the proof.
	Fence(ctx context.Context, node, action string) (proof string, err error)
	// ConfirmDown takes the administrator's word that a node is down.
	ConfirmDown(ctx context.Context, node string) error
	// Fencings returns the history, the latest first.
	Fencings(ctx context.Context) ([]FenceEntry, error)
	// FencePlan returns devices, and how each node is fenced.
	FencePlan(ctx context.Context) (*FencePlan, error)
	// FenceTest checks the devices of a node, or really reboots it, and keeps
	// in the configuration what came of it.
	FenceTest(ctx context.Context, r FenceTestRequest) (*FenceReport, error)
}

// RehearseRequest asks what a document, which need not be committed, would
// have the nodes do.
type RehearseRequest struct {
	CIB string // XML, with status
}

// Rehearsed is one action as its node would carry it out in its present state.
type Rehearsed struct {
	Node     string `json:"node"`
	Resource string `json:"resource"`
	Action   string `json:"action"`
	Agent    string `json:"agent"`
	// Steps are the commands and system calls, in order.
	Steps []string `json:"steps"`
	// Unclear says why the steps are not known, or not all of them.
	Unclear string `json:"unclear,omitempty"`
}

// Rehearser is what a Cluster may offer besides: to show what nodes would do.
type Rehearser interface {
	// Rehearse returns the actions of agents, without monitors, that follow
	// from a document, in an order that they could be carried out in.
	Rehearse(ctx context.Context, doc *cib.CIB) ([]Rehearsed, error)
}

// VerdictRequest ends the trial of a version.
type VerdictRequest struct {
	Version string
	Keep    bool
}

// Judge is what a Cluster may offer besides: the end of a trial, see
// cib.ConfigurationChange.Confirm.
type Judge interface {
	// Decide keeps the version on trial, or takes it back.
	Decide(ctx context.Context, trial cib.Version, keep bool) error
}

// DrillRequest makes a node fail: kill ends its daemon at once, cut loses its
// traffic with the others. After Seconds it recovers by itself.
type DrillRequest struct {
	Node, Kind string
	Seconds    int
}

// RotateRequest begins to replace the keys of the cluster: those of its
// heartbeats, the certificates of all nodes, and with Authority the authority.
type RotateRequest struct{ Authority bool }

// AdminCertRequest asks for a certificate with which a user may use the API
// over TLS.
type AdminCertRequest struct {
	User string
	// Key is the public key in PKIX form; the private one stays with the user.
	Key     []byte
	Seconds int64 // how long it is to be good
}

// AdminCertAnswer has the certificate and those of the cluster's authority, in DER.
type AdminCertAnswer struct {
	Certificate []byte
	Authorities [][]byte
}

// AuditEntry is one request that changed something, or was to.
type AuditEntry struct {
	Time time.Time
	Node string // that was asked
	// User asked; UID is his on the node, -1 if he came over TLS.
	User string
	UID  int64
	// Via is "socket" or "tls", From the process or the address there.
	Via, From string
	Request   string // method and path
	What      string // in words
	Result    string // done or failed
	Error     string `json:",omitempty"`
	// Milliseconds is how long it took.
	Milliseconds int64
}

// Historian is what a Cluster may offer besides: the remembered versions of
// the configuration, oldest first, and one of them in full.
type Historian interface {
	Revisions(ctx context.Context) ([]Revision, error)
	Revision(ctx context.Context, v cib.Version) (*Revision, error)
}

// Linker is what a Cluster may offer besides: the links of its node, and those
// of all nodes as each of them sees them.
type Linker interface {
	Links(ctx context.Context) ([]Link, error)
	Mesh(ctx context.Context) ([]NodeLinks, error)
}

func decodeError(status int, body []byte) error {
	e := &Error{}
	if json.Unmarshal(body, e) == nil && e.Text != "" {
		return e
	}
	return fmt.Errorf("the daemon answered with HTTP status %d", status)
}
