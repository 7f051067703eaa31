package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// logStore keeps raft's log and its few durable settings in one bbolt file.
// Every write is on the disk when it returns, with a seal (seal.go) by which
// an older or incomplete content is known.
type logStore struct {
	db   *bbolt.DB
	path string
	// applied, if set, gives the index of the last entry that is known to be
	// committed; it is stored along with new entries.
	applied func() uint64
}

const (
	bucketLog    = "log"
	bucketStable = "stable"

	logFormat = 2 // 1 was written without a seal
	// logHead is format, type, term, time and length of the extensions;
	// logTail is the checksum.
	logHead = 1 + 1 + 8 + 8 + 4
	logTail = 4
)

// DamageError names a file whose content is not what was written.
type DamageError struct {
	Path, What string
}

func (e *DamageError) Error() string {
	dir := filepath.Dir(e.Path) // of the whole consensus: its files belong together
	if filepath.Base(dir) == snapshotsDir {
		dir = filepath.Dir(dir)
	}
	return fmt.Sprintf("%s is damaged: %s; the others must have taken the node's vote (they do when it is fenced or stopped; else 'gcrm cluster remove NODE' there), then move the folder %s away and start the node: it gets everything from them; without others, restore the file from a backup", e.Path, e.What, dir)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(index uint64, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(key(index), castagnoli), castagnoli, data)
}

func key(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// openLogStore opens the file, making it if needed, and verifies every entry.
func openLogStore(path string) (s *logStore, err error) {
	if err := checkPages(path); err != nil {
		return nil, err
	}
	// bbolt panics on what that cannot know.
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, &DamageError{path, fmt.Sprint(p)}
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 2 * time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use: another daemon runs on this state folder", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, &DamageError{path, err.Error()}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s = &logStore{db: db, path: path}
	found, err := s.verify()
	switch {
	case err != nil:
	case found.nothing:
		err = s.wipe(nil)
	case found.noSeal:
		err = db.Update(func(tx *bbolt.Tx) error { return putSeal(tx, found.sum) })
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// contents is what a file has.
type contents struct {
	nothing bool   // nothing was written to it yet
	noSeal  bool   // it is of a version of gcrm that had no seals
	sum     uint32 // of the entries of the log
}

// verify reads everything once.
func (s *logStore) verify() (found contents, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		var names []string
		c := tx.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if v != nil {
				return &DamageError{s.path, "an entry is outside of the buckets"}
			}
			names = append(names, string(k))
		}
		// bbolt's own first state is transaction 1.
		if found.nothing = len(names) == 0 && tx.ID() <= 1; found.nothing {
			return nil
		}
		if !slices.Equal(names, []string{bucketLog, bucketStable}) {
			return &DamageError{s.path, fmt.Sprintf("it consists of %q", names)}
		}
		var format byte
		var err error
		if found.sum, format, err = s.verifyLog(tx); err != nil {
			return err
		}
		if found.noSeal = format == 1 && tx.Bucket([]byte(bucketStable)).Get([]byte(settingSeal)) == nil; found.noSeal {
			return nil
		}
		return s.verifySeal(tx, found.sum)
	})
	return found, err
}

// verifyLog reads every entry of the log and returns their common checksum, and the
// highest format.
func (s *logStore) verifyLog(tx *bbolt.Tx) (sum uint32, format byte, err error) {
	var last uint64
	c := tx.Bucket([]byte(bucketLog)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 8 {
			return 0, 0, &DamageError{s.path, "a log entry has a malformed number"}
		}
		index := binary.BigEndian.Uint64(k)
		var l raft.Log
		if err := s.decode(index, v, &l); err != nil {
			return 0, 0, err
		}
		if last != 0 && index != last+1 {
			return 0, 0, &DamageError{s.path, fmt.Sprintf("log entries %d to %d are missing", last+1, index-1)}
		}
		last = index
		sum ^= entrySum(v)
		format = max(format, v[0])
	}
	return sum, format, nil
}

func (s *logStore) close() error { return s.db.Close() }

func encodeLog(l *raft.Log) []byte {
	b := make([]byte, 0, logHead+len(l.Extensions)+len(l.Data)+logTail)
	b = append(b, logFormat, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Extensions)))
	b = append(b, l.Extensions...)
	b = append(b, l.Data...)
	return binary.BigEndian.AppendUint32(b, checksum(l.Index, b))
}

func (s *logStore) decode(index uint64, v []byte, l *raft.Log) error {
	damaged := func(what string) error {
		return &DamageError{s.path, fmt.Sprintf("log entry %d: %s", index, what)}
	}
	if len(v) < logHead+logTail {
		return damaged("too short")
	}
	body := v[:len(v)-logTail]
	if binary.BigEndian.Uint32(v[len(body):]) != checksum(index, body) {
		return damaged("wrong checksum")
	}
	if body[0] == 0 || body[0] > logFormat {
		return damaged(fmt.Sprintf("format %d is unknown to this version of gcrm", body[0]))
	}
	ext := int(binary.BigEndian.Uint32(body[18:22]))
	if ext > len(body)-logHead {
		return damaged("wrong length")
	}
	*l = raft.Log{Index: index, Type: raft.LogType(body[1]), Term: binary.BigEndian.Uint64(body[2:10])}
	if at := int64(binary.BigEndian.Uint64(body[10:18])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	// bbolt's memory is valid only inside the transaction.
	if ext > 0 {
		l.Extensions = append([]byte(nil), body[logHead:logHead+ext]...)
	}
	l.Data = append([]byte(nil), body[logHead+ext:]...)
	return nil
}

func (s *logStore) edge(last bool) (index uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketLog)).Cursor()
		k, _ := c.First()
		if last {
			k, _ = c.Last()
		}
		if k != nil {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

// FirstIndex implements raft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) { return s.edge(false) }

// LastIndex implements raft.LogStore.
func (s *logStore) LastIndex() (uint64, error) { return s.edge(true) }

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket([]byte(bucketLog)).Get(key(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		return s.decode(index, v, l)
	})
}

// update carries out a transaction and seals it.
func (s *logStore) update(f func(tx *bbolt.Tx, sum *uint32) error) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		sum, err := s.sealedSum(tx)
		if err == nil {
			err = f(tx, &sum)
		}
		if err == nil {
			err = putSeal(tx, sum)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", s.path, err)
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore: all entries or none.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	return s.update(func(tx *bbolt.Tx, sum *uint32) error {
		b := tx.Bucket([]byte(bucketLog))
		b.FillPercent = 0.9 // entries come in ascending order
		for _, l := range logs {
			k, v := key(l.Index), encodeLog(l)
			if old := b.Get(k); old != nil {
				*sum ^= entrySum(old)
			}
			*sum ^= entrySum(v)
			if err := b.Put(k, v); err != nil {
				return err
			}
		}
		if s.applied == nil {
			return nil
		}
		return putSetting(tx, SettingApplied, key(s.applied()))
	})
}

// DeleteRange implements raft.LogStore; both ends are included.
func (s *logStore) DeleteRange(low, high uint64) error {
	return s.update(func(tx *bbolt.Tx, sum *uint32) error {
		c := tx.Bucket([]byte(bucketLog)).Cursor()
		for k, v := c.Seek(key(low)); k != nil && binary.BigEndian.Uint64(k) <= high; k, v = c.Next() {
			*sum ^= entrySum(v)
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

// IsMonotonic implements raft.MonotonicLogStore: a gap in the log counts as
// damage, so raft has to delete old entries instead of leaving one.
func (s *logStore) IsMonotonic() bool { return true }

// Set implements raft.StableStore.
func (s *logStore) Set(k, v []byte) error {
	return s.update(func(tx *bbolt.Tx, _ *uint32) error { return putSetting(tx, string(k), v) })
}

func putSetting(tx *bbolt.Tx, k string, v []byte) error {
	sum := crc32.Checksum(v, castagnoli)
	return tx.Bucket([]byte(bucketStable)).Put([]byte(k), binary.BigEndian.AppendUint32(append([]byte(nil), v...), sum))
}

// Get implements raft.StableStore; an unknown key gives nothing.
func (s *logStore) Get(k []byte) (v []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v, err = s.setting(tx, string(k))
		return err
	})
	return bytes.Clone(v), err
}

// setting is valid as long as the transaction, nil if there is none.
func (s *logStore) setting(tx *bbolt.Tx, k string) ([]byte, error) {
	raw := tx.Bucket([]byte(bucketStable)).Get([]byte(k))
	if raw == nil {
		return nil, nil
	}
	n := len(raw) - 4
	if n < 0 || binary.BigEndian.Uint32(raw[n:]) != crc32.Checksum(raw[:n], castagnoli) {
		return nil, &DamageError{s.path, fmt.Sprintf("setting %q: wrong checksum", k)}
	}
	return raw[:n], nil
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(k []byte, v uint64) error { return s.Set(k, key(v)) }

// GetUint64 implements raft.StableStore; an unknown key is 0.
func (s *logStore) GetUint64(k []byte) (uint64, error) {
	v, err := s.Get(k)
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, &DamageError{s.path, fmt.Sprintf("setting %q: wrong length", k)}
	}
	return binary.BigEndian.Uint64(v), nil
}

// wipe forgets the log and the settings in one transaction, but for the keys
// given.
func (s *logStore) wipe(keep map[string]uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketLog, bucketStable} {
			if err := tx.DeleteBucket([]byte(name)); err != nil && !errors.Is(err, bolterrors.ErrBucketNotFound) {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for k, v := range keep {
			if err := putSetting(tx, k, key(v)); err != nil {
				return err
			}
		}
		return putSeal(tx, 0)
	})
}

// syncDir makes renames and removals in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
