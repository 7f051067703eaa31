package consensus

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// steady stands between raft and the disk. It remembers since when writing
// fails, and keeps trying to store the term: raft's library ends the process
// if that fails, although a node that cannot write need only be silent.
type steady struct {
	Storage
	// stop is closed when raft is being stopped.
	stop <-chan struct{}
	// failed is told of the first failure in a row.
	failed func(error)
	// restart is called, in a goroutine of its own, when raft's library does
	// not know any more what is in the log; see DeleteRange.
	restart func()

	mu    sync.Mutex
	since time.Time // of the first failure in a row
	err   error
	// admitted is the entry with which the node was taken in, and arrived is set once
	// the log has it; see newcomer.
	admitted uint64
	arrived  atomic.Bool
	// electorates are those in the snapshot and the log, committed or not, in
	// the order of their indexes.
	electorates []electorate
}

// electorate is who has a vote from an index of the log on.
type electorate struct {
	index  uint64
	voters []string
}

func newElectorate(index uint64, conf raft.Configuration) electorate {
	e := electorate{index: index}
	for _, s := range conf.Servers {
		if s.Suffrage == raft.Voter {
			e.voters = append(e.voters, string(s.ID))
		}
	}
	return e
}

// termRetry is the pause between attempts to store the term.
const termRetry = 200 * time.Millisecond

// Settings as raft's library calls them.
var (
	keyTerm     = []byte("CurrentTerm")
	keyVoteTerm = []byte("LastVoteTerm") // written before a vote is given
)

// judge keeps the outcome of a write.
func (s *steady) judge(err error) error {
	s.mu.Lock()
	first := err != nil && s.err == nil
	if first {
		s.since = time.Now()
	}
	s.err = err
	s.mu.Unlock()
	if first {
		s.failed(err)
	}
	return err
}

// failing tells since when writes fail, and how; a zero time if they do not.
func (s *steady) failing() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return time.Time{}, nil
	}
	return s.since, s.err
}

// StoreLog implements raft.LogStore.
func (s *steady) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *steady) StoreLogs(l []*raft.Log) error {
	if err := s.join(l[0].Index); err != nil {
		return err
	}
	if err := s.judge(s.Storage.StoreLogs(l)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range l {
		if e.Type == raft.LogConfiguration {
			s.electorates = append(s.electorates, newElectorate(e.Index, raft.DecodeConfiguration(e.Data)))
		}
	}
	return nil
}

// join sees to it that the log has no gap before an index that is to be
// stored. What a snapshot covers is taken away for that: a crash, or a disk
// that failed, may have left it when the snapshot came.
func (s *steady) join(index uint64) error {
	last, err := s.LastIndex()
	if err != nil || last != 0 && index <= last+1 {
		return err
	}
	covered, err := s.snapshot()
	if err != nil {
		return err
	}
	if index > covered+1 {
		return fmt.Errorf("log entry %d does not follow entry %d; it is not stored", index, max(last, covered))
	}
	if last == 0 {
		return nil
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	return s.judge(s.Storage.DeleteRange(first, last))
}

// snapshot is the index of the newest one.
func (s *steady) snapshot() (uint64, error) {
	metas, err := s.List()
	if err != nil || len(metas) == 0 {
		return 0, err
	}
	return metas[0].Index, nil
}

// DeleteRange implements raft.LogStore. When a snapshot comes from the leader
// that ends before the own log does, raft's library empties the log but goes
// on to believe that it ends where it did; it would refuse all entries up to
// there and then leave a gap. So it is started anew.
func (s *steady) DeleteRange(low, high uint64) error {
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err == nil {
		err = s.judge(s.Storage.DeleteRange(low, high))
	}
	if err != nil || high < last {
		return err // entries at the beginning are committed
	}
	if low <= first {
		if covered, err := s.snapshot(); err != nil {
			return err
		} else if covered > 0 && covered < high && covered >= low {
			go s.restart()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.electorates = slices.DeleteFunc(s.electorates, func(e electorate) bool { return e.index >= low })
	return nil
}

// findElectorates reads those that are stored; raft does not run yet.
func (s *steady) findElectorates() error {
	var found []electorate
	metas, err := s.List()
	if err != nil {
		return err
	}
	var base uint64
	if len(metas) > 0 {
		base = metas[0].Index
		found = append(found, newElectorate(base, metas[0].Configuration))
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err != nil {
		return err
	}
	for i := max(first, base+1); i <= last; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			return err
		}
		if l.Type == raft.LogConfiguration {
			found = append(found, newElectorate(i, raft.DecodeConfiguration(l.Data)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.electorates = found
	return nil
}

// possible returns the electorates that may be in force: the last one up to
// the index that is known to be committed, and all later ones.
func (s *steady) possible(committed uint64) []electorate {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	for i, e := range s.electorates {
		if e.index <= committed {
			from = i
		}
	}
	return slices.Clone(s.electorates[from:])
}

// GetLog implements raft.LogStore. It knows the term of the entry that the newest
// snapshot ends with, too: when a leader sends what comes behind that, and the
// replica has some of it already since only its answer got lost, raft's library
// looks for the entry in the log alone, refuses, gets the snapshot again, and so
// for ever.
func (s *steady) GetLog(index uint64, l *raft.Log) error {
	err := s.Storage.GetLog(index, l)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	metas, lerr := s.List()
	if lerr != nil || len(metas) == 0 || metas[0].Index != index {
		return err
	}
	*l = raft.Log{Index: index, Term: metas[0].Term, Type: raft.LogNoop}
	return nil
}

// Set implements raft.StableStore.
func (s *steady) Set(k, v []byte) error { return s.judge(s.Storage.Set(k, v)) }

// IsMonotonic implements raft.MonotonicLogStore.
func (s *steady) IsMonotonic() bool {
	m, ok := s.Storage.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// SetUint64 implements raft.StableStore. While raft is being stopped a term
// that is not stored does no harm: the vote that would go with it, and entries
// of it, are not stored either, so nothing was promised.
func (s *steady) SetUint64(k []byte, v uint64) error {
	if string(k) == string(keyVoteTerm) && s.newcomer() {
		return errNewcomer // raft's library gives no vote, not even to itself
	}
	for {
		err := s.judge(s.Storage.SetUint64(k, v))
		if err == nil || string(k) != string(keyTerm) {
			return err
		}
		select {
		case <-time.After(termRetry):
		case <-s.stop:
			return nil
		}
	}
}

// probe tries whether anything can be written at all.
func (c *Consensus) probe() error {
	applied, err := c.store.GetUint64([]byte(SettingApplied))
	if err == nil {
		err = c.store.SetUint64([]byte(SettingApplied), applied)
	}
	if err != nil {
		return fmt.Errorf("the state of node %s cannot be written: %w; free space or replace the disk", c.node, err)
	}
	return nil
}

// Failing tells since when this replica cannot be written, and why; a zero
// time if it can. Such a node neither votes nor acknowledges entries.
func (c *Consensus) Failing() (time.Time, error) { return c.current().disk.failing() }
