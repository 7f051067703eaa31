package shell

import "strings"

// elsewhere tells users of crmsh what to type instead of those of its commands
// that do not exist here, by level and command.
func elsewhere(level, command string) string {
	return map[string]string{
		"cluster enable":              "the service manager does that: enable the daemon's unit",
		"cluster disable":             "the service manager does that: disable the daemon's unit",
		"cluster rename":              "the name is a property: configure property cluster-name=NAME",
		"cluster crash_test":          "cluster drill rehearses failures",
		"cluster geo_init":            "tickets are granted with site ticket",
		"cluster geo_init_arbitrator": "tickets are granted with site ticket; cluster witness adds a voter without resources",
		"cluster geo_join":            "tickets are granted with site ticket",
		"cluster copy":                "the configuration is the same on all nodes by itself; use your own tools for other files",
		"cluster diff":                "the configuration is the same on all nodes by itself; use your own tools for other files",
		"cluster run":                 "use ssh for commands on other nodes",
		"assist template":             "it is below configure: configure assist template",
		"assist weak-bond":            "it is below configure: configure assist weak-bond",
		"membership add-node":         "cluster token makes a token, with which the other host runs cluster join",
		"membership del-node":         "cluster remove forgets a node that is gone for good",
		"membership diff":             "there is no corosync.conf: all nodes agree on the membership; membership show lists it",
		"membership edit":             "there is no corosync.conf: cluster token and join add nodes, cluster remove forgets one; cluster import takes an old file",
		"membership get":              "there is no corosync.conf: membership show lists members, membership links their addresses",
		"membership set":              "there is no corosync.conf: cluster token and join add nodes, cluster remove forgets one",
		"membership log":              "history log tells what happened; the daemon's own log is with the service manager",
		"membership pull":             "there is no corosync.conf to copy: all nodes agree on the membership by themselves",
		"membership push":             "there is no corosync.conf to copy: all nodes agree on the membership by themselves",
		"membership reload":           "there is no corosync.conf to read again: changes of the membership hold at once",
		"history detail":              "history log tells everything that is remembered, -o json with all details",
		"history exclude":             "history resource and history node choose what is told",
		"history graph":               "simulate --svg FILE draws what the cluster would do",
		"history limit":               "history log COUNT tells the last ones, history latest the last ten minutes",
		"history timeframe":           "history log COUNT tells the last ones, history latest the last ten minutes",
		"history peinputs":            "plans are not kept in files: history versions lists configurations, cib import and simulate replay one",
		"history refresh":             "history asks the cluster itself, and is always up to date",
		"history session":             "report packs what is remembered into a file",
		"history setnodes":            "history node NODE tells what happened on nodes",
		"history source":              "history tells of the cluster that the shell works on; --cib FILE looks at a file",
		"history transition":          "history versions lists what was changed and resource why says why; simulate shows the next transition",
		"history transitions":         "history versions lists what was changed and resource why says why; simulate shows the next transition",
		"history wdiff":               "history diff shows the change between two versions",
		"options add-quotes":          "values are quoted where that is needed",
		"options check-frequency":     "every commit is verified; --force overrides what can be",
		"options check-mode":          "every commit is verified; --force overrides what can be",
		"options colorscheme":         "options set display plain or color; NO_COLOR switches colours off",
		"options editor":              "the editor is $EDITOR",
		"options manage-children":     "resource commands ask about members with values of their own",
		"options output":              "options set display is for colours, options set output for text or json",
		"options pager":               "the pager is $PAGER",
		"options reset":               "remove gcrm/settings in your configuration folder, and start again",
		"options skill-level":         "all commands are there for everybody; access lists (acl_target) say who may do what",
		"options sort-elements":       "objects are shown sorted by kind and id",
		"options user":                "the shell acts as the user who started it; --host with --identity as another",
		"options wait":                "options set wait yes",
		"script json":                 "-o json gives JSON from script list, show and verify",
	}[level+" "+command]
}

// helpElsewhere is help for such a command, or "".
func helpElsewhere(here string, words []string) string {
	if len(words) > 1 {
		here, words = words[0], words[1:]
	}
	if text := elsewhere(here, words[0]); text != "" {
		return strings.TrimSpace(here+" "+words[0]) + " does not exist here: " + text + "."
	}
	return ""
}
