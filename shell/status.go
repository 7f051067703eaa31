package shell

import (
	"context"
	"fmt"
	"strings"

	"gcrm/cib"
)

// runStatus shows what crm_mon -1 tells.
func runStatus(ctx context.Context, s *Session, c *call) error {
	var o statusOptions
	for _, w := range c.words {
		switch w.Text {
		case "full":
			o.inactive, o.attributes, o.failCounts, o.operations, o.tickets, o.bans, o.fencing = true, true, true, true, true, true, true
		case "inactive":
			o.inactive = true
		case "bynode":
			o.byNode = true
		case "ops":
			o.operations = true
		case "timing":
			o.operations, o.timing = true, true
		case "failcounts":
			o.failCounts = true
		case "detail", "verbose":
			o.detail = true
		case "brief":
			o.brief = true
		case "attributes":
			o.attributes = true
		case "tickets":
			o.tickets = true
		case "bans":
			o.bans = true
		case "noheaders", "quiet":
			o.noHeaders = true
		case "fencing":
			o.fencing = true
		case "html", "xml", "simple":
			if o.form != "" && o.form != w.Text {
				return problemf("status: %s and %s exclude each other", o.form, w.Text).at(w.Pos)
			}
			o.form = w.Text
		}
	}
	return s.status(ctx, o)
}

// ShowStatus prints the status, with what does not run.
func (s *Session) ShowStatus(ctx context.Context) error {
	return s.status(ctx, statusOptions{inactive: true})
}

func (s *Session) status(ctx context.Context, o statusOptions) error {
	v, doc, err := s.observe(ctx)
	if err != nil {
		return err
	}
	v.Unproved, v.Fencings = s.unproved(ctx), s.fencings(ctx)
	switch {
	case s.cfg.Format == "json":
		return s.writeJSON(v)
	case o.form == "xml":
		return s.page(statusXML(v, doc, o, "gcrm status xml").String())
	case o.form == "html":
		return s.page(statusHTML(statusText(v, doc, o, palette{&Display{Color: true}}), 0))
	case o.form == "simple":
		return s.page(statusLine(v) + "\n")
	}
	return s.page(statusText(v, doc, o, s.color))
}

// statusText is the status as crm_mon -1 writes it.
func statusText(v *clusterView, doc *cib.CIB, o statusOptions, color palette) string {
	w := &statusWriter{v: v, o: o, color: color}
	if !o.noHeaders {
		w.summary()
	}
	w.nodes()
	w.resources()
	if o.attributes {
		w.nodeAttributes()
	}
	if o.operations || o.failCounts {
		w.operations(doc)
	}
	w.failures()
	w.fencingActions()
	w.unproved()
	if o.tickets {
		w.ticketList()
	}
	if o.bans {
		w.banList()
	}
	return w.b.String()
}

// runResourceStatus lists resources, or shows where some run.
func runResourceStatus(ctx context.Context, s *Session, c *call) error {
	v, doc, err := s.observe(ctx)
	if err != nil {
		return err
	}
	if len(c.words) == 0 {
		if s.cfg.Format == "json" {
			return s.writeJSON(v.Resources)
		}
		w := &statusWriter{v: v, o: statusOptions{inactive: true}, color: s.color}
		w.resources()
		return s.page(w.b.String())
	}
	var picked []resourceView
	for _, word := range c.words {
		found := findView(v.Resources, word.Text)
		if len(found) == 0 {
			return noResource(doc, word.Text, word.Pos)
		}
		for _, r := range found {
			picked = append(picked, *r)
		}
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(picked)
	}
	for _, word := range c.words {
		s.located(word.Text, findView(v.Resources, word.Text))
	}
	return nil
}

// located says where a resource runs, as crm_resource --locate does.
func (s *Session) located(id string, found []*resourceView) {
	running := false
	for _, r := range found {
		r.eachInstance(func(m *resourceView) {
			if !m.Active {
				return
			}
			role := ""
			if m.Role == "Promoted" {
				role = " Promoted"
			}
			for _, n := range m.Nodes {
				running = true
				s.printf("resource %s is running on: %s%s\n", id, n, s.color.good(role))
			}
		})
	}
	if !running {
		s.printf("resource %s is NOT running\n", id)
	}
}

func runLocate(ctx context.Context, s *Session, c *call) error {
	v, doc, err := s.observe(ctx)
	if err != nil {
		return err
	}
	id := c.arg(0)
	found := findView(v.Resources, id)
	if len(found) == 0 {
		return noResource(doc, id, c.at(0))
	}
	type place struct {
		Resource string `json:"resource"`
		Node     string `json:"node"`
		Role     string `json:"role"`
	}
	places := []place{}
	for _, r := range found {
		r.eachInstance(func(m *resourceView) {
			for _, n := range m.Nodes {
				places = append(places, place{m.ID, n, m.Role})
			}
		})
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(places)
	}
	s.located(id, found)
	return nil
}

// NotRunning tells, one sentence each, what should run and does not, and what
// failed.
func (s *Session) NotRunning(ctx context.Context) ([]string, error) {
	v, _, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range v.Resources {
		out = append(out, notRunning(&v.Resources[i], v)...)
	}
	return out, nil
}

// notRunning judges a resource: a primitive must run, every member of a group,
// and of a clone an instance on every node that is online, as far as clone-max
// allows; one of a promotable clone must be promoted.
func notRunning(r *resourceView, v *clusterView) []string {
	if r.TargetRole == "Stopped" || r.Orphan || !r.Managed {
		return nil
	}
	var out []string
	switch r.Kind {
	case "primitive":
		switch {
		case r.Failed:
			out = append(out, fmt.Sprintf("resource %s has failed%s%s", r.ID, onNodes(r.Nodes), whyFailed(v, r.ID)))
		case !r.Active:
			out = append(out, fmt.Sprintf("resource %s does not run%s", r.ID, whyFailed(v, r.ID)))
		case r.Pending != "" && r.Pending != "Monitoring":
			out = append(out, fmt.Sprintf("resource %s is %s%s", r.ID, strings.ToLower(r.Pending), onNodes(r.Nodes)))
		}
	case "group":
		for i := range r.Members {
			out = append(out, notRunning(&r.Members[i], v)...)
		}
	default:
		active, promoted := 0, false
		for i := range r.Members {
			m := &r.Members[i]
			up := false
			m.eachInstance(func(x *resourceView) {
				if x.Failed {
					out = append(out, fmt.Sprintf("resource %s has failed%s%s", x.ID, onNodes(x.Nodes), whyFailed(v, x.ID)))
				}
				up = up || x.Active
				promoted = promoted || x.Role == "Promoted"
			})
			if up {
				active++
			}
		}
		switch {
		case active == 0 && len(r.Members) > 0:
			out = append(out, fmt.Sprintf("no instance of %s runs%s", r.ID, whyFailed(v, r.ID)))
		case r.Promotable && !promoted && r.TargetRole != "Unpromoted" && r.TargetRole != "Slave":
			out = append(out, fmt.Sprintf("no instance of %s is promoted", r.ID))
		}
	}
	return out
}

func onNodes(nodes []string) string {
	if len(nodes) == 0 {
		return ""
	}
	return " on " + strings.Join(sortedNames(nodes), " ")
}

// whyFailed adds the newest failure of a resource as the reason.
func whyFailed(v *clusterView, id string) string {
	for i := len(v.Failures) - 1; i >= 0; i-- {
		f := &v.Failures[i]
		if f.Resource != historyName(id) {
			continue
		}
		reason := f.Reason
		if reason == "" {
			reason = f.RCText
		}
		return fmt.Sprintf(": %s on %s: %s", f.Task, f.Node, reason)
	}
	return ""
}

// statusLine is the status in one line, as crm_mon -s gives it to monitoring
// programs: CLUSTER OK or CLUSTER WARN with the reasons.
func statusLine(v *clusterView) string {
	var offline []string
	online, standby, maintenance := 0, 0, 0
	for i := range v.Nodes {
		switch n := &v.Nodes[i]; {
		case n.Online && n.Standby:
			standby++
		case n.Online && n.Maintenance:
			maintenance++
		case n.Online:
			online++
		default:
			offline = append(offline, "offline node: "+n.Name)
		}
	}
	switch lost := strings.Join(offline, " "); {
	case v.DC == "" && lost != "":
		return "CLUSTER WARN: No DC; " + lost
	case v.DC == "":
		return "CLUSTER WARN: No DC"
	case lost != "":
		return "CLUSTER WARN: " + lost
	}
	text := "CLUSTER OK: " + count(online, "node") + " online"
	if standby > 0 {
		text += ", " + count(standby, "standby node")
	}
	if maintenance > 0 {
		text += ", " + count(maintenance, "maintenance node")
	}
	return text + ", " + count(v.Instances, "resource instance") + " configured"
}
