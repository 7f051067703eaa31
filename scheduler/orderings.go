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
