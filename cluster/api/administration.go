package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// maxTokenLife bounds how long a join token may be good for.
const maxTokenLife = 7 * 24 * time.Hour

// administration are the requests about nodes.
func (s *Server) administration(a Administrator) []route {
	return []route{
		{method: "POST", path: client.PathTokens, help: "Makes a token with which one node can join.",
			request: client.TokenRequest{}, answer: client.TokenAnswer{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.TokenRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				life := time.Duration(req.Seconds) * time.Second
				if life <= 0 || life > maxTokenLife {
					return nil, malformed(fmt.Errorf("a token is good for at least a second and at most %v", maxTokenLife))
				}
				note(r, fmt.Sprintf("join token for %v", life))
				t, err := a.Token(r.Context(), life)
				return client.TokenAnswer{Token: t}, err
			})},
		{method: "POST", path: client.PathAdminCert, help: "Makes a certificate with which a user may use the API over TLS.",
			request: client.AdminCertRequest{}, answer: client.AdminCertAnswer{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.AdminCertRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, fmt.Sprintf("certificate for administrator %s, good for %v", req.User, time.Duration(req.Seconds)*time.Second))
				if !userMay(r) && cib.Superuser(req.User) {
					access, _, err := s.access(r)
					if err != nil {
						return nil, err
					}
					if !access.Unrestricted() {
						return nil, access.Denies("make a certificate for " + req.User)
					}
				}
				return a.AdminCert(r.Context(), req)
			})},
		{method: "POST", path: client.PathRotate, help: "Begins to replace the keys of the cluster.",
			request: client.RotateRequest{}, answer: struct{}{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.RotateRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, "replace the keys of the cluster")
				if req.Authority {
					note(r, "replace the keys of the cluster and its authority")
				}
				return struct{}{}, a.Rotate(r.Context(), req.Authority)
			})},
		{method: "POST", path: client.PathDrill, help: "Makes a node fail, for a rehearsal.",
			request: client.DrillRequest{}, answer: struct{}{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.DrillRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, "drill: "+req.Kind+" node "+req.Node)
				return struct{}{}, a.Drill(r.Context(), req)
			})},
		{method: "DELETE", path: client.PathMembers, help: "Forgets a node that is gone for good.",
			query: []param{{"name", "the node"}}, answer: struct{}{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				name := r.FormValue("name")
				note(r, "remove node "+name)
				return struct{}{}, a.RemoveNode(r.Context(), name)
			})},
		{method: "POST", path: client.PathStop, help: "Moves resources away and ends the daemon of the node.",
			request: struct{}{}, answer: struct{}{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				note(r, "stop node "+s.node)
				return struct{}{}, a.StopNode(r.Context())
			})},
		{method: "GET", path: client.PathFencing, help: "The history of fencing, the latest first.", answer: []client.FenceEntry{}, need: itself,
			handle: answer(func(r *http.Request) (any, error) {
				list, err := a.Fencings(r.Context())
				if err != nil || userMay(r) {
					return list, err
				}
				access, doc, err := s.access(r)
				if err != nil {
					return nil, err
				}
				out := []client.FenceEntry{}
				for _, e := range list {
					if state := nodeEntry(doc, e.Target); state != nil && access.Reads(doc, state) {
						out = append(out, e)
					}
				}
				return out, nil
			})},
		{method: "POST", path: client.PathRehearse, help: "Shows the commands and system calls that a document would have the nodes carry out, and carries out none.",
			request: client.RehearseRequest{}, answer: []client.Rehearsed{}, need: administer,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.RehearseRequest
				if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, client.MaxBody)).Decode(&req); err != nil {
					return nil, &client.Error{Code: client.CodeRefused, Text: "unreadable request: " + err.Error()}
				}
				doc, err := cib.Parse(req.CIB)
				if err != nil {
					return nil, &client.Error{Code: client.CodeRefused, Text: err.Error()}
				}
				return a.Rehearse(r.Context(), doc)
			})},
		{method: "GET", path: client.PathFencePlan, help: "The fence devices, and how each node is fenced.", answer: client.FencePlan{}, need: readAll,
			handle: answer(func(r *http.Request) (any, error) { return a.FencePlan(r.Context()) })},
		{method: "POST", path: client.PathFenceTest, help: "Checks the fence devices of a node, or really reboots it, and keeps what came of it.",
			request: client.FenceTestRequest{}, answer: client.FenceReport{}, need: itself, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.FenceTestRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, "check the fencing of "+req.Node)
				if req.Really {
					note(r, "fence "+req.Node+" (rehearsal)")
				}
				if err := s.mayFence(r, req.Node); err != nil {
					return nil, err
				}
				return a.FenceTest(r.Context(), req, identityOf(r).User)
			})},
		{method: "POST", path: client.PathFencing, help: "Fences a node; the answer is the proof that it is down.",
			request: client.FenceRequest{}, answer: "", need: itself, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				req, err := s.aboutNode(r)
				note(r, "fence "+req.Node+" ("+req.Action+")")
				if err != nil {
					return nil, err
				}
				return a.Fence(r.Context(), req.Node, req.Action, identityOf(r).User)
			})},
		{method: "POST", path: client.PathConfirm, help: "Takes the administrator's word that a node is down.",
			request: client.FenceRequest{}, answer: struct{}{}, need: itself, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				req, err := s.aboutNode(r)
				note(r, "confirm that "+req.Node+" is down")
				if err != nil {
					return nil, err
				}
				return struct{}{}, a.ConfirmDown(r.Context(), req.Node, identityOf(r).User)
			})},
		{method: "POST", path: client.PathForce, help: "Makes the node go on without the other one of two.",
			request: client.ForceRequest{}, answer: struct{}{}, need: administer, changes: true,
			handle: answer(func(r *http.Request) (any, error) {
				var req client.ForceRequest
				if err := decode(r, &req); err != nil {
					return nil, err
				}
				note(r, "force alone without "+req.Peer+": "+req.Words)
				return struct{}{}, a.ForceAlone(r.Context(), req.Peer, identityOf(r).User, req.Words)
			})},
	}
}

// aboutNode reads a request to fence.
func (s *Server) aboutNode(r *http.Request) (client.FenceRequest, error) {
	var req client.FenceRequest
	if err := decode(r, &req); err != nil {
		return req, err
	}
	return req, s.mayFence(r, req.Node)
}

// mayFence checks what fencing a node needs: write access to the node's entry
// and to its status.
func (s *Server) mayFence(r *http.Request, node string) error {
	if userMay(r) {
		return nil
	}
	a, doc, err := s.access(r)
	if err != nil || a.Unrestricted() {
		return err
	}
	entry := nodeEntry(doc, node)
	may := entry != nil && a.Writes(doc, entry)
	if may {
		state := doc.NodeState(entry.ID())
		may = state == nil || a.Writes(doc, state)
	}
	if !may {
		return a.Denies("fence node " + node + ": it needs write access to the node's entry and status")
	}
	return nil
}

// nodeEntry is the entry of a node in the configuration.
func nodeEntry(doc *cib.CIB, name string) *cib.Element {
	for e := range doc.Section("nodes").Named("node") {
		if e.Get("uname") == name {
			return e
		}
	}
	return nil
}
