package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gcrm/cib"
	"gcrm/cluster/api"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
	"gcrm/drivers"
)

// backend is what the API asks of the node.
type backend Node

var (
	_ api.Backend       = (*backend)(nil)
	_ api.Administrator = (*backend)(nil)
)

// translate gives errors their code for the wire.
func translate(err error) error {
	var conflict *cib.ConflictError
	var refused *consensus.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		return &client.Error{Code: client.CodeConflict, Text: conflict.Error(), Conflict: conflict}
	case errors.As(err, &refused):
		return &client.Error{Code: client.CodeRefused, Text: refused.Text}
	case errors.Is(err, consensus.ErrNoLeader):
		return &client.Error{Code: client.CodeNoLeader, Text: client.ErrNoLeader.Error()}
	case errors.Is(err, consensus.ErrUnknownOutcome):
		return &client.Error{Code: client.CodeUnknown, Text: client.ErrUnknownOutcome.Error()}
	}
	return err
}

// CIB implements api.Backend.
func (b *backend) CIB(ctx context.Context, linearizable bool) (*cib.CIB, string, error) {
	n := (*Node)(b)
	if linearizable {
		ctx, cancel := n.bounded(ctx)
		defer cancel()
		s, err := n.cons.Load().Read(ctx)
		if err != nil {
			return nil, "", translate(err)
		}
		return s.CIB, tag(s, true), nil
	}
	s, _ := n.cons.Load().State()
	quorate := n.quorate()
	if quorate {
		return s.CIB, tag(s, true), nil
	}
	// The replica was written when there was a quorum.
	c := &cib.CIB{Root: &cib.Element{Name: s.CIB.Root.Name, Attrs: append([]cib.Attr(nil), s.CIB.Root.Attrs...), Children: s.CIB.Root.Children}}
	c.Root.Set("have-quorum", "0")
	c.Root.Unset("dc-uuid")
	return c, tag(s, false), nil
}

// bounded limits how long a request waits for a leader.
func (n *Node) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, n.timing.Answer)
}

func tag(s *consensus.State, quorate bool) string {
	return fmt.Sprintf("%d-%d-%v", s.Epoch, s.Index, quorate)
}

// quorate reports whether the node is part of a working majority: it leads,
// or hears from the leader.
func (n *Node) quorate() bool {
	c := n.cons.Load()
	lead, _ := c.Leadership()
	return lead.Self || lead.Leader != "" && time.Since(c.Contact()) < 2*n.timing.RaftHeartbeat
}

// Apply implements api.Backend.
func (b *backend) Apply(ctx context.Context, request string, change cib.Change) (cib.Version, error) {
	ctx, cancel := (*Node)(b).bounded(ctx)
	defer cancel()
	r, err := b.cons.Load().Apply(ctx, request, consensus.Command{Change: &change})
	return r.Version, translate(err)
}

// Info implements api.Backend.
func (b *backend) Info(ctx context.Context) (*client.Info, error) {
	n := (*Node)(b)
	i := n.info()
	if i.Leader != "" && i.Leader != n.cfg.Name {
		ctx, cancel := context.WithTimeout(ctx, n.timing.RaftHeartbeat)
		defer cancel()
		var t client.Transition
		if err := n.wire.Call(ctx, i.Leader, methodStatus, struct{}{}, &t); err == nil {
			i.Transition = t
		}
	}
	return i, nil
}

// info is what the node knows without asking anybody.
func (n *Node) info() *client.Info {
	c := n.cons.Load()
	lead, _ := c.Leadership()
	s, _ := c.State()
	i := &client.Info{Node: n.cfg.Name, NodeID: n.cfg.ID, ClusterName: n.cfg.Cluster, Leader: lead.Leader, Quorate: n.quorate(), Version: s.CIB.Version(), Security: n.security(s), Level: s.Works(), Behind: s.Behind(n.cfg.Level), Locks: lockWaits(s)}
	if t := s.Trial; t != nil {
		i.Trial = client.Trial{Version: t.Version, Origin: t.Origin, Until: t.Until}
	}
	i.Disk = n.disk()
	t := n.timing
	i.Timing = client.Timing{Preset: heartbeat.PresetOf(t.Detection, t.Fencing), Detection: t.Detection, Fencing: t.Fencing, Heartbeat: t.Interval,
		DeadAfter: t.DeadAfter, Election: t.RaftElection, Answer: t.Answer, Disk: t.DiskPatience, JoinPatience: cmp.Or(n.cfg.JoinPatience, t.JoinPatience)}
	voters, _, err := c.Electorate()
	if err != nil {
		n.log.Debug("electorate", "err", err)
	}
	votes := map[string]bool{}
	for _, v := range voters {
		votes[v] = true
	}
	for _, m := range s.Members {
		i.Members = append(i.Members, client.Member{Name: m.Name, ID: m.ID, Online: m.State == consensus.Online, Voter: votes[m.Name], Since: m.Since, Build: n.build(m.Name)})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	i.Transition = n.progress[lead.Leader]
	return i
}

// Watch implements api.Backend.
func (b *backend) Watch(ctx context.Context) <-chan client.Event {
	n := (*Node)(b)
	out := make(chan client.Event)
	go func() {
		defer close(out)
		quorate := time.NewTicker(n.timing.RaftHeartbeat)
		defer quorate.Stop()
		last := ""
		for {
			_, newer := n.cons.Load().State()
			_, moved := n.cons.Load().Leadership()
			n.mu.Lock()
			known := n.changed
			n.mu.Unlock()
			i := n.info()
			if now := fmt.Sprintf("%+v", *i); now != last {
				last = now
				select {
				case out <- client.Event{Version: i.Version, Info: i}:
				case <-ctx.Done():
					return
				case <-n.ctx.Done():
					return
				}
			}
			select {
			case <-newer:
			case <-moved:
			case <-known:
			case <-quorate.C:
			case <-ctx.Done():
				return
			case <-n.ctx.Done():
				return
			}
		}
	}()
	return out
}

// Agents implements api.Backend.
func (b *backend) Agents(_ context.Context, class, provider string) ([]string, error) {
	if class == "" {
		return b.cfg.Agents.Classes(), nil
	}
	return b.cfg.Agents.List(class, provider), nil
}

// Metadata implements api.Backend.
func (b *backend) Metadata(ctx context.Context, agent string) (client.Metadata, error) {
	name, err := drivers.ParseName(agent)
	if err != nil {
		return client.Metadata{}, &client.Error{Code: client.CodeMalformed, Text: err.Error()}
	}
	a, source, err := b.cfg.Agents.Lookup(name)
	if err != nil {
		return client.Metadata{}, &client.Error{Code: client.CodeNotFound, Text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	xml, err := a.Metadata(ctx)
	where := source.Kind
	if source.Path != "" {
		where += " " + source.Path
	}
	return client.Metadata{XML: xml, Source: where}, err
}

// Revisions implements api.Backend.
func (b *backend) Revisions(context.Context) ([]client.Revision, error) {
	s, _ := b.cons.Load().State()
	out := make([]client.Revision, 0, len(s.History))
	for _, r := range s.History {
		out = append(out, client.Revision{Version: r.Version, Origin: r.Origin, Confirmed: r.Confirmed})
	}
	return out, nil
}

// Revision implements api.Backend.
func (b *backend) Revision(_ context.Context, v cib.Version) (*client.Revision, error) {
	s, _ := b.cons.Load().State()
	for _, r := range s.History {
		if r.Version.SameConfiguration(v) {
			xml, err := r.XML()
			return &client.Revision{Version: r.Version, Origin: r.Origin, Confirmed: r.Confirmed, XML: xml}, err
		}
	}
	return nil, &client.Error{Code: client.CodeNotFound, Text: "version " + strconv.Quote(v.String()) + " is not among the remembered ones"}
}

// Token implements api.Administrator.
func (b *backend) Token(ctx context.Context, life time.Duration) (string, error) {
	t, err := (*Node)(b).Invite(ctx, life)
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

// RemoveNode implements api.Administrator.
func (b *backend) RemoveNode(ctx context.Context, name string) error {
	return (*Node)(b).Remove(ctx, name)
}

// ForceAlone implements api.Administrator.
func (b *backend) ForceAlone(ctx context.Context, peer, by, words string) error {
	return (*Node)(b).ForceAlone(ctx, peer, by, words)
}

// StopNode implements api.Administrator.
func (b *backend) StopNode(context.Context) error {
	if b.cfg.Quit == nil {
		return &client.Error{Code: client.CodeRefused, Text: "this node lives as long as the program that it is part of"}
	}
	go b.cfg.Quit()
	return nil
}

// Fence implements api.Administrator.
func (b *backend) Fence(ctx context.Context, node, action, by string) (string, error) {
	switch action {
	case "off", "reboot", "on":
		return (*Node)(b).ask(ctx, manualRequest{node, action, by})
	}
	return "", &client.Error{Code: client.CodeMalformed, Text: strconv.Quote(action) + " is none of off, reboot, on"}
}

// ConfirmDown implements api.Administrator.
func (b *backend) ConfirmDown(ctx context.Context, node, by string) error {
	_, err := (*Node)(b).ask(ctx, manualRequest{Node: node, By: by})
	return err
}

// Fencings implements api.Administrator.
func (b *backend) Fencings(context.Context) ([]client.FenceEntry, error) {
	out := []client.FenceEntry{}
	if b.devices == nil {
		return out, nil
	}
	for _, e := range b.devices.runner.History() {
		out = append(out, client.FenceEntry{ID: e.ID, Target: e.Target, Action: e.Action, State: fmt.Sprint(e.State), Client: e.Client,
			Origin: e.Origin, Delegate: e.Delegate, Device: e.Device, Started: e.Started, Completed: e.Completed,
			Proof: string(e.Proof), Reason: e.Reason, Text: e.Text})
	}
	return out, nil
}
