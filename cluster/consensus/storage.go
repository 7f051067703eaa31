package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Storage is what a replica keeps on its disk: raft's log, a few settings and
// snapshots. What a write method returned without an error for outlives a
// crash; what it failed for is not there afterwards.
type Storage interface {
	raft.LogStore
	raft.StableStore
	raft.SnapshotStore
	// Follow is called before raft runs: applied gives the index of the last
	// entry that is known to be committed, which is stored along with new
	// entries as the setting [SettingApplied].
	Follow(applied func() uint64)
	// StartOver forgets everything but the epoch that is given. It may keep
	// a copy for people.
	StartOver(epoch uint64) error
	Close() error
}

// Settings that a [Storage] holds besides raft's own.
const (
	SettingEpoch   = "gcrm-epoch"
	SettingApplied = "gcrm-applied"
	settingForcing = "gcrm-forcing" // the record of a forced change
)

// files is the Storage in a folder.
type files struct {
	*logStore
	*snapshotStore
	dir string
}

// openFiles opens the storage in a folder and checks everything in it.
func openFiles(dir string, log *slog.Logger) (*files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	logs, err := openLogStore(filepath.Join(dir, logFile))
	if err != nil {
		return nil, err
	}
	snaps, err := openSnapshotStore(filepath.Join(dir, snapshotsDir), log)
	if err == nil {
		err = snaps.verify(logs)
	}
	if err != nil {
		return nil, errors.Join(err, logs.close())
	}
	return &files{logs, snaps, dir}, nil
}

// Follow implements Storage.
func (f *files) Follow(applied func() uint64) { f.applied = applied }

// StartOver implements Storage.
func (f *files) StartOver(epoch uint64) error {
	aside := filepath.Join(f.dir, fmt.Sprintf("%s.before-epoch-%d", snapshotsDir, epoch))
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Rename(f.snapshotStore.dir, aside); err != nil {
		return err
	}
	if err := os.MkdirAll(f.snapshotStore.dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(f.dir); err != nil {
		return err
	}
	return f.wipe(map[string]uint64{SettingEpoch: epoch})
}

// Close implements Storage.
func (f *files) Close() error { return f.logStore.close() }
