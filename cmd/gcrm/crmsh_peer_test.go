package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

// peer is one of the two shells, fed with lines on standard input.
type peer struct {
	name    string
	command func(dir, file string) *exec.Cmd
}

// oracle is the crm shell of the system, told to speak of roles as its later
// versions do by default.
func oracle(t *testing.T) peer {
	t.Helper()
	crm, err := exec.LookPath("crm")
	if err != nil {
		t.Skip("SKIPPED: crmsh is not installed, nothing to compare with (apt-get install crmsh)")
	}
	if _, err := exec.LookPath("cibadmin"); err != nil {
		t.Skip("SKIPPED: Pacemaker's tools are not installed, crmsh cannot work without")
	}
	return peer{"crmsh", func(dir, file string) *exec.Cmd {
		conf := filepath.Join(dir, "crm.conf")
		if err := os.WriteFile(conf, []byte("[core]\nOCF_1_1_SUPPORT = yes\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(crm, "-D", "plain")
		c.Env = append(os.Environ(), "CIB_file="+file, "HOME="+dir, "PAGER=cat", "TERM=dumb", "PYTHONUNBUFFERED=1", "CRM_CONFIG_FILE="+conf)
		return c
	}}
}

// here is this program.
func here() peer {
	return peer{"gcrm", func(dir, file string) *exec.Cmd {
		c := exec.Command(os.Args[0], "-D", "plain", "--cib", file)
		c.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir)
		return c
	}}
}

// outcome is what a shell did with an item of a session.
type outcome struct {
	said     string
	refused  bool // something was said to be wrong, and nothing was changed
	scolded  bool // something was said to be wrong
	document string
	steps    []string // what was said to each line
	crashed  bool     // the shell itself broke, and what it thinks is not known
	xml      map[string]string
	text     string
}

// talk gives the items to a shell, each between marks, then asks for xml and
// text. With fresh each item begins with the configuration of the file anew,
// and is asked for on its own; else one more outcome has what all of them made.
func (p peer) talk(t *testing.T, document string, base []string, items [][]string, files map[string]string, fresh bool) []outcome {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "cib.xml")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := make([]outcome, len(items))
	gone := map[int]bool{}
	for first := 0; first < len(items); {
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		var script strings.Builder
		line := func(s string) { script.WriteString(s + "\n") }
		mark := func(i int, what string) { line(fmt.Sprintf("show MARK%d%s", i, what)) }
		ask := func(i int) {
			line("show xml")
			mark(i, "x")
			line("show")
			mark(i, "t")
		}
		line("configure")
		if !fresh {
			for _, l := range base {
				line(l)
			}
		}
		from := first
		if !fresh {
			from = 0
		}
		for i := from; i < len(items); i++ {
			if gone[i] {
				continue
			}
			if fresh {
				for _, l := range base {
					line(l)
				}
			}
			last := len(items[i]) - 1
			for k, l := range items[i][:last] {
				if fresh {
					mark(i, fmt.Sprint("s", k))
				}
				line(l)
			}
			if fresh {
				mark(i, fmt.Sprint("s", last))
				line("show xml")
			}
			mark(i, "b")
			line(items[i][last])
			mark(i, "e")
			if fresh {
				ask(i)
				line("refresh")
			}
		}
		if !fresh {
			ask(len(items))
		}
		line("refresh")
		c := p.command(dir, file)
		c.Dir = dir
		c.Stdin = strings.NewReader(script.String())
		raw, _ := c.CombinedOutput()
		parts := splitAtMarks(string(raw))
		broken := -1
		for i := from; i < len(items) && broken < 0; i++ {
			if gone[i] {
				continue
			}
			o := outcome{}
			said, ok := parts[fmt.Sprintf("%de", i)]
			if o.said = said; !ok || strings.Contains(said, "Traceback (most recent") {
				broken = i
				break
			}
			o.scolded = complains(said)
			o.refused = o.scolded
			x, okX := parts[fmt.Sprintf("%dx", i)]
			text, okT := parts[fmt.Sprintf("%dt", i)]
			if fresh && (!okX || !okT) {
				broken = i
				break
			}
			if okX {
				o.xml = objectsOf(t, x)
				o.text = plainText(text)
				o.document = x
			}
			for k := range items[i] { // said to a line is what stands before the next mark
				next := fmt.Sprintf("%ds%d", i, k+1)
				if k == len(items[i])-1 {
					next = fmt.Sprintf("%de", i)
				}
				o.steps = append(o.steps, parts[next])
			}
			if before, ok := parts[fmt.Sprintf("%db", i)]; ok && fresh {
				o.refused = o.scolded && len(unequal(objectsOf(t, before), o.xml)) == 0
			}
			out[i] = o
		}
		if broken < 0 {
			if !fresh {
				whole := outcome{text: plainText(parts[fmt.Sprintf("%dt", len(items))])}
				whole.document = parts[fmt.Sprintf("%dx", len(items))]
				whole.xml = objectsOf(t, whole.document)
				out = append(out, whole)
			}
			break
		}
		out[broken] = outcome{crashed: true, said: tail(string(raw), 600)}
		gone[broken] = true
		if len(gone) > 200 {
			t.Fatalf("%s breaks all the time: %s", p.name, tail(string(raw), 2000))
		}
		if fresh {
			first = broken + 1
		}
	}
	return out
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

var (
	colours    = regexp.MustCompile("\x1b\\[[0-9;]*m")
	complaint  = regexp.MustCompile(`ERROR: |element \S+ is not a primitive`)
	noAgent    = regexp.MustCompile(`(?m)^ERROR: .*got no meta-data, does this RA exist.*\n`)
	memberNode = regexp.MustCompile(`^(node .*):member( \\)?$`)
	attribute  = regexp.MustCompile(` id="[^"]*"`)
	marks      = regexp.MustCompile(`(?m)^.*ERROR.*object MARK(\d+[a-z]\d*) does not exist.*\n(?:  show .*\n.*\n)?`)
)

// complains reports whether something was said to be wrong; agents that are not
// installed are no mistake in the language.
func complains(said string) bool {
	return complaint.MatchString(noAgent.ReplaceAllString(said, ""))
}

// splitAtMarks returns what was said before each mark, by the name of the mark.
func splitAtMarks(s string) map[string]string {
	s = colours.ReplaceAllString(s, "")
	parts := map[string]string{}
	from := 0
	for _, m := range marks.FindAllStringSubmatchIndex(s, -1) {
		parts[s[m[2]:m[3]]] = s[from:m[0]]
		from = m[1]
	}
	return parts
}

// plainText drops what is said on the way, and blanks at ends of lines.
func plainText(s string) string {
	var lines []string
	for l := range strings.Lines(s) {
		l = strings.TrimRight(l, " \t\n")
		if l == "" || strings.HasPrefix(l, "WARNING: ") || strings.HasPrefix(l, "INFO: ") {
			continue
		}
		// Defaults go when they are read, not when they are typed.
		lines = append(lines, memberNode.ReplaceAllString(strings.ReplaceAll(l, " string:", " "), "$1$2"))
	}
	return strings.Join(lines, "\n")
}

// objectsOf reads "show xml" into canonical objects by element name and id.
func objectsOf(t *testing.T, s string) map[string]string {
	t.Helper()
	objects := map[string]string{}
	from, to := strings.Index(s, "<configuration"), strings.LastIndex(s, "</configuration>")
	if from < 0 || to < 0 {
		return objects
	}
	root, err := cib.ParseElement(s[from:to+len("</configuration>")], cib.DefaultLimits)
	if err != nil {
		objects["unreadable"] = err.Error() + "\n" + s
		return objects
	}
	for section := range root.Elements() {
		if section.Name == "fencing-topology" {
			objects[section.Name] = canonicalObject(section)
			continue
		}
		for o := range section.Elements() {
			id := o.ID()
			if o.Name == "node" {
				id = o.Get("uname")
			}
			key := section.Name + " " + o.Name + " " + id
			for objects[key] != "" {
				key += "+"
			}
			objects[key] = canonicalObject(o)
		}
	}
	return objects
}

// texts splits what "show" printed into its objects, by their ids.
func texts(s string) (order []string, by map[string]string) {
	by = map[string]string{}
	key := ""
	for l := range strings.Lines(s + "\n") {
		l = strings.TrimSuffix(l, "\n")
		if key != "" && (strings.HasPrefix(l, "\t") || strings.HasSuffix(by[key], `\`)) {
			by[key] += "\n" + l
			continue
		}
		w := append(strings.Fields(l), "", "")
		switch {
		case w[0] == "xml":
			key = attribute.FindString(l)
			key = strings.TrimSuffix(strings.TrimPrefix(key, ` id="`), `"`)
		case w[0] == "node" && strings.HasSuffix(w[1], ":"):
			key = "node " + w[2]
		case w[0] == "node":
			key = "node " + w[1]
		case w[0] == "fencing_topology":
			key = w[0]
		default:
			key = strings.TrimSuffix(w[1], ":")
		}
		for by[key] != "" {
			key += "+"
		}
		order = append(order, key)
		by[key] = l
	}
	return order, by
}

// unequal compares two maps and tells the keys that differ, sorted.
func unequal(a, b map[string]string) []string {
	var keys []string
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			keys = append(keys, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
