package cib

import (
	"math"
	"slices"
	"strings"
)

// function is a call; functions below say how many arguments each has.
type function struct {
	name string
	args []xpathExpr
}

// xpathFunctions are the least and the greatest numbers of arguments.
func xpathFunctions(name string) (least, most int, ok bool) {
	switch name {
	case "true", "false", "position", "last":
		return 0, 0, true
	case "name", "local-name", "string", "number", "string-length", "normalize-space":
		return 0, 1, true
	case "not", "boolean", "count", "floor", "ceiling", "round":
		return 1, 1, true
	case "contains", "starts-with", "substring-before", "substring-after":
		return 2, 2, true
	case "concat":
		return 2, math.MaxInt, true
	case "substring":
		return 2, 3, true
	case "translate":
		return 3, 3, true
	}
	return 0, 0, false
}

func (f function) eval(c *xpathContext) any {
	args := make([]any, len(f.args))
	for i, a := range f.args {
		args[i] = a.eval(c)
	}
	self := func() any {
		if len(args) > 0 {
			return args[0]
		}
		return nodeSet{c.node}
	}
	text := func(i int) string { return c.toString(args[i]) }
	switch f.name {
	case "true":
		return true
	case "false":
		return false
	case "position":
		return float64(c.position)
	case "last":
		return float64(c.size)
	case "not":
		return !toBool(args[0])
	case "boolean":
		return toBool(args[0])
	case "count":
		s, _ := args[0].(nodeSet)
		return float64(len(s))
	case "floor":
		return math.Floor(c.toNumber(args[0]))
	case "ceiling":
		return math.Ceil(c.toNumber(args[0]))
	case "round":
		return math.Floor(c.toNumber(args[0]) + 0.5)
	case "name", "local-name":
		s, _ := self().(nodeSet)
		if len(s) == 0 {
			return ""
		}
		return c.doc.name(s[0])
	case "string":
		return c.toString(self())
	case "number":
		return c.toNumber(self())
	case "string-length":
		return float64(len([]rune(c.toString(self()))))
	case "normalize-space":
		return strings.Join(strings.Fields(c.toString(self())), " ")
	case "contains":
		return strings.Contains(text(0), text(1))
	case "starts-with":
		return strings.HasPrefix(text(0), text(1))
	case "substring-before":
		before, _, ok := strings.Cut(text(0), text(1))
		if !ok {
			return ""
		}
		return before
	case "substring-after":
		_, after, _ := strings.Cut(text(0), text(1))
		return after
	case "concat":
		s := ""
		for i := range args {
			s += text(i)
		}
		return s
	case "substring":
		r := []rune(text(0))
		from := math.Floor(c.toNumber(args[1]) + 0.5)
		to := math.Inf(1)
		if len(args) == 3 {
			to = from + math.Floor(c.toNumber(args[2])+0.5)
		}
		var b strings.Builder
		for i, ch := range r {
			if p := float64(i + 1); p >= from && p < to {
				b.WriteRune(ch)
			}
		}
		return b.String()
	case "translate":
		from, to := []rune(text(1)), []rune(text(2))
		return strings.Map(func(r rune) rune {
			switch i := slices.Index(from, r); {
			case i < 0:
				return r
			case i < len(to):
				return to[i]
			}
			return -1
		}, text(0))
	}
	return false
}
