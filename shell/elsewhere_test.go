package shell

import (
	"bytes"
	"strings"
	"testing"
)

// Who types a command that crmsh has and this shell has not learns what to do
// instead, when typing it and when asking for help.
func TestCommandsOfCrmshElsewhere(t *testing.T) {
	path := t.TempDir() + "/cib.xml"
	for line, want := range map[string]string{
		"cluster rename x":              "cluster-name=NAME",
		"help cluster crash_test":       "cluster drill",
		"cluster geo_init --clusters x": "site ticket",
	} {
		c, err := OpenFile(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s := NewSession(Config{Cluster: c, Offline: true, Source: "test", Out: &out, Err: &out})
		status, _ := s.RunArguments(t.Context(), strings.Fields(line))
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("%s: %q is missing in\n%s", line, want, got)
		}
		if asked := strings.HasPrefix(line, "help"); asked != (status == 0) {
			t.Errorf("%s: status %d", line, status)
		}
	}
}

// What is said to be elsewhere is not here, and what is advised is.
func TestElsewhereIsTrue(t *testing.T) {
	root := Root()
	for _, name := range []string{"cluster drill", "cluster witness", "site ticket", "configure verify", "ra validate", "template apply", "template show", "configure edit", "configure delete"} {
		l, verb, _ := strings.Cut(name, " ")
		if e, _ := root.find(l); e.level == nil {
			t.Errorf("there is no level %s", l)
		} else if v, _ := e.level.find(verb); v.verb == nil {
			t.Errorf("there is no %s", name)
		}
	}
}
