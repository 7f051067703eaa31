package shell

import (
	"fmt"
	"slices"
	"strings"
)

// commonInsert returns what can be inserted at the cursor without a choice:
// what all candidates share beyond what is typed, with a blank behind the only
// one that is complete.
func commonInsert(typed string, candidates []Candidate) string {
	if len(candidates) == 0 {
		return ""
	}
	rest := func(c Candidate) string { return c.Text[max(0, min(c.Typed, len(c.Text))):] }
	if len(candidates) == 1 {
		if candidates[0].Open {
			return rest(candidates[0])
		}
		return rest(candidates[0]) + " "
	}
	common := rest(candidates[0])
	for _, c := range candidates[1:] {
		r := rest(c)
		n := 0
		for n < len(common) && n < len(r) && common[n] == r[n] {
			n++
		}
		common = common[:n]
	}
	return strings.ToValidUTF8(common, "")
}

// candidateList writes candidates with their descriptions for a screen; what
// does not fit is counted.
func candidateList(candidates []Candidate, width, height int, color palette) string {
	const cap = 200
	height = max(3, min(height, cap))
	var b strings.Builder
	candidates = slices.Clone(candidates)
	shorten(candidates)
	described := slices.ContainsFunc(candidates, func(c Candidate) bool { return c.Description != "" })
	widest := 0
	for _, c := range candidates {
		widest = max(widest, len([]rune(c.Text)))
	}
	if !described {
		per := max(1, width/(widest+2))
		for i, c := range candidates {
			if i/per >= height {
				fmt.Fprintf(&b, "\n... %d more, type more letters", len(candidates)-i)
				break
			}
			if i > 0 && i%per == 0 {
				b.WriteByte('\n')
			}
			b.WriteString(c.Text + strings.Repeat(" ", widest+2-len([]rune(c.Text))))
		}
		return b.String() + "\n"
	}
	widest = min(widest, max(10, width/2))
	for i, c := range candidates {
		if i == height && len(candidates) > height+1 {
			fmt.Fprintf(&b, "... %d more, type more letters\n", len(candidates)-i)
			break
		}
		pad := strings.Repeat(" ", max(0, widest-len([]rune(c.Text))))
		room := width - widest - 4
		d := []rune(c.Description)
		if room < 8 {
			d = nil
		} else if len(d) > room {
			d = append(d[:room-3], '.', '.', '.')
		}
		b.WriteString("  " + color.attrName(c.Text) + pad + "  " + color.dim(string(d)) + "\n")
	}
	return b.String()
}

// shorten cuts off what all candidates share up to a separator: a list of
// agents shows their types.
func shorten(candidates []Candidate) {
	if len(candidates) < 2 {
		return
	}
	common := candidates[0].Text
	for _, c := range candidates[1:] {
		n := 0
		for n < len(common) && n < len(c.Text) && common[n] == c.Text[n] {
			n++
		}
		common = common[:n]
	}
	i := strings.LastIndexAny(common, ":=/") + 1
	for j := range candidates {
		candidates[j].Text = candidates[j].Text[i:]
	}
}
