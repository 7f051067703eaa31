package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"gcrm/grammar"
)

// A template configuration is a text file that the user fills in: one or more
// templates with their parameters, of which the values are added at the end of
// lines, and the statements they make. The form is crmsh's:
//
//	%name TEMPLATE     which template a part comes from
//	%pfx PREFIX        what its parameters are called by in the statements
//	%required          parameters that must get a value follow
//	%optional          parameters that need not
//	%% NAME [VALUE]    a parameter
//	%generate          the statements follow, with empty lines between them
//
// In statements %PREFIX:NAME stands for a value, a line that begins with opt is
// left out if none of its parameters has one, and a line that ends in
// NAME=%PREFIX:NAME loses those words that have none. To what crmsh knows come
// %PREFIX:NAME|OTHER for the first of two that is given, and the lines
// "%if PREFIX:NAME[=VALUE]", "%else" and "%fi", "%need PREFIX:NAME" and
// "%once STATEMENT", which mean what they do in templates.

// configSection is one template in a configuration.
type configSection struct {
	template, prefix string
}

// templateConfig is a configuration that was read.
type templateConfig struct {
	name     string
	sections []configSection
	// t has the parameters, named PREFIX:NAME, and the statements.
	t      *template
	values map[string]string
	lines  map[string]int // of parameters
}

const configHead = `# Configuration: %s
#
# Add values at the end of the lines that begin with two percent signs, and
# change nothing else above %%generate. Those behind %%required must have one.
# Then: template show, template apply.

`

// writeTemplateConfig makes the text of a new configuration from templates.
// values are given to every parameter of their names.
func writeTemplateConfig(name string, templates []*template, values map[string]string) string {
	var head, body strings.Builder
	fmt.Fprintf(&head, configHead, name)
	var prefixes []string
	for _, t := range templates {
		prefix := t.name
		for n := 1; slices.Contains(prefixes, prefix); n++ {
			prefix = fmt.Sprintf("%s_%d", t.name, n)
		}
		prefixes = append(prefixes, prefix)
		fmt.Fprintf(&head, "%%name %s\n%%pfx %s\n\n# %s\n\n", t.name, prefix, t.summary)
		for _, required := range []bool{true, false} {
			word := "%required"
			if !required {
				word = "%optional"
			}
			head.WriteString(word + "\n\n")
			for _, p := range t.params {
				if p.required == required {
					writeConfigParam(&head, t, p, values)
				}
			}
		}
		for _, line := range t.lines {
			body.WriteString(configStatement(prefix, line) + "\n\n")
		}
	}
	return head.String() + "%generate\n\n" + body.String()
}

func writeConfigParam(b *strings.Builder, t *template, p templateParam, values map[string]string) {
	about := p.meaning
	if p.fallback != "" {
		about += "; " + p.fallback + " if it is left out"
	}
	if needs := t.needs(p.name); needs {
		about += "; some choices need it"
	}
	kind := strings.ReplaceAll(p.kind, "|", " or ")
	fmt.Fprintf(b, "# %s (%s)\n%%%% %s", about, kind, p.name)
	if v := values[p.name]; v != "" {
		b.WriteString(" " + grammar.QuoteWord(v))
	}
	b.WriteString("\n\n")
}

// needs reports whether a part of the template requires a parameter.
func (t *template) needs(name string) bool { return slices.Contains(t.lines, "#need "+name) }

var templateReference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{([^}]*)\}`) })

// configStatement writes a line of a template in the form of configurations.
func configStatement(prefix, line string) string {
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "#if":
		return "%if " + prefix + ":" + rest
	case "#else":
		return "%else"
	case "#end":
		return "%fi"
	case "#need":
		return "%need " + prefix + ":" + rest
	case "#once":
		return "%once " + configStatement(prefix, rest)
	}
	// Longest names first, as references end where a name cannot go on.
	return templateReference().ReplaceAllStringFunc(line, func(ref string) string {
		return "%{" + prefix + ":" + ref[2:]
	})
}

var (
	// bracedReference is %{PREFIX:NAME|OTHER}, plainReference crmsh's %PREFIX:NAME.
	bracedReference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`%\{([A-Za-z0-9_.-]+):([^}]*)\}`) })
	plainReference  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`%([A-Za-z_][A-Za-z0-9_.-]*):([A-Za-z0-9_]+)`) })
)

// internalReferences turns the references of a configuration's statement into
// those of templates.
func internalReferences(line string) string {
	line = bracedReference().ReplaceAllStringFunc(line, func(ref string) string {
		m := bracedReference().FindStringSubmatch(ref)
		var names []string
		for n := range strings.SplitSeq(m[2], "|") {
			names = append(names, m[1]+":"+n)
		}
		return "${" + strings.Join(names, "|") + "}"
	})
	return plainReference().ReplaceAllString(line, "${$1:$2}")
}

// readTemplateConfig reads the text of a configuration and tells all mistakes
// in it, by line.
func readTemplateConfig(name, text string) (*templateConfig, error) {
	c := &templateConfig{name: name, t: &template{name: name}, values: map[string]string{}, lines: map[string]int{}}
	var bad []error
	number := 0
	complain := func(format string, a ...any) {
		bad = append(bad, fmt.Errorf("%s:%d: %s", name, number, fmt.Sprintf(format, a...)))
	}
	template, required, generating := "", false, false
	var piece []string
	flush := func() {
		if len(piece) > 0 {
			c.t.lines = append(c.t.lines, strings.Join(piece, " "))
			piece = nil
		}
	}
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case line == "":
			flush()
		case line[0] == '#', word == "%depends_on", word == "%suggests":
		case generating:
			switch word {
			case "%if", "%need":
				flush()
				c.t.lines = append(c.t.lines, "#"+word[1:]+" "+strings.TrimPrefix(rest, "%"))
			case "%else", "%fi":
				flush()
				c.t.lines = append(c.t.lines, map[string]string{"%else": "#else", "%fi": "#end"}[word])
			case "%once":
				flush()
				piece = append(piece, "#once "+internalReferences(rest))
			case "opt":
				if c.anyGiven(internalReferences(rest)) {
					piece = append(piece, internalReferences(rest))
				}
			default:
				piece = append(piece, internalReferences(line))
			}
		case word == "%name":
			template = rest
		case word == "%pfx":
			if rest == "" || template == "" {
				complain("%%pfx needs a name, and %%name before it")
				continue
			}
			c.sections = append(c.sections, configSection{template, rest})
		case word == "%required", word == "%optional":
			required = word == "%required"
		case word == "%%":
			if len(c.sections) == 0 {
				complain("a parameter before %%pfx")
				continue
			}
			c.param(number, required, rest, complain)
		case word == "%generate":
			generating = true
		default:
			complain("%q is not expected here; values are added behind %%%%", line)
		}
	}
	flush()
	switch {
	case len(bad) > 0:
	case len(c.sections) == 0:
		bad = append(bad, fmt.Errorf("%s is no configuration of a template: it has no %%pfx", name))
	case !generating:
		bad = append(bad, fmt.Errorf("%s is no configuration of a template: it has no %%generate", name))
	}
	return c, errors.Join(bad...)
}

// param reads what follows %%: a name and perhaps a value.
func (c *templateConfig) param(number int, required bool, text string, complain func(string, ...any)) {
	line := grammar.ReadCommand("", text)
	if line.Err != nil || len(line.Words) == 0 || len(line.Words) > 2 {
		complain("%q is not a name and one value; quote a value that has blanks", text)
		return
	}
	section := c.sections[len(c.sections)-1]
	p := templateParam{name: section.prefix + ":" + line.Words[0].Text, kind: "text", required: required}
	short := line.Words[0].Text
	// What the template knows of it: its type and its default.
	if t, err := readTemplate(section.template); err == nil {
		if known := t.param(short); known != nil {
			p.kind, p.fallback, p.meaning = known.kind, known.fallback, known.meaning
		}
	}
	c.t.params = append(c.t.params, p)
	c.lines[p.name] = number
	if len(line.Words) == 2 && line.Words[1].Text != "" {
		value := line.Words[1].Text
		named := p
		named.name = short
		if wrong := named.check(value); wrong != "" {
			complain("%s", wrong)
		}
		c.values[p.name] = value
	}
}

// anyGiven reports whether a reference in a line has a value.
func (c *templateConfig) anyGiven(line string) bool {
	for _, m := range templateReference().FindAllStringSubmatch(line, -1) {
		for n := range strings.SplitSeq(m[1], "|") {
			if c.values[n] != "" {
				return true
			}
		}
	}
	return false
}

// statements makes what the configuration stands for, or tells which required
// parameters have no value.
func (c *templateConfig) statements() ([]templateStatement, error) {
	all := c.t.withDefaults(c.values)
	var bad []error
	for _, p := range c.t.missing(all) {
		_, short, _ := strings.Cut(p.name, ":")
		text := fmt.Sprintf("%s:%d: required parameter %s is not set", c.name, c.lines[p.name], short)
		if p.meaning != "" {
			text += " (" + p.meaning + ")"
		}
		bad = append(bad, errors.New(text))
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return c.t.statements(all), nil
}

// configDirs are where configurations lie: the user's settings folder, which
// gets new ones, and that of crmsh.
func (s *Session) configDirs() []string {
	var dirs []string
	if f := s.settingsFile(); f != "" {
		dirs = append(dirs, filepath.Join(filepath.Dir(f), "templates"))
	}
	if home := s.cfg.Environ("HOME"); home != "" {
		dirs = append(dirs, filepath.Join(home, ".crmconf"))
	}
	return dirs
}

// configNames lists the configurations, sorted.
func (s *Session) configNames() []string {
	seen := map[string]bool{}
	for _, dir := range s.configDirs() {
		entries, _ := os.ReadDir(dir) // a folder that is not there has none
		for _, e := range entries {
			if e.Type().IsRegular() && configName().MatchString(e.Name()) {
				seen[e.Name()] = true
			}
		}
	}
	for name, text := range s.configDrafts {
		seen[name] = text != ""
	}
	maps.DeleteFunc(seen, func(_ string, there bool) bool { return !there })
	return slices.Sorted(maps.Keys(seen))
}

// configName is what configurations may be called: a file name without tricks.
var configName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`) })

// configFile returns the file of a configuration; fs.ErrNotExist if there is none.
func (s *Session) configFile(name string) (string, error) {
	if !configName().MatchString(name) {
		return "", fmt.Errorf("%q cannot be the name of a configuration: letters, digits, and any of . _ -", name)
	}
	for _, dir := range s.configDirs() {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fs.ErrNotExist
}

// configText returns the text of a configuration; fs.ErrNotExist if there is none.
func (s *Session) configText(name string) (string, error) {
	if text, ok := s.configDrafts[name]; ok {
		if text == "" {
			return "", fs.ErrNotExist
		}
		return text, nil
	}
	path, err := s.configFile(name)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// keepConfig stores the text of a configuration, or removes it if it is empty.
// While a script is tried out, that is only remembered.
func (s *Session) keepConfig(name, text string) error {
	if s.rehearsing {
		drafts := maps.Clone(s.configDrafts)
		if drafts == nil {
			drafts = map[string]string{}
		}
		drafts[name] = text
		s.configDrafts = drafts
		return nil
	}
	path, err := s.configFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		dirs := s.configDirs()
		if len(dirs) == 0 {
			return errors.New("there is no home folder to keep it in")
		}
		if err := os.MkdirAll(dirs[0], 0o700); err != nil {
			return err
		}
		path, err = filepath.Join(dirs[0], name), nil
	}
	if err != nil {
		return err
	}
	if text == "" {
		return os.Remove(path)
	}
	return writeFile(path, text)
}
