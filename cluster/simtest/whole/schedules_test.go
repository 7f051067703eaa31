//go:debug randseednop=0
package whole

import (
	"flag"
	"fmt"
	"maps"
	oldrand "math/rand"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/drivers"
)

var (
	worlds    = flag.Int("worlds", 6, "how many random clusters to simulate")
	firstSeed = flag.Uint64("first", 1, "the first of these seeds")
	oneSeed   = flag.Uint64("seed", 0, "simulate this cluster alone")
	schedules = flag.Int("schedules", 8, "fault schedules in the life of a cluster")
	hours     = flag.Float64("hours", 0, "simulate for that long instead")
)

// draw makes up a world from a seed.
func draw(seed uint64) plan {
	p := plan{seed: seed, nodes: []int{2, 3, 3, 3, 5}[seed%5], links: 1 + int(seed/5%2)}
	if p.nodes == 3 && seed%3 == 0 {
		p.witness = true
	}
	p.policy = []string{"", "freeze", "", "suicide"}[seed/7%4]
	if p.nodes == 2 {
		p.delays = "node1:2s;node2:0s"
	}
	return p
}

// live runs the life of one world and returns it.
func live(t *testing.T, p plan, count int) *world {
	var w *world
	//lint:ignore SA1019 nothing newer reaches the source that raft uses
	oldrand.Seed(int64(p.seed)) // raft's timeouts come from there
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, p)
		stop := make(chan struct{})
		w.wg.Go(func() { w.sabotage(stop) })
		if w.begin() {
			for i := range count {
				w.note("--- schedule %d", i+1)
				w.trouble()
				w.calm()
				w.stats.Schedules++
				if !w.rest(150 * w.detection) {
					break
				}
			}
		}
		close(stop)
		w.close()
	})
	return w
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between draws a duration in units of the detection time.
func (w *world) between(a, b float64) time.Duration {
	return time.Duration((a + (b-a)*w.rng.Float64()) * float64(w.detection))
}

func (w *world) pick() *host { return w.hosts[w.rng.IntN(len(w.hosts))] }

func (w *world) pair() (a, b *host) {
	i := w.rng.IntN(len(w.hosts))
	j := (i + 1 + w.rng.IntN(len(w.hosts)-1)) % len(w.hosts)
	return w.hosts[i], w.hosts[j]
}

// sever cuts or mends both directions between two hosts.
func (w *world) sever(a, b *host, cut bool) {
	w.net.set(a.name, b.name, -1, cut)
	w.net.set(b.name, a.name, -1, cut)
	w.touch()
}

// trouble is one schedule of faults.
func (w *world) trouble() {
	end := time.Now().Add(w.between(2, 6))
	for range 1 + w.rng.IntN(4) {
		w.fault()
		time.Sleep(w.between(0, 1.5))
	}
	for time.Now().Before(end) {
		h, limit := w.pick(), w.between(0.5, 3)
		w.wg.Go(func() { w.mark(h, limit) })
		time.Sleep(w.between(0.1, 1))
	}
}

// fault makes one thing go wrong.
func (w *world) fault() {
	h := w.pick()
	if l := w.leader(); l != nil && w.chance(0.3) {
		h = l
	}
	kind := w.rng.IntN(13)
	if len(w.faults) > 0 {
		kind = w.faults[w.rng.IntN(len(w.faults))]
	}
	switch kind {
	case 0:
		w.note("power of %s fails", h.name)
		w.stats.PowerFailures++
		back := w.between(0.5, 6)
		h.powerOff()
		w.wg.Go(func() {
			time.Sleep(back)
			if !w.closed() {
				h.boot()
			}
		})
	case 1:
		w.note("the daemon of %s is killed", h.name)
		w.stats.Kills++
		back := w.between(0.1, 3)
		if len(w.faults) > 0 {
			back /= 5
		}
		if l := h.kill(); l != nil {
			w.wg.Go(func() { h.later(back, l) })
		}
	case 2:
		a, b := w.pair()
		w.note("%s and %s are cut from each other", a.name, b.name)
		w.stats.Cuts++
		w.sever(a, b, true)
	case 3:
		a, b := w.pair()
		w.note("nothing of %s reaches %s", a.name, b.name)
		w.stats.Cuts++
		w.net.set(a.name, b.name, -1, true)
		w.touch()
	case 4:
		w.note("%s is cut off", h.name)
		w.stats.Cuts++
		for _, o := range w.hosts {
			if o != h {
				w.sever(h, o, true)
			}
		}
	case 5:
		a, b := w.pair()
		w.note("the link of %s and %s flaps", a.name, b.name)
		w.stats.Cuts++
		for range 4 + w.rng.IntN(8) {
			w.sever(a, b, true)
			time.Sleep(w.between(0.05, 0.6))
			w.sever(a, b, false)
			time.Sleep(w.between(0.05, 0.4))
		}
	case 6:
		w.net.mu.Lock()
		w.net.loss, w.net.doubling, w.net.spike = w.rng.Float64()*0.3, w.rng.Float64()*0.2, w.rng.Float64()*0.05
		w.net.mu.Unlock()
		w.note("the network is bad: %.2f of datagrams lost, %.2f doubled, %.3f late", w.net.loss, w.net.doubling, w.net.spike)
	case 7:
		stall := w.between(0.2, 5)
		w.note("the disk of %s stalls for %v", h.name, stall)
		h.disk.mu.Lock()
		h.disk.stalled = time.Now().Add(stall)
		h.disk.mu.Unlock()
	case 8:
		w.note("the power switch fails")
		w.mu.Lock()
		w.deviceFails = true
		w.mu.Unlock()
	case 9:
		id := fmt.Sprintf("p%d", w.rng.IntN(w.plan.resources))
		w.mu.Lock()
		for at := range w.active[id] {
			if w.busy[id+"@"+at] == "" {
				w.noteLocked("%s dies on %s", id, at)
				delete(w.active[id], at)
			}
		}
		w.mu.Unlock()
	case 10:
		w.mu.Lock()
		w.slow = w.between(0.5, 3)
		w.mu.Unlock()
		w.note("agents are slow: %v", w.slow)
	case 11:
		if l := h.current(); l != nil && h.running() != nil {
			w.note("%s leaves", h.name)
			limit := w.between(2, 15)
			w.wg.Go(func() { w.stop(l, limit) })
		}
	case 14: // only by choice: the daemon dies in the middle of a start
		for range 100 {
			time.Sleep(w.detection / 20)
			for at, action := range w.busyNow() {
				_, name, _ := strings.Cut(at, "@")
				o := w.net.hosts[name]
				if action != drivers.Start || o.current() == nil {
					continue
				}
				w.note("the daemon of %s is killed while it starts something", o.name)
				l := o.kill()
				w.wg.Go(func() { o.later(w.detection/5, l) })
				return
			}
		}
	case 12:
		half := map[bool][]*host{}
		for _, x := range w.hosts {
			side := w.chance(0.5)
			half[side] = append(half[side], x)
		}
		w.note("the network splits %d:%d", len(half[true]), len(half[false]))
		w.stats.Cuts++
		for _, a := range half[true] {
			for _, b := range half[false] {
				w.sever(a, b, true)
			}
		}
	}
}

// calm ends all faults; whoever is down comes back.
func (w *world) calm() {
	w.note("--- calm")
	w.net.heal()
	w.touch()
	w.mu.Lock()
	w.deviceFails, w.slow = false, 0
	clear(w.stopFails)
	w.mu.Unlock()
	for _, h := range w.hosts {
		h.disk.mu.Lock()
		h.disk.full, h.disk.stalled = false, time.Time{}
		h.disk.mu.Unlock()
		if h.current() == nil {
			h.boot()
		}
	}
}

// busyNow is a copy of what agents do.
func (w *world) busyNow() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.busy)
}

func (s *stats) add(o stats) {
	s.Schedules += o.Schedules
	s.Commits += o.Commits
	s.Unknown += o.Unknown
	s.Starts += o.Starts
	s.Actions += o.Actions
	s.Fencings += o.Fencings
	s.PowerFailures += o.PowerFailures
	s.Kills += o.Kills
	s.Cuts += o.Cuts
	s.Expulsions += o.Expulsions
	s.Forced += o.Forced
	s.Simulated += o.Simulated
	s.Datagrams += o.Datagrams
}

func TestSchedules(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if *oneSeed != 0 {
		p := draw(*oneSeed)
		p.log = -4
		w := live(t, p, *schedules)
		t.Logf("%+v\n%s", w.stats, w.tail(1<<30))
		for _, v := range w.violations {
			t.Error(v)
		}
		return
	}
	var total stats
	began, n := time.Now(), 0
	for seed := *firstSeed; ; seed++ {
		if *hours > 0 && time.Since(began).Hours() > *hours || *hours == 0 && n >= *worlds {
			break
		}
		n++
		w := live(t, draw(seed), *schedules)
		total.add(w.stats)
		if len(w.violations) > 0 {
			t.Errorf("seed %d: %v\n%s\nreplay: go test ./cluster/simtest/whole -run TestSchedules -seed %d -schedules %d -v", seed, w.violations, w.tail(1500), seed, *schedules)
			break
		}
	}
	t.Logf("%d clusters in %v: %+v", n, time.Since(began).Round(time.Millisecond), total)
}
