package lockspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func always(s Standing) func(int) Standing { return func(int) Standing { return s } }

// build applies entries written as "2 stopped gfs 3" on nodes that are
// present; the life of a node is its number and a letter, "a" at first.
func build(t *testing.T, from Table, lines ...string) Table {
	t.Helper()
	for _, l := range lines {
		next, err := from.Apply(parse(t, l), always(Present))
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		from = next
	}
	return from
}

func parse(t *testing.T, line string) Entry {
	t.Helper()
	var e Entry
	w := append(strings.Fields(line), "", "", "")
	life, letter, _ := strings.Cut(w[0], "/")
	if letter == "" {
		letter = "a"
	}
	if _, err := fmt.Sscan(life, &e.Node); err != nil {
		t.Fatal(line, err)
	}
	e.Boot, e.Kind, e.Space = life+letter, Kind(w[1]), w[2]
	if w[3] != "" {
		if _, err := fmt.Sscan(w[3], &e.Generation); err != nil {
			t.Fatal(line, err)
		}
	}
	return e
}

// show writes a table as a line.
func show(t Table) string {
	var b strings.Builder
	for _, s := range t.Spaces {
		fmt.Fprintf(&b, "%s %d", s.Name, s.Generation)
		if s.Running {
			b.WriteString(" runs")
		}
		for _, list := range []struct {
			mark string
			of   []Member
		}{{"", s.Members}, {"leaving ", s.Leaving}, {"lost ", s.Lost}} {
			for _, m := range list.of {
				fmt.Fprintf(&b, " %s%s", list.mark, m.Boot)
				if m.Stopped {
					b.WriteByte('.')
				}
				if m.Started {
					b.WriteByte('!')
				}
			}
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func two(t *testing.T) Table {
	return build(t, Table{}, "1 hello", "2 hello", "1 join gfs", "1 stopped gfs 1", "1 started gfs 1",
		"2 join gfs", "1 stopped gfs 2", "2 stopped gfs 2", "1 started gfs 2", "2 started gfs 2")
}

func TestLifeOfALockspace(t *testing.T) {
	table := build(t, Table{}, "1 hello", "2 hello")
	for _, c := range [][2]string{
		{"1 join gfs", "gfs 1 1a"},
		{"1 stopped gfs 1", "gfs 1 runs 1a."},
		{"1 started gfs 1", "gfs 1 runs 1a.!"},
		{"2 join gfs", "gfs 2 1a 2a"},
		{"2 join gfs", "gfs 2 1a 2a"}, // once more
		{"2 stopped gfs 2", "gfs 2 1a 2a."},
		{"1 stopped gfs 2", "gfs 2 runs 1a. 2a."},
		{"1 join lvm", "gfs 2 runs 1a. 2a.; lvm 3 1a"},
		{"2 leave gfs", "gfs 4 1a leaving 2a; lvm 3 1a"},
		{"1 stopped gfs 4", "gfs 4 1a. leaving 2a; lvm 3 1a"},
		{"2 stopped gfs 4", "gfs 4 runs 1a.; lvm 3 1a"},
		{"1 halted gfs 4", "gfs 5 1a; lvm 3 1a"},
		{"1 stopped gfs 5", "gfs 5 runs 1a.; lvm 3 1a"},
		{"1 leave gfs", "gfs 6 leaving 1a; lvm 3 1a"},
		{"1 leave gfs", "gfs 6 leaving 1a; lvm 3 1a"},
		{"1 stopped gfs 6", "lvm 3 1a"},
		{"2 join gfs", "gfs 7 2a; lvm 3 1a"}, // no number is used twice
	} {
		if table = build(t, table, c[0]); show(table) != c[1] {
			t.Fatalf("%s: %s; want %s", c[0], show(table), c[1])
		}
	}
	raw, err := json.Marshal(table)
	var back Table
	if err == nil {
		err = json.Unmarshal(raw, &back)
	}
	if err != nil || !reflect.DeepEqual(back, table) {
		t.Errorf("%v %s", err, raw)
	}
}

func TestWhatIsPastCountsNoMore(t *testing.T) {
	table := two(t)
	left := build(t, table, "1 leave gfs", "1 stopped gfs 3", "2 stopped gfs 3", "2 leave gfs", "2 stopped gfs 4")
	again := build(t, left, "1 join gfs", "1 stopped gfs 5", "2 join gfs")
	reborn := build(t, table, "2/b hello", "2/b join gfs")
	for _, c := range []struct {
		at    Table
		entry string
		want  string // part of the error
	}{
		{table, "1 stopped gfs 1", "at generation 2, not 1"},
		{table, "2/b join gfs", "started again"},
		{again, "1 stopped gfs 2", "at generation 6, not 2"}, // of the lockspace of that name before
		{reborn, "2 leave gfs", "started again"},
		{reborn, "2 stopped gfs 2", "started again"},
		{build(t, table, "1 halted gfs 2"), "1 started gfs 3", "does not run"},
		{build(t, table, "1 leave gfs"), "1 join gfs", "still leaving"},
	} {
		next, err := c.at.Apply(parse(t, c.entry), always(Present))
		if err == nil || !strings.Contains(err.Error(), c.want) || show(next) != show(c.at) {
			t.Errorf("%s on %s: %v, %s", c.entry, show(c.at), err, show(next))
		}
	}
	if _, err := table.Apply(parse(t, "1 stopped gfs 1"), always(Present)); !errors.Is(err, ErrStale) {
		t.Errorf("%v", err)
	}
	if _, err := table.Apply(parse(t, "1 join other"), always(Missing)); err == nil {
		t.Error("a node outside the cluster joined")
	}
	for _, e := range []Entry{{Kind: Hello}, {Kind: Join, Life: Life{1, "1a"}}, {Kind: Join, Life: Life{1, "1a"}, Space: strings.Repeat("x", 65)},
		{Kind: "what", Life: Life{1, "1a"}, Space: "gfs", Generation: 2}} {
		if _, err := table.Apply(e, always(Present)); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}

// TestLostNodes: the survivors wait for the proof, whichever it is.
func TestLostNodes(t *testing.T) {
	without2 := func(s Standing) func(int) Standing {
		return func(n int) Standing {
			if n == 2 {
				return s
			}
			return Present
		}
	}
	lost := build(t, two(t).Settle(without2(Missing)), "1 stopped gfs 3")
	if show(lost) != "gfs 3 1a. lost 2a" || lost.Spaces[0].Waits(func(n int) string { return fmt.Sprint("node", n) }) != "blocked because the fencing of node2 is pending" {
		t.Fatal(show(lost))
	}
	const done = "gfs 3 runs 1a."
	if got := show(lost.Settle(without2(Down))); got != done {
		t.Errorf("fenced: %s", got)
	}
	if got := show(build(t, lost, "2 proven")); got != done {
		t.Errorf("proven: %s", got)
	}
	if got := show(build(t, lost, "2/b proven")); got != show(lost) {
		t.Errorf("another life is proven: %s", got)
	}
	if got := show(build(t, lost, "2/b hello")); got != done {
		t.Errorf("started again: %s", got)
	}
	back := lost.Settle(always(Present)) // not started again
	if show(back) != show(lost) || len(back.Condemned()) != 1 || !back.Holds(2) {
		t.Errorf("returned as it was: %s", show(back))
	}
	if _, err := back.Apply(parse(t, "2 join gfs"), always(Present)); err == nil || !strings.Contains(err.Error(), "started again first") {
		t.Errorf("%v", err)
	}
	if got := show(two(t).Settle(without2(Down))); got != "gfs 3 1a" {
		t.Errorf("lost and down at once: %s", got)
	}
	if got := show(build(t, two(t), "2 failed")); got != "gfs 3 1a lost 2a" {
		t.Errorf("without control: %s", got)
	}
	// One that never ran it held nothing.
	if got := show(build(t, Table{}, "1 hello", "2 hello", "1 join gfs", "1 stopped gfs 1", "2 join gfs").Settle(without2(Missing))); got != "gfs 3 1a" {
		t.Errorf("lost while joining: %s", got)
	}
}

func TestID(t *testing.T) {
	// Seen in /sys/kernel/dlm/NAME/id under another control daemon's formula:
	// the checksum includes the terminating zero.
	if ID("clvmd") != 0x4104eefa {
		t.Errorf("%#x", ID("clvmd"))
	}
}
