package cib

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// semantics looks at what the configuration means as a whole.
func (v *verifier) semantics() {
	v.fencing()
	v.filesystems()
	v.dualPrimary()
	v.lockManager()
	v.orderLoops()
	v.colocations()
	v.cancellingScores()
}

// sharesStorage reports agents whose data is lost when two nodes use it at
// once.
func sharesStorage(a AgentName) bool {
	if a.Class != "ocf" {
		return false
	}
	switch a.Type {
	case "drbd", "controld", "clvm", "lvmlockd", "LVM", "LVM-activate", "Filesystem", "o2cb", "ocfs2", "iscsi", "ZFS", "Raid1", "mdraid":
		return true
	}
	return false
}

func (v *verifier) fencing() {
	enabled, given := v.cib.Property("fencing-enabled", "stonith-enabled")
	on := !given || IsTrue(enabled)
	watchdog, _ := v.cib.Property("have-watchdog")
	timeout, _ := v.cib.Property("fencing-watchdog-timeout", "stonith-watchdog-timeout")
	byWatchdog := IsTrue(watchdog) && timeout != "" && timeout != "0"
	property := v.cib.PropertyName("fencing-enabled")
	members := 0
	for _, n := range v.cib.Nodes() {
		if n.Type == "member" || n.Type == "normal" {
			members++
		}
	}
	var services int
	var storage []string
	for _, r := range v.resources {
		if r.Name != "primitive" || r.agent.Class == "stonith" {
			continue
		}
		services++
		if sharesStorage(r.agent) {
			storage = append(storage, r.id)
		}
	}
	switch {
	case services == 0:
	case on && len(v.fenceDevices()) == 0 && !byWatchdog:
		v.add(Warning, "cib", "add a fence device, or set "+property+"=false if no data can be harmed",
			"fencing is on, but there is no fence device: nothing will be started")
	case !on && len(storage) > 0:
		v.add(Warning, "cib", "add a fence device and set "+property+"=true",
			"fencing is off although %s may be damaged when two nodes use it at once", enumerate(storage))
	case !on && members == 2:
		v.add(Warning, "cib", "add a fence device and set "+property+"=true",
			"a cluster of two nodes without fencing: after a broken connection, each will run everything or nothing")
	case !on:
		v.add(Warning, "cib", "add a fence device and set "+property+"=true",
			"fencing is off: what ran on a lost node is started elsewhere without proof that it stopped")
	}
}

// enumerate joins names for people; only the first few are told.
func enumerate(names []string) string {
	const most = 4
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// isClusterFilesystem reports file systems that several nodes may mount at
// once.
func isClusterFilesystem(fstype string) bool {
	switch strings.ToLower(fstype) {
	case "gfs2", "gfs", "ocfs2", "nfs", "nfs4", "cifs", "smbfs", "glusterfs", "ceph", "lustre", "beegfs", "none", "tmpfs", "vmfs", "gpfs", "":
		return true
	}
	return false
}

// filesystems finds local file systems where several nodes would mount them.
func (v *verifier) filesystems() {
	dual := map[string]*resourceInfo{} // DRBD resource names on promotable clones with several promoted
	clones := map[string]bool{}        // ids of those clones and of the primitives in them
	for _, r := range v.resources {
		if r.agent.Type != "drbd" || !v.promotable(r) {
			continue
		}
		if n, err := ParseScore(cmp.Or(v.meta(r, "promoted-max", "master-max"), "1")); err != nil || n < 2 {
			continue
		}
		if name := r.params["drbd_resource"]; name != "" {
			dual[name] = r
		}
		clones[r.id], clones[r.top.id] = true, true
	}
	var mountedOn map[string]string // top resource to the dual clone it is colocated with
	if len(clones) > 0 {
		mountedOn = map[string]string{}
		for e := range v.cib.Section("constraints").Named("rsc_colocation") {
			if s, _ := ParseScore(cmp.Or(e.Get("score"), "0")); s >= Infinity && clones[e.Get("with-rsc")] {
				if r := v.byID[e.Get("rsc")]; r != nil {
					mountedOn[r.top.id] = e.Get("with-rsc")
				}
			}
		}
	}
	for _, r := range v.resources {
		if r.agent.Type != "Filesystem" || isClusterFilesystem(r.params["fstype"]) {
			continue
		}
		fs := r.params["fstype"]
		volume := mountedOn[r.top.id]
		if d, ok := strings.CutPrefix(r.params["device"], "/dev/drbd/by-res/"); ok && volume == "" {
			name, _, _ := strings.Cut(d, "/")
			if p := dual[name]; p != nil {
				volume = p.top.id
			}
		}
		switch {
		case volume != "":
			v.demandForce(r.id, "use gfs2 or ocfs2, or set promoted-max=1",
				"%s is not a cluster file system, but its volume %s is promoted on several nodes at once", fs, volume)
		case r.clone != nil && !strings.HasPrefix(r.params["options"], "bind"):
			v.demandForce(r.clone.id, "use gfs2 or ocfs2, or do not clone it",
				"%s of %s is not a cluster file system, a clone would mount it on several nodes at once", fs, r.id)
		}
	}
}

// cancellingScores finds locations of one resource on one node that
// contradict each other.
func (v *verifier) cancellingScores() {
	type place struct{ rsc, node, role string }
	first := map[place]*Element{}
	for e := range v.cib.Section("constraints").Named("rsc_location") {
		node, rsc := e.Get("node"), e.Get("rsc")
		score, err := ParseScore(e.Get("score"))
		if node == "" || rsc == "" || err != nil || score == 0 {
			continue
		}
		p := place{rsc, strings.ToLower(node), modernRole(e.Get("role"))}
		other := first[p]
		if other == nil {
			first[p] = e
			continue
		}
		switch o, _ := ParseScore(other.Get("score")); {
		case o == -score:
			v.add(Warning, e.ID(), "delete one of them", "its score %s for %s on %s cancels the %s of %s",
				e.Get("score"), rsc, node, other.Get("score"), other.ID())
		case max(o, score) >= Infinity && min(o, score) <= -Infinity:
			v.add(Warning, e.ID(), "delete one of them", "it contradicts %s: %s on %s is both demanded and forbidden", other.ID(), rsc, node)
		}
	}
}

// colocations finds resources that must be together and must not.
func (v *verifier) colocations() {
	together := newDisjointSets()
	for _, r := range v.resources {
		if r.group != nil {
			together.join(r.id, r.group.id)
		}
	}
	type pair struct {
		id, a, b string
		score    int
	}
	var pairs []pair
	mutual := map[[2]string]string{}
	for e := range v.cib.Section("constraints").Named("rsc_colocation") {
		score, err := ParseScore(cmp.Or(e.Get("score"), "0"))
		if err != nil || e.Has("node-attribute") {
			continue
		}
		if a, b := e.Get("rsc"), e.Get("with-rsc"); a != "" && b != "" {
			if e.Has("rsc-role") || e.Has("with-rsc-role") {
				continue
			}
			pairs = append(pairs, pair{e.ID(), a, b, score})
			if other, ok := mutual[[2]string{b, a}]; ok && a != b {
				v.add(Warning, e.ID(), "one direction is enough: the second depends on the first", "it colocates %s and %s in a circle with %s", a, b, other)
			}
			mutual[[2]string{a, b}] = e.ID()
			if a == b {
				v.add(Warning, e.ID(), "delete it", "it colocates %s with itself", a)
			}
		}
		for set := range e.Named("resource_set") {
			last := ""
			for ref := range set.Named("resource_ref") {
				if last != "" && set.Get("role") == "" && (!set.Has("sequential") || IsTrue(set.Get("sequential"))) {
					pairs = append(pairs, pair{e.ID(), ref.ID(), last, score})
				}
				last = ref.ID()
			}
		}
	}
	// Instances of clones are in many places: being with one of them binds to
	// none of the others.
	single := func(id string) bool {
		r := v.byID[id]
		return r != nil && r.clone == nil && r.Name != "clone" && r.Name != "master" && r.Name != "bundle"
	}
	for _, p := range pairs {
		if p.score >= Infinity && single(p.a) && single(p.b) {
			together.join(p.a, p.b)
		}
	}
	direct := map[[2]string]string{}
	for _, p := range pairs {
		if p.score >= Infinity {
			direct[[2]string{p.a, p.b}], direct[[2]string{p.b, p.a}] = p.id, p.id
		}
	}
	for _, p := range pairs {
		if p.score > -Infinity || p.a == p.b {
			continue
		}
		if other := direct[[2]string{p.a, p.b}]; other != "" {
			v.add(Warning, p.id, "delete one of them", "it keeps %s and %s apart, but %s demands that they are together", p.a, p.b, other)
		} else if single(p.a) && single(p.b) && together.same(p.a, p.b) {
			v.add(Warning, p.id, "delete one of the constraints", "it keeps %s and %s apart, but other colocations or a group demand that they are together", p.a, p.b)
		}
	}
}

// disjointSets is union-find over names.
type disjointSets struct{ parent map[string]string }

func newDisjointSets() *disjointSets { return &disjointSets{map[string]string{}} }

func (d *disjointSets) find(x string) string {
	for {
		p, ok := d.parent[x]
		if !ok || p == x {
			return x
		}
		if g, ok := d.parent[p]; ok {
			d.parent[x] = g // halve the path
		}
		x = p
	}
}

func (d *disjointSets) join(a, b string) {
	if a, b = d.find(a), d.find(b); a != b {
		d.parent[a] = b
	}
}

func (d *disjointSets) same(a, b string) bool { return d.find(a) == d.find(b) }

// sortedUnique returns the distinct names in order.
func sortedUnique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
