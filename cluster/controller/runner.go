package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
)

// Cluster is what a [Runner] needs of the node's daemon. Calls come from many
// goroutines and may wait; each ends when its context does.
type Cluster interface {
	// Apply commits a change through consensus if this node leads in the term,
	// once: it must not be tried again. It returns after the change was given
	// to the runner as [Applied].
	Apply(ctx context.Context, term uint64, change cib.Change) error
	// Dispatch and Query talk to the executor of a node (also this one).
	Dispatch(ctx context.Context, node string, message operation.Dispatch) error
	Query(ctx context.Context, node string, token operation.Token) (operation.Report, error)
	// Fence returns nil when the node is known to be down.
	Fence(ctx context.Context, request Fence) error
	// Shutdown tells a node to leave; it need not wait.
	Shutdown(ctx context.Context, node, nodeID string)
}

// Runner drives a [Controller] with real time: it queues inputs, carries out
// effects and keeps the timer.
type Runner struct {
	machine  *Controller
	cluster  Cluster
	progress func(Progress)
	log      *slog.Logger
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	// reign is over when the leadership is lost.
	reign context.Context
	fall  context.CancelFunc

	mu    sync.Mutex
	queue []Input
	wake  chan struct{} // has room for one
}

// Limits of calls that are not bounded by something else.
const (
	applyLimit = 30 * time.Second
	callLimit  = 10 * time.Second
)

// NewRunner starts a controller. progress is called from one goroutine for
// every change, and may be nil, as may log. The runner must be closed.
func NewRunner(cfg Config, cluster Cluster, progress func(Progress), log *slog.Logger) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{machine: New(cfg), cluster: cluster, progress: progress, log: log, wake: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.reign, r.fall = context.WithCancel(r.ctx)
	r.wg.Go(r.loop)
	return r
}

// Input queues an input and returns at once. Inputs are taken in the order in
// which they were queued.
func (r *Runner) Input(in Input) {
	r.mu.Lock()
	r.queue = append(r.queue, in)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close stops the controller and waits for calls under way to end.
func (r *Runner) Close() {
	r.cancel()
	r.wg.Wait()
}

func (r *Runner) next() (Input, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil, false
	}
	in := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	return in, true
}

func (r *Runner) loop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
			r.step(Tick{})
		}
		for in, ok := r.next(); ok && r.ctx.Err() == nil; in, ok = r.next() {
			r.step(in)
		}
		timer.Stop()
		if at := r.machine.Wake(); !at.IsZero() {
			timer.Reset(max(time.Until(at), time.Millisecond))
		}
	}
}

func (r *Runner) step(in Input) {
	if _, lost := in.(LostLeader); lost {
		// What no device was asked for yet, who leads next decides anew: the
		// node may be back by then.
		r.fall()
		r.reign, r.fall = context.WithCancel(r.ctx)
	}
	for _, e := range r.machine.Step(time.Now(), in) {
		switch e := e.(type) {
		case Apply:
			r.call(r.ctx, applyLimit, func(ctx context.Context) Input {
				return ApplyDone{Ref: e.Ref, Err: r.cluster.Apply(ctx, e.Term, e.Change)}
			})
		case Dispatch:
			r.call(r.ctx, callLimit, func(ctx context.Context) Input {
				return Dispatched{Ref: e.Ref, Err: r.cluster.Dispatch(ctx, e.Node, e.Message)}
			})
		case Query:
			r.call(r.ctx, callLimit, func(ctx context.Context) Input {
				report, err := r.cluster.Query(ctx, e.Node, e.Token)
				return Answered{Ref: e.Ref, Report: report, Err: err}
			})
		case Fence:
			// Levels, delays and queues for a device add up.
			r.call(r.reign, 0, func(ctx context.Context) Input {
				return Fenced{Ref: e.Ref, Err: r.cluster.Fence(ctx, e)}
			})
		case Shutdown:
			r.call(r.ctx, callLimit, func(ctx context.Context) Input {
				r.cluster.Shutdown(ctx, e.Node, e.NodeID)
				return nil
			})
		case Progress:
			if r.progress != nil {
				r.progress(e)
			}
		case Event:
			r.log.Log(r.ctx, e.Level, e.Text, "object", e.Object)
		}
	}
}

// call runs f beside the machine and queues what it returns. With no limit, f
// sees to it itself that it ends.
func (r *Runner) call(ctx context.Context, limit time.Duration, f func(context.Context) Input) {
	r.wg.Go(func() {
		if limit > 0 {
			bounded, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			ctx = bounded
		}
		if in := f(ctx); in != nil {
			r.Input(in)
		}
	})
}
