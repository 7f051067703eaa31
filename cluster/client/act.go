package client

import (
	"context"
	"net/http"
	"time"
)

// ActRequest asks a node to run one action of an agent by hand. The resource
// need not be committed; what it is comes with the request.
type ActRequest struct {
	Node     string            `json:"node"`
	Resource string            `json:"resource"`
	Class    string            `json:"class"`
	Provider string            `json:"provider,omitempty"`
	Type     string            `json:"type"`
	Action   string            `json:"action"`
	Timeout  time.Duration     `json:"timeout_ns"`
	Params   map[string]string `json:"params,omitempty"`
	// Meta are meta attributes, spelled as in the configuration.
	Meta map[string]string `json:"meta,omitempty"`
}

// ActAnswer is what came of it.
type ActAnswer struct {
	// RC is the agent's exit code in the terms of OCF, Text that in words.
	RC   int    `json:"rc"`
	Text string `json:"text"`
	// Reason is what the agent says of a failure.
	Reason string        `json:"reason,omitempty"`
	Output string        `json:"output,omitempty"`
	Took   time.Duration `json:"took_ns"`
}

// Actor is what a Cluster may offer besides: to run actions of agents by hand.
type Actor interface {
	// Act runs an action on a node. What changes a resource is refused for
	// those that the cluster itself starts and stops. An error means that the
	// agent was not run, unless it is ErrUnknownOutcome.
	Act(ctx context.Context, r ActRequest) (*ActAnswer, error)
}

var _ Actor = (*HTTP)(nil)

// Act implements Actor.
func (h *HTTP) Act(ctx context.Context, r ActRequest) (*ActAnswer, error) {
	a := &ActAnswer{}
	return a, h.send(ctx, http.MethodPost, PathAct, nil, r, a)
}
