package wire

import "fmt"

// Role is what a node is for a volume.
type Role uint8

const (
	RoleUnknown Role = iota
	Primary
	Secondary
)

// Conn is the state of the connection, from 10 on that of replication.
type Conn uint8

const (
	StandAlone Conn = iota
	Disconnecting
	Unconnected
	Timeout
	BrokenPipe
	NetworkFailure
	ProtocolError
	TearDown
	WFConnection
	WFReportParams
	Connected
	StartingSyncS
	StartingSyncT
	WFBitMapS
	WFBitMapT
	WFSyncUUID
	SyncSource
	SyncTarget
	VerifyS
	VerifyT
	PausedSyncS
	PausedSyncT
	Ahead
	Behind
)

// Disk is the state of a disk.
type Disk uint8

const (
	Diskless Disk = iota
	Attaching
	Failed
	Negotiating
	Inconsistent
	Outdated
	DUnknown
	Consistent
	UpToDate
)

var (
	roleNames = [...]string{"Unknown", "Primary", "Secondary"}
	connNames = [...]string{
		"StandAlone", "Disconnecting", "Unconnected", "Timeout", "BrokenPipe", "NetworkFailure", "ProtocolError", "TearDown",
		"WFConnection", "WFReportParams", "Connected", "StartingSyncS", "StartingSyncT", "WFBitMapS", "WFBitMapT", "WFSyncUUID",
		"SyncSource", "SyncTarget", "VerifyS", "VerifyT", "PausedSyncS", "PausedSyncT", "Ahead", "Behind",
	}
	diskNames = [...]string{
		"Diskless", "Attaching", "Failed", "Negotiating", "Inconsistent", "Outdated", "DUnknown", "Consistent", "UpToDate",
	}
)

func name[T ~uint8](v T, names []string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("?%d", v)
}

func (r Role) String() string { return name(r, roleNames[:]) }
func (c Conn) String() string { return name(c, connNames[:]) }
func (d Disk) String() string { return name(d, diskNames[:]) }

// State is the state of a volume as one word, as it is sent. The zero value is
// Unknown, StandAlone, Diskless.
type State uint32

// Bits of the state word above the five fields.
const (
	Suspended       State = 1 << 17 // I/O suspended by the administrator
	PausedAfter     State = 1 << 18 // resync waits for another one
	PausedByPeer    State = 1 << 19
	PausedByUser    State = 1 << 20
	SuspendedNoData State = 1 << 21
	SuspendedFence  State = 1 << 22
)

// Masks of the five fields.
const (
	MaskRole     State = 3
	MaskPeer     State = 3 << 2
	MaskConn     State = 31 << 4
	MaskDisk     State = 15 << 9
	MaskPeerDisk State = 15 << 13
)

func (s State) Role() Role     { return Role(s & 3) }
func (s State) Peer() Role     { return Role(s >> 2 & 3) }
func (s State) Conn() Conn     { return Conn(s >> 4 & 31) }
func (s State) Disk() Disk     { return Disk(s >> 9 & 15) }
func (s State) PeerDisk() Disk { return Disk(s >> 13 & 15) }

// SameData tells whether the nodes are connected, and both disks are good.
func (s State) SameData() bool {
	return s.Conn() >= Connected && s.Disk() == UpToDate && s.PeerDisk() == UpToDate
}

func (s State) WithRole(r Role) State     { return s&^MaskRole | State(r)&3 }
func (s State) WithPeer(r Role) State     { return s&^MaskPeer | State(r)&3<<2 }
func (s State) WithConn(c Conn) State     { return s&^MaskConn | State(c)&31<<4 }
func (s State) WithDisk(d Disk) State     { return s&^MaskDisk | State(d)&15<<9 }
func (s State) WithPeerDisk(d Disk) State { return s&^MaskPeerDisk | State(d)&15<<13 }

// String gives the state the way /proc/drbd does.
func (s State) String() string {
	return fmt.Sprintf("cs:%v ro:%v/%v ds:%v/%v", s.Conn(), s.Role(), s.Peer(), s.Disk(), s.PeerDisk())
}

// Result is the answer to a request for a change of state. Positive is success.
type Result int32

const (
	ResultUnknown      Result = 0
	ResultOK           Result = 1
	ResultNothing      Result = 2
	ResultClusterOK    Result = 3
	ResultNoNeed       Result = 4
	TwoPrimaries       Result = -1
	NeedUpToDate       Result = -2
	NoLocalDisk        Result = -4
	NoRemoteDisk       Result = -5
	ConnectedOutdates  Result = -6
	PeerNotOutdated    Result = -7
	ResyncRunning      Result = -8
	AlreadyStandAlone  Result = -9
	RefusedByPeer      Result = -10
	IsDiskless         Result = -11
	DeviceInUse        Result = -12
	NoNetConfig        Result = -13
	NoVerifyAlg        Result = -14
	NeedConnection     Result = -15
	LowerThanOutdated  Result = -16
	NotSupported       Result = -17
	InTransient        Result = -18
	ConcurrentChange   Result = -19
	OtherVolumePrimary Result = -20
	OutdateUnconnected Result = -21
)

var resultTexts = map[Result]string{
	ResultUnknown: "Unknown error", ResultOK: "Success", ResultNothing: "Nothing to do", ResultClusterOK: "Success", ResultNoNeed: "Success",
	TwoPrimaries:       "Multiple primaries not allowed by config",
	NeedUpToDate:       "Need access to UpToDate data",
	NoLocalDisk:        "Can not resync without local disk",
	NoRemoteDisk:       "Can not resync without remote disk",
	ConnectedOutdates:  "Refusing to be Outdated while Connected",
	PeerNotOutdated:    "Refusing to be Primary while peer is not outdated",
	ResyncRunning:      "Can not start OV/resync since it is already active",
	AlreadyStandAlone:  "Can not disconnect a StandAlone device",
	RefusedByPeer:      "State change was refused by peer node",
	IsDiskless:         "Device is diskless, the requested operation requires a disk",
	DeviceInUse:        "Device is held open by someone",
	NoNetConfig:        "Have no net/connection configuration",
	NoVerifyAlg:        "Need a verify algorithm to start online verify",
	NeedConnection:     "Need a connection to start verify or resync",
	LowerThanOutdated:  "Disk state is lower than outdated",
	NotSupported:       "Peer does not support protocol",
	InTransient:        "In transient state, retry after next state change",
	ConcurrentChange:   "Concurrent state changes detected and aborted",
	OtherVolumePrimary: "Other vol primary on peer not allowed by config",
	OutdateUnconnected: "Outdate requires a connection",
}

// OK tells whether the change was made.
func (r Result) OK() bool { return r >= ResultOK }

func (r Result) String() string {
	if t, ok := resultTexts[r]; ok {
		return t
	}
	return fmt.Sprintf("unknown result %d", int32(r))
}

// Error makes a refusal usable as an error, with its number as drbdsetup shows it.
func (r Result) Error() string {
	return fmt.Sprintf("state change failed: (%d) %s", int32(r), r.String())
}
