package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// difference is a rule by which the shells may differ, with the argument.
type difference struct {
	name, why string
	applies   func(t *testing.T, statement string, theirs, ours outcome) bool
}

// differences are looked at in order.
var differences = []difference{
	{"schema", "crmsh takes what no schema allows, and the whole commit fails then; here the statement itself is refused, with the reason",
		func(t *testing.T, _ string, theirs, ours outcome) bool {
			return ours.refused && !theirs.refused && !validDocument(t, theirs.document)
		}},
	{"bundle text", "crmsh 5 prints the parts of bundles one below the other and leaves the ids of mappings out; 4.4 does not yet",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.Contains(s, "bundle ") && !theirs.refused && !ours.refused && sameXML(theirs, ours)
		}},
	{"acl_group", "crmsh knows acl_group only in texts that are loaded; here it is a command, too",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.HasPrefix(s, "acl_group ") && strings.Contains(theirs.said, "No such command") && !ours.refused
		}},
	{"case of nodes", "the cluster tells nodes apart without regard to case, so a node that differs in case alone is no other node",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.HasPrefix(s, "node ") && strings.Contains(s, "N1")
		}},
	{"head of a known node", "crmsh drops type and description of a node that it knows, without a word",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.HasPrefix(s, "node ") && !theirs.refused && !ours.refused && regexp.MustCompile(`n[12]:|description=`).MatchString(s)
		}},
	{"clone of several", "crmsh takes a second child of a clone for a parameter without value",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.HasPrefix(s, "clone ") && ours.refused && strings.Contains(ours.said, "a clone has one child")
		}},
	{"one resource", "crmsh makes a set of the only resource of a constraint, which has no meaning",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return ours.refused && !theirs.refused && strings.Contains(ours.said, "needs two resources")
		}},
	{"fence agents", "crmsh 5 takes fence_X for stonith:fence_X; 4.4 looks for an OCF agent",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.Contains(s, " fence_") && !sameXML(theirs, ours) && !theirs.refused && !ours.refused
		}},
	{"characters of ids", "crmsh 5 puts a dot where an id cannot have a character; with 4.4 the schema refuses the id",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return !theirs.refused && !ours.refused && !sameXML(theirs, ours) && len(unequal(withLegalIDs(withInfinity(theirs.xml)), ours.xml)) == 0
		}},
	{"brackets at a word", "crmsh splits only one bracket off a word, so (a) is not closed",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return !ours.refused && regexp.MustCompile(`\(\S+\)|\[\S+\]|\(\S+ \S+\)$|\[\S+ \S+\]$`).MatchString(s)
		}},
	{"permission ids", "crmsh gives the id of a permission to all that it makes of it, and the schema refuses that",
		func(t *testing.T, s string, theirs, ours outcome) bool {
			return strings.HasPrefix(s, "role ") && strings.Contains(s, "perm") && !validDocument(t, theirs.document)
		}},
	{"seen when read again", "crmsh looks at properties, merged nodes and renamed objects only when it reads them again, and prints XML from then on",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return sameXML(theirs, ours) && (strings.Contains(s, "literal{") || strings.Contains(s, "rename ")) && strings.Contains(ours.text, "xml <")
		}},
	{"interleave", "crmsh 5 completes clones with interleave=true",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.Contains(s, "clone ") && !strings.Contains(s, "interleave=")
		}},
	{"topology follows names", "crmsh leaves the devices of the topology as they were when it renames or deletes them, and they dangle",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return len(unequal(theirs.xml, ours.xml)) == 1 && theirs.xml["fencing-topology"] != ours.xml["fencing-topology"] && regexp.MustCompile(`(rename|delete).* st[12]`).MatchString(s)
		}},
	{"dangling load", "crmsh says when it loads a text that something in it refers to what is not there; here verify and commit say so, as for everything typed",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.Contains(s, "load ") && strings.Contains(strings.Join(theirs.steps, ""), "which doesn't exist")
		}},
	{"names that cannot be", "crmsh renames to what cannot be an id, and the schema refuses the commit then; here the command is refused",
		func(_ *testing.T, s string, _, ours outcome) bool {
			return strings.Contains(s, "rename ") && strings.Contains(strings.Join(ours.steps, ""), "invalid object id")
		}},
	{"parallel becomes serial", "crmsh drops sequential=false from a set when two resources are left, and so orders or colocates what was independent",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			keys := unequal(theirs.xml, ours.xml)
			return strings.Contains(s, "group ") && len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool {
				return !strings.HasPrefix(k, "constraints ") || !strings.Contains(ours.xml[k], ` sequential="false"`) || strings.Contains(theirs.xml[k], ` sequential="false"`)
			})
		}},
	{"names in tags", "crmsh leaves the old name in tags when it renames, and they dangle",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			keys := unequal(theirs.xml, ours.xml)
			return strings.Contains(s, "rename ") && len(keys) > 0 && !slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, "tags ") })
		}},
	{"left behind", "crmsh leaves what refers to a thing that it renamed or deleted, so that the schema refuses the commit; here nothing dangles",
		func(t *testing.T, s string, theirs, ours outcome) bool {
			return regexp.MustCompile(`(rename|delete|rm|load \w+|erase) `).MatchString(s) && !validDocument(t, theirs.document) && validDocument(t, ours.document)
		}},
	{"permission for nothing", "crmsh drops a permission that does not say what for, without a word",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return ours.refused && !theirs.refused && regexp.MustCompile(`^role .* (?i:read|write|deny)$`).MatchString(s)
		}},
	{"all or nothing", "crmsh deletes what is there and complains of the rest; here a command that fails changes nothing",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return regexp.MustCompile(`(?m)^(delete|rm) .*\S \S`).MatchString(s) && strings.Contains(strings.Join(ours.steps, ""), "does not exist")
		}},
	{"params of bundles", "crmsh prints parameters of a bundle as params, but does not read them",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return strings.Contains(s, "bundle ") && strings.Contains(s, " params")
		}},
	{"secrets in xml", "crmsh prints an object that its language cannot say as XML with its passwords; here they are hidden in every form",
		func(_ *testing.T, _ string, theirs, ours outcome) bool {
			return theirs.text != ours.text && secretPair.ReplaceAllString(theirs.text, `${1}"******"`) == ours.text
		}},
	{"inf in attribute sets", "crmsh stores the score of a set as it was typed, but the schema knows INFINITY alone",
		func(_ *testing.T, s string, theirs, ours outcome) bool {
			return infScore.MatchString(s) && !sameXML(theirs, ours) && !theirs.refused && !ours.refused && len(unequal(withLegalIDs(withInfinity(theirs.xml)), ours.xml)) == 0
		}},
}

var secretPair = regexp.MustCompile(`(<nvpair name="passw[^"]*" value=)"[^"]*"`)

func sameXML(a, b outcome) bool { return len(unequal(a.xml, b.xml)) == 0 }

var infScore = regexp.MustCompile(`(params|meta|utilization|attributes)( \$id=\S+)? [+-]?(inf|infinity):`)

func withInfinity(objects map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range objects {
		out[k] = regexp.MustCompile(`score="([+-]?)(inf|infinity)"`).ReplaceAllString(v, `score="${1}INFINITY"`)
	}
	return out
}

func withLegalIDs(objects map[string]string) map[string]string {
	out := map[string]string{}
	ids := regexp.MustCompile(` (id|id-ref)="[^"]*"`)
	for k, v := range objects {
		out[k] = ids.ReplaceAllStringFunc(v, func(s string) string {
			name, id, _ := strings.Cut(s, "=")
			return name + `="` + regexp.MustCompile(`[^\pL\pN_.-]`).ReplaceAllString(strings.Trim(id, `"`), ".") + `"`
		})
	}
	return out
}

// validDocument asks Pacemaker whether a CIB fits its schema.
func validDocument(t *testing.T, document string) bool {
	t.Helper()
	from, to := strings.Index(document, "<cib"), strings.LastIndex(document, "</cib>")
	if from < 0 || to < 0 {
		return false
	}
	file := filepath.Join(t.TempDir(), "cib.xml")
	text := document[from:to] + "<status/></cib>"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("crm_verify", "--xml-file", file, "-V").CombinedOutput()
	return !strings.Contains(string(out), "did not pass schema")
}

// excuse names the rule that explains a difference, or is "".
func excuse(t *testing.T, statement string, theirs, ours outcome) string {
	t.Helper()
	for _, d := range differences {
		if d.applies(t, statement, theirs, ours) {
			return d.name
		}
	}
	return ""
}
