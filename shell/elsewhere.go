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
