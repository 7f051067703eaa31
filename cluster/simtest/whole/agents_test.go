package whole

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gcrm/drivers"
)

// once is an agent whose resource may be active on one node at a time; it
// notices when it is not so.
type once struct{ life *life }

func (*once) Metadata(context.Context) (string, error) {
	return `<resource-agent name="Once"><version>1.0</version><parameters/><actions>
<action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/></actions></resource-agent>`, nil
}

// Run implements drivers.Agent. A resource counts as active from the
// beginning of its start to the end of its stop.
func (o *once) Run(ctx context.Context, r drivers.Request) drivers.Result {
	l, w := o.life, o.life.host.w
	at := r.Resource + "@" + l.host.name
	l.awake(ctx)
	w.mu.Lock()
	select {
	case <-l.over:
		w.mu.Unlock()
		return drivers.Result{RC: drivers.GenericError}
	default:
	}
	if w.busy == nil {
		w.mu.Unlock()
		return drivers.Result{RC: drivers.GenericError}
	}
	if other := w.busy[at]; other != "" && r.Action != drivers.Monitor {
		w.violatedLocked("%s of %s begins on %s while %s runs", r.Action, r.Resource, l.host.name, other)
	}
	w.busy[at] = r.Action
	w.stats.Actions++
	took := 5*time.Millisecond + time.Duration(w.agents.Int64N(int64(150*time.Millisecond)))
	if w.slow > 0 && r.Action != drivers.Monitor {
		took += w.slow
	}
	if r.Action == drivers.Start {
		w.stats.Starts++
		w.startsLocked(l, r.Resource)
	}
	fault := w.agentFaults[r.Resource+" "+r.Action+"@"+l.host.name]
	if fault == agentHangs {
		took = time.Hour
	}
	w.mu.Unlock()
	gone := false
	select {
	case <-time.After(took):
	case <-ctx.Done():
		gone = true
	case <-l.over:
		if w.broken.leftovers && r.Action == drivers.Start && !w.closed() {
			w.mu.Lock()
			delete(w.active[r.Resource], l.host.name) // it had not come far
			w.mu.Unlock()
			w.wg.Go(func() {
				time.Sleep(took)
				if l.host.powered() {
					w.mu.Lock()
					w.startsLocked(l, r.Resource)
					w.mu.Unlock()
				}
			})
		}
		gone = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-l.over:
		gone = true
	default:
		if w.busy != nil {
			delete(w.busy, at)
		}
	}
	if gone {
		return drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut}
	}
	active := w.active[r.Resource]
	if fault == agentFails && r.Action != drivers.Monitor {
		w.noteLocked("%s: %s of %s fails", l.host.name, r.Action, r.Resource)
		return drivers.Result{RC: drivers.GenericError}
	}
	switch r.Action {
	case drivers.Start:
		w.noteLocked("%s: %s started", l.host.name, r.Resource)
	case drivers.Stop:
		if w.stopFails[at] {
			w.noteLocked("%s: %s cannot be stopped", l.host.name, r.Resource)
			return drivers.Result{RC: drivers.GenericError}
		}
		if active[l.host.name] {
			w.noteLocked("%s: %s stopped", l.host.name, r.Resource)
		}
		delete(active, l.host.name)
	case drivers.Monitor:
		if !active[l.host.name] {
			return drivers.Result{RC: drivers.NotRunning}
		}
	default:
		return drivers.Result{RC: drivers.Unimplemented}
	}
	return drivers.Result{}
}

// startsLocked makes a resource active: rules 2, 4 and 5.
func (w *world) startsLocked(l *life, id string) {
	on := w.active[id]
	if on == nil {
		on = map[string]bool{}
		w.active[id] = on
	}
	for _, other := range slices.Sorted(maps.Keys(on)) {
		if other != l.host.name && !w.overlapAllowed() {
			w.violatedLocked("%s starts on %s while it is active on %s", id, l.host.name, other)
		}
	}
	if why := w.mayNotStart(l); why != "" {
		w.violatedLocked("%s starts on %s: %s", id, l.host.name, why)
	}
	on[l.host.name] = true
}

// overlapAllowed: the administrator switched fencing off, and with it the
// promise that nothing runs twice.
func (w *world) overlapAllowed() bool { return w.unfenced }

// mayNotStart tells why a life may not start anything: no leader that has a
// majority could have ordered it for so long that it must know.
func (w *world) mayNotStart(l *life) string {
	if w.divergence() || time.Since(w.changedAt) < 3*w.detection {
		return ""
	}
	l.mu.Lock()
	n := l.node
	l.mu.Unlock()
	if n == nil {
		return ""
	}
	names, _, err := n.Consensus().Electorate()
	if err != nil {
		return ""
	}
	var voters []*host
	for _, h := range w.hosts {
		if slices.Contains(names, h.name) {
			voters = append(voters, h)
		}
	}
	reaches := func(from, to *host) bool {
		return from == to || from.current() != nil && to.current() != nil && w.net.both(from.name, to.name, w.links)
	}
	for _, leader := range voters {
		n := 0
		for _, v := range voters {
			if reaches(leader, v) {
				n++
			}
		}
		if reaches(l.host, leader) && 2*n > len(names) {
			return ""
		}
	}
	return fmt.Sprintf("for %v it reaches nobody whom a majority of its voters (%v) reaches", time.Since(w.changedAt), names)
}

// idle stands for the resource of a fence device.
type idle struct{}

func (idle) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_sim"><parameters/><actions><action name="off"/></actions></resource-agent>`, nil
}

func (idle) Run(_ context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Monitor && r.Interval == 0 {
		return drivers.Result{RC: drivers.NotRunning}
	}
	return drivers.Result{}
}

// device is the power switch of all hosts, as one life reaches it.
type device struct{ life *life }

func (*device) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_sim"><parameters><parameter name="port"/></parameters><actions>
<action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="list"/><action name="monitor"/></actions></resource-agent>`, nil
}
