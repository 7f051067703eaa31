package scheduler

import "gcrm/cib"

// Bans are the nodes that location constraints, with their rules, and
// symmetric-cluster keep resources from. Nothing else counts: neither where
// something runs, nor what failed there, nor whether a node is online.
type Bans struct{ e *engine }

// LocationBans reads them as they are at the time in opt.
func LocationBans(doc *cib.CIB, opt Options) (*Bans, error) {
	e, err := newEngine(doc, opt)
	if err != nil {
		return nil, err
	}
	e.unpack()
	e.unpackConstraints()
	for i := len(e.locations) - 1; i >= 0; i-- {
		e.applyLocation(e.locations[i].rsc, e.locations[i])
	}
	return &Bans{e}, nil
}

// Banned reports whether a resource must not be on a node. What the document
// does not have is not banned.
func (b *Bans) Banned(resource, node string) bool {
	r, n := b.e.rscByID[resource], b.e.findNode(node)
	if r == nil || n == nil {
		return false
	}
	s := r.allowed.get(n)
	return s == nil || int(s.score) <= -infinity
}
