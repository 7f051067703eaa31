package scheduler

import (
	"strings"

	"gcrm/cib"
)

// Phase 4, rsc_order: ordering constraints and sets of them. Before: resources
// are known. After: each ordering is recorded with the kinds that phase 12 applies.

type orderKind uint8

const (
	orderMandatory orderKind = iota
	orderOptional
	orderSerialize
)

func (e *engine) orderKindOf(el *cib.Element, def orderKind) orderKind {
	switch strings.ToLower(el.Get("kind")) {
	case "mandatory":
		return orderMandatory
	case "optional":
		return orderOptional
	case "serialize":
		return orderSerialize
	case "":
		if v, ok := el.Lookup("score"); ok {
			if s, _ := e.score(v); s == 0 {
				return orderOptional
			}
			return orderMandatory
		}
	}
	return def
}

func symmetrical(el *cib.Element, kind orderKind, parent *bool) bool {
	v, ok := el.Lookup("symmetrical")
	if kind == orderSerialize {
		return false
	}
	if b, valid := parseBool(v); ok && valid {
		return b
	}
	if parent != nil {
		return *parent
	}
	return true
}

func orderFlags(kind orderKind, firstTask string, symmetric, inverse bool) orderFlag {
	f := oOrdered
	switch kind {
	case orderOptional:
	case orderSerialize:
		f |= oSerialize
	default:
		switch {
		case !symmetric:
			f |= oAsymmetric
		case inverse:
			f |= oThenImpliesFirst
		default:
			f |= oFirstImpliesThen
			if firstTask == taskRunning || firstTask == taskStart || firstTask == taskPromote || firstTask == taskPromoted || firstTask == taskMigrateFrom {
				f |= oUnrunnableFirstBlocks
			}
		}
	}
	return f
}

var inverseTasks = map[string]string{
	taskStart: taskStop, taskStop: taskStart, taskPromote: taskDemote, taskDemote: taskPromote,
	taskRunning: taskStopped, taskStopped: taskRunning, taskPromoted: taskDemoted, taskDemoted: taskPromoted,
}

// newOrdering records an ordering for phase 12.
func (e *engine) newOrdering(r1 *resource, key1 string, a1 *action, r2 *resource, key2 string, a2 *action, flags orderFlag) {
	if (r1 == nil && a1 == nil) || (r2 == nil && a2 == nil) {
		return
	}
	o := e.orderingSlab.new()
	*o = ordering{rsc1: r1, rsc2: r2, act1: a1, act2: a2, key1: key1, key2: key2, flags: flags}
	if o.rsc1 == nil && a1 != nil {
		o.rsc1 = a1.rsc
	}
	if o.rsc2 == nil && a2 != nil {
		o.rsc2 = a2.rsc
	}
	e.orderings = append(e.orderings, o)
	e.migrationEquivalents(o)
}

func (e *engine) orderResources(r1 *resource, t1 string, r2 *resource, t2 string, flags orderFlag) {
	e.newOrdering(r1, opKey(r1.id, t1, 0), nil, r2, opKey(r2.id, t2, 0), nil, flags)
}

func actionOr(v, def string) string {
	if v == "" {
		return def
	}
	return v
}

func (e *engine) unpackOrder(el *cib.Element) {
	kind := e.orderKindOf(el, orderMandatory)
	if sets := e.resourceSets(el); len(sets) > 0 {
		e.orderSets(el, sets, kind)
		return
	}
	f, t := el.Get("first"), el.Get("then")
	fr, tr := e.constraintTarget(f), e.constraintTarget(t)
	if fr != nil && tr != nil {
		e.orderSimple(el, fr, tr, kind)
		return
	}
	fIDs, _, fSet := e.expandRef(f)
	tIDs, _, tSet := e.expandRef(t)
	if fr == nil && !fSet || tr == nil && !tSet {
		e.fault(el.ID(), "a resource of the order does not exist")
		return
	}
	firstTask := actionOr(el.Get("first-action"), taskStart)
	thenTask := actionOr(el.Get("then-action"), taskStart) // as a set's: not as first-action
	side := func(r *resource, ids []string, task string) rscSet {
		s := rscSet{el: cib.NewElement("resource_set", "action", task, "sequential", "false"), id: el.ID()}
		if r != nil {
			s.members = []*resource{r}
			s.el.Unset("sequential")
		}
		for _, x := range ids {
			if m := e.constraintTarget(x); m != nil {
				s.members = append(s.members, m)
			}
		}
		return s
	}
	e.orderSets(el, []rscSet{side(fr, fIDs, firstTask), side(tr, tIDs, thenTask)}, kind)
}

func (e *engine) orderSimple(el *cib.Element, first, then *resource, kind orderKind) {
	ft := actionOr(el.Get("first-action"), taskStart)
	tt := actionOr(el.Get("then-action"), ft)
	for _, x := range []struct {
		r    *resource
		task string
	}{{first, ft}, {then, tt}} {
		canPromote := x.r.promotable || x.r.variant == vBundle && x.r.bundle.child != nil && x.r.bundle.child.promotable
		if (x.task == taskPromote || x.task == taskDemote) && !canPromote {
			e.fault(el.ID(), x.r.id+" cannot be promoted or demoted")
			return
		}
	}
	sym := symmetrical(el, kind, nil)
	flags := orderFlags(kind, ft, sym, false)
	minimum := e.minInstances(el, first)
	if minimum > 0 && first.variant >= vClone {
		e.orderMinimum(el, first, ft, then, tt, minimum, flags)
	} else {
		e.orderResources(first, ft, then, tt, flags)
	}
	if !sym {
		return
	}
	fi, ok1 := inverseTasks[ft]
	ti, ok2 := inverseTasks[tt]
	if !ok1 || !ok2 {
		return
	}
	e.orderResources(then, ti, first, fi, orderFlags(kind, ti, sym, true))
}

// minInstances is the number of instances of a clone that must be up first.
func (e *engine) minInstances(el *cib.Element, r *resource) int {
	if r.variant != vClone {
		return 0
	}
	if v, ok := r.meta.get("clone-min"); ok {
		return max(0, intOf(v, 0))
	}
	if v, ok := parseBool(el.Get("require-all")); ok && !v {
		return 1
	}
	return 0
}

func (e *engine) orderMinimum(el *cib.Element, first *resource, ft string, then *resource, tt string, minimum int, flags orderFlag) {
	a := e.globalPseudo("clone-one-or-more:" + el.ID())
	a.set(fMinRunnable)
	a.requiredBefore = minimum
	for _, c := range first.children {
		e.newOrdering(c, opKey(c.id, ft, 0), nil, nil, "", a, oMinRunnable|oFirstImpliesThenGraphed)
	}
	e.newOrdering(nil, "", a, then, opKey(then.id, tt, 0), nil, flags|oUnrunnableFirstBlocks)
}

func (e *engine) orderSets(el *cib.Element, sets []rscSet, kind orderKind) {
	sym := symmetrical(el, kind, nil)
	for i := range sets {
		e.orderSet(&sets[i], kind, sym)
		if i == 0 {
			continue
		}
		e.orderTwoSets(&sets[i-1], &sets[i], kind, sym, false)
		if sym {
			e.orderTwoSets(&sets[i], &sets[i-1], kind, sym, true)
		}
	}
}

// orderSet orders the members of a set among each other.
func (e *engine) orderSet(s *rscSet, parentKind orderKind, parentSym bool) {
	task := actionOr(s.el.Get("action"), taskStart)
	kind := e.orderKindOf(s.el, parentKind)
	sym := symmetrical(s.el, kind, &parentSym)
	if !setSequential(s) && kind != orderSerialize {
		return
	}
	flags := orderFlags(kind, task, sym, false)
	for i, m := range s.members {
		if kind == orderSerialize {
			for _, later := range s.members[i+1:] {
				e.orderResources(m, task, later, task, flags)
			}
			continue
		}
		if i > 0 {
			e.orderResources(s.members[i-1], task, m, task, flags)
		}
	}
	if !sym || kind == orderSerialize {
		return
	}
	inv, ok := inverseTasks[task]
	if !ok {
		return
	}
	flags = orderFlags(kind, inv, sym, true)
	for i := len(s.members) - 1; i > 0; i-- {
		e.orderResources(s.members[i], inv, s.members[i-1], inv, flags)
	}
}

// orderTwoSets orders one set before the next; inverse is the way down.
func (e *engine) orderTwoSets(s1, s2 *rscSet, kind orderKind, sym, inverse bool) {
	a1, a2 := actionOr(s1.el.Get("action"), taskStart), actionOr(s2.el.Get("action"), taskStart)
	requireAll := boolOr(s1.el.Get("require-all"), true)
	if inverse {
		i1, ok1 := inverseTasks[a1]
		i2, ok2 := inverseTasks[a2]
		if !ok1 || !ok2 {
			return
		}
		a1, a2 = i1, i2
	}
	if a1 == taskStop || a1 == taskDemote {
		requireAll = true
	}
	flags := orderFlags(kind, a2, sym, inverse) // (quirk: not the first action)
	if !requireAll {
		a := e.globalPseudo(taskOneOrMore + ":" + s1.id)
		a.set(fMinRunnable)
		for _, r := range s1.members {
			e.newOrdering(r, opKey(r.id, a1, 0), nil, nil, "", a, oMinRunnable|oFirstImpliesThenGraphed)
		}
		for _, r := range s2.members {
			e.newOrdering(nil, "", a, r, opKey(r.id, a2, 0), nil, flags|oUnrunnableFirstBlocks)
		}
		return
	}
	m1, m2 := s1.members, s2.members
	if len(m1) == 0 || len(m2) == 0 {
		return
	}
	if explicitTrue(s1) {
		if inverse {
			m1 = m1[:1]
		} else {
			m1 = m1[len(m1)-1:]
		}
	}
	if explicitTrue(s2) {
		if inverse {
			m2 = m2[len(m2)-1:]
		} else {
			m2 = m2[:1]
		}
	}
	for _, x := range m1 {
		for _, y := range m2 {
			e.orderResources(x, a1, y, a2, flags)
		}
	}
}

func explicitTrue(s *rscSet) bool {
	v, ok := s.el.Lookup("sequential")
	return ok && isTrue(v)
}
