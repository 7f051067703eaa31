package consensus

import (
	"errors"

	"github.com/hashicorp/raft"
)

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

// network is raft's network transport for a node that may be a newcomer. It does
// not try absent peers.
type network struct {
	*raft.NetworkTransport
	await func(peer string, stop <-chan struct{}) // may be nil
	disk  *steady
	inbox <-chan raft.RPC
	stop  chan struct{}
}

// listen hands on what others ask until it is stopped. A newcomer does not say either
// that it would vote for somebody; votes end where they would be written down.
func (n *network) listen(inbox chan<- raft.RPC) {
	for {
		select {
		case rpc := <-n.NetworkTransport.Consumer():
			if _, ok := rpc.Command.(*raft.RequestPreVoteRequest); ok && n.disk.newcomer() {
				rpc.Respond(&raft.RequestPreVoteResponse{}, errNewcomer)
				continue
			}
			select {
			case inbox <- rpc:
			case <-n.stop:
				return
			}
		case <-n.stop:
			return
		}
	}
}

// Consumer implements raft.Transport.
func (n *network) Consumer() <-chan raft.RPC { return n.inbox }

// AppendEntries implements raft.Transport.
func (n *network) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if n.await != nil {
		n.await(string(id), n.stop)
	}
	return n.NetworkTransport.AppendEntries(id, target, args, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (n *network) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if n.disk.newcomer() {
		return errNewcomer
	}
	return n.NetworkTransport.RequestPreVote(id, target, args, resp)
}

// RequestVote implements raft.Transport.
func (n *network) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if n.disk.newcomer() {
		return errNewcomer
	}
	return n.NetworkTransport.RequestVote(id, target, args, resp)
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
