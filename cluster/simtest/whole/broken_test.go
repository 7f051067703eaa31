package whole

import (
	"gcrm/cib"
	"gcrm/scheduler"
)

// breakage is what is deliberately wrong with a build.
type breakage struct {
	lying     bool // the fence device reports success and does nothing
	leftovers bool // agents outlive the daemon
	disks     bool // disks acknowledge what they have not written
	votes     bool // term and vote are not stored
	unordered bool // starts do not wait for stops
	unclean   bool // lost nodes are planned for as if they were down
	amnesia   bool // a node comes back with the incarnation that it had
	minority  bool // who loses the quorum makes itself the electorate
}

func (w *world) breakThings() {
	w.lying = w.broken.lying
	for _, h := range w.hosts {
		h.disk.lies, h.disk.forgets = w.broken.disks, w.broken.votes
	}
}

func (w *world) brokenSchedule(doc *cib.CIB, o scheduler.Options) (*scheduler.Plan, error) {
	if w.broken.unclean {
		doc = doc.Clone()
		for s := range doc.Status().Named("node_state") {
			if s.Get("crmd") != "online" {
				s.Set("expected", "down")
				s.Set("join", "down")
			}
		}
	}
	p, err := scheduler.Schedule(doc, o)
	if err == nil && w.broken.unordered {
		for _, a := range p.Actions {
			a.Inputs = nil
		}
	}
	return p, err
}
