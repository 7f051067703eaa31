package cib

import (
	"fmt"
	"iter"
)

// Severity grades a [Problem].
type Severity uint8

const (
	// Info is worth knowing and asks for nothing.
	Info Severity = iota
	// Warning is probably not what was meant.
	Warning
	// Error is something that must not be committed, not even by force.
	Error
)

func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "info"
}

// MarshalText writes the severity as its word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is something that is wrong with a document, or looks wrong.
type Problem struct {
	Severity Severity
	// NeedsForce is set for a warning that a commit must not pass without
	// being told so: what crmsh calls a non-fatal error.
	NeedsForce bool `json:",omitempty"`
	// Object is the id of the object concerned (the uname of a node), or
	// the name of a section or "cib".
	Object string
	Text   string // what is wrong, without the object's name in front
	Hint   string `json:",omitempty"` // what to do, if there is something to do
}

func (p Problem) String() string {
	s := fmt.Sprintf("%s: %s: %s", p.Severity, p.Object, p.Text)
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Nearest returns the candidate that word is most likely a misspelling of, or
// "" if none is near: at most a third of its letters may differ, and a swap of
// neighbours counts as one. Of several that are equally near it is the first in
// alphabetical order.
func Nearest(word string, candidates iter.Seq[string]) string {
	best, limit := "", max(1, len(word)/3)+1
	for c := range candidates {
		if d := len(c) - len(word); d > limit || -d > limit || c == word {
			continue
		}
		if d := editDistance(word, c); d >= min(len(c), len(word)) {
			continue // nothing of it is left
		} else if d < limit || d == limit && best != "" && c < best {
			best, limit = c, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, changes and swaps of neighbours
// between two texts, bytewise and without regard to the case of ASCII letters.
func editDistance(a, b string) int {
	lower := func(c byte) byte {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && lower(a[i-1]) == lower(b[j-2]) && lower(a[i-2]) == lower(b[j-1]) {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// suggest turns a near miss into a hint.
func suggest(word string, candidates iter.Seq[string]) string {
	if n := Nearest(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}
