package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// Rehearse implements api.Administrator: it plans for a document and asks
// every node what its part of the plan would do there.
func (b *backend) Rehearse(ctx context.Context, doc *cib.CIB) ([]client.Rehearsed, error) {
	n := (*Node)(b)
	plan, err := n.cfg.Schedule(doc, scheduler.Options{Now: time.Now()})
	if err != nil {
		return nil, &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	out := []client.Rehearsed{}
	jobs := map[string][]operation.Job{}
	at := map[string][]int{} // by node, the indexes in out of its jobs
	for _, a := range inOrder(plan) {
		if a.Kind != scheduler.ResourceAction || a.Resource == nil || a.Task == "monitor" || a.Task == "notify" {
			continue
		}
		by := a.Node
		if a.Router != "" {
			by = a.Router
		}
		job := controller.JobOf(a)
		agent := strings.ReplaceAll(job.Class+":"+job.Provider+":"+job.Type, "::", ":")
		jobs[by], at[by] = append(jobs[by], job), append(at[by], len(out))
		out = append(out, client.Rehearsed{Node: a.Node, Resource: job.Resource, Action: job.Task, Agent: agent, Steps: []string{}})
	}
	for node, list := range jobs {
		answers, err := n.rehearseOn(ctx, node, list)
		for i, k := range at[node] {
			switch {
			case err != nil:
				out[k].Unclear = fmt.Sprintf("node %s does not tell: %v", node, err)
			case i < len(answers):
				out[k].Unclear = answers[i].Unclear
				if answers[i].Steps != nil {
					out[k].Steps = answers[i].Steps
				}
			}
		}
	}
	return out, nil
}

// rehearseLimit bounds what one node may take for all its jobs.
const rehearseLimit = 20 * time.Second

func (n *Node) rehearseOn(ctx context.Context, node string, jobs []operation.Job) ([]executor.Rehearsal, error) {
	ctx, cancel := context.WithTimeout(ctx, rehearseLimit)
	defer cancel()
	if strings.EqualFold(node, n.cfg.Name) {
		return n.rehearseHere(ctx, jobs)
	}
	var out []executor.Rehearsal
	err := n.wire.Call(ctx, node, methodRehearse, jobs, &out)
	return out, err
}

func (n *Node) rehearseHere(ctx context.Context, jobs []operation.Job) ([]executor.Rehearsal, error) {
	e := n.execute.Load()
	if e == nil {
		return nil, fmt.Errorf("node %s is not a member yet", n.cfg.Name)
	}
	var out []executor.Rehearsal
	for i := range jobs {
		out = append(out, e.Rehearse(ctx, &jobs[i]))
	}
	return out, nil
}

// inOrder returns the actions so that each comes after its inputs, and
// otherwise by id.
func inOrder(plan *scheduler.Plan) []*scheduler.Action {
	left := map[int]*scheduler.Action{}
	var ids []int
	for i := range plan.Actions {
		a := plan.Actions[i]
		left[a.ID] = a
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	var out []*scheduler.Action
	for len(left) > 0 {
		before := len(out)
		for _, id := range ids {
			a := left[id]
			if a == nil || slices.ContainsFunc(a.Inputs, func(in int) bool { return left[in] != nil }) {
				continue
			}
			out = append(out, a)
			delete(left, id)
		}
		if len(out) == before { // a loop, which the controller would break too
			for _, id := range ids {
				if left[id] != nil {
					out = append(out, left[id])
				}
			}
			break
		}
	}
	return out
}
