package scheduler

import (
	"fmt"
	"strings"
)

// Why a node is fenced, or cannot be.

// NodeReason explains what a plan does with a node.
type NodeReason struct {
	Node  string `json:"node"`
	State string `json:"state"`
	// Action is reboot, off, on or shutdown; empty for a node that would have
	// to be fenced and cannot be.
	Action  string   `json:"action,omitempty"`
	Reasons []Reason `json:"reasons"`
}

// Nodes explains the nodes that the plan fences or shuts down, and those that
// would have to be fenced and cannot be.
func (p *Plan) Nodes() []NodeReason {
	e := p.engine
	var out []NodeReason
	if e == nil {
		return nil
	}
	for _, n := range e.sorted {
		done := false
		for _, a := range n.fenceActions {
			if a.is(fDumped) {
				op := a.meta.val("stonith_action")
				out = append(out, NodeReason{Node: n.name, State: e.stateWord(n), Action: op, Reasons: []Reason{e.fenceReason(n)}})
				done = true
			}
		}
		if !done && n.unclean && !n.remote {
			out = append(out, NodeReason{Node: n.name, State: e.stateWord(n), Reasons: []Reason{e.fenceReason(n),
				{Code: CodeNoFencing, Node: n.name, Text: "it cannot be fenced: " + e.cannotFence(n), Hint: e.fencingHint(n)}}})
		}
		if n.online && n.shutdown && !n.remote && !n.unclean {
			out = append(out, NodeReason{Node: n.name, State: e.stateWord(n), Action: "shutdown",
				Reasons: []Reason{{Code: CodeLeaves, Node: n.name, Text: "its shutdown was asked for"}}})
		}
	}
	return out
}

// cannotFence says why a node cannot be fenced.
func (e *engine) cannotFence(n *node) string {
	switch {
	case !e.opt.fencing:
		return "fencing is disabled (stonith-enabled=false)"
	case !e.haveFencing:
		return "there is no fence device"
	case !e.quorate:
		return "there is no quorum"
	case !e.managesAnything():
		return "nothing is managed"
	}
	return "its fencing is not possible now"
}

func (e *engine) fencingHint(n *node) string {
	switch {
	case !e.opt.fencing:
		return "make sure that " + n.name + " is off, then node clearstate " + n.name
	case !e.haveFencing:
		return "configure a fence device"
	}
	return ""
}

func (e *engine) managesAnything() bool {
	for _, r := range e.resources {
		if anyManaged(r) {
			return true
		}
	}
	return false
}

// fenceReason says what made a node unclean.
func (e *engine) fenceReason(n *node) Reason {
	out := Reason{Code: CodeFencing, Node: n.name}
	text := ""
	for _, a := range n.fenceActions {
		if text == "" || a.required() && a.reason != "" {
			text = a.reason
		}
	}
	first, rest, _ := strings.Cut(text, " ")
	switch {
	case text == "peer is no longer part of the cluster":
		out.Text = n.name + " left the cluster without being shut down; whether it still runs resources is not known"
	case text == "peer process is no longer available", text == "peer is unexpectedly down":
		out.Text = n.name + " is a member, but its cluster software does not answer"
	case text == "peer has not been seen by the cluster":
		out.Text = n.name + " has not been seen since the cluster began, so that it may run resources (startup-fencing)"
	case text == "peer failed Pacemaker membership criteria":
		out.Text = n.name + " was not admitted to the cluster"
	case text == "peer was in an unknown state":
		out.Text = "the state of " + n.name + " is not known"
	case strings.HasPrefix(text, "peer pending timed out"):
		out.Text = n.name + " did not finish joining the cluster within node-pending-timeout"
	case text == "fencing was requested":
		out.Text = "fencing of " + n.name + " was asked for"
	case text == "cluster does not have quorum":
		out.Text = "there is no quorum, and no-quorum-policy is fence"
	case text == "deadman ticket was lost":
		out.Text = "a ticket with loss-policy=fence is not granted any more"
	case text == "stop is unrunnable":
		out.Text = "a resource on " + n.name + " must be stopped and cannot be"
	case rest == "failed there":
		out.Resource = first
		out.Text = fmt.Sprintf("%s failed on %s, and on-fail is fence", first, n.name)
		if r := e.rscByID[first]; r != nil {
			for _, f := range e.failuresOf(r) {
				if f.Node == n.name {
					out.Code, out.Resource = CodeFailure, plainName(r)
					out.Text = fmt.Sprintf("%s of %s failed on %s: %s, and on-fail is fence", f.Operation, plainName(r), n.name, f.words())
					break
				}
			}
		}
	case strings.HasPrefix(rest, "is thought to be active there"), strings.HasPrefix(rest, "is active there"):
		out.Resource = first
		out.Text = fmt.Sprintf("%s is lost while %s was active on it", n.name, first)
	case strings.HasPrefix(text, "required by "):
		out.Text = "it must be unfenced before it runs resources (" + text + ")"
	case text == "guest is unclean":
		out.Text = "its guest is lost"
		if n.connection != nil && n.connection.launcher != nil {
			out.Text = fmt.Sprintf("%s, in which it runs, has failed or is to be stopped", plainName(n.connection.launcher))
		}
	case text == "node is unclean", text == "":
		out.Text = n.name + " is unclean: its state is not known"
		if n.unseen || n.state == nil {
			out.Text = n.name + " has not been seen since the cluster began, so that it may run resources (startup-fencing)"
		}
	default:
		out.Text = text
	}
	return out
}
