package scheduler

import (
	"slices"
	"strings"
)

// Phase 12: orderings meet actions. Before: all actions and orderings exist.
// After: orderings are relations between actions, and the flags of actions
// (required, runnable, migratable) agree with all of them.

func (e *engine) applyOrderings() {
	for i := 0; i < len(e.orderings); i++ {
		e.materialise(e.orderings[i])
	}
	for i := len(e.actions) - 1; i >= 0; i-- {
		e.blockDependents(e.actions[i])
	}
	e.orderProbes()
	for i := len(e.actions) - 1; i >= 0; i-- {
		e.updateForOrderings(e.actions[i])
	}
	e.dropInvalidOrderings()
}

func (e *engine) materialise(o *ordering) {
	if r := o.rsc1; r != nil {
		e.materialiseFirst(r, o)
		return
	}
	if r := o.rsc2; r != nil {
		e.orderAfter(o.act1, r, o)
		return
	}
	e.orderActions(o.act1, o.act2, o.flags)
}

// actionsByTask finds actions by key, or by the same task under r's own id.
func (e *engine) actionsByTask(r *resource, key string) []*action {
	if list := r.actionsByKey[key]; len(list) > 0 {
		return list
	}
	_, task, interval, ok := parseOpKey(key)
	if !ok {
		return nil
	}
	own := opKey(r.id, task, interval)
	if own == key {
		return nil
	}
	return r.actionsByKey[own]
}

func (e *engine) materialiseFirst(r *resource, o *ordering) {
	then := o.rsc2
	var firsts []*action
	if o.act1 != nil {
		firsts = []*action{o.act1}
	} else {
		firsts = e.actionsByTask(r, o.key1)
	}
	if len(firsts) == 0 && r == then {
		return
	}
	if len(firsts) == 0 {
		_, task, interval, ok := parseOpKey(o.key1)
		if !ok {
			return
		}
		switch state := stateOf(r, true); {
		case state == roleStopped && task == taskStop, state == roleUnpromoted && task == taskDemote:
			return
		}
		firsts = []*action{e.customAction(r, opKey(r.id, task, interval), task, nil, true)}
	}
	if then == nil {
		if o.act2 == nil {
			return
		}
		then = o.act2.rsc
	}
	for _, first := range firsts {
		if then == nil {
			e.orderActions(first, o.act2, o.flags)
		} else {
			e.orderAfter(first, then, o)
		}
	}
}

func (e *engine) orderAfter(first *action, r *resource, o *ordering) {
	flags := o.flags
	var thens []*action
	if o.act2 != nil {
		thens = []*action{o.act2}
	} else {
		thens = e.actionsByTask(r, o.key2)
	}
	if len(thens) == 0 {
		return
	}
	if first != nil && first.rsc == r && first.is(fDangle) {
		flags &^= oFirstImpliesThen
	}
	if first == nil && flags&oFirstImpliesThen == 0 {
		return
	}
	for _, then := range thens {
		if first != nil {
			e.orderActions(first, then, flags)
		} else {
			then.clear(fRunnable)
		}
	}
}

// --- probes ---

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

// --- propagation of flags ---

// orderedAction is the action that really stands for first in an ordering:
// for a collective resource's start, that all of it is started.
func orderedAction(a *action) *action {
	r := a.rsc
	if r == nil || r.variant < vGroup {
		return a
	}
	rid, task, interval, ok := parseOpKey(a.key)
	if !ok || interval > 0 || strings.Contains(a.key, "notify") {
		return a
	}
	mapped := ""
	switch task {
	case taskStart, taskRunning:
		mapped = taskRunning
	case taskStop, taskStopped:
		mapped = taskStopped
	case taskPromote, taskPromoted:
		mapped = taskPromoted
	case taskDemote, taskDemoted:
		mapped = taskDemoted
	default:
		return a
	}
	key := opKey(rid, mapped, 0)
	if r.notify && (r.collective() || r.bundled()) {
		key = notifyKey(rid, "confirmed-post", mapped)
	}
	if x := firstAction(r, key, "", nil); x != nil {
		return x
	}
	return a
}

// actionFlags are the flags of an action as orderings see them; for a
// collective resource they sum up its members.
func (e *engine) actionFlags(a *action, n *node) actionFlag {
	if a.rsc == nil {
		return a.flags
	}
	switch a.rsc.variant {
	case vGroup:
		return e.groupFlags(a, n)
	case vClone:
		return e.collectiveFlags(a, a.rsc.children, n)
	case vBundle:
		return e.bundleFlags(a, n)
	}
	return a.flags
}

// baseTask maps a completion pseudo-action to its task.
func baseTask(task string) string {
	switch task {
	case taskRunning:
		return taskStart
	case taskStopped:
		return taskStop
	case taskPromoted:
		return taskPromote
	case taskDemoted:
		return taskDemote
	}
	return task
}

// originalTask is the task of instances that a pseudo-action of a collective
// resource is about. Instances that are groups have completion actions of
// their own.
func originalTask(a *action) string {
	task := a.task
	if strings.Contains(a.key, "notify") {
		_, t, _, _ := parseOpKey(a.key)
		if i := strings.LastIndexByte(t, '_'); i >= 0 {
			task = t[i+1:]
		}
	}
	if a.rsc != nil && len(a.rsc.children) > 0 && !a.rsc.children[0].isPrimitive() {
		return task
	}
	return baseTask(task)
}

func (e *engine) groupFlags(a *action, n *node) actionFlag {
	flags := fOptional | fRunnable | fPseudo
	task := baseTask(a.task)
	for _, m := range a.rsc.children {
		ma := firstAction(m, "", task, n)
		if ma == nil {
			if task != taskStop && task != taskDemote {
				flags &^= fRunnable
			}
			continue
		}
		mf := e.actionFlags(ma, n)
		if flags&fOptional != 0 && mf&fOptional == 0 {
			flags &^= fOptional
			a.clear(fOptional)
		}
		if task != a.task && flags&fRunnable != 0 && mf&fRunnable == 0 {
			flags &^= fRunnable
			a.clear(fRunnable)
		}
	}
	return flags
}

func (e *engine) collectiveFlags(a *action, instances []*resource, n *node) actionFlag {
	flags := fOptional | fRunnable | fPseudo
	task := originalTask(a)
	any := false
	for _, inst := range instances {
		var at *node
		if inst.isPrimitive() {
			at = n
		}
		ia := firstAction(inst, "", task, at)
		if ia == nil {
			continue
		}
		f := e.actionFlags(ia, n)
		if flags&fOptional != 0 && f&fOptional == 0 {
			flags &^= fOptional
			a.clear(fOptional)
		}
		any = any || f&fRunnable != 0
	}
	if !any {
		flags &^= fRunnable
		if n == nil {
			a.clear(fRunnable)
		}
	}
	return flags
}

func (e *engine) flagsForOrdering(a *action, n *node) actionFlag {
	if a.rsc == nil {
		return a.flags
	}
	flags := e.actionFlags(a, nil)
	if n == nil || a.rsc.variant != vClone {
		return flags
	}
	runnable := flags & fRunnable
	return e.actionFlags(a, n) | runnable
}

type changed uint8

const (
	firstChanged changed = 1 << iota
	thenChanged
)

// clearBecause clears flags of an action on account of another one.
func clearBecause(a *action, f actionFlag, because *action) {
	if a.flags&f == 0 {
		return
	}
	a.clear(f)
	if a.rsc == because.rsc && a.rsc != nil {
		return
	}
	word := ""
	switch f {
	case fRunnable:
		word = "unrunnable"
	case fOptional:
		word = "required"
	case fMigratable:
		word = "unmigrateable"
	default:
		return
	}
	if because.rsc != nil {
		word += " " + because.rsc.id
	}
	a.setReason(word+" "+because.task, false)
}

// updateForOrderings brings an action in line with everything before it, and
// goes on with what that changes.
func (e *engine) updateForOrderings(then *action) {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > 5000 {
		return
	}
	var ch changed
	last := then.flags
	if then.is(fMinRunnable) {
		then.runnableBefore = 0
		if then.requiredBefore == 0 {
			then.requiredBefore = 1
		}
		then.clear(fRunnable)
	}
	for i := len(then.before) - 1; i >= 0; i-- {
		rel := then.before[i]
		if rel.flags == 0 {
			continue
		}
		first := rel.act
		thenNode, firstNode := then.node, first.node
		if r := first.rsc; r != nil && r.variant == vGroup && first.task == taskStart {
			firstNode = e.locationOf(r, false)
		}
		if r := then.rsc; r != nil && r.variant == vGroup && then.task == taskStart {
			thenNode = e.locationOf(r, false)
		}
		if rel.flags&oIfOnSameNode != 0 && firstNode != nil && thenNode != nil && firstNode != thenNode {
			rel.flags, rel.peer.flags = 0, 0
			continue
		}
		ch &^= firstChanged
		if first.rsc != nil && rel.flags&oThenCancelsFirst != 0 && then.required() {
			first.set(fOptional)
			if first.task == taskReloadAgent {
				first.rsc.reloadWanted = false
			}
		}
		if first.rsc != nil && then.rsc != nil && first.rsc != then.rsc && !first.rsc.isAncestor(then.rsc) {
			first = orderedAction(first)
		}
		if first == rel.act {
			ff := e.flagsForOrdering(first, thenNode)
			tf := e.flagsForOrdering(then, firstNode)
			ch |= e.updateFlags(first, then, ff, tf, rel)
		} else {
			flags := rel.flags
			if e.orderActions(first, then, flags) {
				ch |= thenChanged
			}
			rel.flags, rel.peer.flags = 0, 0
		}
		if ch&firstChanged != 0 {
			for j := len(first.after) - 1; j >= 0; j-- {
				e.updateForOrderings(first.after[j].act)
			}
			e.updateForOrderings(first)
		}
	}
	if then.is(fMinRunnable) {
		if last == then.flags {
			ch &^= thenChanged
		} else {
			ch |= thenChanged
		}
	}
	if ch&thenChanged != 0 {
		if last&fRunnable != 0 && !then.runnable() {
			e.blockDependents(then)
		}
		e.updateForOrderings(then)
		for j := len(then.after) - 1; j >= 0; j-- {
			e.updateForOrderings(then.after[j].act)
		}
	}
}

// updateFlags applies one relation.
func (e *engine) updateFlags(first, then *action, ff, tf actionFlag, rel *relation) changed {
	var ch changed
	flags := rel.flags
	n := then.node
	upd := func(r *resource, f, filter actionFlag, kind orderFlag) {
		ch |= e.updateOrdered(r, first, then, n, f, filter, kind)
	}
	if flags&oFirstImpliesSameNodeThen != 0 {
		flags = flags&^oFirstImpliesSameNodeThen | oFirstImpliesThen
		n = first.node
	}
	if flags&oFirstImpliesThen != 0 {
		if then.rsc != nil {
			upd(then.rsc, ff&fOptional, fOptional, oFirstImpliesThen)
		} else if ff&fOptional == 0 && then.optional() {
			then.clear(fOptional)
			ch |= thenChanged
		}
	}
	if flags&oRestart != 0 && then.rsc != nil {
		upd(then.rsc, ff, fOptional|fRunnable, oRestart)
	}
	if flags&oThenImpliesFirst != 0 {
		if first.rsc != nil {
			upd(first.rsc, ff, fOptional, oThenImpliesFirst)
		} else if ff&fOptional == 0 && first.runnable() {
			first.clear(fRunnable)
			ch |= firstChanged
		}
	}
	if flags&oPromotedThenImpliesFirst != 0 && then.rsc != nil {
		upd(then.rsc, ff&fOptional, fOptional, oPromotedThenImpliesFirst)
	}
	if flags&oMinRunnable != 0 {
		if then.rsc != nil {
			upd(then.rsc, ff, fRunnable, oMinRunnable)
		} else if ff&fRunnable != 0 {
			then.runnableBefore++
			if then.runnableBefore >= then.requiredBefore && !then.runnable() {
				then.set(fRunnable)
				ch |= thenChanged
			}
		}
	}
	if flags&oNestedRemoteProbe != 0 && then.rsc != nil {
		if ff&fRunnable == 0 && first.rsc != nil && len(first.rsc.runningOn) > 0 {
			rel.flags, rel.peer.flags = oOrdered, oOrdered
		} else {
			upd(then.rsc, ff, fRunnable, oUnrunnableFirstBlocks)
		}
	}
	if flags&oUnrunnableFirstBlocks != 0 {
		if then.rsc != nil {
			upd(then.rsc, ff, fRunnable, oUnrunnableFirstBlocks)
		} else if ff&fRunnable == 0 && then.runnable() {
			then.clear(fRunnable)
			ch |= thenChanged
		}
	}
	if flags&oUnmigratableThenBlocks != 0 && then.rsc != nil {
		upd(then.rsc, ff, fOptional, oUnmigratableThenBlocks)
	}
	if flags&oFirstElseThen != 0 && then.rsc != nil {
		upd(then.rsc, ff, fOptional, oFirstElseThen)
	}
	if flags&oOrdered != 0 && then.rsc != nil {
		upd(then.rsc, ff, fRunnable, oOrdered)
	}
	if flags&oAsymmetric != 0 && then.rsc != nil {
		upd(then.rsc, ff, fRunnable, oAsymmetric)
	}
	if first.runnable() && flags&oFirstImpliesThenGraphed != 0 && ff&fOptional == 0 {
		then.set(fPrintAlways)
	}
	if flags&oThenImpliesFirstGraphed != 0 && tf&fOptional == 0 {
		first.set(fPrintAlways)
	}
	if flags&(oFirstImpliesThen|oThenImpliesFirst|oRestart) != 0 && first.rsc != nil && !first.rsc.managed &&
		first.rsc.blocked && !first.runnable() && first.task == taskStop && then.runnable() {
		then.clear(fRunnable)
		ch |= thenChanged
	}
	return ch
}

// updateOrdered applies a relation on behalf of r (the resource of one side).
func (e *engine) updateOrdered(r *resource, first, then *action, n *node, flags, filter actionFlag, kind orderFlag) changed {
	switch r.variant {
	case vGroup:
		ch := e.updatePair(first, then, n, flags, filter, kind)
		if then.rsc != nil {
			for _, m := range then.rsc.children {
				if ma := firstAction(m, "", then.task, n); ma != nil {
					ch |= e.updateOrdered(m, first, ma, n, flags, filter, kind)
				}
			}
		}
		return ch
	case vClone, vBundle:
		if then.rsc == nil {
			return 0
		}
		if canInterleaveActions(first, then) {
			return e.updateInterleaved(first, then, n, filter, kind)
		}
		ch := e.updatePair(first, then, n, flags, filter, kind)
		if then.rsc.collective() {
			for _, inst := range e.instancesOf(then.rsc) {
				ch |= e.updateInstance(inst, first, then, n, flags, filter, kind)
			}
		} else {
			for _, inst := range then.rsc.children {
				ch |= e.updateInstance(inst, first, then, n, flags, filter, kind)
			}
		}
		return ch
	}
	return e.updatePair(first, then, n, flags, filter, kind)
}

func (e *engine) updateInstance(inst *resource, first, then *action, n *node, flags, filter actionFlag, kind orderFlag) changed {
	a := firstAction(inst, "", then.task, n)
	if a == nil || e.actionFlags(a, n)&fRunnable == 0 {
		return 0
	}
	ch := e.updateOrdered(inst, first, a, n, flags, filter, kind)
	if ch&thenChanged != 0 {
		for j := len(a.after) - 1; j >= 0; j-- {
			e.updateForOrderings(a.after[j].act)
		}
	}
	return ch
}

func canInterleaveActions(first, then *action) bool {
	if first.rsc == nil || then.rsc == nil || first.rsc == then.rsc || !first.rsc.collective() || !then.rsc.collective() {
		return false
	}
	r := then.rsc
	if strings.HasSuffix(then.key, "_stop_0") || strings.HasSuffix(then.key, "_demote_0") {
		r = first.rsc
	}
	return isTrue(r.meta.val("interleave"))
}

func (e *engine) updateInterleaved(first, then *action, n *node, filter actionFlag, kind orderFlag) changed {
	var ch changed
	current := strings.HasSuffix(first.key, "_stopped_0") || strings.HasSuffix(first.key, "_demoted_0")
	for _, ti := range e.instancesOf(then.rsc) {
		fi := e.compatibleInstance(ti, first.rsc, roleUnknown, current)
		if fi == nil {
			if !current && kind&(oUnrunnableFirstBlocks|oFirstImpliesThen) != 0 && e.assignTo(ti, nil, true, true) {
				e.trace.displace(ti, cause{by: ByOrder, rsc: first.rsc})
				ch |= thenChanged
			}
			continue
		}
		fa := instanceAction(first, fi, n, true)
		if fa == nil {
			continue
		}
		ta := instanceAction(then, ti, n, false)
		if ta == nil {
			continue
		}
		if e.orderActions(fa, ta, kind) {
			ch |= firstChanged | thenChanged
		}
		ch |= e.updateOrdered(ti, fa, ta, n, e.actionFlags(fa, n), filter, kind)
	}
	return ch
}

// instanceAction is the action of one instance that a collective action
// stands for.
func instanceAction(a *action, inst *resource, n *node, isFirst bool) *action {
	task := originalTask(a)
	r := inst
	if inst.replicaContainer && inst.replica != nil && inst.replica.child != nil {
		inside := false
		if isFirst {
			inside = task != taskStop
		} else {
			inside = task == taskPromote || task == taskDemote
		}
		if inside {
			r, n = inst.replica.child, nil
		}
	}
	return firstAction(r, "", task, n)
}

// updatePair applies a relation to two single actions.
func (e *engine) updatePair(first, then *action, n *node, flags, filter actionFlag, kind orderFlag) changed {
	var ch changed
	tf, ff := then.flags, first.flags
	if kind&oAsymmetric != 0 {
		asymmetric(e, first, then)
	}
	if kind&oThenImpliesFirst != 0 && then.required() {
		if filter&fOptional != 0 && flags&fOptional == 0 && first.optional() {
			clearBecause(first, fOptional, then)
		}
		if first.is(fMigratable) && !then.is(fMigratable) {
			clearBecause(first, fMigratable, then)
		}
	}
	if kind&oPromotedThenImpliesFirst != 0 && filter&fOptional != 0 && then.required() && then.rsc != nil && then.rsc.role == rolePromoted {
		clearBecause(first, fOptional, then)
		if first.is(fMigratable) && !then.is(fMigratable) {
			clearBecause(first, fMigratable, then)
		}
	}
	if kind&oUnmigratableThenBlocks != 0 && filter&fOptional != 0 {
		if !then.is(fMigratable | fRunnable) {
			clearBecause(first, fRunnable, then)
		}
		if then.required() {
			clearBecause(first, fOptional, then)
		}
	}
	if kind&oFirstElseThen != 0 && filter&fOptional != 0 && !first.runnable() {
		clearBecause(then, fMigratable, first)
		then.clear(fPseudo)
	}
	if kind&oUnrunnableFirstBlocks != 0 && filter&fRunnable != 0 && then.runnable() && flags&fRunnable == 0 {
		clearBecause(then, fRunnable, first)
		clearBecause(then, fMigratable, first)
	}
	if kind&oFirstImpliesThen != 0 && filter&fOptional != 0 && then.optional() && flags&fOptional == 0 && !first.is(fMigratable) {
		clearBecause(then, fOptional, first)
	}
	if kind&oRestart != 0 {
		restartRule(first, then, filter)
	}
	if tf != then.flags {
		ch |= thenChanged
		if then.rsc != nil && then.rsc.parent != nil {
			e.updateForOrderings(then)
		}
	}
	if ff != first.flags {
		ch |= firstChanged
	}
	return ch
}

func asymmetric(e *engine, first, then *action) {
	if then.rsc == nil || first.runnable() {
		return
	}
	if then.optional() {
		state := stateOf(then.rsc, true)
		if state == roleStopped && then.task == taskStop {
			return
		}
		if state >= roleStarted && then.task == taskStart && then.node != nil && e.runningOnlyOn(then.rsc, then.node) {
			return
		}
	}
	clearBecause(then, fOptional, first)
	clearBecause(then, fRunnable, first)
}

func (e *engine) runningOnlyOn(r *resource, n *node) bool {
	found := 0
	here := false
	for _, m := range r.runningOn {
		if m == n {
			here = true
		}
		found++
	}
	return here && found == 1
}

func restartRule(first, then *action, filter actionFlag) {
	apply := filter&fOptional != 0 && then.required()
	if filter&fRunnable != 0 && !then.runnable() && then.rsc != nil && then.rsc.managed && first.rsc == then.rsc {
		apply = true
	}
	if !apply {
		return
	}
	if first.runnable() {
		clearBecause(first, fOptional, then)
	}
	if then.required() {
		clearBecause(first, fOptional, then)
	}
	if !then.is(fMigratable) {
		clearBecause(first, fMigratable, then)
	}
	if first.required() && !first.runnable() {
		clearBecause(then, fRunnable, first)
	}
}

// dropInvalidOrderings removes user orderings between a resource on a guest
// node and the guest's launcher, and loops of capacity orderings.
func (e *engine) dropInvalidOrderings() {
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		if a.rsc != nil && len(a.rsc.launched) > 0 {
			for _, rel := range a.before {
				if invalidGuestOrder(rel.act, a, rel.flags) {
					rel.flags, rel.peer.flags = 0, 0
				}
			}
		}
		if strings.HasPrefix(a.key, taskLoadStopped+"_") {
			e.dropLoadLoops(a)
		}
	}
}

func invalidGuestOrder(first, then *action, flags orderFlag) bool {
	if flags&oGuestAllowed != 0 {
		return false
	}
	if first.node == nil || first.rsc == nil || !first.node.guest() {
		return false
	}
	l := first.node.connection.launcher
	return first.rsc.variant == vPrimitive && then.rsc == l && first.rsc != first.node.connection && first.rsc.launcher != l
}

// dropLoadLoops removes "load stopped, then migrate" where the migration frees
// the very capacity that is waited for.
func (e *engine) dropLoadLoops(load *action) {
	for _, rel := range load.after {
		if rel.act.task != taskMigrateTo || rel.flags == 0 {
			continue
		}
		if reaches(rel.act, load, map[*action]bool{}) {
			rel.flags, rel.peer.flags = 0, 0
		}
	}
}

func reaches(from, to *action, seen map[*action]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(from.after, func(rel *relation) bool {
		return rel.flags != 0 && rel.act.required() && reaches(rel.act, to, seen)
	})
}
