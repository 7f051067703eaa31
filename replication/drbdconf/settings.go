package drbdconf

import (
	"strings"
	"time"
)

// Protocol says when a write counts as done.
type Protocol int

// The numbers are those of the wire protocol.
const (
	ProtocolA Protocol = 1 // handed to the network
	ProtocolB Protocol = 2 // in the peer's memory
	ProtocolC Protocol = 3 // on the peer's disk
)

func (p Protocol) String() string { return string("?ABC"[max(0, min(p, 3))]) }

// Fencing says what is done to the peer before going on without it.
type Fencing int

const (
	FencingDontCare Fencing = iota
	FencingResource         // the fence-peer handler must succeed before a promotion
	FencingStonith          // and I/O is frozen until it does
)

// IOErrorPolicy says what an error of the local disk leads to.
type IOErrorPolicy int

const (
	PassOn IOErrorPolicy = iota
	CallLocalIOError
	Detach
)

// AfterSplitBrain is a policy for a split brain. The numbers are those of the
// wire protocol.
type AfterSplitBrain int

const (
	SBDisconnect AfterSplitBrain = iota
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

var afterSBWords = map[string]AfterSplitBrain{
	"disconnect": SBDisconnect, "discard-younger-primary": SBDiscardYoungerPrimary,
	"discard-older-primary": SBDiscardOlderPrimary, "discard-zero-changes": SBDiscardZeroChanges,
	"discard-least-changes": SBDiscardLeastChanges, "discard-local": SBDiscardLocal,
	"discard-remote": SBDiscardRemote, "consensus": SBConsensus, "discard-secondary": SBDiscardSecondary,
	"call-pri-lost-after-sb": SBCallHelper, "call-pri-lost": SBCallHelper,
	"violently-as0p": SBViolently, "violently": SBViolently,
}

// Net is the effective net section of a resource.
type Net struct {
	Protocol            Protocol
	Timeout             time.Duration // for a send, and with KOCount for an answer
	MaxEpochSize        int           // writes
	MaxBuffers          int           // pages of 4 KiB
	UnplugWatermark     int           // requests; no effect
	ConnectInterval     time.Duration
	PingInterval        time.Duration
	PingTimeout         time.Duration
	SendBuffer          int // bytes, 0 for automatic
	ReceiveBuffer       int
	KOCount             int // 0 is off
	AllowTwoPrimaries   bool
	CramHMACAlg         string // empty is off
	SharedSecret        string
	AfterSB0, AfterSB1  AfterSplitBrain
	AfterSB2            AfterSplitBrain
	AlwaysASBP          bool
	RRConflict          AfterSplitBrain
	DataIntegrityAlg    string
	VerifyAlg           string
	CsumsAlg            string
	CsumsAfterCrashOnly bool
	UseRLE              bool
	TCPCork             bool
	OnCongestion        string
	CongestionFill      int // sectors, 0 is off
	CongestionExtents   int
	SocketCheckTimeout  time.Duration // 0 means PingTimeout
}

// Disk is the effective disk section of a volume.
type Disk struct {
	Size                   uint64 // sectors of 512 bytes, 0 for the whole device
	OnIOError              IOErrorPolicy
	Fencing                Fencing
	Barrier                bool // no effect
	Flushes, Drain         bool
	MDFlushes              bool
	ResyncRate             uint64 // KiB/s
	ResyncAfter            string // RESOURCE[/VOLUME], empty for none
	ALExtents              int
	ALUpdates              bool
	PlanAhead              time.Duration // 0 for a fixed rate
	DelayTarget            time.Duration
	FillTarget             uint64 // sectors
	MaxRate, MinRate       uint64 // KiB/s
	DiskTimeout            time.Duration
	ReadBalancing          string
	RSDiscardGranularity   int // bytes, 0 is off
	DiscardZeroesIfAligned bool
	DisableWriteSame       bool
	MaxBioBvecs            int
}

// ResourceOptions is the effective options section.
type ResourceOptions struct {
	CPUMask               string
	SuspendIfInaccessible bool // on-no-data-accessible suspend-io
}

// Startup is the effective startup section. Zero waits are endless.
type Startup struct {
	WaitForConnection, Degraded, Outdated time.Duration
	WaitAfterSB                           bool
	StackedTimeouts                       bool
	BecomePrimaryOn                       []string
}

// values looks options up through layers, the first layer that has one wins.
type values struct {
	sec    section
	layers []Options
}

func (v values) find(name string) (Option, bool) {
	for _, l := range v.layers {
		if o, ok := l.Last(name); ok {
			return o, true
		}
	}
	return Option{}, false
}

func (v values) num(name string) uint64 {
	if o, ok := v.find(name); ok {
		return o.Number
	}
	s, _ := findSpec(v.sec, name)
	return s.def
}

func (v values) yes(name string) bool {
	if o, ok := v.find(name); ok {
		return o.Yes()
	}
	s, _ := findSpec(v.sec, name)
	return s.def == 1
}

func (v values) text(name string) string {
	if o, ok := v.find(name); ok {
		return o.Text
	}
	s, _ := findSpec(v.sec, name)
	return s.text
}

func (v values) seconds(name string) time.Duration {
	return time.Duration(v.num(name)) * time.Second
}

func (v values) tenths(name string) time.Duration {
	return time.Duration(v.num(name)) * time.Second / 10
}

func (c *Config) common() Sections {
	if c.Common == nil {
		return Sections{}
	}
	return c.Common.Sections
}

// Net gives the effective net section of a resource. local is the host that asks:
// after-sb-0pri discard-node-NAME means something else on each node. It may be nil
// when that does not matter.
func (c *Config) Net(r *Resource, local *Host) Net {
	v := values{secNet, []Options{r.Net, c.common().Net}}
	n := Net{
		Protocol:            Protocol(v.text("protocol")[0] - 'A' + 1),
		Timeout:             v.tenths("timeout"),
		MaxEpochSize:        int(v.num("max-epoch-size")),
		MaxBuffers:          int(v.num("max-buffers")),
		UnplugWatermark:     int(v.num("unplug-watermark")),
		ConnectInterval:     v.seconds("connect-int"),
		PingInterval:        v.seconds("ping-int"),
		PingTimeout:         v.tenths("ping-timeout"),
		SendBuffer:          int(v.num("sndbuf-size")),
		ReceiveBuffer:       int(v.num("rcvbuf-size")),
		KOCount:             int(v.num("ko-count")),
		AllowTwoPrimaries:   v.yes("allow-two-primaries"),
		CramHMACAlg:         v.text("cram-hmac-alg"),
		SharedSecret:        v.text("shared-secret"),
		AfterSB1:            afterSBWords[v.text("after-sb-1pri")],
		AfterSB2:            afterSBWords[v.text("after-sb-2pri")],
		AlwaysASBP:          v.yes("always-asbp"),
		RRConflict:          afterSBWords[v.text("rr-conflict")],
		DataIntegrityAlg:    v.text("data-integrity-alg"),
		VerifyAlg:           v.text("verify-alg"),
		CsumsAlg:            v.text("csums-alg"),
		CsumsAfterCrashOnly: v.yes("csums-after-crash-only"),
		UseRLE:              v.yes("use-rle"),
		TCPCork:             v.yes("tcp-cork"),
		OnCongestion:        v.text("on-congestion"),
		CongestionFill:      int(v.num("congestion-fill")),
		CongestionExtents:   int(v.num("congestion-extents")),
		SocketCheckTimeout:  v.tenths("socket-check-timeout"),
	}
	sb0 := v.text("after-sb-0pri")
	if host, ok := strings.CutPrefix(sb0, "discard-node-"); ok {
		sb0 = "discard-remote"
		if local != nil && local.Has(Node{Name: host}) {
			sb0 = "discard-local"
		}
	}
	n.AfterSB0 = afterSBWords[sb0]
	return n
}

// Disk gives the effective disk section of a volume of a host of the resource.
func (c *Config) Disk(r *Resource, vol *Volume) Disk {
	v := values{secDisk, []Options{vol.DiskOptions, vol.inherited, r.Disk, c.common().Disk}}
	return Disk{
		Size:    v.num("size"),
		Barrier: v.yes("disk-barrier"), Flushes: v.yes("disk-flushes"), Drain: v.yes("disk-drain"), MDFlushes: v.yes("md-flushes"),
		OnIOError:              map[string]IOErrorPolicy{"pass_on": PassOn, "call-local-io-error": CallLocalIOError, "detach": Detach}[v.text("on-io-error")],
		Fencing:                map[string]Fencing{"resource-only": FencingResource, "resource-and-stonith": FencingStonith}[v.text("fencing")],
		ResyncRate:             v.num("resync-rate"),
		ResyncAfter:            v.text("resync-after"),
		ALExtents:              int(v.num("al-extents")),
		ALUpdates:              v.yes("al-updates"),
		PlanAhead:              v.tenths("c-plan-ahead"),
		DelayTarget:            v.tenths("c-delay-target"),
		FillTarget:             v.num("c-fill-target"),
		MaxRate:                v.num("c-max-rate"),
		MinRate:                v.num("c-min-rate"),
		DiskTimeout:            v.tenths("disk-timeout"),
		ReadBalancing:          v.text("read-balancing"),
		RSDiscardGranularity:   int(v.num("rs-discard-granularity")),
		DiscardZeroesIfAligned: v.yes("discard-zeroes-if-aligned"),
		DisableWriteSame:       v.yes("disable-write-same"),
		MaxBioBvecs:            int(v.num("max-bio-bvecs")),
	}
}

// ResourceOptions gives the effective options section on a host; h may be nil.
func (c *Config) ResourceOptions(r *Resource, h *Host) ResourceOptions {
	v := values{secOptions, []Options{r.Options, c.common().Options}}
	if h != nil {
		v.layers = append([]Options{h.Options}, v.layers...)
	}
	return ResourceOptions{
		CPUMask:               v.text("cpu-mask"),
		SuspendIfInaccessible: v.text("on-no-data-accessible") == "suspend-io",
	}
}

// Startup gives the effective startup section.
func (c *Config) Startup(r *Resource) Startup {
	v := values{secStartup, []Options{r.Startup, c.common().Startup}}
	s := Startup{
		WaitForConnection: v.seconds("wfc-timeout"),
		Degraded:          v.seconds("degr-wfc-timeout"),
		Outdated:          v.seconds("outdated-wfc-timeout"),
		WaitAfterSB:       v.yes("wait-after-sb"),
		StackedTimeouts:   v.yes("stacked-timeouts"),
	}
	if o, ok := v.find("become-primary-on"); ok {
		s.BecomePrimaryOn = o.List
	}
	return s
}

// Handler gives the command of an event ("fence-peer"), empty when none is
// configured.
func (c *Config) Handler(r *Resource, event string) string {
	for _, layer := range []Options{r.Handlers, c.common().Handlers} {
		if o, ok := layer.First(event); ok {
			return o.Text
		}
	}
	return ""
}
