package scheduler

import (
	"fmt"
	"time"

	"gcrm/cib"
)

// ByHand returns an action of a primitive as a plan would have it, with the
// parameters, meta attributes and timeout that hold on the node now, whether or
// not anything calls for it. An interval other than 0 makes it a recurring
// monitor. doc is not changed.
func ByHand(doc *cib.CIB, opt Options, resource, node, task string, interval time.Duration) (*Action, error) {
	e, err := newEngine(doc, opt)
	if err != nil {
		return nil, err
	}
	e.unpack()
	r := e.rscByID[resource]
	if r == nil { // of a clone, the first instance
		r = e.rscByID[resource+":0"]
	}
	if r == nil || !r.isPrimitive() {
		return nil, fmt.Errorf("there is no primitive %s", resource)
	}
	n := e.findNode(node)
	if n == nil {
		return nil, fmt.Errorf("there is no node %s", node)
	}
	return e.planAction(e.newAction(r, opKey(r.id, task, interval.Milliseconds()), task, n, false)), nil
}
