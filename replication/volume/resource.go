package volume

import (
	"context"
	"errors"
	"sync"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/peerlink"
	"gcrm/replication/wire"
)

// Resource runs the volumes that share a connection, under one lock.
type Resource struct {
	volumes []*Volume
	pool    blockdev.Pool
	start   time.Time
	stop    context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup

	mu      sync.Mutex
	r       *engine.Resource
	stalled time.Duration // the engine's clock is behind by this
	link    *peerlink.Link
	dialing context.CancelFunc
	closed  bool

	later    []release
	laterAt  int
	replies  map[uint64]chan wire.Result
	nextTag  uint64
	room     sync.Cond // waits for less work of the peer
	waiting  int
	fromPeer int // bytes of the peer's blocks on their way to the disks
	changed  chan struct{}
}

// NewResource makes the volumes of a resource, without disks and connection. The
// settings of the link are those of the first.
func NewResource(settings ...Settings) *Resource {
	var cfgs []engine.Config
	for _, s := range settings {
		cfgs = append(cfgs, s.Engine)
	}
	r := &Resource{start: time.Now(), r: engine.NewResource(cfgs...), replies: map[uint64]chan wire.Result{}, changed: make(chan struct{})}
	r.room.L = &r.mu
	for i, s := range settings {
		v := &Volume{Resource: r, set: s, e: r.r.Volumes()[i]}
		v.ops.New = func() any { return new(blockdev.Op) }
		v.onDisk = v.done
		v.last = v.e.State()
		r.volumes = append(r.volumes, v)
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.wg.Go(r.tick)
	return r
}

// New makes the only volume of a resource.
func New(s Settings) *Volume { return NewResource(s).volumes[0] }

// Volumes are in the order of NewResource.
func (r *Resource) Volumes() []*Volume { return r.volumes }

// settings are those that all volumes have alike.
func (r *Resource) settings() *Settings { return &r.volumes[0].set }

// now is the engine's clock.
func (r *Resource) now() time.Duration { return time.Since(r.start) - r.stalled }

func (r *Resource) tick() {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-t.C:
			r.event(r.r.Tick)
		}
	}
}

// event feeds the engine and carries out what it wants.
func (r *Resource) event(f func(now time.Duration)) {
	r.mu.Lock()
	f(r.now())
	r.carryOut()
	r.mu.Unlock()
}

// carryOut does the effects of the last event.
func (r *Resource) carryOut() {
	for again := true; again; {
		effects := r.r.Take()
		again = len(effects) > 0
		for i := range effects {
			if v := r.volumes[effects[i].Volume]; !v.do(&effects[i]) {
				v.metaFailed = true
			}
		}
		if again {
			continue
		}
		for _, v := range r.volumes {
			if v.metaFailed {
				v.metaFailed, again = false, true
				v.e.MetaFailed(r.now())
			}
		}
	}
	r.freeSent()
	if r.waiting > 0 {
		r.room.Broadcast()
	}
	news := false
	for _, v := range r.volumes {
		s, size := v.e.State(), v.e.Size()
		if v.disk != nil && s.Disk() == wire.Diskless {
			v.retireDisk()
		}
		if s != v.last || size != v.lastSize {
			v.last, v.lastSize, news = s, size, true
		}
	}
	if news {
		r.notify()
	}
}

// freeSent takes back the buffers that the network does not refer to any more.
func (r *Resource) freeSent() {
	for r.laterAt < len(r.later) && r.later[r.laterAt].link.Sent() >= r.later[r.laterAt].at {
		r.pool.Put(r.later[r.laterAt].buf)
		r.later[r.laterAt] = release{}
		r.laterAt++
	}
	if r.laterAt == len(r.later) {
		r.later, r.laterAt = r.later[:0], 0
	} else if r.laterAt > 1024 {
		n := copy(r.later, r.later[r.laterAt:])
		clear(r.later[n:])
		r.later, r.laterAt = r.later[:n], 0
	}
}

// notify wakes everybody who waits for news.
func (r *Resource) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Changed gives a channel that is closed at the next change of a state or a size.
func (r *Resource) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// ErrClosed says that the volume is shut down.
var ErrClosed = errors.New("the volume is shut down")

// Kill stops everything at once, without a word to peer or disk, as the end of the
// process would. Requests end with ErrClosed.
func (r *Resource) Kill() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.stop()
	r.closeConnection()
	var disks []*disk
	for _, v := range r.volumes {
		if v.disk != nil {
			disks = append(disks, v.disk)
		}
		v.disk = nil
	}
	for tag, c := range r.replies {
		delete(r.replies, tag)
		c <- wire.InTransient
	}
	for _, v := range r.volumes {
		for i, q := range v.slots {
			if q != nil {
				v.slots[i] = nil
				q.Done(q, nil, ErrClosed)
			}
		}
	}
	r.notify()
	r.mu.Unlock()
	for _, d := range disks {
		d.close()
	}
	r.wg.Wait()
}
