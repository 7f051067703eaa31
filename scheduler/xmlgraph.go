package scheduler

import (
	"fmt"
	"strconv"
	"strings"
)

// GraphXML returns the transition graph in the form that crm_simulate saves.
func (p *Plan) GraphXML() string {
	e := p.engine
	var b strings.Builder
	w := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	q := func(s string) string {
		var v strings.Builder
		v.WriteByte('"')
		escapeAttr(&v, s)
		v.WriteByte('"')
		return v.String()
	}
	offset := "INFINITY"
	if !e.opt.startFatal {
		offset = "1"
	}
	w("<transition_graph cluster-delay=%s fencing-timeout=%s failed-stop-offset=\"INFINITY\" failed-start-offset=%s batch-limit=%s transition_id=\"1\"",
		q(e.opt.clusterDelay), q(e.opt.fencingTimeout), q(offset), q(e.opt.batchLimit))
	if n := intOf(e.opt.migrationLimit, -1); n > 0 {
		w(" migration-limit=\"%d\"", n)
	}
	if !p.Recheck.IsZero() {
		w(" recheck-by=\"%d\"", p.Recheck.Unix())
	}
	w(">\n")
	byID := map[int]*Action{}
	for _, a := range p.Actions {
		byID[a.ID] = a
	}
	byAction := map[int]*action{}
	for _, a := range e.actions {
		byAction[a.id] = a
	}
	head := func(a *action) string {
		kind := "rsc_op"
		switch e.kindOf(a) {
		case Pseudo:
			kind = "pseudo_event"
		case ClusterAction:
			kind = "crm_event"
		}
		s := "<" + kind + " id=" + q(strconv.Itoa(a.id))
		if a.task == taskLrmDelete {
			s += ` mode="cib"`
		}
		s += " operation=" + q(a.task)
		key := e.graphKey(a)
		s += " operation_key=" + q(key)
		if key != a.key {
			s += " internal_operation_key=" + q(a.key)
		}
		if a.node != nil && (e.kindOf(a) != Pseudo || a.task == taskStonith) {
			s += " on_node=" + q(a.node.name) + " on_node_uuid=" + q(a.node.id)
			if r := e.router(a); r != nil && e.kindOf(a) == ResourceAction {
				s += " router_node=" + q(r.name)
			}
		}
		return s
	}
	name := func(head string) string { return head[1:strings.IndexByte(head, ' ')] }
	for i, pa := range p.Actions {
		a := byAction[pa.ID]
		w("  <synapse id=\"%d\"", i)
		if pa.Priority > 0 {
			w(" priority=\"%d\"", pa.Priority)
		}
		w(">\n    <action_set>\n")
		h := head(a)
		w("      %s", h)
		if !pa.ShutdownLock.IsZero() {
			w(" shutdown-lock=\"%d\"", pa.ShutdownLock.Unix())
		}
		w(">\n")
		if pa.Resource != nil && pa.Kind != Pseudo {
			w("        <primitive id=%s", q(pa.Resource.ID))
			if pa.Resource.LongID != "" {
				w(" long-id=%s", q(pa.Resource.LongID))
			}
			w(" class=%s", q(pa.Resource.Class))
			if pa.Resource.Provider != "" {
				w(" provider=%s", q(pa.Resource.Provider))
			}
			w(" type=%s/>\n", q(pa.Resource.Type))
		}
		w("        <attributes")
		for _, m := range pa.Meta {
			w(" CRM_meta_%s=%s", m.Name, q(m.Value))
		}
		var odd []string // what cannot be the name of an XML attribute
		for _, m := range pa.Params {
			if c := m.Name[0]; c >= '0' && c <= '9' {
				odd = append(odd, fmt.Sprintf("          <param name=%s value=%s/>\n", q(m.Name), q(m.Value)))
				continue
			}
			w(" %s=%s", m.Name, q(m.Value))
		}
		if len(odd) == 0 {
			w("/>\n")
		} else {
			w(">\n%s        </attributes>\n", strings.Join(odd, ""))
		}
		if len(pa.Downed) > 0 {
			w("        <downed>\n")
			for _, d := range pa.Downed {
				w("          <node id=%s/>\n", q(d))
			}
			w("        </downed>\n")
		}
		if a.task == taskMaintenance {
			w("        <maintenance>\n")
			for _, n := range e.maintained {
				v := "0"
				if n.maintenance {
					v = "1"
				}
				w("          <node id=%s node_in_maintenance=%s/>\n", q(n.id), q(v))
			}
			w("        </maintenance>\n")
		}
		w("      </%s>\n    </action_set>\n", name(h))
		if len(pa.Inputs) == 0 {
			w("    <inputs/>\n")
		} else {
			w("    <inputs>\n")
			for _, in := range pa.Inputs {
				w("      <trigger>\n        %s/>\n      </trigger>\n", head(byAction[in]))
			}
			w("    </inputs>\n")
		}
		w("  </synapse>\n")
	}
	w("</transition_graph>\n")
	return b.String()
}
