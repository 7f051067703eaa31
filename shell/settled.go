package shell

import (
	"context"
	"time"

	"gcrm/cluster/client"
)

// Settle waits until the cluster has done what follows from the session's last
// commit; progress is called with every new state on the way.
func (s *Session) Settle(ctx context.Context, progress func(*client.Info)) error {
	limit := s.cfg.WaitTimeout
	if limit == 0 {
		limit = time.Minute
	}
	w := Settling{Cluster: s.cluster, Quiet: limit, Now: s.cfg.Now}
	if s.lastCommit != nil {
		w.Since = *s.lastCommit
	}
	return w.Wait(ctx, progress)
}
