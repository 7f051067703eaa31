package shell

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"gcrm/scheduler"
)

// planDot draws a transition graph in the language of graphviz: actions of the
// cluster blue, pseudo actions orange, as Pacemaker's tools do.
func planDot(p *scheduler.Plan) string {
	var b strings.Builder
	b.WriteString(" digraph \"g\" {\n")
	names := map[int]string{}
	for _, a := range p.Actions {
		name := a.Key
		if a.Node != "" {
			name += " " + a.Node
		}
		names[a.ID] = name
	}
	for _, a := range p.Actions {
		colour := "black"
		if a.Kind == scheduler.Pseudo {
			colour = "orange"
		}
		for _, in := range a.Inputs {
			fmt.Fprintf(&b, "%q -> %q [ style = bold]\n", names[in], names[a.ID])
		}
		fmt.Fprintf(&b, "%q [ style=bold color=\"green\" fontcolor=%q]\n", names[a.ID], colour)
	}
	b.WriteString("}\n")
	return b.String()
}

// writeSimulateJSON writes a plan for programs.
func writeSimulateJSON(w io.Writer, r *scheduler.Simulated) error {
	type action struct {
		ID     int    `json:"id"`
		Key    string `json:"key"`
		Task   string `json:"task"`
		Node   string `json:"node,omitempty"`
		Inputs []int  `json:"inputs,omitempty"`
		Reason string `json:"reason,omitempty"`
	}
	type decision struct {
		Resource string `json:"resource"`
		Verb     string `json:"verb"`
		From     string `json:"from,omitempty"`
		To       string `json:"to,omitempty"`
		FromRole string `json:"from_role,omitempty"`
		ToRole   string `json:"to_role,omitempty"`
		Reason   string `json:"reason,omitempty"`
		Blocked  bool   `json:"blocked,omitempty"`
	}
	type score struct {
		Resource string `json:"resource"`
		Node     string `json:"node"`
		Phase    string `json:"phase"`
		Value    int    `json:"value"`
	}
	out := struct {
		Decisions []decision          `json:"decisions"`
		Actions   []action            `json:"actions"`
		Scores    []score             `json:"scores,omitempty"`
		Messages  []scheduler.Message `json:"messages,omitempty"`
		Complete  bool                `json:"complete"`
	}{Decisions: []decision{}, Actions: []action{}, Messages: r.Plan.Messages, Complete: r.Complete}
	for _, d := range r.Plan.Resources {
		out.Decisions = append(out.Decisions, decision{d.Resource, d.Verb, d.From, d.To, d.FromRole, d.ToRole, d.Reason, d.Blocked})
	}
	for _, a := range r.Plan.Actions {
		out.Actions = append(out.Actions, action{a.ID, a.Key, a.Task, a.Node, a.Inputs, a.Reason})
	}
	for _, s := range r.Plan.Scores {
		out.Scores = append(out.Scores, score{s.Resource, s.Node, s.Phase, s.Value})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}
