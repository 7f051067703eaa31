package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// loopback is a cluster of one node, whose jobs all succeed after a second.
type loopback struct {
	t      *testing.T
	runner *Runner
	mu     sync.Mutex
	doc    *cib.CIB
	ran    []string
	hang   bool // fencing hangs
	// withdrawn is set when it ends.
	withdrawn bool
}

func (l *loopback) Apply(ctx context.Context, _ uint64, ch cib.Change) error {
	time.Sleep(10 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := l.doc.Apply(ch)
	if err != nil {
		l.t.Error(err)
		return err
	}
	l.doc = next
	l.runner.Input(Applied{Change: &ch, CIB: next})
	return ctx.Err()
}

func (l *loopback) Dispatch(_ context.Context, node string, d operation.Dispatch) error {
	l.mu.Lock()
	l.ran = append(l.ran, d.Job.OperationKey)
	l.mu.Unlock()
	go func() {
		time.Sleep(time.Second)
		o := operation.Outcome{RC: d.Job.ExpectedRC, CallID: 1, Run: time.Now()}
		l.Apply(context.Background(), 1, cib.Change{Origin: cib.Origin{Client: operation.ExecutorClient, Message: d.Job.Key},
			Status: &cib.StatusChange{Edits: operation.Result(&d.Job, o, operation.Traits{})}})
	}()
	return nil
}

func (l *loopback) Query(context.Context, string, operation.Token) (operation.Report, error) {
	return operation.Report{Incarnation: "i1"}, nil
}

func (l *loopback) Fence(ctx context.Context, f Fence) error {
	if l.hang {
		<-ctx.Done()
		l.withdrawn = true
		return ctx.Err()
	}
	return errors.New("no device")
}

func (l *loopback) Shutdown(context.Context, string, string) {}

func TestRunnerCarriesOutEffects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loopback{t: t, doc: cib.New(), hang: true}
		action := func(id int, key, task string, kind scheduler.ActionKind, inputs ...int) *scheduler.Action {
			return &scheduler.Action{ID: id, Kind: kind, Key: key, Task: task, Node: "a", NodeID: "a", Inputs: inputs,
				Resource: &scheduler.ResourceRef{ID: "web", Class: "ocf", Provider: "pacemaker", Type: "Dummy"}}
		}
		plans := []*scheduler.Plan{
			{Actions: []*scheduler.Action{action(1, "web_start_0", "start", scheduler.ResourceAction), action(2, "web_promote_0", "promote", scheduler.ResourceAction, 1)}},
			{Recheck: time.Now().Add(time.Minute)},
			{Actions: []*scheduler.Action{action(1, "stonith-a-off", "stonith", scheduler.ClusterAction)}, Header: scheduler.Header{FencingTimeout: 30 * time.Second}},
		}
		var (
			mu     sync.Mutex
			states []Progress
		)
		last := func() Progress {
			mu.Lock()
			defer mu.Unlock()
			return states[len(states)-1]
		}
		l.runner = NewRunner(Config{Node: "a", Schedule: func(*cib.CIB, scheduler.Options) (*scheduler.Plan, error) {
			if len(plans) == 0 {
				return &scheduler.Plan{}, nil
			}
			p := plans[0]
			plans = plans[1:]
			return p, nil
		}}, l, func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, p)
		}, nil)
		for _, e := range []cib.StatusEdit{{Node: onlineEdit("a")}, {Attribute: &cib.AttributeEdit{Node: "a", Name: IncarnationAttribute, Value: "i1"}}} {
			if err := l.Apply(t.Context(), 1, cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{e}}}); err != nil {
				t.Fatal(err)
			}
		}
		l.runner.Input(BecameLeader{Term: 1, UUID: "u", CIB: l.doc})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if last := last(); !last.Idle || !slices.Equal(l.ran, []string{"web_start_0", "web_promote_0"}) {
			t.Errorf("%v, ran %v", last, l.ran)
		}
		// The plan's own timer, and a fencing request that hangs.
		time.Sleep(time.Minute)
		synctest.Wait()
		if last := last(); last.Idle || !slices.Equal(last.Running, []string{"stonith-a-off on a"}) {
			t.Errorf("after the recheck time: %v", last)
		}
		if l.withdrawn {
			t.Error("the fencing ended")
		}
		l.runner.Input(LostLeader{})
		synctest.Wait()
		if !l.withdrawn {
			t.Error("the fencing goes on after leadership was lost")
		}
		l.runner.Close()
	})
}
