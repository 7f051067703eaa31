package grammar

import (
	"errors"
	"io"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// Token types of the grammar. A token is one word of a line (or a bracket cut
// off a word); its type tells the shape of the word, and where the grammar
// needs it, the place it stands at.
const (
	tWord     lexer.TokenType = iota + 1 // anything else
	tKey                                 // a section word of the verb, in lower case
	tPair                                // name=value, or any word where only pairs can stand
	tDesc                                // description=..., in the head of a statement
	tID                                  // $id=X
	tIDRef                               // $id-ref=X
	tAt                                  // @X: a template
	tLabel                               // X: (a score, an id, a kind, a ticket)
	tOp                                  // a comparison within a rule
	tDatePair                            // key=value of a date expression
	tRole                                // role=X, $role=X at the head of a rule
	tBracket                             // ( ) [ ]
	tBrace                               // { }
)

// words is the lexer definition of the language: POSIX word splitting, with
// every word classified for the grammar of one verb.
type words struct{}

var symbols = map[string]lexer.TokenType{
	"EOF": lexer.EOF, "Word": tWord, "Key": tKey, "Pair": tPair, "Desc": tDesc, "ID": tID,
	"IDRef": tIDRef, "At": tAt, "Label": tLabel, "Op": tOp,
	"DatePair": tDatePair, "Role": tRole, "Bracket": tBracket, "Brace": tBrace,
}

// Symbols implements lexer.Definition.
func (words) Symbols() map[string]lexer.TokenType { return symbols }

// Lex implements lexer.Definition: it reads one statement, whose first word
// selects how the others are classified.
func (words) Lex(name string, r io.Reader) (lexer.Lexer, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	line := ReadCommand(name, string(text))
	if line.Err != nil {
		return nil, line.Err
	}
	if len(line.Words) == 0 {
		return nil, errors.New("no statement")
	}
	v := findVerb(line.Words[0].Text)
	if v == nil {
		return nil, unknownVerb(&line, Text)
	}
	return &tokenLexer{tokens: classify(v, line.Words[1:], line.end())}, nil
}

// end returns the place behind the last word.
func (l *Line) end() Position {
	if len(l.Words) == 0 {
		return Position{}
	}
	return l.Words[len(l.Words)-1].End
}

// tokenLexer hands out prepared tokens.
type tokenLexer struct {
	tokens []lexer.Token
	next   int
}

// Next implements lexer.Lexer.
func (l *tokenLexer) Next() (lexer.Token, error) {
	t := l.tokens[min(l.next, len(l.tokens)-1)]
	l.next++
	return t, nil
}

// sectionWords end an attribute list wherever they stand.
var sectionWords = []string{"params", "meta", "utilization", "operations", "op", "op_params", "op_meta", "rule", "attributes"}

var dateKeys = []string{"start", "end", "hours", "monthdays", "weekdays", "yearsdays", "yeardays", "months", "weeks",
	"years", "weekyears", "moon", "minutes", "seconds", "days"}

var comparisons = []string{"lt", "gt", "lte", "gte", "eq", "ne"}

var valueTypes = []string{"string", "integer", "number", "version"}

func foldIn(s string, list []string) (string, bool) {
	for _, x := range list {
		if len(x) == len(s) && strings.EqualFold(x, s) {
			return x, true
		}
	}
	return "", false
}

// isComparison reports whether s is a comparison, with or without a type.
func isComparison(s string) bool {
	if t, op, ok := strings.Cut(s, ":"); ok {
		if _, known := foldIn(t, valueTypes); !known {
			return false
		}
		s = op
	}
	_, ok := foldIn(s, comparisons)
	return ok
}

// classify turns the words behind a verb into tokens. Everything that depends
// on the place of a word is decided here, so that the grammar proper stays a
// plain one with a lookahead of two.
func classify(v *verb, ws []Word, end Position) []lexer.Token {
	tokens := make([]lexer.Token, 0, len(ws)+1)
	s := classifier{verb: v, head: v.describes}
	for i := range ws {
		tokens = s.add(tokens, &ws[i], i)
	}
	return append(tokens, lexer.EOFToken(end))
}

type classifier struct {
	verb   *verb
	head   bool // a description may come
	value  bool // the next word is a value, whatever it looks like
	naming bool // that value is the name of an operation
	pairs  bool // only pairs can stand here: all other words are taken for one
	opened bool // the last word was one that opens a section
	later  bool // the id of a node came first: its name follows
	names  bool // within the braces of a list of names
	listed bool // the last word was one that such a list may follow
	rule   ruleState
	braces int // open { in a location
}

// ruleState says what the next word of a rule is.
type ruleState int

const (
	noRule    ruleState = iota
	ruleHead            // id, role or score, or the first attribute
	ruleAttr            // an attribute, or date, defined, not_defined
	ruleOp              // a comparison
	ruleDone            // and, or; anything else ends the rule
	dateHead            // what is behind date
	datePairs           // key=value of a date, or as ruleDone
)

func (s *classifier) add(tokens []lexer.Token, w *Word, index int) []lexer.Token {
	if s.splits(w, index) {
		return s.addSplit(tokens, w)
	}
	typ, value := s.typeOf(w.Text, index)
	return append(tokens, lexer.Token{Type: typ, Value: value, Pos: w.Pos})
}

// splits tells whether brackets are cut off this word.
func (s *classifier) splits(w *Word, index int) bool {
	switch s.verb.brackets {
	case bracketsEverywhere:
		return index > 0 && strings.ContainsAny(w.Text, "()[]")
	case bracketsInBraces:
		return s.braces > 0 || index == 1 && strings.HasPrefix(w.Text, "{")
	}
	return false
}

// addSplit cuts brackets off a word.
func (s *classifier) addSplit(tokens []lexer.Token, w *Word) []lexer.Token {
	set := "()[]"
	if s.verb.brackets == bracketsInBraces {
		set = "()[]{}"
	}
	for start, text := 0, w.Text; start < len(text); {
		i := strings.IndexAny(text[start:], set)
		if i != 0 {
			stop := len(text)
			if i > 0 {
				stop = start + i
			}
			typ := tWord
			if strings.IndexByte(text[start:stop], '=') > 0 {
				typ = tPair
			}
			tokens = append(tokens, lexer.Token{Type: typ, Value: text[start:stop], Pos: w.At(start)})
			start = stop
			continue
		}
		typ := tBracket
		switch text[start] {
		case '{':
			typ = tBrace
			s.braces++
		case '}':
			typ = tBrace
			s.braces--
		}
		tokens = append(tokens, lexer.Token{Type: typ, Value: text[start : start+1], Pos: w.At(start)})
		start++
	}
	return tokens
}

func (s *classifier) typeOf(t string, index int) (lexer.TokenType, string) {
	if s.verb.raw {
		return tWord, t
	}
	if s.names || s.listed && t == "{" {
		s.names = t != "}"
		s.listed = false
		if t == "{" || t == "}" {
			return tBrace, t
		}
		return tWord, t
	}
	s.listed = false
	if s.naming && strings.Contains(t, "=") {
		s.value = false // "op interval=10s" lacks the name of the operation
	}
	s.naming = false
	if s.value || index > 0 && index == s.verb.valueAt {
		if s.verb.braceWords && t == "{" {
			return tBrace, t
		}
		s.value = false
		return tWord, t
	}
	if s.rule != noRule {
		if typ, value, ok := s.ruleWord(t); ok {
			return typ, value
		}
	}
	first := index == 0 && !s.verb.headless
	if !first {
		if k, ok := foldIn(t, s.verb.keys); ok {
			s.key(k)
			s.opened = true
			return tKey, k
		}
	}
	opened := s.opened
	s.opened = false
	switch {
	case t == "":
	case t[0] == '$' && strings.HasPrefix(t, "$id="):
		s.later = s.later || index == 0
		return tID, t
	case t[0] == '$' && strings.HasPrefix(t, "$id-ref=") && !s.verb.plain:
		return tIDRef, t
	case t[0] == '@' && index == 1 && len(t) > 1 && s.verb.pairsFrom == 2:
		return tAt, t
	case (t == "{" || t == "}") && s.verb.braceWords:
		return tBrace, t
	case !first && s.head && strings.HasPrefix(t, "description="):
		s.head = s.verb.plain // an ACL role has one for every permission
		return tDesc, t
	case !first && !s.verb.plain && strings.IndexByte(t, '=') > 0:
		s.head = false
		s.pairs = s.verb.brackets == noBrackets
		return tPair, t
	case len(t) > 1 && t[len(t)-1] == ':' && (!s.verb.plain || opened && strings.Count(t, ":") == 1 || s.verb.keys == nil):
		// What follows the score of a location is a node, however it looks.
		s.value = s.verb.brackets == bracketsInBraces
		s.later = s.later || index == 0
		return tLabel, t
	}
	if from := s.verb.pairsFrom; s.pairs || from > 0 && (index > from || index == from && !s.later) || s.verb.headless && !s.verb.plain {
		return tPair, t
	}
	return tWord, t
}

// key notes a section word.
func (s *classifier) key(k string) {
	s.head = s.verb.plain || k == "to"
	s.value = k == "to" || k == "op" || k == "primitive"
	s.naming = k == "op"
	s.pairs = s.verb.brackets == noBrackets && !s.verb.plain
	s.listed = k == "attributes" && s.verb.braceWords
	s.rule = noRule
	if k == "rule" {
		s.rule = ruleHead
	}
}

// ruleWord classifies the words of a rule; ok is false for the first word
// behind it.
func (s *classifier) ruleWord(t string) (typ lexer.TokenType, value string, ok bool) {
	switch s.rule {
	case ruleHead:
		switch {
		case strings.HasPrefix(strings.TrimPrefix(t, "$"), "role="):
			return tRole, t, true
		case strings.HasPrefix(t, "$id="):
			return tID, t, true
		case strings.HasPrefix(t, "$id-ref="):
			s.rule = noRule
			return tIDRef, t, true
		case len(t) > 1 && t[len(t)-1] == ':':
			s.rule = ruleAttr
			return tLabel, t, true
		}
		return s.ruleAttribute(t)
	case ruleAttr:
		return s.ruleAttribute(t)
	case ruleOp:
		return s.comparison(t)
	case dateHead:
		if k, known := foldIn(t, []string{"in", "in_range", "spec", "date_spec"}); known {
			s.rule = datePairs
			return tKey, k, true
		}
		return s.comparison(t)
	case datePairs:
		if name, _, pair := strings.Cut(t, "="); pair {
			if _, known := foldIn(name, dateKeys); known {
				return tDatePair, t, true
			}
		}
	}
	if k, known := foldIn(t, []string{"and", "or"}); known {
		s.rule = ruleAttr
		return tKey, k, true
	}
	s.rule = noRule
	return 0, "", false
}

func (s *classifier) ruleAttribute(t string) (lexer.TokenType, string, bool) {
	if k, known := foldIn(t, []string{"date", "defined", "not_defined"}); known {
		s.rule = dateHead
		if k != "date" {
			s.rule, s.value = ruleDone, true
		}
		return tKey, k, true
	}
	s.rule = ruleOp
	return tWord, t, true
}

// comparison takes the comparison of a rule; what follows is a value.
func (s *classifier) comparison(t string) (lexer.TokenType, string, bool) {
	s.rule = ruleDone
	if !isComparison(t) {
		return tWord, t, true
	}
	s.value = true
	return tOp, t, true
}
