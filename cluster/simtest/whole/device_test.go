package whole

import (
	"context"
	"time"

	"gcrm/fencing"
)

// deviceMode is how the power switch fails.
type deviceMode int

const (
	deviceWorks deviceMode = iota
	// deviceFails: it answers that it cannot.
	deviceFails
	// deviceHangs: it never answers, and does nothing.
	deviceHangs
	// deviceAnswersLate: it acts, and answers after switchDelay.
	deviceAnswersLate
	// deviceActsLate: it acts after switchDelay, whether somebody waits or not.
	deviceActsLate
	// deviceActsTwice: it acts, and once more after switchDelay.
	deviceActsTwice
	// deviceClaims: it says that it is off and does nothing; asked for the
	// power it tells the truth. After a reboot nothing can be read back, so of
	// reboots it says that they failed.
	deviceClaims
	// deviceAnswersOnCue: it acts, and answers when world.cue is closed.
	deviceAnswersOnCue
)

// Do implements fencing.Method.
func (d *device) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	l, w := d.life, d.life.host.w
	l.awake(ctx)
	w.mu.Lock()
	took := 20*time.Millisecond + time.Duration(w.agents.Int64N(int64(300*time.Millisecond)))
	mode, late, lying, cue := w.switching, w.switchDelay, w.lying, w.cue
	w.mu.Unlock()
	if mode == deviceHangs {
		took = time.Hour
	}
	if mode == deviceActsLate && (c.Action == "off" || c.Action == "reboot") {
		w.wg.Go(func() {
			time.Sleep(late)
			w.switches(l, c, "late")
		})
		took += late
	}
	if !l.waits(ctx, took) {
		return fencing.Fail("", "given up")
	}
	if mode == deviceFails || mode == deviceClaims && c.Action == "reboot" {
		return fencing.Fail("", "the switch does not answer")
	}
	target := w.net.hosts[c.Target]
	switch c.Action {
	case "list":
		var names []string
		for _, h := range w.hosts {
			names = append(names, h.name)
		}
		return fencing.Outcome{Hosts: names}
	case "status", "off", "reboot", "on":
		if target == nil {
			return fencing.Fail("", "no plug %s", c.Target)
		}
	}
	switch c.Action {
	case "status":
		if target.powered() {
			return fencing.Outcome{Power: fencing.PowerOn}
		}
		return fencing.Outcome{Power: fencing.PowerOff}
	case "off", "reboot":
		w.asked(l, target)
		switch {
		case lying:
			w.mu.Lock()
			w.lies++
			w.mu.Unlock()
			return fencing.Outcome{Power: fencing.PowerOff, Text: "a lie"}
		case mode == deviceClaims:
			return fencing.Outcome{Text: "done"}
		case mode == deviceActsLate:
			return fencing.Outcome{Power: fencing.PowerOff, Text: "switched off"}
		}
		w.switches(l, c, "")
		if mode == deviceActsTwice {
			w.wg.Go(func() {
				time.Sleep(late)
				w.switches(l, c, "once more")
			})
		}
		if mode == deviceAnswersLate && !l.waits(ctx, late) {
			return fencing.Fail("", "given up")
		}
		if mode == deviceAnswersOnCue {
			select {
			case <-cue:
			case <-ctx.Done():
				return fencing.Fail("", "given up")
			case <-l.over:
				return fencing.Fail("", "given up")
			}
		}
		return fencing.Outcome{Power: fencing.PowerOff, Text: "switched off"}
	case "on":
		target.boot()
		return fencing.Outcome{Power: fencing.PowerOn}
	}
	return fencing.Outcome{}
}

// waits lets time pass; false if the life or ctx ends before.
func (l *life) waits(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-l.over:
	}
	return false
}

// asked checks who has a node switched off: one that was part of a quorum
// since its daemon started. Two nodes would shoot each other at every boot
// without that.
func (w *world) asked(l *life, target *host) {
	if !l.quorate.Load() {
		w.violated("%s has %s fenced and was never a member since it started", l.host.name, target.name)
	}
	life := target.lastLife()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shot[target.name] == life {
		w.stats.Repeated++
		w.noteLocked("%s has %s fenced, which has not started since it was", l.host.name, target.name)
	}
	if w.quiet {
		if w.lately[target.name]++; w.lately[target.name] > 2 {
			w.violatedLocked("%s is fenced for the %dth time since everything works", target.name, w.lately[target.name])
		}
	}
}

// lastLife is the number of the present or last life of a host.
func (h *host) lastLife() int {
	h.w.net.mu.Lock()
	defer h.w.net.mu.Unlock()
	return h.lives
}

// switches takes the power away, and gives it back after a reboot.
func (w *world) switches(l *life, c fencing.Call, how string) {
	target := w.net.hosts[c.Target]
	if w.closed() {
		return
	}
	life := target.lastLife()
	w.mu.Lock()
	w.shot[target.name] = life
	w.stats.Fencings++
	w.fenced[target.name]++
	w.noteLocked("%s: the switch does %s of %s %s", l.host.name, c.Action, target.name, how)
	w.mu.Unlock()
	target.powerOff()
	if c.Action == "reboot" {
		w.wg.Go(func() {
			time.Sleep(time.Second)
			if !target.powered() && !w.closed() {
				target.boot()
			}
		})
	}
}

// agentFault is how agents fail.
type agentFault int

const (
	agentWorks agentFault = iota
	agentHangs
	agentFails
)

// agentFails makes one action of one resource on one host fail.
func (w *world) agentFails(h *host, f agentFault) {
	id := w.anyResource()
	action := []string{"start", "stop", "monitor"}[w.rng.IntN(3)]
	if f == agentFails && action == "monitor" {
		action = "start"
	}
	w.note("%s of %s on %s %s", action, id, h.name, map[agentFault]string{agentHangs: "hangs", agentFails: "fails"}[f])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.agentFaults[id+" "+action+"@"+h.name] = f
}
