package executor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// bench drives a core by hand.
type bench struct {
	t    *testing.T
	c    *Core
	now  time.Time
	seq  uint64
	runs map[string]uint64 // "web_start_0" -> call
	subs []Submit
	log  []string
}

func newBench(t *testing.T, parallel int) *bench {
	return &bench{t: t, now: time.Unix(1000, 0), runs: map[string]uint64{},
		c: NewCore(CoreConfig{Node: "n1", NodeID: "1", Incarnation: "i1", Parallel: parallel, LastCall: 40})}
}

func job(resource, task string, interval time.Duration) operation.Job {
	return operation.Job{Node: "n1", NodeID: "1", Resource: resource, Class: "ocf", Provider: "pacemaker", Type: "Dummy",
		Task: task, Interval: interval, OperationKey: operation.Key(resource, task, interval), Timeout: 20 * time.Second}
}

func (b *bench) do(effects []Effect) {
	b.t.Helper()
	for _, e := range effects {
		switch e := e.(type) {
		case Run:
			b.runs[e.Job.OperationKey] = e.ID
			b.log = append(b.log, "run "+e.Job.OperationKey)
		case Kill:
			for key, id := range b.runs {
				if id == e.ID {
					b.log = append(b.log, "kill "+key)
				}
			}
		case Submit:
			b.subs = append(b.subs, e)
			b.log = append(b.log, fmt.Sprintf("submit %s %d:%d call %d", e.Job.OperationKey, e.Outcome.Status, e.Outcome.RC, e.Outcome.CallID))
		}
	}
}

func (b *bench) dispatch(j operation.Job) error {
	b.t.Helper()
	b.seq++
	if j.Key == "" {
		j.Key = fmt.Sprintf("%d:1:%d:u", b.seq, j.ExpectedRC)
	}
	effects, err := b.c.Dispatch(b.now, operation.Dispatch{Token: operation.Token{Term: 1, Seq: b.seq}, Incarnation: "i1", Job: j})
	b.do(effects)
	return err
}

func (b *bench) ran(key string, status, rc int) {
	b.t.Helper()
	id, ok := b.runs[key]
	if !ok {
		b.t.Fatalf("%s does not run", key)
	}
	delete(b.runs, key)
	b.do(b.c.Ran(b.now, id, operation.Outcome{Status: status, RC: rc}, operation.Traits{}))
}

func (b *bench) committed(err error) {
	b.t.Helper()
	if len(b.subs) == 0 {
		b.t.Fatal("nothing was submitted")
	}
	s := b.subs[0]
	b.subs = b.subs[1:]
	b.do(b.c.Submitted(b.now, s.ID, err))
}

// pass lets time pass, waking the core whenever it asks for it.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	end := b.now.Add(d)
	for range 1000 {
		at := b.c.Wake()
		if at.IsZero() || at.After(end) {
			b.now = end
			return
		}
		if at.After(b.now) {
			b.now = at
		}
		b.do(b.c.Tick(b.now))
	}
	b.t.Fatal("the core asks to be woken again and again")
}

func (b *bench) want(lines ...string) {
	b.t.Helper()
	got, want := strings.Join(b.log, "\n"), strings.Join(lines, "\n")
	if got != want {
		b.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	b.log = nil
}

func TestOneActionAtATimePerResource(t *testing.T) {
	b := newBench(t, 2)
	b.dispatch(job("web", "start", 0))
	b.dispatch(job("web", "promote", 0))
	b.dispatch(job("db", "start", 0))
	b.dispatch(job("ip", "start", 0)) // over the limit of two
	b.want("run web_start_0", "run db_start_0")
	b.ran("web_start_0", 0, 0)
	b.want("run web_promote_0", "submit web_start_0 0:0 call 41")
	b.ran("db_start_0", 0, 0)
	b.want("run ip_start_0", "submit db_start_0 0:0 call 43")
}

func TestLimitOfTheCluster(t *testing.T) {
	b := newBench(t, 1)
	for i, id := range []string{"a", "b", "c"} {
		j := job(id, "start", 0)
		j.Key = id
		effects, err := b.c.Dispatch(b.now, operation.Dispatch{Token: operation.Token{Term: 1, Seq: uint64(i)}, Incarnation: "i1", Limit: 2, Job: j})
		if err != nil {
			t.Fatal(err)
		}
		b.do(effects)
	}
	b.want("run a_start_0", "run b_start_0")
}

func TestRecurringReportsFirstResultAndChanges(t *testing.T) {
	b := newBench(t, 4)
	m := job("web", "monitor", 10*time.Second)
	m.StartDelay = 3 * time.Second
	b.dispatch(m)
	b.want()
	if r, _ := b.c.Report(operation.Token{Term: 1, Seq: 100}); len(r.Jobs) != 1 {
		t.Errorf("a monitor before its first run is not reported: %v", r)
	}
	b.pass(3 * time.Second)
	b.want("run web_monitor_10000")
	b.ran("web_monitor_10000", 0, 0)
	b.want("submit web_monitor_10000 0:0 call 41")
	b.committed(nil)
	if r, _ := b.c.Report(operation.Token{Term: 1, Seq: 101}); len(r.Jobs) != 0 {
		t.Errorf("a monitor whose first result is committed is still reported: %v", r)
	}
	// The interval runs from end to start.
	b.pass(9 * time.Second)
	b.want()
	b.pass(time.Second)
	b.want("run web_monitor_10000")
	b.pass(2 * time.Second)
	b.ran("web_monitor_10000", 0, 0)
	b.want()
	b.pass(10 * time.Second)
	b.ran("web_monitor_10000", 0, 7)
	b.want("run web_monitor_10000", "submit web_monitor_10000 0:7 call 41")
	b.committed(nil)
	b.pass(10 * time.Second)
	b.ran("web_monitor_10000", 0, 7)
	b.want("run web_monitor_10000")
}

func TestMonitorWaitsForOtherActions(t *testing.T) {
	b := newBench(t, 4)
	b.dispatch(job("web", "monitor", 10*time.Second))
	b.ran("web_monitor_10000", 0, 0)
	b.committed(nil)
	b.dispatch(job("web", "promote", 0))
	b.log = nil
	b.pass(15 * time.Second)
	b.want() // delayed, not skipped
	b.ran("web_promote_0", 0, 0)
	b.want("run web_monitor_10000", "submit web_promote_0 0:0 call 42")
}

func TestWhatLeavesIsNotMonitored(t *testing.T) {
	for _, task := range []string{"stop", "migrate_to"} {
		b := newBench(t, 4)
		b.dispatch(job("web", "monitor", 10*time.Second))
		b.dispatch(job("web", task, 0))
		b.want("run web_monitor_10000", "kill web_monitor_10000")
		b.ran("web_monitor_10000", 1, 1) // its result counts for nothing
		b.want("run web_" + task + "_0")
		b.ran("web_"+task+"_0", 0, 0)
		b.want("submit web_" + task + "_0 0:0 call 42")
		b.committed(nil)
		b.pass(time.Hour)
		b.want()
	}
}

func TestCancelForgetsTheHistoryEntry(t *testing.T) {
	b := newBench(t, 4)
	b.dispatch(job("web", "monitor", 10*time.Second))
	b.ran("web_monitor_10000", 0, 0)
	b.committed(nil)
	b.log = nil
	c := job("web", operation.Cancel, 0)
	c.Meta = []cib.Attr{{Name: "operation", Value: "monitor"}, {Name: "interval", Value: "10000"}}
	b.dispatch(c)
	if len(b.subs) != 1 || b.subs[0].Change.Status.Edits[0].Forget == nil ||
		b.subs[0].Change.Status.Edits[0].Forget.Operation != "web_monitor_10000" {
		t.Fatalf("submitted %+v", b.subs)
	}
	b.log = nil
	b.pass(time.Hour - time.Second)
	b.want()
}

func TestDuplicateAndStaleDispatches(t *testing.T) {
	b := newBench(t, 4)
	j := job("web", "start", 0)
	j.Key = "7:1:0:u"
	b.dispatch(j)
	b.dispatch(j)
	b.want("run web_start_0")
	b.ran("web_start_0", 0, 0)
	b.dispatch(j)
	b.want("submit web_start_0 0:0 call 41")

	r, err := b.c.Report(operation.Token{Term: 2, Seq: 1})
	if err != nil || len(r.Jobs) != 1 || r.Jobs[0] != "7:1:0:u" {
		t.Errorf("a result that is not committed must be reported: %v %v", r, err)
	}
	if err := b.dispatch(job("web", "stop", 0)); !errors.Is(err, ErrStale) {
		t.Errorf("a dispatch of an earlier leader is accepted: %v", err)
	}
	if _, err := b.c.Report(operation.Token{Term: 1, Seq: 99}); !errors.Is(err, ErrStale) {
		t.Errorf("a query of an earlier leader is answered: %v", err)
	}
	_, err = b.c.Dispatch(b.now, operation.Dispatch{Token: operation.Token{Term: 3}, Incarnation: "i0", Job: j})
	if !errors.Is(err, ErrIncarnation) {
		t.Errorf("a dispatch to an earlier incarnation is accepted: %v", err)
	}
}

func TestResultsAreSubmittedUntilCommitted(t *testing.T) {
	b := newBench(t, 4)
	b.dispatch(job("web", "monitor", 10*time.Second))
	b.ran("web_monitor_10000", 0, 7)
	if b.subs[0].Verify {
		t.Error("the first attempt needs no look")
	}
	b.committed(errors.New("no leader"))
	b.log = nil
	b.pass(200 * time.Millisecond)
	b.want("submit web_monitor_10000 0:7 call 41")
	if !b.subs[0].Verify {
		t.Error("a failure may be counted twice")
	}
	b.committed(errors.New("no leader"))
	b.pass(399 * time.Millisecond)
	b.committedNothing()
	b.pass(time.Millisecond)
	b.committed(nil)
	if r, _ := b.c.Report(operation.Token{Term: 1, Seq: 100}); len(r.Jobs) != 0 {
		t.Errorf("still reported: %v", r.Jobs)
	}
}

func (b *bench) committedNothing() {
	b.t.Helper()
	if len(b.subs) != 0 {
		b.t.Errorf("submitted too early: %v", b.log)
	}
}

func TestAgentThatDoesNotEnd(t *testing.T) {
	b := newBench(t, 4)
	b.dispatch(job("web", "start", 0))
	b.pass(25 * time.Second)
	b.want("run web_start_0", "submit web_start_0 2:1 call 41")
	b.committed(nil)
	// The stop cannot begin; it is not waited for forever either.
	b.dispatch(job("web", "stop", 0))
	b.pass(20 * time.Second)
	b.want("submit web_stop_0 2:1 call 42")
	b.committed(nil)
	b.ran("web_start_0", 2, 1)
	b.want()
	b.dispatch(job("web", "stop", 0))
	b.want("run web_stop_0")
}

// A monitor that fails in the second in which it succeeded has a later entry:
// the history of a node tells times in seconds.
func TestFailureSoonAfterSuccessIsLater(t *testing.T) {
	b := newBench(t, 4)
	if err := b.dispatch(job("web", "monitor", 200*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b.pass(0)
	var last int64
	for i, rc := range []int{0, 7, 0, 7} {
		if i > 0 {
			b.pass(200 * time.Millisecond)
		}
		b.ran("web_monitor_200", 0, rc)
		o := b.subs[0].Outcome
		b.committed(nil)
		if at := o.Changed.Unix(); o.RC != rc || at <= last {
			t.Errorf("result %d: rc %d at %d, after %d", i, o.RC, at, last)
		} else {
			last = at
		}
	}
}

// A resource is stopped with the parameters that it was started with, also when
// they were changed meanwhile.
func TestStopHasTheParametersOfTheStart(t *testing.T) {
	b := newBench(t, 4)
	with := func(task, ip string) operation.Job {
		j := job("ip", task, 0)
		j.Params = []cib.Attr{{Name: "ip", Value: ip}}
		return j
	}
	params := func() string {
		for _, k := range b.c.running {
			return k.job.Task + " " + k.job.Params[0].Value
		}
		return "nothing runs"
	}
	for _, step := range []struct {
		job    operation.Job
		rc     int
		expect string
	}{
		{with("start", "1"), 0, "start 1"},
		{with("stop", "2"), 1, "stop 1"}, // fails, and is tried again
		{with("stop", "3"), 0, "stop 1"},
		{with("stop", "4"), 0, "stop 4"}, // it was not running
		{with("start", "5"), 1, "start 5"},
		{with("stop", "6"), 0, "stop 5"},
		{with("start", "7"), 0, "start 7"},
		{with("reload", "8"), 0, "reload 8"},
		{with("stop", "9"), 0, "stop 8"},
	} {
		if err := b.dispatch(step.job); err != nil {
			t.Fatal(err)
		}
		if got := params(); got != step.expect {
			t.Errorf("runs %q, want %q", got, step.expect)
		}
		b.ran(step.job.OperationKey, 0, step.rc)
		b.committed(nil)
	}
	// Another agent has other parameters.
	if err := b.dispatch(with("start", "1")); err != nil {
		t.Fatal(err)
	}
	b.ran("ip_start_0", 0, 0)
	other := with("stop", "2")
	other.Type = "Stateful"
	if err := b.dispatch(other); err != nil {
		t.Fatal(err)
	}
	if got := params(); got != "stop 2" {
		t.Errorf("runs %q", got)
	}
}
