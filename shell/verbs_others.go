package shell

import (
	"maps"
	"slices"
)

func raLevel() *Level {
	return &Level{
		Name: "ra",
		Help: "Look at resource agents.",
		Verbs: []*Verb{
			{Name: "classes", Help: "List classes of agents, and providers of class ocf.", Example: "classes", run: runRaClasses},
			{Name: "list", Help: "List agents of a class.", Example: "list ocf heartbeat",
				Args: []Arg{need("class", argClass), maybe("provider", argProvider)}, run: runRaList},
			{Name: "providers", Help: "List who provides an agent.", Example: "providers Dummy",
				Args: []Arg{need("type", argType), maybe("class", argClass)}, run: runRaProviders},
			{Name: "info", Aliases: []string{"meta"}, Help: "Describe an agent: what serves it, its parameters and operations.",
				Example: "info ocf:heartbeat:IPaddr2", Args: []Arg{need("agent", argAgent), maybe("type", argFree), maybe("provider", argFree)}, run: runRaInfo},
			{Name: "validate", Help: "Check parameters against an agent's description.", Example: "validate ocf:heartbeat:IPaddr2 ip=192.0.2.10",
				Args: []Arg{need("agent", argAgent), any0("name=value", argFree)}, run: runRaValidate},
		},
	}
}

func cibLevel() *Level {
	name := need("name", argFree)
	return &Level{
		Name: "cib",
		Help: "Work on copies of the configuration (shadow CIBs).",
		Long: "A shadow CIB is edited like the live one; nothing happens in the cluster until\n" +
			"cib commit makes it the cluster's configuration.",
		Verbs: []*Verb{
			{Name: "new", Help: "Make a shadow CIB from the one in use and use it.", Example: "new test",
				Args: []Arg{maybe("name", argFree), anyOf("option", "withstatus", "force", "empty")}, run: runCibNew},
			{Name: "use", Help: "Work on a shadow CIB, or with live on the cluster again.", Example: "use test",
				Args: []Arg{maybe("name", argVersion)}, run: runCibUse},
			{Name: "list", Help: "List the shadow CIBs.", Example: "list", run: runCibList},
			{Name: "commit", Help: "Make a shadow CIB the cluster's configuration.", Example: "commit test",
				Args: []Arg{maybe("name", argFree)}, run: runCibCommit},
			{Name: "diff", Help: "Show what a shadow CIB changes, or the change between two versions.", Example: "diff 12 15",
				Args: []Arg{maybe("name", argVersion), maybe("version", argVersion)}, run: runCibDiff},
			{Name: "history", Help: "List the versions of the configuration that the cluster remembers.", Example: "history 10",
				Args: []Arg{maybe("count", argFree)}, Live: true, run: runCibHistory},
			{Name: "rollback", Help: "Make an older version the configuration again.", Example: "rollback 12",
				Args: []Arg{need("version", argVersion)}, Changes: true, Live: true, run: runCibRollback},
			{Name: "blame", Help: "Tell who changed an object, and when.", Example: "blame web", Args: []Arg{need("id", argObject)}, Live: true, run: runCibBlame},
			{Name: "reset", Help: "Make a shadow CIB a copy of the cluster's again.", Example: "reset test",
				Args: []Arg{maybe("name", argFree)}, run: runCibReset},
			{Name: "delete", Help: "Delete a shadow CIB.", Example: "delete test", Args: []Arg{name}, run: runCibDelete},
			{Name: "import", Help: "Make a shadow CIB from a CIB file and use it.", Example: "import backup.xml test",
				Args: []Arg{need("file", argFile), maybe("name", argFree)}, run: runCibImport},
			{Name: "export", Help: "Write the CIB in use to a file, status included.", Example: "export backup.xml",
				Args: []Arg{need("file", argFile)}, run: runCibExport},
		},
		Levels: []*Level{cibstatusLevel()},
	}
}

// AsksCluster tells of a word after "cluster" whether it is a command that asks a
// running cluster. The others are about this host, and work without.
func AsksCluster(word string) bool {
	return slices.ContainsFunc(clusterLevel().Verbs, func(v *Verb) bool {
		return (v.Live || v.Observes) && (v.Name == word || slices.Contains(v.Aliases, word))
	})
}

func clusterLevel() *Level {
	return &Level{
		Name: "cluster",
		Help: "Look at the cluster as a whole.",
		Verbs: []*Verb{
			{Name: "status", Help: "Show members, leader and quorum.", Example: "status", Live: true, run: runClusterStatus},
			{Name: "health", Help: "Tell what is wrong: with the cluster, its nodes and links, and with resources that should run; the exit status is 1 if anything is.", Example: "health", Observes: true, run: runClusterHealth},
			{Name: "wait", Aliases: []string{"wait_for_startup"}, Help: "Wait until the cluster has settled.",
				Example: "wait 60", Args: []Arg{maybe("seconds", argFree)}, Live: true, run: runClusterWait},
			{Name: "init", Help: "Make a new cluster with this host as its first node.", Example: "init --name web", Args: hostArgs(), run: runOnHost},
			{Name: "token", Help: "Make a token with which one other host can join.", Example: "token", Args: hostArgs(), run: runOnHost},
			{Name: "join", Help: "Make this host a node of an existing cluster.", Example: "join 192.0.2.11 --token TOKEN", Args: hostArgs(), run: runOnHost},
			{Name: "witness", Help: "Join as a voter that runs no resources.", Example: "witness 192.0.2.11 --token TOKEN", Args: hostArgs(), run: runOnHost},
			{Name: "start", Help: "Start the daemon of this host.", Example: "start", Args: hostArgs(), run: runOnHost},
			{Name: "stop", Help: "Move resources away, leave the cluster and end the daemon.", Example: "stop", Args: hostArgs(), run: runOnHost},
			{Name: "restart", Help: "Stop and start the daemon of this host.", Example: "restart", Args: hostArgs(), run: runOnHost},
			{Name: "links", Help: linksHelp, Example: "links", Live: true, run: runLinks},
			{Name: "admin-cert", Help: "Make an identity with which a user works on the cluster from elsewhere (--host).", Example: "admin-cert anna", Args: hostArgs(), run: runOnHost},
			{Name: "rotate", Help: "Replace the keys and certificates of all nodes while they run.", Example: "rotate --authority", Args: hostArgs(), run: runOnHost},
			{Name: "drill", Help: "Rehearse a failure on the live cluster, and measure how long services are away.", Example: "drill standby node1 --service http://192.0.2.10/", Args: hostArgs(), run: runOnHost},
			{Name: "import", Help: "Make a new cluster of what a corosync.conf says.", Example: "import /etc/corosync/corosync.conf --dry-run", Args: hostArgs(), run: runOnHost},
			{Name: "check", Help: "Look whether this host is ready to be a node.", Example: "check gfs2 --fix", Args: hostArgs(), run: runOnHost},
			{Name: "audit", Help: "Show who asked this node to change what.", Example: "audit --last 20", Args: hostArgs(), run: runOnHost},
			{Name: "remove", Help: "Forget a node that is gone for good.", Example: "remove node3", Args: hostArgs(), run: runOnHost},
			{Name: "force-alone", Help: "Go on without the other one of two nodes.", Example: "force-alone node2 --i-verified-it-is-down", Args: hostArgs(), run: runOnHost},
		},
	}
}

func optionsLevel() *Level {
	return &Level{
		Name: "options",
		Help: "Settings of this session.",
		Verbs: []*Verb{
			{Name: "show", Aliases: []string{"list"}, Help: "Show settings.", Example: "show", Args: []Arg{maybe("name", argOption)}, run: runOptionsShow},
			{Name: "set", Help: "Change a setting for this session.", Example: "set wait yes",
				Args: []Arg{need("name", argOption), need("value", argFree)}, run: runOptionsSet},
			{Name: "save", Help: "Keep the settings for later sessions.",
				Long: "They are written to gcrm/settings below $XDG_CONFIG_HOME or ~/.config, and hold where gcrm\n" +
					"is used at a terminal; options of the command line go first. force is not kept.",
				Example: "save", run: runOptionsSave},
			{Name: "load", Help: "Read the saved settings again.", Example: "load", run: runOptionsLoad},
		},
	}
}

func maintenanceLevel() *Level {
	return &Level{
		Name: "maintenance",
		Help: "Keep the cluster's hands off everything or one resource.",
		Verbs: []*Verb{
			{Name: "on", Help: "Start maintenance.", Example: "on web", Args: []Arg{maybe("resource", argResource)}, Changes: true, run: runMaintenance},
			{Name: "off", Help: "End maintenance.", Example: "off web", Args: []Arg{maybe("resource", argResource)}, Changes: true, run: runMaintenance},
			{Name: "action", Help: "Run one action of a resource's agent by hand.",
				Long: "The cluster must keep its hands off the resource: it is in maintenance, unmanaged, or stopped.\n" +
					"Without a node the action is run where the resource is active, else on this node; all means\n" +
					"every node. monitor, validate-all and meta-data, which change nothing, always work.",
				Example: "action web monitor node2",
				Args:    []Arg{need("resource", argResource), oneOf("action", slices.Sorted(maps.Keys(handActions()))...), maybe("node", argNode)},
				Live:    true, run: runMaintenanceAction},
		},
	}
}

func siteLevel() *Level {
	return &Level{
		Name: "site",
		Help: "Tickets of clusters at several sites.",
		Verbs: []*Verb{
			{Name: "ticket", Help: "Grant, revoke, show or delete a ticket.", Example: "ticket grant ticketA",
				Args: []Arg{oneOf("action", "grant", "revoke", "standby", "activate", "show", "time", "delete"), need("ticket", argTicket)}, run: runTicket},
		},
	}
}

func statusVerb() *Verb {
	return &Verb{Name: "status", Help: "Show nodes, resources and failures.",
		Long:    "Options: inactive (also what does not run), bynode, failcounts, ops, timing, detail,\nbrief, attributes, tickets, bans, fencing, noheaders, full. html is a web page, xml the document\nthat crm_mon --output-as=xml writes; both have everything.",
		Example: "status inactive failcounts",
		Args: []Arg{anyOf("option", "full", "bynode", "inactive", "ops", "timing", "failcounts", "verbose", "quiet", "detail",
			"brief", "attributes", "tickets", "bans", "fencing", "noheaders", "simple", "html", "xml")},
		Observes: true, run: runStatus}
}

func verifyVerb() *Verb {
	return &Verb{Name: "verify", Help: "Check the configuration.", Example: "verify", Args: []Arg{maybeOneOf("scores", "scores")}, run: runVerify}
}

func simulateVerb() *Verb {
	return &Verb{Name: "simulate", Help: "Show what the cluster would do, and why.",
		Long: "Without options: what happens to nodes and resources, the reasons, and how long it takes.\n" +
			"Options are those of crm_simulate; with -R (plan), -S (also carry it out) or -s (scores)\n" +
			"so is the output. -x FILE reads a CIB file; -d, -f, -u NODE, -i OP, -q, -g TICKET, -t TIME ask\n" +
			"what if; --svg FILE draws it. simulate --help lists all options.",
		Example: "simulate -f node1", Args: []Arg{any0("option", argFree)}, run: runSimulate}
}

func applyVerb() *Verb {
	return &Verb{Name: "apply", Help: "Bring the configuration to what a file says; made for automation.",
		Long: "The file is crm text. Objects it names are created or replaced, nothing else changes.\n" +
			"It tells whether anything changed; --check changes nothing.",
		Example: "apply web.crm", Args: []Arg{need("file", argFile), maybeOneOf("check", "--check")}, Changes: true, run: runApply}
}

// toolVerbs are commands of the program that need no cluster: it reads their
// arguments itself.
func toolVerbs() []*Verb {
	return []*Verb{
		{Name: "volume", Help: "Replicated volumes on this host, with DRBD's configuration files and metadata.",
			Long: "It needs no cluster. volume help lists its commands.", Example: "volume status", Args: hostArgs(), run: runTool},
		{Name: "dlm", Help: "The control process of the kernel's lock manager on this host.",
			Long: "dlm alone lists its commands.", Example: "dlm ls", Args: hostArgs(), run: runTool},
	}
}

// hostArgs are options of commands that the daemon's program reads itself.
func hostArgs() []Arg { return []Arg{any0("option", argFree)} }
