package engine

import (
	"time"

	"gcrm/replication/wire"
)

// Protocols of replication, with their numbers on the wire.
const (
	ProtocolA = 1
	ProtocolB = 2
	ProtocolC = 3
)

// Policies after a split brain, with their numbers on the wire.
const (
	SBDisconnect uint32 = iota
	SBDiscardYoungerPrimary
	SBDiscardOlderPrimary
	SBDiscardZeroChanges
	SBDiscardLeastChanges
	SBDiscardLocal
	SBDiscardRemote
	SBConsensus
	SBDiscardSecondary
	SBCallHelper
	SBViolently
)

// FencingPolicy says what must happen to the peer before this node goes on alone.
type FencingPolicy int

const (
	FencingDontCare FencingPolicy = iota
	FencingResourceOnly
	FencingStonith // resource-and-stonith
)

// IOErrorPolicy says what an error of the local disk leads to (on-io-error).
type IOErrorPolicy int

const (
	// IOErrorDetach gives the disk up; reads and writes go to the peer.
	IOErrorDetach IOErrorPolicy = iota
	// IOErrorCall runs the handler local-io-error first.
	IOErrorCall
	// IOErrorPassOn keeps the disk, whose data does not count as good any more. The
	// application sees the error only if the peer cannot help.
	IOErrorPassOn
)

// ReadBalancing says which node reads, when both have good data. From Stripes32K on
// it goes by the place: stripes of 32 KiB, 64 KiB and so on up to 1 MiB.
type ReadBalancing int

const (
	ReadLocal ReadBalancing = iota
	ReadRemote
	ReadRoundRobin
	ReadLeastPending
	ReadWhenCongested // the disk below does not tell: local
	Stripes32K
)

// CongestionPolicy says what a Primary does that writes faster than the network takes
// it (on-congestion). It needs protocol A.
type CongestionPolicy int

const (
	// CongestionBlock lets writes wait.
	CongestionBlock CongestionPolicy = iota
	// CongestionPullAhead stops mirroring, and sends what is missing as a resync later.
	CongestionPullAhead
	// CongestionDisconnect gives the connection up.
	CongestionDisconnect
)

// Config are the settings of a volume. The two nodes must agree on Protocol,
// AfterSB, TwoPrimaries and the algorithms.
type Config struct {
	Volume       uint16
	Protocol     uint32
	AfterSB      [3]uint32 // for 0, 1 and 2 Primaries
	RRConflict   uint32    // SBDisconnect, SBCallHelper or SBViolently
	AlwaysASBP   bool
	TwoPrimaries bool
	Fencing      FencingPolicy
	OnIOError    IOErrorPolicy
	// SuspendNoData freezes I/O instead of failing it when no up-to-date data is
	// reachable (on-no-data-accessible suspend-io).
	SuspendNoData bool

	CramHMACAlg, SharedSecret string
	VerifyAlg, CsumsAlg       string
	// CsumsAfterCrashOnly compares digests only after the crash of a Primary.
	CsumsAfterCrashOnly bool
	ReadBalancing       ReadBalancing
	// IntegrityAlg makes every block carry a digest on the network; the runner computes
	// it, the dialect has its length.
	IntegrityAlg string

	UserSize     uint64 // sectors, 0 for all there is
	ALExtents    int
	NoALUpdates  bool // al-updates no
	MaxEpochSize int
	MaxBuffers   int // pages of 4 KiB
	UseRLE       bool
	NoFlushes    bool // disk-flushes no: no flush at the end of an epoch

	Timeout      time.Duration
	PingInterval time.Duration
	PingTimeout  time.Duration
	KOCount      int

	ResyncRate  uint64 // KiB/s
	PlanAhead   time.Duration
	DelayTarget time.Duration
	FillTarget  uint64 // sectors
	MaxRate     uint64 // KiB/s
	// MinRate, in KiB/s, is what a resync falls back to while applications are busy; 0 lets
	// it go on as if they were not (c-min-rate).
	MinRate uint64
	// DiscardGranularity makes the target of a resync ask for areas of that many bytes,
	// a multiple of 4096 up to 1 MiB; those that hold only zeroes are not sent, and the
	// target gives their room back. 0 for none (rs-discard-granularity).
	DiscardGranularity uint32

	OnCongestion CongestionPolicy
	// CongestionFill is how many sectors on their way are a congestion, CongestionExtents
	// how many extents of the activity log in use; 0 for any number.
	CongestionFill    uint64
	CongestionExtents int
	// DiskTimeout is how long an operation of the disk may take before the disk is given
	// up; 0 for any time.
	DiskTimeout time.Duration
	// BeforeTarget and BeforeSource make a resync wait for the handlers before-resync-target
	// and before-resync-source, which may refuse it.
	BeforeTarget, BeforeSource bool
	// MaxVersion is the newest protocol offered, 0 for the newest there is.
	MaxVersion int

	// Rand gives random numbers: generation identifiers and challenges. In production
	// it must be unpredictable.
	Rand func() uint64
}

// Defaults are those of DRBD 8.4.
func Defaults() Config {
	return Config{
		Protocol: ProtocolC, ALExtents: 1237, MaxEpochSize: 2048, MaxBuffers: 2048, UseRLE: true,
		Timeout: 6 * time.Second, PingInterval: 10 * time.Second, PingTimeout: 500 * time.Millisecond, KOCount: 7,
		ResyncRate: 250, PlanAhead: 2 * time.Second, DelayTarget: time.Second, FillTarget: 100, MaxRate: 102400, MinRate: 250,
	}
}

// features this engine offers.
const features = wire.FeatureTrim | wire.FeatureThinResync | wire.FeatureWriteSame | wire.FeatureZeroes
