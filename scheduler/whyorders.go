package scheduler

import (
	"fmt"
	"slices"
	"strings"
)

// What waits for what, and which constraint says so.

// orderBetween finds what orders two resources: an ordering constraint, or
// membership. It returns words in brackets and the constraint's id; both are
// empty if nothing of the configuration does.
func (e *engine) orderBetween(a, b *resource) (text, id string) {
	if a == nil || b == nil {
		return "", ""
	}
	for _, o := range e.userOrders() {
		if o.has(a, b) {
			return fmt.Sprintf(" (order %s)", o.id), o.id
		}
	}
	for p := a.parent; p != nil; p = p.parent {
		if p.variant == vGroup && p.isAncestor(b) {
			return fmt.Sprintf(" (order within group %s)", plainName(p)), ""
		}
	}
	if a.launcher == b || b.launcher == a {
		return " (one runs inside the other)", ""
	}
	return "", ""
}

// userOrder is an ordering constraint with the resources it relates, in steps.
type userOrder struct {
	id    string
	steps [][]*resource
}

// has reports whether a and b are in different steps of the constraint.
func (o *userOrder) has(a, b *resource) bool {
	at := func(r *resource) int {
		return slices.IndexFunc(o.steps, func(step []*resource) bool {
			return slices.ContainsFunc(step, func(s *resource) bool { return s.isAncestor(r) })
		})
	}
	i, j := at(a), at(b)
	return i >= 0 && j >= 0 && i != j
}

// userOrders are the ordering constraints of the configuration.
func (e *engine) userOrders() []userOrder {
	if e.orders != nil {
		return e.orders
	}
	e.orders = []userOrder{}
	side := func(id string) []*resource {
		if r := e.constraintTarget(id); r != nil {
			return []*resource{r}
		}
		var out []*resource
		ids, _, _ := e.expandRef(id)
		for _, x := range ids {
			if r := e.constraintTarget(x); r != nil {
				out = append(out, r)
			}
		}
		return out
	}
	for el := range e.doc.Configuration().Child("constraints").Named("rsc_order") {
		o := userOrder{id: el.ID()}
		known := len(e.messages)
		for _, s := range e.resourceSets(el) {
			if setSequential(&s) {
				for _, m := range s.members {
					o.steps = append(o.steps, []*resource{m})
				}
			} else {
				o.steps = append(o.steps, s.members)
			}
		}
		e.messages = e.messages[:known]
		if len(o.steps) == 0 {
			o.steps = [][]*resource{side(el.Get("first")), side(el.Get("then"))}
		}
		e.orders = append(e.orders, o)
	}
	return e.orders
}

// waits lists what the actions of r come after.
func (x *explainer) waits(r *resource) []Wait {
	e := x.e
	var out []Wait
	for i := len(r.actions) - 1; i >= 0; i-- {
		a := r.actions[i]
		switch a.task {
		case taskStart, taskStop, taskPromote, taskDemote, taskMigrateTo, taskMigrateFrom:
		default:
			continue
		}
		if !a.is(fDumped) || a.is(fPseudo) {
			continue
		}
		w := Wait{Action: e.actionText(a, false)}
		var orders []string
		for _, in := range e.realInputs(a) {
			if in.rsc == r && in.task != taskMonitor {
				continue
			}
			w.For = append(w.For, e.actionText(in, true))
			if _, id := e.orderBetween(in.rsc, r); id != "" && !slices.Contains(orders, id) {
				orders = append(orders, id)
			}
		}
		w.For, w.Orders = slices.Compact(w.For), orders
		if len(w.For) > 0 {
			out = append(out, w)
		}
	}
	return out
}

// realInputs are the actions before a that do something, in the order of
// their ids; pseudo-actions stand for what is before them.
func (e *engine) realInputs(a *action) []*action {
	var out []*action
	seen := map[*action]bool{a: true}
	var walk func(list []*action)
	walk = func(list []*action) {
		for _, in := range list {
			if seen[in] {
				continue
			}
			seen[in] = true
			if in.is(fPseudo) && in.task != taskStonith || in.task == taskNotify {
				walk(in.graphInputs)
				continue
			}
			out = append(out, in)
		}
	}
	walk(a.graphInputs)
	slices.SortFunc(out, func(a, b *action) int { return a.id - b.id })
	return out
}

// actionText names an action: "start of web on node1".
func (e *engine) actionText(a *action, withResource bool) string {
	if a.task == taskStonith {
		return "fencing of " + a.node.name
	}
	task := a.task
	if a.task == taskMonitor && a.interval == 0 {
		task = "probe"
	}
	var b strings.Builder
	b.WriteString(task)
	if withResource && a.rsc != nil {
		b.WriteString(" of " + plainName(a.rsc))
	}
	if a.node != nil {
		b.WriteString(" on " + a.node.name)
	}
	return b.String()
}
