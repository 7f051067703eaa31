package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// sleeper is an agent whose parameters say how long it takes and how it ends.
type sleeper struct {
	mu       sync.Mutex
	requests []drivers.Request
	stubborn bool // does not end when it is told to
}

func (s *sleeper) Metadata(context.Context) (string, error) {
	return `<resource-agent name="Sleeper"><parameters><parameter name="took" reloadable="1"/><parameter name="word" private="1"/></parameters>
<actions><action name="start"/><action name="reload-agent"/></actions></resource-agent>`, nil
}

func (s *sleeper) Run(ctx context.Context, r drivers.Request) drivers.Result {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	took, _ := time.ParseDuration(r.Params["took"])
	done := ctx.Done()
	if s.stubborn {
		done = nil
	}
	select {
	case <-time.After(took):
		return drivers.Result{}
	case <-done:
		return drivers.Result{RC: drivers.GenericError, Status: drivers.Error, Reason: "interrupted"}
	}
}

type registry map[string]drivers.Agent

func (r registry) Lookup(n drivers.Name) (drivers.Agent, drivers.Source, error) {
	if n.Type == "Locked" {
		return nil, drivers.Source{}, &drivers.UnusableError{Name: n, Path: "/x/Locked", Why: "is not executable"}
	}
	if a := r[n.Type]; a != nil {
		return a, drivers.Source{Kind: "native"}, nil
	}
	return nil, drivers.Source{}, &drivers.NotFoundError{Name: n, Places: []string{"/usr/lib/ocf/resource.d/pacemaker/" + n.Type}}
}

// stand is a node with an executor over a CIB of its own.
type stand struct {
	mu  sync.Mutex
	doc *cib.CIB
	err error // of submissions
	ex  *Executor
	seq uint64
}

func newStand(t *testing.T, agents registry) *stand {
	s := &stand{doc: cib.New()}
	s.ex = New(Config{Node: drivers.Node{Name: "n1", ID: "1"}, Incarnation: "i1", Agents: agents, Parallel: 4,
		Submit: func(_ context.Context, ch cib.Change) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			next, err := s.doc.Apply(ch)
			if err != nil {
				t.Error(err)
				return err
			}
			s.doc = next
			err, s.err = s.err, nil
			return err
		},
		Latest: func(context.Context) (*cib.CIB, error) { return s.cib(), nil },
	})
	t.Cleanup(func() {
		if err := s.ex.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stand) cib() *cib.CIB {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doc
}

func (s *stand) dispatch(t *testing.T, typ, task string, interval time.Duration, params ...cib.Attr) {
	t.Helper()
	s.seq++
	j := job("web", task, interval)
	j.Type, j.Params, j.Key = typ, params, fmt.Sprintf("%d:1:0:u", s.seq)
	if err := s.ex.Dispatch(operation.Dispatch{Token: operation.Token{Term: 1, Seq: s.seq}, Incarnation: "i1", Job: j}); err != nil {
		t.Fatal(err)
	}
}

func (s *stand) history() string {
	var lines []string
	for op := range operation.Entries(s.cib(), "1", "web") {
		lines = append(lines, op.ID()+" "+op.Get("op-status")+":"+op.Get("rc-code")+" "+op.Get("exec-time")+"ms "+op.Get("exit-reason"))
	}
	for name, v := range operation.Attributes(s.cib(), "1") {
		if strings.HasPrefix(name, "fail-count") {
			lines = append(lines, name+"="+v)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (s *stand) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	if got, want := s.history(), strings.Join(lines, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestActionsRunAndAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &sleeper{}
		s := newStand(t, registry{"Sleeper": agent})
		s.dispatch(t, "Sleeper", "start", 0, cib.Attr{Name: "took", Value: "2s"}, cib.Attr{Name: "word", Value: ""})
		time.Sleep(time.Second)
		s.want(t)
		time.Sleep(time.Second)
		s.want(t, "web_last_0 0:0 2000ms ")
		r := agent.requests[0]
		if v, ok := r.Params["word"]; !ok || v != "" {
			t.Error("an empty parameter is not an absent one")
		}
		if r.Meta["timeout"] != "20000" || r.Meta["interval"] != "0" || r.Meta["on_node"] != "n1" || r.Node.Name != "n1" || r.Action != "start" {
			t.Errorf("request %+v", r)
		}
		for op := range operation.Entries(s.cib(), "1", "web") {
			if op.Get("op-force-restart") != " word " || op.Get("op-secure-params") != " word " {
				t.Errorf("meta-data is not used: %v", op)
			}
		}
	})
}

func TestTimeoutEndsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, registry{"Sleeper": &sleeper{}})
		s.dispatch(t, "Sleeper", "start", 0, cib.Attr{Name: "took", Value: "1h"})
		time.Sleep(20 * time.Second)
		s.want(t, "fail-count-web#start_0=1", "web_last_0 2:1 20000ms interrupted", "web_last_failure_0 2:1 20000ms interrupted")
	})
}

func TestStubbornAgentIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, registry{"Sleeper": &sleeper{stubborn: true}})
		s.dispatch(t, "Sleeper", "stop", 0, cib.Attr{Name: "took", Value: "10m"})
		time.Sleep(26 * time.Second)
		reason := "stop of web was killed after 20s and has not ended"
		s.want(t, "fail-count-web#stop_0=INFINITY", "web_last_0 2:1 25000ms "+reason, "web_last_failure_0 2:1 25000ms "+reason)
		time.Sleep(10 * time.Minute)
	})
}

func TestMissingAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, registry{})
		s.dispatch(t, "Nowhere", "monitor", 0)
		why := "agent ocf:pacemaker:Nowhere is not installed: looked for /usr/lib/ocf/resource.d/pacemaker/Nowhere"
		s.want(t, "web_last_0 7:5 0ms "+why, "web_last_failure_0 7:5 0ms "+why)
		s.dispatch(t, "Locked", "start", 0)
		why = "agent ocf:pacemaker:Locked: /x/Locked is not executable"
		s.want(t, "fail-count-web#start_0=1", "web_last_0 4:4 0ms "+why, "web_last_failure_0 4:4 0ms "+why)
	})
}

func TestFailureIsCountedOnceWhenTheAcknowledgementIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, registry{"Sleeper": &sleeper{}})
		s.err = errors.New("connection reset")
		s.dispatch(t, "Sleeper", "promote", 0, cib.Attr{Name: "took", Value: "1h"})
		time.Sleep(time.Minute)
		s.want(t, "fail-count-web#promote_0=1", "web_last_0 2:1 20000ms interrupted", "web_last_failure_0 2:1 20000ms interrupted")
		if r, err := s.ex.Report(operation.Token{Term: 1, Seq: 50}); err != nil || len(r.Jobs) != 0 {
			t.Errorf("the result is still to be committed: %v %v", r, err)
		}
	})
}

func TestMonitorsRecur(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := &sleeper{}
		s := newStand(t, registry{"Sleeper": agent})
		s.dispatch(t, "Sleeper", "monitor", 10*time.Second, cib.Attr{Name: "took", Value: "1s"})
		time.Sleep(time.Minute)
		s.want(t, "web_monitor_10000 0:0 1000ms ")
		agent.mu.Lock()
		n := len(agent.requests)
		agent.mu.Unlock()
		if n != 6 { // at 0, 11, 22, 33, 44, 55 s
			t.Errorf("%d runs in a minute", n)
		}
	})
}

func TestCloseEndsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, registry{"Sleeper": &sleeper{}})
		s.dispatch(t, "Sleeper", "start", 0, cib.Attr{Name: "took", Value: "1h"})
		time.Sleep(time.Second)
		began := time.Now()
		if err := s.ex.Close(t.Context()); err != nil || time.Since(began) > 0 {
			t.Errorf("close took %s: %v", time.Since(began), err)
		}
		s.want(t) // nothing is recorded: the next leader finds the pending record
		if err := s.ex.Dispatch(operation.Dispatch{Incarnation: "i1"}); !errors.Is(err, ErrClosed) {
			t.Errorf("dispatch after close: %v", err)
		}
	})
}
