package grammar

import "strings"

// ACL shortcuts are short names for frequent xpaths, in both directions.

// shortcutXPath returns the xpath that a shortcut stands for.
func shortcutXPath(s string) (string, bool) {
	p := strings.Split(s, ":")
	for _, x := range p {
		if x == "" || strings.ContainsAny(x, "'\"") {
			return "", false
		}
	}
	name, n := p[0], len(p)
	switch {
	case (name == "meta" || name == "params") && (n == 2 || n == 3):
		set := "meta_attributes"
		if name == "params" {
			set = "instance_attributes"
		}
		x := "//primitive[@id='" + p[1] + "']/" + set
		if n == 3 {
			x += namedPair(p[2])
		}
		return x, true
	case name == "utilization" && n == 2:
		return "//primitive[@id='" + p[1] + "']/utilization", true
	case name == "location" && n == 2:
		return "//rsc_location[@id='cli-prefer-" + p[1] + "' and @rsc='" + p[1] + "']", true
	case (name == "property" || name == "nodeattr") && n <= 2:
		x := "//crm_config/cluster_property_set"
		if name == "nodeattr" {
			x = "//nodes/node/instance_attributes"
		}
		if n == 2 {
			x += namedPair(p[1])
		}
		return x, true
	case (name == "node" || name == "nodeutil") && n <= 2:
		x := "//nodes/node"
		if name == "nodeutil" {
			x += "/utilization"
		}
		if n == 2 {
			x += "[@uname='" + p[1] + "']"
		}
		return x, true
	case name == "status" && n == 1:
		return "/cib/status", true
	case name == "cib" && n == 1:
		return "/cib", true
	}
	return "", false
}

func namedPair(name string) string { return "/nvpair[@name='" + name + "']" }

// xpathShortcut returns the shortcut of an xpath.
func xpathShortcut(x string) (string, bool) {
	s := ""
	switch {
	case x == "/cib":
		s = "cib"
	case x == "/cib/status":
		s = "status"
	case strings.HasPrefix(x, "//primitive[@id='"):
		id, rest, _ := strings.Cut(x[len("//primitive[@id='"):], "']/")
		switch {
		case rest == "utilization":
			s = "utilization:" + id
		case strings.HasPrefix(rest, "meta_attributes"):
			s = "meta:" + id + pairSuffix(rest[len("meta_attributes"):])
		case strings.HasPrefix(rest, "instance_attributes"):
			s = "params:" + id + pairSuffix(rest[len("instance_attributes"):])
		}
	case strings.HasPrefix(x, "//rsc_location[@id='cli-prefer-"):
		id, _, _ := strings.Cut(x[len("//rsc_location[@id='cli-prefer-"):], "'")
		s = "location:" + id
	case strings.HasPrefix(x, "//crm_config/cluster_property_set"):
		s = "property" + pairSuffix(x[len("//crm_config/cluster_property_set"):])
	case strings.HasPrefix(x, "//nodes/node/instance_attributes"):
		s = "nodeattr" + pairSuffix(x[len("//nodes/node/instance_attributes"):])
	case strings.HasPrefix(x, "//nodes/node/utilization"):
		s = "nodeutil" + nodeSuffix(x[len("//nodes/node/utilization"):])
	case strings.HasPrefix(x, "//nodes/node"):
		s = "node" + nodeSuffix(x[len("//nodes/node"):])
	}
	// What was guessed counts only if it stands for exactly this xpath.
	if back, ok := shortcutXPath(s); s != "" && ok && back == x {
		return s, true
	}
	return "", false
}

func pairSuffix(rest string) string {
	if name, ok := strings.CutPrefix(rest, "/nvpair[@name='"); ok {
		return ":" + strings.TrimSuffix(name, "']")
	}
	return ""
}

func nodeSuffix(rest string) string {
	if name, ok := strings.CutPrefix(rest, "[@uname='"); ok {
		return ":" + strings.TrimSuffix(name, "']")
	}
	return ""
}
