package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// runHelp explains what its words name, from the current level or from the
// root; without words it lists this level.
func runHelp(ctx context.Context, s *Session, c *call) error {
	if len(c.words) == 0 {
		return s.helpLevel(s.level())
	}
	for _, start := range []*Level{s.level(), s.root} {
		level := start
		for i, w := range c.words {
			e, _ := level.find(w.Text)
			last := i == len(c.words)-1
			if e.verb != nil && last {
				return s.helpVerb(level, e.verb)
			}
			if e.level == nil {
				break
			}
			level = e.level
			if last {
				return s.helpLevel(level)
			}
		}
	}
	// A command of any level will do if only one has it.
	var found []string
	if len(c.words) == 1 {
		var in *Level
		var verb *Verb
		walkLevels(s.root, func(l *Level) {
			for _, v := range l.Verbs {
				if slices.Contains(v.names(), c.arg(0)) && !v.Hidden {
					found = append(found, l.Name+" "+v.Name)
					in, verb = l, v
				}
			}
		})
		if len(found) == 1 {
			return s.helpVerb(in, verb)
		}
	}
	if text := helpElsewhere(s.levelNames("."), c.args()); text != "" {
		s.printf("%s\n", text)
		return nil
	}
	p := problemf("no help for %q", strings.Join(c.args(), " ")).at(c.at(0))
	if len(found) > 1 {
		p.hinting("there are %s", strings.Join(found, ", "))
	} else if near := s.level().suggest(c.arg(0)); near != "" {
		p.hinting("did you mean %s?", near)
	} else {
		p.hinting("help alone lists what there is")
	}
	return p
}

func walkLevels(l *Level, f func(*Level)) {
	f(l)
	for _, sub := range l.Levels {
		walkLevels(sub, f)
	}
}

func (s *Session) helpLevel(l *Level) error {
	var b strings.Builder
	name := l.Name
	if name == "" {
		name = "gcrm"
	}
	fmt.Fprintf(&b, "%s: %s\n", s.color.bold(name), l.Help)
	if l.Long != "" {
		b.WriteString("\n" + strings.TrimSpace(l.Long) + "\n")
	}
	row := func(name, help string) {
		fmt.Fprintf(&b, "  %s%s %s\n", s.color.keyword(name), strings.Repeat(" ", max(0, 18-len(name))), help)
	}
	if len(l.Levels) > 0 {
		b.WriteString("\nLevels:\n")
		for _, sub := range l.Levels {
			row(sub.Name, sub.Help)
		}
	}
	if len(l.Verbs) > 0 {
		b.WriteString("\nCommands:\n")
		for _, v := range l.Verbs {
			if !v.Hidden {
				row(v.Name, v.Help)
			}
		}
	}
	b.WriteString("\nEverywhere:\n")
	for _, v := range l.common {
		row(v.Name, v.Help)
	}
	b.WriteString("\nhelp COMMAND tells more.\n")
	return s.page(b.String())
}

func (s *Session) helpVerb(l *Level, v *Verb) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s\n", v.Help, v.Usage())
	if v.Long != "" {
		b.WriteString("\n" + strings.TrimSpace(v.Long) + "\n")
	}
	if v.Example != "" {
		b.WriteString("\nExample:\n")
		for line := range strings.SplitSeq(strings.TrimRight(v.Example, "\n"), "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	if n := append(slices.Clone(v.Aliases), v.Deprecated...); len(n) > 0 {
		fmt.Fprintf(&b, "\nAlso: %s\n", strings.Join(n, ", "))
	}
	if v.Live {
		b.WriteString("\nNeeds a running cluster.\n")
	}
	return s.page(b.String())
}
