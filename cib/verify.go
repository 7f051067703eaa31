package cib

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// VerifyOptions select what [Verify] looks at. The zero value means all.
type VerifyOptions struct {
	// Schema replaces the schema that the document declares.
	Schema string
	// IgnoreMissingAgents leaves out agents that are not installed here.
	IgnoreMissingAgents bool
}

// Verify looks for everything that is wrong with a document or looks wrong:
// against the schema, against the agents' descriptions (if meta is not nil),
// and in what the configuration as a whole means. Problems come with the gravest
// first, else in document order. The cost is linear in the size of the
// document.
func Verify(c *CIB, meta MetadataSource, opts VerifyOptions) []Problem {
	v := &verifier{cib: c, index: NewIndex(c)}
	v.problems = checkSchema(c, v.index, opts.Schema)
	v.survey()
	if meta != nil {
		v.agents(meta, opts)
	}
	v.optionNames()
	v.references()
	v.semantics()
	slices.SortStableFunc(v.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(btoi(b.NeedsForce), btoi(a.NeedsForce)))
	})
	return v.problems
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// WorstOf returns the gravest severity among problems, and whether a commit
// needs force because of them. Without problems it is Info.
func WorstOf(problems []Problem) (worst Severity, needsForce bool) {
	for _, p := range problems {
		worst = max(worst, p.Severity)
		needsForce = needsForce || p.NeedsForce
	}
	return worst, needsForce
}

// verifier collects problems of one document.
type verifier struct {
	cib      *CIB
	index    *Index
	problems []Problem

	resources []*resourceInfo // all of them, parents before members
	byID      map[string]*resourceInfo
	nodeNames map[string]bool // lower case; cluster, remote and guest nodes
}

// resourceInfo is a resource with what verification asks about again and again.
type resourceInfo struct {
	*Element
	id     string
	agent  AgentName
	parent *resourceInfo
	top    *resourceInfo   // outermost container, or the resource itself
	group  *resourceInfo   // group that it is a member of
	clone  *resourceInfo   // clone or bundle that it is in
	kids   []*resourceInfo // members
	params map[string]string
}

func (v *verifier) add(s Severity, object, hint, format string, a ...any) {
	v.problems = append(v.problems, Problem{Severity: s, Object: object, Text: fmt.Sprintf(format, a...), Hint: hint})
}

// demandForce is add for a warning that commit must not pass.
func (v *verifier) demandForce(object, hint, format string, a ...any) {
	v.problems = append(v.problems, Problem{Severity: Warning, NeedsForce: true, Object: object,
		Text: fmt.Sprintf(format, a...), Hint: hint})
}

// survey gathers resources and node names.
func (v *verifier) survey() {
	v.byID = map[string]*resourceInfo{}
	var walk func(e *Element, parent *resourceInfo)
	walk = func(e *Element, parent *resourceInfo) {
		for m := range Members(e) {
			r := &resourceInfo{Element: m, id: m.ID(), parent: parent}
			r.top = r
			if parent != nil {
				r.top, r.group, r.clone = parent.top, parent.group, parent.clone
				if parent.Name == "group" {
					r.group = parent
				} else {
					r.clone = parent
				}
				parent.kids = append(parent.kids, r)
			}
			if m.Name == "primitive" {
				r.agent = v.index.Agent(m)
				r.params = v.parameters(m)
			}
			v.resources = append(v.resources, r)
			v.byID[r.id] = r
			walk(m, r)
		}
	}
	walk(v.cib.Section("resources"), nil)

	v.nodeNames = map[string]bool{}
	for _, n := range v.cib.Nodes() {
		v.nodeNames[strings.ToLower(n.Uname)] = true
	}
	for _, r := range v.resources {
		if isRemote(r.agent) {
			v.nodeNames[strings.ToLower(r.id)] = true
		}
		if r.Name == "bundle" {
			for i := range bundleReplicas(r.Element) {
				v.nodeNames[strings.ToLower(fmt.Sprintf("%s-%d", r.id, i))] = true
			}
		}
		if g := Meta(r.Element, "remote-node"); g != "" {
			v.nodeNames[strings.ToLower(g)] = true
		}
	}
}

// bundleReplicas returns how many instances a bundle has, at most 1000.
func bundleReplicas(bundle *Element) int {
	for c := range bundle.Elements() {
		switch c.Name {
		case "docker", "podman", "rkt":
			n, err := ParseScore(cmp.Or(c.Get("replicas"), c.Get("promoted-max"), c.Get("masters"), "1"))
			if err != nil {
				return 1
			}
			return max(1, min(n, 1000))
		}
	}
	return 1
}

// sets iterates over the sets with a name of an element and, for a primitive
// made from a template, of the template, references resolved.
func (v *verifier) sets(e *Element, name string) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for s := range e.Named(name) {
			if s = v.index.Resolve(s); s != nil && !yield(s) {
				return
			}
		}
		if e.Name == "primitive" {
			if t := v.index.Template(e); t != nil {
				for s := range t.Named(name) {
					if s = v.index.Resolve(s); s != nil && !yield(s) {
						return
					}
				}
			}
		}
	}
}

// parameters collects the instance attributes of a primitive; the first value
// of a name counts. Rules are taken to hold.
func (v *verifier) parameters(e *Element) map[string]string {
	out := map[string]string{}
	for s := range v.sets(e, "instance_attributes") {
		for p := range s.Named("nvpair") {
			name, value := v.pair(p)
			if _, ok := out[name]; !ok && name != "" {
				out[name] = value
			}
		}
	}
	return out
}

// pair returns name and value of an nvpair, which may be a reference that
// gives the value another name.
func (v *verifier) pair(p *Element) (name, value string) {
	t := v.index.Resolve(p)
	if t == nil {
		return p.Get("name"), ""
	}
	if name = p.Get("name"); name == "" {
		name = t.Get("name")
	}
	return name, t.Get("value")
}

// meta returns a meta attribute of a resource, set at itself, its template or
// a container around it.
func (v *verifier) meta(r *resourceInfo, names ...string) string {
	for ; r != nil; r = r.parent {
		for s := range v.sets(r.Element, "meta_attributes") {
			for p := range s.Named("nvpair") {
				if name, value := v.pair(p); slices.Contains(names, name) {
					return value
				}
			}
		}
	}
	return ""
}

// promotable reports whether a resource is or is in a clone that promotes.
func (v *verifier) promotable(r *resourceInfo) bool {
	for ; r != nil; r = r.parent {
		switch r.Name {
		case "master":
			return true
		case "clone":
			return IsTrue(v.meta(r, "promotable"))
		case "bundle":
			return slices.ContainsFunc(r.Children, func(c *Element) bool {
				n := cmp.Or(c.Get("promoted-max"), c.Get("masters"))
				return n != "" && n != "0"
			})
		}
	}
	return false
}

// optionNames checks names and values of properties, defaults and meta
// attributes.
func (v *verifier) optionNames() {
	for set := range v.cib.Section("crm_config").Named("cluster_property_set") {
		// Agents keep state in sets of their own.
		if set.ID() == DefaultPropertySet {
			v.optionSet(set.ID(), set, clusterOptions, "cluster property")
		}
	}
	for set := range v.cib.Section("rsc_defaults").Named("meta_attributes") {
		v.optionSet(objectName(set, set), set, resourceOptions, "meta attribute")
	}
	for set := range v.cib.Section("op_defaults").Named("meta_attributes") {
		v.optionSet(objectName(set, set), set, operationOptions, "operation attribute")
	}
	for _, r := range v.resources {
		for set := range r.Named("meta_attributes") {
			v.optionSet(r.id, set, resourceOptions, "meta attribute")
		}
	}
	for t := range v.cib.Section("resources").Named("template") {
		for set := range t.Named("meta_attributes") {
			v.optionSet(t.ID(), set, resourceOptions, "meta attribute")
		}
	}
}

func (v *verifier) optionSet(object string, set *Element, options []Option, what string) {
	seen := map[string]bool{}
	for p := range set.Named("nvpair") {
		name, value := v.pair(p)
		if name == "" {
			continue
		}
		if seen[name] {
			v.add(Warning, object, "delete one of them", "%s %s is given twice in one set, the first counts", what, name)
		}
		seen[name] = true
		o := FindOption(options, name)
		if o == nil {
			v.add(Warning, object, didYouMean(name, optionWords(options)), "unknown %s %q", what, name)
			continue
		}
		if t := v.index.Resolve(p); t != nil && t.Has("value") && value != "#default" && !o.Accepts(value) {
			v.add(Warning, object, "the default applies instead: "+cmp.Or(o.Default, "none"),
				"%s=%q is not %s", name, value, describeType(o.Type, o.Values))
		}
	}
}

func optionWords(options []Option) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, o := range options {
			if !yield(o.Name) {
				return
			}
			for _, a := range o.Aliases {
				if !yield(a) {
					return
				}
			}
		}
	}
}

func describeType(typ string, values []string) string {
	switch typ {
	case "boolean":
		return "a boolean (true or false)"
	case "integer":
		return "an integer"
	case "score":
		return "a score (" + valueWords["score"] + ")"
	case "time":
		return "a time (10s, 5min, PT5M, ...)"
	case "percentage":
		return "a percentage"
	case "select":
		return "one of " + strings.Join(values, ", ")
	}
	return "a " + typ
}
