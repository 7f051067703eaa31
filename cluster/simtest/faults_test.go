package simtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// trouble makes something go wrong now and then while faults are on.
func (w *world) trouble() {
	w.after(w.between(500*time.Millisecond, 8*time.Second), w.trouble)
	if !w.faults {
		return
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if l := w.leader; l != nil && w.chance(0.3) {
		n = l
	}
	switch w.rng.IntN(10) {
	case 0: // power failure
		if w.spare(n) {
			w.stats.crashes++
			w.note("power of %s fails", n.name)
			n.stop(true)
			w.revive(n, w.between(time.Second, 15*time.Second))
		}
	case 1: // network failure
		if w.spare(n) {
			w.stats.isolations++
			w.note("%s is cut off", n.name)
			n.isolated = true
			if w.leader == n {
				w.dethrone("it is cut off")
			}
			w.after(w.between(time.Second, 15*time.Second), func() {
				if n.isolated {
					w.note("%s is connected again", n.name)
					n.isolated = false
					w.replicate(n, len(w.log))
				}
			})
		}
	case 2: // the daemon alone
		if n.up {
			w.stats.restarts++
			w.note("the daemon of %s dies", n.name)
			n.stop(false)
			w.revive(n, w.between(100*time.Millisecond, 3*time.Second))
		}
	case 3:
		w.dethrone("it is overthrown")
	case 4, 5: // a resource dies
		ids := slices.Sorted(maps.Keys(w.active))
		if len(ids) > 0 {
			id := ids[w.rng.IntN(len(ids))]
			for _, at := range slices.Sorted(maps.Keys(w.active[id])) {
				if !w.busy[id+"@"+at] {
					w.stats.deaths++
					w.note("%s dies on %s", id, at)
					delete(w.active[id], at)
					delete(w.promoted[id], at)
				}
			}
		}
	case 6, 7:
		w.reconfigure()
	case 8:
		w.cleanup()
	case 9: // an administrator takes a node down
		if w.leader != nil && w.spare(n) {
			w.note("admin: %s is to shut down", n.name)
			w.propose(w.leader, statusChange(cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n.id, Name: "shutdown",
				Value: fmt.Sprint(w.now.Unix())}}), func(error) {})
		}
	}
}

// spare reports whether a node may fail without the majority going.
func (w *world) spare(n *node) bool {
	bad := 0
	for _, m := range w.nodes {
		if m == n && (!m.up || m.isolated) {
			return false
		}
		if !m.up || m.isolated {
			bad++
		}
	}
	return bad < (len(w.nodes)-1)/2
}

func (w *world) revive(n *node, d time.Duration) {
	boot := n.boot
	w.after(d, func() {
		if !n.up && n.boot == boot {
			n.start()
		}
	})
}

// reconfigure commits another configuration, as an administrator would.
func (w *world) reconfigure() {
	if w.leader == nil {
		return
	}
	doc := w.leader.doc().Clone()
	conf := doc.Configuration()
	switch w.rng.IntN(3) {
	case 0: // standby of a node
		nodes := slices.Collect(conf.Child("nodes").Named("node"))
		n := nodes[w.rng.IntN(len(nodes))]
		set := n.Ensure("instance_attributes")
		set.Set("id", "nodes-"+n.ID())
		toggle(set, "nodes-"+n.ID()+"-standby", "standby", "on", "off")
		w.note("admin: standby of %s is %s", n.Get("uname"), set.Children[0].Get("value"))
	case 1: // target-role of a resource
		r := w.anyPrimitive(conf)
		set := r.Ensure("meta_attributes")
		set.Set("id", r.ID()+"-meta")
		toggle(set, r.ID()+"-meta-target-role", "target-role", "Stopped", "Started")
		w.note("admin: target-role of %s is %s", r.ID(), set.Children[0].Get("value"))
	case 2: // a parameter
		r := w.anyPrimitive(conf)
		set := r.Ensure("instance_attributes")
		set.Set("id", r.ID()+"-params")
		toggle(set, r.ID()+"-params-x", "x", fmt.Sprint(w.rng.IntN(100)), fmt.Sprint(100+w.rng.IntN(100)))
		w.note("admin: parameter of %s changed", r.ID())
	}
	w.propose(w.leader, cib.Change{Origin: cib.Origin{Client: "admin"},
		Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}, func(error) {})
}

func (w *world) anyPrimitive(conf *cib.Element) *cib.Element {
	var all []*cib.Element
	conf.Child("resources").Walk(func(e *cib.Element) bool {
		if e.Name == "primitive" && e.Get("class") != "stonith" {
			all = append(all, e)
		}
		return true
	})
	return all[w.rng.IntN(len(all))]
}

func toggle(set *cib.Element, id, name, a, b string) {
	nv := set.ChildByID(id)
	if nv == nil {
		set.Add(cib.NewElement("nvpair", "id", id, "name", name, "value", a))
		return
	}
	if nv.Get("value") == a {
		a = b
	}
	nv.Set("value", a)
}

// cleanup forgets history and failures, as "resource cleanup" does.
func (w *world) cleanup() {
	if w.leader == nil {
		return
	}
	w.note("admin: cleanup")
	edits := []cib.StatusEdit{{Forget: &cib.ForgetEdit{}}}
	for state := range w.leader.doc().Status().Named("node_state") {
		for set := range state.Child("transient_attributes").Named("instance_attributes") {
			for nv := range set.Named("nvpair") {
				if name := nv.Get("name"); strings.HasPrefix(name, "fail-count-") || strings.HasPrefix(name, "last-failure-") {
					edits = append(edits, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: state.ID(), Name: name, Delete: true}})
				}
			}
		}
	}
	w.propose(w.leader, statusChange(edits...), func(error) {})
}
