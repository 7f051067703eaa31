package node

import (
	"fmt"

	"gcrm/cluster/consensus"
	"gcrm/cluster/transport"
)

// met is told what every peer says of itself.
func (n *Node) met(h transport.Hello) {
	n.mu.Lock()
	n.builds[h.Node] = h.Build
	n.mu.Unlock()
}

// build returns the version of a node's gcrm, empty if it was never told.
func (n *Node) build(name string) string {
	if name == n.cfg.Name {
		return n.cfg.Build
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.builds[name]
}

// fits refuses a host whose build is too old for the cluster.
func (n *Node) fits(req JoinRequest) error {
	state, _ := n.cons.Load().State()
	if level := max(req.Level, 1); level < state.Works() {
		return fmt.Errorf("the gcrm on %s is too old (version %s, feature level %d): this cluster works at level %d; install version %s there", req.Name, req.Build, level, state.Works(), n.cfg.Build)
	}
	return nil
}

// completeBuild fills in what this build is.
func (c *Config) completeBuild() {
	if c.Level == 0 {
		c.Level = consensus.FeatureLevel
	}
	if c.Build == "" {
		c.Build = "unknown"
	}
}
