// Package suggest finds what a mistyped word was probably meant to be. It is
// pure and knows no names of its own: every room that has some asks it.
package suggest

import "iter"

// longest is the length from which words are not compared: no name is as long,
// and the work grows with the square.
const longest = 256

// Nearest returns the candidate that a word was probably meant to be: the one
// with the fewest slips, at most limit of them and never so many that nothing
// of either is left; of several as near the first by name, so that the order of
// the candidates does not matter. It is "" if none is near, and never the word
// itself.
func Nearest(word string, candidates iter.Seq[string], limit int) string {
	best, least := "", limit+1
	for c := range candidates {
		if d := len(c) - len(word); d > limit || -d > limit || c == word {
			continue
		}
		d := Slips(word, c)
		if d >= min(len(c), len(word)) && d > 0 {
			continue
		}
		if d < least || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	return best
}

// Slips counts insertions, deletions, changes and swaps of neighbours between
// two words, bytewise and without regard to the case of ASCII letters.
func Slips(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
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
