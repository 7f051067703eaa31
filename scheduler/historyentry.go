package scheduler

import (
	"slices"
	"strings"

	"gcrm/cib"
)

// One entry of an operation history: its codes and times, and which of two is
// newer.

// Agent results.
const (
	rcOK              = 0
	rcUnknownError    = 1
	rcInvalidParam    = 2
	rcUnimplemented   = 3
	rcNoPrivilege     = 4
	rcNotInstalled    = 5
	rcNotConfigured   = 6
	rcNotRunning      = 7
	rcPromoted        = 8
	rcFailedPromoted  = 9
	rcDegraded        = 190
	rcDegradedPromote = 191
	rcUnknown         = 193
)

// Execution status of an operation.
const (
	execPending       = -1
	execDone          = 0
	execCancelled     = 1
	execTimeout       = 2
	execNotSupported  = 3
	execError         = 4
	execErrorHard     = 5
	execErrorFatal    = 6
	execNotInstalled  = 7
	execNotConnected  = 8
	execInvalid       = 9
	execNoFenceDevice = 10
	execNoSecrets     = 11
)

// onFail is what a failure of an operation leads to; larger is stronger.
type onFail uint8

const (
	failIgnore onFail = iota
	failDemote
	failRestart
	failResetRemote
	failRestartContainer
	failBan
	failBlock
	failStop
	failStandby
	failFence
)

// histOp is a history entry under interpretation.
type histOp struct {
	el       *cib.Element
	id, key  string
	task     string
	interval int64
	callID   int
	status   int
	rc       int
	target   int
}

// transitionKey splits "action:transition:targetrc:uuid".
func transitionKey(s string) (transition, target int, uuid string, ok bool) {
	_, s, _ = strings.Cut(s, ":")
	second, s, _ := strings.Cut(s, ":")
	third, uuid, ok := strings.Cut(s, ":")
	if !ok {
		return -1, -1, "", false
	}
	return intOf(second, -1), intOf(third, -1), uuid, true
}

func transitionOf(el *cib.Element) (transition int, uuid string) {
	_, key, _ := strings.Cut(el.Get("transition-magic"), ";")
	tr, _, u, ok := transitionKey(key)
	if !ok {
		return -1, ""
	}
	return tr, u
}

func targetRC(el *cib.Element) int {
	_, t, _, ok := transitionKey(el.Get("transition-key"))
	if !ok {
		return -1
	}
	return t
}

// byAge sorts the entries of one resource on one node, oldest first. Equal
// ones come out in reverse document order.
func byAge(ops []*cib.Element) []*cib.Element {
	ops = slices.Clone(ops)
	slices.Reverse(ops)
	return mergeSort(ops, func(a, b *cib.Element) int { return newerOp(a, b, true) })
}

// newerOp compares the age of two history entries: positive if a is newer.
// sameNode tells whether they are of one node where they do not say so; only
// then their ids and call ids mean anything to each other.
func newerOp(a, b *cib.Element, sameNode bool) int {
	if na, nb := a.Get("on_node"), b.Get("on_node"); na != "" && nb != "" {
		sameNode = strings.EqualFold(na, nb)
	}
	if id := a.ID(); sameNode && id != "" && id == b.ID() {
		return 0
	}
	ca, cb := intOf(a.Get("call-id"), -1), intOf(b.Get("call-id"), -1)
	switch {
	case ca == -1 && cb == -1:
		return 0
	case sameNode && ca >= 0 && ca < cb:
		return -1
	case sameNode && cb >= 0 && ca > cb:
		return 1
	case ca >= 0 && cb >= 0 && (!sameNode || ca == cb):
		return compareOrdered(changeTimes(a, b))
	}
	ta, ua := transitionOf(a)
	tb, ub := transitionOf(b)
	if ua == "" || ub == "" {
		return 0 // nothing tells which is older
	}
	if ua != ub || ta == tb {
		if cb == -1 {
			return -1
		}
		return 1
	}
	if (ta >= 0 && ta < tb) || tb == -1 {
		return -1
	}
	return 1
}

// changeTimes are the times of two entries; if only one is known, they count
// as equal.
func changeTimes(a, b *cib.Element) (int64, int64) {
	if !a.Has("last-rc-change") || !b.Has("last-rc-change") {
		return 0, 0
	}
	return epochOf(a.Get("last-rc-change")), epochOf(b.Get("last-rc-change"))
}

// parseIntervalMS reads the interval of a history entry, in milliseconds.
func parseIntervalMS(s string) int64 {
	n, _, ok := leadingInt(s)
	if !ok || n < 0 {
		return 0
	}
	return n
}

// probe reports a probe.
func (h *histOp) probe() bool { return h.task == taskMonitor && h.interval == 0 }

// masked reports a probe whose failure means that the resource cannot be
// there: not installed, or refused for its parameters.
func (h *histOp) masked() bool {
	if !h.probe() {
		return false
	}
	rc := intOf(h.el.Get("rc-code"), 0)
	return rc == rcNotInstalled || rc == rcInvalidParam || intOf(h.el.Get("op-status"), 0) == execNotInstalled
}

// cause names the entry as what a score comes from.
func (h *histOp) cause(by Factor, r *resource, n *node) cause {
	kept := *h
	return cause{by: by, rsc: r, node: n, op: &kept}
}
