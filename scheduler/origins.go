package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// Origin is one summand of a score: what gave it, as data and in words.
type Origin struct {
	By    Factor `json:"by"`
	Value int    `json:"value"`
	// Constraint is the id of a location, colocation or ticket constraint,
	// Rule that of the rule of a location constraint.
	Constraint string `json:"constraint,omitempty"`
	Rule       string `json:"rule,omitempty"`
	// Resource is another resource that the score comes from, and Node where
	// that one is (or the node a failure happened on).
	Resource string `json:"resource,omitempty"`
	Node     string `json:"node,omitempty"`
	// Attribute is the node attribute that holds a score or that a
	// colocation compares, or the name of a ticket.
	Attribute string `json:"attribute,omitempty"`
	// Set says in which part of the configuration a meta-attribute is set.
	Set string `json:"set,omitempty"`
	// Count of failures, and how many are too many.
	Count int `json:"count,omitempty"`
	Limit int `json:"limit,omitempty"`
	// Until is when the summand goes away by itself; zero for never.
	Until time.Time `json:"until,omitzero"`
	Text  string    `json:"text"`
}

// origins puts credits into words, oldest first.
func (e *engine) origins(c *credit, r *resource, n *node) []Origin {
	var out []Origin
	c.each(func(c *credit) {
		if c.value == 0 && c.why.by == ByNodeScore {
			return
		}
		o := e.origin(c, r, n)
		for i := range out { // what counts several times is told once
			if out[i].Text == o.Text && out[i].By == o.By {
				out[i].Value = addScores(out[i].Value, o.Value)
				return
			}
		}
		out = append(out, o)
	})
	return out
}

// plainName is the name of a resource for people: without a number where
// instances do not differ.
func plainName(r *resource) string {
	if r == nil {
		return ""
	}
	if !r.unique {
		return stripInstance(r.id)
	}
	return r.id
}

func (e *engine) origin(c *credit, r *resource, n *node) Origin {
	why := c.why
	o := Origin{By: why.by, Value: c.value}
	if why.rsc != nil {
		o.Resource = plainName(why.rsc)
	}
	if why.node != nil {
		o.Node = why.node.name
	}
	here := ""
	if n != nil {
		here = n.name
	}
	switch why.by {
	case ByNodeScore:
		o.Text = "score of node " + here
		if c.value <= -infinity && n != nil && n.baseScore <= -infinity {
			o.Text = here + " was not available when the resource was read"
		}
	case ByLocation:
		e.locationOrigin(&o, why.loc)
	case ByHealth:
		o.Text = fmt.Sprintf("health of %s (node-health-strategy is %s)", here, e.opt.healthStrategy)
	case ByStickiness:
		o.Resource, o.Set = "", e.metaSource(why.rsc, "resource-stickiness")
		o.Text = fmt.Sprintf("%s runs here: resource-stickiness (%s)", plainName(why.rsc), o.Set)
	case ByUnmanaged:
		o.Text = plainName(why.rsc) + " runs here and is not managed"
	case ByColocation:
		e.colocationOrigin(&o, why, c.value)
	case ByDependent:
		o.Constraint, o.Attribute = plainConstraint(why.coloc.id), attributeOf(why.coloc)
		o.Text = fmt.Sprintf("preferences of %s%s", plainName(why.rsc), constraintText(why.coloc))
		if c.value <= -infinity {
			o.Text = fmt.Sprintf("%s must be with it and cannot run here%s", plainName(why.rsc), constraintText(why.coloc))
		}
	case ByThreshold:
		e.thresholdOrigin(&o, why)
	case ByFailure, ByProbe:
		o.Text = e.failureText(why)
	case ByMultiple:
		o.Text = plainName(why.rsc) + " is active on several nodes, and multiple-active is stop_only"
	case ByRemoved:
		o.Text = plainName(why.rsc) + " is no longer configured"
	case ByTicket:
		o.Constraint, o.Attribute = why.tkt.id, why.tkt.ticket.id
		state := "is not granted"
		if why.tkt.ticket.granted {
			state = "is in standby"
		}
		o.Text = fmt.Sprintf("ticket %s %s (%s)", o.Attribute, state, o.Constraint)
	case ByTargetRole:
		o.Text = e.toldText(why.rsc)
	case ByUtilization:
		o.Text = e.capacityText(why.rsc, n)
	case ByInstances:
		if n != nil && why.node == n {
			o.Text = "another instance has this place (clone-node-max)"
		} else {
			o.Text = "as many instances run as are wanted (clone-max)"
		}
	case ByNodeState:
		o.Text = here + " is " + e.stateWord(n)
	case ByParent:
		o.Text = parentName(why.rsc) + " may not run here"
	case ByDiscovery:
		o.Text = "other nodes are named with resource-discovery=exclusive"
	case ByShutdownLock:
		o.Text = fmt.Sprintf("reserved for %s, which was shut down (shutdown-lock)", o.Node)
		if e.opt.shutdownLockLimit > 0 {
			o.Until = time.Unix(why.rsc.lockTime+e.opt.shutdownLockLimit, 0).UTC()
		}
	case ByPromotion:
		o.Text = "promotion score that its agent set"
		if c.value == -1 && why.set {
			o.Text = "its agent set no promotion score"
		}
	case ByRole:
		o.Text = "role decided already"
	case ByContainer:
		o.Text = "bound to " + plainName(why.rsc)
		if why.rsc == nil {
			o.Text = "bound to its container"
		}
	case ByNodeKind:
		o.Text = here + " is a remote or guest node, where this cannot run"
	default:
		o.By, o.Text = ByOther, "other effects"
	}
	return o
}

func parentName(r *resource) string {
	if r != nil && r.parent != nil {
		return plainName(r.parent)
	}
	return plainName(r)
}

func (e *engine) locationOrigin(o *Origin, l *location) {
	o.Constraint, o.Attribute = l.id, l.attr
	o.Text = "location " + l.id
	if l.constraint != "" {
		o.Constraint, o.Rule = l.constraint, l.id
		o.Text = fmt.Sprintf("location %s, rule %s", l.constraint, l.id)
	}
	if l.attr != "" {
		o.Text += ", by node attribute " + l.attr
	}
}

// plainConstraint is the id of a constraint of the user; what the scheduler
// makes by itself has none.
func plainConstraint(id string) string {
	if strings.HasPrefix(id, "#") {
		return ""
	}
	return id
}

// constraintText names a colocation in brackets.
func constraintText(c *colocation) string {
	switch {
	case c.id == "#group-members":
		return " (same group)"
	case strings.HasPrefix(c.id, "#"):
		return ""
	}
	return fmt.Sprintf(" (colocation %s)", c.id)
}

func attributeOf(c *colocation) string {
	if c.attr == "#uname" {
		return ""
	}
	return c.attr
}

func (e *engine) colocationOrigin(o *Origin, why cause, value int) {
	c := why.coloc
	o.Constraint, o.Attribute = plainConstraint(c.id), attributeOf(c)
	name := plainName(why.rsc)
	if c.primaryRole > roleStarted {
		name += " (" + c.primaryRole.String() + ")"
	}
	where := "where " + name + " is"
	place := ""
	if why.node != nil {
		place = ", which is on " + why.node.name
	} else if n := e.placesOf(why.rsc, c.primaryRole); n != "" {
		place = ", which is on " + n
	} else {
		place = ", which runs nowhere"
	}
	if o.Attribute != "" {
		place += " (same " + o.Attribute + ")"
	}
	switch {
	case c.score >= infinity && value <= -infinity:
		o.Text = "must be with " + name + place
	case c.score <= -infinity && value <= -infinity:
		o.Text = "must not be with " + name + place
	case c.score < 0:
		o.Text = "rather not " + where
	case why.node == nil && value < 0:
		o.Text = "rather with " + name + place
	default:
		o.Text = where
	}
	o.Text += constraintText(c)
}

// placesOf lists where a resource will be, in a role if one is given.
func (e *engine) placesOf(r *resource, want role) string {
	if r == nil {
		return ""
	}
	var names []string
	r.eachLeaf(func(l *resource) {
		if l.assigned != nil && (want <= roleStarted || l.nextRole == want) {
			for _, n := range names {
				if n == l.assigned.name {
					return
				}
			}
			names = append(names, l.assigned.name)
		}
	})
	return strings.Join(names, ", ")
}

func (e *engine) thresholdOrigin(o *Origin, why cause) {
	r, n := why.rsc, why.node
	count, last := e.failCount(r, n, nil, true, true)
	o.Count, o.Limit = count, r.migrationThreshold
	o.Text = fmt.Sprintf("%s failed %s here, migration-threshold is %s", plainName(r), timesText(count), scoreText(r.migrationThreshold))
	if count >= infinity && e.opt.startFatal && startFailed(r, n) {
		o.Text = plainName(r) + " failed to start here, which is not tried again (start-failure-is-fatal)"
	}
	if r.failureTimeout > 0 && last > 0 {
		o.Until = time.Unix(last+int64(r.failureTimeout.Seconds())+1, 0).UTC()
		o.Text += "; forgotten at " + o.Until.Format(timeFormat)
	} else {
		o.Text += "; until it is cleaned up"
	}
}

// startFailed reports that the fail count of r on n comes from a start.
func startFailed(r *resource, n *node) bool {
	return slices.ContainsFunc(n.failCounts[stripInstance(r.failName())], func(f failEntry) bool {
		return f.count >= infinity && strings.HasPrefix(f.op, taskStart)
	})
}

// timeFormat is how times are written for people; they are in UTC.
const timeFormat = "2006-01-02 15:04:05Z"

func timesText(n int) string {
	switch {
	case n >= infinity:
		return "for good"
	case n == 1:
		return "once"
	case n == 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func (e *engine) failureText(why cause) string {
	if why.op == nil {
		return fmt.Sprintf("a failure on %s with on-fail=migrate", nodeName(why.node))
	}
	h := why.op
	text := fmt.Sprintf("%s of %s failed on %s", opWord(h.task, h.interval), plainName(why.rsc), nodeName(why.node))
	if why.by == ByProbe {
		text = fmt.Sprintf("%s cannot run on %s", plainName(why.rsc), nodeName(why.node))
	}
	text += ": " + resultText(intOf(h.el.Get("rc-code"), 0), intOf(h.el.Get("op-status"), 0))
	if reason := h.el.Get("exit-reason"); reason != "" {
		text += " (" + reason + ")"
	}
	return text
}

func nodeName(n *node) string {
	if n == nil {
		return ""
	}
	return n.name
}

// opWord names an operation for people.
func opWord(task string, interval int64) string {
	switch {
	case task == taskMonitor && interval == 0:
		return "probe"
	case interval > 0:
		return fmt.Sprintf("%s every %s", task, shortDuration(time.Duration(interval)*time.Millisecond))
	}
	return task
}

// resultText is what an operation's result means.
func resultText(rc, status int) string {
	switch status {
	case execPending:
		return "not finished"
	case execTimeout:
		return "timed out"
	case execNotInstalled:
		return "agent not installed"
	case execNotConnected:
		return "no connection to the node"
	case execNotSupported:
		return "not supported"
	case execInvalid:
		return "could not be executed"
	}
	switch rc {
	case rcOK:
		return "ok"
	case rcUnknownError:
		return "error"
	case rcInvalidParam:
		return "invalid parameter"
	case rcUnimplemented:
		return "not implemented by the agent"
	case rcNoPrivilege:
		return "insufficient privileges"
	case rcNotInstalled:
		return "not installed"
	case rcNotConfigured:
		return "not configured"
	case rcNotRunning:
		return "not running"
	case rcPromoted:
		return "promoted"
	case rcFailedPromoted:
		return "failed while promoted"
	case rcDegraded:
		return "degraded"
	case rcDegradedPromote:
		return "promoted, degraded"
	case 124:
		return "timed out"
	}
	return fmt.Sprintf("exit code %d", rc)
}

// capacityText says which need of a resource exceeds what is left on a node.
func (e *engine) capacityText(r *resource, n *node) string {
	var parts []string
	if r != nil && r.utilization != nil && n != nil {
		for _, x := range *r.utilization {
			if left := n.utilization.get(x.name); x.value > left {
				parts = append(parts, fmt.Sprintf("%s %d of %d left", x.name, x.value, left))
			}
		}
	}
	if len(parts) == 0 {
		return "no room for it and what must run with it"
	}
	return "needs more than there is: " + strings.Join(parts, ", ")
}

// stateWord says why a node takes no resources; "online" if it does.
func (e *engine) stateWord(n *node) string {
	switch {
	case n == nil:
		return "unknown"
	case n.unclean && n.online:
		return "online but unclean"
	case n.unclean:
		return "offline and not fenced (unclean)"
	case n.pending:
		return "joining"
	case !n.online:
		return "offline"
	case n.shutdown:
		return "shutting down"
	case n.standbyFail:
		return "in standby after a failure"
	case n.standby:
		return "in standby"
	case n.maintenance:
		return "in maintenance"
	}
	return "online"
}

// metaSource says where a meta-attribute of a resource is set: the id of the
// set, and whose it is.
func (e *engine) metaSource(r *resource, name string) string {
	in := r.ruleInput()
	for p := r; p != nil; p = p.parent {
		if _, ok := p.xml.Lookup(name); ok {
			return "attribute of " + plainName(p)
		}
		if p.xml != nil {
			if id, ok := e.setWith(p, name, &in); ok {
				return id + " of " + plainName(p)
			}
		}
	}
	for _, b := range e.blocksOf(e.rscDefaults, "meta_attributes", "") {
		if e.blockApplies(b, &in) && blockHas(e, b, name) {
			return "rsc_defaults, " + b.ID()
		}
	}
	if name == "resource-stickiness" && r.top(false).variant == vClone {
		return "default of clones"
	}
	return "default"
}

func (e *engine) setWith(r *resource, name string, in *ruleInput) (string, bool) {
	for _, b := range e.blocksOf(r.xml, "meta_attributes", "") {
		if e.blockApplies(b, in) && blockHas(e, b, name) {
			return b.ID(), true
		}
	}
	return "", false
}

func blockHas(e *engine, b *cib.Element, name string) bool {
	for p := range b.Named("nvpair") {
		if p = e.deref(p); p.Get("name") == name && p.Get("value") != "#default" {
			return true
		}
	}
	return false
}

// toldText says who told a resource to be stopped or unpromoted.
func (e *engine) toldText(r *resource) string {
	if r == nil {
		return "told to be stopped"
	}
	if v, ok := r.meta.get("target-role"); ok {
		if want, ok := parseRole(v); ok && (want == roleStopped || want == roleUnpromoted) {
			return fmt.Sprintf("target-role=%s (%s)", want, e.metaSource(r, "target-role"))
		}
	}
	return "to be stopped"
}

// scoreOrigins are the origins of a recorded score.
func (e *engine) scoreOrigins(s *scoreLine) []Origin {
	if e.trace == nil {
		return nil
	}
	return e.origins(s.origin, e.rscByID[s.rsc], e.findNode(s.node))
}
