package cib

import (
	"fmt"
	"slices"
	"strings"
)

// ChangeKind says what happened to an object.
type ChangeKind uint8

const (
	Added ChangeKind = iota
	Removed
	Changed
	// Moved objects are the same at another place in their section, where
	// that matters: the order of resources decides who is placed first.
	Moved
)

func (k ChangeKind) String() string {
	return [...]string{"added", "removed", "changed", "moved"}[k]
}

// MarshalText writes the kind as its word.
func (k ChangeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// ObjectChange is one difference between two configurations. An object is a
// child of a section.
type ObjectChange struct {
	Kind    ChangeKind
	Section string
	// ID is the object's id (the uname of a node); of a section whose own
	// attributes changed or that came or went empty, it is "".
	ID       string
	Old, New *Element // nil for what was added or removed
}

func (c ObjectChange) String() string {
	e := c.New
	if e == nil {
		e = c.Old
	}
	if c.ID == "" {
		return fmt.Sprintf("%s section %s", c.Kind, c.Section)
	}
	return fmt.Sprintf("%s %s %s", c.Kind, e.Name, c.ID)
}

// Diff lists the differences between two configurations by object, in the
// order of new (what was removed comes at the end of its section). Comments do
// not count. The cost is linear.
func Diff(old, new *CIB) []ObjectChange {
	var out []ObjectChange
	before, after := old.Configuration(), new.Configuration()
	for s := range after.Elements() {
		out = append(out, diffSection(before.Child(s.Name), s)...)
	}
	for s := range before.Elements() {
		if after.Child(s.Name) == nil {
			out = append(out, diffSection(s, nil)...)
		}
	}
	return out
}

func diffSection(before, after *Element) []ObjectChange {
	if before == after {
		return nil // shared
	}
	var out []ObjectChange
	name := ""
	switch {
	case before == nil:
		name = after.Name
		if len(after.Children) == 0 {
			out = append(out, ObjectChange{Added, name, "", nil, after})
		}
	case after == nil:
		name = before.Name
		if len(before.Children) == 0 {
			out = append(out, ObjectChange{Removed, name, "", before, nil})
		}
	default:
		name = after.Name
		if !sameAttrs(before, after) || before.Text != after.Text {
			out = append(out, ObjectChange{Changed, name, "", before, after})
		}
	}
	o, n := keyed(before), keyed(after)
	position := make(map[string]int, len(o))
	for i, k := range o {
		position[k.key] = i
	}
	var common []int // positions in before of what is in both, in the order of after
	seen := make(map[string]bool, len(n))
	for _, k := range n {
		seen[k.key] = true
		if i, ok := position[k.key]; ok {
			common = append(common, i)
		}
	}
	stays := longestIncreasing(common)
	at := 0
	for _, k := range n {
		i, ok := position[k.key]
		switch {
		case !ok:
			out = append(out, ObjectChange{Added, name, objectName(k.e, k.e), nil, k.e})
			continue
		case !o[i].e.Equal(k.e):
			out = append(out, ObjectChange{Changed, name, objectName(k.e, k.e), o[i].e, k.e})
		case !stays[at]:
			out = append(out, ObjectChange{Moved, name, objectName(k.e, k.e), o[i].e, k.e})
		}
		at++
	}
	for _, k := range o {
		if !seen[k.key] {
			out = append(out, ObjectChange{Removed, name, objectName(k.e, k.e), k.e, nil})
		}
	}
	return out
}

func sameAttrs(a, b *Element) bool {
	return (&Element{Attrs: a.Attrs}).Equal(&Element{Attrs: b.Attrs})
}

// keyedElement is a child with what identifies it among its siblings.
type keyedElement struct {
	key string
	e   *Element
	// addressable children are found by their path: they have an id of
	// their own, or a name of their own.
	addressable bool
}

// keyed returns the children that are not comments with their keys, which are
// unique: name and id (or id-ref), or name and number.
func keyed(e *Element) []keyedElement {
	if e == nil {
		return nil
	}
	return keyedChildren(e, false)
}

func keyedChildren(e *Element, comments bool) []keyedElement {
	out := make([]keyedElement, 0, len(e.Children))
	count := make(map[string]int, len(e.Children))
	names := make(map[string]int, 8)
	for _, c := range e.Children {
		names[c.Name]++
		if c.IsComment() && !comments {
			continue
		}
		k := keyedElement{e: c}
		if id, ok := c.Lookup("id"); ok {
			k.key = c.Name + "\x00" + id
		} else if ref, ok := c.Lookup("id-ref"); ok {
			k.key = c.Name + "\x01" + ref
		} else {
			k.key = c.Name
			if c.IsComment() {
				k.key += "\x03" + c.Text
			}
		}
		n := count[k.key]
		count[k.key] = n + 1
		if n > 0 {
			k.key = fmt.Sprintf("%s\x02%d", k.key, n)
		}
		out = append(out, k)
	}
	for i := range out {
		k := &out[i]
		switch {
		case k.e.IsComment(): // by position
			k.addressable = true
		case k.e.Has("id"): // which a path gives in one kind of quotes
			id := k.e.ID()
			k.addressable = count[k.key] == 1 && !(strings.Contains(id, "'") && strings.Contains(id, `"`))
		default:
			k.addressable = names[k.e.Name] == 1
		}
	}
	return out
}

// longestIncreasing marks the members of a longest increasing subsequence:
// those that need not move when the rest does.
func longestIncreasing(s []int) []bool {
	tails := []int{} // indices into s of the smallest end of a sequence of each length
	previous := make([]int, len(s))
	for i, x := range s {
		n, _ := slices.BinarySearchFunc(tails, x, func(t, x int) int { return s[t] - x })
		previous[i] = -1
		if n > 0 {
			previous[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	keep := make([]bool, len(s))
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = previous[i] {
			keep[i] = true
		}
	}
	return keep
}

// Summary names what changed in a few words: "added web, changed ip".
func Summary(changes []ObjectChange) string {
	var parts []string
	for _, kind := range []ChangeKind{Added, Changed, Removed, Moved} {
		var ids []string
		for _, c := range changes {
			if c.Kind == kind {
				if c.ID == "" {
					ids = append(ids, c.Section)
				} else {
					ids = append(ids, c.ID)
				}
			}
		}
		if len(ids) > 0 {
			parts = append(parts, kind.String()+" "+enumerate(ids))
		}
	}
	return strings.Join(parts, ", ")
}
