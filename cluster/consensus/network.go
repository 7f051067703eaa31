package consensus

import (
	"slices"

	"github.com/hashicorp/raft"
)

// network is raft's network transport. It does not try absent peers, keeps
// newcomers from voting, and lets those vote whose electorate is an old one.
type network struct {
	*raft.NetworkTransport
	await func(peer string, stop <-chan struct{}) // may be nil
	disk  *steady
	inbox chan raft.RPC
	stop  chan struct{}
}

// listen hands on what others ask until it is stopped. A newcomer does not say either
// that it would vote for somebody; votes end where they would be written down.
func (n *network) listen(r *raft.Raft) {
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
			}
			select {
			case n.inbox <- rpc:
			case <-n.stop:
				return
			}
		case <-n.stop:
			return
		}
	}
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
