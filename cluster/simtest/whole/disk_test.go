package whole

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"gcrm/cluster/consensus"
	"gcrm/cluster/node"
)

// disk is what outlives the daemon, and the power, of a host.
type disk struct {
	mu     sync.Mutex
	rng    *rand.Rand
	synced content
	// dirty is what a disk that lies has only said to have written.
	dirty *content

	full    bool
	slow    time.Duration // a write takes up to so long
	stalled time.Time     // until when no write ends
	fatal   int           // the host's power fails at the so-many-th write from now,
	outage  time.Duration // and is back after this
	lies    bool          // acknowledges before it writes
	forgets bool          // never writes raft's settings: term and vote
}

// content is never changed in place but for the maps, which are copied when
// the disk lies.
type content struct {
	logs      map[uint64]*raft.Log
	settings  map[string][]byte
	snapshots []snapshot
	files     map[string][]byte
}

type snapshot struct {
	meta raft.SnapshotMeta
	data []byte
}

func newDisk(rng *rand.Rand) *disk {
	return &disk{rng: rng, synced: content{logs: map[uint64]*raft.Log{}, settings: map[string][]byte{}, files: map[string][]byte{}}}
}

func (c content) clone() *content {
	return &content{maps.Clone(c.logs), maps.Clone(c.settings), slices.Clone(c.snapshots), maps.Clone(c.files)}
}

// content is what the daemon sees; the lock is held.
func (d *disk) content() *content {
	if d.dirty != nil {
		return d.dirty
	}
	return &d.synced
}

// crash is what a power failure does: what a liar had not written is gone.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirty = nil
	d.stalled, d.fatal = time.Time{}, 0
}

// replace puts an empty disk in its place.
func (d *disk) replace() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced, d.dirty = newDisk(d.rng).synced, nil
}

func (d *disk) setFull(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// storage is the disk as one life of the daemon sees it.
type storage struct {
	*disk
	life  *life
	apply func() uint64
}

var (
	_ consensus.Storage = (*storage)(nil)
	_ node.Files        = (*storage)(nil)
)

// atOnce is write for files that are written under a lock: in a bubble nobody
// may wait for time while others wait for a lock.
func (s *storage) atOnce(f func(c *content)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.life.over:
		return nil // nobody will hear of it
	default:
	}
	if s.full {
		return syscall.ENOSPC
	}
	f(s.content())
	return nil
}

// write does f after the time that a disk takes, unless the life ends before
// or the disk is full.
func (s *storage) write(f func(c *content)) error {
	s.mu.Lock()
	took := time.Duration(50+s.rng.Int64N(400)) * time.Microsecond
	if s.slow > 0 {
		took += time.Duration(s.rng.Int64N(int64(s.slow)))
	}
	if until := time.Until(s.stalled); until > took {
		took = until
	}
	ends := time.After(took)
	if s.fatal > 0 {
		if s.fatal--; s.fatal == 0 {
			h, back := s.life.host, s.outage
			h.w.wg.Go(func() { h.w.outage(h, back) })
			ends = nil
		}
	}
	s.mu.Unlock()
	select {
	case <-ends:
	case <-s.life.over:
		// Whether the last write arrived is anybody's guess.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.life.over:
		// A torn write: the storage promises all or nothing of it.
		if !s.life.applied && s.rng.IntN(2) == 0 {
			f(&s.synced)
		}
		s.life.applied = true
		return nil // nobody will hear of it
	default:
	}
	if s.full {
		return syscall.ENOSPC
	}
	if s.lies && s.dirty == nil {
		s.dirty = s.synced.clone()
	}
	if s.lies && s.rng.IntN(20) == 0 { // now and then it gets round to it
		s.synced, s.dirty = *s.dirty, s.dirty.clone()
	}
	f(s.content())
	return nil
}

func read[T any](s *storage, f func(c *content) T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f(s.content())
}

func (s *storage) Follow(applied func() uint64) { s.apply = applied }

func (s *storage) edge(c *content, better func(a, b uint64) bool) uint64 {
	var at uint64
	for i := range c.logs {
		if at == 0 || better(i, at) {
			at = i
		}
	}
	return at
}

func (s *storage) FirstIndex() (uint64, error) {
	return read(s, func(c *content) uint64 { return s.edge(c, func(a, b uint64) bool { return a < b }) }), nil
}

func (s *storage) LastIndex() (uint64, error) {
	return read(s, func(c *content) uint64 { return s.edge(c, func(a, b uint64) bool { return a > b }) }), nil
}

func (s *storage) GetLog(index uint64, l *raft.Log) error {
	e := read(s, func(c *content) *raft.Log { return c.logs[index] })
	if e == nil {
		return raft.ErrLogNotFound
	}
	*l = *e
	return nil
}

func (s *storage) IsMonotonic() bool { return true }

func (s *storage) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s *storage) StoreLogs(logs []*raft.Log) error {
	var applied uint64
	if s.apply != nil {
		applied = s.apply()
	}
	copies := make([]*raft.Log, len(logs))
	for i, l := range logs {
		c := *l
		c.Data, c.Extensions = bytes.Clone(l.Data), bytes.Clone(l.Extensions)
		copies[i] = &c
	}
	return s.write(func(c *content) {
		for _, l := range copies {
			c.logs[l.Index] = l
		}
		c.settings[consensus.SettingApplied] = binary.BigEndian.AppendUint64(nil, applied)
	})
}

func (s *storage) DeleteRange(low, high uint64) error {
	return s.write(func(c *content) {
		for i := range c.logs {
			if i >= low && i <= high {
				delete(c.logs, i)
			}
		}
	})
}

func (s *storage) Set(k, v []byte) error {
	key, value := string(k), bytes.Clone(v)
	if s.forgets {
		return nil
	}
	return s.write(func(c *content) { c.settings[key] = value })
}

func (s *storage) Get(k []byte) ([]byte, error) {
	return read(s, func(c *content) []byte { return bytes.Clone(c.settings[string(k)]) }), nil
}

func (s *storage) SetUint64(k []byte, v uint64) error {
	return s.Set(k, binary.BigEndian.AppendUint64(nil, v))
}

func (s *storage) GetUint64(k []byte) (uint64, error) {
	v, _ := s.Get(k)
	if len(v) != 8 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(v), nil
}

func (s *storage) List() ([]*raft.SnapshotMeta, error) {
	return read(s, func(c *content) []*raft.SnapshotMeta {
		var out []*raft.SnapshotMeta
		for _, p := range slices.Backward(c.snapshots) {
			m := p.meta
			out = append(out, &m)
		}
		return out
	}), nil
}

func (s *storage) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	p := read(s, func(c *content) *snapshot {
		for _, p := range c.snapshots {
			if p.meta.ID == id {
				return &p
			}
		}
		return nil
	})
	if p == nil {
		return nil, nil, fs.ErrNotExist
	}
	return &p.meta, io.NopCloser(bytes.NewReader(p.data)), nil
}

type sink struct {
	bytes.Buffer
	s    *storage
	meta raft.SnapshotMeta
	over bool
}

func (s *storage) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{s: s, meta: raft.SnapshotMeta{Version: version, ID: fmt.Sprintf("%016x-%016x-%d", term, index, time.Now().UnixNano()),
		Index: index, Term: term, Configuration: conf, ConfigurationIndex: confIndex}}, nil
}

func (k *sink) ID() string    { return k.meta.ID }
func (k *sink) Cancel() error { k.over = true; return nil }
func (k *sink) Close() error {
	if k.over {
		return nil
	}
	k.over = true
	k.meta.Size = int64(k.Len())
	return k.s.write(func(c *content) {
		c.snapshots = append(slices.Clone(c.snapshots), snapshot{k.meta, k.Bytes()})
		slices.SortStableFunc(c.snapshots, func(a, b snapshot) int { return bytes.Compare([]byte(a.meta.ID), []byte(b.meta.ID)) })
		c.snapshots = c.snapshots[max(0, len(c.snapshots)-2):]
	})
}

func (s *storage) StartOver(epoch uint64) error {
	return s.write(func(c *content) {
		clear(c.logs)
		clear(c.settings)
		c.snapshots = nil
		c.settings[consensus.SettingEpoch] = binary.BigEndian.AppendUint64(nil, epoch)
	})
}

func (s *storage) Close() error { return nil }

// Read, Replace and Append are the small files.
func (s *storage) Read(name string) ([]byte, error) {
	b := read(s, func(c *content) []byte { return bytes.Clone(c.files[name]) })
	if b == nil {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (s *storage) Replace(name string, data []byte) error {
	b := bytes.Clone(data)
	return s.atOnce(func(c *content) { c.files[name] = b })
}

func (s *storage) Append(name string, data []byte) error {
	b := bytes.Clone(data)
	return s.atOnce(func(c *content) { c.files[name] = append(bytes.Clone(c.files[name]), b...) })
}
