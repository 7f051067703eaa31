package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gcrm/grammar"
)

func templateLevel() *Level {
	return &Level{
		Name: "template",
		Help: "Make what is set up often: addresses, servers, databases, machines, fencing.",
		Long: "apply adds what a template makes at once. To fill one in at leisure, new makes a configuration\n" +
			"from templates: a text file to edit, to look at (show) and to apply. It stays until it is deleted.",
		Verbs: []*Verb{
			{Name: "list", Help: "List the templates, and the configurations made from them.", Example: "list",
				Args: []Arg{maybeOneOf("what", "templates", "configs")}, run: runTemplateList},
			{Name: "new", Help: "Make a configuration from templates, and load it.",
				Long: "Values can be given at once. Without a name of its own the configuration is called after\n" +
					"the template.",
				Example: "new web web-server virtual-ip params ip=192.0.2.10",
				Args:    []Arg{need("name", argTemplate), any0("template", argTemplateNew)}, run: runTemplateNew},
			{Name: "load", Help: "Choose the configuration that edit, show and apply mean.", Long: "Without a name, none is.",
				Example: "load web", Args: []Arg{maybe("configuration", argTemplateConfig)}, run: runTemplateLoad},
			{Name: "edit", Help: "Edit a configuration.", Long: "The editor is $EDITOR. Values go to the end of lines that begin with %%.",
				Example: "edit web", Args: []Arg{maybe("configuration", argTemplateConfig)}, run: runTemplateEdit},
			{Name: "show", Help: "Show the statements of a configuration, or describe a template.",
				Long:    "With values, the statements that a template makes are shown.",
				Example: "show virtual-ip ip=192.0.2.10", Args: []Arg{maybe("name", argTemplateOrConfig), any0("name=value", argTemplateParam)}, run: runTemplateShow},
			{Name: "apply", Help: "Add what a configuration or a template makes to the configuration.",
				Long: "A template's parameters are given as name=value. At the prompt, it asks for all that are\n" +
					"not given if a required one is missing. The statements are staged: look at them with\n" +
					"configure show changed, then configure commit. A script or a single command commits them\n" +
					"at its end. With replace, everything but the nodes is deleted before; it must be said,\n" +
					"where crmsh does it without.",
				Example: "apply virtual-ip id=web-ip ip=192.0.2.10",
				Args:    []Arg{maybeOneOf("method", "update", "replace"), maybe("name", argTemplateOrConfig), any0("name=value", argTemplateParam)},
				Changes: true, run: runTemplateApply},
			{Name: "delete", Help: "Delete a configuration.", Example: "delete web",
				Args: []Arg{need("configuration", argTemplateConfig), maybeOneOf("force", "force", "--force")}, run: runTemplateDelete},
		},
	}
}

// scriptLevel has the templates under the names that wizards had.
func scriptLevel() *Level {
	name, values := need("script", argTemplate), any0("name=value", argTemplateParam)
	return &Level{
		Name: "script",
		Help: "The templates, as wizards: list, show, verify, run.",
		Verbs: []*Verb{
			{Name: "list", Help: "List the scripts.", Example: "list", run: runTemplateList},
			{Name: "show", Aliases: []string{"info", "describe"}, Help: "Describe a script's parameters.", Example: "show virtual-ip",
				Args: []Arg{name, values}, run: runTemplateShow},
			{Name: "verify", Help: "Show the statements that a script would add.", Example: "verify virtual-ip ip=192.0.2.10",
				Args: []Arg{name, values}, run: runTemplateShow},
			{Name: "run", Help: "Add what a script makes to the configuration.", Example: "run virtual-ip ip=192.0.2.10",
				Args: []Arg{name, values}, Changes: true, run: runTemplateApply},
		},
	}
}

func runTemplateList(ctx context.Context, s *Session, c *call) error {
	what := c.arg(0)
	configs := s.configNames()
	if c.level.Name != "template" {
		configs, what = nil, "templates"
	}
	t := newTable("Template", "Makes")
	if what != "configs" {
		for _, name := range templateNames() {
			m, err := readTemplate(name)
			if err != nil {
				return err
			}
			t.row(name, m.summary)
		}
	}
	if s.cfg.Format == "json" {
		list := t.objects()
		if what != "templates" {
			for _, name := range configs {
				list = append(list, map[string]string{"configuration": name})
			}
		}
		return s.writeJSON(list)
	}
	if what != "configs" {
		if err := s.writeTable(t); err != nil || what == "templates" || len(configs) == 0 {
			return err
		}
		s.printf("\nConfigurations:\n")
	}
	s.columns(configs)
	return nil
}

// namesConfig reports whether the arguments of a command from i on mean a
// configuration: its name, or nothing while one is loaded.
func (s *Session) namesConfig(c *call, i int) bool {
	if c.level.Name != "template" || len(c.words) > i+1 {
		return false
	}
	return c.arg(i) == "" || slices.Contains(s.configNames(), c.arg(i))
}

// templateCall reads the template and the values that a command names, and
// tells all mistakes in them.
func (s *Session) templateCall(c *call) (*template, map[string]string, error) {
	t, err := readTemplate(c.arg(0))
	if err != nil {
		if p, ok := err.(*problem); ok {
			return nil, nil, p.at(c.at(0))
		}
		return nil, nil, err
	}
	values := map[string]string{}
	bad := false
	complain := func(i int, p *problem) {
		s.report(p.at(c.at(i)))
		bad = true
	}
	for i, w := range c.words[1:] {
		i++
		name, value, ok := strings.Cut(w.Text, "=")
		p := t.param(name)
		switch {
		case !ok:
			complain(i, problemf("%s: %q is no name=value", c.path, w.Text))
		case p == nil:
			e := problemf("%s: template %s has no parameter %q", c.path, t.name, name)
			if near := nearest(name, t.paramNames()); near != "" {
				e.hinting("did you mean %s?", near)
			} else {
				e.hinting("it has %s", strings.Join(t.paramNames(), ", "))
			}
			complain(i, e)
		case values[name] != "":
			complain(i, problemf("%s: %s is given twice", c.path, name))
		case value != "":
			if text := p.check(value); text != "" {
				complain(i, problemf("%s: %s", c.path, text))
			}
			values[name] = value
		}
	}
	if bad {
		return nil, nil, errReported
	}
	return t, values, nil
}

func runTemplateShow(ctx context.Context, s *Session, c *call) error {
	if s.namesConfig(c, 0) {
		t, err := s.configCalled(c, 0)
		if err != nil {
			return err
		}
		return s.showConfig(t)
	}
	t, values, err := s.templateCall(c)
	if err != nil {
		return err
	}
	if len(values) > 0 {
		all := t.withDefaults(values)
		if err := t.complete(c, all); err != nil {
			return err
		}
		return s.showStatements("template", t.name, t.statements(all))
	}
	table := newTable("Parameter", "Type", "Default", "Meaning")
	for _, p := range t.params {
		fallback := p.fallback
		if p.required {
			fallback = "(required)"
		}
		table.row(p.name, p.kind, fallback, p.meaning)
	}
	if s.cfg.Format != "json" {
		s.printf("%s: %s\n\n", t.name, t.summary)
	}
	return s.writeTable(table)
}

// complete tells which required parameters have no value.
func (t *template) complete(c *call, values map[string]string) error {
	var names, given []string
	for _, p := range t.missing(values) {
		names = append(names, fmt.Sprintf("%s (%s)", p.name, p.meaning))
		given = append(given, p.name+"=...")
	}
	if len(names) == 0 {
		return nil
	}
	return problemf("%s: template %s needs %s", c.path, t.name, strings.Join(names, "; ")).
		at(c.line.Words[len(c.line.Words)-1].End).hinting("add %s", strings.Join(given, " "))
}

// askTemplate asks for every parameter that is not given; an empty answer takes the
// default. It asks again for what a choice made necessary.
func (s *Session) askTemplate(t *template, values map[string]string) error {
	s.printf("%s: %s. Enter takes what stands in brackets.\n", t.name, t.summary)
	for i := range t.params {
		p := &t.params[i]
		if values[p.name] != "" {
			continue
		}
		if err := s.askParam(p, values, p.required); err != nil {
			return err
		}
	}
	for {
		left := t.missing(t.withDefaults(values))
		if len(left) == 0 {
			return nil
		}
		if err := s.askParam(left[0], values, true); err != nil {
			return err
		}
	}
}

func (s *Session) askParam(p *templateParam, values map[string]string, required bool) error {
	prompt := fmt.Sprintf("%s, %s", p.name, p.meaning)
	if list := p.values(); list != nil {
		prompt += " (" + strings.Join(list, "/") + ")"
	}
	if !required {
		prompt += " [" + p.fallback + "]"
	}
	for {
		answer, err := s.cfg.Ask(prompt + ": ")
		if err != nil {
			s.msg.info("nothing was added")
			return errReported
		}
		answer = strings.TrimSpace(answer)
		switch {
		case answer == "" && required:
			s.printf("%s must be given; Ctrl-C gives up.\n", p.name)
			continue
		case answer == "":
			return nil
		}
		if bad := p.check(answer); bad != "" {
			s.printf("%s.\n", bad)
			continue
		}
		values[p.name] = answer
		return nil
	}
}

func runTemplateApply(ctx context.Context, s *Session, c *call) error {
	method := c.arg(0)
	if method != "update" && method != "replace" {
		method = ""
	}
	at := 0
	if method != "" {
		at = 1
	}
	if s.namesConfig(c, at) || method != "" {
		t, err := s.configCalled(c, at)
		if err != nil {
			return err
		}
		return s.applyConfig(ctx, t, method == "replace")
	}
	t, values, err := s.templateCall(c)
	if err != nil {
		return err
	}
	if len(t.missing(t.withDefaults(values))) > 0 && s.cfg.Interactive && !s.batch && s.cfg.Ask != nil {
		if err := s.askTemplate(t, values); err != nil {
			return err
		}
	}
	all := t.withDefaults(values)
	if err := t.complete(c, all); err != nil {
		return err
	}
	return s.applyStatements(ctx, t.statements(all))
}

// withoutSecrets writes a statement for the screen, with stars for passwords.
func withoutSecrets(line grammar.Line) string {
	var words []string
	for _, w := range line.Words {
		text := w.Text
		if name, _, ok := strings.Cut(text, "="); ok && holdsSecret(name+"=") {
			text = name + "=******"
		}
		words = append(words, grammar.QuoteWord(text))
	}
	return strings.Join(words, " ")
}

// templateCandidates completes a template's parameters that are not given yet.
func templateCandidates(done []string, partial string) []Candidate {
	if len(done) == 0 {
		return nil
	}
	t, err := readTemplate(done[0])
	if err != nil {
		return nil
	}
	var out []Candidate
	name, _, typed := strings.Cut(partial, "=")
	for _, p := range t.params {
		given := slices.ContainsFunc(done[1:], func(w string) bool { return strings.HasPrefix(w, p.name+"=") })
		switch {
		case typed && p.name == name:
			for _, v := range p.values() {
				out = append(out, Candidate{Text: name + "=" + v})
			}
		case !typed && !given:
			about, rank := p.meaning, 0
			if p.fallback != "" {
				about += " [" + p.fallback + "]"
			}
			if p.required {
				about, rank = "(required) "+about, -1
			}
			out = append(out, Candidate{Text: p.name + "=", Description: about, Open: true, Rank: rank})
		}
	}
	return out
}
