package grammar

import (
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

func (p *printer) topology(e *cib.Element) []string {
	p.only(e)
	type target struct {
		attrs  string
		text   string
		levels []string
	}
	var targets []target
	plain := true
	for _, l := range e.Children {
		if l.Name != "fencing-level" || len(l.Children) > 0 {
			p.failed = true
			continue
		}
		p.only(l, "id", "target", "target-pattern", "target-attribute", "target-value", "index", "devices")
		var t target
		switch {
		case l.Has("target") && !l.Has("target-pattern") && !l.Has("target-attribute"):
			t.attrs = "target " + l.Get("target")
			t.text = p.color(Identifier, p.bare(l.Get("target"))) + ":"
			if strings.HasPrefix(l.Get("target"), "$") || strings.HasPrefix(l.Get("target"), "pattern:") || strings.HasPrefix(l.Get("target"), "attr:") || strings.Contains(l.Get("target"), "=") {
				p.failed = true
			}
		case l.Has("target-pattern") && !l.Has("target-attribute"):
			t.attrs = "pattern " + l.Get("target-pattern")
			t.text = "pattern:" + p.color(Identifier, p.bare(l.Get("target-pattern")))
			plain = false
		case l.Has("target-attribute"):
			t.attrs = "attr " + l.Get("target-attribute") + "=" + l.Get("target-value")
			t.text = "attr:" + p.color(Identifier, p.bare(l.Get("target-attribute"))+"="+p.bare(l.Get("target-value")))
			if strings.Contains(l.Get("target-attribute"), "=") {
				p.failed = true
			}
			plain = false
		default:
			p.failed = true
		}
		at := slices.IndexFunc(targets, func(o target) bool { return o.attrs == t.attrs })
		if at < 0 {
			at = len(targets)
			targets = append(targets, t)
		}
		// The order of levels of different targets has no meaning; it is
		// kept for editing.
		if p.opts.SetIDs && at != len(targets)-1 {
			p.failed = true
		}
		last := &targets[at]
		devices := l.Get("devices")
		if slices.Contains(strings.Split(devices, ","), "") || strings.ContainsAny(devices, ":=") {
			p.failed = true
		}
		last.levels = append(last.levels, p.bare(devices))
		if l.Get("index") != strconv.Itoa(len(last.levels)) {
			p.failed = true
		}
	}
	word := p.keyword(topologyID)
	if len(targets) == 0 {
		if len(e.Children) == 0 {
			return []string{word}
		}
		p.failed = true
		return nil
	}
	if plain && len(targets) == len(p.nodes) {
		same := true
		for i, n := range p.nodes {
			at := slices.IndexFunc(targets, func(t target) bool { return t.attrs == "target "+n })
			same = same && at >= 0 && slices.Equal(targets[at].levels, targets[0].levels) && (at == i || !p.opts.SetIDs)
		}
		if same {
			return []string{word + " " + p.color(ResourceRef, strings.Join(targets[0].levels, " "))}
		}
	}
	lines := []string{word}
	for _, t := range targets {
		lines = append(lines, t.text+" "+p.color(ResourceRef, strings.Join(t.levels, " ")))
	}
	return lines
}
