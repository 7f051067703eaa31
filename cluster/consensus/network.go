package consensus

import (
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"
)

// network is raft's network transport. It does not try absent peers, keeps
// newcomers from voting, lets those vote whose electorate is an old one, and keeps
// snapshots away that would take the replica back.
type network struct {
	*raft.NetworkTransport
	await func(peer string, stop <-chan struct{}) // may be nil
	disk  *steady
	inbox chan raft.RPC
	stop  chan struct{}
}

// listen hands on what others ask until it is stopped, one after the other, as raft
// works anyway: so what is decided here does not change before raft sees it. A
// newcomer does not say either that it would vote for somebody; votes end where they
// would be written down.
func (n *network) listen(r *raft.Raft) {
	answer := make(chan raft.RPCResponse, 1)
	for {
		select {
		case rpc := <-n.NetworkTransport.Consumer():
			switch q := rpc.Command.(type) {
			case *raft.RequestPreVoteRequest:
				if n.disk.newcomer() {
					rpc.Respond(&raft.RequestPreVoteResponse{}, errNewcomer)
					continue
				}
				q.ID = eligible(r, q.ID)
			case *raft.RequestVoteRequest:
				q.ID = eligible(r, q.ID)
			case *raft.InstallSnapshotRequest:
				if needless, err := n.needless(r, q); needless {
					go func() { // it may still take its time
						io.Copy(io.Discard, rpc.Reader) // the connection goes on behind it
						rpc.Respond(&raft.InstallSnapshotResponse{Term: q.Term, Success: err == nil}, err)
					}()
					continue
				}
			}
			to := rpc.RespChan
			rpc.RespChan = answer
			select {
			case n.inbox <- rpc:
			case <-n.stop:
				return
			}
			select {
			case a := <-answer:
				to <- a
			case <-n.stop:
				return
			}
		case <-n.stop:
			return
		}
	}
}

// needless tells whether a snapshot has nothing that the replica does not have. Raft's
// library would install it all the same and forget all that comes behind it, which the
// replica may have acknowledged: a snapshot that was under way for long, and was sent
// again meanwhile, takes it back. With an error the leader has to look for a newer one.
func (n *network) needless(r *raft.Raft, q *raft.InstallSnapshotRequest) (bool, error) {
	if q.Term < r.CurrentTerm() {
		return false, nil // raft refuses it
	}
	var l raft.Log
	if n.disk.GetLog(q.LastLogIndex, &l) == nil && l.Term == q.LastLogTerm {
		return true, nil // and so all that comes before it
	}
	if applied := r.AppliedIndex(); q.LastLogIndex <= applied {
		return true, fmt.Errorf("the snapshot ends with entry %d, and %d is applied already", q.LastLogIndex, applied)
	}
	return false, nil
}

// eligible returns a name under which raft's library considers to vote for a
// candidate: it refuses whom it knows no vote of, and who was away knows an old
// electorate. Of two that are left, one of which has got its vote back meanwhile,
// none would ever lead. Who may lead follows from the log and from the candidate's
// own electorate alone (Ongaro's thesis, 4.2.3); the name has no other use in a
// request for a vote.
func eligible(r *raft.Raft, candidate []byte) []byte {
	servers := r.GetConfiguration().Configuration().Servers
	voter := func(s raft.Server) bool { return s.Suffrage == raft.Voter }
	first := slices.IndexFunc(servers, voter)
	if first < 0 || slices.ContainsFunc(servers, func(s raft.Server) bool { return voter(s) && string(s.ID) == string(candidate) }) {
		return candidate
	}
	return []byte(servers[first].ID)
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
