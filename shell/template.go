package shell

import (
	"embed"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// templateFiles are the templates. A template is text in the crm language in
// which ${NAME} stands for a parameter and ${NAME|OTHER} for the first of the
// two that is given. A word NAME=${...} without a value is left out. Lines that
// begin with # are directives:
//
//	#summary TEXT                          what it makes
//	#param NAME TYPE[ required|default=V]: MEANING
//	#if NAME, #if NAME=VALUE, #else, #end  parts; they do not nest
//	#need NAME                             required in this part
//	#once STATEMENT                        left out if the configuration has its object,
//	                                       or a property of that name
//
//go:embed templates/*.crm
var templateFiles embed.FS

// template is one of the templates.
type template struct {
	name, summary string
	params        []templateParam
	lines         []string // statements, #if, #else, #end, #need and #once
}

type templateParam struct {
	name string
	// kind is id, text, path, address, number, boolean, or the values with
	// bars between them.
	kind     string
	required bool
	fallback string
	meaning  string
}

// templateNames lists the templates, sorted.
func templateNames() []string {
	entries, _ := templateFiles.ReadDir("templates") // embedded: it is there
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".crm"))
	}
	return names
}

// readTemplate returns a template by its name, or by letters that only it
// begins with.
func readTemplate(name string) (*template, error) {
	if name == "apache" { // what crmsh calls it
		name = "web-server"
	}
	names := templateNames()
	if !slices.Contains(names, name) {
		var fits []string
		for _, n := range names {
			if name != "" && strings.HasPrefix(n, strings.ToLower(name)) {
				fits = append(fits, n)
			}
		}
		if len(fits) != 1 {
			p := problemf("there is no template %q", name)
			if near := nearest(name, names); near != "" {
				return nil, p.hinting("did you mean %s?", near)
			}
			return nil, p.hinting("there are %s", strings.Join(names, ", "))
		}
		name = fits[0]
	}
	b, err := templateFiles.ReadFile(path.Join("templates", name+".crm"))
	if err != nil {
		return nil, err
	}
	return parseTemplate(name, string(b))
}

func parseTemplate(name, text string) (*template, error) {
	t := &template{name: name}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "":
		case "#summary":
			t.summary = rest
		case "#param":
			head, meaning, ok := strings.Cut(rest, ": ")
			f := strings.Fields(head)
			if !ok || len(f) < 2 || len(f) > 3 {
				return nil, fmt.Errorf("template %s: %q is no description of a parameter", name, line)
			}
			p := templateParam{name: f[0], kind: f[1], meaning: meaning}
			if len(f) == 3 {
				p.required = f[2] == "required"
				value, isDefault := strings.CutPrefix(f[2], "default=")
				if p.fallback = value; !isDefault {
					p.fallback = ""
				}
				if p.required == isDefault {
					return nil, fmt.Errorf("template %s: %q: neither required nor default", name, f[2])
				}
			}
			t.params = append(t.params, p)
		case "#if", "#else", "#end", "#need", "#once":
			t.lines = append(t.lines, line)
		default:
			if line[0] == '#' {
				return nil, fmt.Errorf("template %s: unknown directive %q", name, word)
			}
			t.lines = append(t.lines, line)
		}
	}
	return t, nil
}

func (t *template) param(name string) *templateParam {
	for i := range t.params {
		if t.params[i].name == name {
			return &t.params[i]
		}
	}
	return nil
}

func (t *template) paramNames() []string {
	var names []string
	for _, p := range t.params {
		names = append(names, p.name)
	}
	return names
}

// idPattern is what ids may look like: XML names without colons.
const idPattern = `^[A-Za-z_][A-Za-z0-9_.-]*$`

// check tells what is wrong with a value, or nothing.
func (p *templateParam) check(v string) string {
	bad := ""
	switch p.kind {
	case "text":
	case "id":
		if !regexp.MustCompile(idPattern).MatchString(v) {
			bad = "an id: a letter, then letters, digits, and any of . _ -"
		}
	case "path":
		if !strings.HasPrefix(v, "/") {
			bad = "a path from the root: /..."
		}
	case "address":
		if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" {
			bad = "an address such as 192.0.2.10 or 2001:db8::10"
		}
	case "number":
		if n, err := strconv.Atoi(v); err != nil || n < 0 {
			bad = "a number"
		}
	case "boolean":
		if _, ok := cib.ParseBool(v); !ok {
			bad = "true or false"
		}
	default:
		if values := p.values(); !slices.Contains(values, v) {
			bad = orList(values)
		}
	}
	if bad == "" && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		bad = "text in one line"
	}
	if bad == "" {
		return ""
	}
	return fmt.Sprintf("%s=%s is not %s", p.name, v, bad)
}

// values are the choices of a parameter, nil if it is free.
func (p *templateParam) values() []string {
	switch {
	case strings.Contains(p.kind, "|"):
		return strings.Split(p.kind, "|")
	case p.kind == "boolean":
		return []string{"true", "false"}
	}
	return nil
}

// missing returns the required parameters without a value, those of the parts
// that the values choose included.
func (t *template) missing(values map[string]string) []*templateParam {
	var out []*templateParam
	for i := range t.params {
		if p := &t.params[i]; p.required && values[p.name] == "" {
			out = append(out, p)
		}
	}
	for line := range t.chosen(values) {
		if name, ok := strings.CutPrefix(line, "#need "); ok && values[name] == "" {
			if p := t.param(name); p != nil && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// withDefaults returns values completed by the defaults.
func (t *template) withDefaults(values map[string]string) map[string]string {
	all := map[string]string{}
	for _, p := range t.params {
		if v := values[p.name]; v != "" {
			all[p.name] = v
		} else if p.fallback != "" {
			all[p.name] = p.fallback
		}
	}
	return all
}

// chosen yields the lines of the parts that the values choose.
func (t *template) chosen(values map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		skip := false
		for _, line := range t.lines {
			switch {
			case line == "#end":
				skip = false
			case line == "#else":
				skip = !skip
			case strings.HasPrefix(line, "#if "):
				name, want, compare := strings.Cut(line[len("#if "):], "=")
				skip = values[name] == "" || compare && values[name] != want
			case !skip:
				if !yield(line) {
					return
				}
			}
		}
	}
}

// templateStatement is a statement that a template makes.
type templateStatement struct {
	grammar.Line
	// once says that it is left out where its object is there already.
	once bool
}

// statements makes the statements for values, which include the defaults.
// Every value stays within its word, whatever it holds.
func (t *template) statements(values map[string]string) []templateStatement {
	var out []templateStatement
	for line := range t.chosen(values) {
		line, once := strings.CutPrefix(line, "#once ")
		if line[0] == '#' {
			continue
		}
		var words []string
		for _, word := range grammar.ReadCommand("", line).Words {
			w, empty := fillIn(word.Text, values)
			if !empty {
				words = append(words, w)
			}
		}
		// params with nothing behind it is left out.
		for i := len(words) - 1; i >= 0; i-- {
			if words[i] == "params" && (i+1 == len(words) || !strings.Contains(words[i+1], "=")) {
				words = slices.Delete(words, i, i+1)
			}
		}
		out = append(out, templateStatement{grammar.ReadArguments("", words), once})
	}
	return out
}

// there reports whether the configuration has what a statement would make: its
// object, or a value for its property.
func (st templateStatement) there(doc *cib.CIB) bool {
	if len(st.Words) < 2 {
		return false
	}
	id := st.Words[1].Text
	if st.Words[0].Text == "property" {
		name, _, _ := strings.Cut(id, "=")
		_, set := doc.Property(doc.PropertyName(name))
		return set
	}
	_, ok := findObject(doc, id)
	return ok
}

// fillIn puts values into a word. empty tells that the word assigns nothing but
// a parameter without a value.
func fillIn(word string, values map[string]string) (filled string, empty bool) {
	var b strings.Builder
	for rest := word; ; {
		before, after, ok := strings.Cut(rest, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), empty
		}
		name, tail, _ := strings.Cut(after, "}")
		value := ""
		for n := range strings.SplitSeq(name, "|") {
			if value = values[n]; value != "" {
				break
			}
		}
		if value == "" && tail == "" && strings.HasSuffix(before, "=") {
			empty = true
		}
		b.WriteString(value)
		rest = tail
	}
}
