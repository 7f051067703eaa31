package shell

import (
	"context"
	"path"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// selection is what the words behind show, edit or save pick.
type selection struct {
	xml     bool
	changed bool // nothing but "changed": the difference is meant
	all     bool
	pick    func(grammar.Object) bool
	obscure []string
	missing []grammar.Word
}

// obscured are the globs of names whose values show hides.
func (s *Session) obscured() []string {
	return []string{"*passw*", "*secret*", "*token*", "community", "snmp_community", "kg", "hexadecimal_kg"}
}

// selectObjects reads selectors: ids, globs, type:T, tag:T, related:X, changed,
// obscure:GLOB; several pick what any of them picks, "and" picks from what those
// before it picked.
func (s *Session) selectObjects(ctx context.Context, doc *cib.CIB, words []grammar.Word) (*selection, error) {
	sel := &selection{obscure: s.obscured()}
	if len(words) > 0 && words[0].Text == "xml" {
		sel.xml = true
		words = words[1:]
	}
	var kept []grammar.Word
	for _, w := range words {
		if g, ok := strings.CutPrefix(w.Text, "obscure:"); ok {
			sel.obscure = append(sel.obscure, g)
			continue
		}
		kept = append(kept, w)
	}
	if len(kept) == 0 {
		sel.all = true
		return sel, nil
	}
	if len(kept) == 1 && kept[0].Text == "changed" {
		sel.changed = true
	}
	objects := grammar.Objects(doc, true)
	// Words add to what those before them picked; after "and" a word picks from
	// that.
	sel.pick = func(grammar.Object) bool { return false }
	joined := false
	for i, w := range kept {
		switch {
		case strings.EqualFold(w.Text, "or"):
			continue
		case strings.EqualFold(w.Text, "and"):
			if i == 0 || i == len(kept)-1 || joined {
				return nil, problemf("\"and\" stands between two selectors").at(w.Pos)
			}
			joined = true
			continue
		}
		f, err := s.selector(ctx, doc, objects, w, sel)
		if err != nil {
			return nil, err
		}
		before, both := sel.pick, joined
		sel.pick = func(o grammar.Object) bool {
			if both {
				return before(o) && f(o)
			}
			return before(o) || f(o)
		}
		joined = false
	}
	return sel, nil
}

// selector turns one word into a condition.
func (s *Session) selector(ctx context.Context, doc *cib.CIB, objects []grammar.Object, w grammar.Word, sel *selection) (func(grammar.Object) bool, error) {
	kind, value, prefixed := strings.Cut(w.Text, ":")
	switch {
	case w.Text == "changed":
		return s.isChanged(doc), nil
	case prefixed && kind == "type":
		if !slices.Contains(objectKinds(), value) {
			p := problemf("%s: no such type of objects", value).at(w.Pos)
			if near := nearest(value, objectKinds()); near != "" {
				return nil, p.hinting("did you mean %s?", near)
			}
			return nil, p.hinting("there are %s", strings.Join(objectKinds(), ", "))
		}
		return func(o grammar.Object) bool { return o.Kind == value }, nil
	case prefixed && kind == "tag":
		tag := doc.Section("tags").ChildByID(value)
		if tag == nil { // told, and no failure: a script may ask for what is not there
			s.msg.warning("tag %s does not exist", value)
			return func(grammar.Object) bool { return false }, nil
		}
		members := map[string]bool{}
		for ref := range tag.Named("obj_ref") {
			members[ref.ID()] = true
		}
		return func(o grammar.Object) bool { return members[o.ID] && o.Kind != "node" }, nil
	case prefixed && kind == "related":
		return related(doc, objects, value), nil
	case strings.ContainsAny(w.Text, "*?["):
		if _, err := path.Match(w.Text, ""); err != nil {
			return nil, problemf("%s: bad pattern", w.Text).at(w.Pos)
		}
		return func(o grammar.Object) bool { ok, _ := path.Match(w.Text, o.ID); return ok }, nil
	}
	if !slices.ContainsFunc(objects, func(o grammar.Object) bool { return o.ID == w.Text }) {
		sel.missing = append(sel.missing, w)
	}
	return func(o grammar.Object) bool { return o.ID == w.Text }, nil
}

// isChanged picks what is staged and differs from what was loaded.
func (s *Session) isChanged(doc *cib.CIB) func(grammar.Object) bool {
	if s.staged == nil || !s.staged.touched {
		return func(grammar.Object) bool { return false }
	}
	old := map[string]*cib.Element{}
	for _, o := range grammar.Objects(s.staged.base, true) {
		old[o.Kind+" "+o.ID] = o.Element
	}
	return func(o grammar.Object) bool {
		before := old[o.Kind+" "+o.ID]
		return before == nil || !before.Equal(o.Element)
	}
}

// related picks what has to do with a word: the objects of that id with the
// constraints, tags and containers that name or hold them, and the resources
// of that agent: TYPE, CLASS:TYPE or CLASS:PROVIDER:TYPE.
func related(doc *cib.CIB, objects []grammar.Object, word string) func(grammar.Object) bool {
	picked := map[string]bool{}
	for _, o := range objects {
		if ok, err := path.Match(word, o.ID); ok && err == nil && o.Kind != "node" {
			picked[o.ID] = true
		}
		if a := o.Element; a.Has("class") && slices.Contains([]string{a.Get("type"), a.Get("class") + ":" + a.Get("type"),
			a.Get("class") + ":" + a.Get("provider") + ":" + a.Get("type")}, word) {
			picked[o.ID] = true
		}
	}
	for _, ref := range cib.NewIndex(doc).References(word) {
		if ref.Object != nil && (ref.Section == "constraints" || ref.Section == "tags") {
			picked[ref.Object.ID()] = true
		}
	}
	for id := word; ; {
		t, ok := findResource(doc, id)
		if !ok || t.parent.Name == "resources" {
			break
		}
		id = t.parent.ID()
		picked[id] = true
	}
	return func(o grammar.Object) bool { return picked[o.ID] && o.Kind != "node" }
}

func runShow(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	sel, err := s.selectObjects(ctx, doc, c.words)
	if err != nil {
		return err
	}
	for _, w := range sel.missing {
		s.report(noObject(doc, w))
	}
	if sel.changed && !sel.xml && s.cfg.Format != "json" {
		text, err := s.changesAsText(ctx)
		if err != nil {
			return err
		}
		return s.page(text)
	}
	switch {
	case s.cfg.Format == "json":
		err = s.showJSON(doc, sel)
	case sel.xml:
		err = s.page(showXML(doc, sel))
	default:
		err = s.page(grammar.Print(doc, s.printOptions(sel)))
	}
	if err == nil && len(sel.missing) > 0 {
		return errReported
	}
	return err
}

func (s *Session) printOptions(sel *selection) grammar.PrintOptions {
	o := grammar.PrintOptions{Select: sel.pick, Obscure: sel.obscure}
	if s.cfg.Display.Color || s.cfg.Display.Uppercase {
		o.Color = s.color.style
	}
	return o
}

// style colours a piece of configuration text.
func (p palette) style(st grammar.Style, text string) string {
	switch st {
	case grammar.Keyword:
		return p.keyword(text)
	case grammar.Identifier:
		return p.ident(text)
	case grammar.AttrName:
		return p.attrName(text)
	case grammar.AttrValue:
		return p.attrValue(text)
	case grammar.ResourceRef, grammar.IDRef, grammar.TicketName:
		return p.reference(text)
	case grammar.Score:
		return p.score(text)
	}
	return text
}

// showObjects prints some objects as text.
func (s *Session) showObjects(doc *cib.CIB, elements []*cib.Element) error {
	sel := &selection{obscure: s.obscured(), pick: func(o grammar.Object) bool { return slices.Contains(elements, o.Element) }}
	if s.cfg.Format == "json" {
		return s.showJSON(doc, sel)
	}
	return s.page(grammar.Print(doc, s.printOptions(sel)))
}

// showJSON prints objects with their kind, id, text and XML.
func (s *Session) showJSON(doc *cib.CIB, sel *selection) error {
	type entry struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
		Text string `json:"text"`
		XML  string `json:"xml"`
	}
	out := []entry{}
	for _, o := range grammar.Objects(doc, false) {
		if sel.pick == nil || sel.pick(o) {
			out = append(out, entry{o.Kind, o.ID, grammar.PrintObject(doc, o, grammar.PrintOptions{Obscure: sel.obscure}),
				obscureXML(o.Element, sel.obscure).String()})
		}
	}
	return s.writeJSON(out)
}

// changesAsText is the difference between what was loaded and what is staged.
func (s *Session) changesAsText(ctx context.Context) (string, error) {
	if s.staged == nil || !s.staged.touched {
		return "", nil
	}
	return s.difference(s.staged.base, s.staged.work), nil
}

// writeDifference shows the change from one document to another.
func (s *Session) writeDifference(before, after *cib.CIB) error {
	if s.cfg.Format != "json" {
		s.printf("%s", s.difference(before, after))
		return nil
	}
	text := s.differenceIn(before, after, palette{})
	return s.writeJSON(map[string]any{"changed": text != "", "objects": changedObjects(before, after), "diff": text})
}

// changedObject is an object that differs between two documents.
type changedObject struct {
	Kind    cib.ChangeKind `json:"kind"`
	Section string         `json:"section"`
	ID      string         `json:"id"`
}

func changedObjects(before, after *cib.CIB) []changedObject {
	out := []changedObject{}
	for _, ch := range cib.Diff(before, after) {
		out = append(out, changedObject{ch.Kind, ch.Section, ch.ID})
	}
	return out
}

// difference shows the change from one document to another as crm text.
func (s *Session) difference(before, after *cib.CIB) string {
	return s.differenceIn(before, after, s.color)
}

func (s *Session) differenceIn(before, after *cib.CIB, p palette) string {
	o := grammar.PrintOptions{Obscure: s.obscured()}
	return unifiedDiff(grammar.Print(before, o), grammar.Print(after, o), p)
}
