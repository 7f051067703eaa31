package cib

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MakePatch returns the difference between two documents in the form that
// cluster tools exchange (<diff format="2">), or nil if there is none.
// Applying it to old gives new, with children in the order of new.
func MakePatch(old, new *CIB) *Element {
	p := &patchMaker{}
	p.element("/cib", old.Root, new.Root)
	if len(p.changes) == 0 {
		return nil
	}
	version := func(name string, v Version) *Element {
		return NewElement(name, "admin_epoch", strconv.FormatInt(v.AdminEpoch, 10),
			"epoch", strconv.FormatInt(v.Epoch, 10), "num_updates", strconv.FormatInt(v.NumUpdates, 10))
	}
	d := NewElement("diff", "format", "2").Add(
		NewElement("version").Add(version("source", old.Version()), version("target", new.Version())))
	return d.Add(p.changes...)
}

type patchMaker struct{ changes []*Element }

func (p *patchMaker) add(operation, path string, position int) *Element {
	c := NewElement("change", "operation", operation, "path", path)
	if position >= 0 {
		c.Set("position", strconv.Itoa(position))
	}
	p.changes = append(p.changes, c)
	return c
}

// element writes what changed in an element that both documents have. It
// returns false, and writes nothing, if that cannot be said by paths: the
// caller then replaces the whole element.
func (p *patchMaker) element(path string, old, new *Element) bool {
	if old == new || old.Equal(new) {
		return true
	}
	if old.Text != new.Text {
		return false
	}
	mark := len(p.changes)
	p.attributes(path, old, new)
	if !p.children(path, old, new) {
		p.changes = p.changes[:mark]
		return false
	}
	return true
}

func (p *patchMaker) attributes(path string, old, new *Element) {
	list := NewElement("change-list")
	for _, a := range old.Attrs {
		if !new.Has(a.Name) {
			list.Add(NewElement("change-attr", "name", a.Name, "operation", "unset"))
		}
	}
	for _, a := range new.Attrs {
		if v, ok := old.Lookup(a.Name); !ok || v != a.Value {
			c := NewElement("change-attr", "name", a.Name, "operation", "set")
			c.Set("value", a.Value)
			list.Add(c)
		}
	}
	if len(list.Children) == 0 {
		return
	}
	result := &Element{Name: new.Name, Attrs: slices.Clone(new.Attrs)}
	p.add("modify", path, -1).Add(list, NewElement("change-result").Add(result))
}

// placed is a child that a patch puts somewhere.
type placed struct {
	keyedElement
	position int // in the new list
	fresh    bool
}

func (p *patchMaker) children(path string, old, new *Element) bool {
	before, after := keyedChildren(old, true), keyedChildren(new, true)
	place := make(map[string]int, len(before))
	for i, k := range before {
		place[k.key] = i
	}
	kept := make(map[string]bool, len(after))
	var common []int
	for _, k := range after {
		if i, ok := place[k.key]; ok {
			kept[k.key] = true
			common = append(common, i)
		}
	}
	stays := longestIncreasing(common)

	// What appears at another place, or new, or as a replacement.
	var moved, made []placed
	replaced := map[string]bool{}
	spans := map[string][2]int{} // changes inside a child
	at := 0
	for n, k := range after {
		i, ok := place[k.key]
		if !ok {
			made = append(made, placed{k, n, true})
			continue
		}
		if before[i].e != k.e && !before[i].e.Equal(k.e) {
			if !k.addressable || !before[i].addressable {
				return false
			}
			start := len(p.changes)
			ok := p.element(childPath(path, k.e), before[i].e, k.e)
			spans[k.key] = [2]int{start, len(p.changes)}
			if !ok {
				replaced[k.key] = true
				made = append(made, placed{k, n, true})
				at++
				continue
			}
		}
		if !stays[at] {
			moved = append(moved, placed{k, n, false})
		}
		at++
	}
	// Comments go first, from the last: their path is their position.
	for i := len(before) - 1; i >= 0; i-- {
		if k := before[i]; k.e.IsComment() && !kept[k.key] {
			p.add("delete", path+"/comment", i)
		}
	}
	var rest []string
	for _, k := range before {
		if !kept[k.key] || replaced[k.key] {
			if k.e.IsComment() {
				continue
			}
			if !k.addressable {
				return false
			}
			p.add("delete", childPath(path, k.e), -1)
			continue
		}
		rest = append(rest, k.key)
	}
	return p.placements(path, rest, after, moved, made, spans)
}

// placements writes creations and moves. Whoever applies a patch takes them one
// by one in the order of their positions; where that would not give the order
// wanted, what is to be moved is deleted and made again.
func (p *patchMaker) placements(path string, rest []string, after []keyedElement, moved, made []placed, spans map[string][2]int) bool {
	all := slices.Concat(moved, made)
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.position, b.position) })
	if len(moved) > 0 {
		for _, m := range moved {
			if !m.addressable || m.e.IsComment() {
				return false
			}
		}
		if !slices.EqualFunc(simulatePlacements(rest, all), after, func(key string, k keyedElement) bool { return key == k.key }) {
			for i := range all {
				if !all[i].fresh {
					span := spans[all[i].key] // it is made as it shall be
					clear(p.changes[span[0]:span[1]])
					p.add("delete", childPath(path, all[i].e), -1)
					all[i].fresh = true
				}
			}
			p.changes = slices.DeleteFunc(p.changes, func(c *Element) bool { return c == nil })
		}
	}
	for _, c := range all {
		if c.fresh {
			p.add("create", path, c.position).Add(c.e)
		} else {
			p.add("move", childPath(path, c.e), c.position)
		}
	}
	return true
}

func simulatePlacements(rest []string, all []placed) []string {
	list := slices.Clone(rest)
	for _, c := range all {
		if !c.fresh {
			i := slices.Index(list, c.key)
			list = slices.Delete(list, i, i+1)
		}
		list = slices.Insert(list, min(c.position, len(list)), c.key)
	}
	return list
}

func childPath(path string, e *Element) string {
	if e.IsComment() {
		return path + "/comment"
	}
	id, ok := e.Lookup("id")
	if !ok {
		return path + "/" + e.Name
	}
	quote := "'"
	if strings.Contains(id, quote) {
		quote = `"`
	}
	return path + "/" + e.Name + "[@id=" + quote + id + quote + "]"
}

// ApplyPatch returns the document that a patch (<diff format="2">) leads to;
// the receiver stays untouched and shares with the result what did not
// change. If the patch starts from another version the error is an
// [ErrConflict]; a patch that does not fit the document gives no document.
func (c *CIB) ApplyPatch(patch *Element) (*CIB, error) {
	if patch.Name != "diff" || patch.Get("format") != "2" {
		return nil, fmt.Errorf("patch: <%s format=%q> is not a diff of format 2", patch.Name, patch.Get("format"))
	}
	if s := patch.Child("version").Child("source"); s != nil {
		if base := (&CIB{Root: s}).Version(); base != c.Version() {
			return nil, &ConflictError{Base: base, Current: c.Version()}
		}
	}
	a := &patchApplier{draft: newDraft(c.Root)}
	var placements []*Element
	for ch := range patch.Named("change") {
		var err error
		switch op := ch.Get("operation"); op {
		case "create", "move":
			placements = append(placements, ch)
		case "modify":
			err = a.modify(ch)
		case "delete":
			err = a.delete(ch)
		default:
			err = fmt.Errorf("unknown operation %q", op)
		}
		if err != nil {
			return nil, fmt.Errorf("patch: %s: %w", ch.Get("path"), err)
		}
	}
	slices.SortStableFunc(placements, func(x, y *Element) int { return cmp.Compare(positionOf(x), positionOf(y)) })
	for _, ch := range placements {
		if err := a.place(ch); err != nil {
			return nil, fmt.Errorf("patch: %s: %w", ch.Get("path"), err)
		}
	}
	return FromElement(a.root)
}

func positionOf(change *Element) int {
	n, err := strconv.Atoi(change.Get("position"))
	if err != nil || n < 0 {
		return int(^uint(0) >> 1) // at the end
	}
	return n
}

type patchApplier struct{ *draft }

var errNotThere = errors.New("there is no such element")

// find returns the element of a path ready to be changed, its parent, and its
// place there (-1 for the root).
func (a *patchApplier) find(path string) (parent, e *Element, place int, err error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, nil, 0, errors.New("not a path")
	}
	place = -1
	for step := range splitPath(rest) {
		name, id, byID, err := parseStep(step)
		if err != nil {
			return nil, nil, 0, err
		}
		if e == nil {
			if a.root.Name != name {
				return nil, nil, 0, errNotThere
			}
			e = a.root
			continue
		}
		i := indexNamed(e, name)
		if byID {
			i = indexID(e, name, id)
		}
		if i < 0 {
			return nil, nil, 0, errNotThere
		}
		parent, place = e, i
		e = a.at(e, i)
	}
	return parent, e, place, nil
}

// splitPath cuts a path at slashes outside quotes.
func splitPath(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		start, quote := 0, byte(0)
		for i := 0; i < len(path); i++ {
			switch c := path[i]; {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case c == '\'' || c == '"':
				quote = c
			case c == '/':
				if !yield(path[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(path[start:])
	}
}

// parseStep reads name, name[@id='x'] or name[@id="x"].
func parseStep(step string) (name, id string, byID bool, err error) {
	name, cond, ok := strings.Cut(step, "[")
	if name == "" {
		return "", "", false, errors.New("a step of the path is empty")
	}
	if !ok {
		return name, "", false, nil
	}
	cond, ok1 := strings.CutPrefix(cond, "@id=")
	cond, ok2 := strings.CutSuffix(cond, "]")
	if !ok1 || !ok2 || len(cond) < 2 || cond[0] != '\'' && cond[0] != '"' || cond[len(cond)-1] != cond[0] {
		return "", "", false, fmt.Errorf("%q is not understood", step)
	}
	return name, cond[1 : len(cond)-1], true, nil
}

func (a *patchApplier) modify(ch *Element) error {
	_, e, _, err := a.find(ch.Get("path"))
	if err != nil {
		return err
	}
	for c := range ch.Child("change-list").Named("change-attr") {
		name := c.Get("name")
		if !validName(name) {
			return fmt.Errorf("%q is not the name of an attribute", name)
		}
		switch op := c.Get("operation"); op {
		case "set":
			e.Set(name, c.Get("value"))
		case "unset":
			e.Unset(name)
		default:
			return fmt.Errorf("unknown operation %q on attribute %s", op, name)
		}
	}
	return nil
}

func (a *patchApplier) delete(ch *Element) error {
	path := ch.Get("path")
	if p, ok := strings.CutSuffix(path, "/comment"); ok && ch.Has("position") {
		_, e, _, err := a.find(p)
		if err != nil {
			return err
		}
		n := positionOf(ch)
		if n >= len(e.Children) || !e.Children[n].IsComment() {
			return errNotThere
		}
		a.remove(e, n)
		return nil
	}
	parent, _, i, err := a.find(path)
	if err != nil {
		return err
	}
	if parent == nil {
		return errors.New("the root cannot be deleted")
	}
	a.remove(parent, i)
	return nil
}

func (a *patchApplier) place(ch *Element) error {
	parent, e, i, err := a.find(ch.Get("path"))
	if err != nil {
		return err
	}
	if ch.Get("operation") == "create" {
		parent, e = e, nil
		for _, c := range ch.Children {
			if !c.IsComment() || len(ch.Children) == 1 {
				e = c
			}
		}
		if e == nil {
			return errors.New("nothing to create is given")
		}
	} else if parent == nil {
		return errors.New("the root cannot be moved")
	} else {
		a.remove(parent, i)
	}
	n := min(positionOf(ch), len(parent.Children))
	parent.Children = slices.Insert(parent.Children, n, e)
	return nil
}
