package cib

import (
	"cmp"
	"strings"
)

// dualPrimary finds volumes that two nodes write, without anything that keeps a
// lost one from going on.
func (v *verifier) dualPrimary() {
	enabled, given := v.cib.Property("fencing-enabled", "stonith-enabled")
	if !given || IsTrue(enabled) {
		return // without devices nothing starts, which is said elsewhere
	}
	for _, r := range v.resources {
		if r.agent.Type != "drbd" || !v.promotable(r) {
			continue
		}
		if n, err := ParseScore(cmp.Or(v.meta(r, "promoted-max", "master-max"), "1")); err == nil && n > 1 {
			v.demandForce(r.top.id, "add a fence device and set "+v.cib.PropertyName("fencing-enabled")+"=true, or set promoted-max=1",
				"its volume is promoted on several nodes at once while fencing is off: when their connection breaks, each writes what the other does not have, and the data cannot be put together again")
		}
	}
}

// lockManager looks at what the kernel's lock manager and the cluster file
// systems on it need.
func (v *verifier) lockManager() {
	var managers []*resourceInfo
	for _, r := range v.resources {
		if r.agent.Class == "ocf" && r.agent.Type == "controld" {
			managers = append(managers, r)
		}
	}
	if policy, _ := v.cib.Property("no-quorum-policy"); policy != "freeze" && len(managers) > 0 {
		v.add(Warning, managers[0].id, "set the cluster property no-quorum-policy=freeze",
			"without quorum the lock manager cannot be stopped cleanly")
	}
	var after map[string]bool
	for _, r := range v.resources {
		fstype := strings.ToLower(r.params["fstype"])
		if r.agent.Type != "Filesystem" || fstype != "gfs2" && fstype != "ocfs2" || strings.Contains(r.params["options"], "lockproto=lock_nolock") {
			continue
		}
		v.lockTable(r)
		if after == nil {
			after = v.afterLockManager()
		}
		switch {
		case fstype == "ocfs2" && len(managers) == 0:
			continue // its own stack o2cb needs no resource
		case len(managers) == 0:
			v.demandForce(r.id, "add a clone of ocf:pacemaker:controld, order "+r.top.id+" after it and colocate it with it",
				"gfs2 needs the kernel's lock manager, and no resource controls it")
		case !after[r.id]:
			v.demandForce(r.id, "order "+r.top.id+" after "+managers[0].top.id+" (order dlm-then-"+r.top.id+" Mandatory: "+managers[0].top.id+" "+r.top.id+"), and colocate it with it",
				"%s is not ordered after the lock manager %s: its start fails, and a stop in the wrong order hangs until the node is fenced", fstype, managers[0].top.id)
		}
	}
}

// lockTable compares the cluster's name in the mount options with the real one.
func (v *verifier) lockTable(r *resourceInfo) {
	name, _ := v.cib.Property("cluster-name")
	for option := range strings.SplitSeq(r.params["options"], ",") {
		table, ok := strings.CutPrefix(strings.TrimSpace(option), "locktable=")
		if !ok {
			continue
		}
		if cluster, _, ok := strings.Cut(table, ":"); !ok || name != "" && cluster != name {
			v.demandForce(r.id, "use locktable="+cmp.Or(name, "CLUSTER")+":NAME, or leave the option out and write it into the file system (tunegfs2 -o locktable=...)",
				"its lock table %s is not one of cluster %s: the kernel refuses to mount it", table, cmp.Or(name, "(without name)"))
		}
	}
}

// afterLockManager are the resources that start after a control of the lock
// manager, by mandatory orders or inside of groups.
func (v *verifier) afterLockManager() map[string]bool {
	g := &orderGraph{v: v, ids: map[event]int{}}
	for e := range v.cib.Section("constraints").Named("rsc_order") {
		g.constraint(e)
	}
	for _, r := range v.resources {
		g.containment(r)
	}
	var todo []int
	for _, r := range v.resources {
		if r.agent.Class == "ocf" && r.agent.Type == "controld" {
			todo = append(todo, g.node(r.id, "start", true))
		}
	}
	seen := map[int]bool{}
	after := map[string]bool{}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		if g.names[n].action == "start" {
			after[g.names[n].rsc] = true
		}
		for _, e := range g.next[n] {
			todo = append(todo, e.to)
		}
	}
	return after
}
