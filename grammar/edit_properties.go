package grammar

import (
	"slices"

	"gcrm/cib"
)

// defaultSets are the ids of the sets that unnamed statements are about.
var defaultSets = map[string]string{"property": cib.DefaultPropertySet, "rsc_defaults": "rsc-options", "op_defaults": "op-options"}

// putProperty creates a set of properties or defaults, or merges into the
// known one.
func (e *Edit) putProperty(b *builder, el *cib.Element, s *Property) func() {
	sectionName := b.st.Verb
	if sectionName == "property" {
		sectionName = "crm_config"
	}
	section := e.CIB.Section(sectionName)
	id := el.ID()
	if id == "" && !el.Has("id-ref") {
		id = defaultSets[b.st.Verb]
		if section.ChildByID(id) == nil {
			// The last set there is stands in for the default one.
			for c := range section.Named(el.Name) {
				if c.ID() != "" {
					id = c.ID()
				}
			}
		}
		el.Attrs = slices.Insert(el.Attrs, 0, cib.Attr{Name: "id", Value: id})
	}
	if e.merged == nil {
		e.merged = map[string]bool{}
	}
	e.merged[id] = true
	old, exists := e.objects[id]
	at := s.Label
	if at.Value == "" {
		at = Token{Value: b.st.Verb, Pos: b.st.Pos}
	}
	if exists && old.parent != section {
		b.hint(at, "choose another id", "Cannot create %s with ID '%s': Found existing %s with same ID.", b.st.Verb, id, kindOf(old.element, old.parent))
		return nil
	}
	if _, used := e.ids.used[id]; used && !exists && id != "" {
		b.hint(at, "choose another id", "%s: id is already in use", id)
	}
	if len(b.errs) > 0 {
		return nil
	}
	if !exists {
		comment(el, b.st.Comments)
		if id != "" {
			e.ids.take(id)
		}
		e.ids.complete(el, nil)
		return func() {
			sec := e.section(sectionName)
			sec.Add(el)
			e.note(el, sec)
		}
	}
	if e.renew[id] {
		delete(e.renew, id)
		comment(el, b.st.Comments)
		e.ids.complete(el, old.element)
		return func() { e.replace(old, el) }
	}
	merged := old.element.Clone()
	if rules := slices.Collect(el.Named("rule")); len(rules) > 0 {
		merged.Children = slices.DeleteFunc(merged.Children, func(c *cib.Element) bool { return c.Name == "rule" })
		merged.Children = slices.Insert(merged.Children, 0, rules...)
	}
	if b.st.Verb == "property" {
		keepVocabulary(b, merged, el, at)
	}
	mergePairs(merged, el)
	if len(b.st.Comments) > 0 {
		merged.Children = slices.DeleteFunc(merged.Children, (*cib.Element).IsComment)
		comment(merged, b.st.Comments)
	}
	e.ids.complete(merged, old.element)
	return func() { e.replace(old, merged) }
}

// keepVocabulary renames new properties to the spelling in which the set has
// them already: "fencing-enabled" and "stonith-enabled" are one property, and
// with both in a set nobody could say which one counts.
func keepVocabulary(b *builder, into, set *cib.Element, at Token) {
	options := cib.ClusterOptions()
	spelled := map[string]string{} // option name to the name in the set
	for p := range into.Named("nvpair") {
		if o := cib.FindOption(options, p.Get("name")); o != nil && len(o.Aliases) > 0 {
			spelled[o.Name] = p.Get("name")
		}
	}
	if len(spelled) == 0 {
		return
	}
	for p := range set.Named("nvpair") {
		name := p.Get("name")
		o := cib.FindOption(options, name)
		if o == nil || spelled[o.Name] == "" || spelled[o.Name] == name {
			continue
		}
		p.Set("name", spelled[o.Name])
		b.remark(Info, at, "%s is called %s in this CIB", name, spelled[o.Name])
	}
}
