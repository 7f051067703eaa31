package shell

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDiffLinesRebuildsBothSides(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() []string {
		s := make([]string, r.IntN(12))
		for i := range s {
			s[i] = string(rune('a' + r.IntN(4)))
		}
		return s
	}
	for range 20000 {
		a, b := text(), text()
		var left, right []string
		changes := 0
		for _, o := range diffLines(a, b) {
			if o.kind != '+' {
				left = append(left, o.text)
			}
			if o.kind != '-' {
				right = append(right, o.text)
			}
			if o.kind != ' ' {
				changes++
			}
		}
		if strings.Join(left, "") != strings.Join(a, "") || strings.Join(right, "") != strings.Join(b, "") {
			t.Fatalf("%v -> %v gives %v and %v", a, b, left, right)
		}
		if want := len(a) + len(b) - 2*lcs(a, b); changes != want {
			t.Fatalf("%v -> %v: %d changes, the least is %d", a, b, changes, want)
		}
	}
}

func lcs(a, b []string) int {
	row := make([]int, len(b)+1)
	for i := range a {
		prev := 0
		for j := range b {
			old := row[j+1]
			if a[i] == b[j] {
				row[j+1] = prev + 1
			} else {
				row[j+1] = max(row[j], row[j+1])
			}
			prev = old
		}
	}
	return row[len(b)]
}

func TestUnifiedDiff(t *testing.T) {
	a := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n"
	b := strings.Replace(strings.Replace(a, "4\n", "four\n", 1), "17\n", "", 1)
	got := unifiedDiff(a, b, palette{})
	want := "@@ -1,7 +1,7 @@\n\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n" +
		"@@ -14,5 +14,4 @@\n\n 14\n 15\n 16\n-17\n 18\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if d := unifiedDiff(a, a, palette{}); d != "" {
		t.Errorf("no difference gives %q", d)
	}
}
