package scheduler

import (
	"slices"
	"testing"
)

// The orders were observed: of nodes alike in everything the reference takes
// the first.
func TestTableOrder(t *testing.T) {
	numbers := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, itoa(i+1))
		}
		return out
	}
	uuids := []string{"06839eb9-a648-8a9a-f06c025b413f", "e1988ad9-6196-afbd-f81337730edf", "6c0fd4f5-b9d1-076f-38c08712b8bc", "c381e88f-7019-f06d-8d887eed8d14",
		"3bab6c39-587f-3b1a-3802ad45f23d", "c2cd789a-75a8-f3c6-ed2f4a2f20aa", "05805975-6a8a-d66b-8e73ea90a8f0", "ec148cb4-a46d-1999-a11d2f978d87"}
	for _, c := range []struct {
		keys []string
		want []int
	}{
		{numbers(3), []int{0, 2, 1}},
		{numbers(5), []int{0, 2, 4, 1, 3}},
		{numbers(7), []int{0, 2, 4, 6, 1, 3, 5}},
		{numbers(8), []int{3, 2, 1, 7, 0, 6, 5, 4}},
		{numbers(12), []int{3, 2, 8, 1, 7, 0, 6, 11, 5, 10, 4, 9}},
		{uuids, []int{1, 4, 0, 3, 5, 6, 7, 2}},
	} {
		if got := tableOrder(c.keys); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.keys, got, c.want)
		}
	}
}

// A table that grows keeps every key, where a lookup would find it.
func TestTableGrows(t *testing.T) {
	var keys []string
	for i := range 300 {
		keys = append(keys, "node"+itoa(i))
		got := tableOrder(keys)
		if len(got) != len(keys) {
			t.Fatalf("%d keys came out as %d", len(keys), len(got))
		}
		slices.Sort(got)
		for j, k := range got {
			if j != k {
				t.Fatalf("of %d keys %d is missing", len(keys), j)
			}
		}
	}
}

func TestMergeSort(t *testing.T) {
	beats := map[string]string{"a": "b", "b": "c", "c": "a"} // no order
	got := mergeSort([]string{"a", "b", "c"}, func(x, y string) int {
		switch {
		case beats[x] == y:
			return -1
		case beats[y] == x:
			return 1
		}
		return 0
	})
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	stable := mergeSort([]string{"b1", "a1", "b2", "a2", "a3"}, func(x, y string) int { return int(x[0]) - int(y[0]) })
	if want := []string{"a1", "a2", "a3", "b1", "b2"}; !slices.Equal(stable, want) {
		t.Errorf("got %v, want %v", stable, want)
	}
}
