package operation

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// NodeState returns the node_state element of a node id, or nil.
func NodeState(doc *cib.CIB, nodeID string) *cib.Element {
	return doc.Status().ChildByID(nodeID)
}

// Resources iterates over the lrm_resource elements of a node_state.
func Resources(state *cib.Element) iter.Seq[*cib.Element] {
	return state.Child("lrm").Child("lrm_resources").Named("lrm_resource")
}

// Entries iterates over a resource's history on a node.
func Entries(doc *cib.CIB, nodeID, resource string) iter.Seq[*cib.Element] {
	state := NodeState(doc, nodeID)
	if state == nil {
		return func(func(*cib.Element) bool) {}
	}
	return state.Child("lrm").Child("lrm_resources").ChildByID(resource).Named("lrm_rsc_op")
}

// IsPending reports whether a history entry stands for an action under way.
func IsPending(op *cib.Element) bool { return op.Get("op-status") == "-1" }

// Attribute returns a transient attribute of a node.
func Attribute(doc *cib.CIB, nodeID, name string) (string, bool) {
	state := NodeState(doc, nodeID)
	if state == nil {
		return "", false
	}
	for set := range state.Child("transient_attributes").Named("instance_attributes") {
		for nv := range set.Named("nvpair") {
			if nv.Get("name") == name {
				return nv.Lookup("value")
			}
		}
	}
	return "", false
}

// Attributes iterates over the names and values of a node's transient
// attributes.
func Attributes(doc *cib.CIB, nodeID string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		state := NodeState(doc, nodeID)
		if state == nil {
			return
		}
		for set := range state.Child("transient_attributes").Named("instance_attributes") {
			for nv := range set.Named("nvpair") {
				if !yield(nv.Get("name"), nv.Get("value")) {
					return
				}
			}
		}
	}
}

// Online reports whether a node_state is that of a member whose daemon is at
// work, in any of the spellings of in_ccm and crmd.
func Online(state *cib.Element) bool {
	if state == nil || state.Get("remote_node") == "true" {
		return false
	}
	return affirmed(state.Get("in_ccm")) && affirmed(state.Get("crmd")) && state.Get("join") != "down" && state.Get("join") != "banned"
}

func affirmed(v string) bool {
	switch strings.ToLower(v) {
	case "true", "online", "yes", "on", "y":
		return true
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return err == nil && n > 0
}

// LastCall returns the highest call-id in a node's history.
func LastCall(doc *cib.CIB, nodeID string) int {
	last := 0
	state := NodeState(doc, nodeID)
	if state == nil {
		return 0
	}
	for r := range Resources(state) {
		for op := range r.Named("lrm_rsc_op") {
			n, _ := strconv.Atoi(op.Get("call-id"))
			last = max(last, n)
		}
	}
	return last
}

// Active returns the resources that a node's history leaves running, in the
// order of the history. Where it is in doubt they count as running: after a
// stop that failed, or while anything but a probe is under way. Fence devices
// run nothing and are left out.
func Active(doc *cib.CIB, nodeID string) []string {
	state := NodeState(doc, nodeID)
	if state == nil {
		return nil
	}
	var out []string
	for r := range Resources(state) {
		if r.Get("class") == "stonith" {
			continue
		}
		last, active := -2, false
		for op := range r.Named("lrm_rsc_op") {
			call, err := strconv.Atoi(op.Get("call-id"))
			if IsPending(op) || err != nil {
				call = math.MaxInt
			}
			if now, known := leavesActive(op); known && call > last {
				last, active = call, now
			}
		}
		if active {
			out = append(out, r.ID())
		}
	}
	return out
}

// Unprobed returns those resources of which a node's history does not tell
// whether they run there, and the configuration still has.
func Unprobed(doc *cib.CIB, nodeID string, resources []string) []string {
	told := map[string]bool{}
	if state := NodeState(doc, nodeID); state != nil {
		for r := range Resources(state) {
			for op := range r.Named("lrm_rsc_op") {
				if _, known := leavesActive(op); known {
					told[r.ID()] = true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(resources), func(id string) bool { return told[id] || !configured(doc, id) })
}

// UnderWay returns the resources on which a node's history has anything but a
// probe or a monitor under way. Fence devices are left out.
func UnderWay(doc *cib.CIB, nodeID string) []string {
	state := NodeState(doc, nodeID)
	if state == nil {
		return nil
	}
	var out []string
	for r := range Resources(state) {
		for op := range r.Named("lrm_rsc_op") {
			if IsPending(op) && op.Get("operation") != "monitor" && r.Get("class") != "stonith" {
				out = append(out, r.ID())
				break
			}
		}
	}
	return out
}

// configured reports whether the configuration has the resource of an instance,
// or the bundle that it is a part of.
func configured(doc *cib.CIB, instance string) bool {
	id, _, _ := strings.Cut(instance, ":")
	for p := range doc.Primitives() {
		if p.ID() == id {
			return true
		}
	}
	for e := range doc.Section("resources").Named("bundle") {
		if strings.HasPrefix(id, e.ID()+"-") {
			return true
		}
	}
	return false
}

// leavesActive tells whether an entry of the history means that the resource
// runs; known is false for entries that tell nothing of it.
func leavesActive(op *cib.Element) (active, known bool) {
	done := op.Get("rc-code") == "0" && op.Get("op-status") == "0"
	switch task := op.Get("operation"); task {
	case "stop", "migrate_to":
		return !done, true
	case "start", "promote", "demote", "migrate_from":
		return true, true
	case "monitor":
		if IsPending(op) {
			return false, false
		}
		rc := op.Get("rc-code")
		return rc != "7" && rc != "5", true
	}
	return false, false
}
