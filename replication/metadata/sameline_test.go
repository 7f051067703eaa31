package metadata

import "testing"

// TestSameLine: only the sixteen highest bits may differ, and the mark.
func TestSameLine(t *testing.T) {
	const g = 0x8265D83DA401AD9C
	for _, c := range []struct {
		a, b uint64
		want bool
	}{
		{g, g, true},
		{g, g | PrimaryMark, true},
		{g, g + 1<<48, true},
		{g, g + 1<<48 | PrimaryMark, true},
		{g, g + 9<<48, true},
		{g + 3<<48, g, true},
		{g, g ^ 2, false},
		{g, g ^ 1<<47, false},
		{g, 0xB224715832A9A217, false}, // another one, with the same bit 48
		{g, 0xB225715832A9A217, false},
		{g, 0, false},
		{JustCreated, JustCreated + 1<<48, false},
		{0, 0, false},
	} {
		if got := SameLine(c.a, c.b); got != c.want {
			t.Errorf("%X and %X: %v", c.a, c.b, got)
		}
		if SameLine(c.a, c.b) != SameLine(c.b, c.a) {
			t.Errorf("%X and %X: not the same the other way round", c.a, c.b)
		}
	}
}
