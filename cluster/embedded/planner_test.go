package embedded

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// planner is a scheduler that knows primitives only: probe everywhere, keep
// each running on the first node that is online and stays, fence what is lost.
// With it the tests of the wiring do not depend on what the real one decides.
func planner(c *cib.CIB, _ scheduler.Options) (*scheduler.Plan, error) {
	p := &scheduler.Plan{Header: scheduler.Header{ClusterDelay: 10 * time.Second, FencingTimeout: 10 * time.Second, MigrationLimit: -1, StartFatal: true}}
	add := func(a scheduler.Action) int {
		a.ID = len(p.Actions) + 1
		p.Actions = append(p.Actions, &a)
		return a.ID
	}
	type place struct{ id, name string }
	var stay []place
	online := map[string]bool{}
	for s := range c.Status().Named("node_state") {
		if operation.Online(s) {
			online[s.ID()] = true
			if v, ok := operation.Attribute(c, s.ID(), "shutdown"); !ok || v == "0" {
				stay = append(stay, place{s.ID(), s.Get("uname")})
			}
		} else if s.Get("expected") == "member" {
			add(scheduler.Action{Kind: scheduler.ClusterAction, Task: "stonith", Key: "stonith-" + s.Get("uname") + "-reboot",
				Node: s.Get("uname"), NodeID: s.ID(), Meta: []cib.Attr{{Name: "stonith_action", Value: "reboot"}}, Reason: "it is lost"})
		}
	}
	if len(p.Actions) > 0 {
		return p, nil
	}
	slices.SortFunc(stay, func(a, b place) int { return cmpString(a.id, b.id) })
	stopAll, _ := c.Property("stop-all-resources")
	if c.Root.Get("have-quorum") == "0" {
		stopAll = "true" // no-quorum-policy=stop
	}
	for r := range c.Section("resources").Named("primitive") {
		ref := &scheduler.ResourceRef{ID: r.ID(), Class: r.Get("class"), Provider: r.Get("provider"), Type: r.Get("type")}
		var params []cib.Attr
		for nv := range r.Child("instance_attributes").Named("nvpair") {
			params = append(params, cib.Attr{Name: nv.Get("name"), Value: nv.Get("value")})
		}
		action := func(task string, interval time.Duration, n place, want int, inputs ...int) int {
			return add(scheduler.Action{Kind: scheduler.ResourceAction, Task: task, Interval: interval, Timeout: 10 * time.Second,
				Key: operation.Key(r.ID(), task, interval), Node: n.name, NodeID: n.id, Resource: ref, Params: params, ExpectedRC: want, Inputs: inputs})
		}
		probing, active := false, []place{}
		for s := range c.Status().Named("node_state") {
			if !online[s.ID()] {
				continue
			}
			here := place{s.ID(), s.Get("uname")}
			last, state := -1, ""
			for op := range operation.Entries(c, s.ID(), r.ID()) {
				call, _ := strconv.Atoi(op.Get("call-id"))
				if call < last {
					continue
				}
				last = call
				switch {
				case op.Get("operation") == "stop" && op.Get("rc-code") == "0", op.Get("rc-code") == "7":
					state = "stopped"
				case op.Get("rc-code") == "0":
					state = "started"
				default:
					state = "failed"
				}
			}
			switch state {
			case "":
				probing = true
				action("monitor", 0, here, 7)
			case "started", "failed":
				active = append(active, here)
				if state == "failed" || stopAll == "true" || !slices.Contains(stay, here) {
					action("stop", 0, here, 0)
					probing = true
				}
			}
		}
		if !probing && len(active) == 0 && len(stay) > 0 && stopAll != "true" {
			start := action("start", 0, stay[0], 0)
			action("monitor", 200*time.Millisecond, stay[0], 0, start)
		}
	}
	return p, nil
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// where tells on which nodes a resource is started, by the history.
func where(c *cib.CIB, resource string) string {
	out := ""
	for s := range c.Status().Named("node_state") {
		if !operation.Online(s) {
			continue
		}
		for op := range operation.Entries(c, s.ID(), resource) {
			if op.ID() == resource+"_last_0" && op.Get("operation") == "start" && op.Get("rc-code") == "0" {
				out += fmt.Sprint(s.Get("uname"), " ")
			}
		}
	}
	return out
}
