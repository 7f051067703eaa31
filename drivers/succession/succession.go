// Package succession decides which copy of a database that its servers
// replicate among themselves may become the primary.
//
// The primary keeps, as a permanent attribute of every node, what the copy
// there is worth (Standing); it writes "not worth anything" before it
// acknowledges a commit that the copy does not have. So whatever fails, a
// copy with a good standing has every acknowledged commit, and no other is
// promoted. When the primary is gone the copies report how far they are, and
// where several are good the farthest takes over.
package succession

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Standing is what the copy on a node is worth, as the last primary saw it.
type Standing string

const (
	Unknown      Standing = ""                    // no primary was there yet
	Latest       Standing = "LATEST"              // it was the primary itself
	Synchronous  Standing = "STREAMING|SYNC"      // commits wait for it
	Asynchronous Standing = "STREAMING|ASYNC"     // it follows, and may lag
	Potential    Standing = "STREAMING|POTENTIAL" // it follows, commits do not wait for it yet
	Disconnected Standing = "DISCONNECT"          // it lacks commits
)

// Copy is what is known of the copy on one node.
type Copy struct {
	Node     string
	Standing Standing
	Running  bool   // the server runs
	Primary  bool   // it is the primary at present
	Position string // how far it is, reported since the primary is gone; or empty
}

// Rule is how the servers replicate.
type Rule struct {
	// Lagging says that a copy that may lack the last commits will do.
	Lagging bool
	// Every says that commits wait for all synchronous copies and not just
	// for one of them.
	Every bool
	// Compare orders positions; ok is false for histories that parted.
	Compare func(a, b string) (order int, ok bool)
}

// Heirs are the nodes that may be promoted without looking at positions,
// should the primary go.
func (r Rule) Heirs(copies []Copy) []string {
	var out []string
	following := 0
	for _, c := range copies {
		switch c.Standing {
		case Synchronous:
			following++
			out = append(out, c.Node)
		case Potential:
			following++
		case Asynchronous:
			following++
			if r.Lagging {
				out = append(out, c.Node)
			}
		}
	}
	if following > 1 && (r.Lagging || !r.Every) {
		return nil
	}
	return out
}

// Elect returns the nodes whose copies may become the primary now that there
// is none: those that are farthest, the first of them being the one to prefer.
// If there is none, why says what is missing.
func (r Rule) Elect(copies []Copy) (nodes []string, why string) {
	if why := r.short(copies); why != "" {
		return nil, why
	}
	var best []Copy // all as far as each other
	for _, c := range copies {
		if c.Position == "" || c.Standing == Disconnected {
			continue
		}
		if len(best) == 0 {
			best = []Copy{c}
			continue
		}
		order, ok := r.Compare(c.Position, best[0].Position)
		switch {
		case !ok:
			return nil, fmt.Sprintf("the copies on %s (at %s) and %s (at %s) have histories of their own; choose one and make the other anew from it",
				best[0].Node, best[0].Position, c.Node, c.Position)
		case order > 0:
			best = []Copy{c}
		case order == 0:
			best = append(best, c)
		}
	}
	slices.SortFunc(best, func(a, b Copy) int {
		return cmp.Or(-cmp.Compare(b2i(a.Standing == Latest), b2i(b.Standing == Latest)), strings.Compare(a.Node, b.Node))
	})
	for _, c := range best {
		nodes = append(nodes, c.Node)
	}
	return nodes, ""
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// short tells what is missing before positions can be compared.
func (r Rule) short(copies []Copy) string {
	known := slices.ContainsFunc(copies, func(c Copy) bool { return c.Standing != Unknown })
	var missing, running []string
	good := false
	for _, c := range copies {
		reports := c.Position != ""
		switch {
		case !known && !reports:
			missing = append(missing, c.Node)
		case c.Standing == Latest && reports:
			return "" // it has everything
		case c.Standing == Synchronous, r.Lagging && c.Standing == Asynchronous:
			good = good || reports
			if !reports {
				missing = append(missing, c.Node)
				if c.Running {
					running = append(running, c.Node)
				}
			}
		case c.Standing == Potential && !reports:
			missing = append(missing, c.Node)
		}
	}
	switch {
	case !known && len(missing) > 0:
		return "no copy was primary before, so all are compared: waiting for " + strings.Join(missing, ", ")
	case !known:
		return ""
	case !good:
		return "no copy that has all commits is running"
	case r.Lagging:
		missing = running
	case r.Every:
		missing = nil
	}
	if len(missing) > 0 {
		return "the last commits may be on " + strings.Join(missing, ", ") + ": waiting for it"
	}
	return ""
}
