package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gcrm/cib"
)

// drawHistory gives the resources a past: mostly one in which they run where
// a cluster might have put them, with failures, leftovers and accidents.
func (g *generator) drawHistory() {
	where := map[string]int{}
	for _, p := range g.prims {
		if p.in == "bundle" {
			continue
		}
		if p.copies > 1 || p.in != "" && p.in != "group" {
			g.cloneHistory(p)
			continue
		}
		at, ok := where[p.top]
		if !ok {
			at = g.n(len(g.hosts)+1) - 1
			where[p.top] = at
		}
		special := p.agent == "ocf:pacemaker:remote" || strings.HasPrefix(p.agent, "stonith") || slices.Contains(g.hosts, "guest"+p.id)
		if at >= 0 && special {
			at %= len(g.nodes)
		}
		if at >= 0 && !(p.in == "group" && g.chance(10)) {
			g.active(p, p.id, g.hosts[at], false)
		}
		for i, n := range g.hosts {
			if i == at || special && i >= len(g.nodes) {
				continue
			}
			switch {
			case g.use["multiple"] && g.chance(15):
				g.active(p, p.id, n, false)
			case g.use["migration"] && at >= 0 && g.chance(10):
				g.migration(p, g.hosts[at], n)
			case g.chance(35):
				g.stopped(p, p.id, n)
			}
		}
	}
	if g.use["removed"] {
		p := &drawnPrimitive{id: "gone", agent: "ocf:pacemaker:Dummy", monitors: []drawnMonitor{{"10000", "20000", ""}}}
		g.active(p, p.id, g.node(), false)
		if g.chance(30) {
			g.stopped(p, p.id, g.node())
		}
	}
}

func (g *generator) cloneHistory(p *drawnPrimitive) {
	promoted := g.n(len(g.nodes)+1) - 1
	num := 0
	for i, n := range g.hosts {
		if !g.chance(70) {
			if g.chance(30) {
				g.stopped(p, g.instance(p, 0), n)
			}
			continue
		}
		if num >= p.copies && !g.chance(10) {
			continue
		}
		g.active(p, g.instance(p, num), n, p.in == "promotable" && i == promoted)
		num++
		if p.in == "promotable" && g.chance(60) {
			g.transient(n, "master-"+p.id, pick(g, "5", "10", "10", "100", "-INFINITY"))
		}
	}
}

// instance is the history name of an instance: numbered for unique ones.
func (g *generator) instance(p *drawnPrimitive, num int) string {
	if p.in == "unique" {
		return fmt.Sprintf("%s:%d", p.id, num)
	}
	return p.id
}

func (g *generator) entry(p *drawnPrimitive, id, node string) *cib.Element {
	list := g.lists[node]
	if list == nil {
		return nil
	}
	if old := list.ChildByID(id); old != nil {
		return nil
	}
	f := strings.Split(p.agent, ":")
	el := cib.NewElement("lrm_resource", "id", id, "class", f[0], "type", f[2])
	if f[1] != "" {
		el.Set("provider", f[1])
	}
	list.Add(el)
	return el
}

type drawnOp struct {
	suffix, task, interval string
	call, rc, want, status int
	age                    int
	params                 []cib.Attr
	extra                  []string
}

func (g *generator) op(entry *cib.Element, o drawnOp) *cib.Element {
	id := entry.ID()
	key := fmt.Sprintf("%d:%d:%d:01234567-89ab-cdef-0123-456789abcdef", o.call, 3, o.want)
	el := cib.NewElement("lrm_rsc_op", "id", id+o.suffix, "operation_key", id+"_"+o.task+"_"+o.interval, "operation", o.task,
		"crm-debug-origin", "do_update_resource", "crm_feature_set", "3.16.0", "transition-key", key,
		"transition-magic", fmt.Sprintf("%d:%d;%s", o.status, o.rc, key), "call-id", strconv.Itoa(o.call), "rc-code", strconv.Itoa(o.rc),
		"op-status", strconv.Itoa(o.status), "interval", o.interval, "last-rc-change", seconds(-o.age), "exec-time", "10", "queue-time", "0",
		"op-digest", Digest(o.params))
	for i := 0; i+1 < len(o.extra); i += 2 {
		el.Set(o.extra[i], o.extra[i+1])
	}
	entry.Add(el)
	return el
}

func (g *generator) stopped(p *drawnPrimitive, id, node string) {
	entry := g.entry(p, id, node)
	if entry == nil {
		return
	}
	switch {
	case g.chance(60):
		g.op(entry, drawnOp{suffix: "_last_0", task: "monitor", interval: "0", call: 3, rc: 7, want: 7, age: 5000, params: p.params})
	case g.use["failures"] && g.chance(25):
		g.op(entry, drawnOp{suffix: "_last_0", task: "monitor", interval: "0", call: 3, rc: pick(g, 5, 2, 1, 0), want: 7, status: 0, age: 5000, params: p.params})
	default:
		g.op(entry, drawnOp{suffix: "_last_0", task: "stop", interval: "0", call: 9, age: 3000, params: p.params})
	}
}

func (g *generator) active(p *drawnPrimitive, id, node string, promoted bool) {
	entry := g.entry(p, id, node)
	if entry == nil {
		return
	}
	params := p.params
	if g.use["digests"] && g.chance(30) {
		params = append([]cib.Attr{{Name: "fake", Value: "before"}}, nil...)
	}
	if g.use["pending"] && g.chance(20) {
		g.op(entry, drawnOp{suffix: "_last_0", task: pick(g, "start", "stop", "monitor"), interval: "0", call: -1, rc: 193, status: -1, age: 20, params: params})
		return
	}
	task := "start"
	if promoted {
		task = "promote"
	}
	if g.chance(8) {
		g.op(entry, drawnOp{suffix: "_last_0", task: "monitor", interval: "0", call: 5, rc: 0, want: 7, age: 4000, params: params})
		return
	}
	start := g.op(entry, drawnOp{suffix: "_last_0", task: task, interval: "0", call: 5, age: 4000, params: params})
	if g.use["reload"] && len(p.params) > 0 && task == "start" {
		// fake may be reloaded, other parameters need a restart
		start.Set("op-force-restart", pick(g, " state ", " fake "))
		start.Set("op-restart-digest", RestartDigest(params, strings.Fields(start.Get("op-force-restart"))))
	}
	if g.use["staleops"] && g.chance(40) {
		g.op(entry, drawnOp{suffix: "_monitor_33000", task: "monitor", interval: "33000", call: 8, age: 3900,
			params: append(append([]cib.Attr(nil), params...), cib.Attr{Name: "CRM_meta_timeout", Value: "20000"})})
	}
	for i, m := range p.monitors {
		if (m.role == roleNames[1]) != promoted && m.role != "" || m.role == "Stopped" || g.chance(15) {
			continue
		}
		want := 0
		if promoted {
			want = 8
		}
		g.op(entry, drawnOp{
			suffix: "_monitor_" + m.ms, task: "monitor", interval: m.ms, call: 6 + i, rc: want, want: want, age: 3900,
			params: append(append([]cib.Attr(nil), params...), cib.Attr{Name: "CRM_meta_timeout", Value: m.timeout}),
		})
	}
	if g.use["failures"] && g.chance(35) {
		g.failure(p, entry, node, params, promoted)
	}
}

func (g *generator) failure(p *drawnPrimitive, entry *cib.Element, node string, params []cib.Attr, promoted bool) {
	o := drawnOp{suffix: "_last_failure_0", task: "monitor", interval: "0", call: 20, rc: pick(g, 1, 7, 7, 5), age: pick(g, 30, 30, 600, 7200), params: params}
	if promoted {
		o.want = 8
		o.rc = pick(g, 1, 7, 9)
	}
	switch g.n(5) {
	case 0:
		o.task, o.want, o.rc = "start", 0, pick(g, 1, 5, 6)
	case 1:
		o.task, o.want, o.rc = "stop", 0, pick(g, 1, 1, 198)
		if o.rc == 198 {
			o.rc, o.status = 1, 2
		}
	case 2:
		if p.in == "promotable" {
			o.task, o.want, o.rc = pick(g, "promote", "demote"), 0, pick(g, 1, 7)
			break
		}
		fallthrough
	default:
		if len(p.monitors) == 0 {
			return
		}
		m := p.monitors[g.n(len(p.monitors))]
		o.interval = m.ms
		o.params = append(append([]cib.Attr(nil), params...), cib.Attr{Name: "CRM_meta_timeout", Value: m.timeout})
	}
	if o.task == "stop" || g.chance(15) {
		o.status = pick(g, o.status, 2)
		if o.status == 2 {
			o.rc = 1
		}
	}
	if o.interval == "0" && o.task != "monitor" && g.chance(50) {
		o.suffix = "_last_0"
		entry.Children = nil
	}
	g.op(entry, o)
	if g.chance(80) {
		name := fmt.Sprintf("%s#%s_%s", entry.ID(), o.task, o.interval)
		g.transient(node, "fail-count-"+name, pick(g, "1", "2", "INFINITY"))
		g.transient(node, "last-failure-"+name, seconds(-o.age))
	}
}

func (g *generator) migration(p *drawnPrimitive, from, to string) {
	source := g.lists[from]
	if source == nil || g.lists[to] == nil || p.in == "group" {
		return
	}
	entry := source.ChildByID(p.id)
	if entry == nil || entry.ChildByID(p.id+"_migrate_to_0") != nil {
		return
	}
	extra := []string{"migrate_source", from, "migrate_target", to}
	status, rc := 0, 0
	switch g.n(4) {
	case 0:
		status, rc = -1, 193
	case 1:
		rc = 1
	}
	call := 30
	if status < 0 {
		call = -1
	}
	g.op(entry, drawnOp{suffix: "_migrate_to_0", task: "migrate_to", interval: "0", call: call, rc: rc, status: status, age: 60, params: p.params, extra: extra})
	if status != 0 || rc != 0 || g.chance(40) {
		return
	}
	target := g.entry(p, p.id, to)
	if target == nil {
		return
	}
	g.op(target, drawnOp{suffix: "_migrate_from_0", task: "migrate_from", interval: "0", call: 31, rc: pick(g, 0, 0, 1), age: 50, params: p.params, extra: extra})
}

// startedWithoutDigest records a start whose parameters the generator does
// not know, as those of implicit resources.
func (g *generator) startedWithoutDigest(p *drawnPrimitive, node string) {
	entry := g.entry(p, p.id, node)
	if entry == nil {
		return
	}
	task := "start"
	op := g.op(entry, drawnOp{suffix: "_last_0", task: task, interval: "0", call: 5, age: 4000})
	op.Unset("op-digest")
}
