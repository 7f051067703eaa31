package heartbeat

import (
	"fmt"
	"time"
)

// Timing holds every timeout of the cluster that follows from how fast a
// crashed node is to be detected. [Derive] is the only place where they are
// computed.
type Timing struct {
	// Detection is the longest time from the crash of a node to the moment
	// when all others know.
	Detection time.Duration
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
	// DiskPatience is how long a node stays that cannot store anything.
	DiskPatience time.Duration
}

// Presets of the detection time.
const (
	// LAN is for nodes in one or two server rooms.
	LAN = 2 * time.Second
	// Direct is for two nodes with a cable between them.
	Direct = time.Second
	// Stretched is for nodes at several sites.
	Stretched = 6 * time.Second
	// Embedded is for nodes inside one process.
	Embedded = time.Second
)

const (
	minDetection = 200 * time.Millisecond
	maxDetection = time.Minute

	// heartbeatsPerDetection: all but two of them may be lost in a row
	// without consequences.
	heartbeatsPerDetection = 10
)

// Derive computes the timeouts for a detection time.
//
//	Interval      = Detection / 10
//	DeadAfter     = Detection − Interval      judged every Interval/2, so that
//	                                          the sum stays below Detection
//	LinkDeadAfter = 4 × Interval
//	RaftHeartbeat = RaftElection = Detection × 2/5
//	RaftLease     = Detection / 4             < RaftHeartbeat
//	RaftCommit    = Detection / 100, within 5 ms and 50 ms
//	IO            = 2 × Detection, at least 1 s
//	DiskPatience  = 3 × Detection, at least 3 s
func Derive(detection time.Duration) (Timing, error) {
	if detection < minDetection || detection > maxDetection {
		return Timing{}, fmt.Errorf("a detection time of %v is not possible; it is at least %v and at most %v", detection, minDetection, maxDetection)
	}
	interval := detection / heartbeatsPerDetection
	return Timing{
		Detection:     detection,
		Interval:      interval,
		DeadAfter:     detection - interval,
		LinkDeadAfter: 4 * interval,
		RaftHeartbeat: detection * 2 / 5,
		RaftElection:  detection * 2 / 5,
		RaftLease:     detection / 4,
		RaftCommit:    min(max(detection/100, 5*time.Millisecond), 50*time.Millisecond),
		IO:            max(2*detection, time.Second),
		DiskPatience:  max(3*detection, 3*time.Second),
	}, nil
}
