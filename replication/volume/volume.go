package volume

import (
	"context"
	"fmt"
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

// Volume is a running volume. What it shares with the other volumes of its resource
// are the fields and methods of Resource.
type Volume struct {
	*Resource
	set  Settings
	e    *engine.Engine
	disk *disk
	// retired is closed when the disk that was given up last is closed.
	retired chan struct{}
	// metaFailed: metadata could not be written in this batch of effects.
	metaFailed bool

	ops    sync.Pool                 // of blockdev.Op
	onDisk func(*blockdev.Op, error) // v.done, made once
	slots  []*Request                // requests by tag
	free   []uint64
	given  []byte // data of the event under way that became a request's
	opens  int

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
	if v.set.Log == nil {
		return
	}
	if len(v.volumes) > 1 {
		text = fmt.Sprintf("volume %d: %s", v.set.Engine.Volume, text)
	}
	v.set.Log(text)
}

// runHandler runs a handler beside everything else.
func (v *Volume) runHandler(name string) {
	v.note("handler " + name)
	v.wg.Go(func() {
		code := 0 // a handler that is not configured does nothing, successfully
		if v.set.Handler != nil {
			code = v.set.Handler(v.ctx, name)
		}
		v.event(func(now time.Duration) { v.e.HandlerDone(now, name, code) })
	})
}

// releaseLater gives a buffer back once nothing that was sent refers to it.
func (r *Resource) releaseLater(b []byte) {
	if b == nil {
		return
	}
	if r.link == nil {
		// A link that is gone may be in the middle of a write; leave it to the collector.
		return
	}
	at := r.link.Queued()
	if r.link.Sent() >= at {
		r.pool.Put(b)
		return
	}
	r.later = append(r.later, release{r.link, at, b})
}
