package node

import "fmt"

// addressee is the daemon that an order is for, 0 any. One that was lost was given
// up: its node must not carry the order out at its next start, when it finds it.
type addressee struct {
	Incarnation uint64 `json:",omitempty"`
}

// addressee is the daemon of a node as it was last heard of.
func (n *Node) addressee(node string) addressee {
	if node == n.cfg.Name {
		return addressee{n.incarnation}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return addressee{n.seen[node].incarnation}
}

// meets refuses what was meant for an earlier daemon of this node.
func (n *Node) meets(a addressee) error {
	if a.Incarnation != 0 && a.Incarnation != n.incarnation {
		return fmt.Errorf("the order was meant for an earlier daemon of node %s", n.cfg.Name)
	}
	return nil
}
