package scheduler

import (
	"strings"

	"gcrm/cib"
)

// Phase 1a: cluster options. Before: only the document. After: engine.opt is
// complete, and quorum, "now" and the defaults sections are known.

type quorumPolicy uint8

const (
	quorumStop quorumPolicy = iota
	quorumFreeze
	quorumIgnore
	quorumDemote
	quorumFence
)

type placementStrategy uint8

const (
	placeDefault placementStrategy = iota
	placeUtilization
	placeMinimal
	placeBalanced
)

type options struct {
	noQuorum            quorumPolicy
	symmetric           bool
	maintenance         bool
	startFatal          bool
	startupProbes       bool
	stopAll             bool
	shutdownLock        bool
	shutdownLockLimit   int64 // s
	stopRemoved         bool
	cancelRemoved       bool
	fencing             bool
	fencingAction       string
	fencingTimeout      string
	startupFencing      bool
	concurrentFencing   bool
	haveWatchdog        bool
	priorityFencing     int64 // s
	nodePending         int64 // s
	fenceRemoteNoQuorum bool
	placement           placementStrategy
	healthStrategy      string
	healthBase          int
	healthRed           int
	healthYellow        int
	healthGreen         int
	clusterDelay        string
	batchLimit          string
	migrationLimit      string
	clusterName         string
	unfencing           bool
}

func (e *engine) unpackOptions() {
	root := e.doc.Root
	conf := e.doc.Configuration()
	e.rscDefaults, e.opDefaults = conf.Child("rsc_defaults"), conf.Child("op_defaults")
	e.quorate = isTrue(root.Get("have-quorum"))

	var t table
	e.unpackSets(conf.Child("crm_config"), "cluster_property_set", &ruleInput{}, false, "cib-bootstrap-options", &t)
	get := func(def string, names ...string) string {
		for _, n := range names {
			if v, ok := t.get(n); ok {
				return v
			}
			if v, ok := t.get(strings.ReplaceAll(n, "-", "_")); ok {
				return v
			}
		}
		return def
	}
	flag := func(def bool, names ...string) bool { return boolOr(get("", names...), def) }
	secs := func(name string) int64 {
		ms, ok := parseDuration(get("0", name))
		if !ok || ms < 0 {
			return 0
		}
		return secondsOf(ms)
	}
	o := &e.opt
	o.symmetric = flag(true, "symmetric-cluster")
	o.maintenance = flag(false, "maintenance-mode")
	o.startFatal = flag(true, "start-failure-is-fatal")
	o.startupProbes = flag(true, "enable-startup-probes")
	o.stopAll = flag(false, "stop-all-resources")
	o.shutdownLock = flag(false, "shutdown-lock")
	o.shutdownLockLimit = secs("shutdown-lock-limit")
	o.stopRemoved = flag(true, "stop-removed-resources", "stop-orphan-resources")
	o.cancelRemoved = flag(true, "cancel-removed-actions", "stop-orphan-actions")
	o.fencing = flag(true, "fencing-enabled", "stonith-enabled")
	o.fencingAction = get("reboot", "fencing-action", "stonith-action")
	switch o.fencingAction {
	case "poweroff":
		o.fencingAction = "off"
	case "reboot", "off":
	default:
		o.fencingAction = "reboot"
	}
	o.fencingTimeout = get("60s", "fencing-timeout", "stonith-timeout")
	o.startupFencing = flag(true, "startup-fencing")
	o.concurrentFencing = flag(true, "concurrent-fencing")
	o.haveWatchdog = flag(false, "have-watchdog")
	o.priorityFencing = secs("priority-fencing-delay")
	o.nodePending = secs("node-pending-timeout")
	o.fenceRemoteNoQuorum = flag(false, "fence-remote-without-quorum")
	o.clusterDelay = get("60s", "cluster-delay", "transition-delay", "transition_idle_timeout")
	o.batchLimit = get("0", "batch-limit")
	o.migrationLimit = get("-1", "migration-limit")
	o.clusterName = get("", "cluster-name")
	switch get("default", "placement-strategy") {
	case "utilization":
		o.placement = placeUtilization
	case "minimal":
		o.placement = placeMinimal
	case "balanced":
		o.placement = placeBalanced
	}
	score := func(def int, name string) int {
		if v, ok := parseScore(get("", name)); ok {
			return v
		}
		return def
	}
	o.healthStrategy = get("none", "node-health-strategy")
	o.healthBase = score(0, "node-health-base")
	o.healthGreen = score(0, "node-health-green")
	o.healthYellow = score(0, "node-health-yellow")
	o.healthRed = score(-infinity, "node-health-red")
	switch o.healthStrategy {
	case "migrate-on-red":
		o.healthRed, o.healthYellow, o.healthGreen = -infinity, 0, 0
	case "only-green":
		o.healthRed, o.healthYellow, o.healthGreen = -infinity, -infinity, 0
	case "none":
		o.healthRed, o.healthYellow, o.healthGreen = 0, 0, 0
	}
	if o.haveWatchdog {
		e.haveFencing = true
	}

	switch get("stop", "no-quorum-policy") {
	case "ignore":
		o.noQuorum = quorumIgnore
	case "freeze":
		o.noQuorum = quorumFreeze
	case "demote":
		o.noQuorum = quorumDemote
	case "fence", "suicide":
		switch {
		case !o.fencing:
			o.noQuorum = quorumStop
		case e.quorate || intOf(root.Get("no-quorum-panic"), 0) > 0:
			o.noQuorum = quorumFence
		default:
			o.noQuorum = quorumStop
		}
	}
	e.legacyDefaults(&t)
	o.unfencing = e.usesUnfencing(conf)
}

// legacyDefaults carries options of old schemas into rsc_defaults and
// op_defaults, as the schema upgrade does.
func (e *engine) legacyDefaults(t *table) {
	add := func(sec **cib.Element, name, set, option, attr string) {
		v, ok := t.get(option)
		if !ok {
			v, ok = t.get(strings.ReplaceAll(option, "-", "_"))
		}
		if !ok {
			return
		}
		base := *sec
		n := &cib.Element{Name: name}
		if base != nil {
			n.Children = append(n.Children, base.Children...)
		}
		n.Children = append(n.Children, cib.NewElement("meta_attributes", "id", set).Add(
			cib.NewElement("nvpair", "id", set+"-"+attr, "name", attr, "value", v)))
		*sec = n
	}
	if !strings.HasPrefix(e.doc.Schema(), "pacemaker-3") && !strings.HasPrefix(e.doc.Schema(), "pacemaker-4") {
		add(&e.rscDefaults, "rsc_defaults", "upgraded-stickiness", "default-resource-stickiness", "resource-stickiness")
		add(&e.rscDefaults, "rsc_defaults", "upgraded-managed", "is-managed-default", "is-managed")
		add(&e.opDefaults, "op_defaults", "upgraded-timeout", "default-action-timeout", "timeout")
	}
}

// usesUnfencing looks for provides=unfencing or requires=unfencing anywhere in
// the meta-attributes of resources.
func (e *engine) usesUnfencing(conf *cib.Element) bool {
	found := false
	look := func(root *cib.Element) {
		root.Walk(func(el *cib.Element) bool {
			if found {
				return false
			}
			if el.Name == "meta_attributes" {
				for c := range el.Named("nvpair") {
					if n := c.Get("name"); (n == "provides" || n == "requires") && c.Get("value") == "unfencing" {
						found = true
					}
				}
				return false
			}
			return true
		})
	}
	look(conf.Child("resources"))
	look(conf.Child("rsc_defaults"))
	return found
}
