package shell

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// operations writes the history of operations, or with fail counts only a
// summary of what failed.
func (w *statusWriter) operations(doc *cib.CIB) {
	title := "Migration Summary:"
	if w.o.operations {
		title = "Operations:"
	}
	w.heading(title)
	for i := range w.v.Nodes {
		n := &w.v.Nodes[i]
		state := doc.NodeState(n.ID)
		if state == nil || !n.Online {
			continue
		}
		titled := false
		title := func() {
			if !titled {
				w.item(1, "%s: %s:", nodePrefix(n), n.Name)
				titled = true
			}
		}
		for r := range state.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			id := historyName(r.ID())
			fails := failCount(doc, n.ID, id)
			if fails == 0 && !w.o.operations {
				continue
			}
			title()
			line := fmt.Sprintf("%s: migration-threshold=%s", r.ID(), migrationThreshold(doc, id))
			if fails > 0 {
				line += " fail-count=" + cib.FormatScore(fails)
				if last := lastFailure(state, id); last != "" {
					line += fmt.Sprintf(" last-failure='%s'", last)
				}
			}
			if !w.o.operations {
				w.item(2, "%s", line)
				continue
			}
			w.item(2, "%s:", line)
			for _, op := range inCallOrder(r) {
				w.item(3, "%s", w.operation(op))
			}
		}
	}
}

func (w *statusWriter) operation(op *cib.Element) string {
	s := fmt.Sprintf("(%s) %s:", op.Get("call-id"), op.Get("operation"))
	if iv := op.Get("interval"); iv != "" && iv != "0" {
		s += fmt.Sprintf(" interval=\"%sms\"", iv)
	}
	if w.o.timing {
		if at := clockTime(op.Get("last-rc-change")); at != "-" {
			s += fmt.Sprintf(" last-rc-change=\"%s\"", at)
		}
		for _, k := range []string{"exec-time", "queue-time"} {
			if v := op.Get(k); v != "" {
				s += fmt.Sprintf(" %s=\"%sms\"", k, v)
			}
		}
	}
	if w.o.timing || op.Get("rc-code") != "0" {
		s += fmt.Sprintf(" rc=%s (%s)", op.Get("rc-code"), resultText(op))
	}
	return s
}

// migrationThreshold is the failures a resource may have before it leaves a
// node.
func migrationThreshold(doc *cib.CIB, id string) string {
	if t, ok := findResource(doc, id); ok {
		for e := t; ; {
			if v, ok := pairValue(e.element, "meta_attributes", "migration-threshold"); ok {
				return v
			}
			if e.parent.Name == "resources" {
				break
			}
			if e, ok = findResource(doc, e.parent.ID()); !ok {
				break
			}
		}
	}
	for _, set := range cib.OrderedSets(doc.Section("rsc_defaults"), "meta_attributes") {
		if v, ok := cib.PairValue(set, "migration-threshold"); ok {
			return v
		}
	}
	return "1000000"
}

func lastFailure(state *cib.Element, id string) string {
	newest := int64(0)
	for set := range state.Child("transient_attributes").Named("instance_attributes") {
		for p := range set.Named("nvpair") {
			if rest, ok := strings.CutPrefix(p.Get("name"), "last-failure-"); ok && failCountOf(rest) == id {
				newest = max(newest, int64(atoi(p.Get("value"))))
			}
		}
	}
	if newest == 0 {
		return ""
	}
	return time.Unix(newest, 0).Format(time.ANSIC)
}

// callNumber orders operations; pending ones come last.
func callNumber(op *cib.Element) int {
	n := atoi(op.Get("call-id"))
	if n < 0 || op.Get("op-status") == "-1" {
		return math.MaxInt
	}
	return n
}

// inCallOrder lists the operations of a resource's history, pending ones last.
// Notifications, and probes that found nothing, are not worth telling.
func inCallOrder(r *cib.Element) []*cib.Element {
	ops := slices.DeleteFunc(slices.Collect(r.Named("lrm_rsc_op")), func(op *cib.Element) bool {
		return op.Get("operation") == "notify" || isProbe(op) && op.Get("rc-code") == "7"
	})
	slices.SortStableFunc(ops, func(a, b *cib.Element) int { return cmp.Compare(callNumber(a), callNumber(b)) })
	return ops
}

// isProbe tells a look at what runs from a recurring monitor.
func isProbe(op *cib.Element) bool {
	interval := op.Get("interval")
	return op.Get("operation") == "monitor" && (interval == "" || interval == "0")
}
