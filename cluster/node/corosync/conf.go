// Package corosync reads corosync.conf, in the form of versions 3 and 2 (knet,
// udpu, nodelist) and in the old one (interface and bindnetaddr, members below
// totem), and says what of it a gcrm cluster takes over.
package corosync

import (
	"fmt"
	"strings"
)

// section is a part of the file in braces.
type section struct {
	name     string
	line     int
	keys     []key
	sections []*section
}

type key struct {
	name, value string
	line        int
}

// maxDepth bounds how deep sections may be nested.
const maxDepth = 16

// parse reads the whole file.
func parse(text string) (*section, error) {
	root := &section{}
	stack := []*section{root}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		top := stack[len(stack)-1]
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "}":
			if len(stack) == 1 {
				return nil, fmt.Errorf("line %d: a closing brace without a section", n)
			}
			stack = stack[:len(stack)-1]
		case strings.HasSuffix(line, "{"):
			if len(stack) > maxDepth {
				return nil, fmt.Errorf("line %d: sections are nested too deep", n)
			}
			s := &section{name: strings.TrimSpace(strings.TrimSuffix(line, "{")), line: n}
			if s.name == "" {
				return nil, fmt.Errorf("line %d: a section without a name", n)
			}
			top.sections = append(top.sections, s)
			stack = append(stack, s)
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return nil, fmt.Errorf("line %d: %q is neither a section nor KEY: VALUE", n, line)
			}
			top.keys = append(top.keys, key{strings.TrimSpace(name), strings.TrimSpace(value), n})
		}
	}
	if len(stack) > 1 {
		s := stack[len(stack)-1]
		return nil, fmt.Errorf("line %d: section %s is not closed", s.line, s.name)
	}
	return root, nil
}

// get returns the last value of a key, empty without one.
func (s *section) get(name string) string {
	v := ""
	for _, k := range s.keys {
		if k.name == name {
			v = k.value
		}
	}
	return v
}

// named returns the sections of a name.
func (s *section) named(name string) []*section {
	var out []*section
	for _, c := range s.sections {
		if c.name == name {
			out = append(out, c)
		}
	}
	return out
}
