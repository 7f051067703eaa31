package succession

import (
	"cmp"
	"strconv"
	"strings"
	"testing"
)

// numbers are positions; one that begins with x has a history of its own.
func numbers(a, b string) (int, bool) {
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	return cmp.Compare(x, y), err1 == nil && err2 == nil
}

// parse reads "a LATEST 5 running; b SYNC -": node, standing, position.
func parse(t *testing.T, text string) []Copy {
	t.Helper()
	var out []Copy
	for part := range strings.SplitSeq(text, ";") {
		f := strings.Fields(part)
		c := Copy{Node: f[0], Standing: map[string]Standing{"-": Unknown, "LATEST": Latest, "SYNC": Synchronous, "ASYNC": Asynchronous, "POT": Potential, "DISC": Disconnected}[f[1]]}
		if f[2] != "-" {
			c.Position, c.Running = f[2], true
		}
		if len(f) > 3 {
			c.Running = true
		}
		out = append(out, c)
	}
	return out
}

func TestElect(t *testing.T) {
	every, one, lagging := Rule{Every: true, Compare: numbers}, Rule{Compare: numbers}, Rule{Lagging: true, Every: true, Compare: numbers}
	for _, c := range []struct {
		rule         Rule
		copies, want string // nodes, or part of the reason in quotes
	}{
		{every, "a - 5; b - 5", "a b"},
		{every, "a - 5; b - 7", "b"},
		{every, "a - 5; b - -", "'waiting for b"},
		{every, "a LATEST -; b SYNC 7", "b"},
		{every, "a LATEST -; b DISC 7", "'no copy that has all commits"},
		{every, "a LATEST 7; b DISC 7", "a"},
		{every, "a LATEST 7; b DISC 9", "a"}, // what it has beyond was never acknowledged
		{every, "a DISC -; b LATEST 7; c SYNC 7", "b c"},
		{every, "a LATEST -; b SYNC 7; c SYNC -", "b"},
		{one, "a LATEST -; b SYNC 7; c SYNC -", "'may be on c"},
		{one, "a LATEST -; b SYNC 7; c POT -", "'may be on c"},
		{one, "a LATEST -; b SYNC 7; c POT 9", "c"},
		{one, "a LATEST -; b SYNC 7; c SYNC 9; d DISC -", "c"},
		{one, "a LATEST -; b SYNC 7; c SYNC x", "'histories of their own"},
		{one, "a LATEST -; b POT 7", "'no copy that has all commits"},
		{one, "a LATEST -; b ASYNC 7", "'no copy that has all commits"},
		{lagging, "a LATEST -; b ASYNC 7; c ASYNC -", "b"},
		{lagging, "a LATEST -; b ASYNC 7; c ASYNC - running", "'may be on c"},
		{lagging, "a LATEST -; b ASYNC 7; c ASYNC 8", "c"},
	} {
		nodes, why := c.rule.Elect(parse(t, c.copies))
		got := strings.Join(nodes, " ")
		if part, reason := strings.CutPrefix(c.want, "'"); reason && (got != "" || !strings.Contains(why, part)) || !reason && got != c.want {
			t.Errorf("%s: %q %q, want %s", c.copies, got, why, c.want)
		}
	}
}

func TestHeirs(t *testing.T) {
	every, one, lagging := Rule{Every: true}, Rule{}, Rule{Lagging: true, Every: true}
	for _, c := range []struct {
		rule         Rule
		copies, want string
	}{
		{every, "a LATEST -; b SYNC -", "b"}, {every, "a LATEST -; b SYNC -; c SYNC -", "b c"}, {every, "a LATEST -; b SYNC -; c POT -", "b"},
		{every, "a LATEST -; b DISC -", ""}, {every, "a LATEST -; b ASYNC -", ""}, {one, "a LATEST -; b SYNC -", "b"},
		{one, "a LATEST -; b SYNC -; c DISC -", "b"}, {one, "a LATEST -; b SYNC -; c SYNC -", ""}, {one, "a LATEST -; b SYNC -; c POT -", ""},
		{lagging, "a LATEST -; b ASYNC -", "b"}, {lagging, "a LATEST -; b ASYNC -; c ASYNC -", ""},
	} {
		if got := strings.Join(c.rule.Heirs(parse(t, c.copies)), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.copies, got, c.want)
		}
	}
}
