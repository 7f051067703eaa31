package cib

// Index finds elements of a configuration by id, and what refers to them. It
// is made in one pass over the configuration and describes the document as it
// was then.
type Index struct {
	conf  *Element
	byID  map[string]Entry
	dups  []Entry
	refs  []Reference
	first map[string]int32 // id to 1 + the position of its first reference
	last  map[string]int32
	next  []int32
}

// Entry is an element with its surroundings.
type Entry struct {
	Element *Element
	Parent  *Element
	// Object is the child of a section that the element is, or is within.
	Object *Element
	// Section is the name of the section: "resources", "constraints", ...
	Section string
}

// Top reports whether the element is itself a child of a section.
func (e Entry) Top() bool { return e.Element == e.Object }

// Reference is a place that names an object by id.
type Reference struct {
	Entry
	Attr string // the attribute that holds the id
	ID   string // what it refers to
	// Hard references must resolve, or the document violates its schema.
	// Soft ones are the members of tags and the devices of fencing levels.
	Hard bool
}

// NewIndex indexes the configuration of c. Elements whose id is no XML ID
// (nodes, references, ACL targets) are not found by [Index.Lookup].
func NewIndex(c *CIB) *Index { return IndexConfiguration(c.Configuration()) }

// IndexConfiguration is [NewIndex] for a configuration element.
func IndexConfiguration(conf *Element) *Index {
	x := &Index{conf: conf, byID: map[string]Entry{}, first: map[string]int32{}, last: map[string]int32{}}
	for section := range conf.Elements() {
		if id, ok := section.Lookup("id"); ok {
			x.put(id, Entry{section, conf, nil, section.Name})
		}
		for object := range section.Elements() {
			x.add(Entry{object, section, object, section.Name})
		}
	}
	return x
}

func (x *Index) put(id string, e Entry) {
	if _, taken := x.byID[id]; taken {
		x.dups = append(x.dups, e)
		return
	}
	x.byID[id] = e
}

func (x *Index) add(e Entry) {
	if id, ok := e.Element.Lookup("id"); ok && declaresID(e.Element.Name) {
		x.put(id, e)
	}
	eachReference(e.Element, func(attr, id string, hard bool) {
		x.refs = append(x.refs, Reference{e, attr, id, hard})
		n := int32(len(x.refs))
		x.next = append(x.next, 0)
		if l := x.last[id]; l > 0 {
			x.next[l-1] = n
		} else {
			x.first[id] = n
		}
		x.last[id] = n
	})
	for _, c := range e.Element.Children {
		if !c.IsComment() {
			x.add(Entry{c, e.Element, e.Object, e.Section})
		}
	}
}

// Lookup finds the element with an id.
func (x *Index) Lookup(id string) (Entry, bool) {
	e, ok := x.byID[id]
	return e, ok
}

// Element returns the element with an id, or nil.
func (x *Index) Element(id string) *Element { return x.byID[id].Element }

// Duplicates are the elements whose id an earlier element has.
func (x *Index) Duplicates() []Entry { return x.dups }

// References lists what refers to an id, in document order.
func (x *Index) References(id string) []Reference {
	var out []Reference
	for n := x.first[id]; n > 0; n = x.next[n-1] {
		out = append(out, x.refs[n-1])
	}
	return out
}

// AllReferences lists all references in document order.
func (x *Index) AllReferences() []Reference { return x.refs }

// Resolve follows id-ref: it returns the element that e stands for, which is
// e itself if it is no reference, or nil if the reference leads nowhere.
func (x *Index) Resolve(e *Element) *Element {
	for range 8 { // chains are not legal; loops must not hang
		ref, ok := e.Lookup("id-ref")
		if !ok {
			return e
		}
		t := x.byID[ref].Element
		if t == nil || t.Name != e.Name {
			return nil
		}
		e = t
	}
	return nil
}

// Template returns the template element that a primitive is made from, or nil.
func (x *Index) Template(primitive *Element) *Element {
	t := x.byID[primitive.Get("template")].Element
	if t == nil || t.Name != "template" {
		return nil
	}
	return t
}

// Agent returns the agent of a primitive or template, also when a primitive
// takes it from its template; the zero name if there is none.
func (x *Index) Agent(e *Element) AgentName {
	if e.Name == "primitive" && e.Has("template") {
		if t := x.Template(e); t != nil {
			return AgentOf(t)
		}
		return AgentName{}
	}
	return AgentOf(e)
}
