package shell

import (
	"encoding/json"
	"io"

	"gcrm/scheduler"
)

// The plan for programs. Names and meanings of fields stay.
type (
	simulateJSON struct {
		Events    []string               `json:"events,omitempty"`
		Cluster   []scheduler.Reason     `json:"cluster,omitempty"`
		Nodes     []scheduler.NodeReason `json:"nodes,omitempty"`
		Decisions []decisionJSON         `json:"decisions"`
		Idle      []idleJSON             `json:"not_running,omitempty"`
		Unchanged []string               `json:"unchanged,omitempty"`
		Actions   []actionJSON           `json:"actions"`
		Scores    []scoreJSON            `json:"scores,omitempty"`
		Messages  []scheduler.Message    `json:"messages,omitempty"`
		// Expected is the expected duration in milliseconds, Path the ids of the
		// actions that it is made of.
		Expected int64  `json:"expected_ms"`
		Path     []int  `json:"critical_path,omitempty"`
		Recheck  string `json:"recheck,omitempty"`
		Executed []int  `json:"executed,omitempty"`
		Complete bool   `json:"complete"`
	}
	decisionJSON struct {
		Resource string             `json:"resource"`
		Verb     string             `json:"verb"`
		From     string             `json:"from,omitempty"`
		To       string             `json:"to,omitempty"`
		FromRole string             `json:"from_role,omitempty"`
		ToRole   string             `json:"to_role,omitempty"`
		Reason   string             `json:"reason,omitempty"`
		Reasons  []scheduler.Reason `json:"reasons,omitempty"`
		Down     int64              `json:"down_ms,omitempty"`
		Blocked  bool               `json:"blocked,omitempty"`
	}
	idleJSON struct {
		Resource string             `json:"resource"`
		Reasons  []scheduler.Reason `json:"reasons"`
	}
	actionJSON struct {
		ID      int    `json:"id"`
		Key     string `json:"key"`
		Task    string `json:"task"`
		Node    string `json:"node,omitempty"`
		Inputs  []int  `json:"inputs,omitempty"`
		Reason  string `json:"reason,omitempty"`
		Begin   int64  `json:"begin_ms"`
		End     int64  `json:"end_ms"`
		Assumed bool   `json:"assumed,omitempty"`
	}
	scoreJSON struct {
		Resource string             `json:"resource"`
		Node     string             `json:"node"`
		Phase    string             `json:"phase"`
		Value    int                `json:"value"`
		Origin   []scheduler.Origin `json:"origin,omitempty"`
	}
)

// writeSimulateJSON writes a plan for programs.
func writeSimulateJSON(w io.Writer, r *scheduler.Simulated) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	out := simulateJSON{Events: r.Injected, Decisions: []decisionJSON{}, Actions: []actionJSON{}, Complete: r.Complete}
	if r.Plan == nil {
		return e.Encode(out)
	}
	s := r.Plan.Story()
	out.Cluster, out.Nodes, out.Unchanged, out.Messages = s.Cluster, s.Nodes, s.Kept, r.Plan.Messages
	out.Expected, out.Path = s.Timing.Total.Milliseconds(), s.Timing.Path
	if !s.Recheck.IsZero() {
		out.Recheck = s.Recheck.Format("2006-01-02T15:04:05Z")
	}
	for i := range s.Changes {
		d := &s.Changes[i]
		out.Decisions = append(out.Decisions, decisionJSON{d.Decision.Resource, d.Verb, d.From, d.To, d.FromRole, d.ToRole, d.Reason, d.Reasons,
			d.Down.Milliseconds(), d.Blocked})
	}
	for _, i := range s.Idle {
		out.Idle = append(out.Idle, idleJSON(i))
	}
	for i, a := range r.Plan.Actions {
		t := &s.Timing.Spans[i]
		out.Actions = append(out.Actions, actionJSON{a.ID, a.Key, a.Task, a.Node, a.Inputs, a.Reason, t.Begin.Milliseconds(), t.End.Milliseconds(), t.Assumed})
	}
	for _, sc := range r.Plan.Scores {
		out.Scores = append(out.Scores, scoreJSON{sc.Resource, sc.Node, sc.Phase, sc.Value, sc.Origin})
	}
	for _, a := range r.Executed {
		out.Executed = append(out.Executed, a.ID)
	}
	return e.Encode(out)
}
