package api

import (
	"context"
	"net/http"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// PathMetrics is where the node tells its metrics to Prometheus.
const PathMetrics = "/metrics"

// Status is what the history of a document amounts to.
type Status struct {
	Nodes     []NodeStatus
	Resources []ResourceStatus
}

// NodeStatus is a node; Kind is member, remote or guest.
type NodeStatus struct {
	ID, Name, Kind                                                              string
	Online, Standby, StandbyOnFail, Maintenance, Pending, Unclean, Shutdown, DC bool
}

// ResourceStatus is an instance of a primitive at one place; Node is empty if
// it is stopped, Group and Clone if it is in none.
type ResourceStatus struct {
	ID, Node, Role, Agent, Group, Clone                        string
	Managed, Active, Orphaned, Blocked, Failed, FailureIgnored bool
}

// Observer is what a Backend may offer besides: the status of nodes and
// resources, for the metrics.
type Observer interface {
	Observe(doc *cib.CIB) (Status, error)
}

// facts are all that the metrics are made of.
type facts struct {
	doc    *cib.CIB
	status Status
	info   *client.Info
	fences *client.FencePlan
	links  []client.Link
	// zone is that of the time in cib-last-written.
	zone *time.Location
	// failed names the collectors that have no facts.
	failed map[string]bool
	took   map[string]time.Duration
}

// metrics answers a scrape with the names of ha_cluster_exporter.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	f := s.gather(r.Context())
	w.Header().Set("Content-Type", expositionType)
	if err := f.collect().write(w); err != nil {
		s.log.Debug("metrics", "err", err) // the scraper has gone
	}
}

func (s *Server) gather(ctx context.Context) *facts {
	f := &facts{zone: time.Local, failed: map[string]bool{}, took: map[string]time.Duration{}}
	try := func(collector string, get func() error) {
		begin := time.Now()
		if err := get(); err != nil {
			f.failed[collector] = true
			s.log.Warn("no metrics", "collector", collector, "err", err)
		}
		f.took[collector] += time.Since(begin)
	}
	try("pacemaker", func() (err error) {
		if f.doc, _, err = s.backend.CIB(ctx, false); err != nil {
			return err
		}
		if o, ok := s.backend.(Observer); ok {
			f.status, err = o.Observe(f.doc)
		}
		return err
	})
	if a, ok := s.backend.(Administrator); ok {
		try("fencing", func() (err error) {
			f.fences, err = a.FencePlan(ctx)
			return err
		})
	}
	try("corosync", func() (err error) {
		if f.info, err = s.backend.Info(ctx); err != nil {
			f.info = nil
			return err
		}
		f.links, err = s.backend.Links(ctx)
		return err
	})
	return f
}

// collect makes metrics of the facts.
func (f *facts) collect() families {
	g := families{}
	if f.doc != nil {
		f.nodes(g)
		f.attributes(g)
		f.states(g)
		f.failures(g)
		f.properties(g)
		f.locations(g)
	}
	if f.info != nil {
		f.quorum(g)
	}
	if f.fences != nil {
		f.fencing(g)
	}
	for _, c := range []string{"pacemaker", "corosync"} {
		g.add("scrape_success", "whether the facts could be had", truth(!f.failed[c]), "collector", c)
		g.add("scrape_duration_seconds", "how long it took to get the facts", f.took[c].Seconds(), "collector", c)
	}
	return g
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
