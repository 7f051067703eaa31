package executor

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// Registry finds agents; [drivers.Registry] is one.
type Registry interface {
	Lookup(name drivers.Name) (drivers.Agent, drivers.Source, error)
}

// Config is what an executor is made of.
type Config struct {
	// Node is what agents learn of the node.
	Node drivers.Node
	// Incarnation must differ with every start, for instance a UUID.
	Incarnation string
	Agents      Registry
	// Submit commits a change. An error means that it may or may not have
	// been committed.
	Submit func(ctx context.Context, change cib.Change) error
	// Latest returns a document that holds everything that was committed
	// before the call (a linearizable read). It is asked before a failure
	// is submitted for the second time.
	Latest func(ctx context.Context) (*cib.CIB, error)
	// LastCall is the highest call-id in the node's history
	// ([operation.LastCall]).
	LastCall int
	// Parallel bounds how many actions run at a time; 0 means twice the
	// number of processors.
	Parallel int
	// Log may be nil.
	Log *slog.Logger
}

// Executor runs agents for a [Core]. It is safe for concurrent use.
type Executor struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	traits traitsCache

	mu     sync.Mutex
	closed bool
	core   *Core
	calls  map[uint64]context.CancelFunc
	timer  *time.Timer
	wake   time.Time
	// queue holds results for mail, which runs while posting is set.
	queue   []Submit
	posting bool
}

// ErrClosed is what calls get after [Executor.Close].
var ErrClosed = errors.New("the executor is closed")

// New returns an executor that runs nothing yet. It must be closed.
func New(cfg Config) *Executor {
	if cfg.Parallel <= 0 {
		cfg.Parallel = 2 * runtime.NumCPU()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Executor{cfg: cfg, calls: map[uint64]context.CancelFunc{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.core = NewCore(CoreConfig{Node: cfg.Node.Name, NodeID: cfg.Node.ID, Incarnation: cfg.Incarnation,
		Parallel: cfg.Parallel, LastCall: cfg.LastCall})
	return e
}

// Dispatch takes a job. An error means that it will not be run. It does not
// wait for the job.
func (e *Executor) Dispatch(d operation.Dispatch) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	effects, err := e.core.Dispatch(time.Now(), d)
	e.do(effects)
	return err
}

// Report answers a leader's query; see [Core.Report].
func (e *Executor) Report(token operation.Token) (operation.Report, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return operation.Report{}, ErrClosed
	}
	return e.core.Report(token)
}

// Close ends all calls of agents (their processes are killed) and waits until
// they are over or ctx is done. Resources that run go on running. Results that
// are not committed are lost: the next leader finds their pending records.
func (e *Executor) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
	}
	e.cancel()
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do carries out effects and sets the timer. The lock is held.
func (e *Executor) do(effects []Effect) {
	if e.closed {
		return
	}
	for _, f := range effects {
		switch f := f.(type) {
		case Run:
			ctx, cancel := context.WithCancel(e.ctx)
			e.calls[f.ID] = cancel
			e.wg.Go(func() { e.run(ctx, cancel, f) })
		case Kill:
			if cancel := e.calls[f.ID]; cancel != nil {
				cancel()
			}
		case Submit:
			e.post(f)
		}
	}
	at := e.core.Wake()
	if at.Equal(e.wake) && !at.IsZero() {
		return
	}
	e.wake = at
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	if !at.IsZero() {
		e.timer = time.AfterFunc(time.Until(at), e.tick)
	}
}

func (e *Executor) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.wake = time.Time{}
		e.do(e.core.Tick(time.Now()))
	}
}

// run calls the agent of a job.
func (e *Executor) run(ctx context.Context, cancel context.CancelFunc, r Run) {
	defer cancel()
	began := time.Now()
	o, traits := e.call(ctx, &r.Job)
	o.Exec = time.Since(began)
	level := slog.LevelDebug
	if r.Job.Failed(o) {
		level = slog.LevelWarn
	}
	e.cfg.Log.Log(context.Background(), level, "action ended", "resource", r.Job.Resource, "action", r.Job.Task,
		"interval", r.Job.Interval, "rc", o.RC, "status", o.Status, "reason", o.Reason, "took", o.Exec)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, r.ID)
	if !e.closed {
		e.do(e.core.Ran(time.Now(), r.ID, o, traits))
	}
}

func (e *Executor) call(ctx context.Context, job *operation.Job) (operation.Outcome, operation.Traits) {
	name := drivers.Name{Class: job.Class, Provider: job.Provider, Type: job.Type}
	agent, _, err := e.cfg.Agents.Lookup(name)
	if err != nil {
		return missing(err), operation.Traits{}
	}
	limited, cancel := context.WithTimeout(ctx, job.Timeout)
	defer cancel()
	res := agent.Run(limited, e.request(name, job))
	if limited.Err() != nil && ctx.Err() == nil && res.Status != drivers.Done {
		res.Status, res.RC = drivers.TimedOut, drivers.GenericError
		if res.Reason == "" {
			res.Reason = job.Task + " of " + job.Resource + " did not end within " + job.Timeout.String()
		}
	}
	o := operation.Outcome{RC: int(res.RC), Status: int(res.Status), Reason: oneLine(res.Reason)}
	if !job.Recorded() {
		return o, operation.Traits{}
	}
	return o, e.traits.of(ctx, name, agent)
}

// missing is the outcome for an agent that cannot be called.
func missing(err error) operation.Outcome {
	var unusable *drivers.UnusableError
	if errors.As(err, &unusable) {
		return operation.Outcome{RC: int(drivers.Permission), Status: int(drivers.Error), Reason: oneLine(err.Error())}
	}
	return operation.Outcome{RC: int(drivers.NotInstalled), Status: int(drivers.NoSuchAgent), Reason: oneLine(err.Error())}
}

// oneLine keeps what fits into an attribute that people read.
func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "..."
	}
	return s
}

// request turns a job into an agent's request.
func (e *Executor) request(name drivers.Name, job *operation.Job) drivers.Request {
	r := drivers.Request{Agent: name, Resource: job.Resource, Action: job.Task, Interval: job.Interval, Timeout: job.Timeout,
		Params: map[string]string{}, Meta: map[string]string{}, Node: e.cfg.Node}
	for _, a := range job.Params {
		r.Params[a.Name] = a.Value
	}
	for _, a := range job.Meta {
		r.Meta[strings.ReplaceAll(a.Name, "-", "_")] = a.Value
	}
	always := map[string]string{
		"timeout":  strconv.FormatInt(job.Timeout.Milliseconds(), 10),
		"interval": strconv.FormatInt(job.Interval.Milliseconds(), 10),
		"on_node":  job.Node, "on_node_uuid": job.NodeID,
	}
	for k, v := range always {
		if _, ok := r.Meta[k]; !ok {
			r.Meta[k] = v
		}
	}
	return r
}

// post has a result committed.
func (e *Executor) post(s Submit) {
	if !s.mergeable() {
		e.wg.Go(func() { e.submit(s) })
		return
	}
	e.queue = append(e.queue, s)
	if !e.posting {
		e.posting = true
		e.wg.Go(e.mail)
	}
}

// submit commits a result once.
func (e *Executor) submit(s Submit) {
	ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
	defer cancel()
	err := e.commit(ctx, s)
	if err != nil && e.ctx.Err() == nil {
		e.cfg.Log.Warn("a result could not be committed yet", "resource", s.Job.Resource, "action", s.Job.Task, "error", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.do(e.core.Submitted(time.Now(), s.ID, err))
	}
}

func (e *Executor) commit(ctx context.Context, s Submit) error {
	if s.Verify && e.cfg.Latest != nil {
		doc, err := e.cfg.Latest(ctx)
		if err != nil {
			return err
		}
		if operation.Recorded(doc, &s.Job, s.Outcome) {
			return nil
		}
	}
	return e.cfg.Submit(ctx, s.Change)
}
