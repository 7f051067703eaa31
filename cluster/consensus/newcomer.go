package consensus

import "errors"

// Place is a place in the log.
type Place struct {
	Index uint64
	// Term is not below that of the entry.
	Term uint64
}

var errNewcomer = errors.New("the node joined the cluster and does not have the log yet; it does not vote")

// newcomer reports whether this is a node that joined and whose log does not reach
// the entry yet with which it was taken in.
//
// A removed node of its name may have had a vote. Who was away meanwhile counts
// that one still, and so does what the newcomer reads first in the log. With the
// vote of a log that has nothing, or only the beginning, they would lead and undo
// what was committed since. So a newcomer neither votes nor asks for votes.
func (s *steady) newcomer() bool {
	if s.admitted == 0 || s.arrived.Load() {
		return false
	}
	last, err := s.LastIndex()
	if err == nil && last < s.admitted {
		last, err = s.snapshot()
	}
	if err != nil || last < s.admitted {
		return true
	}
	s.arrived.Store(true) // for good
	return false
}

// Place is where the log is now. A node that is taken in remembers it.
func (c *Consensus) Place() Place {
	c.mu.Lock()
	r := c.run
	c.mu.Unlock()
	state, _ := r.machine.current()
	return Place{state.Index, r.raft.CurrentTerm()} // in this order: the term does not fall
}

// neverBefore sees to it that leaders of terms before the node was taken in are
// not followed.
func (c *Consensus) neverBefore(term uint64) error {
	stored, err := c.store.GetUint64(keyTerm)
	if err != nil || stored >= term {
		return err
	}
	return c.store.SetUint64(keyTerm, term)
}
