package grammar

import (
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// verb is a statement word: how its words are classified and parsed.
type verb struct {
	name string // as printed
	// legacy names are accepted with a warning that names the right one.
	legacy []string
	keys   []string // words that open a section
	// brackets tells where brackets are cut off words.
	brackets   bracketRule
	braceWords bool // { and } are words of their own
	plain      bool // no pairs: name=value are words (ACL specifications)
	raw        bool // every word is taken as it is
	headless   bool // the first word is no id
	describes  bool // may have a description=
	valueAt    int  // index of a word that is taken as it is; 0 for none
	// pairsFrom is the index from which words can only be pairs; 0 if a
	// section word must come first.
	pairsFrom int
	// arguments is how many words are needed at least.
	arguments int
	root      any
	parse     func(tokens []lexer.Token) (any, error)
	states    func() *automaton
}

type bracketRule int

const (
	noBrackets bracketRule = iota
	bracketsEverywhere
	bracketsInBraces
)

// newParser returns a parse function for one root type; the parser is built
// at the first use, as a program run needs few of them.
func newParser[T any]() func([]lexer.Token) (any, error) {
	build := sync.OnceValue(func() *participle.Parser[T] {
		return participle.MustBuild[T](participle.Lexer(words{}), participle.UseLookahead(2))
	})
	return func(tokens []lexer.Token) (body any, err error) {
		peek, err := lexer.Upgrade(&tokenLexer{tokens: tokens})
		if err != nil {
			return nil, err
		}
		// The parser panics when it has matched an alternative that took
		// nothing. The grammar has none; should one slip in, a statement is
		// refused rather than a shell lost.
		defer func() {
			if p := recover(); p != nil {
				syntax, ok := p.(participle.Error)
				if !ok {
					panic(p)
				}
				body, err = nil, syntax
			}
		}()
		return build().ParseFromLexer(peek)
	}
}

func newVerb[T any](name string, arguments int, set func(*verb)) *verb {
	v := &verb{name: name, arguments: arguments, keys: sectionWords, describes: true, root: *new(T), parse: newParser[T]()}
	v.states = sync.OnceValue(func() *automaton { return compile(*new(T)) })
	if set != nil {
		set(v)
	}
	return v
}

// verbs are all statements, in the order of help.
var verbs = []*verb{
	newVerb[Node]("node", 1, func(v *verb) { v.pairsFrom = 1 }),
	newVerb[Primitive]("primitive", 2, func(v *verb) { v.legacy, v.pairsFrom = []string{"resource"}, 2 }),
	newVerb[Template]("rsc_template", 2, func(v *verb) { v.pairsFrom = 2 }),
	newVerb[Monitor]("monitor", 2, func(v *verb) { v.raw = true }),
	newVerb[Group]("group", 2, nil),
	newVerb[Clone]("clone", 2, func(v *verb) { v.pairsFrom = 2 }),
	newVerb[Clone]("ms", 2, func(v *verb) { v.legacy, v.pairsFrom = []string{"master"}, 2 }),
	newVerb[Bundle]("bundle", 2, func(v *verb) {
		v.keys = []string{"docker", "podman", "network", "port-mapping", "storage", "storage-mapping", "primitive", "meta", "params", "rule"}
	}),
	newVerb[Location]("location", 3, func(v *verb) { v.brackets, v.describes = bracketsInBraces, false }),
	newVerb[Colocation]("colocation", 3, func(v *verb) {
		v.brackets, v.describes, v.legacy = bracketsEverywhere, false, []string{"collocation"}
	}),
	newVerb[Order]("order", 3, func(v *verb) { v.brackets, v.describes = bracketsEverywhere, false }),
	newVerb[Ticket]("rsc_ticket", 3, func(v *verb) { v.brackets, v.describes = bracketsEverywhere, false }),
	newVerb[Property]("property", 1, headless),
	newVerb[Property]("rsc_defaults", 1, headless),
	newVerb[Property]("op_defaults", 1, headless),
	newVerb[Topology]("fencing_topology", 1, func(v *verb) {
		v.headless, v.plain, v.describes, v.keys, v.legacy = true, true, false, nil, []string{"fencing-topology"}
	}),
	newVerb[Role]("role", 2, func(v *verb) { v.plain, v.keys = true, []string{"read", "write", "deny"} }),
	newVerb[Target]("acl_target", 2, func(v *verb) { v.plain, v.keys = true, nil }),
	newVerb[Target]("acl_group", 2, func(v *verb) { v.plain, v.keys = true, nil }),
	newVerb[User]("user", 2, func(v *verb) { v.plain, v.keys = true, []string{"read", "write", "deny"} }),
	newVerb[Tag]("tag", 2, func(v *verb) { v.keys, v.describes = nil, false }),
	newVerb[Alert]("alert", 2, func(v *verb) {
		v.braceWords, v.valueAt = true, 1
		v.keys = []string{"attributes", "meta", "select", "nodes", "fencing", "resources", "to", "rule"}
	}),
	newVerb[XML]("xml", 1, func(v *verb) { v.raw = true }),
}

func headless(v *verb) { v.headless, v.describes = true, false }

// findVerb returns the statement with the name, or nil; the name must be
// exact but for case.
func findVerb(name string) *verb {
	for _, v := range verbs {
		if len(v.name) == len(name) && strings.EqualFold(v.name, name) {
			return v
		}
		if _, ok := foldIn(name, v.legacy); ok {
			return v
		}
	}
	return nil
}

// Verbs returns the statement words, in the order of help.
func Verbs() []string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	return names
}

// IsStatement reports whether a command word is a statement of the language
// (in any case, old spellings included).
func IsStatement(word string) bool { return findVerb(word) != nil }
