package shell

// statementHelp lists the words of the crm language with an example each;
// grammar reads their arguments.
func statementHelp() []statementWord {
	return []statementWord{
		{name: "node", help: "Define a node and its attributes.", example: "node node1 attributes site=dc1 utilization memory=4096"},
		{name: "primitive", help: "Define a resource.",
			long: "The agent is class:provider:type; ocf and heartbeat may be left out. Then follow\n" +
				"params, meta, utilization and op in any order. @TEMPLATE takes the agent of a template.",
			example:    "primitive ip ocf:heartbeat:IPaddr2 params ip=192.0.2.10 op monitor interval=10s timeout=20s",
			deprecated: []string{"resource"}},
		{name: "rsc_template", help: "Define a template that primitives are made from.",
			example: "rsc_template vm ocf:heartbeat:VirtualDomain op monitor interval=30s timeout=30s"},
		{name: "group", help: "Put resources together: started in this order, on one node.", example: "group web fs ip apache"},
		{name: "clone", help: "Run a resource on several nodes.", example: "clone dlm-clone dlm meta interleave=true"},
		{name: "ms", help: "Define a promotable clone in the old form.", long: "Written today as clone with meta promotable=true.",
			example: "ms ms-drbd drbd meta notify=true", aliases: []string{"master"}},
		{name: "bundle", help: "Run a resource in containers.",
			example: "bundle web podman image=httpd replicas=3 network port-mapping port=80 primitive apache"},
		{name: "location", help: "Say where a resource runs.", example: "location web-on-node1 web 100: node1"},
		{name: "colocation", help: "Say what runs together.", example: "colocation web-with-fs inf: web fs",
			deprecated: []string{"collocation"}},
		{name: "order", help: "Say what starts before what.", example: "order fs-before-web Mandatory: fs:start web:start"},
		{name: "rsc_ticket", help: "Tie resources to a ticket.", example: "rsc_ticket web-needs-t1 t1: web loss-policy=stop"},
		{name: "property", help: "Set cluster properties.", long: "Alone, it lists the names of all properties.",
			example: "property stonith-enabled=false"},
		{name: "rsc_defaults", help: "Set what meta attributes of resources are if not said otherwise.",
			example: "rsc_defaults resource-stickiness=100"},
		{name: "op_defaults", help: "Set what options of operations are if not said otherwise.", example: "op_defaults timeout=60s"},
		{name: "fencing_topology", help: "Say in which order fence devices are tried.",
			example: "fencing_topology node1: ipmi1 pdu1,pdu2"},
		{name: "role", help: "Define an ACL role.", example: "role monitor read xpath:\"/cib\""},
		{name: "acl_target", help: "Give roles to a user.", example: "acl_target nagios monitor"},
		{name: "acl_group", help: "Give roles to a system group.", example: "acl_group operators monitor"},
		{name: "user", help: "Give roles to a user in the form of old schemas.", example: "user nagios role:monitor"},
		{name: "tag", help: "Give several objects one name.", example: "tag web-all fs ip apache"},
		{name: "alert", help: "Run a program on cluster events.",
			example: "alert mail /usr/share/pacemaker/alerts/alert_smtp.sh to admin@example.com"},
		{name: "monitor", help: "Add a monitor operation to a primitive.", example: "monitor apache:Started 60s:30s"},
		{name: "xml", help: "Define an object by its XML.", example: `xml "<tag id='t'><obj_ref id='web'/></tag>"`},
	}
}

type statementWord struct {
	name, help, long, example string
	aliases, deprecated       []string
}

func configureLevel() *Level {
	l := &Level{
		Name: "configure",
		Help: "Edit and show the configuration.",
		Long: "Edits are staged: nothing changes in the cluster until commit. verify checks\n" +
			"what is staged, show changed tells what it changes, refresh drops it.",
	}
	for _, st := range statementHelp() {
		l.Verbs = append(l.Verbs, &Verb{Name: st.name, Aliases: st.aliases, Deprecated: st.deprecated,
			Help: st.help, Long: st.long, Example: st.example, Statement: true, Changes: true,
			Args: []Arg{need("id", argFree), any0("...", argFree)}, run: runStatement})
	}
	l.Verbs = append(l.Verbs,
		&Verb{Name: "show", Help: "Show the configuration, or parts of it.",
			Long: "Selectors: an id, a pattern (web*), type:TYPE, tag:TAG, related:WORD, changed;\n" +
				"several are shown together, with \"and\" between them what fits both.",
			Example: "show type:primitive and web*", Args: []Arg{any0("selector", argSelector)}, run: runShow},
		&Verb{Name: "edit", Help: "Edit the configuration, or parts of it, in an editor.",
			Long: "The editor is $EDITOR. What is saved replaces what was shown.", Example: "edit web",
			Args: []Arg{any0("selector", argSelector)}, Changes: true, run: runEdit},
		&Verb{Name: "filter", Help: "Pipe the configuration, or parts of it, through a program.",
			Example: `filter "sed 's/node1/node2/'"`, Args: []Arg{need("program", argFree), any0("selector", argSelector)},
			Changes: true, run: runFilter},
		&Verb{Name: "delete", Deprecated: []string{"rm"}, Help: "Delete objects.",
			Long:    "Constraints that name them go too. A running resource is refused unless --force is given.",
			Example: "delete web", Args: []Arg{{Name: "id", Kind: argObject, Repeat: true}}, Changes: true, run: runDelete},
		&Verb{Name: "rename", Help: "Give an object another id.", Example: "rename web website",
			Args: []Arg{need("old_id", argObject), need("new_id", argFree)}, Changes: true, run: runRename},
		&Verb{Name: "modgroup", Help: "Add a member to a group or remove one.", Example: "modgroup web add mail after ip",
			Args: []Arg{need("group", argGroup), oneOf("action", "add", "remove"), need("member", argResource),
				maybeOneOf("place", "after", "before"), maybe("other", argResource)}, Changes: true, run: runModgroup},
		&Verb{Name: "set", Help: "Set one attribute of an object.",
			Long:    "The path is ID.NAME, ID.OPERATION.NAME or ID.OPERATION.INTERVAL.NAME.",
			Example: "set web.monitor.timeout 30s", Args: []Arg{need("path", argFree), need("value", argFree)},
			Changes: true, run: runSet},
		&Verb{Name: "default-timeouts", Help: "Set timeouts of operations to what the agents advise.",
			Example: "default-timeouts web", Args: []Arg{{Name: "id", Kind: argPrimitive, Repeat: true}}, Changes: true,
			run: runDefaultTimeouts},
		&Verb{Name: "get_property", Aliases: []string{"get-property"}, Help: "Show the value of cluster properties.",
			Long: "-t prints booleans as true or false.", Example: "get_property stonith-enabled",
			Args: []Arg{{Name: "property", Kind: argProperty, Repeat: true}}, run: runGetProperty},
		&Verb{Name: "load", Help: "Read configuration text or XML from a file or, with -, from the input.",
			Long: "update creates and replaces what the text names; replace erases everything but the\n" +
				"nodes first; push makes the configuration equal to the text. One mistake and nothing is loaded.",
			Example: "load update web.crm", Args: []Arg{maybeOneOf("xml", "xml"), oneOf("method", "update", "replace", "push"),
				need("file", argFile)}, Changes: true, run: runLoad},
		&Verb{Name: "save", Help: "Write the configuration, or parts of it, to a file.", Example: "save xml backup.xml",
			Args: []Arg{any0("selector", argSelector), need("file", argFile)}, run: runSave},
		&Verb{Name: "erase", Help: "Delete everything but the nodes, or the nodes.", Example: "erase",
			Args: []Arg{maybeOneOf("nodes", "nodes")}, Changes: true, run: runErase},
		&Verb{Name: "verify", Help: "Check what is staged.", Example: "verify", run: runVerify},
		&Verb{Name: "rsctest", Help: "Try resources out on nodes, as they are staged.",
			Long: "Nothing is done unless all of them are stopped everywhere. Then on each node in turn (all that\n" +
				"are online if none is named) they are started in the order given, monitored, promoted where that\n" +
				"applies, and stopped again in reverse. The agents run for real. Resources that the cluster\n" +
				"manages must be stopped first (resource stop), so that nobody else starts them.",
			Example: "rsctest fs ip node2", Args: []Arg{{Name: "resource", Kind: argResource, Repeat: true}, any0("node", argNode)},
			Live: true, Tries: true, run: runRsctest},
		&Verb{Name: "validate-all", Aliases: []string{"validate_all"}, Help: "Check one resource with what it holds.", Example: "validate-all web",
			Args: []Arg{need("resource", argResource)}, run: runValidateAll},
		&Verb{Name: "commit", Help: "Make what is staged the cluster's configuration.",
			Long: "Nothing is committed if verification finds errors; force overrides those that the\n" +
				"schema does not forbid. -m records why.\n" +
				"After commit confirm TIME (10min if none is given) the cluster goes back by itself to what was\n" +
				"before, unless commit confirmed comes in time; commit abandon goes back at once. Until then all\n" +
				"other commits are refused.",
			Example: `commit confirm 5m -m "second web server"`, Args: []Arg{anyOf("option", "force", "replace", "confirm", "confirmed", "abandon"), any0("option", argFree)}, Changes: true, run: runCommit},
		&Verb{Name: "refresh", Help: "Read the configuration again and drop what is staged.", Example: "refresh", run: runRefresh},
		&Verb{Name: "schema", Help: "Show or set the schema of the configuration.", Example: "schema pacemaker-3.9",
			Args: []Arg{maybe("schema", argFree)}, Changes: true, run: runSchema},
		&Verb{Name: "upgrade", Help: "Upgrade the configuration to the default schema.", Example: "upgrade force",
			Args: []Arg{maybeOneOf("force", "force")}, Changes: true, run: runUpgrade},
		&Verb{Name: "simulate", Aliases: []string{"ptest"}, Help: "Show what a commit would do.",
			Example: "simulate", Long: "What is started, stopped, moved, promoted or fenced, why, and for how long services are\n" +
				"down. With scores, utilization or actions the output is that of crm_simulate, with the\n" +
				"scores, the capacities, or the actions and the status after them. nograph is what always\n" +
				"holds here. With commands (or --commands) the nodes tell which commands and system calls\n" +
				"they would carry out in their present state; nothing is carried out.",
			Args: []Arg{anyOf("option", "nograph", "scores", "utilization", "actions", "commands", "--commands")},
			run:  runConfigureSimulate},
		&Verb{Name: "graph", Help: "Draw the configuration in the language of graphviz.",
			Example: "graph dot config.dot", Args: []Arg{maybeOneOf("type", "dot"), maybe("file", argFile)}, run: runGraph},
	)
	l.Levels = []*Level{raLevel(), cibLevel(), cibstatusLevel(), templateLevel(), assistLevel()}
	return l
}
