package volume

import (
	"context"
	"errors"
	"sync"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/peerlink"
	"gcrm/replication/wire"
)

// Settings are what a volume is run with.
type Settings struct {
	Resource string
	Engine   engine.Config
	Disk     DiskSettings
	Link     peerlink.Dialer
	// Handler runs a handler and gives its exit code; nil when there are none.
	Handler func(ctx context.Context, name string) int
	// Log is told what happens; it may be nil.
	Log func(text string)
	// Fault, for tests, decides before each operation of the disk whether it fails.
	Fault func(*blockdev.Op) error
}

// DiskSettings say where data and metadata lie.
type DiskSettings struct {
	Path        string // empty for a node without a disk
	MetaPath    string // of external metadata
	Placement   metadata.Placement
	Buffered    bool // no direct I/O
	NoFlush     bool // disk-flushes no
	NoMetaFlush bool // md-flushes no
	Workers     int  // 0 for the default
}

// Volume is a running volume.
type Volume struct {
	set   Settings
	pool  blockdev.Pool
	start time.Time
	stop  context.CancelFunc
	ctx   context.Context
	wg    sync.WaitGroup

	mu      sync.Mutex
	e       *engine.Engine
	stalled time.Duration // the engine's clock is behind by this
	disk    *disk
	link    *peerlink.Link
	dialing context.CancelFunc
	closed  bool

	ops     sync.Pool                 // of blockdev.Op
	onDisk  func(*blockdev.Op, error) // v.done, made once
	slots   []*Request                // requests by tag
	free    []uint64
	given   []byte // data of the event under way that became a request's
	later   []release
	laterAt int

	replies  map[uint64]chan wire.Result
	nextTag  uint64
	room     sync.Cond // waits for less work of the peer
	waiting  int
	fromPeer int // bytes of the peer's blocks on their way to the disk
	opens    int

	changed  chan struct{}
	last     wire.State
	lastSize uint64
	lastNote string
	counters Counters
	rate     rateMeter
}

// release is a buffer that the network still refers to.
type release struct {
	link *peerlink.Link
	at   uint64
	buf  []byte
}

// New makes a volume without disk and connection.
func New(s Settings) *Volume {
	v := &Volume{set: s, start: time.Now(), e: engine.New(s.Engine), replies: map[uint64]chan wire.Result{}, changed: make(chan struct{})}
	v.room.L = &v.mu
	v.ops.New = func() any { return new(blockdev.Op) }
	v.onDisk = v.done
	v.last = v.e.State()
	v.ctx, v.stop = context.WithCancel(context.Background())
	v.wg.Go(v.tick)
	return v
}

// now is the engine's clock.
func (v *Volume) now() time.Duration { return time.Since(v.start) - v.stalled }

func (v *Volume) tick() {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-t.C:
			v.event(v.e.Tick)
		}
	}
}

// event feeds the engine and carries out what it wants.
func (v *Volume) event(f func(now time.Duration)) {
	v.mu.Lock()
	f(v.now())
	v.carryOut()
	v.mu.Unlock()
}

// carryOut does the effects of the last event.
func (v *Volume) carryOut() {
	failed := false
	for {
		effects := v.e.Take()
		if len(effects) == 0 {
			if !failed {
				break
			}
			failed = false
			v.e.MetaFailed(v.now())
			continue
		}
		for i := range effects {
			if !v.do(&effects[i]) {
				failed = true
			}
		}
	}
	if v.disk != nil && v.e.State().Disk() == wire.Diskless {
		v.retireDisk()
	}
	for v.laterAt < len(v.later) && v.later[v.laterAt].link.Sent() >= v.later[v.laterAt].at {
		v.pool.Put(v.later[v.laterAt].buf)
		v.later[v.laterAt] = release{}
		v.laterAt++
	}
	if v.laterAt == len(v.later) {
		v.later, v.laterAt = v.later[:0], 0
	} else if v.laterAt > 1024 {
		n := copy(v.later, v.later[v.laterAt:])
		clear(v.later[n:])
		v.later, v.laterAt = v.later[:n], 0
	}
	if v.waiting > 0 {
		v.room.Broadcast()
	}
	if s, size := v.e.State(), v.e.Size(); s != v.last || size != v.lastSize {
		v.last, v.lastSize = s, size
		v.notify()
	}
}

// notify wakes everybody who waits for news.
func (v *Volume) notify() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// do carries out one effect; false means that metadata could not be written.
func (v *Volume) do(f *engine.Effect) bool {
	switch f.Kind {
	case engine.Send:
		v.send(f)
	case engine.ReadDisk, engine.WriteDisk, engine.FlushDisk:
		v.startDisk(f)
	case engine.WriteLog:
		return v.writeLog(f)
	case engine.Persist:
		return v.persist(f)
	case engine.MoveMeta:
		return v.moveMeta(f)
	case engine.Complete:
		v.complete(f)
	case engine.Reply:
		if c := v.replies[f.Tag]; c != nil {
			delete(v.replies, f.Tag)
			c <- f.Result
		}
	case engine.RunHandler:
		v.runHandler(f.Name)
	case engine.OpenConnection:
		v.openConnection()
	case engine.CloseConnection:
		v.closeConnection()
	case engine.Note:
		v.note(f.Name)
	}
	return true
}

func (v *Volume) note(text string) {
	v.lastNote = text
	if v.set.Log != nil {
		v.set.Log(text)
	}
}

// runHandler runs a handler beside everything else.
func (v *Volume) runHandler(name string) {
	v.note("handler " + name)
	if v.set.Handler == nil {
		if name != "fence-peer" {
			return
		}
	}
	v.wg.Go(func() {
		code := 0 // a handler that is not configured does nothing, successfully
		if v.set.Handler != nil {
			code = v.set.Handler(v.ctx, name)
		}
		v.event(func(now time.Duration) { v.e.HandlerDone(now, name, code) })
	})
}

// releaseLater gives a buffer back once nothing that was sent refers to it.
func (v *Volume) releaseLater(b []byte) {
	if b == nil {
		return
	}
	if v.link == nil {
		// A link that is gone may be in the middle of a write; leave it to the collector.
		return
	}
	at := v.link.Queued()
	if v.link.Sent() >= at {
		v.pool.Put(b)
		return
	}
	v.later = append(v.later, release{v.link, at, b})
}

// ErrClosed says that the volume is shut down.
var ErrClosed = errors.New("the volume is shut down")

// Kill stops everything at once, without a word to peer or disk, as the end of the
// process would. Requests end with ErrClosed.
func (v *Volume) Kill() {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return
	}
	v.closed = true
	v.stop()
	v.closeConnection()
	d := v.disk
	v.disk = nil
	for tag, c := range v.replies {
		delete(v.replies, tag)
		c <- wire.InTransient
	}
	for i, r := range v.slots {
		if r != nil {
			v.slots[i] = nil
			r.Done(r, nil, ErrClosed)
		}
	}
	v.notify()
	v.mu.Unlock()
	if d != nil {
		d.close()
	}
	v.wg.Wait()
}
