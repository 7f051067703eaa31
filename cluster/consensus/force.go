package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// ErrMeanwhile is why the electorate is not forced: there was a quorum since
// the proof.
var ErrMeanwhile = errors.New("the others were there again since they were proven to be down")

// Force makes this node and nobody else the electorate, raises the epoch and
// leads. It is for the one case in which the majority is known to be gone:
// every other voter is fenced, and proof says how that is known.
//
// The node must have been part of a quorum since it booted, so that it holds
// everything that was acknowledged; with more than two voters that is not
// enough, and the caller must know better. Nor is it if the electorate was
// just being changed (see [Consensus.Indispensable]).
//
// A crash in the middle leaves either the old electorate or the new one. The
// record of the change is on the disk first. Peers of the old epoch are refused
// only once the new electorate is there, too: they throw their logs away then,
// and vote for nobody before this node has sent them its own. Whoever leads next
// in the new epoch commits the record.
//
// since is the LastIndex from before the proof was asked for. If the log has
// grown, the others were a quorum with this node since then: they came back,
// and the proof says nothing of what they run now. So that they cannot while
// the disk takes its time, they are kept out from the check on.
//
// besides is committed together with the record of the change; its Forced is
// ignored.
func (c *Consensus) Force(ctx context.Context, proof string, since uint64, besides Command) error {
	if strings.TrimSpace(proof) == "" {
		return errors.New("the electorate is not forced without a proof that the others are down")
	}
	voters, learners, err := c.Electorate()
	if err != nil {
		return err
	}
	if !slices.Contains(voters, c.node) {
		return fmt.Errorf("node %s has no vote and cannot become the electorate", c.node)
	}
	removed := slices.DeleteFunc(append(voters, learners...), func(n string) bool { return n == c.node })
	if len(removed) == 0 {
		return nil
	}
	if lead, _ := c.Leadership(); lead.Self {
		return errors.New("this node leads a majority; remove the others from the electorate instead")
	}
	for _, n := range removed {
		defer c.cfg.Transport.Bar(n)()
	}
	if lead, _ := c.Leadership(); lead.Self || c.LastIndex() != since {
		return ErrMeanwhile
	}
	state, _ := c.State()
	stored, err := c.store.GetUint64([]byte(SettingEpoch))
	if err != nil {
		return err
	}
	epoch := nextEpoch(max(state.Epoch, stored, c.cfg.Transport.Epoch()), c.node)
	besides.Forced = &ForcedChange{Epoch: epoch, By: c.node, Removed: removed, Proof: proof, Time: time.Now()}
	record, err := json.Marshal(besides)
	if err != nil {
		return err
	}
	if err := c.store.Set([]byte(settingForcing), record); err != nil {
		return err
	}
	recovering := newMachine()
	recovering.level = c.cfg.Level
	if err := c.replace(func() error {
		err := raft.RecoverCluster(c.raftConfig(nil), recovering, c.store, c.store, c.store, nil, servers([]string{c.node}))
		if began, e := c.begun(); began != epoch { // it failed before it had done anything
			return errors.Join(err, e)
		}
		c.cfg.Transport.SetEpoch(epoch)
		return errors.Join(err, c.store.SetUint64([]byte(SettingEpoch), epoch))
	}); err != nil {
		return err
	}
	if err := c.Campaign(); err != nil {
		return err
	}
	for {
		state, newer := c.State()
		if state.Epoch >= epoch {
			return nil
		}
		if err := wait(ctx, newer); err != nil {
			return fmt.Errorf("the forced change is not recorded yet: %w", err)
		}
	}
}

// begun is the epoch of a change by which this node has become the electorate,
// while the epoch is not stored yet; 0 if there is none. The record of one that
// never came to that is dropped. raft does not run.
func (c *Consensus) begun() (uint64, error) {
	record, err := c.store.Get([]byte(settingForcing))
	cmd := Command{}
	if err != nil || record == nil || json.Unmarshal(record, &cmd) != nil || cmd.Forced == nil {
		return 0, err
	}
	stored, err := c.store.GetUint64([]byte(SettingEpoch))
	if err != nil || cmd.Forced.Epoch <= stored {
		return 0, err
	}
	disk := &steady{Storage: c.store}
	if err := disk.findElectorates(); err != nil {
		return 0, err
	}
	if n := len(disk.electorates); n == 0 || !slices.Equal(disk.electorates[n-1].voters, []string{c.node}) {
		return 0, c.store.Set([]byte(settingForcing), []byte("{}"))
	}
	return cmd.Forced.Epoch, nil
}

// complete commits the record of a forced change that is not in the state yet;
// this node leads.
func (c *Consensus) complete(ctx context.Context, r *instance) error {
	epoch := c.cfg.Transport.Epoch()
	if state, _ := r.machine.current(); state.Epoch >= epoch {
		return nil
	}
	cmd := Command{}
	record, err := c.store.Get([]byte(settingForcing))
	if err != nil {
		return err
	}
	if record == nil || json.Unmarshal(record, &cmd) != nil || cmd.Forced == nil || cmd.Forced.Epoch != epoch {
		cmd = Command{Forced: &ForcedChange{Epoch: epoch, By: c.node, Time: time.Now(),
			Proof: "the node that forced the electorate was interrupted before it could say how it knew; see its log"}}
	}
	a, err := c.propose(ctx, entry{Request: NewRequest(), Command: cmd})
	if err == nil {
		err = a.Failure.err()
	}
	return err
}

// epochNodeBits are the low bits of an epoch, which come from the name of the
// node that forced it. So if two sides do it at once, which only disabled or
// lying fencing makes possible, their epochs differ, and when they meet again
// one of them gives way instead of mixing two histories.
const epochNodeBits = 20

func nextEpoch(last uint64, node string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(node))
	return (last>>epochNodeBits+1)<<epochNodeBits | uint64(h.Sum32())&(1<<epochNodeBits-1)
}

// StartOver throws the log and the snapshots away, keeping a copy aside, and
// waits to be added by a leader of a newer epoch. It is for a node that the
// cluster went on without: what it has beyond the common past was never
// acknowledged.
func (c *Consensus) StartOver(epoch uint64) error {
	if epoch <= c.cfg.Transport.Epoch() {
		return nil
	}
	return c.replace(func() error {
		if err := c.store.StartOver(epoch); err != nil {
			return err
		}
		c.cfg.Transport.SetEpoch(epoch)
		c.mu.Lock()
		c.past = nil
		c.mu.Unlock()
		return nil
	})
}

// replace stops raft, changes what is stored, and starts it again. If the
// change fails, raft runs on what there is.
func (c *Consensus) replace(change func() error) error {
	c.replacing <- struct{}{}
	defer func() { <-c.replacing }()
	if c.isClosed() {
		return ErrClosed
	}
	if err := c.current().halt(); err != nil {
		c.cfg.Log.Warn("stopping consensus", "err", err)
	}
	err := change()
	return errors.Join(err, c.start())
}
