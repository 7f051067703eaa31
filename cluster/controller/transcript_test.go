package controller

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// TestTranscripts drives the controller by hand. Commands:
//
//	nodes a b              online nodes that have reported incarnation "i1"
//	plan [recheck=30s]     the next plan; one action a line:
//	                       ID KIND KEY [on=NODE] [rc=N] [after=1,2] [NAME=VALUE of header or meta]
//	lead [term=1]          becomes leader
//	answer NODE [jobs=..] [incarnation=i1] [error=..]   answers the query to a node
//	commit [error=..]      ends the oldest Apply: it is applied, or fails
//	result KEY rc=0 [status=0] [call=N]   the executor's result of the job with that operation key
//	dispatched KEY error=..      a dispatch that failed
//	fenced NODE [error=..] | lost NODE
//	attribute NODE NAME VALUE | unset NODE NAME | offline NODE | online NODE | rejoin NODE | configuration | cleanup RESOURCE   changes by others
//	tick 10s               lets time pass to the next wake-ups within it
//	resign
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		d := &driver{t: t, now: time.Unix(1_000_000, 0), doc: cib.New(), jobs: map[string]operation.Job{}}
		d.c = New(Config{Node: "a", Schedule: d.schedule})
		datadriven.RunTest(t, path, d.command)
	})
}

type driver struct {
	t       *testing.T
	c       *Controller
	now     time.Time
	doc     *cib.CIB
	plans   []*scheduler.Plan
	applies []Apply
	queries map[string]uint64
	fences  map[string]uint64
	jobs    map[string]operation.Job // by operation key
	refs    map[string]uint64        // of dispatches
	calls   int
	out     strings.Builder
}

func (d *driver) schedule(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) {
	if len(d.plans) == 0 {
		return &scheduler.Plan{}, nil
	}
	p := d.plans[0]
	d.plans = d.plans[1:]
	return p, nil
}

func (d *driver) command(t *testing.T, td *datadriven.TestData) string {
	d.out.Reset()
	args := map[string]string{}
	var words []string
	for _, a := range td.CmdArgs {
		if len(a.Vals) > 0 {
			args[a.Key] = strings.Join(a.Vals, ",")
		} else {
			words = append(words, a.Key)
		}
	}
	var err error
	if e, ok := args["error"]; ok {
		err = errors.New(e)
	}
	switch td.Cmd {
	case "nodes":
		for _, n := range words {
			d.apply(cib.Origin{}, cib.StatusEdit{Node: onlineEdit(n)},
				cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: n, Name: IncarnationAttribute, Value: "i1"}})
		}
	case "plan":
		d.plans = append(d.plans, d.parsePlan(td.Input, args))
	case "lead":
		term := uint64(1)
		if v, ok := args["term"]; ok {
			term, _ = strconv.ParseUint(v, 10, 64)
		}
		d.queries, d.fences, d.refs = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
		d.step(BecameLeader{Term: term, UUID: "uuid" + strconv.FormatUint(term, 10), CIB: d.doc})
	case "resign":
		d.applies = nil
		d.step(LostLeader{})
	case "answer":
		in := Answered{Ref: d.queries[words[0]], Err: err, Report: operation.Report{Incarnation: "i1"}}
		if v, ok := args["incarnation"]; ok {
			in.Report.Incarnation = v
		}
		if v := args["jobs"]; v != "" {
			for _, k := range strings.Split(v, ",") {
				in.Report.Jobs = append(in.Report.Jobs, d.jobs[k].Key)
			}
		}
		d.step(in)
	case "commit":
		if len(d.applies) == 0 {
			return "nothing to commit\n"
		}
		a := d.applies[0]
		d.applies = d.applies[1:]
		if err == nil {
			d.applyChange(a.Change)
		}
		d.step(ApplyDone{Ref: a.Ref, Err: err})
	case "result":
		job := d.jobs[words[0]]
		d.calls++
		o := operation.Outcome{CallID: d.calls, Run: d.now, First: true}
		if v, ok := args["call"]; ok {
			o.CallID, _ = strconv.Atoi(v)
		}
		o.RC, _ = strconv.Atoi(args["rc"])
		o.Status, _ = strconv.Atoi(args["status"])
		d.apply(cib.Origin{Client: operation.ExecutorClient, Message: job.Key}, operation.Result(&job, o, operation.Traits{})...)
	case "dispatched":
		d.step(Dispatched{Ref: d.refs[words[0]], Err: err})
	case "fenced":
		d.step(Fenced{Ref: d.fences[words[0]], Err: err})
	case "attribute":
		d.apply(cib.Origin{}, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: words[0], Name: words[1], Value: words[2]}})
	case "offline":
		d.apply(cib.Origin{}, cib.StatusEdit{Node: &cib.NodeStateEdit{ID: words[0], Attributes: []cib.Attr{{Name: "crmd", Value: "offline"}}}})
	case "online":
		d.apply(cib.Origin{}, cib.StatusEdit{Node: onlineEdit(words[0])})
	case "lost":
		d.step(NodeLost{Node: words[0]})
	case "unset":
		d.apply(cib.Origin{}, cib.StatusEdit{Attribute: &cib.AttributeEdit{Node: words[0], Name: words[1], Delete: true}})
	case "rejoin":
		e := onlineEdit(words[0])
		e.Fenced = true
		d.apply(cib.Origin{}, cib.StatusEdit{Node: e})
	case "cleanup":
		d.apply(cib.Origin{}, cib.StatusEdit{Forget: &cib.ForgetEdit{Resource: words[0]}})
	case "configuration":
		d.applyChange(cib.Change{Configuration: &cib.ConfigurationChange{Base: d.doc.Version(), XML: d.doc.Configuration().String()}})
	case "tick":
		span, err := time.ParseDuration(words[0])
		if err != nil {
			t.Fatal(err)
		}
		end := d.now.Add(span)
		for at := d.c.Wake(); !at.IsZero() && !at.After(end); at = d.c.Wake() {
			if at.After(d.now) {
				d.now = at
			}
			d.step(Tick{})
		}
		d.now = end
		d.step(Tick{})
	default:
		t.Fatalf("unknown command %s", td.Cmd)
	}
	return d.out.String()
}

func onlineEdit(n string) *cib.NodeStateEdit {
	return &cib.NodeStateEdit{ID: n, Uname: n, Attributes: []cib.Attr{{Name: "in_ccm", Value: "true"},
		{Name: "crmd", Value: "online"}, {Name: "join", Value: "member"}, {Name: "expected", Value: "member"}}}
}

func (d *driver) apply(o cib.Origin, edits ...cib.StatusEdit) {
	d.applyChange(cib.Change{Origin: o, Status: &cib.StatusChange{Edits: edits}})
}

func (d *driver) applyChange(ch cib.Change) {
	doc, err := d.doc.Apply(ch)
	if err != nil {
		d.t.Fatal(err)
	}
	d.doc = doc
	d.step(Applied{Change: &ch, CIB: doc})
}

func (d *driver) parsePlan(in string, args map[string]string) *scheduler.Plan {
	p := &scheduler.Plan{Header: scheduler.Header{ClusterDelay: time.Minute, FencingTimeout: time.Minute, MigrationLimit: -1, StartFatal: true}}
	if v, ok := args["recheck"]; ok {
		after, _ := time.ParseDuration(v)
		p.Recheck = d.now.Add(after)
	}
	if v, ok := args["batch"]; ok {
		p.Header.BatchLimit, _ = strconv.Atoi(v)
	}
	if v, ok := args["migrations"]; ok {
		p.Header.MigrationLimit, _ = strconv.Atoi(v)
	}
	for line := range strings.Lines(in) {
		f := strings.Fields(line)
		a := &scheduler.Action{Key: f[2], Kind: map[string]scheduler.ActionKind{
			"pseudo": scheduler.Pseudo, "rsc": scheduler.ResourceAction, "cluster": scheduler.ClusterAction}[f[1]]}
		a.ID, _ = strconv.Atoi(f[0])
		parts := strings.Split(a.Key, "_")
		if len(parts) >= 3 && a.Kind != scheduler.Pseudo {
			ms, _ := strconv.Atoi(parts[len(parts)-1])
			a.Interval = time.Duration(ms) * time.Millisecond
			a.Task = strings.Join(parts[1:len(parts)-1], "_")
			a.Resource = &scheduler.ResourceRef{ID: parts[0], Class: "ocf", Provider: "pacemaker", Type: "Dummy"}
		} else if strings.HasPrefix(a.Key, "stonith-") {
			a.Task = "stonith"
		} else if strings.HasPrefix(a.Key, "do_shutdown") {
			a.Task = "do_shutdown"
		}
		for _, w := range f[3:] {
			k, v, _ := strings.Cut(w, "=")
			switch k {
			case "on":
				a.Node, a.NodeID = v, v
			case "rc":
				a.ExpectedRC, _ = strconv.Atoi(v)
			case "task":
				a.Task = v
			case "timeout":
				a.Timeout, _ = time.ParseDuration(v)
			case "after":
				for _, id := range strings.Split(v, ",") {
					n, _ := strconv.Atoi(id)
					a.Inputs = append(a.Inputs, n)
				}
			default:
				a.Meta = append(a.Meta, cib.Attr{Name: k, Value: v})
			}
		}
		p.Actions = append(p.Actions, a)
	}
	return p
}

// step feeds an input and prints what comes out.
func (d *driver) step(in Input) {
	for _, e := range d.c.Step(d.now, in) {
		switch e := e.(type) {
		case Apply:
			d.applies = append(d.applies, e)
			fmt.Fprintf(&d.out, "apply:")
			for _, s := range e.Change.Status.Edits {
				d.out.WriteString(" " + editText(s))
			}
			d.out.WriteByte('\n')
		case Dispatch:
			key := e.Message.Job.OperationKey + "@" + e.Message.Job.Node
			d.jobs[key], d.refs[key] = e.Message.Job, e.Ref
			fmt.Fprintf(&d.out, "dispatch to %s: %s (%s) token %d.%d %s\n", e.Node, e.Message.Job.OperationKey, e.Message.Job.Key,
				e.Message.Token.Term, e.Message.Token.Seq, e.Message.Incarnation)
		case Query:
			d.queries[e.Node] = e.Ref
			fmt.Fprintf(&d.out, "query %s token %d.%d\n", e.Node, e.Token.Term, e.Token.Seq)
		case Fence:
			d.fences[e.Node] = e.Ref
			fmt.Fprintf(&d.out, "fence %s: %s, timeout %s, delay %s\n", e.Node, e.Action, e.Timeout, e.Delay)
		case Shutdown:
			fmt.Fprintf(&d.out, "shut down %s\n", e.Node)
		case Progress:
			fmt.Fprintf(&d.out, "progress: idle=%t transition %d: %d/%d %v\n", e.Idle, e.Number, e.Done, e.Total, e.Running)
		case Event:
			fmt.Fprintf(&d.out, "%s: %s\n", e.Level, e.Text)
		}
	}
}

func editText(e cib.StatusEdit) string {
	switch {
	case e.Operation != nil:
		return fmt.Sprintf("%s=%s:%s", value(e.Operation.Attributes, "id"), value(e.Operation.Attributes, "op-status"), value(e.Operation.Attributes, "rc-code"))
	case e.Forget != nil:
		return fmt.Sprintf("forget(%s,%s,%s)", e.Forget.Node, e.Forget.Resource, e.Forget.Operation)
	case e.Attribute != nil:
		if e.Attribute.Delete {
			return fmt.Sprintf("unset(%s,%s)", e.Attribute.Node, e.Attribute.Name)
		}
		return fmt.Sprintf("set(%s,%s=%s)", e.Attribute.Node, e.Attribute.Name, e.Attribute.Value)
	case e.Node != nil:
		return fmt.Sprintf("node(%s,%v,fenced=%t)", e.Node.ID, e.Node.Attributes, e.Node.Fenced)
	}
	return "other"
}
