package grammar

import (
	"strings"

	"gcrm/cib"
)

func (b *builder) propertySet(p *Property) *cib.Element {
	name := "meta_attributes"
	if b.st.Verb == "property" {
		name = "cluster_property_set"
	}
	e := &cib.Element{Name: name}
	if b.st.Mode == Command && b.st.Verb != "property" && p.Ref.Value == "" && p.Label.Value == "" && len(p.Rules)+len(p.Pairs) == 0 {
		b.hint(Token{Pos: b.st.Pos}, "write NAME=VALUE", "Expected at least 1 argument")
	}
	switch {
	case p.Ref.Value != "":
		b.refer(e, p.Ref)
	case p.Label.Value != "":
		e.Set("id", b.id(p.Label))
	}
	for _, r := range p.Rules {
		e.Add(b.rule(r))
	}
	for _, t := range p.Pairs {
		if b.st.Mode == Command && (bare(t) || strings.HasSuffix(t.Value, "=")) {
			hint := "write NAME=VALUE"
			if strings.HasPrefix(t.Value, "#") {
				hint = noComment
			}
			b.hint(t, hint, "Unknown arguments: %s", t.Value)
			continue
		}
		e.Add(b.pair(t))
	}
	return e
}
