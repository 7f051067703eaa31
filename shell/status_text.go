package shell

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// statusOptions are the words after status.
type statusOptions struct {
	inactive, byNode, detail, attributes, failCounts, operations, timing, brief, tickets, bans, noHeaders, fencing bool
	// form is xml, html or simple; empty for text.
	form string
}

// statusWriter writes a clusterView in crm_mon's text form.
type statusWriter struct {
	b     strings.Builder
	v     *clusterView
	o     statusOptions
	color palette
	parts int
}

// heading begins a section; an empty line separates it from the one before.
func (w *statusWriter) heading(text string) {
	if w.parts > 0 {
		w.b.WriteByte('\n')
	}
	w.parts++
	w.b.WriteString(w.color.bold(text) + "\n")
}

// item writes an entry of a list; level 1 is the outermost.
func (w *statusWriter) item(level int, format string, args ...any) {
	w.b.WriteString(strings.Repeat("  ", level) + "* ")
	fmt.Fprintf(&w.b, format, args...)
	w.b.WriteByte('\n')
}

func (w *statusWriter) summary() {
	v := w.v
	w.heading("Cluster Summary:")
	w.item(1, "Stack: %s", v.Stack)
	switch {
	case v.DC == "":
		w.item(1, "Current DC: %s", w.color.bad("NONE"))
	default:
		quorum := "with quorum"
		if !v.WithQuorum {
			quorum = w.color.bad("WITHOUT") + " quorum"
		}
		version := ""
		if v.DCVersion != "" {
			version = " (version " + v.DCVersion + ")"
		}
		w.item(1, "Current DC: %s%s - partition %s", v.DC, version, quorum)
	}
	on := ""
	if v.UpdatedOn != "" {
		on = " on " + v.UpdatedOn
	}
	w.item(1, "Last updated: %s%s", v.Updated.Format(time.ANSIC), on)
	if v.Changed != "" {
		text := v.Changed
		for _, p := range [][2]string{{" by ", v.ChangedBy}, {" via ", v.ChangedVia}, {" on ", v.ChangedOn}} {
			if p[1] != "" {
				text += p[0] + p[1]
			}
		}
		w.item(1, "Last change:  %s", text)
	}
	if v.Trial != "" {
		w.item(1, "%s", w.color.warn("Unconfirmed:  "+v.Trial))
	}
	for _, l := range v.Locks {
		w.item(1, "%s", w.color.warn("Locks:  "+l))
	}
	w.item(1, "%s configured", count(v.configuredAt, "node"))
	blocked := ""
	if v.Blocked > 0 {
		blocked = fmt.Sprintf("%d BLOCKED from further action due to failure", v.Blocked)
	}
	switch {
	case v.Disabled > 0 && blocked != "":
		blocked = fmt.Sprintf(" (%d DISABLED, %s)", v.Disabled, blocked)
	case v.Disabled > 0:
		blocked = fmt.Sprintf(" (%d DISABLED)", v.Disabled)
	case blocked != "":
		blocked = " (" + blocked + ")"
	}
	w.item(1, "%s configured%s", count(v.Instances, "resource instance"), blocked)
	if v.Maintenance {
		w.b.WriteString("\n              *** Resource management is DISABLED ***\n  The cluster will not attempt to start, stop or recover services\n")
	}
	if v.StopAll {
		w.b.WriteString("\n    *** Resource management is DISABLED ***\n  The cluster will keep all resources stopped\n")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// nodeStatus is the state of a node in words; plain tells that it is online
// or offline and nothing else, so that it can be listed with its like.
func nodeStatus(n *nodeView) (text string, plain bool) {
	switch {
	case n.Unclean && n.Online:
		text = "UNCLEAN (online)"
	case n.Unclean && n.Pending:
		text = "UNCLEAN (pending)"
	case n.Unclean:
		text = "UNCLEAN (offline)"
	case n.Pending:
		text = "pending"
	case n.StandbyOnFail && n.Online:
		text = "standby (on-fail)"
	case n.Standby && n.Online && n.Running > 0:
		text = "standby (with active resources)"
	case n.Standby && n.Online:
		text = "standby"
	case n.Standby:
		text = "OFFLINE (standby)"
	case n.Maintenance && n.Online:
		text = "maintenance"
	case n.Maintenance:
		text = "OFFLINE (maintenance)"
	case n.Online:
		text, plain = "online", true
	default:
		text, plain = "OFFLINE", true
	}
	if n.Health == "red" || n.Health == "yellow" {
		text += fmt.Sprintf(" (health is %s)", strings.ToUpper(n.Health))
		plain = false
	}
	return text, plain
}

func nodePrefix(n *nodeView) string {
	switch n.Kind {
	case "remote":
		return "RemoteNode"
	case "guest":
		return "GuestNode"
	}
	return "Node"
}

// paintNode colours the state of a node.
func (w *statusWriter) paintNode(n *nodeView, text string) string {
	switch {
	case n.Unclean || !n.Online && !n.Pending:
		return w.color.bad(text)
	case n.Online && text == "online":
		return w.color.good(text)
	}
	return w.color.warn(text)
}

func (w *statusWriter) nodes() {
	w.heading("Node List:")
	alone := w.o.byNode || w.o.detail
	groups := map[string][]string{}
	for i := range w.v.Nodes {
		n := &w.v.Nodes[i]
		text, plain := nodeStatus(n)
		if n.Kind == "guest" && !n.Online && !n.Unclean {
			continue
		}
		if !alone && plain {
			key := map[string]string{"member": "", "remote": "Remote", "guest": "Guest"}[n.Kind]
			if n.Online {
				key += "Online"
			} else {
				key += "OFFLINE"
			}
			groups[key] = append(groups[key], n.Name)
			continue
		}
		name := n.Name
		if w.o.detail {
			name += " (" + n.ID + ")"
		}
		w.item(1, "%s %s: %s", nodePrefix(n), name, w.paintNode(n, text))
		if w.o.byNode {
			w.resourcesOf(n.Name)
		}
	}
	for _, key := range []string{"Online", "OFFLINE", "RemoteOnline", "RemoteOFFLINE", "GuestOnline"} {
		if names := groups[key]; len(names) > 0 {
			paint := w.color.good
			if strings.HasSuffix(key, "OFFLINE") {
				paint = w.color.bad
			}
			w.item(1, "%s: [ %s ]", key, paint(strings.Join(sortedNames(names), " ")))
		}
	}
}

// resourcesOf lists the instances on one node.
func (w *statusWriter) resourcesOf(node string) {
	first := true
	for i := range w.v.Resources {
		w.v.Resources[i].eachInstance(func(r *resourceView) {
			if slices.Contains(r.Nodes, node) {
				if first {
					w.item(2, "Resources:")
					first = false
				}
				w.item(3, "%s", w.primitive(r))
			}
		})
	}
}

func (w *statusWriter) nodeAttributes() {
	w.heading("Node Attributes:")
	for i := range w.v.Nodes {
		n := &w.v.Nodes[i]
		names := shownAttributes(n)
		if len(names) == 0 {
			continue
		}
		w.item(1, "%s: %s:", nodePrefix(n), n.Name)
		for _, k := range names {
			note := ""
			if best, ok := w.v.pings[k]; ok {
				switch got := atoi(n.Attributes[k]); {
				case got <= 0:
					note = "\t: Connectivity is lost"
				case got < best:
					note = fmt.Sprintf("\t: Connectivity is degraded (Expected=%d)", best)
				}
			}
			w.item(2, "%-32s\t: %-10s%s", k, n.Attributes[k], w.color.warn(note))
		}
	}
}

func (w *statusWriter) failures() {
	if len(w.v.Failures) == 0 {
		return
	}
	w.heading("Failed Resource Actions:")
	for i := range w.v.Failures {
		w.item(1, "%s", w.color.bad(w.failure(&w.v.Failures[i])))
	}
}

// unproved warns of nodes that may not be fenced when it matters.
func (w *statusWriter) unproved() {
	if len(w.v.Unproved) == 0 {
		return
	}
	w.heading("Fencing Warnings:")
	for _, u := range w.v.Unproved {
		w.item(1, "%s", w.color.warn(u))
	}
}

func (w *statusWriter) failure(f *failureView) string {
	at := ""
	if f.At > 0 {
		at = time.Unix(f.At, 0).Format(time.ANSIC)
	}
	if w.o.detail {
		s := fmt.Sprintf("%s on %s '%s' (%s): call=%s, status='%s'", f.Key, f.Node, f.RCText, f.RC, f.Call, statusWord(f.Status))
		if f.Reason != "" {
			s += fmt.Sprintf(", exitreason='%s'", f.Reason)
		}
		if at != "" {
			s += fmt.Sprintf(", last-rc-change='%s', queued=%sms, exec=%sms", at, cmp.Or(f.Queued, "0"), cmp.Or(f.Exec, "0"))
		}
		return s
	}
	task := f.Task
	switch {
	case task == "monitor" && (f.Interval == "" || f.Interval == "0"):
		task = "probe"
	case f.Interval != "" && f.Interval != "0":
		task = millis(f.Interval) + "-interval " + task
	}
	s := fmt.Sprintf("%s %s on %s", f.Resource, task, f.Node)
	if f.Done {
		s += fmt.Sprintf(" returned '%s'", f.RCText)
		if f.Reason != "" {
			s += " (" + f.Reason + ")"
		}
	} else {
		s += " could not be executed (" + statusWord(f.Status)
		if f.Reason != "" {
			s += ": " + f.Reason
		}
		s += ")"
	}
	if at != "" {
		s += " at " + at
	}
	if f.Exec != "" && f.Exec != "0" {
		s += " after " + millis(f.Exec)
	}
	return s
}

func (w *statusWriter) ticketList() {
	if len(w.v.Tickets) == 0 {
		return
	}
	w.heading("Tickets:")
	for _, t := range w.v.Tickets {
		text := "revoked"
		if t.Granted {
			text = "granted"
		}
		if t.Standby {
			text += " [standby]"
		}
		if t.LastGranted != "" {
			text += fmt.Sprintf(" last-granted=\"%s\"", t.LastGranted)
		}
		w.item(1, "%s\t%s", t.ID, text)
	}
}

func (w *statusWriter) banList() {
	if len(w.v.Bans) == 0 {
		return
	}
	w.heading("Negative Location Constraints:")
	for _, b := range w.v.Bans {
		role := ""
		if b.Promoted {
			role = "in Promoted role "
		}
		w.item(1, "%s\tprevents %s from running %son %s", b.ID, b.Resource, role, b.Node)
	}
}

// sortedNames sorts names, numbers in them by value.
func sortedNames(names []string) []string {
	s := slices.Clone(names)
	slices.SortFunc(s, compareNames)
	return s
}

func compareNames(a, b string) int {
	for a != "" && b != "" {
		if unicode.IsDigit(rune(a[0])) && unicode.IsDigit(rune(b[0])) {
			na, ra := cutNumber(a)
			nb, rb := cutNumber(b)
			if c := cmp.Or(cmp.Compare(len(na), len(nb)), cmp.Compare(na, nb)); c != 0 {
				return c
			}
			a, b = ra, rb
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// cutNumber cuts the digits off the front, without leading zeros.
func cutNumber(s string) (digits, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return strings.TrimLeft(s[:i], "0"), s[i:]
}
