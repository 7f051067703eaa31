package scheduler

import "strings"

// Probes among the orderings: what must restart with a resource waits for the
// resource's probes, which may find it active.

func (e *engine) orderProbes() {
	for _, r := range e.resources {
		e.probeBeforeRestarts(r)
	}
	for i := 0; i < len(e.orderings); i++ {
		e.probeBeforeOrdered(e.orderings[i])
	}
}

// probeBeforeOrdered makes "stop X then Y" also "probe X then Y".
func (e *engine) probeBeforeOrdered(o *ordering) {
	if o.flags == 0 || o.rsc1 == nil || o.rsc2 == nil || o.rsc1 == o.rsc2 {
		return
	}
	if o.act1 != nil {
		if o.act1.task != taskStop {
			return
		}
	} else if !strings.HasSuffix(o.key1, "_stop_0") {
		return
	}
	if o.rsc1.launcher == o.rsc2 {
		if o.act2 != nil && o.act2.task == taskStop || o.act2 == nil && strings.HasSuffix(o.key2, "_stop_0") {
			return
		}
	}
	flags := oOrdered
	if o.flags&oIfFirstUnmigratable != 0 {
		flags |= oIfFirstUnmigratable
	}
	if o.flags&oIfOnSameNode != 0 {
		flags |= oIfOnSameNode
	}
	if o.flags == oIfRequiredOnSameNode || o.flags == oIfOnSameNodeOrTarget {
		flags = o.flags
	}
	probes := o.rsc1.actionsByKey[opKey(o.rsc1.id, taskMonitor, 0)]
	if len(probes) == 0 {
		return
	}
	var thens []*action
	if o.act2 != nil {
		thens = []*action{o.act2}
	} else if o.rsc2 != nil {
		thens = o.rsc2.actionsByKey[o.key2]
	}
	for _, p := range probes {
		for _, t := range thens {
			e.orderActions(p, t, flags)
		}
	}
}

// probeBeforeRestarts orders the stops of what must restart with a resource
// after the resource's probes.
func (e *engine) probeBeforeRestarts(r *resource) {
	if len(r.children) > 0 {
		for _, c := range r.children {
			e.probeBeforeRestarts(c)
		}
		return
	}
	if !r.isPrimitive() {
		return
	}
	for _, p := range r.actionsByKey[opKey(r.id, taskMonitor, 0)] {
		var marked []*action
		for i := len(p.after) - 1; i >= 0; i-- {
			e.restartAfterProbe(p, p.after[i].act, &marked)
		}
		for _, a := range marked {
			a.clear(fTracking)
		}
	}
}

func (e *engine) restartAfterProbe(probe, after *action, marked *[]*action) {
	if after.is(fTracking) || probe.rsc == nil || probe.task != taskMonitor {
		return
	}
	after.set(fTracking)
	*marked = append(*marked, after)
	ar := after.rsc
	if ar != nil && ar.isPrimitive() && probe.rsc != ar {
		down := ""
		switch after.task {
		case taskStart:
			down = taskStop
		case taskPromote:
			down = taskDemote
		}
		if down != "" {
			for _, a := range ar.actionsByKey[opKey(ar.id, down, 0)] {
				if !a.is(fPseudo) {
					e.orderActions(probe, a, oOrdered)
				}
			}
		}
	}
	interleave := false
	var compatible *resource
	if ar != nil && ar.collective() {
		interleave = isTrue(ar.meta.val("interleave"))
		if interleave {
			compatible = e.compatibleInstance(probe.rsc, ar, roleUnknown, false)
		}
	}
	for i := len(after.after) - 1; i >= 0; i-- {
		rel := after.after[i]
		if rel.flags&oFirstImpliesThen == 0 {
			nr := rel.act.rsc
			if ar == nil || ar.variant < vGroup || probe.rsc.parent == ar || nr == nil || nr.variant > vGroup || ar != nr.parent {
				continue
			}
			if ar.variant > vGroup && interleave && (compatible == nil || compatible != nr) {
				continue
			}
		}
		e.restartAfterProbe(probe, rel.act, marked)
	}
}
