package scheduler

import "strings"

// Propagation of flags: each relation makes one action required, unrunnable or
// not migratable because of the other, until nothing changes any more.

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
		fa := e.instanceAction(first, fi, n, true)
		if fa == nil {
			continue
		}
		ta := e.instanceAction(then, ti, n, false)
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
func (e *engine) instanceAction(a *action, inst *resource, n *node, isFirst bool) *action {
	task := originalTask(a)
	r := inst
	if inst.replicaContainer && inst.replica != nil && inst.replica.child != nil {
		inside := false
		switch {
		case isFirst && e.older.has(olderInterleaved):
			inside = task == taskStop
		case isFirst:
			inside = task != taskStop
		default:
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
