package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Where things of the drawing of a transition go.

type drawing struct {
	plan      *Plan
	timing    *Timing
	lanes     []*svgLane
	boxes     []*svgBox
	edges     []svgEdge
	kinds     map[string]bool
	kindByID  map[int]string
	real      int // real actions
	waves     int
	waveBegin []time.Duration
	boxW      int
	labelW    int
	assumed   bool
	width     int
	height    int
}

type svgLane struct {
	name, state string
	lost        bool // a node that is fenced
	y, h        int
}

// svgBox is an action, or several of a kind that begin together on a node.
type svgBox struct {
	ids      []int
	lane     *svgLane
	wave     int
	kind     string
	name     string
	detail   string
	tooltip  string
	critical bool
	never    bool
	x, y     int
	before   []*svgBox
}

type svgEdge struct {
	from, to *svgBox
	critical bool
}

func newDrawing(p *Plan) *drawing {
	d := &drawing{plan: p, timing: p.Timing(), kinds: map[string]bool{}, kindByID: map[int]string{}}
	d.collect()
	d.connect()
	d.place()
	return d
}

// svgKind is the class of colour of an action.
func svgKind(a *Action) string {
	switch a.Task {
	case taskStart:
		return "start"
	case taskStop:
		return "stop"
	case taskPromote:
		return "promote"
	case taskDemote:
		return "demote"
	case taskMigrateTo, taskMigrateFrom:
		return "migrate"
	case taskStonith:
		return "fence"
	case taskMonitor:
		return "probe"
	}
	return "other"
}

// collect makes the boxes. Monitors and notifications of one wave on one node
// share a box.
func (d *drawing) collect() {
	e := d.plan.engine
	lanes := map[string]*svgLane{}
	type group struct {
		lane *svgLane
		wave int
		task string
	}
	shared := map[group]*svgBox{}
	for i, a := range d.plan.Actions {
		s := &d.timing.Spans[i]
		if !s.RealAction {
			continue
		}
		d.real++
		d.assumed = d.assumed || s.Assumed && s.Critical
		l := lanes[a.Node]
		if l == nil {
			l = &svgLane{name: cmp.Or(a.Node, "cluster")}
			if n := e.findNode(a.Node); n != nil {
				l.state = e.stateWord(n)
			}
			lanes[a.Node] = l
			d.lanes = append(d.lanes, l)
		}
		l.lost = l.lost || a.Task == taskStonith
		kind := svgKind(a)
		d.kinds[kind], d.kindByID[a.ID] = true, kind
		task := timedTask(a.Task, a.Interval.Milliseconds())
		var x *svgBox
		switch a.Task {
		case taskMonitor, taskNotify, taskCancel, taskDelete, taskClearFailcount:
			x = shared[group{l, s.Wave, task}]
		}
		if x == nil {
			x = &svgBox{lane: l, wave: s.Wave, kind: kind}
			shared[group{l, s.Wave, task}] = x
			d.boxes = append(d.boxes, x)
		}
		x.ids = append(x.ids, a.ID)
		x.critical, x.never = x.critical || s.Critical, x.never || s.Never
		d.waves = max(d.waves, s.Wave+1)
	}
	slices.SortStableFunc(d.lanes, func(a, b *svgLane) int { return compareNames(a.name, b.name) })
	d.waveBegin = make([]time.Duration, d.waves)
	for w := range d.waveBegin {
		d.waveBegin[w] = -1
	}
	for i := range d.timing.Spans {
		if s := &d.timing.Spans[i]; s.RealAction && (d.waveBegin[s.Wave] < 0 || s.Begin < d.waveBegin[s.Wave]) {
			d.waveBegin[s.Wave] = s.Begin
		}
	}
	for _, x := range d.boxes {
		d.label(x)
	}
}

// label writes what stands in a box, and its tooltip.
func (d *drawing) label(x *svgBox) {
	e := d.plan.engine
	var tips []string
	longest := &Span{}
	for _, id := range x.ids {
		a := e.actionByID(id)
		s := d.timing.span(id)
		text := e.actionText(a, true)
		if a.interval > 0 && a.task == taskMonitor {
			text += fmt.Sprintf(", every %s", shortDuration(time.Duration(a.interval)*time.Millisecond))
		}
		tip := fmt.Sprintf("%s\nbegins after %s, takes %s", text, clock(s.Begin), d.spent(s))
		if a.reason != "" && len(x.ids) == 1 {
			tip += "\n" + e.reasonOf(a).Text
		}
		if s.Never {
			tip += "\nwaits for something that does not come in this transition"
		}
		tips = append(tips, fmt.Sprintf("%s\naction %d, %s", tip, id, a.key))
		if d := s.End - s.Begin; d > longest.End || longest.ID == 0 {
			longest = &Span{ID: id, End: d, Assumed: s.Assumed}
		}
	}
	x.tooltip = strings.Join(tips, "\n")
	a := e.actionByID(x.ids[0])
	task := timedTask(a.task, a.interval)
	switch {
	case len(x.ids) > 1:
		x.name = fmt.Sprintf("%s ×%d", task, len(x.ids))
	case a.task == taskStonith:
		x.name = "fence " + a.node.name
		if a.meta.val("stonith_action") == "on" {
			x.name = "unfence " + a.node.name
		}
	case a.rsc != nil:
		x.name = task + " " + plainName(a.rsc)
	default:
		x.name = task
	}
	x.detail = d.spent(longest)
	if a.interval > 0 && a.task == taskMonitor && len(x.ids) == 1 {
		x.detail += fmt.Sprintf(", then every %s", shortDuration(time.Duration(a.interval)*time.Millisecond))
	}
	if x.never {
		x.detail = "waits"
	}
}

// spent is how long something takes, with a mark on assumptions.
func (d *drawing) spent(s *Span) string {
	text := durationWords(s.End - s.Begin)
	if s.End == s.Begin {
		text = "0s"
	}
	if s.Assumed {
		text += "?"
	}
	return text
}

// connect draws an edge for what one box waits for, but not where a longer way
// says the same.
func (d *drawing) connect() {
	boxOf := map[int]*svgBox{}
	for _, x := range d.boxes {
		for _, id := range x.ids {
			boxOf[id] = x
		}
	}
	for _, x := range d.boxes {
		for _, id := range x.ids {
			for _, in := range d.timing.span(id).After {
				if f := boxOf[in]; f != nil && f != x && f.wave < x.wave && !slices.Contains(x.before, f) {
					x.before = append(x.before, f)
				}
			}
		}
	}
	critical := map[[2]*svgBox]bool{}
	for i := 1; i < len(d.timing.Path); i++ {
		critical[[2]*svgBox{boxOf[d.timing.Path[i-1]], boxOf[d.timing.Path[i]]}] = true
	}
	at := make(map[*svgBox]int, len(d.boxes))
	order := slices.Clone(d.boxes)
	slices.SortStableFunc(order, func(a, b *svgBox) int { return a.wave - b.wave })
	for i, x := range order {
		at[x] = i
	}
	words := (len(order) + 63) / 64
	above := make([][]uint64, len(order)) // everything that a box waits for in the end
	for i, x := range order {
		above[i] = make([]uint64, words)
		// The latest waves first: what they already wait for needs no edge.
		slices.SortStableFunc(x.before, func(a, b *svgBox) int { return b.wave - a.wave })
		for _, f := range x.before {
			j := at[f]
			if above[i][j/64]&(1<<(j%64)) == 0 || critical[[2]*svgBox{f, x}] {
				d.edges = append(d.edges, svgEdge{f, x, critical[[2]*svgBox{f, x}]})
			}
			above[i][j/64] |= 1 << (j % 64)
			for k, v := range above[j] {
				above[i][k] |= v
			}
		}
	}
}

func (d *drawing) columnX(wave int) int {
	return svgMargin + d.labelW + wave*(d.boxW+svgGap)
}

// place finds the places of lanes and boxes: within a lane and wave boxes stand
// near what they wait for.
func (d *drawing) place() {
	d.boxW = 110
	for _, x := range d.boxes {
		d.boxW = max(d.boxW, 28+int(svgCharW*float64(len([]rune(x.name)))+0.5), 28+int(6.2*float64(len([]rune(x.detail)))))
	}
	d.boxW = min(d.boxW, 250)
	d.labelW = 60
	for _, l := range d.lanes {
		d.labelW = max(d.labelW, 36+int(8.6*float64(len([]rune(l.name)))), 36+int(6.2*float64(len([]rune(l.state)))))
	}
	cells := map[*svgLane][][]*svgBox{}
	for _, x := range d.boxes {
		if cells[x.lane] == nil {
			cells[x.lane] = make([][]*svgBox, d.waves)
		}
		cells[x.lane][x.wave] = append(cells[x.lane][x.wave], x)
	}
	y := svgHead + 22
	for _, l := range d.lanes {
		rows := 1
		for _, c := range cells[l] {
			rows = max(rows, len(c))
		}
		l.y, l.h = y, 2*svgLanePad+rows*svgBoxH+(rows-1)*svgRowGap
		y += l.h + 8
	}
	for w := range d.waves {
		for _, l := range d.lanes {
			list := cells[l][w]
			slices.SortStableFunc(list, func(a, b *svgBox) int { return cmp.Compare(a.pull(), b.pull()) })
			for k, x := range list {
				x.x, x.y = d.columnX(w), l.y+svgLanePad+k*(svgBoxH+svgRowGap)
			}
		}
	}
	d.width = svgMargin + d.labelW + d.waves*(d.boxW+svgGap) - svgGap + 16 + svgMargin
	d.width = max(d.width, 640)
	d.height = y + 24
	if len(d.timing.Path) > 0 && d.timing.Total > 0 {
		d.height = y + 30 + svgStripH
	}
}

// pull is the height at which a box would like to be: that of what it waits for.
func (x *svgBox) pull() float64 {
	if len(x.before) == 0 {
		return float64(x.lane.y)
	}
	sum := 0
	for _, f := range x.before {
		sum += f.y
	}
	return float64(sum) / float64(len(x.before))
}
