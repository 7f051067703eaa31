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

// Every command that crmsh 4.4 and 5.1 list is here, or its users are told what
// to type instead.
func TestNoCommandOfCrmshIsForgotten(t *testing.T) {
	root := Root()
	for _, row := range []string{
		"- cd help ls quit report status verify up",
		"assist template weak-bond",
		"cib cibstatus commit delete diff import list new reset use",
		"cibstatus load node op origin quorum run save show simulate ticket",
		"cluster copy crash_test diff disable enable geo_init geo_init_arbitrator geo_join health init join remove rename restart run start status stop wait_for_startup",
		"configure acl_target alert bundle cib cibstatus clone colocation commit default-timeouts delete edit erase fencing_topology filter get_property graph group load location modgroup monitor ms node op_defaults order primitive property ptest refresh rename role rsc_defaults rsc_template rsc_ticket rsctest save schema set show tag template upgrade user validate-all validate_all verify xml assist ra",
		"membership add-node del-node diff edit get log pull push reload set show status link",
		"history detail diff events exclude graph info latest limit log node peinputs refresh resource session setnodes show source timeframe transition transitions wdiff",
		"maintenance action off on",
		"node attribute clearstate delete fence maintenance online ready server show standby status-attr utilization",
		"options add-quotes check-frequency check-mode colorscheme editor manage-children output pager reset save set show skill-level sort-elements user wait",
		"ra classes info list providers validate",
		"resource ban cleanup clear constraints demote failcount locate maintenance manage meta move operations param promote refresh restart scores secret start status stop trace unmanage untrace utilization",
		"script json list run show verify",
		"site ticket",
		"template apply delete edit list load new show",
	} {
		words := strings.Fields(row)
		level, name := root, words[0]
		if e, _ := root.find(name); e.level != nil {
			level = e.level
		} else if e, _ := find(root, "configure").find(name); e.level != nil {
			level = e.level
		}
		for _, w := range words[1:] {
			if e, m := level.find(w); (e.verb == nil && e.level == nil || !m.exact) && elsewhere(name, w) == "" {
				t.Errorf("%s %s: users of crmsh are not told what to type instead", name, w)
			}
		}
	}
}

func find(l *Level, name string) *Level {
	e, _ := l.find(name)
	return e.level
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
