package drill

import (
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

// place is where a service is: a primitive that runs in one place, or the
// promoted instance of a clone.
type place struct {
	node     string
	promoted bool
}

// placesOf lists the services of a cluster by name. Instances of clones that
// are alike everywhere are none: another one serves.
func placesOf(state *scheduler.State) map[string]place {
	out := map[string]place{}
	var walk func(list []scheduler.ResourceState, clone bool)
	walk = func(list []scheduler.ResourceState, clone bool) {
		for _, r := range list {
			if r.Kind != "primitive" {
				walk(r.Members, clone || r.Kind == "clone")
				continue
			}
			name, _, _ := strings.Cut(r.ID, ":")
			p := place{promoted: r.Role == "Promoted"}
			if r.Active && len(r.Nodes) > 0 {
				p.node = r.Nodes[0]
			}
			switch old, known := out[name]; {
			case clone && !p.promoted:
				if !known && r.Promotable {
					out[name] = place{promoted: true}
				}
			case !known || old.node == "":
				out[name] = p
			}
		}
	}
	walk(state.Resources, false)
	return out
}

// tops are the resources that have to be named to move primitives.
func tops(doc *cib.CIB, primitives []string) []string {
	var out []string
	var holds func(e *cib.Element) bool
	holds = func(e *cib.Element) bool {
		if e.Name == "primitive" {
			return slices.Contains(primitives, e.ID())
		}
		for m := range cib.Members(e) {
			if holds(m) {
				return true
			}
		}
		return false
	}
	for e := range doc.Section("resources").Elements() {
		if holds(e) {
			out = append(out, e.ID())
		}
	}
	return out
}

// tracker measures how long the services of a node are away. It is a pure
// state machine: time is an argument.
type tracker struct {
	node    string
	home    map[string]place // of the node's services, before
	names   []string
	since   map[string]time.Time // of those that are away
	total   map[string]*Outage
	noticed bool // the cluster has seen that the node is gone
	// crashed is set once the node is known to be gone while the cluster still
	// shows what ran there.
	crashed bool
}

func newTracker(places map[string]place, node string) *tracker {
	t := &tracker{node: node, home: map[string]place{}, since: map[string]time.Time{}, total: map[string]*Outage{}}
	for name, p := range places {
		if p.node == node {
			t.home[name] = p
			t.names = append(t.names, name)
			t.total[name] = &Outage{Name: name, From: node, To: node}
		}
	}
	slices.Sort(t.names)
	return t
}

// gone says that the node has failed, and all that it served with it.
func (t *tracker) gone(now time.Time) {
	t.crashed = true
	for _, n := range t.names {
		t.since[n] = now
	}
}

// see takes in where everything is; offline tells that the node is.
func (t *tracker) see(places map[string]place, offline bool, now time.Time) {
	if offline {
		t.noticed = true
	}
	for _, n := range t.names {
		p := places[n]
		on := p.node != "" && p.promoted == t.home[n].promoted
		if on && p.node == t.node && t.crashed && !t.noticed {
			on = false // nobody has noticed yet
		}
		start, away := t.since[n]
		switch {
		case on && away:
			t.close(n, start, now)
			t.total[n].To = p.node
		case on:
			t.total[n].To = p.node
		case !away:
			t.since[n] = now
		}
	}
}

func (t *tracker) close(name string, start, now time.Time) {
	o, d := t.total[name], now.Sub(start)
	o.Away += d
	o.Longest = max(o.Longest, d)
	o.Times++
	delete(t.since, name)
}

// away lists what is away now.
func (t *tracker) away() []string {
	var out []string
	for _, n := range t.names {
		if _, ok := t.since[n]; ok {
			out = append(out, n)
		}
	}
	return out
}

// notHome lists what is not where it was.
func (t *tracker) notHome(places map[string]place) []string {
	var out []string
	for _, n := range t.names {
		if p := places[n]; p != t.home[n] {
			out = append(out, n)
		}
	}
	return out
}

// promoted reports whether a resource is a clone whose promoted instance was
// on the node.
func (t *tracker) promoted(id string, doc *cib.CIB) bool {
	for e := range doc.Section("resources").Elements() {
		if e.ID() == id && cib.IsPromotable(e) {
			return true
		}
	}
	return false
}

// outages is the result.
func (t *tracker) outages(now time.Time) []Outage {
	out := []Outage{}
	for _, n := range t.names {
		o := *t.total[n]
		if start, away := t.since[n]; away {
			d := now.Sub(start)
			o.Away, o.Longest, o.Times, o.Still, o.To = o.Away+d, max(o.Longest, d), o.Times+1, true, ""
		}
		out = append(out, o)
	}
	return out
}
