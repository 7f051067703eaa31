package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
)

// peersFile holds the other nodes as this one last knew them. A node that
// starts has to find them before it can learn from them what is committed.
const peersFile = "peers.json"

// directory is who the members are, as of an entry of the log. A node that starts
// has the states of its log once more, from its last snapshot on, and those it
// can only take up when a leader says how far they are committed: what it knew
// already is newer.
type directory struct {
	epoch, index uint64
	nodes        []Seed
}

// after reports whether a state is older than the directory.
func (r *directory) after(s *consensus.State) bool {
	return s.Epoch < r.epoch || s.Epoch == r.epoch && s.Index < r.index
}

// directoryLine is a node in the file; builds before this one know the Seed alone.
type directoryLine struct {
	Seed
	Epoch, Index uint64 `json:",omitempty"`
}

func readPeers(files Files) (directory, error) {
	var r directory
	b, err := files.Read(peersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var list []directoryLine
	if err := json.Unmarshal(b, &list); err != nil {
		return r, fmt.Errorf("%s is damaged: %w; remove it", peersFile, err)
	}
	for _, l := range list {
		r.nodes = append(r.nodes, l.Seed)
		r.epoch, r.index = l.Epoch, l.Index
	}
	return r, nil
}

func (r *directory) store(files Files) error {
	list := make([]directoryLine, 0, len(r.nodes))
	for _, s := range r.nodes {
		list = append(list, directoryLine{s, r.epoch, r.index})
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return files.Replace(peersFile, append(b, '\n'))
}

func seedsOf(members []consensus.Member) []Seed {
	list := make([]Seed, 0, len(members))
	for _, m := range members {
		list = append(list, Seed{Name: m.Name, ID: m.ID, Addresses: m.Addresses, Witness: m.Witness})
	}
	return list
}

// hint takes in whom another node has as members, as long as this one's replica
// is behind: who leads may have come in since, and is not listened to otherwise.
func (n *Node) hint(a appliedAnswer) {
	state, _ := n.cons.Load().State()
	n.mu.Lock()
	newer := a.Index > state.Index && a.Index > n.hinted.Index && len(a.Members) > 0
	if newer {
		n.hinted = a
	}
	n.mu.Unlock()
	if newer {
		n.watchPeers()
	}
}

// keepPeers stores the members when their names or addresses changed.
func (n *Node) keepPeers(state *consensus.State) {
	now := directory{state.Epoch, state.Index, seedsOf(state.Members)}
	n.mu.Lock()
	if n.peers.after(state) {
		n.mu.Unlock()
		return
	}
	caughtUp := n.hinted.Index > 0 && n.hinted.Index <= state.Index
	if caughtUp {
		n.hinted = appliedAnswer{}
	}
	same := slices.EqualFunc(now.nodes, n.peers.nodes, func(a, b Seed) bool {
		return a.Name == b.Name && a.ID == b.ID && a.Witness == b.Witness && slices.Equal(a.Addresses, b.Addresses)
	})
	var gone []string
	if !same {
		for _, p := range n.peers.nodes {
			if !slices.ContainsFunc(now.nodes, func(s Seed) bool { return s.Name == p.Name && s.ID == p.ID }) {
				gone = append(gone, p.Name)
			}
		}
	}
	n.peers = now
	n.mu.Unlock()
	for _, name := range gone {
		n.wire.Disconnect(name) // when it connects again it is told
	}
	if same {
		if caughtUp {
			n.watchPeers()
		}
		return
	}
	if err := now.store(n.cfg.Files); err != nil {
		n.log.Error("the list of nodes could not be stored", "err", err)
	}
	n.watchPeers()
}

// watchPeers tells the heartbeat who there is.
func (n *Node) watchPeers() {
	var peers []heartbeat.Peer
	for _, s := range n.knownPeers() {
		peers = append(peers, heartbeat.Peer{Name: s.Name, Links: max(1, min(len(s.Addresses), len(n.cfg.Links)))})
	}
	n.beat.SetPeers(peers)
	n.beat.SetEpoch(n.wire.Epoch())
}

// knownPeers are the members as last known, or the seeds before that; what this
// node was told of since goes before.
func (n *Node) knownPeers() []Seed {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := n.peers.nodes
	if len(known) == 0 {
		known = n.cfg.Seeds
	}
	if len(n.hinted.Members) == 0 {
		return known
	}
	list := slices.Clone(n.hinted.Members)
	for _, s := range known {
		if !slices.ContainsFunc(list, func(o Seed) bool { return o.Name == s.Name }) {
			list = append(list, s)
		}
	}
	return list
}
