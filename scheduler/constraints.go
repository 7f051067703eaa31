package scheduler

import (
	"regexp"
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
		if e.older.has(olderAlternatives) && strings.EqualFold(rule.Get("boolean-op"), "or") {
			v = addScores(v, n.baseScore)
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
