package fencing

import (
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
)

// ParseHostMap reads a pcmk_host_map: "node:plug;node2:p2,p3", separated by
// semicolons, blanks or tabs; "=" is taken for ":". Names of nodes come in
// lower case.
func ParseHostMap(s string) (map[string]string, error) {
	m := map[string]string{}
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("; \t\n", r) }) {
		i := strings.IndexAny(f, ":=")
		if i <= 0 || i == len(f)-1 {
			return m, fmt.Errorf("%q is not NODE:PLUG", f)
		}
		m[strings.ToLower(f[:i])] = f[i+1:]
	}
	return m, nil
}

// ParseHostList reads a pcmk_host_list: nodes separated by commas, blanks or
// semicolons, in lower case.
func ParseHostList(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(",; \t\n", r) })
}

// parseDelayBase reads a pcmk_delay_base: one time, or "node:time;node:time".
func parseDelayBase(s string) (base time.Duration, byNode map[string]time.Duration, err error) {
	if !strings.ContainsAny(s, ":=") {
		base, err = cib.ParseDuration(s)
		return base, nil, err
	}
	m, err := ParseHostMap(s)
	byNode = map[string]time.Duration{}
	for node, v := range m {
		d, e := cib.ParseDuration(v)
		if e != nil {
			err = e
			continue
		}
		byNode[node] = d
	}
	return 0, byNode, err
}

// ParseHosts reads what a fence agent lists: words, of which "on" and "off"
// are states and not names. Lines with the words "invalid" and "variable" are
// messages.
func ParseHosts(output string) []string {
	var hosts []string
	for line := range strings.Lines(output) {
		if strings.Contains(line, "invalid") || strings.Contains(line, "variable") {
			continue
		}
		for _, w := range strings.FieldsFunc(line, func(r rune) bool {
			return !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
		}) {
			if l := strings.ToLower(w); l != "on" && l != "off" {
				hosts = append(hosts, l)
			}
		}
	}
	return hosts
}

// listed reports whether all plugs of a node are among the hosts of a device.
func listed(hosts []string, plugs string) bool {
	n := 0
	for _, p := range strings.Split(plugs, ",") {
		p = strings.ToLower(strings.TrimSpace(p))
		if p == "" {
			continue
		}
		n++
		found := false
		for _, h := range hosts {
			found = found || h == p
		}
		if !found {
			return false
		}
	}
	return n > 0
}
