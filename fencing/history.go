package fencing

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is how far an entry of the history is.
type State string

const (
	Querying  State = "query"
	Executing State = "exec"
	Succeeds  State = "done"
	Duplicate State = "dup"
	Fails     State = "failed"
)

// Over reports whether nothing more comes.
func (s State) Over() bool { return s == Succeeds || s == Duplicate || s == Fails }

// Entry is one request in the history.
type Entry struct {
	ID        string // unique in the cluster
	Target    string
	Action    string
	Client    string `json:",omitempty"`
	Origin    string // the node whose machine had the request
	Delegate  string `json:",omitempty"` // the node that executed last
	Device    string `json:",omitempty"` // the last one used
	State     State
	Started   time.Time
	Completed time.Time `json:",omitzero"`
	Proof     Proof     `json:",omitempty"`
	Reason    string    `json:",omitempty"` // why it was asked for
	Text      string    `json:",omitempty"` // evidence, or why it failed
	// Incarnation is the target's that was fenced, as far as it was known.
	Incarnation uint64 `json:",omitempty"`
	// Manual requests are an administrator's.
	Manual bool `json:",omitempty"`
}

// The history keeps that many entries; when there are more, the oldest of
// those that are over go, down to historyTrim of them.
const (
	historyLimit = 500
	historyTrim  = 250
)

// History is the entries by id. All nodes that were told the same entries, in
// any order, have the same one.
type History map[string]Entry

// Put adds an entry, or replaces one that is not further, and reports whether
// that changed anything.
func (h History) Put(e Entry) bool {
	old, ok := h[e.ID]
	if ok && (rank(old) > rank(e) || old == e) {
		return false
	}
	if ok && rank(old) == rank(e) && old.State.Over() {
		// A success counts, and the first end; equal ones are told apart so
		// that all nodes choose the same.
		if c := cmp.Or(btoi(old.State != Succeeds)-btoi(e.State != Succeeds), old.Completed.Compare(e.Completed), strings.Compare(old.Text, e.Text)); c <= 0 {
			return false
		}
	}
	h[e.ID] = e
	h.trim()
	return true
}

func rank(e Entry) int {
	switch e.State {
	case Querying:
		return 0
	case Executing:
		return 1
	}
	return 2
}

func (h History) trim() {
	if len(h) <= historyLimit {
		return
	}
	over := slices.DeleteFunc(h.Sorted(), func(e Entry) bool { return !e.State.Over() })
	slices.SortFunc(over, func(a, b Entry) int {
		return cmp.Or(a.Completed.Compare(b.Completed), strings.Compare(a.ID, b.ID))
	})
	for _, e := range over[:max(0, len(over)-historyTrim)] {
		delete(h, e.ID)
	}
}

// Sorted lists the entries, the latest begun first.
func (h History) Sorted() []Entry {
	return slices.SortedFunc(maps.Values(h), func(a, b Entry) int {
		return cmp.Or(b.Started.Compare(a.Started), strings.Compare(b.ID, a.ID))
	})
}

// LastSuccess returns the latest entry by which a node is known to have been
// down (for action On: allowed to work).
func (h History) LastSuccess(target, action string) (Entry, bool) {
	var last Entry
	for _, e := range h {
		if e.State == Succeeds && e.Action == action && strings.EqualFold(e.Target, target) && !e.Completed.Before(last.Completed) {
			last = e
		}
	}
	return last, last.ID != ""
}
