package drill

import (
	"testing"
	"time"
)

func TestTracker(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	on := func(node string) map[string]place {
		return map[string]place{"web": {node: node}, "other": {node: "n3"}}
	}
	// A standby: stopped, started elsewhere.
	tr := newTracker(on("n1"), "n1")
	tr.see(on("n1"), false, at(0))
	tr.see(on(""), false, at(1))
	if a := tr.away(); len(a) != 1 || a[0] != "web" {
		t.Errorf("away: %v", a)
	}
	tr.see(on("n2"), false, at(3.5))
	// Back again.
	tr.see(on(""), false, at(10))
	tr.see(on("n1"), false, at(11))
	o := tr.outages(at(20))
	if len(o) != 1 || o[0].Away != 3500*time.Millisecond || o[0].Longest != 2500*time.Millisecond || o[0].Times != 2 || o[0].Still || o[0].To != "n1" {
		t.Errorf("standby: %+v", o)
	}
	if l := tr.notHome(on("n2")); len(l) != 1 {
		t.Errorf("not home: %v", l)
	}
	// A crash: the cluster shows the old place until it notices.
	tr = newTracker(on("n1"), "n1")
	tr.gone(at(0))
	tr.see(on("n1"), false, at(0.5))
	if len(tr.away()) != 1 {
		t.Error("an unnoticed crash counts as service")
	}
	tr.see(on("n1"), true, at(2))
	tr.see(on(""), true, at(3))
	tr.see(on("n2"), true, at(4))
	if o := tr.outages(at(9)); o[0].Away < 2*time.Second || o[0].To != "n2" || o[0].Still {
		t.Errorf("crash: %+v", o)
	}
	// Never back.
	tr = newTracker(on("n1"), "n1")
	tr.see(on(""), false, at(1))
	if o := tr.outages(at(6)); !o[0].Still || o[0].Away != 5*time.Second {
		t.Errorf("lost: %+v", o)
	}
	// Promoted counts as a service of its own.
	tr = newTracker(map[string]place{"db": {node: "n1", promoted: true}}, "n1")
	tr.see(map[string]place{"db": {promoted: true}}, false, at(1))
	tr.see(map[string]place{"db": {node: "n2", promoted: true}}, false, at(2))
	if o := tr.outages(at(9)); o[0].Away != time.Second {
		t.Errorf("promoted: %+v", o)
	}
}

func TestGauge(t *testing.T) {
	start := time.Unix(1000, 0)
	g := gauge{lastGood: start}
	for _, s := range []struct {
		at   int
		good bool
	}{{1, true}, {2, false}, {3, false}, {4, true}, {5, true}, {6, false}, {9, true}, {10, false}} {
		g.note(s.good, start.Add(time.Duration(s.at)*time.Second))
	}
	o := g.result(start.Add(12 * time.Second))
	// From the last good answer before to the first after: 1-4, 5-9, 9-12.
	if o.Away != 10*time.Second || o.Longest != 4*time.Second || o.Times != 3 || !o.Still {
		t.Errorf("%+v", o)
	}
}

func TestProbeOfNothing(t *testing.T) {
	for _, s := range []string{"", "nonsense", "ftp://x"} {
		if _, err := newProbe(s); err == nil && s != "ftp://x" {
			t.Errorf("%q was accepted", s)
		}
	}
	p, err := newProbe(t.TempDir())
	if err != nil || p.try(t.Context()) != nil {
		t.Errorf("a folder: %v", err)
	}
	if p, err = newProbe("/nowhere/at/all"); err != nil || p.try(t.Context()) == nil {
		t.Errorf("a path that is not there: %v", err)
	}
	if p, err = newProbe("127.0.0.1:1"); err != nil || p.try(t.Context()) == nil {
		t.Errorf("a closed port: %v", err)
	}
}
