package fencing

import (
	"fmt"
	"strings"
	"time"
)

// survey finds out whether a device can fence the target of an operation.
type survey struct {
	op      *operation
	device  *Device
	settled bool
	able    bool
	unknown bool // it could not be asked
	reasons []string
	nodes   []string // still to be asked
	asks    string   // list or status
	call    *call
}

func (s *survey) why() string {
	switch {
	case !s.settled:
		return "it did not tell in time whether it can fence " + s.op.target
	case len(s.reasons) == 0:
		return "it cannot fence " + s.op.target
	}
	return strings.Join(s.reasons, ", ")
}

func (s *survey) settle(able bool, format string, args ...any) {
	s.settled, s.able, s.call = true, able, nil
	if format != "" {
		s.reasons = append(s.reasons, fmt.Sprintf(format, args...))
	}
}

func (s *survey) abandon() {
	if s.call != nil {
		s.call.dead = true
		s.call = nil
	}
}

// unfencing reports whether an "on" is one of unfencing devices.
func (op *operation) unfencing() bool {
	for _, d := range op.conf.Devices {
		if d.Unfences && !d.Disabled {
			return true
		}
	}
	return false
}

// survey starts asking the devices that may be used.
func (op *operation) survey() {
	op.surveys = map[string]*survey{}
	var ids []string
	if levels := op.conf.Levels(op.target); op.action == On && op.unfencing() {
		for _, id := range op.conf.Order {
			if d := op.conf.Devices[id]; d.Unfences && !d.Disabled {
				ids = append(ids, id)
			}
		}
	} else if len(levels) > 0 {
		op.topology, op.levels = true, levels
		for _, l := range levels {
			ids = append(ids, l.Devices...)
		}
	} else {
		ids = op.conf.Order
	}
	op.surveyEnd = op.m.now.Add(surveyWindow)
	for _, id := range ids {
		d := op.conf.Devices[id]
		if d == nil || op.surveys[id] != nil {
			continue
		}
		s := &survey{op: op, device: d}
		op.surveys[id] = s
		s.start()
	}
}

func (s *survey) start() {
	d, m, target := s.device, s.op.m, s.op.target
	switch {
	case d.Disabled:
		s.settle(false, "it is stopped (target-role)")
	case d.Check == StaticList && !d.static(target):
		s.settle(false, "%s is not in its pcmk_host_list or pcmk_host_map", target)
	case d.Check == StaticList || d.Check == NoCheck:
		if len(m.executors(d, target, List)) == 0 {
			s.settle(false, "no node is there that may use it")
		} else {
			s.settle(true, "")
		}
	case d.Check == DynamicList:
		if l, ok := m.lists[d.ID]; ok && m.now.Before(l.until) {
			s.byList(l.hosts)
			return
		}
		s.asks = List
		s.nodes = m.executors(d, target, List)
		s.ask()
	default:
		s.asks = Status
		s.nodes = m.executors(d, target, Status)
		s.ask()
	}
}

func (s *survey) byList(hosts []string) {
	if plug := s.device.Plug(s.op.target); listed(hosts, plug) {
		s.settle(true, "")
	} else {
		s.settle(false, "it does not list %s", plug)
	}
}

// ask asks the next node.
func (s *survey) ask() {
	d, m := s.device, s.op.m
	if len(s.nodes) == 0 {
		if len(s.reasons) == 0 {
			s.settle(false, "no node is there that may use it")
			return
		}
		if s.asks == List && !d.CheckGiven && !m.lists[d.ID].worked && d.HasAction(Status) {
			// A device that never listed anything may still tell about one.
			s.asks, s.reasons, s.nodes = Status, nil, m.executors(d, s.op.target, Status)
			s.ask()
			return
		}
		s.unknown = true
		s.settle(false, "")
		return
	}
	node := s.nodes[0]
	s.nodes = s.nodes[1:]
	x := Execute{Node: node, Action: d.command(s.asks), Timeout: d.timeout(s.op.base(), s.asks)}
	if s.asks == Status {
		x.Target = s.op.target
	}
	s.call = m.run(d, x, func(o Outcome) { s.answered(node, o) })
}

func (s *survey) answered(node string, o Outcome) {
	s.call = nil
	m, d := s.op.m, s.device
	switch {
	case s.asks == List && o.Code == Succeeded:
		m.lists[d.ID] = hostList{hosts: o.Hosts, until: m.now.Add(listLife), worked: true}
		s.byList(o.Hosts)
	case s.asks == Status && o.Code == Succeeded && o.Power != PowerUnknown:
		s.settle(true, "")
	default:
		s.reasons = append(s.reasons, fmt.Sprintf("%s on %s: %s", s.asks, node, nonEmpty(o.Text, o.Code.String())))
		if o.Hint != "" {
			s.op.hints = append(s.op.hints, o.Hint)
		}
		s.ask()
	}
}

// surveyed begins the work when enough is known.
func (op *operation) surveyed() bool {
	all, any := true, op.watchdogPlanned() && op.action != On
	for _, s := range op.surveys {
		all = all && s.settled
		any = any || s.able
	}
	if !all {
		if op.m.now.Before(op.surveyEnd) {
			return false
		}
		if op.topology {
			any = false
			for _, l := range op.levels {
				any = any || op.unusable(l) == ""
			}
		}
		if !any || op.action == On {
			op.surveyEnd = time.Time{}
			return false
		}
	}
	op.surveyEnd = time.Time{}
	for _, s := range op.surveys {
		if !s.settled {
			s.abandon()
		}
	}
	if op.held() {
		return false
	}
	if op.action == On && op.unfencing() {
		var ids []string
		for _, id := range op.conf.Order {
			if s := op.surveys[id]; s != nil && s.able {
				ids = append(ids, id)
			} else if s != nil && s.unknown {
				op.note("%s: %s", id, s.why())
			}
		}
		op.levels = nil
		if len(op.failures) > 0 {
			ids = nil // all of them have to do it
		}
		if len(ids) > 0 {
			op.topology, op.levels = true, []Level{{Index: 1, Devices: ids}}
		}
	}
	op.plan()
	return true
}

// base is the timeout of actions without one of their own.
func (op *operation) base() time.Duration {
	if op.request.Timeout > 0 {
		return op.request.Timeout
	}
	return op.conf.Timeout
}
