package heartbeat

import (
	"fmt"
	"strings"
	"time"
)

// Timing holds every timeout of the cluster that follows from how fast a
// crashed node is to be detected and how long fencing may take. [Derive] is the
// only place where they are computed.
type Timing struct {
	// Detection is the longest time from the crash of a node to the moment
	// when all others know. Fencing is how long a fencing takes at most, with
	// all the devices that are tried; see stonith-timeout.
	Detection, Fencing time.Duration
	// Interval is the time between two heartbeats on a link; silence is
	// judged twice as often.
	Interval time.Duration
	// DeadAfter is the silence after which a node counts as lost.
	DeadAfter time.Duration
	// LinkDeadAfter is the silence after which one of several links is shown
	// as down. It has no further consequence.
	LinkDeadAfter time.Duration
	// RaftHeartbeat, RaftElection, RaftLease and RaftCommit are the timers of
	// consensus. A leader is replaced after one to two RaftHeartbeats, and
	// gives up after RaftLease without a majority, always before that.
	RaftHeartbeat, RaftElection, RaftLease, RaftCommit time.Duration
	// IO bounds one exchange between two nodes.
	IO time.Duration
	// Answer bounds what a client asks for that needs a quorum.
	Answer time.Duration
	// DiskPatience is how long a node stays that cannot store anything.
	DiskPatience time.Duration
	// JoinPatience is how long a new leader waits for nodes that were never
	// seen before it lets the scheduler judge them (dc-deadtime).
	JoinPatience time.Duration
	// Knock is how long a node without a leader waits before it asks the
	// others whether they went on without it.
	Knock time.Duration
	// Redial is after what time a connection to a node whose heartbeats are
	// missed is tried all the same.
	Redial time.Duration
	// FalseFencing is how long the heartbeats of a node may still arrive after
	// a device reported it off.
	FalseFencing time.Duration
	// FencingLimit bounds what the leader waits for a fencing. RecordHold is how
	// long a node that was fenced is kept out, if it is not recorded sooner that
	// it was.
	FencingLimit, RecordHold time.Duration
}

// Preset is a pair of the two inputs under a name.
type Preset struct {
	Name               string
	Detection, Fencing time.Duration
	For                string
}

// Presets of detection and fencing time; the first one is the default.
func Presets() []Preset {
	return []Preset{
		{"lan", LAN, DefaultFencing, "nodes in one or two server rooms"},
		{"two-nodes-direct", Direct, DefaultFencing, "two nodes with a cable between them"},
		{"stretched", Stretched, 2 * DefaultFencing, "nodes at several sites"},
	}
}

// PresetNamed finds one.
func PresetNamed(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("there is no preset %q; there are %s", name, strings.Join(names, ", "))
}

// PresetOf is the name of the preset with these inputs, "" if there is none.
func PresetOf(detection, fencing time.Duration) string {
	for _, p := range Presets() {
		if p.Detection == detection && p.Fencing == fencing {
			return p.Name
		}
	}
	return ""
}

// Detection times of the presets, and of embedded clusters.
const (
	LAN       = 2 * time.Second
	Direct    = time.Second
	Stretched = 6 * time.Second
	Embedded  = time.Second

	// DefaultFencing is the default of stonith-timeout.
	DefaultFencing = time.Minute
)

const (
	minDetection = 200 * time.Millisecond
	maxDetection = time.Minute
	minFencing   = time.Second
	maxFencing   = time.Hour

	// heartbeatsPerDetection: all but two of them may be lost in a row
	// without consequences.
	heartbeatsPerDetection = 10
)

// Derive computes the timeouts for a detection time and a fencing time;
// DefaultFencing if that is 0.
//
//	Interval      = Detection / 10
//	DeadAfter     = Detection − Interval      judged every Interval/2, so that
//	                                          the sum stays below Detection
//	LinkDeadAfter = 4 × Interval
//	RaftHeartbeat = RaftElection = Detection × 2/5
//	RaftLease     = Detection / 4             < RaftHeartbeat
//	RaftCommit    = Detection / 100, within 5 ms and 50 ms
//	IO            = 2 × Detection, at least 1 s
//	Answer        = 5 × Detection, at least 5 s
//	DiskPatience  = 3 × Detection, at least 3 s
//	JoinPatience  = 5 × Detection, at least 20 s
//	Knock         = Detection
//	Redial        = 15 × Detection
//	FalseFencing  = 3 × Detection
//	RecordHold    = 20 × IO
//	FencingLimit  = 10 × Fencing, at least 1 h   devices, levels and retries
//	                                             decide how long it takes
func Derive(detection, fencing time.Duration) (Timing, error) {
	if fencing == 0 {
		fencing = DefaultFencing
	}
	if detection < minDetection || detection > maxDetection {
		return Timing{}, fmt.Errorf("a detection time of %v is not possible; it is at least %v and at most %v", detection, minDetection, maxDetection)
	}
	if fencing < minFencing || fencing > maxFencing {
		return Timing{}, fmt.Errorf("a fencing time of %v is not possible; it is at least %v and at most %v", fencing, minFencing, maxFencing)
	}
	interval := detection / heartbeatsPerDetection
	io := max(2*detection, time.Second)
	return Timing{
		Detection:     detection,
		Fencing:       fencing,
		Interval:      interval,
		DeadAfter:     detection - interval,
		LinkDeadAfter: 4 * interval,
		RaftHeartbeat: detection * 2 / 5,
		RaftElection:  detection * 2 / 5,
		RaftLease:     detection / 4,
		RaftCommit:    min(max(detection/100, 5*time.Millisecond), 50*time.Millisecond),
		IO:            io,
		Answer:        max(5*detection, 5*time.Second),
		DiskPatience:  max(3*detection, 3*time.Second),
		JoinPatience:  max(5*detection, 20*time.Second),
		Knock:         detection,
		Redial:        15 * detection,
		FalseFencing:  3 * detection,
		RecordHold:    20 * io,
		FencingLimit:  max(10*fencing, time.Hour),
	}, nil
}
