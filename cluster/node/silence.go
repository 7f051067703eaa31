package node

import (
	"context"
	"fmt"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// silent waits until nothing is heard any more of an incarnation that a fence
// device reports as off. A node that is off sends nothing: if heartbeats still
// arrive, the device switched something else, or nothing. Such a node is
// expelled, so that it stops everything itself, and its fencing counts as
// failed until it is silent or has started anew.
//
// Devices that take a node's access to storage, not its power, are exempt.
func (d *devices) silent(ctx context.Context, node string, incarnation uint64) error {
	n := d.node
	if incarnation == 0 || d.leavesPower() {
		return nil
	}
	limit := time.NewTimer(n.timing.FalseFencing)
	defer limit.Stop()
	for {
		n.mu.Lock()
		s, changed := n.seen[node], n.changed
		n.mu.Unlock()
		if !s.up || s.incarnation != incarnation {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			err := fmt.Errorf("the fence device reports that node %s is off, but its heartbeats still arrive: the device switches something else; "+
				"correct its ports (pcmk_host_map) and rehearse with 'gcrm fence test %s'", node, node)
			d.retract(node)
			if e := n.expel(ctx, node, incarnation); e != nil {
				n.log.Warn("a node that should be off could not be expelled yet", "peer", node, "err", e)
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-n.ctx.Done():
			return n.ctx.Err()
		}
	}
}

// leavesPower reports whether a device of the configuration fences by taking
// access to storage, so that a fenced node goes on sending.
func (d *devices) leavesPower() bool {
	for _, dev := range d.runner.Configuration().Devices {
		if dev.Unfences && !dev.Disabled {
			return true
		}
	}
	return false
}

// notOff is why a member was expelled that a device only said was off.
const notOff = "its fence device reports that it is off, and it is not"

// disbelieve lets this node forget the fencings of members that were expelled for
// that. Who leads next must not answer by them, though it was told of nothing else.
func (d *devices) disbelieve(state *consensus.State) {
	for _, m := range state.Members {
		if m.State == consensus.Lost && m.Reason == notOff && d.disbelieved[m.Name] != m.Incarnation {
			d.disbelieved[m.Name] = m.Incarnation
			d.runner.Retract(m.Name)
		}
	}
}

// expel makes an incarnation one that was lost, if this node leads.
func (n *Node) expel(ctx context.Context, node string, incarnation uint64) error {
	done, err := n.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	lead, _ := n.cons.Load().Leadership()
	state, _ := n.cons.Load().State()
	m, ok := state.Member(node)
	if !lead.Self || !ok || m.Incarnation != incarnation || m.State != consensus.Online {
		return nil
	}
	m.State, m.Since, m.Expelled, m.Reason = consensus.Lost, time.Now(), incarnation, notOff
	cmd := consensus.Command{Members: []consensus.Member{m}}
	if !m.Witness {
		change := cib.Change{Origin: cib.Origin{Client: membershipClient}, Status: &cib.StatusChange{
			Edits: append([]cib.StatusEdit{stateEdit(m, false, "down", "member", "offline", false)}, forgetAttributes(state.CIB, m.ID)...)}}
		n.sign(&change)
		cmd.Change = &change
	}
	_, err = n.cons.Load().ApplyAsLeader(ctx, lead.Term, cmd)
	return err
}
