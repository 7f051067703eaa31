package wire

// SyncerID is the id of blocks that belong to no request of an application: resync
// and verify.
const SyncerID = ^uint64(0)

// Results of a verify, in the ID of a VerifyResult.
const (
	VerifyInSync    = 4711
	VerifyOutOfSync = 4712
)

// DataFlags are the flags of a write.
type DataFlags uint32

const (
	FlagSync           DataFlags = 1 << 1 // hint: somebody waits for it
	FlagMayClear       DataFlags = 1 << 2 // the receiver may mark the blocks as in sync
	FlagFUA            DataFlags = 1 << 4
	FlagFlush          DataFlags = 1 << 5
	FlagDiscard        DataFlags = 1 << 6
	FlagWantReceiveAck DataFlags = 1 << 7 // from protocol 100 on
	FlagWantWriteAck   DataFlags = 1 << 8
	FlagWriteSame      DataFlags = 1 << 9
	FlagZeroes         DataFlags = 1 << 10
)

// Message is one packet. Command decides which fields have a meaning; the others are
// zero after Decode.
type Message struct {
	Command Command
	Volume  uint16

	// Blocks: writes, requests and acknowledgements.
	Sector uint64
	ID     uint64 // opaque, comes back unchanged
	Size   uint32 // bytes
	Seq    uint32
	Flags  DataFlags
	Digest []byte
	Data   []byte // of a write or reply; a bitmap; a challenge or its answer

	Number uint32 // of a barrier, opaque
	Count  uint32 // writes in the epoch of a BarrierAck

	Mask  State // of a requested change
	State State // the state, or the value of a requested change
	Code  Result
	UUID  uint64 // of SyncUUID

	// Handshake packets.
	Features *Features
	Protocol *Protocol
	Sync     *SyncParam
	UUIDs    *UUIDs
	Sizes    *Sizes

	// pad is what the sender left in the unused field of a request, barrier or range;
	// kept so that a message encodes to what was decoded.
	pad uint32
}

// FeatureFlags are optional abilities, agreed by both.
type FeatureFlags uint32

const (
	FeatureTrim FeatureFlags = 1 << iota
	FeatureThinResync
	FeatureWriteSame // also: sizes carry the limits of the queue
	FeatureZeroes
)

// Features opens the handshake.
type Features struct {
	Min, Max int // protocol versions
	Flags    FeatureFlags
}

// Oldest and newest protocol version this package speaks.
const (
	MinVersion = 86
	MaxVersion = 101
)

// Agree gives the protocol version and features of a connection; ok is false when
// the ranges do not overlap.
func (f Features) Agree(peer Features) (version int, flags FeatureFlags, ok bool) {
	peerMax := peer.Max
	if peerMax == 0 {
		peerMax = peer.Min
	}
	version = min(f.Max, peerMax)
	if version < f.Min || version < peer.Min {
		return 0, 0, false
	}
	return version, f.Flags & peer.Flags, true
}

// Flags of Protocol.
const (
	ConnDiscardMyData = 1
	ConnDryRun        = 2
)

// Protocol carries the settings that both nodes must have alike.
type Protocol struct {
	Protocol     uint32 // 1 A, 2 B, 3 C
	AfterSB      [3]uint32
	Flags        uint32
	TwoPrimaries bool
	IntegrityAlg string // from protocol 87 on
}

// SyncParam carries the settings of the resync.
type SyncParam struct {
	Rate                                        uint32 // KiB/s
	VerifyAlg, CsumsAlg                         string
	PlanAhead, DelayTarget, FillTarget, MaxRate uint32 // from protocol 95 on
}

// Flags of UUIDs.
const (
	UUIDDiscardMyData     = 1
	UUIDCrashedPrimary    = 2
	UUIDInconsistent      = 4 // would be Inconsistent, while Negotiating
	UUIDSkipInitialResync = 8
)

// UUIDs are the generation identifiers of a node.
type UUIDs struct {
	Current, Bitmap uint64
	History         [2]uint64
	SetBits         uint64 // in its bitmap
	Flags           uint64
}

// Flags of Sizes.
const (
	SizesForced   = 1
	SizesNoResync = 2
)

// Sizes are the sizes of a volume on a node, in sectors.
type Sizes struct {
	Device     uint64 // capacity for data, 0 without a disk
	User       uint64 // configured limit, 0 for none
	Current    uint64 // as seen by applications
	MaxBioSize uint32 // bytes
	QueueOrder uint16 // obsolete, 0
	Flags      uint16
	Limits     QueueLimits // only with FeatureWriteSame
}

// QueueLimits are the properties of the device below.
type QueueLimits struct {
	PhysicalBlockSize, LogicalBlockSize, AlignmentOffset, IOMin, IOOpt uint32
	DiscardEnabled, DiscardZeroesData, WriteSameCapable                bool
}
