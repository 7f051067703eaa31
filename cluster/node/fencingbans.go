package node

import (
	"time"

	"gcrm/cib"
	"gcrm/fencing"
	"gcrm/scheduler"
)

// placedByRules reports whether the places of resources depend on more than the
// configuration: then attributes of nodes may ban them from executing devices.
func placedByRules(doc *cib.CIB) bool {
	for l := range doc.Section("constraints").Named("rsc_location") {
		if l.Child("rule") != nil {
			return true
		}
	}
	return false
}

// deviceBans tells which nodes must not execute which devices, by their location
// constraints; it is nil if that cannot be told.
func deviceBans(doc *cib.CIB, at time.Time) map[string]bool {
	b, err := scheduler.LocationBans(doc, scheduler.Options{Now: at})
	if err != nil {
		return nil // the scheduler says it where it is asked for a plan
	}
	bans := map[string]bool{}
	doc.Section("resources").Walk(func(e *cib.Element) bool {
		if e.Name == "primitive" && cib.AgentOf(e).Class == "stonith" {
			for _, n := range doc.Nodes() {
				if b.Banned(e.ID(), n.Uname) {
					bans[e.ID()+"@"+n.Uname] = true
				}
			}
		}
		return true
	})
	return bans
}

// sourcesOf is for a configuration of fencing; without bans, fencing looks at
// the constraints itself.
func sourcesOf(bans map[string]bool) fencing.Sources {
	if bans == nil {
		return fencing.Sources{}
	}
	return fencing.Sources{Allowed: func(device, node string) bool { return !bans[device+"@"+node] }}
}
