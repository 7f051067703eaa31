package shell

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"gcrm/cib"
	"gcrm/grammar"
)

// showXML prints the configuration as show xml does: the cib element with its
// attributes and the configuration, without status.
func showXML(doc *cib.CIB, sel *selection) string {
	root := &cib.Element{Name: "cib", Attrs: doc.Root.Attrs}
	conf := doc.Configuration()
	if sel.pick != nil {
		conf = pickXML(doc, sel.pick)
	} else {
		conf = arrangeXML(conf)
	}
	root.Children = []*cib.Element{undefault(obscureXML(conf, sel.obscure))}
	return "<?xml version=\"1.0\" ?>\n" + root.String() + "\n"
}

// pickXML returns a configuration that holds only some objects, with what they
// are within, in the sections they come from.
func pickXML(doc *cib.CIB, pick func(grammar.Object) bool) *cib.Element {
	wanted := map[*cib.Element]bool{}
	for _, o := range grammar.Objects(doc, true) {
		if pick(o) {
			wanted[o.Element] = true
		}
	}
	out := &cib.Element{Name: "configuration"}
	for section := range doc.Configuration().Elements() {
		n := &cib.Element{Name: section.Name, Attrs: section.Attrs}
		if wanted[section] {
			n.Children = section.Children
		}
		for e := range section.Elements() {
			if holds(e, wanted) {
				n.Children = append(n.Children, e)
			}
		}
		switch section.Name {
		case "crm_config", "nodes", "resources", "constraints":
			out.Add(n)
		default:
			if len(n.Children) > 0 {
				out.Add(n)
			}
		}
	}
	return out
}

// holds reports whether an object, or a resource within it, is wanted.
func holds(e *cib.Element, wanted map[*cib.Element]bool) bool {
	if wanted[e] {
		return true
	}
	for m := range cib.Members(e) {
		if holds(m, wanted) {
			return true
		}
	}
	return false
}

// arrangeXML puts resources in the order of display: templates, primitives,
// bundles, groups, clones; a container stands where its first member would.
func arrangeXML(conf *cib.Element) *cib.Element {
	out := &cib.Element{Name: conf.Name, Attrs: conf.Attrs, Children: slices.Clone(conf.Children)}
	for i, section := range out.Children {
		if section.Name != "resources" {
			continue
		}
		n := &cib.Element{Name: section.Name, Attrs: section.Attrs, Children: slices.Clone(section.Children)}
		slices.SortStableFunc(n.Children, func(a, b *cib.Element) int { return cmp.Compare(displayRank(a), displayRank(b)) })
		out.Children[i] = n
	}
	return out
}

func displayRank(e *cib.Element) int {
	for cib.IsContainer(e.Name) {
		var first *cib.Element
		for m := range cib.Members(e) {
			first = m
			break
		}
		if first == nil {
			break
		}
		e = first
	}
	return slices.Index([]string{"template", "primitive", "bundle", "group", "master", "clone"}, e.Name)
}

// undefault returns a copy without attributes that say what holds anyway: such
// are not shown. What has none is shared with the original.
func undefault(e *cib.Element) *cib.Element {
	drop := func(a cib.Attr) bool {
		switch e.Name {
		case "node":
			return a == cib.Attr{Name: "type", Value: "member"}
		case "resource_set":
			return a == cib.Attr{Name: "sequential", Value: "true"} || a == cib.Attr{Name: "require-all", Value: "true"}
		case "rule":
			return a == cib.Attr{Name: "boolean-op", Value: "and"}
		case "expression":
			return a == cib.Attr{Name: "type", Value: "string"}
		}
		return false
	}
	out := e
	if cib.IsContainer(e.Name) {
		// Attribute sets stand before members.
		if sorted := slices.Clone(e.Children); !slices.IsSortedFunc(sorted, byContainerRank) {
			slices.SortStableFunc(sorted, byContainerRank)
			out = &cib.Element{Name: e.Name, Attrs: e.Attrs, Text: e.Text, Children: sorted}
			e = out
		}
	}
	copied := func() *cib.Element {
		if out == e {
			out = &cib.Element{Name: e.Name, Attrs: e.Attrs, Text: e.Text, Children: e.Children}
		}
		return out
	}
	if slices.ContainsFunc(e.Attrs, drop) {
		copied().Attrs = slices.DeleteFunc(slices.Clone(e.Attrs), drop)
	}
	shared := true
	for i, c := range e.Children {
		n := undefault(c)
		if n == c {
			continue
		}
		if shared {
			copied().Children = slices.Clone(e.Children)
			shared = false
		}
		out.Children[i] = n
	}
	return out
}

func byContainerRank(a, b *cib.Element) int {
	rank := func(e *cib.Element) int { return boolRank(cib.IsResource(e.Name)) }
	return cmp.Compare(rank(a), rank(b))
}

// obscureXML returns a copy in which values of secret names are hidden. What
// holds none is shared with the original.
func obscureXML(e *cib.Element, globs []string) *cib.Element {
	if e.Name == "nvpair" && isObscured(e.Get("name"), globs) && e.Has("value") {
		n := &cib.Element{Name: e.Name, Attrs: slices.Clone(e.Attrs), Children: e.Children}
		n.Set("value", "******")
		return n
	}
	var copied *cib.Element
	for i, c := range e.Children {
		if h := obscureXML(c, globs); h != c {
			if copied == nil {
				copied = &cib.Element{Name: e.Name, Attrs: e.Attrs, Text: e.Text, Children: slices.Clone(e.Children)}
			}
			copied.Children[i] = h
		}
	}
	if copied != nil {
		return copied
	}
	return e
}

func isObscured(name string, globs []string) bool {
	for _, g := range globs {
		if ok, _ := path.Match(g, name); ok && !strings.Contains(name, "/") {
			return true
		}
	}
	return false
}
