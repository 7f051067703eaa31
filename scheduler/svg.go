package scheduler

import (
	"fmt"
	"strings"
	"time"
)

// The transition as a drawing: a lane per node, a column per wave of actions,
// the way that takes longest highlighted, and where the time goes below.

// Measures of the drawing, in pixels.
const (
	svgMargin  = 24
	svgHead    = 84
	svgBoxH    = 40
	svgRowGap  = 10
	svgLanePad = 14
	svgGap     = 56  // between columns
	svgCharW   = 7.8 // of bold letters
	svgStripH  = 96
)

// SVG draws the plan. The same plan gives the same bytes.
func (p *Plan) SVG() string {
	d := newDrawing(p)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">`+"\n",
		d.width, d.height, d.width, d.height)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n", svgText(d.title()))
	b.WriteString(svgStyle)
	b.WriteString(svgArrows)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", d.width, d.height)
	d.writeHead(&b)
	d.writeLanes(&b)
	d.writeEdges(&b)
	for _, x := range d.boxes {
		d.writeBox(&b, x)
	}
	d.writeStrip(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

// svgText escapes text for XML.
func svgText(s string) string {
	var b strings.Builder
	escapeAttr(&b, s)
	return b.String()
}

// Colours are classes, so that a viewer in the dark gets its own.
const svgStyle = `<style>
text { font-family: "Inter", "Segoe UI", "DejaVu Sans", "Helvetica Neue", Arial, sans-serif; font-size: 12px; fill: #1f2933; }
.page { fill: #ffffff; }
.lane { fill: #f4f6f8; }
.lane.odd { fill: #eaeef2; }
.lost { fill: #fdecea; }
.name { font-size: 14px; font-weight: bold; }
.h1 { font-size: 18px; font-weight: bold; }
.dim { fill: #5f6c7b; font-size: 11px; }
.wave { fill: #5f6c7b; font-size: 11px; text-anchor: middle; }
.rule { stroke: #d3dae1; stroke-width: 1; stroke-dasharray: 2 4; }
.box { fill: #ffffff; stroke: #b8c2cc; stroke-width: 1; }
.task { font-weight: bold; }
.edge { fill: none; stroke: #a4b0bc; stroke-width: 1.3; }
.tip { fill: #a4b0bc; }
.critical .box { stroke: #c2410c; stroke-width: 2.5; }
.edge.critical { stroke: #c2410c; stroke-width: 2.5; }
.tip.critical { fill: #c2410c; }
.never .box { stroke-dasharray: 5 4; }
.k-start { fill: #2e8540; } .k-stop { fill: #8a6d1d; } .k-promote { fill: #1c6dd0; } .k-demote { fill: #7c5cb8; }
.k-migrate { fill: #0b8a8a; } .k-fence { fill: #c81e1e; } .k-probe { fill: #9aa5b1; } .k-other { fill: #5f6c7b; }
.inside { fill: #ffffff; font-size: 11px; text-anchor: middle; }
@media (prefers-color-scheme: dark) {
text { fill: #e4e7eb; }
.page { fill: #14181d; }
.lane { fill: #1b2129; } .lane.odd { fill: #222933; } .lost { fill: #3a1d1d; }
.dim, .wave { fill: #9aa5b1; }
.rule { stroke: #38424e; }
.box { fill: #262e38; stroke: #4a5665; }
.edge { stroke: #5f6c7b; } .tip { fill: #5f6c7b; }
.critical .box, .edge.critical { stroke: #fb923c; } .tip.critical { fill: #fb923c; }
.k-start { fill: #3fa556; } .k-stop { fill: #b08d2e; } .k-promote { fill: #4b93ea; } .k-demote { fill: #9d7fd6; }
.k-migrate { fill: #22aeae; } .k-fence { fill: #e5484d; } .k-probe { fill: #66727f; } .k-other { fill: #7d8996; }
.inside { fill: #ffffff; }
}
</style>
`

const svgArrows = `<defs>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" markerUnits="userSpaceOnUse"><path class="tip" d="M0 0 8 4 0 8z"/></marker>
<marker id="tip-critical" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" orient="auto" markerUnits="userSpaceOnUse"><path class="tip critical" d="M0 0 8 4 0 8z"/></marker>
</defs>
`

func (d *drawing) title() string {
	if len(d.boxes) == 0 {
		return "Nothing is to be done"
	}
	return fmt.Sprintf("Transition of %s, about %s", plural(d.real, "action"), durationWords(d.timing.Total))
}

// svgLegend explains the colours.
var svgLegend = [...]struct{ kind, text string }{
	{"fence", "fencing"}, {"stop", "stop"}, {"demote", "demote"}, {"migrate", "live migration"}, {"start", "start"},
	{"promote", "promote"}, {"probe", "probe, monitor"}, {"other", "other"},
}

func (d *drawing) writeHead(b *strings.Builder) {
	fmt.Fprintf(b, `<text class="h1" x="%d" y="%d">%s</text>`+"\n", svgMargin, 38, svgText(d.title()))
	x := svgMargin
	for _, l := range svgLegend {
		if !d.kinds[l.kind] {
			continue
		}
		fmt.Fprintf(b, `<rect class="k-%s" x="%d" y="52" width="10" height="10" rx="2"/><text class="dim" x="%d" y="61">%s</text>`+"\n", l.kind, x, x+15, l.text)
		x += 15 + int(6.2*float64(len(l.text))) + 16
	}
	if len(d.timing.Path) > 1 {
		fmt.Fprintf(b, `<g class="critical"><rect class="box" x="%d" y="51" width="14" height="11" rx="3"/></g><text class="dim" x="%d" y="61">critical path</text>`+"\n", x, x+20)
	}
}

func (d *drawing) writeLanes(b *strings.Builder) {
	for i, l := range d.lanes {
		class := "lane"
		if i%2 == 1 {
			class += " odd"
		}
		if l.lost {
			class += " lost"
		}
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`+"\n", class, svgMargin, l.y, d.width-2*svgMargin, l.h)
		fmt.Fprintf(b, `<text class="name" x="%d" y="%d">%s</text>`+"\n", svgMargin+14, l.y+26, svgText(l.name))
		fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">%s</text>`+"\n", svgMargin+14, l.y+43, svgText(l.state))
	}
	if len(d.lanes) == 0 {
		return
	}
	top, bottom := d.lanes[0].y, d.lanes[len(d.lanes)-1].y+d.lanes[len(d.lanes)-1].h
	for w := range d.waves {
		x := d.columnX(w)
		fmt.Fprintf(b, `<text class="wave" x="%d" y="%d">from %s</text>`+"\n", x+d.boxW/2, top-8, clock(d.waveBegin[w]))
		if w > 0 {
			fmt.Fprintf(b, `<path class="rule" d="M%d %dV%d"/>`+"\n", x-svgGap/2, top, bottom)
		}
	}
}

// clock is a point in time of the transition.
func clock(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	return durationWords(d)
}

func (d *drawing) writeEdges(b *strings.Builder) {
	for pass := range 2 { // the longest way lies on top
		for _, e := range d.edges {
			critical := e.from.critical && e.to.critical && e.critical
			if critical != (pass == 1) {
				continue
			}
			class, tip := "edge", "tip"
			if critical {
				class, tip = "edge critical", "tip-critical"
			}
			x1, y1 := e.from.x+d.boxW, e.from.y+svgBoxH/2
			x2, y2 := e.to.x-2, e.to.y+svgBoxH/2
			bend := max(svgGap/2, min(90, (x2-x1)/2))
			fmt.Fprintf(b, `<path class="%s" marker-end="url(#%s)" d="M%d %dC%d %d %d %d %d %d"/>`+"\n", class, tip, x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
		}
	}
}

func (d *drawing) writeBox(b *strings.Builder, x *svgBox) {
	class := "action"
	if x.critical {
		class += " critical"
	}
	if x.never {
		class += " never"
	}
	fmt.Fprintf(b, `<g class="%s" id="action-%d"><title>%s</title>`, class, x.ids[0], svgText(x.tooltip))
	fmt.Fprintf(b, `<rect class="box" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x.x, x.y, d.boxW, svgBoxH)
	fmt.Fprintf(b, `<rect class="k-%s" x="%d" y="%d" width="6" height="%d" rx="3"/>`, x.kind, x.x+4, x.y+5, svgBoxH-10)
	fmt.Fprintf(b, `<text class="task" x="%d" y="%d">%s</text>`, x.x+18, x.y+17, svgText(d.fit(x.name)))
	fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">%s</text></g>`+"\n", x.x+18, x.y+32, svgText(x.detail))
}

// fit cuts a name that is too long for a box.
func (d *drawing) fit(s string) string {
	room := int(float64(d.boxW-24) / svgCharW)
	r := []rune(s)
	if len(r) <= room {
		return s
	}
	return string(r[:room-1]) + "…"
}

// writeStrip draws the longest way as a bar, as wide as the time it takes.
func (d *drawing) writeStrip(b *strings.Builder) {
	if len(d.timing.Path) == 0 || d.timing.Total == 0 {
		return
	}
	y := d.height - svgStripH
	fmt.Fprintf(b, `<text class="name" x="%d" y="%d">The critical path</text>`+"\n", svgMargin, y+8)
	width := float64(d.width - 2*svgMargin)
	for _, id := range d.timing.Path {
		s := d.timing.span(id)
		x := float64(svgMargin) + width*float64(s.Begin)/float64(d.timing.Total)
		w := width * float64(s.End-s.Begin) / float64(d.timing.Total)
		if w < 1 {
			continue
		}
		name := d.timing.names[id] + ", " + d.spent(s)
		fmt.Fprintf(b, `<g class="step"><title>%s</title><rect class="k-%s" x="%.1f" y="%d" width="%.1f" height="26" rx="4"/>`, svgText(name), d.kindByID[id], x+0.5, y+20, max(1, w-1))
		if label := stripLabel(name, d.timing.names[id], w); label != "" {
			fmt.Fprintf(b, `<text class="inside" x="%.1f" y="%d">%s</text>`, x+w/2, y+37, svgText(label))
		}
		b.WriteString("</g>\n")
	}
	fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">0s</text><text class="dim" x="%d" y="%d" text-anchor="end">%s</text>`+"\n",
		svgMargin, y+62, d.width-svgMargin, y+62, durationWords(d.timing.Total))
	if d.assumed {
		fmt.Fprintf(b, `<text class="dim" x="%d" y="%d">? no history tells how long this takes; it is an assumption</text>`+"\n", svgMargin+40, y+62)
	}
}

// stripLabel is as much of a label as fits.
func stripLabel(full, short string, w float64) string {
	for _, s := range []string{full, short} {
		if float64(len(s))*6.4 < w-8 {
			return s
		}
	}
	return ""
}
