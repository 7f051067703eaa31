package cib

import (
	"fmt"
	"iter"

	"gcrm/suggest"
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
	return suggest.Nearest(word, candidates, max(1, len(word)/3))
}

// didYouMean turns a near miss into a hint.
func didYouMean(word string, candidates iter.Seq[string]) string {
	if n := Nearest(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}
