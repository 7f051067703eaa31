package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Level is a place in the shell where commands are given: the root, configure,
// resource, and so on.
type Level struct {
	Name    string
	Aliases []string
	// Help is one sentence; Long may say more.
	Help, Long string
	Verbs      []*Verb
	Levels     []*Level
	// common are the commands of every level.
	common []*Verb
}

// Verb is one command of a level.
type Verb struct {
	Name    string
	Aliases []string // other spellings, accepted without a word
	// Deprecated spellings work too, with a warning.
	Deprecated []string
	// Help is one sentence that begins with a verb; Long may say more;
	// Example is a line that can be typed as it stands.
	Help, Long, Example string
	Args                []Arg
	// Statement says that the arguments are in the crm language, and that
	// grammar reads them.
	Statement bool
	// Changes says that the command changes the configuration.
	Changes bool
	// Live says that the command needs a running cluster, or acts on one
	// beside its configuration.
	Live bool
	// Tries says of a Live command that it works with what is staged, which
	// stays so.
	Tries bool
	// Observes says that the command looks at what runs: in a script on a
	// running cluster, the commits before it must have been sent.
	Observes bool
	// Hidden verbs are neither completed nor listed.
	Hidden bool
	// moves says that the command changes the level.
	moves bool
	run   func(ctx context.Context, s *Session, c *call) error
}

// Arg is one argument of a verb.
type Arg struct {
	Name string
	Kind ArgKind
	// Values are what can be typed; with Kind free they are all that can.
	Values   []string
	Optional bool
	Repeat   bool
}

// ArgKind tells what an argument names, for completion.
type ArgKind uint8

const (
	argFree ArgKind = iota
	argWord         // one of Values
	argObject
	argResource
	argPrimitive
	argGroup
	argClone
	argNode
	argFile
	argAgent
	argClass
	argProvider
	argType
	argProperty
	argParam       // a parameter of the resource named before
	argMeta        // a meta attribute
	argNodeAttr    // an attribute of the node named before
	argUtilization // a capacity of the object named before
	argSelector    // of configure show
	argTopic       // of help
	argPath        // of cd
	argTicket
	argOption
	argVersion
	argTemplate
	argTemplateNew      // a template, or name=value for those named before
	argTemplateConfig   // a configuration made from templates
	argTemplateOrConfig // that, or a template
	argTemplateParam    // name=value for the template named before
)

func need(name string, k ArgKind) Arg  { return Arg{Name: name, Kind: k} }
func maybe(name string, k ArgKind) Arg { return Arg{Name: name, Kind: k, Optional: true} }
func any0(name string, k ArgKind) Arg {
	return Arg{Name: name, Kind: k, Optional: true, Repeat: true}
}
func oneOf(name string, values ...string) Arg { return Arg{Name: name, Kind: argWord, Values: values} }
func maybeOneOf(name string, values ...string) Arg {
	return Arg{Name: name, Kind: argWord, Values: values, Optional: true}
}
func anyOf(name string, values ...string) Arg {
	return Arg{Name: name, Kind: argWord, Values: values, Optional: true, Repeat: true}
}

// arity returns the least and the greatest number of arguments; no upper
// bound is -1.
func (v *Verb) arity() (least, most int) {
	for _, a := range v.Args {
		if !a.Optional {
			least++
		}
		if a.Repeat {
			most = -1
		} else if most >= 0 {
			most++
		}
	}
	return least, most
}

// Usage returns the form of the command: "rename <old_id> <new_id>".
func (v *Verb) Usage() string {
	var b strings.Builder
	b.WriteString(v.Name)
	for _, a := range v.Args {
		b.WriteByte(' ')
		b.WriteString(a.usage())
	}
	return b.String()
}

func (a Arg) usage() string {
	s := "<" + a.Name + ">"
	if a.Kind == argWord {
		s = strings.Join(a.Values, "|")
	}
	if a.Repeat {
		s += "..."
	}
	if a.Optional {
		s = "[" + s + "]"
	}
	return s
}

// checkArity tells what is wrong with a number of arguments, or nothing.
func (v *Verb) checkArity(n int) string {
	if v.Statement {
		return ""
	}
	least, most := v.arity()
	if n >= least && (most < 0 || n <= most) {
		return ""
	}
	var names []string
	for _, a := range v.Args {
		names = append(names, strings.Trim(a.usage(), "<>"))
	}
	count := fmt.Sprintf("takes at least %d", least)
	switch {
	case least == most:
		count = fmt.Sprintf("takes exactly %d", least)
	case most >= 0 && n > most:
		count = fmt.Sprintf("takes at most %d", most)
	}
	plural := "s"
	if strings.HasSuffix(count, " 1") {
		plural = ""
	}
	return fmt.Sprintf("Expected (%s), %s argument%s (%d given)", strings.Join(names, " "), count, plural, n)
}

// possible returns the arguments that can come after the words already there:
// optional ones may be left out, repeated ones come again. stuck is the index
// of the first word that fits nowhere, or -1; then the arguments are those
// that could have stood in its place.
func (v *Verb) possible(done []string) (next []Arg, stuck int) {
	at := v.reachable([]int{0})
	for i, w := range done {
		var after []int
		for _, p := range at {
			if p == len(v.Args) || v.Args[p].Kind == argWord && !containsFold(v.Args[p].Values, w) {
				continue
			}
			after = append(after, p+1)
			if v.Args[p].Repeat {
				after = append(after, p)
			}
		}
		if len(after) == 0 {
			return v.argsAt(at), i
		}
		at = v.reachable(after)
	}
	return v.argsAt(at), -1
}

// reachable adds the positions that come next when optional arguments are left
// out.
func (v *Verb) reachable(from []int) []int {
	var out []int
	for _, i := range from {
		for j := i; j <= len(v.Args); j++ {
			if !slices.Contains(out, j) {
				out = append(out, j)
			}
			if j < len(v.Args) && !v.Args[j].Optional {
				break
			}
		}
	}
	return out
}

func (v *Verb) argsAt(positions []int) []Arg {
	var out []Arg
	for _, i := range positions {
		if i < len(v.Args) {
			out = append(out, v.Args[i])
		}
	}
	return out
}

// entry is what a word can mean in a level.
type entry struct {
	verb  *Verb
	level *Level
}

func (e entry) name() string {
	if e.verb != nil {
		return e.verb.Name
	}
	return e.level.Name
}

// entries returns what can be typed in a level, with all spellings; the
// commands of every level come last.
func (l *Level) entries() ([]entry, [][]string) {
	n := len(l.Verbs) + len(l.Levels)
	out, names := make([]entry, 0, n+8), make([][]string, 0, n+8)
	for _, v := range l.Verbs {
		out = append(out, entry{verb: v})
		names = append(names, v.names())
	}
	for _, sub := range l.Levels {
		out = append(out, entry{level: sub})
		names = append(names, append([]string{sub.Name}, sub.Aliases...))
	}
	for _, v := range l.common {
		out = append(out, entry{verb: v})
		names = append(names, v.names())
	}
	return out, names
}

func (v *Verb) names() []string {
	return append([]string{v.Name}, v.Aliases...)
}

// find returns what a word means in a level. Deprecated spellings must be
// written out.
func (l *Level) find(typed string) (entry, nameMatch) {
	for _, v := range l.Verbs {
		if v.Name == typed {
			return entry{verb: v}, nameMatch{exact: true}
		}
	}
	for _, v := range l.Verbs {
		if containsFold(v.Deprecated, typed) {
			return entry{verb: v}, nameMatch{exact: true}
		}
	}
	es, names := l.entries()
	m := matchName(names, typed)
	if m.index < 0 {
		return entry{}, m
	}
	return es[m.index], m
}

// suggest returns the name nearest to a word that means nothing here.
func (l *Level) suggest(typed string) string {
	es, _ := l.entries()
	var names []string
	for _, e := range es {
		if e.verb == nil || !e.verb.Hidden {
			names = append(names, e.name())
		}
	}
	return nearest(typed, names)
}
