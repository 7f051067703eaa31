package suggest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	names := []string{"primitive", "property", "group", "clone", "location", "colocation", "order", "ip"}
	for _, c := range []struct {
		word  string
		limit int
		want  string
	}{
		{"primitve", 2, "primitive"}, {"PRIMITVE", 2, "primitive"}, {"gruop", 1, "group"}, {"gruop", 2, "group"}, {"Group", 2, "group"},
		{"group", 2, ""}, {"collocation", 2, "colocation"}, {"xyzzy", 2, ""}, {"op", 2, "ip"}, {"xy", 2, ""}, {"", 2, ""}, {"cloned", 0, ""},
	} {
		if got := Nearest(c.word, slices.Values(names), c.limit); got != c.want {
			t.Errorf("%q within %d: %q, want %q", c.word, c.limit, got, c.want)
		}
		back := slices.Clone(names)
		slices.Reverse(back)
		if got := Nearest(c.word, slices.Values(back), c.limit); got != c.want {
			t.Errorf("%q within %d, other order: %q, want %q", c.word, c.limit, got, c.want)
		}
	}
	if got := Nearest("web3", slices.Values([]string{"web2", "web1"}), 1); got != "web1" {
		t.Errorf("of equals: %q", got)
	}
}

// Slips is a distance, and agrees with what is done to a word.
func TestSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"abc", "ABC", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"kitten", "sitting", 3}} {
		if got := Slips(c.a, c.b); got != c.want {
			t.Errorf("%q %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z]{2,12}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := Slips(a, b)
		if d != Slips(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Fatalf("%q %q: %d, back %d", a, b, d, Slips(b, a))
		}
		i := rapid.IntRange(0, len(a)-2).Draw(t, "at")
		changed := a[:i] + a[i+1:]
		if rapid.Bool().Draw(t, "swap") {
			changed = a[:i] + a[i+1:i+2] + a[i:i+1] + a[i+2:]
		}
		if got := Slips(a, changed); got > 1 {
			t.Fatalf("%q %q: %d", a, changed, got)
		}
	})
}
