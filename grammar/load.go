package grammar

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"gcrm/cib"
)

// Method is what happens in a load to objects that the text does not name.
type Method string

const (
	// Update creates or replaces each object of the text and merges
	// properties and defaults.
	Update Method = "update"
	// Replace removes everything but the nodes first.
	Replace Method = "replace"
	// Push makes the configuration equal to the text: what is not in it goes,
	// nodes included. Only property and defaults sets still merge.
	Push Method = "push"
)

// ParseMethod reads the name of a method.
func ParseMethod(s string) (Method, error) {
	switch m := Method(s); m {
	case Update, Replace, Push:
		return m, nil
	}
	hint := "known are update, replace and push"
	if n := nearest(s, []string{"update", "replace", "push"}); n != "" {
		hint = "did you mean " + n + "?"
	}
	return "", fmt.Errorf("unknown method %s; %s", s, hint)
}

// Load applies a configuration text, in the rules of the text reader. It is
// all or nothing: if the error, an Errors with every mistake of the text, is
// not nil, the CIB is as it was.
func Load(e *Edit, method Method, name, text string) (Errors, error) {
	return e.load(loading{method: method, name: name, text: text})
}

// LoadXML is [Load] for a CIB document or a configuration element.
func LoadXML(e *Edit, method Method, name, text string) (Errors, error) {
	return e.load(loading{method: method, name: name, text: text, xml: true})
}

// LoadEdited takes back a text that was printed for editing: the objects of
// selection that are no longer in it are removed, property sets become what
// the text says. With xml the text is XML.
func LoadEdited(e *Edit, selection []Object, name, text string, xml bool) (Errors, error) {
	return e.load(loading{method: Update, name: name, text: text, xml: xml, selection: selection, edited: true})
}

type loading struct {
	method     Method
	name, text string
	xml        bool
	edited     bool
	// repeat applies also what the CIB says already.
	repeat    bool
	selection []Object
	picked    map[string]bool // selection by kind and id
}

func (e *Edit) load(l loading) (Errors, error) {
	work := NewEdit(e.CIB.Clone(), e.agents)
	work.loading = true
	var remarks, errs Errors
	var items []loadItem
	if l.xml {
		items, errs = xmlItems(l.name, l.text)
	} else {
		items, errs = textItems(l.name, l.text)
	}
	errs = append(errs, duplicates(items)...)
	all := items
	if l.method != Replace && !l.xml && !l.repeat {
		items = work.changed(items)
	}
	if l.method == Replace {
		work.erase()
	}
	work.index()
	named := map[string]bool{}
	for _, i := range all {
		named[i.key()] = true
	}
	work.release(items, named, &l)
	if l.edited {
		work.renewSets(items)
	}
	slices.SortStableFunc(items, func(a, b loadItem) int { return loadRank[a.kind] - loadRank[b.kind] })
	for _, i := range items {
		r, err := work.applyItem(i)
		remarks = append(remarks, r...)
		var several Errors
		if errors.As(err, &several) {
			errs = append(errs, several...)
		}
	}
	work.removeMissing(&l, named)
	for _, p := range work.pending {
		if !work.resolve(p.reference) {
			x := p.st.fail(p.at, "Reference not found: %s", after(p.at, "="))
			errs = append(errs, x)
		}
	}
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b *Error) int { return a.Pos.Offset - b.Pos.Offset })
		return nil, errs
	}
	e.CIB.Root = work.CIB.Root
	e.stale = true
	slices.SortStableFunc(remarks, func(a, b *Error) int { return a.Pos.Offset - b.Pos.Offset })
	return remarks, nil
}

// loadItem is one object of a text: a statement, or an element.
type loadItem struct {
	kind, id string
	st       *Statement
	element  *cib.Element // of an XML load
}

// key tells objects apart; nodes have a name space of their own.
func (i loadItem) key() string {
	if i.kind == "node" {
		return "node " + strings.ToLower(i.id)
	}
	return i.id
}

// loadRank orders the objects of a text so that what is referred to comes
// first.
var loadRank = map[string]int{
	"node": 0, "rsc_template": 1, "primitive": 2, "monitor": 3, "group": 4, "bundle": 5, "clone": 6, "ms": 6, "tag": 7,
	"location": 8, "colocation": 8, "order": 8, "rsc_ticket": 8, topologyID: 9,
	"property": 10, "rsc_defaults": 10, "op_defaults": 10, "role": 11, "acl_target": 12, "acl_group": 12, "user": 12, "alert": 13,
}

// parallelFrom is the number of lines from which parsing is spread over
// processors.
const parallelFrom = 64

// ParseAll parses many lines, in parallel if they are many. The results are in
// the order of the lines; a line that does not parse gives a nil statement and
// its error among errs.
func ParseAll(lines []Line, mode Mode) (statements []*Statement, errs Errors) {
	statements = make([]*Statement, len(lines))
	failures := make([]*Error, len(lines))
	work := func(from, to int) {
		for i := from; i < to; i++ {
			statements[i], failures[i] = parse(&lines[i], mode)
		}
	}
	if n := runtime.GOMAXPROCS(0); n > 1 && len(lines) >= parallelFrom {
		var wg sync.WaitGroup
		chunk := (len(lines) + n - 1) / n
		for from := 0; from < len(lines); from += chunk {
			wg.Go(func() { work(from, min(from+chunk, len(lines))) })
		}
		wg.Wait()
	} else {
		work(0, len(lines))
	}
	for _, e := range failures {
		if e != nil {
			errs = append(errs, e)
		}
	}
	return statements, errs
}

func textItems(name, text string) ([]loadItem, Errors) {
	statements, errs := ParseAll(ReadText(name, text), Text)
	var items []loadItem
	for _, st := range statements {
		if st == nil {
			continue
		}
		i := loadItem{kind: st.Verb, id: st.ID(), st: st}
		if x, ok := st.Body.(*XML); ok {
			el, err := cib.ParseElement(x.Text.Value, cib.DefaultLimits)
			if err != nil {
				e := st.fail(x.Text, "%v", err)
				errs = append(errs, e)
				continue
			}
			i.kind, i.id = kindOf(el, nil), el.ID()
			switch el.Name {
			case "node":
				i.id = el.Get("uname")
			case "fencing-topology":
				i.id = topologyID
			case "rsc_defaults", "op_defaults":
				for set := range el.Elements() {
					items = append(items, loadItem{el.Name, set.ID(), st, &cib.Element{Name: el.Name, Children: []*cib.Element{set}}})
				}
				continue
			}
		}
		items = append(items, i)
	}
	return items, errs
}

func xmlItems(name, text string) ([]loadItem, Errors) {
	fail := func(msg string) Errors { return Errors{{Msg: name + ": " + msg}} }
	root, err := cib.ParseElement(text, cib.DefaultLimits)
	if err != nil {
		return nil, fail(err.Error())
	}
	conf := root
	if root.Name == "cib" {
		conf = root.Child("configuration")
	}
	if conf == nil || conf.Name != "configuration" {
		return nil, fail("the document is neither a cib nor a configuration element")
	}
	var items []loadItem
	st := &Statement{Verb: "xml", Mode: Text, line: &Line{source: &source{name, text}}}
	for section := range conf.Elements() {
		switch section.Name {
		case "fencing-topology":
			if len(section.Children) > 0 {
				items = append(items, loadItem{topologyID, topologyID, st, section})
			}
			continue
		case "rsc_defaults", "op_defaults":
			for set := range section.Elements() {
				wrap := &cib.Element{Name: section.Name, Children: []*cib.Element{set}}
				items = append(items, loadItem{section.Name, set.ID(), st, wrap})
			}
			continue
		}
		for o := range section.Elements() {
			id := o.ID()
			if o.Name == "node" {
				id = o.Get("uname")
			}
			items = append(items, loadItem{kindOf(o, section), id, st, o})
		}
	}
	return items, nil
}

// ID returns the id of the object that a statement is about: for nodes the
// uname, for properties and defaults "" if it is not written.
func (st *Statement) ID() string {
	id := ""
	switch s := st.Body.(type) {
	case *Node:
		id, _, _ = strings.Cut(s.Name.Value, ":")
		return id
	case *Primitive:
		id = s.ID.Value
	case *Template:
		id = s.ID.Value
	case *Group:
		id = s.ID.Value
	case *Clone:
		id = s.ID.Value
	case *Bundle:
		id = s.ID.Value
	case *Location:
		id = s.ID.Value
	case *Colocation:
		id = s.ID.Value
	case *Order:
		id = s.ID.Value
	case *Ticket:
		id = s.ID.Value
	case *Property:
		id = s.Label.Value
	case *Topology:
		id = topologyID
	case *Role:
		id = s.ID.Value
	case *Target:
		id = s.ID.Value
	case *User:
		id = s.ID.Value
	case *Tag:
		id = s.ID.Value
	case *Alert:
		id = s.ID.Value
	case *Monitor:
		id, _, _ = strings.Cut(s.Rsc.Value, ":")
	}
	return strings.TrimPrefix(strings.TrimSuffix(id, ":"), "$id=")
}

// duplicates finds objects that a text defines twice.
func duplicates(items []loadItem) (errs Errors) {
	seen := map[string]bool{}
	for _, i := range items {
		switch i.kind {
		case "monitor":
			continue
		case "property", "rsc_defaults", "op_defaults":
			if i.id == "" {
				i.id = defaultSets[i.kind]
			}
		}
		k := i.key()
		if seen[k] && i.id != "" {
			what := "resource"
			if i.kind == "node" {
				what = "node"
			}
			errs = append(errs, i.st.fail(Token{Value: i.id, Pos: i.st.Pos}, "Duplicate %s: %s", what, i.id))
		}
		seen[k] = true
	}
	return errs
}

// changed leaves out the statements that say of an object what it is already,
// word by word: they change nothing, not even the spelling of what the CIB
// holds, and cost little.
func (e *Edit) changed(items []loadItem) []loadItem {
	current := map[string]Object{}
	for _, o := range Objects(e.CIB, true) {
		current[loadItem{kind: o.Kind, id: o.ID}.key()] = o
	}
	if len(current) == 0 {
		return items
	}
	times := map[string]int{}
	for _, i := range items {
		times[i.key()]++
	}
	p := newPrinter(e.CIB, PrintOptions{SetIDs: true})
	var out []loadItem
	for _, i := range items {
		o, known := current[i.key()]
		if known && times[i.key()] == 1 && sameWords(ReadText("", p.object(o)), i.st.line) {
			continue
		}
		out = append(out, i)
	}
	return out
}

func sameWords(printed []Line, line *Line) bool {
	if len(printed) != 1 || len(printed[0].Words) != len(line.Words) || !slices.Equal(printed[0].Comments, line.Comments) {
		return false
	}
	for i, w := range printed[0].Words {
		if w.Text != line.Words[i].Text {
			return false
		}
	}
	return true
}

// erase removes everything but the nodes.
func (e *Edit) erase() {
	conf := e.CIB.Configuration()
	for s := range conf.Elements() {
		if s.Name != "nodes" {
			s.Children, s.Attrs = nil, nil
		}
	}
	conf.Children = slices.DeleteFunc(conf.Children, func(s *cib.Element) bool {
		return len(s.Children) == 0 && !slices.Contains([]string{"crm_config", "nodes", "resources", "constraints"}, s.Name)
	})
	e.stale = true
}

// Erase removes everything but the nodes, or with nodes only these.
func (e *Edit) Erase(nodes bool) {
	if nodes {
		e.CIB.Section("nodes").Children = nil
		e.stale = true
		return
	}
	e.erase()
}

// release moves the members of containers that the text defines anew, or that
// it will remove, to the top, so that they can move between containers.
func (e *Edit) release(items []loadItem, named map[string]bool, l *loading) {
	resources := e.section("resources")
	for _, i := range items {
		p, ok := e.objects[i.id]
		if ok && i.st.Verb != "xml" && cib.IsContainer(p.element.Name) && cib.IsContainer(kindElement(i.kind)) {
			e.releaseMembers(p.element, resources)
		}
	}
	if l.method == Push || l.edited {
		for _, o := range Objects(e.CIB, true) {
			if cib.IsContainer(o.Element.Name) && !named[o.ID] && (l.method == Push || l.selected(o)) {
				e.releaseMembers(o.Element, resources)
			}
		}
	}
}

// kindElement returns the element name of a kind of resource.
func kindElement(kind string) string {
	if kind == "ms" {
		return "master"
	}
	return kind
}

// selected reports whether an object was among those given for editing.
func (l *loading) selected(o Object) bool {
	if l.picked == nil {
		l.picked = make(map[string]bool, len(l.selection))
		for _, s := range l.selection {
			l.picked[s.Kind+" "+s.ID] = true
		}
	}
	return l.picked[o.Kind+" "+o.ID]
}

// renewSets marks the property and defaults sets that the text defines: the
// first statement about each replaces it instead of merging.
func (e *Edit) renewSets(items []loadItem) {
	e.renew = map[string]bool{}
	for _, i := range items {
		switch i.kind {
		case "property", "rsc_defaults", "op_defaults":
			e.renew[i.id] = true
		}
	}
}

func (e *Edit) applyItem(i loadItem) (Errors, error) {
	if i.element == nil {
		return e.Apply(i.st)
	}
	e.index()
	b := &builder{st: i.st, schema: e.CIB.Schema(), agents: e.agents}
	e.ids.taken = e.ids.taken[:0]
	commit := e.putElement(b, i.element, Token{Value: i.id})
	if len(b.errs) > 0 {
		e.ids.forget()
		return nil, b.errs
	}
	commit()
	return b.remarks, nil
}

// removeMissing removes what a text leaves out, as far as the method says so.
func (e *Edit) removeMissing(l *loading, named map[string]bool) {
	if l.method != Push && !l.edited {
		return
	}
	for _, o := range Objects(e.CIB, true) {
		key := loadItem{kind: o.Kind, id: o.ID}.key()
		if named[key] || l.edited && !l.selected(o) {
			continue
		}
		if e.merged[o.ID] && defaultSets[o.Kind] != "" {
			continue
		}
		// What is in a container given as XML goes by that text.
		if cib.IsContainer(o.Parent.Name) && named[o.Parent.ID()] {
			continue
		}
		if o.Kind == topologyID {
			e.CIB.Configuration().Remove(o.Element)
			e.stale = true
			continue
		}
		e.removeObject(place{o.Element, o.Parent})
	}
}
