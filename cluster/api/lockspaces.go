package api

import (
	"context"
	"net/http"

	"gcrm/cluster/client"
)

// Locksmith is what a Backend may offer besides: the lockspaces of the
// kernel's lock manager, for its control process on this node.
type Locksmith interface {
	// Lockspaces waits for a view with another tag, some seconds at most.
	Lockspaces(ctx context.Context, tag string) (*client.LockspaceView, error)
	// Lockspace offers an entry of this node to the log.
	Lockspace(ctx context.Context, e client.LockspaceEntry) error
}

func (s *Server) locks(l Locksmith) []route {
	return []route{
		{method: "GET", path: client.PathLockspaces, help: "The lockspaces of the kernel's lock manager; waits for a view that differs.",
			query:  []param{{"tag", "the view that is known; without it the answer comes at once"}},
			answer: client.LockspaceView{}, need: readAll,
			handle: answer(func(r *http.Request) (any, error) { return l.Lockspaces(r.Context(), r.FormValue("tag")) })},
		{method: "POST", path: client.PathLockspaces, help: "What the lock manager's control process of this node says to all.",
			// The audit log has what people do; these come by themselves, several
			// at once, while locks wait for them.
			request: client.LockspaceEntry{}, answer: struct{}{}, need: administer,
			handle: answer(func(r *http.Request) (any, error) {
				var e client.LockspaceEntry
				if err := decode(r, &e); err != nil {
					return nil, err
				}
				return struct{}{}, l.Lockspace(r.Context(), e)
			})},
	}
}
