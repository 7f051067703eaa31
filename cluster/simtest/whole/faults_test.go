package whole

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"gcrm/drivers"
)

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
		w.sever(a, b, true)
	case 3:
		a, b := w.pair()
		w.note("nothing of %s reaches %s", a.name, b.name)
		w.net.set(a.name, b.name, -1, true)
		w.touch()
	case 4:
		w.note("%s is cut off", h.name)
		for _, o := range w.hosts {
			if o != h {
				w.sever(h, o, true)
			}
		}
	case 5:
		a, b := w.pair()
		w.note("the link of %s and %s flaps", a.name, b.name)
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
