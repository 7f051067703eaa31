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
			l := b.current()
			w.stop(l, 30*w.detection)
			if !b.setAway(l) || !w.remove(b, 20*w.detection) {
				w.violated("%s could not be removed", b.name)
			}
			b.disk.mu.Lock()
			b.disk.synced = newDisk(b.disk.rng).synced
			b.disk.mu.Unlock()
			time.Sleep(5 * w.detection)
			w.invite(b)
			time.Sleep(5 * w.detection)
			w.net.mu.Lock()
			b.away = false
			w.net.mu.Unlock()
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

func (w *world) actions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats.Actions
}
