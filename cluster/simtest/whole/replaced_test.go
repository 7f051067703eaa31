package whole

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestReplacedNode removes a node and takes a new machine in under its name,
// that starts a while after it was invited. Nobody is fenced for that, and the
// cluster has nothing left to do in the end.
func TestReplacedNode(t *testing.T) {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, plan{seed: 77, nodes: 3, log: silent})
		if w.begin() {
			b := w.follower(0)
			w.retire(b)
			time.Sleep(5 * w.detection)
			w.invite(b)
			time.Sleep(5 * w.detection)
			b.back()
			b.boot()
			w.rest(60 * w.detection)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
			actions := w.actions()
			time.Sleep(20 * w.detection)
			// Two resources are monitored every five seconds.
			if k := w.actions() - actions; k > 12 {
				w.violated("%d actions of agents in a quiet cluster", k)
			}
		}
		w.close()
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	if t.Failed() {
		t.Log(w.tail(200))
	}
}

// TestLeaderIsNew: while a node is away, another one joins that it has never
// heard of, and leads when it is back. The third one is a witness, which only
// follows. Who is back listens to nobody but those in its own log, and the
// leader takes nobody in whom it does not hear: the witness tells.
func TestLeaderIsNew(t *testing.T) {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, plan{seed: 78, nodes: 3, witness: true, log: silent, properties: map[string]string{"stonith-action": "off"}})
		if w.begin() {
			a, b := w.hosts[0], w.hosts[1]
			w.retire(a)
			time.Sleep(2 * w.detection) // until b knows that
			b.powerOff()
			w.until(40*w.detection, b.name+" is fenced", func() bool { return w.timesFenced(b) > 0 })
			w.invite(a)
			a.back()
			a.boot()
			w.until(60*w.detection, a.name+" leads", func() bool { return w.leader() == a })
			w.returns(b)
			w.rest(60 * w.detection)
		}
		w.close()
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	if t.Failed() {
		t.Log(w.tail(200))
	}
}

// retire removes a host, which is not started any more; its disk is empty then.
func (w *world) retire(h *host) {
	l := h.current()
	w.stop(l, 30*w.detection)
	if !h.setAway(l) || !w.remove(h, 20*w.detection) {
		w.violated("%s could not be removed", h.name)
	}
	h.disk.replace()
}

func (w *world) actions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats.Actions
}

// TestPowerFailsWhileTheElectorateIsForced: the survivor of two has the other one
// fenced, is about to go on alone with a slow disk, and loses power itself. The other
// one, which had joined, is back by then. Whatever was on the disk, both have to find
// to each other.
func TestPowerFailsWhileTheElectorateIsForced(t *testing.T) {
	for k := range 24 {
		var w *world
		synctest.Test(t, func(t *testing.T) {
			w = newWorld(t, plan{seed: 79 + uint64(k), nodes: 2, log: silent, properties: map[string]string{"stonith-action": "off"}})
			if w.begin() {
				a, b := w.hosts[0], w.hosts[1]
				before := w.timesFenced(b)
				b.powerOff()
				a.disk.mu.Lock()
				a.disk.slow = w.detection
				a.disk.mu.Unlock()
				w.until(40*w.detection, b.name+" is fenced", func() bool { return w.timesFenced(b) > before })
				b.boot()
				time.Sleep(time.Duration(k+1) * w.detection / 4)
				a.powerOff()
				a.disk.mu.Lock()
				a.disk.slow = 0
				a.disk.mu.Unlock()
				time.Sleep(2 * w.detection)
				a.boot()
				w.rest(100 * w.detection)
			}
			w.close()
		})
		for _, v := range w.violations {
			t.Errorf("power off %d quarters of the detection time after the fencing: %s", k+1, v)
		}
		if t.Failed() {
			t.Fatal(w.tail(200))
		}
	}
}
