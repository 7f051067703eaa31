package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gcrm/cib"
	"gcrm/scheduler"
)

// whatIf is a status that the user imagines: that of a file instead of the
// cluster's, and things that happen to it. Simulations start from it.
type whatIf struct {
	file   string // where the status is from; empty for the cluster
	status *cib.Element
	events []scheduler.Event
	told   []string // the events as they were typed
}

func cibstatusLevel() *Level {
	return &Level{
		Name: "cibstatus",
		Help: "Imagine what happens to nodes, resources and tickets, and see what the cluster would do.",
		Long: "What is imagined here is the beginning of every simulation in this session (simulate here\n" +
			"and in configure). The cluster does not notice. reset forgets it.",
		Verbs: []*Verb{
			{Name: "load", Help: "Take the status from a CIB file instead of the cluster.", Example: "load backup.xml",
				Args: []Arg{need("file", argFile)}, run: runWhatIfLoad},
			{Name: "save", Help: "Write the CIB with the status as it is imagined to a file.", Example: "save whatif.xml",
				Args: []Arg{need("file", argFile)}, run: runWhatIfSave},
			{Name: "origin", Help: "Tell where the status is from.", Example: "origin", run: runWhatIfOrigin},
			{Name: "show", Help: "Show what is imagined.", Example: "show", Args: []Arg{maybeOneOf("changed", "changed")}, run: runWhatIfShow},
			{Name: "reset", Help: "Forget what is imagined.", Example: "reset", run: runWhatIfReset},
			{Name: "quorum", Help: "Imagine that there is quorum, or none.", Example: "quorum false",
				Args: []Arg{oneOf("quorum", "true", "false")}, run: runWhatIfEvent},
			{Name: "node", Help: "Imagine that a node comes, leaves, or is lost.", Example: "node node1 unclean",
				Args: []Arg{need("node", argNode), oneOf("state", "online", "offline", "unclean")}, run: runWhatIfEvent},
			{Name: "ticket", Help: "Imagine that a ticket is granted, revoked, activated, or put into standby.", Example: "ticket ticketA revoke",
				Args: []Arg{need("ticket", argTicket), oneOf("action", "grant", "revoke", "activate", "standby")}, run: runWhatIfEvent},
			{Name: "op", Help: "Imagine that an operation ended in some way.",
				Long: "The operation is start, stop, monitor, ...; a monitor's interval is that of the\n" +
					"configuration unless it is written behind a colon (monitor:10s). Without a node it is where\n" +
					"the resource runs. The result is a name or an exit code.",
				Example: "op monitor web not_running node1",
				Args: []Arg{need("operation", argFree), need("resource", argPrimitive), oneOf("result", resultNames()...),
					maybe("node", argNode)}, run: runWhatIfOp},
			{Name: "simulate", Aliases: []string{"run"}, Help: "Show what the cluster would do.", Example: "simulate",
				Args: []Arg{anyOf("option", "nograph", "scores", "utilization", "actions")}, run: runConfigureSimulate},
		},
	}
}

// agentResults are the results of operations by their names.
var agentResults = [...]string{0: "ok", 1: "generic", 2: "args", 3: "unimplemented", 4: "perm", 5: "installed", 6: "configured",
	7: "not_running", 8: "promoted", 9: "promoted_failed"}

func resultNames() []string {
	names := append([]string{}, agentResults[:]...)
	names = append(names, "success", "unknown", "master", "failed_master")
	for i := range agentResults {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// resultCode is the exit code that a result's name stands for.
func resultCode(name string) int {
	switch name {
	case "success":
		return 0
	case "unknown":
		return 1
	case "master":
		return 8
	case "failed_master":
		return 9
	}
	for i, n := range agentResults {
		if n == name || strconv.Itoa(i) == name {
			return i
		}
	}
	return 1
}

// imagined returns the session's imagination, made at first use. It is shared
// with the copies that try out a script.
func (s *Session) imagined() *whatIf {
	if s.whatIf == nil {
		s.whatIf = &whatIf{}
	}
	return s.whatIf
}

// onImagined puts the imagined status into a document and adds the events to
// what is simulated.
func (s *Session) onImagined(doc *cib.CIB, o *simulateOptions) *cib.CIB {
	w := s.whatIf
	if w == nil {
		return doc
	}
	o.run.Events = append(append([]scheduler.Event{}, w.events...), o.run.Events...)
	if w.status == nil {
		return doc
	}
	out := doc.Clone()
	for i, e := range out.Root.Children {
		if e.Name == "status" {
			out.Root.Children[i] = w.status
		}
	}
	return out
}

func runWhatIfLoad(ctx context.Context, s *Session, c *call) error {
	doc, err := cib.ReadFile(c.arg(0))
	if err != nil {
		return err
	}
	w := s.imagined()
	w.file, w.status, w.events, w.told = c.arg(0), doc.Status(), nil, nil
	return nil
}

func runWhatIfSave(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	o := &simulateOptions{}
	doc = s.onImagined(doc, o)
	out, _, err := scheduler.Inject(doc, o.run.Events, s.cfg.Now())
	if err != nil {
		return err
	}
	return cib.SaveFile(c.arg(0), out)
}

func runWhatIfOrigin(ctx context.Context, s *Session, c *call) error {
	origin := s.source()
	if s.whatIf != nil && s.whatIf.file != "" {
		origin = s.whatIf.file
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]string{"origin": origin})
	}
	s.printf("%s\n", origin)
	return nil
}

func runWhatIfShow(ctx context.Context, s *Session, c *call) error {
	w := s.imagined()
	if s.cfg.Format == "json" {
		return s.writeJSON(map[string]any{"file": w.file, "events": append([]string{}, w.told...)})
	}
	if w.file != "" {
		s.printf("status from %s\n", w.file)
	}
	for _, t := range w.told {
		s.printf("%s\n", t)
	}
	if w.file == "" && len(w.told) == 0 {
		s.msg.info("nothing is imagined")
	}
	return nil
}

func runWhatIfReset(ctx context.Context, s *Session, c *call) error {
	s.whatIf = nil
	return nil
}

// imagine adds an event if it can happen to the status as imagined so far.
func (s *Session) imagine(ctx context.Context, c *call, e scheduler.Event) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	w := s.imagined()
	o := &simulateOptions{run: scheduler.SimulateOptions{Events: []scheduler.Event{e}}}
	if _, _, err := scheduler.Inject(s.onImagined(doc, o), o.run.Events, s.cfg.Now()); err != nil {
		return problemf("%s: %v", c.path, err).at(c.at(0))
	}
	w.events = append(w.events, e)
	w.told = append(w.told, strings.Join(append([]string{c.verb.Name}, c.args()...), " "))
	return nil
}

func runWhatIfEvent(ctx context.Context, s *Session, c *call) error {
	kinds := map[string]scheduler.EventKind{
		"online": scheduler.NodeUp, "offline": scheduler.NodeDown, "unclean": scheduler.NodeFail,
		"grant": scheduler.TicketGrant, "revoke": scheduler.TicketRevoke,
		"activate": scheduler.TicketActivate, "standby": scheduler.TicketStandby,
	}
	if c.verb.Name == "quorum" {
		return s.imagine(ctx, c, scheduler.Event{Kind: scheduler.QuorumSet, Target: c.arg(0)})
	}
	return s.imagine(ctx, c, scheduler.Event{Kind: kinds[strings.ToLower(c.arg(1))], Target: c.arg(0)})
}

func runWhatIfOp(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	id, node := c.arg(1), c.arg(3)
	t, ok := findResource(doc, historyName(id))
	if !ok || t.element.Name != "primitive" {
		return noResource(doc, id, c.at(1))
	}
	task, interval, given := strings.Cut(c.arg(0), ":")
	if !given && task == "monitor" {
		for op := range t.element.Child("operations").Named("op") {
			if op.Get("name") == task {
				interval = op.Get("interval")
				break
			}
		}
	}
	var ms int64
	if interval != "" {
		d, err := cib.ParseDuration(interval)
		if err != nil {
			return problemf("%s: %q is no interval", c.path, interval).at(c.at(0))
		}
		ms = d.Milliseconds()
	}
	if node == "" {
		nodes, err := s.runsOn(ctx, id)
		if err != nil {
			return err
		}
		if len(nodes) != 1 {
			return problemf("%s: %s runs on %d nodes", c.path, id, len(nodes)).at(c.at(1)).hinting("name the node")
		}
		node = nodes[0]
	}
	return s.imagine(ctx, c, scheduler.Event{Kind: scheduler.OperationDone,
		Target: fmt.Sprintf("%s_%s_%d@%s=%d", id, task, ms, node, resultCode(strings.ToLower(c.arg(2))))})
}
