package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/fencing"
)

// FencePlan implements api.Administrator.
func (b *backend) FencePlan(context.Context) (*client.FencePlan, error) {
	n := (*Node)(b)
	state, _ := n.cons.Load().State()
	p := &client.FencePlan{Enabled: fencingEnabled(state.CIB), Devices: []client.FenceDevice{}, Nodes: []client.FenceNode{}}
	if n.devices == nil {
		return p, nil
	}
	conf := n.devices.runner.Configuration()
	if conf == nil {
		return p, nil
	}
	names := conf.Nodes()
	started := n.devices.runner.StartedOn()
	agent := func(device string) string {
		if d := conf.Devices[device]; d != nil {
			return d.Agent
		}
		return ""
	}
	for _, id := range conf.Order {
		d := conf.Devices[id]
		f := client.FenceDevice{ID: id, Agent: d.Agent, Native: n.cfg.Fencing.Native(d.Agent), Disabled: d.Disabled, Check: string(d.Check),
			Proves: d.Proves == fencing.Always || d.Proves == fencing.Reports}
		for _, node := range names {
			if d.Check == fencing.StaticList && d.Names(node) {
				f.Fences = append(f.Fences, node)
			}
			if started[id][strings.ToLower(node)] {
				f.Started = append(f.Started, node)
			}
		}
		p.Devices = append(p.Devices, f)
	}
	armed := n.devices.watchdogs()
	interval := rehearsalInterval(state.CIB)
	history := n.devices.runner.History()
	for _, entry := range state.CIB.Nodes() {
		if entry.Type != "" && entry.Type != "member" {
			continue
		}
		levels, topology := conf.Plan(entry.Uname)
		f := client.FenceNode{Node: entry.Uname, Levels: []client.FenceLevel{}, Topology: topology, Watchdog: conf.Watchdog(entry.Uname, armed)}
		for _, l := range levels {
			f.Levels = append(f.Levels, client.FenceLevel{Index: l.Index, Devices: l.Devices})
		}
		proved, ok := fencing.LastProved(entry, history, agent)
		if ok {
			f.Proved = proofJSON(proved)
		}
		if c, ok := fencing.LastChecked(entry); ok {
			f.Checked = proofJSON(c)
		}
		switch {
		case !p.Enabled:
		case len(levels) == 0 && f.Watchdog == 0:
			f.Warning = "nothing can fence it"
		case len(levels) > 0:
			f.Warning = fencing.Unproved(proved, ok, interval, time.Now())
		}
		p.Nodes = append(p.Nodes, f)
	}
	return p, nil
}

func proofJSON(p fencing.Proved) *client.FenceProof {
	return &client.FenceProof{At: p.At, Kind: p.Kind, Device: p.Device, Agent: p.Agent, By: p.By, Took: p.Took, Proof: string(p.Proof), Evidence: p.Evidence}
}

func rehearsalInterval(doc *cib.CIB) time.Duration {
	v, _ := doc.Property(fencing.RehearsalInterval)
	d, err := cib.ParseDuration(v)
	if err != nil {
		return 0
	}
	return d
}

// FenceTest implements api.Administrator.
func (b *backend) FenceTest(ctx context.Context, r client.FenceTestRequest, by string) (*client.FenceReport, error) {
	n := (*Node)(b)
	state, _ := n.cons.Load().State()
	entry, ok := state.CIB.Node(r.Node)
	if !ok {
		return nil, &client.Error{Code: client.CodeNotFound, Text: "the cluster has no node " + r.Node}
	}
	if n.devices == nil {
		return nil, noDevices()
	}
	if r.Really {
		return n.rehearse(ctx, entry, by)
	}
	checks, err := n.devices.runner.Rehearse(ctx, entry.Uname)
	if err != nil {
		return nil, &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	report := &client.FenceReport{}
	var good, bad []string
	var took time.Duration
	for _, c := range checks {
		power := ""
		if c.Power != fencing.PowerUnknown {
			power = c.Power.String()
		}
		report.Checks = append(report.Checks, client.FenceCheck{Device: c.Device, Agent: c.Agent, By: c.Node, Level: c.Level,
			Reached: c.Reached, Knows: c.Knows, Power: power, Took: c.Took, Text: c.Text, Hint: c.Hint})
		took = max(took, c.Took)
		if what := c.Device + " on " + c.Node; c.Good() {
			good = append(good, what)
		} else {
			bad = append(bad, what)
		}
	}
	if len(good) == 0 {
		return report, nil
	}
	p := fencing.Proved{At: time.Now(), Kind: "check", Took: took, Evidence: "answer: " + strings.Join(good, ", ")}
	if len(bad) > 0 {
		p.Evidence += "; do not: " + strings.Join(bad, ", ")
	}
	if err := n.keepProof(ctx, entry.Uname, fencing.AttributeChecked, p, by); err != nil {
		report.Unrecorded = err.Error()
	}
	return report, nil
}

func noDevices() error {
	return &client.Error{Code: client.CodeRefused, Text: "this node does not fence by devices of the configuration"}
}

// rehearse reboots a node in earnest, by its devices, and keeps the proof.
func (n *Node) rehearse(ctx context.Context, entry cib.Node, by string) (*client.FenceReport, error) {
	begun := time.Now()
	if _, err := n.ask(ctx, manualRequest{entry.Uname, fencing.Reboot, by}); err != nil {
		return nil, err
	}
	p := fencing.Proved{At: time.Now(), Kind: fencing.Reboot, Took: time.Since(begun)}
	for _, e := range n.devices.runner.History() { // the latest first
		if e.State == fencing.Succeeds && e.Action == fencing.Reboot && strings.EqualFold(e.Target, entry.Uname) {
			p.Device, p.By, p.Proof, p.Evidence = e.Device, e.Delegate, e.Proof, e.Text
			if d := n.devices.runner.Configuration().Devices[e.Device]; d != nil {
				p.Agent = d.Agent
			}
			break
		}
	}
	report := &client.FenceReport{Proved: proofJSON(p)}
	if err := n.keepProof(ctx, entry.Uname, fencing.AttributeProved, p, by); err != nil {
		report.Unrecorded = err.Error()
	}
	return report, nil
}

// keepProof writes a proof into the configuration, as an attribute of the node.
func (n *Node) keepProof(ctx context.Context, node, attribute string, p fencing.Proved, by string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*n.timing.IO)
	defer cancel()
	for {
		state, _ := n.cons.Load().State()
		next := state.CIB.Clone()
		entry, ok := next.Node(node)
		if !ok {
			return fmt.Errorf("node %s is not in the configuration any more", node)
		}
		value := p.String()
		home := cib.PairSet{Element: "instance_attributes", ID: "nodes-" + entry.ID}
		if changed, err := next.SetPair(entry.Element, home, attribute, &value); err != nil || !changed {
			return err
		}
		change := cib.Change{Origin: cib.Origin{User: by, Client: "gcrm fence", Message: "fencing of " + node + ": " + p.Kind},
			Configuration: &cib.ConfigurationChange{Base: state.CIB.Version(), XML: next.Configuration().String()}}
		n.sign(&change)
		_, err := n.cons.Load().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &change})
		if err == nil || ctx.Err() != nil || !errors.Is(err, cib.ErrConflict) && !errors.Is(err, consensus.ErrNoLeader) {
			return err
		}
		select {
		case <-time.After(n.timing.Interval):
		case <-ctx.Done():
		}
	}
}
