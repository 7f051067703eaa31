package shell

import "gcrm/cib"

func resourceLevel() *Level {
	rsc := need("resource", argResource)
	rscs := Arg{Name: "resource", Kind: argResource, Repeat: true}
	set := oneOf("action", "set", "delete", "show")
	return &Level{
		Name: "resource",
		Help: "Start, stop, move and look at resources.",
		Verbs: []*Verb{
			{Name: "status", Aliases: []string{"show", "list"}, Help: "Show what runs where.", Example: "status web",
				Args: []Arg{any0("resource", argResource)}, Observes: true, run: runResourceStatus},
			{Name: "start", Help: "Let resources run.", Example: "start web", Args: []Arg{rscs}, Changes: true, run: runStartStop},
			{Name: "stop", Help: "Stop resources.", Example: "stop web", Args: []Arg{rscs}, Changes: true, run: runStartStop},
			{Name: "restart", Help: "Stop resources and start them again.", Example: "restart web",
				Args: []Arg{rscs}, Changes: true, Live: true, run: runRestart},
			{Name: "promote", Help: "Let a promotable clone have promoted instances.", Example: "promote db-clone",
				Args: []Arg{rsc}, Changes: true, run: runPromote},
			{Name: "demote", Help: "Keep a promotable clone from having promoted instances.", Example: "demote db-clone",
				Args: []Arg{rsc}, Changes: true, run: runPromote},
			{Name: "manage", Help: "Let the cluster manage resources.", Example: "manage web", Args: []Arg{rscs}, Changes: true, run: runManage},
			{Name: "unmanage", Help: "Keep the cluster's hands off resources.", Long: "They are still monitored.",
				Example: "unmanage web", Args: []Arg{rscs}, Changes: true, run: runManage},
			{Name: "maintenance", Help: "Set or end maintenance of a resource.", Long: "In maintenance it is neither managed nor monitored.",
				Example: "maintenance web on", Args: []Arg{rsc, maybeOneOf("state", "on", "off", "true", "false")}, Changes: true, run: runResourceMaintenance},
			{Name: "move", Aliases: []string{"migrate"}, Help: "Move a resource to a node, or away from where it runs.",
				Long: "This leaves a constraint behind; clear removes it. Without a node it needs force,\n" +
					"since the node it leaves is forbidden until then.",
				Example: "move web node2", Args: []Arg{rsc, maybe("node", argNode), maybe("lifetime", argFree), maybeOneOf("force", "force")},
				Changes: true, run: runMove},
			{Name: "ban", Help: "Forbid a resource to run on a node.", Example: "ban web node1",
				Args:    []Arg{rsc, maybe("node", argNode), maybe("lifetime", argFree), maybeOneOf("force", "force")},
				Changes: true, run: runBan},
			{Name: "clear", Aliases: []string{"unmove", "unmigrate", "unban"}, Help: "Remove the constraints that move and ban made.",
				Example: "clear web", Args: []Arg{rsc, maybe("node", argNode)}, Changes: true, run: runClear},
			{Name: "cleanup", Help: "Forget failures of a resource, so that it is tried again.",
				Example: "cleanup web node1", Args: []Arg{maybe("resource", argResource), maybe("node", argNode)}, Observes: true, run: runCleanup},
			{Name: "refresh", Aliases: []string{"reprobe"}, Help: "Forget all history of a resource, so that its state is looked up again.",
				Example: "refresh web", Args: []Arg{maybe("resource", argResource), maybe("node", argNode)}, Observes: true, run: runCleanup},
			{Name: "failcount", Help: "Show, set or delete the fail count of a resource on a node.", Example: "failcount web show node1",
				Args: []Arg{rsc, set, need("node", argNode), maybe("value", argFree)}, Observes: true, run: runFailcount},
			{Name: "param", Help: "Show, set or delete a parameter of a resource.", Example: "param web set configfile /etc/apache2.conf",
				Args: []Arg{rsc, set, need("name", argParam), maybe("value", argFree)}, Changes: true, run: runResourcePair},
			{Name: "secret", Help: "Keep the value of a parameter out of the configuration.",
				Long: "set stores a value, stash and unstash move it from the configuration to the nodes and\n" +
					"back, delete removes the parameter, show shows its value, check compares the nodes.\n" +
					"The configuration holds " + cib.SecretMarker + " instead; the value lies on the nodes in files that only\n" +
					"root can read. Without a value, set asks for it, or reads a line of the standard input.",
				Example: "secret db stash password",
				Args: []Arg{rsc, oneOf("action", "set", "stash", "unstash", "delete", "show", "check"), need("parameter", argParam),
					maybe("value", argFree)}, Changes: true, Live: true, run: runSecret},
			{Name: "meta", Help: "Show, set or delete a meta attribute of a resource.", Example: "meta web set migration-threshold 3",
				Args: []Arg{rsc, set, need("name", argMeta), maybe("value", argFree)}, Changes: true, run: runResourcePair},
			{Name: "utilization", Help: "Show, set or delete what a resource needs.", Example: "utilization vm1 set memory 4096",
				Args: []Arg{rsc, set, need("name", argUtilization), maybe("value", argFree)}, Changes: true, run: runResourcePair},
			{Name: "locate", Help: "Show on which nodes a resource runs.", Example: "locate web", Args: []Arg{rsc}, Observes: true, run: runLocate},
			{Name: "constraints", Help: "Show the constraints that name a resource.", Example: "constraints web", Args: []Arg{rsc}, run: runConstraints},
			{Name: "why", Help: "Explain where a resource runs, and why not elsewhere.", Example: "why web node2",
				Args: []Arg{rsc, maybe("node", argNode)}, Observes: true, run: runWhy},
			{Name: "operations", Help: "Show what was done to a resource, node by node.", Example: "operations web",
				Args: []Arg{maybe("resource", argResource), maybe("node", argNode)}, Observes: true, run: runOperations},
			{Name: "scores", Help: "Show the scores of resources on nodes.", Example: "scores", Observes: true, run: runScores},
			{Name: "trace", Help: "Let an agent trace what it does.", Example: "trace web start",
				Args:    []Arg{rsc, maybeOneOf("operation", "start", "stop", "monitor", "promote", "demote", "migrate_to", "migrate_from"), maybe("interval", argFree)},
				Changes: true, run: runTrace},
			{Name: "untrace", Help: "End tracing.", Example: "untrace web",
				Args:    []Arg{rsc, maybeOneOf("operation", "start", "stop", "monitor", "promote", "demote", "migrate_to", "migrate_from"), maybe("interval", argFree)},
				Changes: true, run: runTrace},
		},
	}
}

func nodeLevel() *Level {
	node := need("node", argNode)
	set := oneOf("action", "set", "delete", "show")
	return &Level{
		Name: "node",
		Help: "Look at nodes, empty them, bring them back.",
		Verbs: []*Verb{
			{Name: "status", Help: "Show the nodes' state as the cluster records it.", Example: "status", Args: []Arg{maybe("node", argNode)}, Observes: true, run: runNodeStatus},
			{Name: "show", Aliases: []string{"list"}, Help: "Show nodes and their attributes.", Example: "show node1", Args: []Arg{maybe("node", argNode)}, run: runNodeShow},
			{Name: "why", Help: "Explain the state of a node: why it is fenced, what comes and goes.", Example: "why node1",
				Args: []Arg{need("node", argNode)}, Observes: true, run: runWhyNode},
			{Name: "standby", Help: "Move everything away from nodes.",
				Long:    "With reboot this lasts until the node restarts, with forever (the default) until online.",
				Example: "standby node1", Args: []Arg{any0("node", argNode)}, Changes: true, run: runStandby},
			{Name: "online", Help: "Let nodes run resources again.", Example: "online node1", Args: []Arg{any0("node", argNode)}, Changes: true, run: runStandby},
			{Name: "maintenance", Help: "Keep the cluster's hands off what runs on a node.", Example: "maintenance node1",
				Args: []Arg{maybe("node", argNode)}, Changes: true, run: runNodeMaintenance},
			{Name: "ready", Help: "End the maintenance of a node.", Example: "ready node1",
				Args: []Arg{maybe("node", argNode)}, Changes: true, run: runNodeMaintenance},
			{Name: "attribute", Help: "Show, set or delete a permanent attribute of a node.", Example: "attribute node1 set rack 12",
				Args: []Arg{node, set, need("name", argNodeAttr), maybe("value", argFree)}, Changes: true, run: runNodePair},
			{Name: "utilization", Help: "Show, set or delete what a node offers.", Example: "utilization node1 set memory 65536",
				Args: []Arg{node, set, need("name", argUtilization), maybe("value", argFree)}, Changes: true, run: runNodePair},
			{Name: "status-attr", Help: "Show, set or delete an attribute that lasts until the node restarts.",
				Example: "status-attr node1 set pingd 1000", Args: []Arg{node, set, need("name", argNodeAttr), maybe("value", argFree)}, run: runStatusAttr},
			{Name: "fence", Help: "Fence a node: have it rebooted or switched off by its fence devices.",
				Long:    "Without an action it is that of the property stonith-action.",
				Example: "fence node3 off", Args: []Arg{node, maybeOneOf("action", "reboot", "off", "on")}, Live: true, run: runNodeFence},
			{Name: "clearstate", Help: "Forget the state of a node that is known to be down.", Example: "clearstate node3",
				Args: []Arg{node}, run: runClearState},
			{Name: "delete", Help: "Remove a node that is gone from the configuration.", Example: "delete node3", Args: []Arg{node},
				Changes: true, run: runNodeDelete},
			{Name: "server", Help: "List the names of the nodes.", Example: "server", Args: []Arg{maybe("node", argNode)}, run: runNodeServer},
		},
	}
}
