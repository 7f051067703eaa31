package shell

import (
	"strings"
	"testing"

	"gcrm/grammar"
)

// Every command explains itself, and its example is a line that the shell
// understands.
func TestEveryVerbHasHelpAndAnExample(t *testing.T) {
	root := Root()
	n := 0
	walkLevels(root, func(l *Level) {
		if l.Help == "" {
			t.Errorf("level %q has no help", l.Name)
		}
		seen := map[string]bool{}
		for _, e := range l.Levels {
			seen[e.Name] = true
		}
		for _, v := range l.Verbs {
			n++
			name := strings.TrimSpace(l.Name + " " + v.Name)
			for _, spelling := range append(v.names(), v.Deprecated...) {
				if seen[spelling] {
					t.Errorf("%s: %q is taken already", name, spelling)
				}
				seen[spelling] = true
			}
			if v.Help == "" || !strings.HasSuffix(v.Help, ".") {
				t.Errorf("%s: help is %q", name, v.Help)
			}
			if v.run == nil {
				t.Errorf("%s does nothing", name)
			}
			words := grammar.ReadCommand("", v.Example).Words
			if len(words) == 0 {
				t.Errorf("%s has no example", name)
				continue
			}
			if e, _ := l.find(words[0].Text); e.verb != v {
				t.Errorf("%s: the example %q is not about it", name, v.Example)
			}
			if bad := v.checkArity(len(words) - 1); bad != "" {
				t.Errorf("%s: the example %q: %s", name, v.Example, bad)
			}
			if _, stuck := v.possible(texts(words[1:])); stuck >= 0 && !v.Statement {
				t.Errorf("%s: the example %q: %q does not fit", name, v.Example, words[1+stuck].Text)
			}
			if v.Statement {
				if _, err := grammar.Parse(grammar.ReadCommand("", v.Example), grammar.Command); err != nil {
					t.Errorf("%s: the example does not parse: %v", name, err)
				}
			}
		}
	})
	t.Logf("%d commands", n)
}

// Every statement of the language is a command of configure, and the other way
// round.
func TestConfigureHasEveryStatement(t *testing.T) {
	level := configureLevel()
	have := map[string]bool{}
	for _, v := range level.Verbs {
		if v.Statement {
			have[v.Name] = true
			if !grammar.IsStatement(v.Name) {
				t.Errorf("%s is no statement of the language", v.Name)
			}
		}
	}
	for _, name := range grammar.Verbs() {
		if !have[name] {
			t.Errorf("configure has no command %s", name)
		}
	}
}

func TestUsageAndArity(t *testing.T) {
	v := &Verb{Name: "modgroup", Args: []Arg{need("group", argGroup), oneOf("action", "add", "remove"), need("member", argResource),
		maybeOneOf("place", "after", "before"), maybe("other", argResource)}}
	if got, want := v.Usage(), "modgroup <group> add|remove <member> [after|before] [<other>]"; got != want {
		t.Errorf("usage is %q, want %q", got, want)
	}
	for n, bad := range map[int]bool{2: true, 3: false, 5: false, 6: true} {
		if got := v.checkArity(n) != ""; got != bad {
			t.Errorf("%d arguments: %q", n, v.checkArity(n))
		}
	}
}
