package cib

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// references checks what constraints and fencing levels refer to, beyond what
// the schema demands.
func (v *verifier) references() {
	for e := range v.cib.Section("constraints").Elements() {
		v.constraintNodes(e)
		eachConstrained(e, func(id string) { v.constrained(e, id) })
	}
	v.remoteMembers()
	for e := range v.cib.Section("fencing-topology").Named("fencing-level") {
		v.fencingLevel(e)
	}
}

// eachConstrained calls f for the resources that a constraint names.
func eachConstrained(e *Element, f func(id string)) {
	for _, a := range [...]string{"rsc", "with-rsc", "first", "then"} {
		if id := e.Get(a); id != "" {
			f(id)
		}
	}
	for set := range e.Named("resource_set") {
		for ref := range set.Named("resource_ref") {
			f(ref.ID())
		}
	}
}

func (v *verifier) nodeExists(name string) bool { return v.nodeNames[strings.ToLower(name)] }

func (v *verifier) constraintNodes(e *Element) {
	if e.Name != "rsc_location" {
		return
	}
	if n := e.Get("node"); n != "" && !v.nodeExists(n) {
		v.add(Warning, e.ID(), didYouMean(n, maps.Keys(v.nodeNames)), "referenced node %s does not exist", n)
	}
	if p := e.Get("rsc-pattern"); p != "" {
		// The pattern is a POSIX one; what differs is rare.
		if _, err := regexp.CompilePOSIX(p); err != nil {
			v.add(Warning, e.ID(), "", "%q may not be a valid regular expression (%v)", p, err)
		}
	}
	for rule := range e.Named("rule") {
		rule.Walk(func(x *Element) bool {
			if x.Name == "expression" && x.Get("attribute") == "#uname" && x.Get("operation") == "eq" &&
				x.Get("value") != "" && x.Get("value-source") != "param" && x.Get("value-source") != "meta" && !v.nodeExists(x.Get("value")) {
				v.add(Warning, e.ID(), didYouMean(x.Get("value"), maps.Keys(v.nodeNames)), "referenced node %s does not exist", x.Get("value"))
			}
			return true
		})
	}
}

// constrained warns of constraints on a part of something that is placed and
// ordered as a whole.
func (v *verifier) constrained(e *Element, id string) {
	r := v.byID[id]
	if r == nil || r.parent == nil {
		return
	}
	switch {
	case r.clone != nil:
		v.add(Warning, e.ID(), "let the constraint name "+r.clone.id,
			"resource %s is cloned, so the constraint should name the clone", id)
	case e.Name == "rsc_colocation" && r.group != nil:
		v.add(Warning, e.ID(), "let the constraint name "+r.group.id,
			"resource %s is grouped, so the constraint should name the group", id)
	}
}

func isRemote(a AgentName) bool {
	return a.Class == "ocf" && a.Provider == "pacemaker" && a.Type == "remote"
}

// remoteMembers refuses connections to remote nodes where they do not work:
// the cluster itself orders and places them.
func (v *verifier) remoteMembers() {
	for _, r := range v.resources {
		if r.group != nil && isRemote(r.agent) {
			v.add(Error, r.group.id, "take it out of the group", "remote node %s cannot be a member of a group", r.id)
		}
	}
	for e := range v.cib.Section("constraints").Elements() {
		kind := ""
		switch e.Name {
		case "rsc_colocation":
			kind = "colocation"
		case "rsc_order":
			kind = "order"
		default:
			continue
		}
		eachConstrained(e, func(id string) {
			if r := v.byID[id]; r != nil && isRemote(r.agent) {
				v.add(Error, e.ID(), "delete the constraint", "remote node %s cannot be in a %s constraint", id, kind)
			}
		})
	}
}

func (v *verifier) fencingLevel(e *Element) {
	if n := e.Get("target"); n != "" && !v.nodeExists(n) {
		v.add(Warning, "fencing_topology", didYouMean(n, maps.Keys(v.nodeNames)), "target %s is not a node", n)
	}
	for d := range strings.SplitSeq(e.Get("devices"), ",") {
		r := v.byID[d]
		switch {
		case d == "":
		case r == nil:
			v.add(Warning, "fencing_topology", "", "fence device %s does not exist", d)
		case r.agent.Class != "stonith":
			v.add(Warning, "fencing_topology", "", "%s is not a fence device", d)
		}
	}
}

// fenceDevices lists the resources that can fence.
func (v *verifier) fenceDevices() []*resourceInfo {
	return slices.Collect(func(yield func(*resourceInfo) bool) {
		for _, r := range v.resources {
			if r.agent.Class == "stonith" && !yield(r) {
				return
			}
		}
	})
}
