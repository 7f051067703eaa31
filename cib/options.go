package cib

import (
	"slices"
	"strings"
)

// Option is a cluster property or meta attribute that gcrm knows.
type Option struct {
	Name string
	// Aliases are other spellings: of another vocabulary or older ones.
	Aliases []string
	// Type is string, boolean, integer, score, time, percentage or select.
	Type    string
	Default string
	Values  []string // of type select
	Short   string   // one line for people
}

// ClusterOptions lists the cluster properties, in alphabetical order. The
// name is that of the vocabulary of Pacemaker 3.x; Aliases has older ones.
func ClusterOptions() []Option { return slices.Clone(clusterOptions) }

// ResourceOptions lists the meta attributes of resources.
func ResourceOptions() []Option { return slices.Clone(resourceOptions) }

// OperationOptions lists the attributes of operations.
func OperationOptions() []Option { return slices.Clone(operationOptions) }

// FindOption returns the option with a name or alias, or nil.
func FindOption(options []Option, name string) *Option {
	for i := range options {
		if options[i].Name == name || slices.Contains(options[i].Aliases, name) {
			return &options[i]
		}
	}
	return nil
}

// Accepts reports whether a value is of the option's type.
func (o *Option) Accepts(v string) bool {
	switch o.Type {
	case "boolean":
		_, ok := ParseBool(v)
		return ok
	case "integer":
		return isInteger(v)
	case "score":
		return isSchemaScore(v)
	case "time":
		_, err := ParseDuration(v)
		return err == nil
	case "percentage":
		return isInteger(strings.TrimSuffix(v, "%"))
	case "select":
		return slices.ContainsFunc(o.Values, func(w string) bool { return strings.EqualFold(v, w) })
	}
	return true
}

var clusterOptions = []Option{
	{"batch-limit", nil, "integer", "0", nil, "most actions that run at once in the whole cluster (0: by load)"},
	{"cancel-removed-actions", []string{"stop-orphan-actions"}, "boolean", "true", nil, "cancel recurring actions that are no longer configured"},
	{"cluster-delay", nil, "time", "60s", nil, "time allowed for the network on top of an action's timeout"},
	{"cluster-infrastructure", nil, "string", "", nil, "messaging layer, set by the cluster"},
	{"cluster-ipc-limit", nil, "integer", "500", nil, "messages a client may leave waiting before it is cut off"},
	{"cluster-name", nil, "string", "", nil, "name of the cluster, for rules and agents"},
	{"cluster-recheck-interval", nil, "time", "15min", nil, "longest time between two looks at rules that depend on time"},
	{"concurrent-fencing", nil, "boolean", "true", nil, "fence several nodes at once"},
	{"dc-deadtime", nil, "time", "20s", nil, "wait for other nodes at start"},
	{"dc-version", nil, "string", "", nil, "version of the software, set by the cluster"},
	{"election-timeout", nil, "time", "2min", nil, "longest time an election may take"},
	{"enable-acl", nil, "boolean", "false", nil, "check access control lists"},
	{"enable-startup-probes", nil, "boolean", "true", nil, "look for running resources on nodes that join"},
	{"fence-reaction", nil, "select", "stop", []string{"stop", "panic"}, "what a node does that learns it was fenced"},
	{"fence-remote-without-quorum", nil, "boolean", "false", nil, "allow remote nodes to be fenced without quorum"},
	{"fencing-action", []string{"stonith-action"}, "select", "reboot", []string{"reboot", "off", "poweroff"}, "what is done to a node that must be fenced"},
	{"fencing-enabled", []string{"stonith-enabled"}, "boolean", "true", nil, "fence nodes that fail; without it, data on shared storage is at risk"},
	{"fencing-max-attempts", []string{"stonith-max-attempts"}, "integer", "10", nil, "attempts to fence a node before giving up for now"},
	{"fencing-rehearsal-interval", nil, "time", "0", nil, "gcrm: warn when the fencing of a node was not proved for that long (0: once is enough)"},
	{"fencing-timeout", []string{"stonith-timeout"}, "time", "60s", nil, "time allowed for fencing"},
	{"fencing-watchdog-timeout", []string{"stonith-watchdog-timeout"}, "time", "0", nil, "time after which a lost node has surely been stopped by its watchdog"},
	{"have-watchdog", nil, "boolean", "false", nil, "a watchdog is in use, set by the cluster"},
	{"join-finalization-timeout", []string{"crmd-finalization-timeout"}, "time", "30min", nil, "time for nodes to finish joining"},
	{"join-integration-timeout", []string{"crmd-integration-timeout"}, "time", "3min", nil, "time for nodes to offer themselves"},
	{"last-lrm-refresh", nil, "integer", "", nil, "when history was last cleared, set by tools"},
	{"load-threshold", nil, "percentage", "80%", nil, "load of a node above which fewer actions run at once"},
	{"maintenance-mode", nil, "boolean", "false", nil, "leave all resources alone: neither start, stop nor monitor them"},
	{"migration-limit", nil, "integer", "-1", nil, "most live migrations at once per node (-1: no limit)"},
	{"no-quorum-policy", nil, "select", "stop", []string{"stop", "freeze", "ignore", "demote", "fence", "suicide"}, "what nodes without quorum do with their resources"},
	{"node-action-limit", nil, "integer", "0", nil, "most actions at once on a node (0: twice its cores)"},
	{"node-health-base", nil, "score", "0", nil, "health score every node starts with"},
	{"node-health-green", nil, "score", "0", nil, "score for a health attribute that is green"},
	{"node-health-red", nil, "score", "-INFINITY", nil, "score for a health attribute that is red"},
	{"node-health-strategy", nil, "select", "none", []string{"none", "migrate-on-red", "only-green", "progressive", "custom"}, "how node health moves resources"},
	{"node-health-yellow", nil, "score", "0", nil, "score for a health attribute that is yellow"},
	{"node-pending-timeout", nil, "time", "0", nil, "fence a node that has been joining for longer"},
	{"pe-error-series-max", nil, "integer", "-1", nil, "scheduler inputs with errors to keep"},
	{"pe-input-series-max", nil, "integer", "4000", nil, "scheduler inputs without errors or warnings to keep"},
	{"pe-warn-series-max", nil, "integer", "5000", nil, "scheduler inputs with warnings to keep"},
	{"placement-strategy", nil, "select", "default", []string{"default", "utilization", "minimal", "balanced"}, "how utilization counts in placement"},
	{"priority-fencing-delay", nil, "time", "0", nil, "delay of the fencing of the node whose resources weigh more"},
	{"shutdown-escalation", nil, "time", "20min", nil, "longest time a shutdown may take"},
	{"shutdown-lock", nil, "boolean", "false", nil, "keep resources of a node that was shut down cleanly for its return"},
	{"shutdown-lock-limit", nil, "time", "0", nil, "how long shutdown-lock keeps them (0: forever)"},
	{"start-failure-is-fatal", nil, "boolean", "true", nil, "a failed start bans the resource from the node at once"},
	{"startup-fencing", nil, "boolean", "true", nil, "fence nodes that were never seen since the cluster started"},
	{"stop-all-resources", nil, "boolean", "false", nil, "stop everything"},
	{"stop-removed-resources", []string{"stop-orphan-resources"}, "boolean", "true", nil, "stop resources that were deleted from the configuration"},
	{"symmetric-cluster", nil, "boolean", "true", nil, "resources may run anywhere unless a constraint says otherwise"},
	{"transition-delay", []string{"crmd-transition-delay"}, "time", "0s", nil, "wait for more events before acting"},
}

var resourceOptions = []Option{
	{"allow-migrate", nil, "boolean", "false", nil, "move by live migration if the agent can"},
	{"allow-unhealthy-nodes", nil, "boolean", "false", nil, "ignore the health of nodes"},
	{"clone-max", nil, "integer", "", nil, "instances in the cluster (default: one per node)"},
	{"clone-min", nil, "integer", "0", nil, "instances that must run before what is ordered after the clone may start"},
	{"clone-node-max", nil, "integer", "1", nil, "instances on one node"},
	{"container", nil, "string", "", nil, "resource whose guest node this one runs in"},
	{"container-attribute-target", nil, "select", "", []string{"host"}, "where node attributes of a container are kept"},
	{"critical", nil, "boolean", "true", nil, "colocated resources must go where it goes; false: it may be left behind"},
	{"description", nil, "string", "", nil, "free text"},
	{"failure-timeout", nil, "time", "0", nil, "forget failures after this time (0: never)"},
	{"globally-unique", nil, "boolean", "false", nil, "every instance has its own job and name"},
	{"interleave", nil, "boolean", "false", nil, "order between clones counts per node, not over all instances"},
	{"is-managed", nil, "boolean", "true", nil, "the cluster may start and stop it"},
	{"maintenance", nil, "boolean", "false", nil, "leave it alone, monitors included"},
	{"migration-threshold", nil, "score", "INFINITY", nil, "failures after which it must leave a node (0: never)"},
	{"multiple-active", nil, "select", "stop_start", []string{"block", "stop_only", "stop_start", "stop_unexpected"}, "what to do when it is found running more than once"},
	{"notify", nil, "boolean", "false", nil, "tell all instances before and after each action on one"},
	{"ordered", nil, "boolean", "false", nil, "start instances one after the other"},
	{"collocated", nil, "boolean", "true", nil, "members of a group run together (deprecated)"},
	{"priority", nil, "score", "0", nil, "who stays when not all can run"},
	{"promotable", nil, "boolean", "false", nil, "instances can be promoted"},
	{"promoted-max", []string{"master-max"}, "integer", "1", nil, "promoted instances in the cluster"},
	{"promoted-node-max", []string{"master-node-max"}, "integer", "1", nil, "promoted instances on one node"},
	{"provides", nil, "select", "", []string{"unfencing"}, "what a fence device provides besides fencing"},
	{"remote-addr", nil, "string", "", nil, "address of the guest node (default: its name)"},
	{"remote-allow-migrate", nil, "boolean", "true", nil, "the guest may be migrated while it runs"},
	{"remote-connect-timeout", nil, "time", "60s", nil, "time to wait for the guest's connection"},
	{"remote-node", nil, "string", "", nil, "the resource is a guest that becomes a node of this name"},
	{"remote-port", nil, "integer", "3121", nil, "port of the guest's connection"},
	{"requires", nil, "select", "", []string{"nothing", "quorum", "fencing", "unfencing"}, "what must hold before it may start"},
	{"resource-stickiness", nil, "score", "0", nil, "how much it prefers to stay where it runs"},
	{"restart-type", nil, "select", "ignore", []string{"ignore", "restart"}, "restart what is ordered after it as well (deprecated)"},
	{"target-role", nil, "select", "Started", []string{"Started", "Stopped", "Promoted", "Unpromoted", "Master", "Slave"}, "state to keep it in"},
}

var operationOptions = []Option{
	{"enabled", nil, "boolean", "true", nil, "run it"},
	{"interval", nil, "time", "0s", nil, "time between two runs (0: only when needed)"},
	{"interval-origin", nil, "string", "", nil, "point in time that runs are aligned to"},
	{"on-fail", nil, "select", "restart", []string{"ignore", "block", "demote", "stop", "restart", "standby", "fence", "restart-container"}, "what to do when it fails"},
	{"record-pending", nil, "boolean", "true", nil, "show it while it runs"},
	{"role", nil, "select", "Started", []string{"Started", "Stopped", "Promoted", "Unpromoted", "Master", "Slave"}, "role in which it runs"},
	{"start-delay", nil, "time", "0", nil, "wait after the start before the first run"},
	{"timeout", nil, "time", "20s", nil, "time it may take"},
}
