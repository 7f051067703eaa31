package scheduler

import (
	"slices"
	"strings"
	"time"
)

// How long fencing will take. The CIB has no history of it: callers that know
// one give it with their options.

// fencing is how long an action against a node takes: as long as the last
// times, or as with other nodes. Without any, it is assumed to take as long as
// is usual, after the delay that is configured.
func (h *execTimes) fencing(a *Action) (d time.Duration, known bool) {
	took := h.e.fencings
	if d, ok := took[a.Node]; ok {
		return d, true
	}
	for _, other := range took {
		d = max(d, other)
	}
	if d > 0 {
		return d, true
	}
	return assumedFencing + h.fencingDelay(a), false
}

// fencingDelay is for how long fencing a node is put off: by its priority, and
// by the device with the shortest delay of those that may fence it.
func (h *execTimes) fencingDelay(a *Action) time.Duration {
	var shortest time.Duration
	first := true
	for _, r := range h.e.resources {
		r.eachLeaf(func(r *resource) {
			if !r.fenceDevice {
				return
			}
			values := h.e.params(r, nil)
			if !mayFence(values, a.Node) {
				return
			}
			if d := delayFor(values.val("pcmk_delay_base"), a.Node); first || d < shortest {
				shortest, first = d, false
			}
		})
	}
	for _, m := range a.Meta {
		if m.Name == "priority_fencing_delay" {
			shortest += time.Duration(intOf(m.Value, 0)) * time.Second
		}
	}
	return shortest
}

// mayFence tells whether the lists of a device name a node; a device without
// lists asks its agent.
func mayFence(device table, node string) bool {
	list, mapped := device.val("pcmk_host_list"), device.val("pcmk_host_map")
	if list == "" && mapped == "" {
		return true
	}
	named := func(name string) bool { return strings.EqualFold(name, node) }
	if slices.ContainsFunc(strings.FieldsFunc(list, betweenNodes), named) {
		return true
	}
	for _, pair := range strings.FieldsFunc(mapped, betweenNodes) {
		if name, _, ok := strings.Cut(pair, ":"); ok && named(name) {
			return true
		}
	}
	return false
}

func betweenNodes(c rune) bool { return strings.ContainsRune(" \t\n,;", c) }

// delayFor reads a delay, which may be one for each node: "node1:1s;node2:5s".
func delayFor(value, node string) time.Duration {
	for _, part := range strings.FieldsFunc(value, betweenNodes) {
		name, d, ok := strings.Cut(part, ":")
		if !ok {
			name, d = node, part
		}
		if strings.EqualFold(name, node) {
			return max(0, time.Duration(parseInterval(d))*time.Millisecond)
		}
	}
	return 0
}
