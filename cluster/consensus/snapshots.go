package consensus

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// snapshotStore keeps snapshots as one file each:
//
//	magic (8 bytes), length of the header (4), header (JSON of
//	raft.SnapshotMeta), state, SHA-256 of all of this (32)
//
// A file gets its final name only when it is complete and on the disk.
type snapshotStore struct {
	dir string
	log *slog.Logger
}

const (
	snapshotMagic   = "gcrmsnp1"
	snapshotSuffix  = ".snapshot"
	snapshotsKept   = 2
	maxSnapshotHead = 1 << 20
)

func openSnapshotStore(dir string, log *slog.Logger) (*snapshotStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &snapshotStore{dir, log}
	// What a crash left half written.
	half, err := filepath.Glob(filepath.Join(dir, "*.new"))
	if err != nil {
		return nil, err
	}
	for _, f := range half {
		if err := os.Remove(f); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *snapshotStore) path(id string) string { return filepath.Join(s.dir, id+snapshotSuffix) }

// ids returns the names of the snapshots, the newest first.
func (s *snapshotStore) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), snapshotSuffix); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(b, a) })
	return ids, nil
}

// verify finds damaged snapshots. One that is older than a sound one, or that this
// and the log make up for, is set aside; otherwise the error is a [DamageError].
func (s *snapshotStore) verify(logs *logStore) error {
	ids, err := s.ids()
	if err != nil {
		return err
	}
	first, err := logs.FirstIndex()
	if err != nil {
		return err
	}
	var newest *raft.SnapshotMeta // of those that are sound
	var damaged []string
	var damage []error
	newer := 0 // damaged ones
	for i, id := range ids {
		meta, err := s.check(id)
		if err != nil {
			damaged, damage = append(damaged, id), append(damage, err)
		} else if newest == nil {
			newest, newer = meta, i
		}
	}
	var covered uint64
	if newest != nil {
		covered = newest.Index
	}
	switch {
	case newest == nil && damaged != nil, first > covered+1 && damaged != nil, first == 0 && newer > 0:
		return errors.Join(damage...)
	case first > covered+1:
		return &DamageError{s.dir, fmt.Sprintf("the log begins with entry %d, and there is no snapshot of what was before", first)}
	case damaged == nil:
		return nil
	}
	for i, id := range damaged {
		s.log.Error("snapshot set aside, another one and the log make up for it", "err", damage[i])
		if err := os.Rename(s.path(id), s.path(id)+".damaged"); err != nil {
			return err
		}
	}
	return syncDir(s.dir)
}

func (s *snapshotStore) check(id string) (*raft.SnapshotMeta, error) {
	meta, r, err := s.Open(id)
	if err != nil {
		return nil, err
	}
	return meta, r.Close()
}

// List implements raft.SnapshotStore.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var metas []*raft.SnapshotMeta
	for _, id := range ids {
		m, err := s.check(id)
		if err != nil {
			return nil, err
		}
		metas = append(metas, m)
	}
	return metas, nil
}

// Open implements raft.SnapshotStore. The whole file is verified first.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	path := s.path(id)
	damaged := func(format string, args ...any) (*raft.SnapshotMeta, io.ReadCloser, error) {
		return nil, nil, &DamageError{path, fmt.Sprintf(format, args...)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	n := len(data) - sha256.Size
	if n < len(snapshotMagic)+4 {
		return damaged("it is cut short")
	}
	if sum := sha256.Sum256(data[:n]); !bytes.Equal(sum[:], data[n:]) {
		return damaged("wrong checksum")
	}
	if string(data[:len(snapshotMagic)]) != snapshotMagic {
		return damaged("it is of a format that this version of gcrm does not know")
	}
	rest := data[len(snapshotMagic):n]
	size := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if int64(size) > int64(len(rest)) {
		return damaged("wrong length of the header")
	}
	meta := &raft.SnapshotMeta{}
	if err := json.Unmarshal(rest[:size], meta); err != nil {
		return damaged("unreadable header: %v", err)
	}
	meta.ID = id
	meta.Size = int64(len(rest)) - int64(size)
	return meta, io.NopCloser(bytes.NewReader(rest[size:])), nil
}

// Create implements raft.SnapshotStore.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, conf raft.Configuration, confIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	// Names sort as term and index do.
	id := fmt.Sprintf("%016x-%016x-%016x", term, index, time.Now().UnixNano())
	head, err := json.Marshal(raft.SnapshotMeta{Version: version, Index: index, Term: term,
		Configuration: conf, ConfigurationIndex: confIndex})
	if err != nil {
		return nil, err
	}
	if len(head) > maxSnapshotHead {
		return nil, fmt.Errorf("snapshot header of %d bytes is too long", len(head))
	}
	f, err := os.OpenFile(s.path(id)+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	k := &snapshotSink{store: s, id: id, file: f, sum: sha256.New()}
	k.out = bufio.NewWriter(io.MultiWriter(f, k.sum))
	k.out.WriteString(snapshotMagic)
	k.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(head))))
	if _, err := k.out.Write(head); err != nil {
		k.Cancel()
		return nil, err
	}
	return k, nil
}

// snapshotSink is a snapshot being written.
type snapshotSink struct {
	store *snapshotStore
	id    string
	file  *os.File
	sum   hash.Hash
	out   *bufio.Writer
	over  bool
}

// ID implements raft.SnapshotSink.
func (k *snapshotSink) ID() string { return k.id }

func (k *snapshotSink) Write(b []byte) (int, error) { return k.out.Write(b) }

// Close makes the snapshot durable and visible, and removes older ones.
func (k *snapshotSink) Close() error {
	if k.over {
		return nil
	}
	err := k.out.Flush()
	if err == nil {
		_, err = k.file.Write(k.sum.Sum(nil))
	}
	if err == nil {
		err = k.file.Sync()
	}
	if err != nil {
		k.Cancel()
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	k.over = true
	if err := k.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(k.file.Name(), k.store.path(k.id)); err != nil {
		return err
	}
	if err := syncDir(k.store.dir); err != nil {
		return err
	}
	ids, err := k.store.ids()
	if err != nil {
		return err
	}
	for _, id := range ids[min(snapshotsKept, len(ids)):] {
		if err := os.Remove(k.store.path(id)); err != nil {
			return err
		}
	}
	return nil
}

// Cancel throws the snapshot away.
func (k *snapshotSink) Cancel() error {
	if k.over {
		return nil
	}
	k.over = true
	k.file.Close()
	return os.Remove(k.file.Name())
}
