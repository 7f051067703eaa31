package scheduler

import (
	"slices"
	"testing"

	"gcrm/cib"
)

// entryOf makes a history entry; magic is what it has as transition-magic.
func entryOf(id, call, change, magic string) *cib.Element {
	el := cib.NewElement("lrm_rsc_op", "id", id, "call-id", call)
	if change != "" {
		el.Set("last-rc-change", change)
	}
	if magic != "" {
		el.Set("transition-magic", magic)
	}
	return el
}

func TestNewerOp(t *testing.T) {
	on := func(node string, el *cib.Element) *cib.Element {
		el.Set("on_node", node)
		return el
	}
	pending := func(transition string) *cib.Element {
		return entryOf("p", "-1", "", "-1:193;4:"+transition+":0:one")
	}
	done := func(transition, uuid string) *cib.Element {
		return entryOf("d", "7", "", "0:0;4:"+transition+":0:"+uuid)
	}
	for _, c := range []struct {
		name     string
		a, b     *cib.Element
		sameNode bool
		want     int
	}{
		{"by call id on one node", entryOf("a", "3", "900", ""), entryOf("b", "5", "100", ""), true, -1},
		{"by time on two nodes", entryOf("a", "3", "900", ""), entryOf("b", "5", "100", ""), false, 1},
		{"by time with one call id", entryOf("a", "3", "100", ""), entryOf("b", "3", "900", ""), true, -1},
		{"without a time nothing is known", entryOf("a", "3", "", ""), entryOf("b", "3", "900", ""), true, 0},
		{"equal times", entryOf("a", "3", "900", ""), entryOf("b", "3", "900", ""), true, 0},
		{"an entry beside its double", entryOf("a", "3", "100", ""), entryOf("a", "5", "900", ""), true, 0},
		{"one id on two nodes", entryOf("a", "3", "100", ""), entryOf("a", "5", "900", ""), false, -1},
		{"entries that name one node", on("n1", entryOf("a", "3", "900", "")), on("N1", entryOf("b", "5", "100", "")), false, -1},
		{"entries that name two nodes", on("n1", entryOf("a", "3", "900", "")), on("n2", entryOf("a", "5", "100", "")), true, 1},
		{"both pending", pending("3"), entryOf("q", "-1", "", "-1:193;4:9:0:one"), true, 0},
		{"pending, of a later transition", pending("5"), done("4", "one"), true, 1},
		{"pending, of an earlier transition", pending("3"), done("4", "one"), true, -1},
		{"pending, of the same transition", pending("4"), done("4", "one"), true, 1},
		{"pending, of another controller", pending("3"), done("4", "two"), true, 1},
		{"pending, beside one of no transition", pending("3"), entryOf("d", "7", "", ""), true, 0},
		{"pending, beside one outside transitions", pending("3"), done("-1", "one"), true, -1},
	} {
		if got := newerOp(c.a, c.b, c.sameNode); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := newerOp(c.b, c.a, c.sameNode); got != -c.want {
			t.Errorf("%s, the other way round: %d, want %d", c.name, got, -c.want)
		}
	}
}

// TestByAge: entries that nothing tells apart come out in reverse order, and a
// circle (x before y by their numbers, y before p, p before x by transitions)
// is cut where lists of the reference are split.
func TestByAge(t *testing.T) {
	ids := func(list []*cib.Element) string {
		out := ""
		for _, el := range list {
			out += el.ID()
		}
		return out
	}
	twins := []*cib.Element{entryOf("a", "5", "900", ""), entryOf("b", "5", "900", ""), entryOf("c", "4", "950", "")}
	if got := ids(byAge(twins)); got != "cba" {
		t.Errorf("twins: %s, want cba", got)
	}
	x := entryOf("x", "3", "", "0:0;1:9:0:one")
	y := entryOf("y", "5", "", "0:0;1:2:0:one")
	p := entryOf("p", "-1", "", "-1:193;1:4:0:one")
	given := []*cib.Element{x, y, p}
	if newerOp(x, y, true) != -1 || newerOp(y, p, true) != -1 || newerOp(p, x, true) != -1 {
		t.Fatal("no circle")
	}
	if got := ids(byAge(given)); got != "pxy" {
		t.Errorf("circle: %s, want pxy", got)
	}
	if !slices.Equal(given, []*cib.Element{x, y, p}) {
		t.Error("the entries were moved")
	}
}
