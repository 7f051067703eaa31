package api

import (
	"context"
	"fmt"
	"net/http"

	"gcrm/cluster/client"
)

// Hands is what a Backend may offer besides: what people do to resources beside
// the configuration.
type Hands interface {
	SetSecret(ctx context.Context, r client.SecretRequest) (*client.SecretAnswer, error)
	Secret(ctx context.Context, resource, parameter string) (*client.SecretAnswer, error)
	Act(ctx context.Context, r client.ActRequest) (*client.ActAnswer, error)
}

// hands are the requests for it. What they carry may be secret: the audit log
// gets names only.
func (s *Server) hands(h Hands) []route {
	return []route{
		{method: "POST", path: client.PathSecrets, help: "Stores the value of a secret parameter on all nodes, or removes it.",
			request: client.SecretRequest{}, answer: client.SecretAnswer{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.SecretRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				what := "set"
				if req.Value == nil {
					what = "remove"
				}
				note(r, fmt.Sprintf("%s the secret parameter %s of %s", what, req.Parameter, req.Resource))
				return h.SetSecret(r.Context(), req)
			})},
		// Reading one is audited too.
		{method: "POST", path: client.PathSecret, help: "The value of a secret parameter, and which nodes have it.",
			request: client.SecretRequest{}, answer: client.SecretAnswer{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.SecretRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, fmt.Sprintf("read the secret parameter %s of %s", req.Parameter, req.Resource))
				return h.Secret(r.Context(), req.Resource, req.Parameter)
			})},
		{method: "POST", path: client.PathAct, help: "Runs one action of an agent on a node, by hand.",
			request: client.ActRequest{}, answer: client.ActAnswer{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.ActRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, fmt.Sprintf("%s of %s on %s by hand", req.Action, req.Resource, req.Node))
				return h.Act(r.Context(), req)
			})},
	}
}
