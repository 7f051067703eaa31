package whole

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
)

// kind is one kind of fault.
type kind struct {
	name string
	do   func(w *world, h *host)
	// chosen faults come only where a plan names them.
	chosen bool
}

// kinds are all faults that random schedules are made of.
func kinds() []kind {
	return append(append(machineFaults(), networkFaults()...), append(deviceFaults(), workFaults()...)...)
}

// fault makes one thing go wrong.
func (w *world) fault() {
	h := w.pick()
	if l := w.leader(); l != nil && w.chance(0.3) {
		h = l
	}
	var among []kind
	for _, k := range kinds() {
		if len(w.faults) == 0 && !k.chosen || slices.Contains(w.faults, k.name) {
			among = append(among, k)
		}
	}
	if len(w.faults) > 0 && len(among) == 0 {
		panic("no such faults: " + strings.Join(w.faults, ", "))
	}
	k := among[w.rng.IntN(len(among))]
	w.count(k.name)
	k.do(w, h)
}

// machineFaults befall a host, its daemon or its disk.
func machineFaults() []kind {
	return []kind{
		{name: "power failure", do: func(w *world, h *host) {
			w.outage(h, w.between(0.5, 6))
		}},
		{name: "power failure of all", do: func(w *world, h *host) {
			w.note("power of all fails")
			for _, o := range w.hosts {
				w.outage(o, w.between(0.5, 4))
			}
		}},
		{name: "power failure at a write", do: func(w *world, h *host) {
			// What is written next is how the loss of another one is dealt with.
			if o := w.pick(); o != h && w.chance(0.5) {
				w.outage(o, w.between(0.5, 6))
			}
			n, back := 1+w.rng.IntN(40), w.between(0.5, 6)
			w.note("power of %s will fail at write %d", h.name, n)
			h.disk.mu.Lock()
			h.disk.fatal, h.disk.outage = n, back
			h.disk.mu.Unlock()
		}},
		{name: "daemon killed", do: func(w *world, h *host) {
			w.note("the daemon of %s is killed", h.name)
			back := w.between(0.1, 3)
			if len(w.faults) > 0 {
				back /= 5
			}
			if l := h.kill(); l != nil {
				w.wg.Go(func() { h.later(back, l) })
			}
		}},
		{name: "daemon killed in the middle of a start", chosen: true, do: func(w *world, h *host) {
			for range 100 {
				time.Sleep(w.detection / 20)
				busy := w.busyNow()
				for _, at := range slices.Sorted(maps.Keys(busy)) {
					_, name, _ := strings.Cut(at, "@")
					o := w.net.hosts[name]
					if busy[at] != drivers.Start || o.current() == nil {
						continue
					}
					w.note("the daemon of %s is killed while it starts something", o.name)
					l := o.kill()
					w.wg.Go(func() { o.later(w.detection/5, l) })
					return
				}
			}
		}},
		{name: "host hangs", do: func(w *world, h *host) {
			d := w.between(0.3, 8)
			w.note("%s hangs for %v: nothing gets in or out, and no agent runs", h.name, d)
			w.touch()
			w.net.hang(h, d)
			h.disk.mu.Lock()
			h.disk.stalled = time.Now().Add(d)
			h.disk.mu.Unlock()
		}},
		{name: "clock jumps", do: func(w *world, h *host) {
			d := time.Duration(w.rng.Int64N(int64(200 * time.Hour)))
			if w.chance(0.5) {
				d = -d
			}
			w.note("the clock of %s jumps by %v", h.name, d)
			h.skew.Add(int64(d))
		}},
		{name: "disk stalls", do: func(w *world, h *host) {
			stall := w.between(0.2, 5)
			w.note("the disk of %s stalls for %v", h.name, stall)
			h.disk.mu.Lock()
			h.disk.stalled = time.Now().Add(stall)
			h.disk.mu.Unlock()
		}},
		{name: "disk is slow", do: func(w *world, h *host) {
			d := w.between(0.01, 0.3)
			w.note("the disk of %s is slow: up to %v for a write", h.name, d)
			h.disk.mu.Lock()
			h.disk.slow = d
			h.disk.mu.Unlock()
		}},
		{name: "disk is full", do: func(w *world, h *host) {
			d := w.between(0.3, 6)
			w.note("the disk of %s is full for %v", h.name, d)
			h.disk.setFull(true)
			w.wg.Go(func() {
				time.Sleep(d)
				h.disk.setFull(false)
			})
		}},
	}
}

// outage is a power failure of a host.
func (w *world) outage(h *host, d time.Duration) {
	w.note("power of %s fails", h.name)
	h.powerOff()
	w.wg.Go(func() {
		time.Sleep(d)
		if !w.closed() {
			h.boot()
		}
	})
}

// networkFaults befall what is between hosts.
func networkFaults() []kind {
	return []kind{
		{name: "two are cut from each other", do: func(w *world, _ *host) {
			a, b := w.pair()
			w.note("%s and %s are cut from each other", a.name, b.name)
			w.sever(a, b, true)
		}},
		{name: "two meet before the switch answers", do: func(w *world, _ *host) { w.meets() }},
		{name: "one direction is cut", do: func(w *world, _ *host) {
			a, b := w.pair()
			w.note("nothing of %s reaches %s", a.name, b.name)
			w.net.set(a.name, b.name, -1, true)
			w.touch()
		}},
		{name: "one link of several is cut", do: func(w *world, h *host) {
			link := w.rng.IntN(w.links)
			w.note("link %d of %s is cut off", link, h.name)
			for _, o := range w.hosts {
				if o != h {
					w.net.set(h.name, o.name, link, true)
					w.net.set(o.name, h.name, link, true)
				}
			}
			w.touch()
		}},
		{name: "one is cut off", do: func(w *world, h *host) {
			w.note("%s is cut off", h.name)
			w.cutOff(h)
		}},
		{name: "one is cut off over several boots", do: func(w *world, h *host) {
			w.note("%s is cut off for long", h.name)
			w.cutOff(h)
			time.Sleep(w.between(5, 15))
		}},
		{name: "network splits", do: func(w *world, _ *host) {
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
		}},
		{name: "link flaps", do: func(w *world, _ *host) {
			a, b := w.pair()
			w.note("the link of %s and %s flaps", a.name, b.name)
			for range 4 + w.rng.IntN(8) {
				w.sever(a, b, true)
				time.Sleep(w.between(0.05, 0.6))
				w.sever(a, b, false)
				time.Sleep(w.between(0.05, 0.4))
			}
		}},
		{name: "overtaken while an order is on its way", chosen: true, do: func(w *world, _ *host) {
			w.administer(func() { w.overtaken(w.leader()) })
		}},
		{name: "streams stall", do: func(w *world, h *host) {
			back := w.between(0.5, 6)
			for _, to := range w.hosts {
				if to == h || w.chance(0.4) {
					continue
				}
				w.note("what %s sends to %s in streams does not arrive", h.name, to.name)
				w.net.stall(h.name, to.name, true)
				w.wg.Go(func() {
					time.Sleep(back)
					w.net.stall(h.name, to.name, false)
				})
			}
		}},
		{name: "packets lost, doubled, late, out of order", do: func(w *world, _ *host) {
			w.net.mu.Lock()
			w.net.loss, w.net.doubling, w.net.spike = w.rng.Float64()*0.3, w.rng.Float64()*0.2, w.rng.Float64()*0.05
			w.net.mu.Unlock()
			w.note("the network is bad: %.2f of datagrams lost, %.2f doubled, %.3f late", w.net.loss, w.net.doubling, w.net.spike)
		}},
		{name: "packets lost, doubled, very late", do: func(w *world, _ *host) {
			w.net.mu.Lock()
			w.net.loss, w.net.doubling, w.net.spike, w.net.tardy = w.rng.Float64()*0.1, w.rng.Float64()*0.5, w.rng.Float64()*0.03, w.between(0.3, 6)
			w.net.mu.Unlock()
			w.note("the network is bad: %.2f of datagrams lost, %.2f doubled, %.3f late by up to %v", w.net.loss, w.net.doubling, w.net.spike, w.net.tardy)
		}},
	}
}

// deviceFaults befall the power switch.
func deviceFaults() []kind {
	mode := func(name string, m deviceMode) kind {
		return kind{name: "fence device " + name, do: func(w *world, _ *host) {
			w.note("the power switch %s", name)
			w.mu.Lock()
			w.switching, w.switchDelay = m, w.between(0.5, 14)
			w.mu.Unlock()
		}}
	}
	return []kind{mode("fails", deviceFails), mode("hangs", deviceHangs), mode("answers late", deviceAnswersLate), mode("acts late", deviceActsLate),
		mode("acts twice", deviceActsTwice), mode("says done and does nothing", deviceClaims)}
}

// workFaults befall agents and resources, or are what administrators do.
func workFaults() []kind {
	return []kind{
		{name: "resource dies", do: func(w *world, _ *host) {
			id := w.anyResource()
			w.mu.Lock()
			for _, at := range slices.Sorted(maps.Keys(w.active[id])) {
				if w.busy[id+"@"+at] == "" {
					w.noteLocked("%s dies on %s", id, at)
					delete(w.active[id], at)
				}
			}
			w.mu.Unlock()
		}},
		{name: "agents are slow", do: func(w *world, _ *host) {
			d := w.between(0.5, 3)
			w.note("agents are slow: %v", d)
			w.slowAgents(d)
		}},
		{name: "an agent hangs", do: func(w *world, h *host) { w.agentFails(h, agentHangs) }},
		{name: "an agent fails", do: func(w *world, h *host) { w.agentFails(h, agentFails) }},
		{name: "a resource cannot be stopped", do: func(w *world, h *host) {
			id := w.anyResource()
			w.note("%s cannot be stopped on %s", id, h.name)
			w.mu.Lock()
			w.stopFails[id+"@"+h.name] = true
			w.mu.Unlock()
		}},
		{name: "leaves", do: func(w *world, h *host) {
			if l := h.current(); l != nil && h.running() != nil {
				w.note("%s leaves", h.name)
				limit := w.between(2, 15)
				w.wg.Go(func() { w.stop(l, limit) })
			}
		}},
		{name: "leaves what it runs behind", do: func(w *world, h *host) {
			if l := h.current(); l != nil && h.running() != nil {
				w.note("%s leaves what it runs behind", h.name)
				w.wg.Go(func() { w.leave(l) })
			}
		}},
		{name: "standby", do: func(w *world, h *host) { w.administer(func() { w.standby(h, "on") }) }},
		{name: "maintenance mode", do: func(w *world, _ *host) {
			w.administer(func() { w.setProperty("maintenance-mode", "true") })
		}},
		{name: "resource added or removed", do: func(w *world, _ *host) { w.administer(w.toggleExtra) }},
		{name: "no-quorum-policy changed", do: func(w *world, _ *host) {
			policy := []string{"stop", "freeze", "suicide", "demote"}[w.rng.IntN(4)]
			w.administer(func() { w.setProperty("no-quorum-policy", policy) })
		}},
		{name: "removed and joins again", do: func(w *world, h *host) { w.replace(h) }},
		{name: "upgraded", do: func(w *world, h *host) { w.upgrade(h) }},
	}
}

func (w *world) anyResource() string { return resourceName(w.rng.IntN(w.plan.resources)) }

// calm ends all faults; whoever is down comes back.
func (w *world) calm() {
	w.note("--- calm")
	w.net.heal()
	w.touch()
	w.mu.Lock()
	w.switching, w.slow = deviceWorks, 0
	clear(w.stopFails)
	clear(w.agentFaults)
	w.mu.Unlock()
	for _, h := range w.hosts {
		h.disk.mu.Lock()
		h.disk.full, h.disk.stalled, h.disk.slow, h.disk.fatal = false, time.Time{}, 0, 0
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
