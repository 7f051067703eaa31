package controller

import (
	"fmt"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// BenchmarkTransition walks a transition of 1,000 primitives on three nodes:
// probes, starts and monitors, 5,000 actions with their changes of the CIB.
func BenchmarkTransition(b *testing.B) {
	for b.Loop() {
		plan := &scheduler.Plan{Header: scheduler.Header{MigrationLimit: -1}}
		add := func(rsc, task, node string, every time.Duration, rc int, after ...int) int {
			a := &scheduler.Action{ID: len(plan.Actions) + 1, Kind: scheduler.ResourceAction, Task: task, Interval: every,
				Key: operation.Key(rsc, task, every), Node: node, NodeID: node, ExpectedRC: rc, Inputs: after,
				Resource: &scheduler.ResourceRef{ID: rsc, Class: "ocf", Provider: "pacemaker", Type: "Dummy"}}
			plan.Actions = append(plan.Actions, a)
			return a.ID
		}
		for i := range 1000 {
			rsc := fmt.Sprintf("r%d", i)
			start := add(rsc, "start", "a", 0, 0, add(rsc, "monitor", "a", 0, 7), add(rsc, "monitor", "b", 0, 7), add(rsc, "monitor", "c", 0, 7))
			add(rsc, "monitor", "a", 10*time.Second, 0, start)
		}
		plans := []*scheduler.Plan{plan, {}}
		c := New(Config{Node: "a", Schedule: func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) {
			p := plans[0]
			plans = plans[1:]
			return p, nil
		}})
		doc, now := cib.New(), time.Unix(1000, 0)
		queue := []Input{}
		apply := func(ch cib.Change) {
			next, err := doc.Apply(ch)
			if err != nil {
				b.Fatal(err)
			}
			doc = next
			queue = append(queue, Applied{Change: &ch, CIB: doc})
		}
		for _, n := range []string{"a", "b", "c"} {
			apply(cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Node: onlineEdit(n)},
				{Attribute: &cib.AttributeEdit{Node: n, Name: IncarnationAttribute, Value: "i"}}}}})
		}
		queue = append(queue, BecameLeader{Term: 1, UUID: "u", CIB: doc})
		idle, steps := false, 0
		for len(queue) > 0 {
			in := queue[0]
			queue = queue[1:]
			steps++
			for _, e := range c.Step(now, in) {
				switch e := e.(type) {
				case Query:
					queue = append(queue, Answered{Ref: e.Ref, Report: operation.Report{Incarnation: "i"}})
				case Apply:
					apply(e.Change)
				case Dispatch:
					job := e.Message.Job
					apply(cib.Change{Origin: cib.Origin{Client: operation.ExecutorClient, Message: job.Key},
						Status: &cib.StatusChange{Edits: operation.Result(&job, operation.Outcome{RC: job.ExpectedRC, CallID: steps, Run: now}, operation.Traits{})}})
				case Progress:
					idle = e.Idle
				}
			}
		}
		if !idle {
			b.Fatal("the transition did not end")
		}
		b.ReportMetric(float64(steps), "steps")
	}
}
