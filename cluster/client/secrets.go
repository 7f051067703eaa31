package client

import (
	"context"
	"net/http"
)

// SecretRequest is about the value of a parameter that is kept out of the CIB.
// With PathSecrets the value is stored on all nodes, or removed if it is nil;
// with PathSecret it is asked for.
type SecretRequest struct {
	Resource  string  `json:"resource"`
	Parameter string  `json:"parameter"`
	Value     *string `json:"value,omitempty"`
}

// What a node has of a secret value.
const (
	SecretHeld      = "held"      // the value, or with removal: nothing any more
	SecretMissing   = "missing"   // the node has none
	SecretDifferent = "different" // from that of the node that was asked
	SecretDamaged   = "damaged"   // it cannot be read, see Text
	SecretAway      = "away"      // the node cannot be reached; it gets the value when it is back
	SecretFailed    = "failed"    // it could not be stored, see Text
)

// SecretNode is what one node has of it.
type SecretNode struct {
	Node  string `json:"node"`
	State string `json:"state"`
	Text  string `json:"text,omitempty"`
}

// SecretAnswer has the value of the node that was asked, if it was asked for,
// and what the nodes that run resources have.
type SecretAnswer struct {
	Value *string      `json:"value,omitempty"`
	Nodes []SecretNode `json:"nodes"`
}

// SecretKeeper is what a Cluster may offer besides: values of parameters that
// are not in the CIB.
type SecretKeeper interface {
	// SetSecret stores a value on all nodes, or removes it if it is nil.
	SetSecret(ctx context.Context, r SecretRequest) (*SecretAnswer, error)
	// Secret returns the value, and which nodes have the same.
	Secret(ctx context.Context, resource, parameter string) (*SecretAnswer, error)
}

var _ SecretKeeper = (*HTTP)(nil)

// SetSecret implements SecretKeeper.
func (h *HTTP) SetSecret(ctx context.Context, r SecretRequest) (*SecretAnswer, error) {
	a := &SecretAnswer{}
	return a, h.send(ctx, http.MethodPost, PathSecrets, nil, r, a)
}

// Secret implements SecretKeeper.
func (h *HTTP) Secret(ctx context.Context, resource, parameter string) (*SecretAnswer, error) {
	a := &SecretAnswer{}
	return a, h.send(ctx, http.MethodPost, PathSecret, nil, SecretRequest{Resource: resource, Parameter: parameter}, a)
}
