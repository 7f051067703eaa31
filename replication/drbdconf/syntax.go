package drbdconf

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// Limits of the language itself.
const (
	maxWordLength   = 128 // a longer bare word is an error, as in drbdadm
	maxStringLength = 255
	maxNesting      = 64 // blocks in blocks; the language needs 5
)

// document is a whole file: statements, and skipped sections whose inside is not
// looked at.
type document struct {
	Items []*item `parser:"@@*"`
}

type item struct {
	Skip *skipped   `parser:"  @@"`
	Stmt *statement `parser:"| @@"`
}

// skipped is `skip [words] { anything with balanced braces }`.
type skipped struct {
	Pos   lexer.Position
	Words []string  `parser:"'skip':Word @(Word | String)*"`
	Body  *balanced `parser:"@@"`
}

type balanced struct {
	Inner []*skippedToken `parser:"'{' @@* '}'"`
}

type skippedToken struct {
	Body  *balanced `parser:"  @@"`
	Token string    `parser:"| @(Word | String | IPv6 | Other | ':' | '[' | ']' | ';')"`
}

// statement is one or more words and then ';' or a block.
type statement struct {
	Pos   lexer.Position
	Words []*word `parser:"@@+"`
	Body  *block  `parser:"( @@"`
	End   string  `parser:"| @';' )"`
}

type block struct {
	Pos   lexer.Position
	Stmts []*statement `parser:"'{' @@* '}'"`
}

// word is one token of a statement: a bare word, a quoted string, an IPv6 literal
// in brackets, or one of the operators that addresses and indexes need.
type word struct {
	Pos    lexer.Position
	Bare   string `parser:"  @Word"`
	Quoted string `parser:"| @String"`
	IPv6   string `parser:"| @IPv6"`
	Punct  string `parser:"| @(':' | '[' | ']')"`
}

// lexerRules and parser are made when the first file is read: most commands
// read none.
var lexerRules = sync.OnceValue(func() *lexer.StatefulDefinition {
	return lexer.MustSimple([]lexer.SimpleRule{
		{Name: "Comment", Pattern: `#[^\n]*`},
		{Name: "Space", Pattern: `[ \t\r\n]+`},
		{Name: "String", Pattern: `"(?:[^"\\\n]|\\[^\n])*"`},
		{Name: "Word", Pattern: `[A-Za-z0-9/._\-]+`},
		{Name: "IPv6", Pattern: `\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.\-]+)?\]`},
		{Name: "Punct", Pattern: `[{};\[\]:]`},
		// Everything else is a token too, so that skipped sections may hold it and the
		// message about it elsewhere is ours.
		{Name: "Other", Pattern: `[^{}; \t\r\n]`},
	})
})

var parser = sync.OnceValue(func() *participle.Parser[document] {
	return participle.MustBuild[document](
		participle.Lexer(lexerRules()),
		participle.Elide("Comment", "Space"),
		participle.UseLookahead(2),
	)
})

// text is the value of the word without quotes and escapes.
func (w *word) text() string {
	switch {
	case w.Quoted != "":
		return unquote(w.Quoted)
	case w.Bare != "":
		return w.Bare
	case w.IPv6 != "":
		return w.IPv6
	}
	return w.Punct
}

// raw is the word as written.
func (w *word) raw() string { return w.Bare + w.Quoted + w.IPv6 + w.Punct }

func (w *word) width() int { return utf8.RuneCountInString(w.raw()) }

// isName tells whether the word can be a name or a value: a bare word or a string.
func (w *word) isName() bool { return w.Bare != "" || w.Quoted != "" }

func unquote(s string) string {
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// quote writes a value as drbdadm does: bare when it can be, else in quotes with
// backslash and quote escaped.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !isWordRune(r) }) < 0 {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func isWordRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r)
}

// parseText turns the text of one file into a document. Mistakes go to p; the
// result is nil then.
func parseText(p *problems, file, text string) *document {
	p.lines[file] = strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if !checkTokens(p, file, text) {
		return nil
	}
	doc, err := parser().ParseString(file, text)
	if err != nil {
		p.errs = append(p.errs, syntaxError(p, file, text, err))
		return nil
	}
	return doc
}

// checkTokens finds what the grammar would report in its own words or too late:
// characters outside the language, open strings, overlong words, unbalanced braces.
func checkTokens(p *problems, file, text string) bool {
	errsBefore := len(p.errs)
	lex, err := lexerRules().LexString(file, text)
	if err != nil {
		p.errorf(lexer.Position{Filename: file, Line: 1, Column: 1}, 1, "", "%v", err)
		return false
	}
	names := lexer.SymbolsByRune(lexerRules())
	var open []lexer.Token
	skipDepth := -1 // nesting at which a skip section began
	atTop := true   // the next token may start a top-level item
	for {
		tok, err := lex.Next()
		if err != nil {
			var le *lexer.Error
			pos := lexer.Position{Filename: file, Line: 1, Column: 1}
			if errors.As(err, &le) {
				pos = le.Pos
			}
			p.errorf(pos, 1, "", "%v", err)
			return false
		}
		if tok.EOF() {
			break
		}
		inSkip := skipDepth >= 0
		switch name := names[tok.Type]; {
		case name == "Comment" || name == "Space":
			continue
		case tok.Value == "{" && name == "Punct":
			open = append(open, tok)
			if len(open) > maxNesting {
				p.errorf(tok.Pos, 1, "", "blocks are nested more than %d deep", maxNesting)
				return false
			}
		case tok.Value == "}" && name == "Punct":
			if len(open) == 0 {
				p.errorf(tok.Pos, 1, "remove it, or look for a section that ends too early above", "'}' without a '{'")
				return false
			}
			open = open[:len(open)-1]
			if len(open) == skipDepth {
				skipDepth = -1
			}
			atTop = len(open) == 0
			continue
		case name == "Word" && tok.Value == "skip" && atTop && len(open) == 0:
			skipDepth = 0
		case inSkip:
		case name == "Word" && len(tok.Value) > maxWordLength:
			p.errorf(tok.Pos, len(tok.Value), "put it in quotes", "word of %d characters, the limit is %d", len(tok.Value), maxWordLength)
		case name == "String" && len(tok.Value)-2 > maxStringLength:
			p.errorf(tok.Pos, len(tok.Value), "", "string of %d bytes, the limit is %d", len(tok.Value)-2, maxStringLength)
		case name == "Other":
			badCharacter(p, tok)
			return false
		}
		atTop = len(open) == 0 && tok.Value == ";"
	}
	if len(open) > 0 {
		tok := open[len(open)-1]
		p.errorf(tok.Pos, 1, "add the missing '}'", "this '{' is never closed")
		return false
	}
	return len(p.errs) == errsBefore
}

// badCharacter explains a character that is not of the language.
func badCharacter(p *problems, tok lexer.Token) {
	r, _ := utf8.DecodeRuneInString(tok.Value)
	switch plain := strings.IndexRune("；：｛｝＂“”‘’＃，", r); {
	case r == '"':
		p.errorf(tok.Pos, 1, "close the string on the same line", "string without its closing quote")
	case r == '\'':
		p.errorf(tok.Pos, 1, "use double quotes", "single quotes do not quote in this language")
	case r == '=' || r == ',':
		p.errorf(tok.Pos, 1, "write NAME VALUE; without it", "unexpected %q", r)
	case plain >= 0:
		p.errorf(tok.Pos, 1, "type the plain ASCII character", "%q is not the ASCII character it looks like", r)
	case r == '\ufeff':
		p.errorf(tok.Pos, 1, "save the file without a byte order mark", "the file begins with a byte order mark")
	default:
		p.errorf(tok.Pos, 1, "put values with such characters in quotes", "unexpected %q", r)
	}
}

// syntaxError restates an error of the parser for an administrator.
func syntaxError(p *problems, file, text string, err error) *Error {
	pos := lexer.Position{Filename: file, Line: 1, Column: 1}
	var perr participle.Error
	if errors.As(err, &perr) {
		pos = perr.Position()
	}
	var unexpected *participle.UnexpectedTokenError
	if !errors.As(err, &unexpected) {
		return p.at(pos, 1, "", "%v", err)
	}
	tok := unexpected.Unexpected
	width := utf8.RuneCountInString(tok.Value)
	if tok.EOF() {
		end := lexer.Position{Filename: file, Line: len(p.lines[file])}
		for end.Line > 1 && strings.TrimSpace(p.lines[file][end.Line-1]) == "" {
			end.Line--
		}
		end.Column = utf8.RuneCountInString(p.lines[file][end.Line-1]) + 1
		return p.at(end, 1, "a statement ends with ';' or a { block }", "the file ends inside a statement")
	}
	switch tok.Value {
	case "}":
		return p.at(tok.Pos, width, "put ';' before it", "the statement before this '}' is not finished")
	case "{":
		return p.at(tok.Pos, width, "name the section before its '{'", "unexpected '{'")
	case ";":
		return p.at(tok.Pos, width, "remove it", "empty statement")
	}
	return p.at(tok.Pos, width, "", "unexpected %s", fmt.Sprintf("%q", tok.Value))
}
