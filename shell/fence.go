package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

func fenceLevel() *Level {
	return &Level{
		Name: "fence",
		Help: "Look at fencing, prove it, and say that a node is down.",
		Long: "Fencing makes sure that a node that failed is down, before its resources start elsewhere.\n" +
			"To fence a node by hand: node fence.",
		Verbs: []*Verb{
			{Name: "list", Help: "List the fence devices, or those for a node.", Example: "list node1", Args: []Arg{maybe("node", argNode)}, Live: true, run: runFenceList},
			{Name: "status", Help: "Show how each node is fenced, and when that was last proved.", Example: "status",
				Args: []Arg{maybe("node", argNode)}, Live: true, Observes: true, run: runFenceStatus},
			{Name: "history", Help: "List past and present fencings, the latest first.", Example: "history node1",
				Args: []Arg{maybe("node", argNode)}, Live: true, Observes: true, run: runFenceHistory},
			{Name: "test", Help: "Find out whether a node can be fenced.",
				Long: "Every device of the node is asked from every node that may use it: whether it is reached,\n" +
					"takes the credentials, knows the node and tells its power. Nothing is switched.\n" +
					"With --really the node is emptied, rebooted by its fence devices, and waited for.\n" +
					"Date and result are kept in the configuration, as attributes of the node\n" +
					"(fencing-checked, fencing-proved). The property fencing-rehearsal-interval says after\n" +
					"what time status warns.",
				Example: "test node1", Args: []Arg{need("node", argNode), maybeOneOf("really", "--really")}, Live: true, run: runFenceTest},
			{Name: "confirm", Help: "Say that a node is down, which you have made sure of.",
				Long:    "The cluster takes your word as the proof of fencing and recovers the node's resources.\nIf the node is not down, they run twice and data is lost.",
				Example: "confirm node1", Args: []Arg{need("node", argNode)}, Live: true, run: runFenceConfirm},
		},
	}
}

// warden is the fencing of the cluster, for a command whose first word, if it has
// one, is a node.
func (s *Session) warden(ctx context.Context, c *call) (client.Warden, error) {
	if s.cfg.Offline {
		return nil, problemf("%s: a file has nothing to fence", c.path).at(c.line.Words[c.head].Pos).hinting("use a running cluster")
	}
	w, ok := s.cluster.(client.Warden)
	if !ok {
		return nil, problemf("%s: this cluster cannot be asked to fence", c.path).at(c.line.Words[c.head].Pos)
	}
	if len(c.words) > 0 {
		doc, err := s.view(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := s.nodesNamed(ctx, doc, c.words[:1]); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// fencePlan gets the plan, for the node that is named if one is.
func (s *Session) fencePlan(ctx context.Context, c *call) (*client.FencePlan, error) {
	w, err := s.warden(ctx, c)
	if err != nil {
		return nil, err
	}
	p, err := w.FencePlan(ctx)
	if err != nil {
		return nil, err
	}
	if len(c.words) == 0 {
		return p, nil
	}
	p.Nodes = slices.DeleteFunc(p.Nodes, func(n client.FenceNode) bool { return !strings.EqualFold(n.Node, c.arg(0)) })
	p.Devices = slices.DeleteFunc(p.Devices, func(d client.FenceDevice) bool {
		return !slices.ContainsFunc(p.Nodes, func(n client.FenceNode) bool {
			return slices.ContainsFunc(n.Levels, func(l client.FenceLevel) bool { return slices.Contains(l.Devices, d.ID) })
		})
	})
	return p, nil
}

func runFenceList(ctx context.Context, s *Session, c *call) error {
	p, err := s.fencePlan(ctx, c)
	if err != nil {
		return err
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(p.Devices)
	}
	if len(p.Devices) == 0 {
		if len(c.words) > 0 {
			s.printf("no fence device can fence %s\n", c.arg(0))
			return nil
		}
		s.printf("no fence devices are configured\n")
		return nil
	}
	t := newTable("Device", "Agent", "Fences", "Reached from", "Proves by itself")
	for _, d := range p.Devices {
		fences := strings.Join(d.Fences, " ")
		switch {
		case d.Disabled:
			fences = s.color.warn("disabled")
		case d.Check != "static-list":
			fences = map[string]string{"dynamic-list": "what it lists", "status": "what it knows", "none": "any node"}[d.Check]
		}
		proves := "yes"
		if !d.Proves {
			proves = s.color.warn("no")
		}
		t.row(d.ID, "stonith:"+d.Agent, cmp.Or(fences, "none"), cmp.Or(strings.Join(d.Started, " "), "-"), proves)
	}
	return t.render(s.msg.out, s.color)
}

func runFenceStatus(ctx context.Context, s *Session, c *call) error {
	p, err := s.fencePlan(ctx, c)
	if err != nil {
		return err
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(p)
	}
	if !p.Enabled {
		s.printf("%s\n", s.color.warn("fencing is switched off (stonith-enabled=false)"))
	}
	if len(p.Nodes) == 0 {
		s.printf("the nodes are not fenced by devices of the configuration\n")
		return nil
	}
	t := newTable("Node", "Fenced by", "Last proved", "By", "Took", "Last checked")
	for _, n := range p.Nodes {
		proved, by, took := "never", "-", "-"
		if n.Proved != nil {
			proved = fmt.Sprintf("%s (%s)", n.Proved.At.Local().Format(time.DateTime), n.Proved.Kind)
			by, took = n.Proved.Device+" on "+n.Proved.By, n.Proved.Took.Round(100*time.Millisecond).String()
		}
		if n.Warning != "" {
			proved = s.color.warn(proved)
		}
		checked := "never"
		if n.Checked != nil {
			checked = n.Checked.At.Local().Format(time.DateTime)
		}
		t.row(n.Node, fencedBy(n), proved, by, took, checked)
	}
	if err := t.render(s.msg.out, s.color); err != nil {
		return err
	}
	for _, n := range p.Nodes {
		if n.Warning != "" {
			s.printf("%s: %s\n", n.Node, s.color.warn(n.Warning))
		}
	}
	return nil
}

// fencedBy puts the levels of a node in one line: "ipmi, else pdu1+pdu2".
func fencedBy(n client.FenceNode) string {
	var levels []string
	for _, l := range n.Levels {
		levels = append(levels, strings.Join(l.Devices, "+"))
	}
	if n.Watchdog > 0 {
		levels = append(levels, fmt.Sprintf("watchdog (%s)", n.Watchdog))
	}
	return cmp.Or(strings.Join(levels, ", else "), "nothing")
}

func runFenceHistory(ctx context.Context, s *Session, c *call) error {
	w, err := s.warden(ctx, c)
	if err != nil {
		return err
	}
	list, err := w.Fencings(ctx)
	if err != nil {
		return err
	}
	if len(c.words) > 0 {
		list = slices.DeleteFunc(list, func(e client.FenceEntry) bool { return !strings.EqualFold(e.Target, c.arg(0)) })
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(historyJSON(list))
	}
	if len(list) == 0 {
		s.printf("nothing was fenced\n")
		return nil
	}
	for _, e := range list {
		at := e.Completed
		if at.IsZero() {
			at = e.Started
		}
		result := s.color.warn("under way")
		switch e.State {
		case "done", "dup":
			result = s.color.good("done")
		case "failed":
			result = s.color.bad("FAILED")
		}
		line := fmt.Sprintf("%s  %s of %s: %s", at.Local().Format(time.DateTime), e.Action, e.Target, result)
		if !e.Completed.IsZero() {
			line += fmt.Sprintf(" after %s", e.Completed.Sub(e.Started).Round(100*time.Millisecond))
		}
		if e.Device != "" {
			line += fmt.Sprintf(", by %s on %s", e.Device, e.Delegate)
		} else if e.Delegate != "" {
			line += ", by " + e.Delegate
		}
		s.printf("%s\n", line)
		for _, kv := range [][2]string{{"asked for", e.Reason}, {"proof", proofLine(e)}, {"why", whyLine(e)}} {
			if kv[1] != "" {
				s.printf("    %s: %s\n", kv[0], kv[1])
			}
		}
	}
	return nil
}

func proofLine(e client.FenceEntry) string {
	if e.Proof == "" {
		return ""
	}
	return e.Proof + ", " + e.Text
}

func whyLine(e client.FenceEntry) string {
	if e.State == "failed" {
		return e.Text
	}
	return ""
}

func historyJSON(list []client.FenceEntry) any {
	type entry struct {
		ID        string    `json:"id"`
		Target    string    `json:"target"`
		Action    string    `json:"action"`
		State     string    `json:"state"`
		Client    string    `json:"client,omitempty"`
		Origin    string    `json:"origin"`
		Delegate  string    `json:"delegate,omitempty"`
		Device    string    `json:"device,omitempty"`
		Started   time.Time `json:"started"`
		Completed time.Time `json:"completed,omitzero"`
		Proof     string    `json:"proof,omitempty"`
		Reason    string    `json:"reason,omitempty"`
		Text      string    `json:"text,omitempty"`
	}
	out := []entry{}
	for _, e := range list {
		out = append(out, entry(e))
	}
	return out
}

func runFenceConfirm(ctx context.Context, s *Session, c *call) error {
	w, err := s.warden(ctx, c)
	if err != nil {
		return err
	}
	if s.rehearsing {
		return nil
	}
	if !s.confirm(fmt.Sprintf("Node %s must be switched off or unable to reach any shared storage. Have you made sure of that", c.arg(0))) {
		return problemf("that %s is down was not confirmed", c.arg(0)).at(c.at(0)).hinting("look at the machine, then confirm it, or use -F")
	}
	if err := w.ConfirmDown(ctx, c.arg(0)); err != nil {
		return err
	}
	s.msg.info("node %s counts as fenced", c.arg(0))
	return s.waitIfAsked(ctx)
}

// runNodeFence fences a node by hand.
func runNodeFence(ctx context.Context, s *Session, c *call) error {
	w, err := s.warden(ctx, c)
	if err != nil {
		return err
	}
	action := c.arg(1)
	if action == "" {
		doc, err := s.view(ctx)
		if err != nil {
			return err
		}
		action, _ = doc.Property("stonith-action", "fencing-action")
		if action = cmp.Or(action, "reboot"); action == "poweroff" {
			action = "off"
		}
	}
	if s.rehearsing {
		return nil
	}
	if action != "on" && !s.confirm(fmt.Sprintf("Node %s will be fenced (%s): what runs there is cut off. Do you really want that", c.arg(0), action)) {
		return problemf("node %s was not fenced", c.arg(0)).at(c.at(0)).hinting("confirm it, or use -F")
	}
	proof, err := w.Fence(ctx, c.arg(0), action)
	if err != nil {
		return err
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]string{"node": c.arg(0), "action": action, "proof": proof})
	}
	s.printf("%s of %s is done: %s\n", action, c.arg(0), proof)
	return s.waitIfAsked(ctx)
}

func runFenceTest(ctx context.Context, s *Session, c *call) error {
	w, err := s.warden(ctx, c)
	if err != nil {
		return err
	}
	if s.rehearsing {
		return nil
	}
	really := len(c.words) > 1
	if really && !s.confirm(fmt.Sprintf("Node %s will be emptied and rebooted by its fence devices. Do you really want that", c.arg(0))) {
		return problemf("the fencing of %s was not rehearsed", c.arg(0)).at(c.at(0)).hinting("confirm it, or use -F")
	}
	// What cannot work is found out before the node is emptied.
	report, err := w.FenceTest(ctx, client.FenceTestRequest{Node: c.arg(0)})
	if err != nil {
		return err
	}
	good := slices.ContainsFunc(report.Checks, func(k client.FenceCheck) bool { return k.Reached && k.Knows })
	if s.cfg.Format != "json" {
		if err := s.showChecks(report.Checks); err != nil {
			return err
		}
	}
	if good && really {
		really, err := s.rebootForProof(ctx, w, c.arg(0))
		if really != nil {
			really.Checks = report.Checks
			report = really
		}
		if err != nil {
			return err
		}
	}
	if report.Unrecorded != "" {
		s.msg.warning("the result could not be kept in the configuration: %s", report.Unrecorded)
	}
	if s.cfg.Format == "json" {
		if err := s.writeJSON(report); err != nil {
			return err
		}
	}
	if !good {
		return problemf("no device can fence %s", c.arg(0)).at(c.at(0))
	}
	return nil
}

func (s *Session) showChecks(checks []client.FenceCheck) error {
	t := newTable("Device", "Agent", "From", "Result", "Power", "Took")
	for _, k := range checks {
		result := s.color.good("works")
		switch {
		case !k.Reached:
			result = s.color.bad("FAILS")
		case !k.Knows:
			result = s.color.bad("does not know the node")
		}
		device := k.Device
		if k.Level > 0 {
			device = fmt.Sprintf("%s (level %d)", device, k.Level)
		}
		t.row(device, "stonith:"+k.Agent, k.By, result, cmp.Or(k.Power, "-"), k.Took.Round(time.Millisecond).String())
	}
	if err := t.render(s.msg.out, s.color); err != nil {
		return err
	}
	for _, k := range checks {
		if k.Reached && k.Knows {
			continue
		}
		s.printf("%s on %s: %s\n", k.Device, k.By, k.Text)
		if k.Hint != "" {
			s.printf("    %s\n", k.Hint)
		}
	}
	return nil
}

// rebootForProof empties a node, has it rebooted by its fence devices, and waits
// until it is back. Its standby ends with the boot.
func (s *Session) rebootForProof(ctx context.Context, w client.Warden, node string) (*client.FenceReport, error) {
	doc, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	n, ok := doc.Node(node)
	if !ok {
		return nil, problemf("node %s does not exist", node)
	}
	since, err := s.memberSince(ctx, node)
	if err != nil {
		return nil, err
	}
	standby := func(ctx context.Context, gone bool) error {
		v, err := s.cluster.Apply(ctx, cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{
			{Attribute: &cib.AttributeEdit{Node: n.ID, Name: "standby", Value: "on", Delete: gone}}}}})
		if err == nil {
			s.lastCommit = &v
		}
		return err
	}
	s.msg.info("node %s is being emptied", node)
	if err := standby(ctx, false); err != nil {
		return nil, err
	}
	back := func(err error) error {
		return errors.Join(err, standby(context.WithoutCancel(ctx), true))
	}
	if err := s.settle(ctx); err != nil {
		return nil, back(err)
	}
	s.msg.info("node %s is being rebooted", node)
	report, err := w.FenceTest(ctx, client.FenceTestRequest{Node: node, Really: true})
	if err != nil {
		return nil, back(err)
	}
	if p := report.Proved; p != nil && s.cfg.Format != "json" {
		s.printf("%s was rebooted by %s on %s after %s (%s: %s)\n", node, p.Device, p.By, p.Took.Round(100*time.Millisecond), p.Proof, p.Evidence)
	}
	begun := time.Now()
	if err := s.awaitReturn(ctx, node, since); err != nil {
		return report, fmt.Errorf("%w; the fencing itself is proved", err)
	}
	s.msg.info("node %s is back after %s", node, time.Since(begun).Round(time.Second))
	return report, nil
}

// memberSince tells since when a node is a member, and refuses one that is not.
func (s *Session) memberSince(ctx context.Context, node string) (time.Time, error) {
	info, err := s.cluster.Info(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range info.Members {
		if strings.EqualFold(m.Name, node) && m.Online {
			return m.Since, nil
		}
	}
	return time.Time{}, problemf("node %s is not online", node).hinting("a rehearsal needs a node that works; to fence it all the same: node fence %s", node)
}

// bootLimit is how long a node may take to come back from a reboot.
const bootLimit = 15 * time.Minute

// awaitReturn waits until a node is a member anew.
func (s *Session) awaitReturn(ctx context.Context, node string, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	for {
		// The node that answers may be the one that boots.
		info, err := s.cluster.Info(ctx)
		if err == nil {
			for _, m := range info.Members {
				if strings.EqualFold(m.Name, node) && m.Online && m.Since.After(since) {
					return nil
				}
			}
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("node %s did not come back within %s", node, bootLimit)
			}
			return ctx.Err()
		}
	}
}

// unproved returns what status is to warn of: nodes whose fencing was never
// proved, or too long ago.
func (s *Session) unproved(ctx context.Context) []string {
	w, ok := s.cluster.(client.Warden)
	if !ok || s.cfg.Offline || s.live != nil {
		return nil
	}
	p, err := w.FencePlan(ctx)
	if err != nil {
		return nil // whether the cluster answers, others tell
	}
	var out []string
	for _, n := range p.Nodes {
		if n.Warning != "" {
			out = append(out, fmt.Sprintf("%s: %s (see: fence status, fence test)", n.Node, n.Warning))
		}
	}
	return out
}
