package shell

import (
	"slices"
	"strings"

	"gcrm/grammar"
)

// nameMatch is how a typed word fits a set of names.
type nameMatch struct {
	index int // of the name that is meant; -1 for none
	exact bool
	// candidates are names a shortened word could mean, if several.
	candidates []string
}

// matchName finds the name that a typed word means: the same word, else the
// only name that begins with it, else the only name that has its letters in
// order; without regard to case. Each entry is a name with its aliases.
func matchName(entries [][]string, typed string) nameMatch {
	for i, names := range entries {
		if slices.Contains(names, typed) {
			return nameMatch{index: i, exact: true}
		}
	}
	low := strings.ToLower(typed)
	for i, names := range entries {
		for _, n := range names {
			if strings.ToLower(n) == low {
				return nameMatch{index: i, exact: true}
			}
		}
	}
	if low == "" {
		return nameMatch{index: -1}
	}
	for _, fits := range []func(name string) bool{
		func(name string) bool { return strings.HasPrefix(name, low) },
		func(name string) bool { return isSubsequence(name, low) },
	} {
		var hit []int
		for i, names := range entries {
			if slices.ContainsFunc(names, func(n string) bool { return fits(strings.ToLower(n)) }) {
				hit = append(hit, i)
			}
		}
		if len(hit) == 1 {
			return nameMatch{index: hit[0]}
		}
		if len(hit) > 1 {
			m := nameMatch{index: -1}
			for _, i := range hit {
				m.candidates = append(m.candidates, entries[i][0])
			}
			return m
		}
	}
	return nameMatch{index: -1}
}

// isSubsequence reports whether the letters of typed stand in name in order,
// beginning with the first letter.
func isSubsequence(name, typed string) bool {
	if name == "" || name[0] != typed[0] {
		return false
	}
	i := 0
	for j := 0; j < len(name) && i < len(typed); j++ {
		if name[j] == typed[i] {
			i++
		}
	}
	return i == len(typed)
}

// nearest returns the name most like the word, or "" if none is near enough
// to be meant.
func nearest(word string, names []string) string { return grammar.Nearest(word, names) }
