package simtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/scheduler"
)

// pacemaker plans with crm_simulate of Debian's pacemaker-cli-utils, for
// comparison: the controller must get on with its graphs too.
func pacemaker(dir string) planner {
	return func(doc *cib.CIB, opts scheduler.Options) (*scheduler.Plan, error) {
		root := *doc.Root
		root.Attrs = append(slices.Clone(root.Attrs), cib.Attr{Name: "execution-date", Value: strconv.FormatInt(opts.Now.Unix(), 10)})
		in, out := filepath.Join(dir, "cib.xml"), filepath.Join(dir, "graph.xml")
		if err := os.WriteFile(in, []byte(root.String()), 0o600); err != nil {
			return nil, err
		}
		if text, err := exec.Command("crm_simulate", "-Q", "-S", "-x", in, "-G", out).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("crm_simulate: %w: %s", err, text)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		graph, err := cib.ParseElement(string(text), cib.DefaultLimits)
		if err != nil {
			return nil, err
		}
		return planOf(graph)
	}
}

func planOf(graph *cib.Element) (*scheduler.Plan, error) {
	p := &scheduler.Plan{Header: scheduler.Header{FencingTimeout: time.Minute, MigrationLimit: -1, StartFatal: graph.Get("failed-start-offset") == "INFINITY"}}
	p.Header.ClusterDelay, _ = cib.ParseDuration(graph.Get("cluster-delay"))
	p.Header.BatchLimit, _ = strconv.Atoi(graph.Get("batch-limit"))
	if at, err := strconv.ParseInt(graph.Get("recheck-by"), 10, 64); err == nil {
		p.Recheck = time.Unix(at, 0)
	}
	for s := range graph.Named("synapse") {
		var e *cib.Element
		for x := range s.Child("action_set").Elements() {
			e = x
		}
		if e == nil {
			return nil, fmt.Errorf("synapse %s has no action", s.ID())
		}
		a := &scheduler.Action{Key: e.Get("operation_key"), Task: e.Get("operation"), Node: e.Get("on_node"), NodeID: e.Get("on_node_uuid"), Router: e.Get("router_node")}
		a.ID, _ = strconv.Atoi(e.ID())
		switch e.Name {
		case "rsc_op":
			a.Kind = scheduler.ResourceAction
		case "crm_event":
			a.Kind = scheduler.ClusterAction
		}
		if r := e.Child("primitive"); r != nil {
			a.Resource = &scheduler.ResourceRef{ID: r.ID(), LongID: r.Get("long-id"), Class: r.Get("class"), Provider: r.Get("provider"), Type: r.Get("type")}
		}
		if attrs := e.Child("attributes"); attrs != nil {
			for _, at := range attrs.Attrs {
				name, meta := strings.CutPrefix(at.Name, "CRM_meta_")
				if !meta {
					a.Params = append(a.Params, at)
					continue
				}
				a.Meta = append(a.Meta, cib.Attr{Name: name, Value: at.Value})
				ms, _ := strconv.ParseInt(at.Value, 10, 64)
				switch name {
				case "timeout":
					a.Timeout = time.Duration(ms) * time.Millisecond
				case "interval":
					a.Interval = time.Duration(ms) * time.Millisecond
				case "op_target_rc":
					a.ExpectedRC = int(ms)
				}
			}
		}
		for n := range e.Child("downed").Named("node") {
			a.Downed = append(a.Downed, n.ID())
		}
		for t := range s.Child("inputs").Named("trigger") {
			for x := range t.Elements() {
				id, _ := strconv.Atoi(x.ID())
				a.Inputs = append(a.Inputs, id)
			}
		}
		slices.Sort(a.Inputs)
		p.Actions = append(p.Actions, a)
	}
	return p, nil
}
