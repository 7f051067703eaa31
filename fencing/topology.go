package fencing

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// Level is one fencing level: devices that must all succeed, in order.
type Level struct {
	ID      string
	Index   int
	Devices []string

	target    string
	pattern   *regexp.Regexp
	attribute string
	value     string
}

func parseLevel(e *cib.Element) (Level, error) {
	l := Level{ID: e.ID(), target: e.Get("target"), attribute: e.Get("target-attribute"), value: e.Get("target-value")}
	var err error
	if l.Index, err = strconv.Atoi(e.Get("index")); err != nil || l.Index < 1 || l.Index > 9 {
		return l, fmt.Errorf("the index %q of the fencing level is not 1 to 9", e.Get("index"))
	}
	for _, d := range strings.FieldsFunc(e.Get("devices"), func(r rune) bool { return r == ',' || r == ' ' }) {
		if !slices.Contains(l.Devices, d) {
			l.Devices = append(l.Devices, d)
		}
	}
	if p := e.Get("target-pattern"); p != "" {
		if l.pattern, err = regexp.CompilePOSIX(p); err != nil {
			return l, fmt.Errorf("the pattern %q of the fencing level: %w", p, err)
		}
	}
	if l.target == "" && l.pattern == nil && l.attribute == "" {
		return l, fmt.Errorf("the fencing level names no target")
	}
	return l, nil
}

// Levels are those that hold for a node, by index. Levels that name the node
// itself go before those with a pattern, and these before those with an
// attribute; only one kind is used.
func (c *Configuration) Levels(node string) []Level {
	for _, matches := range []func(Level) bool{
		func(l Level) bool { return l.target != "" && strings.EqualFold(l.target, node) },
		func(l Level) bool { return l.pattern != nil && l.pattern.MatchString(node) },
		func(l Level) bool {
			return l.attribute != "" && c.attributes[strings.ToLower(node)][l.attribute] == l.value
		},
	} {
		var found []Level
		for _, l := range c.levels {
			if matches(l) {
				found = append(found, l)
			}
		}
		if len(found) > 0 {
			slices.SortStableFunc(found, func(a, b Level) int { return cmp.Compare(a.Index, b.Index) })
			return merged(found)
		}
	}
	return nil
}

// Plan is what would be tried for a node, as far as that is known without asking
// a device: the levels of the topology, or (topology is false, the index 0) one
// for each device that may be able to fence it.
func (c *Configuration) Plan(node string) (levels []Level, topology bool) {
	if levels = c.Levels(node); len(levels) > 0 {
		return levels, true
	}
	op := &operation{conf: c, target: node, m: &Machine{}}
	ids := op.possible(c.Order)
	slices.SortStableFunc(ids, func(a, b string) int { return cmp.Compare(c.Devices[b].Priority, c.Devices[a].Priority) })
	for _, id := range ids {
		levels = append(levels, Level{Devices: []string{id}})
	}
	return levels, false
}

// merged puts levels with the same index together.
func merged(levels []Level) []Level {
	var out []Level
	for _, l := range levels {
		if n := len(out); n > 0 && out[n-1].Index == l.Index {
			for _, d := range l.Devices {
				if !slices.Contains(out[n-1].Devices, d) {
					out[n-1].Devices = append(slices.Clone(out[n-1].Devices), d)
				}
			}
			continue
		}
		out = append(out, l)
	}
	return out
}
