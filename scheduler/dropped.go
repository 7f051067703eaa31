package scheduler

import (
	"slices"

	"gcrm/cib"
)

// What the current schema no longer has, a configuration of an older one loses
// before anything is decided: resources of agent classes that are gone, and
// groups and clones of nothing else. (Bundles of a container technology that is
// gone cannot be unpacked.)

func droppedClass(class string) bool { return class == "nagios" || class == "upstart" }

// withoutDropped returns a resource element without what is gone, nil if nothing
// is left.
func withoutDropped(el *cib.Element, templates map[string]*templateUse) *cib.Element {
	gone := func(c *cib.Element) bool {
		class := c.Get("class")
		if t := templates[c.Get("template")]; t != nil {
			class = t.el.Get("class")
		}
		return droppedClass(class)
	}
	switch el.Name {
	case "primitive":
		if gone(el) {
			return nil
		}
	case "group":
		if !slices.ContainsFunc(el.Children, func(c *cib.Element) bool { return c.Name == "primitive" && gone(c) }) {
			return el
		}
		less := *el
		less.Children = slices.DeleteFunc(slices.Clone(el.Children), func(c *cib.Element) bool { return c.Name == "primitive" && gone(c) })
		if less.Child("primitive") == nil {
			return nil
		}
		return &less
	case "clone", "master":
		for i, c := range el.Children {
			if c.Name != "primitive" && c.Name != "group" {
				continue
			}
			switch left := withoutDropped(c, templates); left {
			case nil:
				return nil
			case c:
			default:
				less := *el
				less.Children = slices.Clone(el.Children)
				less.Children[i] = left
				return &less
			}
		}
	}
	return el
}
