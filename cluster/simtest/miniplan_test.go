package simtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// miniPlan plans primitives alone, with fencing.
func miniPlan(doc *cib.CIB, opts scheduler.Options) (*scheduler.Plan, error) {
	p := &scheduler.Plan{Header: scheduler.Header{ClusterDelay: time.Minute, FencingTimeout: time.Minute, MigrationLimit: -1, StartFatal: true}}
	add := func(a scheduler.Action) int {
		a.ID = len(p.Actions) + 1
		p.Actions = append(p.Actions, &a)
		return a.ID
	}
	type member struct {
		cib.Node
		online, unclean, standby bool
		fence                    int
	}
	var nodes []*member
	for _, n := range doc.Nodes() {
		m := &member{Node: n}
		s := operation.NodeState(doc, n.ID)
		m.online = operation.Online(s)
		m.unclean = s == nil || !m.online && s.Get("expected") == "member"
		if v, _ := cib.SetValue(n.Element, "instance_attributes", "standby"); v == "on" {
			m.standby = true
		}
		nodes = append(nodes, m)
	}
	type info struct{ known, active, failed, monitored, pending bool }
	look := func(m *member, id string) info {
		var ops []*cib.Element
		for op := range operation.Entries(doc, m.ID, id) {
			ops = append(ops, op)
		}
		call := func(e *cib.Element) int {
			var n int
			fmt.Sscan(e.Get("call-id"), &n)
			if n < 0 {
				n = 1 << 30
			}
			return n
		}
		slices.SortStableFunc(ops, func(a, b *cib.Element) int { return call(a) - call(b) })
		var i info
		for _, op := range ops {
			ok := op.Get("op-status") == "0"
			rc := op.Get("rc-code")
			i.known = true
			i.pending = false
			switch op.Get("operation") {
			case "start":
				i.active, i.failed, i.monitored = true, !(ok && rc == "0"), false
			case "stop":
				if ok && rc == "0" {
					i.active, i.failed, i.monitored = false, false, false
				} else if op.Get("op-status") == "-1" {
					i.active, i.pending = true, true
				} else {
					m.unclean = true
				}
			case "monitor":
				recurring := op.Get("interval") != "0"
				switch {
				case op.Get("op-status") == "-1":
					i.pending = true
					if !recurring {
						i.known = false
					}
				case ok && rc == "0":
					i.active = true
					i.monitored = recurring
				case ok && rc == "7":
					i.active, i.failed = recurring, recurring
				default:
					i.active, i.failed = true, true
				}
			}
		}
		return i
	}
	var ids []string
	role := map[string]string{}
	elements := map[string]*cib.Element{}
	doc.Configuration().Child("resources").Walk(func(e *cib.Element) bool {
		if e.Name == "primitive" && e.Get("class") != "stonith" {
			ids = append(ids, e.ID())
			elements[e.ID()] = e
			role[e.ID()], _ = cib.SetValue(e, "meta_attributes", "target-role")
		}
		return true
	})
	for _, id := range ids { // failed stops mark nodes unclean
		for _, m := range nodes {
			look(m, id)
		}
	}
	var fences []int
	for _, m := range nodes {
		if m.unclean {
			m.fence = add(scheduler.Action{Kind: scheduler.ClusterAction, Key: "stonith-" + m.Uname + "-reboot", Task: "stonith", Node: m.Uname, NodeID: m.ID, Downed: []string{m.ID}})
			fences = append(fences, m.fence)
		}
	}
	for n, id := range ids {
		rsc := func(m *member, task string, interval time.Duration, rc int, after []int) int {
			e := elements[id]
			var params []cib.Attr
			for nv := range e.Child("instance_attributes").Named("nvpair") {
				params = append(params, cib.Attr{Name: nv.Get("name"), Value: nv.Get("value")})
			}
			return add(scheduler.Action{Kind: scheduler.ResourceAction, Params: params, Key: operation.Key(id, task, interval), Task: task, Interval: interval,
				Timeout: 10 * time.Second, Node: m.Uname, NodeID: m.ID, ExpectedRC: rc, Inputs: slices.Sorted(slices.Values(after)),
				Resource: &scheduler.ResourceRef{ID: id, Class: e.Get("class"), Provider: e.Get("provider"), Type: e.Get("type")}})
		}
		after := slices.Clone(fences)
		var home *member
		var at []*member
		for _, m := range nodes {
			if !m.online || m.unclean {
				continue
			}
			i := look(m, id)
			if !i.known {
				after = append(after, rsc(m, "monitor", 0, 7, nil))
			}
			if i.active {
				at = append(at, m)
			}
			var count string
			for name, v := range operation.Attributes(doc, m.ID) {
				if strings.HasPrefix(name, "fail-count-"+id+"#start") {
					count = v
				}
			}
			if !m.standby && count == "" && role[id] != "Stopped" && (home == nil || i.active && !i.failed || len(at) == 0 && (n+len(m.Uname))%2 == 0) {
				if !(home != nil && look(home, id).active) {
					home = m
				}
			}
		}
		for _, m := range at {
			if i := look(m, id); m != home || i.failed || len(at) > 1 {
				after = append(after, rsc(m, "stop", 0, 0, nil))
			}
		}
		if home == nil {
			continue
		}
		i := look(home, id)
		if !i.active || i.failed || len(at) > 1 {
			s := rsc(home, "start", 0, 0, after)
			rsc(home, "monitor", time.Second, 0, []int{s})
		} else if !i.monitored {
			rsc(home, "monitor", time.Second, 0, nil)
		}
	}
	return p, nil
}
