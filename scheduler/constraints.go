package scheduler

import (
	"regexp"
	"slices"
	"strings"

	"gcrm/cib"
)

// Phase 4: the constraints section, in document order. Before: resources and
// status. After: location, colocation and ordering constraints of the user are
// known (locations are applied in phase 5); tickets have had their effect on
// scores.

func (e *engine) unpackConstraints() {
	for el := range e.doc.Configuration().Child("constraints").Elements() {
		switch el.Name {
		case "rsc_location":
			e.unpackLocation(el)
		case "rsc_colocation":
			e.unpackColocation(el)
		case "rsc_order":
			e.unpackOrder(el)
		case "rsc_ticket":
			e.unpackTicket(el)
		}
	}
	e.banPingNodes()
}

// banPingNodes keeps all resources off nodes of type ping, which were no members
// of the cluster.
func (e *engine) banPingNodes() {
	for _, n := range e.sorted {
		if n.xml == nil || n.xml.Get("type") != "ping" {
			continue
		}
		for _, r := range e.resources {
			e.newLocation("ping-node-"+n.name, r, "never", "").nodes.put(n, -infinity)
		}
	}
}

// constraintTarget finds the resource a constraint names: by its id, or by the
// name that the history uses for it, which then stands for the whole clone.
func (e *engine) constraintTarget(id string) *resource {
	if id == "" {
		return nil
	}
	if r := e.rscByID[id]; r != nil {
		return r
	}
	if r := e.named(id); r != nil {
		return r.top(false)
	}
	return nil
}

// expandRef returns the resources a template or tag stands for; ok is false
// if id is neither.
func (e *engine) expandRef(id string) (ids []string, isTag, ok bool) {
	if t := e.templates[id]; t != nil {
		return t.users, false, true
	}
	if t, found := e.tags[id]; found {
		for _, ref := range t {
			if sub := e.templates[ref]; sub != nil {
				ids = append(ids, sub.users...)
			} else if sub, nested := e.tags[ref]; nested && e.constraintTarget(ref) == nil {
				ids = append(ids, sub...)
			} else {
				ids = append(ids, ref)
			}
		}
		return ids, true, true
	}
	return nil, false, false
}

// rscSet is a resource set with its references expanded.
type rscSet struct {
	el      *cib.Element
	id      string
	members []*resource
}

func (e *engine) resourceSets(el *cib.Element) []rscSet {
	var out []rscSet
	for s := range el.Named("resource_set") {
		s = e.deref(s)
		set := rscSet{el: s, id: s.ID()}
		for ref := range s.Named("resource_ref") {
			id := ref.ID()
			if id == "" {
				id = ref.Get("id-ref")
			}
			if r := e.constraintTarget(id); r != nil {
				set.members = append(set.members, r)
				continue
			}
			ids, _, ok := e.expandRef(id)
			if !ok {
				e.fault(el.ID(), "resource "+id+" does not exist")
				continue
			}
			for _, x := range ids {
				if r := e.constraintTarget(x); r != nil {
					set.members = append(set.members, r)
				}
			}
		}
		out = append(out, set)
	}
	return out
}

// --- location ---

func (e *engine) unpackLocation(el *cib.Element) {
	if sets := e.resourceSets(el); len(sets) > 0 {
		for _, s := range sets {
			for _, r := range s.members {
				e.locateResource(el, r, s.el.Get("role"), s.el.Get("score"), nil)
			}
		}
		return
	}
	if id := el.Get("rsc"); id != "" {
		if r := e.constraintTarget(id); r != nil {
			e.locateResource(el, r, "", "", nil)
			return
		}
		ids, _, ok := e.expandRef(id)
		if !ok {
			e.fault(el.ID(), "resource "+id+" does not exist")
			return
		}
		for _, x := range ids {
			if r := e.constraintTarget(x); r != nil {
				e.locateResource(el, r, "", "", nil)
			}
		}
		return
	}
	pattern := el.Get("rsc-pattern")
	if pattern == "" {
		return
	}
	invert := strings.HasPrefix(pattern, "!")
	re, err := regexp.CompilePOSIX(strings.TrimPrefix(pattern, "!"))
	if err != nil {
		e.fault(el.ID(), "rsc-pattern "+pattern+" is not a regular expression")
		return
	}
	for _, r := range e.resources {
		m := re.FindStringSubmatch(r.id)
		switch {
		case invert && m == nil:
			e.locateResource(el, r, "", "", nil)
		case !invert && m != nil:
			e.locateResource(el, r, "", "", m)
		}
	}
}

func (e *engine) locateResource(el *cib.Element, r *resource, setRole, setScore string, matches []string) {
	discovery := el.Get("resource-discovery")
	if nodeName := el.Get("node"); nodeName != "" {
		n := e.findNode(nodeName)
		if n == nil {
			return
		}
		text := setScore
		if text == "" {
			text = el.Get("score")
		}
		score, _ := e.score(text)
		roleText := setRole
		if roleText == "" {
			roleText = el.Get("role")
		}
		l := e.newLocation(el.ID(), r, discovery, roleText)
		l.nodes.put(n, score)
		return
	}
	for rule := range el.Named("rule") {
		e.locateByRule(el, e.deref(rule), r, discovery, setRole, matches)
	}
}

func (e *engine) locateByRule(el, rule *cib.Element, r *resource, discovery, setRole string, matches []string) {
	attr := rule.Get("score-attribute")
	score, _ := e.score(rule.Get("score"))
	if len(matches) > 0 {
		attr = expandMatches(attr, matches)
	}
	roleText := rule.Get("role")
	if setRole != "" {
		roleText = setRole
	}
	l := e.newLocation(rule.ID(), r, discovery, roleText)
	l.constraint, l.attr = el.ID(), attr
	in := r.ruleInput()
	in.matches = matches
	in.meta = func(name string) (string, bool) { return r.meta.get(name) }
	for _, n := range e.sorted {
		in.node = n
		in.params = func(name string) (string, bool) { return e.params(r, n).get(name) }
		ok := e.rulePasses(rule, &in)
		for life := range el.Named("lifetime") {
			for lr := range life.Named("rule") {
				ok = ok && e.rulePasses(e.deref(lr), &in)
			}
		}
		if !ok {
			continue
		}
		v := score
		if attr != "" {
			text, has := e.nodeAttr(n, attr, r, true)
			if !has && e.older.has(olderScoreAttribute) {
				text = "-INFINITY"
			} else if !has {
				continue
			}
			s, valid := e.score(text)
			if !valid {
				continue
			}
			v = s
		}
		l.nodes.put(n, v)
	}
}

func (e *engine) newLocation(id string, r *resource, discovery, roleText string) *location {
	l := &location{id: id, rsc: r}
	switch discovery {
	case "never":
		l.probe = probeNever
	case "exclusive":
		l.probe = probeExclusive
		r.exclusiveProbes = true
	}
	if role, ok := parseRole(roleText); ok && role == rolePromoted {
		l.role = rolePromoted
	}
	e.locations = append(e.locations, l)
	r.locations = append(r.locations, l)
	return l
}

// --- colocation ---

func (e *engine) newColocation(id, attr string, dependent, primary *resource, dRole, pRole string, score int, influence, explicit bool) {
	if dependent == nil || primary == nil || score == 0 {
		return
	}
	c := &colocation{id: id, attr: attr, dependent: dependent, primary: primary, score: score, influence: influence, explicit: explicit}
	parse := func(s string) role {
		if r, ok := parseRole(s); ok && r != roleStarted {
			return r
		}
		return roleUnknown
	}
	c.dependentRole, c.primaryRole = parse(dRole), parse(pRole)
	if c.attr == "" {
		c.attr = "#uname"
	}
	dependent.thisWith = insertThisWith(dependent.thisWith, c)
	primary.withThis = insertWithThis(primary.withThis, c)
	e.colocations = append(e.colocations, c)
	if score <= -infinity {
		e.antiColocationOrders(dependent, c.dependentRole, primary, c.primaryRole)
		e.antiColocationOrders(primary, c.primaryRole, dependent, c.dependentRole)
	}
}

// antiColocationOrders makes one resource leave before the other comes.
func (e *engine) antiColocationOrders(first *resource, firstRole role, then *resource, thenRole role) {
	down := map[role][]string{rolePromoted: {taskDemote}, roleUnpromoted: {taskStop, taskPromote}}
	up := map[role][]string{rolePromoted: {taskPromote}, roleUnpromoted: {taskStart, taskDemote}}
	fd, tu := down[firstRole], up[thenRole]
	if fd == nil {
		fd = []string{taskStop}
	}
	if tu == nil {
		tu = []string{taskStart}
	}
	for _, f := range fd {
		for _, t := range tu {
			e.newOrdering(first, opKey(first.id, f, 0), nil, then, opKey(then.id, t, 0), nil, oIfRequiredOnSameNode)
		}
	}
}

func (e *engine) influenceOf(el *cib.Element, dependent *resource) bool {
	if v, ok := el.Lookup("influence"); ok {
		if b, ok := parseBool(v); ok {
			return b
		}
	}
	return dependent.critical
}

func (e *engine) unpackColocation(el *cib.Element) {
	score, _ := e.score(el.Get("score"))
	id := el.ID()
	if sets := e.resourceSets(el); len(sets) > 0 {
		for i := range sets {
			e.colocateSet(el, &sets[i], score)
			if i > 0 {
				e.colocateSets(el, &sets[i-1], &sets[i], score)
			}
		}
		return
	}
	d, p := el.Get("rsc"), el.Get("with-rsc")
	dr, pr := e.constraintTarget(d), e.constraintTarget(p)
	if dr != nil && pr != nil {
		e.newColocation(id, el.Get("node-attribute"), dr, pr, el.Get("rsc-role"), el.Get("with-rsc-role"), score, e.influenceOf(el, dr), true)
		return
	}
	dIDs, dTag, dSet := e.expandRef(d)
	pIDs, pTag, pSet := e.expandRef(p)
	if dr == nil && !dSet || pr == nil && !pSet {
		e.fault(id, "a resource of the colocation does not exist")
		return
	}
	if dTag && pTag {
		e.fault(id, "two tags cannot be colocated")
		return
	}
	side := func(r *resource, ids []string, isTag bool, role string) rscSet {
		s := rscSet{el: cib.NewElement("resource_set", "role", role), id: id}
		if r != nil {
			s.members = []*resource{r}
			return s
		}
		for _, x := range ids {
			if m := e.constraintTarget(x); m != nil {
				s.members = append(s.members, m)
			}
		}
		s.el.Set("sequential", "false")
		return s
	}
	ds, ps := side(dr, dIDs, dTag, el.Get("rsc-role")), side(pr, pIDs, pTag, el.Get("with-rsc-role"))
	e.colocateSet(el, &ds, score)
	e.colocateSet(el, &ps, score)
	e.colocateSets(el, &ds, &ps, score)
}

// setSequential reads a set's sequential attribute: absent is true.
func setSequential(s *rscSet) bool {
	v, ok := s.el.Lookup("sequential")
	return !ok || isTrue(v)
}

func (e *engine) setScore(s *rscSet, score int) int {
	if v, ok := s.el.Lookup("score"); ok {
		if n, ok := e.score(v); ok {
			return n
		}
	}
	return score
}

// colocateSet colocates the members of a set.
func (e *engine) colocateSet(el *cib.Element, s *rscSet, score int) {
	score = e.setScore(s, score)
	if score == 0 || !setSequential(s) {
		return
	}
	roleText, attr := s.el.Get("role"), s.el.Get("node-attribute")
	if score > 0 {
		ordering := s.el.Get("ordering")
		for i := 1; i < len(s.members); i++ {
			d, p := s.members[i], s.members[i-1]
			if ordering != "" && ordering != "group" {
				d, p = p, d
			}
			e.newColocation(s.id, attr, d, p, roleText, roleText, score, e.influenceOf(el, d), true)
		}
		return
	}
	for i, d := range s.members {
		for j := range i {
			e.newColocation(s.id, attr, d, s.members[j], roleText, roleText, score, e.influenceOf(el, d), true)
		}
	}
}

// colocateSets colocates a set with the following one.
func (e *engine) colocateSets(el *cib.Element, s1, s2 *rscSet, score int) {
	if score == 0 || len(s1.members) == 0 || len(s2.members) == 0 {
		return
	}
	q1, has1 := s1.el.Lookup("sequential")
	q2, has2 := s2.el.Lookup("sequential")
	seq1, seq2 := !has1 || isTrue(q1), !has2 || isTrue(q2)
	r1, r2 := s1.el.Get("role"), s2.el.Get("role")
	attr := ""
	ds, ps := s1.members, s2.members
	if seq1 {
		ds = ds[:1]
	}
	if seq2 {
		ps = ps[len(ps)-1:]
	}
	for _, d := range ds {
		for _, p := range ps {
			e.newColocation(s1.id, attr, d, p, r1, r2, score, e.influenceOf(el, d), true)
		}
	}
}

// --- order ---

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
	thenTask := actionOr(el.Get("then-action"), firstTask)
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
	flags := orderFlags(kind, a1, sym, inverse)
	if !requireAll {
		a := e.globalPseudo(taskOneOrMore + ":" + s1.id)
		a.set(fMinRunnable)
		for _, r := range s1.members {
			e.newOrdering(r, opKey(r.id, a1, 0), nil, nil, "", a, oMinRunnable|oFirstImpliesThenGraphed)
		}
		for _, r := range s2.members {
			e.newOrdering(nil, "", a, r, opKey(r.id, a2, 0), nil, oUnrunnableFirstBlocks)
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

// --- tickets ---

func (e *engine) unpackTicket(el *cib.Element) {
	id := el.Get("ticket")
	if id == "" {
		return
	}
	t := e.ticketNamed(id)
	if sets := e.resourceSets(el); len(sets) > 0 {
		for _, s := range sets {
			for _, r := range s.members {
				e.newTicket(el, r, t, s.el.Get("role"))
			}
		}
		return
	}
	name := el.Get("rsc")
	if r := e.constraintTarget(name); r != nil {
		e.newTicket(el, r, t, el.Get("rsc-role"))
		return
	}
	ids, _, ok := e.expandRef(name)
	if !ok {
		e.fault(el.ID(), "resource "+name+" does not exist")
		return
	}
	for _, x := range ids {
		if r := e.constraintTarget(x); r != nil {
			e.newTicket(el, r, t, el.Get("rsc-role"))
		}
	}
}

func (e *engine) newTicket(el *cib.Element, r *resource, t *ticket, roleText string) {
	c := &ticketConstraint{id: el.ID(), ticket: t, rsc: r}
	if role, ok := parseRole(roleText); ok && role != roleStarted {
		c.role = role
	}
	switch el.Get("loss-policy") {
	case "fence":
		c.policy = lossFence
		if !e.opt.fencing {
			c.policy = lossStop
		}
	case "freeze":
		c.policy = lossFreeze
	case "demote":
		c.policy = lossDemote
	case "stop":
		c.policy = lossStop
	default:
		if c.role == rolePromoted {
			c.policy = lossDemote
		}
	}
	r.tickets = append(r.tickets, c)
	if !t.granted || t.standby {
		e.ticketLost(r, c)
	}
}

// ticketLost applies a ticket that is not there to r.
func (e *engine) ticketLost(r *resource, c *ticketConstraint) {
	if c.ticket.granted && !c.ticket.standby {
		return
	}
	if len(r.children) > 0 {
		for _, m := range r.children {
			e.ticketLost(m, c)
		}
		return
	}
	if len(r.runningOn) > 0 && !c.ticket.granted {
		switch c.policy {
		case lossStop:
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
		case lossDemote:
			if c.role != rolePromoted {
				e.ban(r, nil, cause{by: ByTicket, tkt: c})
			}
		case lossFence:
			if !ticketRoleMatches(r, c) {
				return
			}
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
			for _, n := range slices.Clone(r.runningOn) {
				e.fenceNode(n, "deadman ticket was lost", false)
			}
		case lossFreeze:
			if !ticketRoleMatches(r, c) {
				return
			}
			if len(r.runningOn) > 0 {
				r.managed, r.blocked = false, true
			}
		}
		return
	}
	if !c.ticket.granted {
		if c.role != rolePromoted || c.policy == lossStop {
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
		}
		return
	}
	// standby
	if c.role != rolePromoted || c.policy == lossStop {
		e.ban(r, nil, cause{by: ByTicket, tkt: c})
	}
}

func ticketRoleMatches(r *resource, c *ticketConstraint) bool {
	if c.role == roleUnknown || c.role == r.role {
		return true
	}
	return c.role == roleUnpromoted && r.role == roleStarted
}
