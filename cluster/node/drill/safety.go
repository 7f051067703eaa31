package drill

import (
	"fmt"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/scheduler"
)

// hazards lists what speaks against a drill. An error means that it cannot be
// done at all.
func hazards(kind, node string, doc *cib.CIB, info *client.Info, fencing *client.FencePlan, now time.Time) ([]string, error) {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	entry, ok := doc.Node(node)
	if !ok {
		return nil, fmt.Errorf("the cluster has no node %s", node)
	}
	voters, online := 0, 0
	up, votes := false, false
	for _, m := range info.Members {
		if m.Voter {
			voters++
			if m.Online {
				online++
			}
		}
		if m.Name == node {
			up, votes = m.Online, m.Voter
		}
	}
	switch {
	case !up:
		return nil, fmt.Errorf("node %s is not online", node)
	case info.Trial.Pending():
		return nil, fmt.Errorf("a commit waits for its confirmation; confirm it or take it back first")
	case kind != Standby && info.Node == node:
		return nil, fmt.Errorf("a node cannot watch its own failure: run the drill on another node than %s", node)
	case standby(entry):
		return nil, fmt.Errorf("node %s is in standby already", node)
	}
	if !info.Quorate {
		add("the cluster has no quorum")
	}
	if !info.Transition.Idle {
		add("the cluster is at work: wait until it is idle (cluster wait)")
	}
	if kind != Standby {
		fenced := fencing.Enabled && fenceable(fencing, node)
		if !fenced {
			add("nothing can fence node %s, so that nobody can know that it stopped what it runs", node)
		}
		if votes {
			switch left := online - 1; {
			case voters == 2 && fenced && kind == Cut:
				add("there are two voters: when they lose each other, either may be fenced, also the one that is not cut")
			case voters == 2 && fenced:
			case left <= voters/2:
				add("without node %s only %d of %d voters are left: the cluster would lose its quorum", node, left, voters)
			}
		}
	}
	stuck, err := immovable(doc, node, now)
	if err != nil {
		return nil, err
	}
	for _, s := range stuck {
		add("%s", s)
	}
	return out, nil
}

func standby(n cib.Node) bool {
	for set := range n.Element.Named("instance_attributes") {
		if v, ok := cib.PairValue(set, "standby"); ok {
			return cib.IsTrue(v)
		}
	}
	return false
}

func fenceable(plan *client.FencePlan, node string) bool {
	for _, n := range plan.Nodes {
		if n.Node == node {
			return len(n.Levels) > 0 || n.Watchdog > 0
		}
	}
	// Nodes that are fenced in another way than by devices are not listed.
	return len(plan.Nodes) == 0 && plan.Enabled
}

// immovable says what of a node would not run elsewhere.
func immovable(doc *cib.CIB, node string, now time.Time) ([]string, error) {
	before, err := scheduler.Observe(doc, scheduler.Options{Now: now})
	if err != nil {
		return nil, err
	}
	next := doc.Clone()
	setStandby(next.Configuration(), node)
	plan, err := scheduler.Schedule(next, scheduler.Options{Now: now})
	if err != nil {
		return nil, err
	}
	services := placesOf(before)
	var out []string
	for _, d := range plan.Resources {
		p, ok := services[d.Resource]
		if !ok || p.node != node || p.promoted {
			continue
		}
		switch {
		case d.Unmanaged:
			out = append(out, d.Resource+" is unmanaged and would stay")
		case d.Blocked:
			out = append(out, d.Resource+" is blocked and would stay")
		case d.Verb == "Stop":
			out = append(out, d.Resource+" runs on "+node+" and could run nowhere else")
		}
	}
	return out, nil
}
