package grammar

import (
	"strings"

	"gcrm/cib"
)

func (p *printer) location(e *cib.Element) []string {
	p.only(e, "id", "rsc", "rsc-pattern", "role", "resource-discovery", "score", "score-attribute", "node")
	head := p.head("location", e.ID()) + " "
	children := e.Children
	rsc, named := e.Lookup("rsc")
	pattern, patterned := e.Lookup("rsc-pattern")
	switch {
	case named && !patterned:
		head += p.color(ResourceRef, p.id(rsc))
	case patterned && !named:
		if pattern == "" {
			p.failed = true
		}
		head += "/" + p.color(ResourceRef, p.bare(pattern)) + "/"
	case !named && len(children) > 0 && children[0].Name == "resource_set":
		n := 1
		for n < len(children) && children[n].Name == "resource_set" {
			n++
		}
		parts, _ := p.resourceSets(children[:n], "role")
		head += "{ " + parts + " }"
		children = children[n:]
	default:
		p.failed = true
	}
	for _, a := range []string{"role", "resource-discovery"} {
		if v, ok := e.Lookup(a); ok {
			head += " " + p.color(AttrName, a) + "=" + p.color(AttrValue, p.bare(v))
		}
	}
	if len(children) == 0 {
		score, scored := e.Lookup("score")
		attribute, attributed := e.Lookup("score-attribute")
		if !e.Has("node") || scored == attributed {
			p.failed = true
		}
		return []string{head + " " + p.color(Score, p.score(score, attribute)) + ": " + p.color(Identifier, p.bare(e.Get("node")))}
	}
	if e.Has("node") || e.Has("score") || e.Has("score-attribute") {
		p.failed = true
	}
	lines := []string{head}
	for _, c := range children {
		if c.Name != "rule" {
			p.failed = true
			continue
		}
		lines = append(lines, p.rule(c))
	}
	return lines
}

// score prints a score or the attribute that holds one.
func (p *printer) score(score, attribute string) string {
	if attribute != "" {
		if _, number := parseScore(attribute); number {
			p.failed = true
		}
		return p.listed(attribute)
	}
	if s, ok := parseScore(score); !ok || s != score {
		p.failed = true
	}
	return printScore(score)
}

// suffixed prints a resource with its role or action.
func (p *printer) suffixed(id, suffix string, known []string) string {
	s := p.color(ResourceRef, p.id(id))
	if suffix == "" {
		return s
	}
	ok := false
	for _, k := range known {
		ok = ok || k == suffix
	}
	if !ok {
		p.failed = true
	}
	return s + ":" + p.color(AttrValue, suffix)
}

// resourceSets prints resource sets; plain tells that the last one has no
// brackets.
func (p *printer) resourceSets(sets []*cib.Element, suffix string) (text string, plain bool) {
	known := roles
	if suffix == "action" {
		known = actions
	}
	var parts []string
	last := "?"
	for _, s := range sets {
		p.only(s, "id", "sequential", "require-all", suffix)
		p.leafless(s)
		if s.Name != "resource_set" || s.Has("id-ref") {
			p.failed = true
			continue
		}
		var words []string
		for _, r := range s.Children {
			if r.Name != "resource_ref" {
				p.failed = true
			}
			p.only(r, "id")
			p.leaf(r)
			words = append(words, p.suffixed(r.ID(), s.Get(suffix), known))
		}
		sequential, hasSequential := s.Lookup("sequential")
		all, hasAll := s.Lookup("require-all")
		if hasSequential && sequential != "false" || hasAll && all != "false" {
			p.failed = true
		}
		open, end := "", ""
		switch {
		case hasAll && hasSequential:
			open, end = "[", "]"
		case hasAll:
			open, end = "[", "]"
			words = append(words, "sequential=true")
		case hasSequential:
			open, end = "(", ")"
		}
		if open != "" {
			last = "?"
			words = append(append([]string{open}, words...), end)
		} else {
			// Two bare sets in a row are told apart by their suffix alone.
			if last == s.Get(suffix) {
				p.failed = true
			}
			last = s.Get(suffix)
		}
		plain = open == ""
		parts = append(parts, strings.Join(words, " "))
	}
	return strings.Join(parts, " "), plain
}

// sets prints the resource sets of a constraint. want is the number of members
// that would be read back as a simple constraint.
func (p *printer) sets(e *cib.Element, suffix string, want int) string {
	text, plain := p.resourceSets(e.Children, suffix)
	n := 0
	for _, s := range e.Children {
		n += len(s.Children)
	}
	// A single bare member is not accepted back.
	if n < 2 && want == 2 && plain {
		p.failed = true
	}
	if n == want && (plain || want == 1) {
		text = "_rsc_set_ " + text
	}
	return text
}

func (p *printer) colocation(e *cib.Element) []string {
	p.only(e, "id", "score", "score-attribute", "rsc", "rsc-role", "rsc-instance", "with-rsc", "with-rsc-role", "with-rsc-instance", "node-attribute")
	if e.Has("score") == e.Has("score-attribute") {
		p.failed = true
	}
	s := p.head("colocation", e.ID()) + " " + p.color(Score, p.score(e.Get("score"), e.Get("score-attribute"))) + ": "
	switch {
	case e.Has("rsc") && e.Has("with-rsc"):
		p.leaf(e)
		for i, prefix := range []string{"", "with-"} {
			if i > 0 {
				s += " "
			}
			instance, has := e.Lookup(prefix + "rsc-instance")
			if has {
				if e.Has(prefix+"rsc-role") || !allDigits(instance) {
					p.failed = true
				}
				s += p.color(ResourceRef, p.id(e.Get(prefix+"rsc"))) + ":" + instance
				continue
			}
			s += p.suffixed(e.Get(prefix+"rsc"), e.Get(prefix+"rsc-role"), roles)
		}
	case !e.Has("rsc") && !e.Has("with-rsc"):
		p.leafless(e)
		p.only(e, "id", "score", "score-attribute")
		s += p.sets(e, "role", 2)
	default:
		p.failed = true
	}
	if a, ok := e.Lookup("node-attribute"); ok {
		if a != strings.ToLower(a) || strings.ContainsAny(a, "()[]") {
			p.failed = true
		}
		s += " " + p.color(AttrName, "node-attribute") + "=" + p.color(AttrValue, p.bare(a))
	}
	return []string{s}
}

func (p *printer) order(e *cib.Element) []string {
	p.only(e, "id", "kind", "first", "first-action", "then", "then-action", "symmetrical")
	s := p.head("order", e.ID()) + " "
	if k, ok := e.Lookup("kind"); ok {
		if known, found := foldIn(k, kinds); !found || known != k {
			p.failed = true
		}
		s += p.color(Score, k) + ": "
	}
	switch {
	case e.Has("first") && e.Has("then"):
		p.leaf(e)
		s += p.suffixed(e.Get("first"), e.Get("first-action"), actions) + " " + p.suffixed(e.Get("then"), e.Get("then-action"), actions)
	case !e.Has("first") && !e.Has("then"):
		p.leafless(e)
		p.only(e, "id", "kind", "symmetrical")
		s += p.sets(e, "action", 2)
	default:
		p.failed = true
	}
	if v, ok := e.Lookup("symmetrical"); ok {
		if v != "true" && v != "false" {
			p.failed = true
		}
		s += " " + p.color(AttrName, "symmetrical") + "=" + p.color(AttrValue, v)
	}
	return []string{s}
}

func (p *printer) ticket(e *cib.Element) []string {
	p.only(e, "id", "ticket", "rsc", "rsc-role", "loss-policy")
	s := p.head("rsc_ticket", e.ID()) + " " + p.color(TicketName, p.bare(e.Get("ticket"))) + ": "
	if e.Has("rsc") {
		p.leaf(e)
		s += p.suffixed(e.Get("rsc"), e.Get("rsc-role"), roles)
	} else {
		p.leafless(e)
		s += p.sets(e, "role", 1)
	}
	if v, ok := e.Lookup("loss-policy"); ok {
		switch v {
		case "stop", "demote", "fence", "freeze":
		default:
			p.failed = true
		}
		s += " " + p.color(AttrName, "loss-policy") + "=" + p.color(AttrValue, v)
	}
	return []string{s}
}
