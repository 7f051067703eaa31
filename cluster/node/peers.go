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

func readPeers(files Files) ([]Seed, error) {
	b, err := files.Read(peersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Seed
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it", peersFile, err)
	}
	return list, nil
}

// keepPeers stores the members when their names or addresses changed.
func (n *Node) keepPeers(members []consensus.Member) {
	list := make([]Seed, 0, len(members))
	for _, m := range members {
		list = append(list, Seed{Name: m.Name, ID: m.ID, Addresses: m.Addresses, Witness: m.Witness})
	}
	n.mu.Lock()
	same := slices.EqualFunc(list, n.peers, func(a, b Seed) bool {
		return a.Name == b.Name && a.ID == b.ID && a.Witness == b.Witness && slices.Equal(a.Addresses, b.Addresses)
	})
	var gone []string
	if !same {
		for _, p := range n.peers {
			if !slices.ContainsFunc(list, func(s Seed) bool { return s.Name == p.Name && s.ID == p.ID }) {
				gone = append(gone, p.Name)
			}
		}
		n.peers = list
	}
	n.mu.Unlock()
	for _, name := range gone {
		n.wire.Disconnect(name) // when it connects again it is told
	}
	if same {
		return
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = n.cfg.Files.Replace(peersFile, append(b, '\n'))
	}
	if err != nil {
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

// knownPeers are the members as last known, or the seeds before that.
func (n *Node) knownPeers() []Seed {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.peers) > 0 {
		return n.peers
	}
	return n.cfg.Seeds
}
