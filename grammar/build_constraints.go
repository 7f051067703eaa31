package grammar

import (
	"slices"
	"strings"

	"gcrm/cib"
)

// member is one resource of a constraint with its role or action.
type member struct {
	id, suffix string
	token      Token
}

// setPart is one resource_set in the making.
type setPart struct {
	members    []member
	sequential string // "" or "false"
	requireAll string
}

// sets reads the members of a constraint. suffix names what may stand behind
// the colon: "role" or "action". plain holds the members if there are
// exactly want of them and no sets were asked for (forced); then parts is nil.
// Within the braces of a location (want is 0) attributes may also stand outside
// of brackets.
func (b *builder) sets(items []Token, suffix string, want int) (plain []member, parts []setPart, forced bool) {
	context := suffix
	fail := func(t Token, format string, args ...any) {
		e := b.st.fail(t, format, args...)
		e.Context = context
		b.errs = append(b.errs, e)
	}
	var (
		open Token
		cur  setPart
	)
	flush := func() {
		if len(cur.members) > 0 {
			parts = append(parts, cur)
		}
		cur.members = nil
	}
	for _, t := range items {
		switch {
		case t.Type == tBracket && (t.Value == "(" || t.Value == "["):
			if open.Value != "" {
				fail(t, "Cannot nest resource sets")
				return nil, nil, false
			}
			flush()
			open, forced = t, true
			cur = setPart{sequential: "false"}
			if t.Value == "[" {
				cur.requireAll = "false"
			}
		case t.Type == tBracket:
			switch {
			case open.Value == "":
				fail(t, "Unmatched closing bracket")
				return nil, nil, false
			case (open.Value == "(") != (t.Value == ")"):
				fail(t, "Mismatched closing bracket")
				return nil, nil, false
			case len(cur.members) == 0 && !slices.ContainsFunc(parts, func(p setPart) bool {
				return len(p.members) > 0 && p.members[0].token.Pos.Offset > open.Pos.Offset
			}):
				fail(t, "Empty resource set")
				return nil, nil, false
			}
			// Attributes hold for what stands around them: another role or
			// action before them has made a part of its own.
			flush()
			cur, open = setPart{}, Token{}
		case t.Type == tPair:
			name, value, _ := strings.Cut(t.Value, "=")
			v, boolean := cib.ParseBool(value)
			switch {
			case open.Value == "" && want > 0 || name != "sequential" && name != "require-all":
				fail(t, "Unknown attribute")
				return nil, nil, false
			case !boolean:
				fail(t, "Not a boolean: %s", value)
				return nil, nil, false
			}
			stored := ""
			if !v {
				stored = "false"
			}
			if name == "sequential" {
				cur.sequential = stored
			} else {
				cur.requireAll = stored
			}
		case t.Value == "_rsc_set_":
			forced = true
		default:
			m, ok := b.member(t, suffix)
			if !ok {
				return nil, nil, false
			}
			if len(cur.members) > 0 && cur.members[0].suffix != m.suffix {
				flush()
			}
			cur.members = append(cur.members, m)
		}
	}
	if open.Value != "" {
		fail(open, "Unmatched opening bracket")
		return nil, nil, false
	}
	flush()
	for _, p := range parts {
		plain = append(plain, p.members...)
	}
	if !forced && len(plain) == want && want > 0 {
		return plain, nil, false
	}
	return nil, parts, forced
}

// member reads RSC or RSC:SUFFIX.
func (b *builder) member(t Token, suffix string) (member, bool) {
	id, s, has := strings.Cut(t.Value, ":")
	m := member{id: id, token: t}
	if !has {
		return m, true
	}
	if strings.Contains(s, ":") {
		b.fail(t, "Expected value[:value], found %q", t.Value)
		return m, false
	}
	if suffix == "role" && allDigits(s) {
		m.suffix = s
		return m, true
	}
	list := roles
	if suffix == "action" {
		list = actions
	}
	v, ok := foldIn(s, list)
	if !ok {
		hint := "known are " + strings.Join(list[:4], ", ")
		if n := nearest(s, list); n != "" {
			hint = "did you mean " + n + "?"
		}
		b.hint(t, hint, "Invalid %s '%s' for '%s'", suffix, s, id)
		return m, false
	}
	m.suffix = v
	if suffix == "role" {
		m.suffix = b.role(v, t)
	}
	return m, true
}

// addSets adds resource_set elements for the parts.
func (b *builder) addSets(e *cib.Element, parts []setPart, suffix string) {
	for _, p := range parts {
		s := cib.NewElement("resource_set", "require-all", p.requireAll, "sequential", p.sequential, suffix, p.members[0].suffix)
		for _, m := range p.members {
			s.Add(cib.NewElement("resource_ref", "id", m.id))
		}
		e.Add(s)
	}
}

// option takes name=value off the end of the items if it is there.
func option(items []Token, name string) (rest []Token, value Token) {
	if n := len(items); n > 0 && items[n-1].Type == tPair && strings.HasPrefix(items[n-1].Value, name+"=") {
		return items[:n-1], items[n-1]
	}
	return items, Token{}
}

func (b *builder) location(l *Location) *cib.Element {
	e := cib.NewElement("rsc_location", "id", b.id(l.ID))
	switch r := l.Rsc.Value; {
	case l.Open.Value != "":
		_, parts, _ := b.sets(l.Items, "role", 0)
		if len(l.Items) == 0 {
			b.fail(l.Open, "Empty resource set")
		}
		b.addSets(e, parts, "role")
	case len(r) > 1 && r[0] == '/' && r[len(r)-1] == '/':
		e.Set("rsc-pattern", r[1:len(r)-1])
	case strings.ContainsAny(r, ":="):
		b.hint(l.Rsc, "a role is written as role=Promoted behind the resource", "%q is no resource id", r)
	default:
		e.Set("rsc", r)
	}
	for _, t := range l.Attrs {
		name, value, _ := strings.Cut(strings.TrimPrefix(t.Value, "$"), "=")
		if name == "role" {
			value = b.role(value, t)
		}
		e.Set(name, value)
	}
	if l.Score.Value != "" {
		if s, ok := parseScore(label(l.Score)); ok {
			e.Set("score", s)
		} else {
			e.Set("score-attribute", label(l.Score))
		}
		e.Set("node", l.Node.Value)
	}
	for _, r := range l.Rules {
		e.Add(b.rule(r))
	}
	return e
}

func (b *builder) colocation(c *Colocation) *cib.Element {
	e := cib.NewElement("rsc_colocation", "id", b.id(c.ID))
	if s, ok := parseScore(label(c.Score)); ok {
		e.Set("score", s)
	} else {
		e.Set("score-attribute", label(c.Score))
	}
	items, attr := option(c.Items, "node-attribute")
	plain, parts, forced := b.sets(items, "role", 2)
	b.enough(c.ID, plain, parts, forced)
	if attr.Value != "" {
		if plain == nil {
			b.hint(attr, "only a colocation of two resources has one", "node-attribute does not go together with resource sets")
		}
		e.Set("node-attribute", strings.ToLower(after(attr, "=")))
	}
	for i, m := range plain {
		prefix := [...]string{"", "with-"}[i]
		e.Set(prefix+"rsc", m.id)
		switch {
		case allDigits(m.suffix):
			e.Set(prefix+"rsc-instance", m.suffix)
		case m.suffix != "":
			e.Set(prefix+"rsc-role", m.suffix)
		}
	}
	b.addSets(e, parts, "role")
	return e
}

// enough refuses a constraint over a single resource, unless a set was asked
// for in so many words.
func (b *builder) enough(id Token, plain []member, parts []setPart, forced bool) {
	if len(b.errs) > 0 || plain != nil || forced && len(parts) > 0 {
		return
	}
	n := 0
	for _, p := range parts {
		n += len(p.members)
	}
	if n < 2 && len(parts) < 2 {
		b.hint(id, "name a second one", "%s %s needs two resources", b.st.Verb, id.Value)
	}
}

func (b *builder) order(o *Order) *cib.Element {
	e := cib.NewElement("rsc_order", "id", b.id(o.ID))
	if o.Kind.Value != "" {
		word := label(o.Kind)
		if k, ok := foldIn(word, kinds); ok {
			e.Set("kind", k)
		} else if s, ok := parseScore(word); ok {
			kind := "Mandatory"
			if strings.Trim(s, "+-0") == "" {
				kind = "Optional"
			}
			e.Set("kind", kind)
		} else {
			hint := "known are Mandatory:, Optional: and Serialize:"
			if n := nearest(word, []string{"mandatory", "optional", "serialize"}); n != "" {
				hint = "did you mean " + strings.ToUpper(n[:1]) + n[1:] + ":?"
			}
			b.hint(o.Kind, hint, "Invalid kind %q", word)
		}
	}
	items, symmetrical := option(o.Items, "symmetrical")
	plain, parts, forced := b.sets(items, "action", 2)
	b.enough(o.ID, plain, parts, forced)
	if symmetrical.Value != "" {
		v, ok := cib.ParseBool(after(symmetrical, "="))
		if !ok {
			b.fail(symmetrical, "Not a boolean: %s", after(symmetrical, "="))
		}
		e.Set("symmetrical", map[bool]string{true: "true", false: "false"}[v])
	}
	for i, m := range plain {
		name := [...]string{"first", "then"}[i]
		e.Set(name, m.id)
		if m.suffix != "" {
			e.Set(name+"-action", m.suffix)
		}
	}
	b.addSets(e, parts, "action")
	return e
}

func (b *builder) ticket(t *Ticket) *cib.Element {
	e := cib.NewElement("rsc_ticket", "id", b.id(t.ID), "ticket", label(t.Ticket))
	items, loss := option(t.Items, "loss-policy")
	plain, parts, _ := b.sets(items, "role", 1)
	if loss.Value != "" {
		v := after(loss, "=")
		if !slices.Contains([]string{"stop", "demote", "fence", "freeze"}, v) {
			b.hint(loss, "known are stop, demote, fence and freeze", "Invalid loss-policy %q", after(loss, "="))
		}
		e.Set("loss-policy", v)
	}
	if plain != nil {
		e.Set("rsc", plain[0].id)
		if plain[0].suffix != "" {
			e.Set("rsc-role", plain[0].suffix)
		}
	}
	if plain == nil && len(parts) == 0 && len(b.errs) == 0 {
		b.fail(t.ID, "no resource is named")
	}
	b.addSets(e, parts, "role")
	return e
}
