package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
	"gcrm/scheduler"
)

// OCF's exit codes that say what state a resource is in.
const (
	rcOK         = 0
	rcNotRunning = 7
	rcPromoted   = 8
)

// handStep is one action that was run by hand, and what came of it.
type handStep struct {
	Node     string        `json:"node"`
	Resource string        `json:"resource"`
	Action   string        `json:"action"`
	RC       int           `json:"rc"`
	Result   string        `json:"result"`
	Good     bool          `json:"good"`
	Reason   string        `json:"reason,omitempty"`
	Output   string        `json:"output,omitempty"`
	Took     time.Duration `json:"took_ns"`
}

// handTest runs actions of agents by hand, with the parameters that the staged
// configuration gives them.
type handTest struct {
	s     *Session
	doc   *cib.CIB
	actor client.Actor
	steps []handStep
}

func (s *Session) newHandTest(ctx context.Context, c *call) (*handTest, error) {
	actor, ok := s.cluster.(client.Actor)
	if !ok {
		return nil, problemf("%s: only the nodes of a running cluster run agents", c.path)
	}
	doc, err := s.view(ctx)
	if err != nil {
		return nil, err
	}
	return &handTest{s: s, doc: doc, actor: actor}, nil
}

// act runs one action and tells it. An error means that it could not be run.
func (h *handTest) act(ctx context.Context, node, resource, task string, wanted ...int) (*handStep, error) {
	interval := time.Duration(0)
	if task == "monitor" {
		interval = monitorInterval(h.doc, resource)
	}
	at := task
	if task == "probe" {
		at = "monitor"
	}
	a, err := scheduler.ByHand(h.doc, scheduler.Options{Now: h.s.cfg.Now()}, resource, node, at, interval)
	if err != nil {
		return nil, err
	}
	req := client.ActRequest{Node: a.Node, Resource: a.Resource.ID, Class: a.Resource.Class, Provider: a.Resource.Provider, Type: a.Resource.Type,
		Action: at, Timeout: a.Timeout, Params: map[string]string{}, Meta: map[string]string{}}
	if req.Timeout <= 0 {
		req.Timeout = 20 * time.Second
	}
	for _, p := range a.Params {
		req.Params[p.Name] = p.Value
	}
	for _, m := range a.Meta {
		req.Meta[m.Name] = m.Value
	}
	answer, err := h.actor.Act(ctx, req)
	if err != nil {
		return nil, err
	}
	h.steps = append(h.steps, handStep{Node: a.Node, Resource: resource, Action: task, RC: answer.RC, Result: answer.Text,
		Good: slices.Contains(wanted, answer.RC), Reason: answer.Reason, Output: answer.Output, Took: answer.Took})
	step := &h.steps[len(h.steps)-1]
	if h.s.cfg.Format != "json" {
		h.tell(step)
	}
	return step, nil
}

// tell writes a line about a step, and what the agent said if it is not good.
func (h *handTest) tell(step *handStep) {
	result := h.s.color.good(step.Result)
	if !step.Good {
		result = h.s.color.bad(step.Result)
	}
	h.s.printf("%-14s %-20s %-10s %s (%v)\n", step.Node, step.Resource, step.Action, result, step.Took.Round(time.Millisecond))
	if step.Good {
		return
	}
	if step.Reason != "" {
		h.s.printf("    %s\n", step.Reason)
	}
	for line := range strings.Lines(step.Output) {
		h.s.printf("    | %s\n", strings.TrimRight(line, "\n"))
	}
}

// end writes the steps for machines.
func (h *handTest) end() error {
	if h.s.cfg.Format != "json" {
		return nil
	}
	return h.s.writeJSON(append([]handStep{}, h.steps...))
}

// monitorInterval is that of the first monitor of a resource that is repeated;
// ten seconds, as agents are used to, if it has none.
func monitorInterval(doc *cib.CIB, resource string) time.Duration {
	if t, ok := findResource(doc, resource); ok {
		for ops := range t.element.Named("operations") {
			for op := range ops.Named("op") {
				if d, err := cib.ParseDuration(op.Get("interval")); err == nil && d > 0 && op.Get("name") == "monitor" && op.Get("role") == "" {
					return d
				}
			}
		}
	}
	return 10 * time.Second
}

// online are the nodes that can run an agent now.
func (h *handTest) online(ctx context.Context) ([]string, error) {
	info, err := h.s.cluster.Info(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range info.Members {
		if n, ok := h.doc.Node(m.Name); ok && m.Online && (n.Type == "" || n.Type == "member") {
			out = append(out, m.Name)
		}
	}
	return out, nil
}

// testable finds the primitives and the nodes that the arguments of rsctest
// name, and tells everything that is wrong with them.
func (h *handTest) testable(ctx context.Context, c *call) (resources, nodes []string, err error) {
	online, err := h.online(ctx)
	if err != nil {
		return nil, nil, err
	}
	bad := false
	complain := func(err error) {
		h.s.report(err)
		bad = true
	}
	for i, w := range c.words {
		if t, ok := findResource(h.doc, w.Text); ok && len(nodes) == 0 {
			if why := untestable(h.doc, t); why != nil {
				complain(why.at(c.at(i)))
				continue
			}
			for _, id := range primitivesBelow(t.element) {
				if !slices.Contains(resources, id) {
					resources = append(resources, id)
				}
			}
			continue
		}
		at := slices.IndexFunc(online, func(n string) bool { return strings.EqualFold(n, w.Text) })
		_, known := h.doc.Node(w.Text)
		switch {
		case at >= 0:
			nodes = append(nodes, online[at])
		case known:
			complain(problemf("node %s is not online: nothing can be tested there", w.Text).at(c.at(i)))
		case len(nodes) > 0:
			complain(problemf("%s is no node; resources come first, then nodes", w.Text).at(c.at(i)))
		default:
			complain(noResourceOrNode(h.doc, w))
		}
	}
	if bad {
		return nil, nil, errReported
	}
	if len(resources) == 0 {
		return nil, nil, problemf("%s: which resource?", c.path).at(c.at(0)).hinting("name at least one, before the nodes")
	}
	if len(nodes) == 0 {
		nodes = online
	}
	return resources, nodes, nil
}

func noResourceOrNode(doc *cib.CIB, w grammar.Word) error {
	p := problemf("there is neither a resource nor a node %s", w.Text).at(w.Pos)
	names := resourceIDs(doc)
	for _, n := range doc.Nodes() {
		names = append(names, n.Uname)
	}
	if near := nearest(w.Text, names); near != "" {
		p.hinting("did you mean %s?", near)
	}
	return p
}

// untestable says why a resource cannot be tested by hand, and what to do
// instead; nil if it can.
func untestable(doc *cib.CIB, t target) *problem {
	var why *problem
	index := cib.NewIndex(doc)
	t.element.Walk(func(e *cib.Element) bool {
		switch {
		case e.Name == "bundle":
			why = problemf("%s: its primitive runs inside of containers, which the cluster makes", e.ID())
		case e.Name == "primitive" && index.Agent(e).Class == "stonith":
			why = problemf("%s is a fence device", e.ID()).hinting("fence test NODE tries the devices of a node")
		case e.Name == "primitive" && e.Get("type") == "remote" && e.Get("provider") == "pacemaker":
			why = problemf("%s is a connection to a remote node, which only the cluster makes", e.ID())
		}
		return why == nil
	})
	return why
}

// runRsctest tries resources out as the staged configuration has them: on each
// node all are started in order (and promoted), looked at, and stopped again.
func runRsctest(ctx context.Context, s *Session, c *call) error {
	h, err := s.newHandTest(ctx, c)
	if err != nil {
		return err
	}
	resources, nodes, err := h.testable(ctx, c)
	if err != nil {
		return err
	}
	err = h.test(ctx, resources, nodes)
	if e := h.end(); e != nil {
		return e
	}
	if err == nil && s.cfg.Format != "json" {
		s.msg.info("%s can be started and stopped on %s", strings.Join(resources, ", "), strings.Join(nodes, ", "))
	}
	return err
}

func (h *handTest) test(ctx context.Context, resources, nodes []string) error {
	// Nothing is begun unless everything is stopped everywhere.
	online, err := h.online(ctx)
	if err != nil {
		return err
	}
	running := false
	for _, r := range resources {
		for _, node := range online {
			step, err := h.act(ctx, node, r, "probe", rcNotRunning)
			if err != nil {
				return err
			}
			running = running || !step.Good
		}
	}
	if running {
		return problemf("not all resources are stopped: nothing was tested").hinting("stop them everywhere first (resource stop), also what was started without the cluster")
	}
	var failed []string
	for _, node := range nodes {
		ok, err := h.testNode(ctx, resources, node)
		if err != nil {
			return err
		}
		if !ok {
			failed = append(failed, node)
		}
	}
	if len(failed) > 0 {
		return problemf("the test failed on %s", strings.Join(failed, ", ")).hinting("what the agents said stands above")
	}
	return nil
}

// testNode starts the resources one after the other on a node, and stops those
// that were started in the reverse order, whatever happens, also after Ctrl-C.
func (h *handTest) testNode(ctx context.Context, resources []string, node string) (ok bool, err error) {
	var begun []string
	ok = true
	for _, r := range resources {
		var good, ran bool
		if good, ran, err = h.startOne(ctx, node, r); ran {
			begun = append(begun, r)
		}
		if err != nil || !good {
			ok = false
			break
		}
	}
	end := context.WithoutCancel(ctx)
	for _, r := range slices.Backward(begun) {
		good, e := h.stopOne(end, node, r)
		err = errors.Join(err, e)
		ok = ok && good
	}
	return ok, err
}

// startOne starts a resource; ran tells whether its agent was run, and so has
// to be stopped.
func (h *handTest) startOne(ctx context.Context, node, r string) (good, ran bool, err error) {
	type stage struct {
		task string
		want int
	}
	sequence := []stage{{"start", rcOK}, {"monitor", rcOK}}
	if h.promotable(r) {
		sequence = append(sequence, stage{"promote", rcOK}, stage{"monitor", rcPromoted})
	}
	for i, do := range sequence {
		step, err := h.act(ctx, node, r, do.task, do.want)
		if err != nil || !step.Good {
			return false, i > 0 || err == nil || errors.Is(err, client.ErrUnknownOutcome), err
		}
	}
	return true, true, nil
}

func (h *handTest) stopOne(ctx context.Context, node, r string) (bool, error) {
	ok := true
	if h.promotable(r) {
		step, err := h.act(ctx, node, r, "demote", rcOK)
		if err != nil {
			return false, err
		}
		ok = step.Good
	}
	stop, err := h.act(ctx, node, r, "stop", rcOK)
	if err != nil {
		return false, err
	}
	after, err := h.act(ctx, node, r, "probe", rcNotRunning)
	if err != nil {
		return false, err
	}
	if !stop.Good || !after.Good {
		h.s.msg.warning("%s could not be stopped on %s: clean it up there by hand", r, node)
	}
	return ok && stop.Good && after.Good, nil
}

// promotable reports whether a primitive is inside of a promotable clone.
func (h *handTest) promotable(id string) bool {
	t, ok := findResource(h.doc, id)
	for ok && t.parent.Name != "resources" {
		if cib.IsPromotable(t.parent) {
			return true
		}
		t, ok = findResource(h.doc, t.parent.ID())
	}
	return false
}

// handActions are what maintenance action can be asked for, with the exit codes
// that are good news.
func handActions() map[string][]int {
	ok := []int{rcOK}
	return map[string][]int{"start": ok, "stop": ok, "monitor": {rcOK, rcNotRunning, rcPromoted}, "promote": ok, "demote": ok, "notify": ok,
		"reload": ok, "migrate_to": ok, "migrate_from": ok, "validate-all": ok, "meta-data": ok}
}

// runMaintenanceAction runs one action of a resource that the cluster leaves
// alone.
func runMaintenanceAction(ctx context.Context, s *Session, c *call) error {
	h, err := s.newHandTest(ctx, c)
	if err != nil {
		return err
	}
	t, ok := findResource(h.doc, c.arg(0))
	if !ok {
		return noResource(h.doc, c.arg(0), c.at(0))
	}
	if why := untestable(h.doc, t); why != nil {
		return why.at(c.at(0))
	}
	nodes, err := h.actionNodes(ctx, c)
	if err != nil {
		return err
	}
	failed := false
	for _, node := range nodes {
		for _, r := range primitivesBelow(t.element) {
			step, err := h.act(ctx, node, r, c.arg(1), handActions()[c.arg(1)]...)
			if err != nil {
				return err
			}
			failed = failed || !step.Good
			if step.Good && step.Output != "" && c.arg(1) == "meta-data" && s.cfg.Format != "json" {
				s.printf("%s", step.Output)
			}
		}
	}
	if err := h.end(); err != nil {
		return err
	}
	if failed {
		return problemf("%s of %s failed", c.arg(1), c.arg(0)).hinting("what the agent said stands above")
	}
	return nil
}

// actionNodes are the nodes that an action is for: the one that is named, all
// of them (ssh, as crmsh calls it), those it runs on, or else this one.
func (h *handTest) actionNodes(ctx context.Context, c *call) ([]string, error) {
	where := c.arg(2)
	if where == "ssh" || where == "all" {
		return h.online(ctx)
	}
	if where != "" {
		n, ok := h.doc.Node(where)
		if !ok {
			return nil, noNode(h.doc, c.words[2])
		}
		return []string{n.Uname}, nil
	}
	if c.arg(1) != "start" {
		if on, err := h.s.runsOn(ctx, c.arg(0)); err != nil || len(on) > 0 {
			return on, err
		}
	}
	info, err := h.s.cluster.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.Node == "" {
		return nil, fmt.Errorf("%s: on which node?", c.path)
	}
	return []string{info.Node}, nil
}
