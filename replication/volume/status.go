package volume

import (
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// Counters count what went through a volume, in sectors unless said otherwise.
type Counters struct {
	Sent, Received uint64 // blocks on the network
	Read, Written  uint64 // on the local disk
	LogWrites      uint64 // transactions of the activity log
	BitmapWrites   uint64 // pages
	Flushes        uint64
	Local          int // operations of the disk under way
}

// Status is a picture of a volume.
type Status struct {
	State      wire.State
	Size       uint64 // sectors
	OutOfSync  uint64 // sectors
	Generation metadata.Generations
	Counters   Counters
	Pending    Pending
	Suspended  bool
	Note       string
	Progress   *Progress
	Opens      int
	WriteOrder byte // of /proc/drbd: f flush, n none
}

// Pending are the requests that are not finished.
type Pending struct {
	Peer        int // sent, answer awaited
	Unanswered  int // received, answer due
	Application int
	Epochs      int
}

// Progress is that of a resync or verify.
type Progress struct {
	Verify      bool
	Target      bool   // this node sets the pace
	Left, Total uint64 // bits of 4 KiB
	Rate        uint64 // KiB/s of late
	AverageRate uint64 // KiB/s since the start
	Finish      time.Duration
	Stalled     bool
}

// rateMeter keeps marks of a resync, as the kernel does: the rate of late is that
// since a mark about eighteen seconds old.
type rateMeter struct {
	marks   []mark
	started time.Time
}

type mark struct {
	at   time.Time
	left uint64
}

const (
	markStep  = 3 * time.Second
	markCount = 8
)

func (m *rateMeter) update(now time.Time, left uint64, running bool) {
	switch {
	case !running:
		*m = rateMeter{marks: m.marks[:0]}
	case len(m.marks) == 0:
		m.started = now
		m.marks = append(m.marks, mark{now, left})
	case now.Sub(m.marks[len(m.marks)-1].at) >= markStep && left != m.marks[len(m.marks)-1].left:
		if len(m.marks) == markCount {
			copy(m.marks, m.marks[1:])
			m.marks = m.marks[:markCount-1]
		}
		m.marks = append(m.marks, mark{now, left})
	}
}

func (m *rateMeter) progress(now time.Time, left, total uint64) *Progress {
	p := &Progress{Left: left, Total: total}
	if len(m.marks) == 0 {
		return p
	}
	per := func(bits uint64, d time.Duration) uint64 {
		return uint64(float64(bits) * 4 / max(d.Seconds(), 0.1))
	}
	old := m.marks[0]
	if old.left > left {
		p.Rate = per(old.left-left, now.Sub(old.at))
	}
	if total > left {
		p.AverageRate = per(total-left, now.Sub(m.started))
	}
	if p.Rate > 0 {
		p.Finish = time.Duration(float64(left*4) / float64(p.Rate) * float64(time.Second)).Round(time.Second)
	}
	p.Stalled = now.Sub(m.marks[len(m.marks)-1].at) > 180*time.Second
	return p
}

// Status takes a picture.
func (v *Volume) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{State: v.e.State(), Size: v.e.Size(), OutOfSync: v.e.OutOfSync(), Generation: v.e.Generations(),
		Counters: v.counters, Note: v.lastNote, Opens: v.opens, WriteOrder: 'f'}
	s.Pending.Peer, s.Pending.Unanswered, s.Pending.Application = v.e.Pending()
	s.Pending.Epochs = 1
	if v.set.Disk.NoFlush {
		s.WriteOrder = 'n'
	}
	now := time.Now()
	left, total, running := v.e.Progress()
	v.rate.update(now, left, running)
	if running {
		s.Progress = v.rate.progress(now, left, total)
		c := s.State.Conn()
		s.Progress.Verify = c == wire.VerifyS || c == wire.VerifyT
		s.Progress.Target = c == wire.SyncTarget || c == wire.PausedSyncT || c == wire.VerifyS
	}
	return s
}
