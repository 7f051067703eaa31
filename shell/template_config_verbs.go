package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// runTemplateNew makes a configuration from templates and loads it.
func runTemplateNew(ctx context.Context, s *Session, c *call) error {
	name, words := c.arg(0), c.words[1:]
	var templates []*template
	values := map[string]string{}
	bad := false
	complain := func(err error) {
		s.report(err)
		bad = true
	}
	for _, w := range words {
		key, value, pair := strings.Cut(w.Text, "=")
		switch {
		case w.Text == "params":
		case pair:
			values[key] = value
		default:
			t, err := readTemplate(w.Text)
			var p *problem
			if errors.As(err, &p) {
				err = p.at(w.Pos)
			}
			if err != nil {
				complain(err)
				continue
			}
			templates = append(templates, t)
		}
	}
	if len(templates) == 0 && !bad {
		// The name of a template alone: the configuration gets one after it.
		t, err := readTemplate(name)
		if err != nil {
			return problemf("%s: %s is no template, and none follows", c.path, name).at(c.at(0)).
				hinting("there are %s", strings.Join(templateNames(), ", "))
		}
		templates = append(templates, t)
		taken := s.configNames()
		for n := 0; ; n++ {
			if name = fmt.Sprintf("%s-%d", t.name, n); !slices.Contains(taken, name) {
				break
			}
		}
	}
	for key, value := range values {
		var params []string
		used := false
		for _, t := range templates {
			params = append(params, t.paramNames()...)
			if p := t.param(key); p != nil {
				used = true
				if wrong := p.check(value); wrong != "" && value != "" {
					complain(problemf("%s: %s", c.path, wrong))
				}
			}
		}
		if !used && !bad {
			p := problemf("%s: no template here has a parameter %q", c.path, key)
			if near := nearest(key, params); near != "" {
				p.hinting("did you mean %s?", near)
			}
			complain(p)
		}
	}
	if bad {
		return errReported
	}
	if _, err := s.configText(name); err == nil {
		return problemf("%s: there is a configuration %s already", c.path, name).at(c.at(0)).hinting("template delete %s removes it", name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return problemf("%s: %v", c.path, err).at(c.at(0))
	}
	if _, given := values["id"]; !given && grammarID(name) {
		values["id"] = name
	}
	if err := s.keepConfig(name, writeTemplateConfig(name, templates, values)); err != nil {
		return problemf("%s: %v", c.path, err)
	}
	s.config = name
	s.msg.info("configuration %s is made and loaded; template edit fills it in, template show and template apply use it", name)
	return nil
}

// grammarID reports whether a name can be the id of an object.
func grammarID(name string) bool {
	return (&templateParam{name: "id", kind: "id"}).check(name) == ""
}

// configCalled returns the configuration that a command names, or the one that
// is loaded.
func (s *Session) configCalled(c *call, i int) (*templateConfig, error) {
	name := c.arg(i)
	if name == "" {
		name = s.config
	}
	if name == "" {
		return nil, problemf("%s: no configuration is loaded", c.path).at(c.at(i)).hinting("name one, or load it first; template list shows them")
	}
	text, err := s.configText(name)
	if errors.Is(err, fs.ErrNotExist) {
		p := problemf("%s: there is no configuration %s", c.path, name).at(c.at(i))
		if near := nearest(name, s.configNames()); near != "" {
			return nil, p.hinting("did you mean %s?", near)
		}
		return nil, p.hinting("template new %s TEMPLATE makes it", name)
	}
	if err != nil {
		return nil, err
	}
	t, err := readTemplateConfig(name, text)
	return t, s.reportJoined(err)
}

// reportJoined reports every one of several errors.
func (s *Session) reportJoined(err error) error {
	if err == nil {
		return nil
	}
	list := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		list = several.Unwrap()
	}
	for _, e := range list {
		s.msg.error("%v", e)
	}
	return errReported
}

func runTemplateLoad(ctx context.Context, s *Session, c *call) error {
	if len(c.words) == 0 {
		s.config = ""
		return nil
	}
	t, err := s.configCalled(c, 0)
	if t == nil {
		return err
	}
	s.config = t.name // also one with mistakes: edit mends them
	return err
}

func runTemplateEdit(ctx context.Context, s *Session, c *call) error {
	t, err := s.configCalled(c, 0)
	if t == nil {
		return err
	}
	if !s.cfg.Interactive || s.batch {
		return problemf("%s: not allowed in batch mode", c.path).at(c.line.Words[c.head].Pos).
			hinting("template new %s TEMPLATE name=value ... gives the values at once", t.name)
	}
	text, err := s.configText(t.name)
	if err != nil {
		return err
	}
	for {
		edited, err := s.inEditor(ctx, text, ".txt")
		if err != nil || edited == text {
			return err
		}
		text = edited
		if strings.TrimSpace(text) == "" {
			return problemf("%s: an empty configuration is not kept", c.path).hinting("template delete %s removes it", t.name)
		}
		if err := s.keepConfig(t.name, text); err != nil {
			return err
		}
		_, err = readTemplateConfig(t.name, text)
		if err == nil {
			return nil
		}
		_ = s.reportJoined(err)
		if !s.confirm("Do you want to edit again") {
			return errReported
		}
	}
}

func runTemplateDelete(ctx context.Context, s *Session, c *call) error {
	name := c.arg(0)
	if _, err := s.configText(name); errors.Is(err, fs.ErrNotExist) {
		p := problemf("%s: there is no configuration %s", c.path, name).at(c.at(0))
		if near := nearest(name, s.configNames()); near != "" {
			p.hinting("did you mean %s?", near)
		} else if slices.Contains(templateNames(), name) {
			p.hinting("%s is a template that comes with the program", name)
		}
		return p
	} else if err != nil {
		return problemf("%s: %v", c.path, err).at(c.at(0))
	}
	if name == s.config {
		if s.cfg.Interactive && !c.has(1, "force") && !s.confirm(fmt.Sprintf("%s is loaded; really remove it", name)) {
			return errReported
		}
		s.config = ""
	}
	return s.keepConfig(name, "")
}

// showConfig prints the statements of a configuration.
func (s *Session) showConfig(t *templateConfig) error {
	list, err := t.statements()
	if err != nil {
		return s.reportJoined(err)
	}
	return s.showStatements("configuration", t.name, list)
}

// showStatements prints what a template or a configuration makes.
func (s *Session) showStatements(kind, name string, list []templateStatement) error {
	lines := []string{}
	for _, st := range list {
		lines = append(lines, withoutSecrets(st.Line))
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]any{kind: name, "statements": lines})
	}
	for _, l := range lines {
		s.printf("%s\n", l)
	}
	return nil
}

// applyConfig stages the statements of a configuration; with method replace
// instead of everything but the nodes.
func (s *Session) applyConfig(ctx context.Context, t *templateConfig, replace bool) error {
	list, err := t.statements()
	if err != nil {
		return s.reportJoined(err)
	}
	if !replace {
		return s.applyStatements(ctx, list)
	}
	if s.changed() && s.cfg.Interactive && !s.batch && !s.confirm("This drops the staged changes and the whole configuration but the nodes; go on") {
		return errReported
	}
	var text strings.Builder
	for _, st := range list {
		text.WriteString(st.Text + "\n")
	}
	return s.load(ctx, grammar.Replace, t.name, text.String(), false)
}

// applyStatements stages what templates make.
func (s *Session) applyStatements(ctx context.Context, list []templateStatement) error {
	err := s.edit(ctx, func(work *cib.CIB) error {
		e := grammar.NewEdit(work, s.agents(ctx))
		for _, line := range list {
			if line.once && line.there(work) {
				s.msg.info("left as it is in the configuration: %s", line.Words[0].Text+" "+line.Words[1].Text)
				continue
			}
			st, err := grammar.Parse(line.Line, grammar.Command)
			if err != nil {
				return err
			}
			remarks, err := e.Apply(st)
			for _, r := range remarks {
				s.reportSyntax(r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.cfg.Interactive && !s.batch && s.overlay == nil {
		for _, line := range list {
			s.printf("  %s\n", withoutSecrets(line.Line))
		}
		s.msg.info("this is staged; configure commit makes it the cluster's configuration")
	}
	return nil
}
