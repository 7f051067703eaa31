package fencing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
)

// Peers reaches the fencing of other nodes.
type Peers interface {
	// Execute lets another node carry out an action ([Runner.Execute]) and
	// returns what came of it. A node that could not be asked, or was lost
	// meanwhile, gives an error.
	Execute(ctx context.Context, node string, x Execute) (Outcome, error)
}

// RunnerConfig is what a [Runner] is made with.
type RunnerConfig struct {
	Self     string
	Registry *Registry
	// Peers may be nil: then only this node executes.
	Peers Peers
	// Record stores an entry of the history here, and sees to it that other
	// nodes are told later. It is called before a request is answered, must
	// not wait for other nodes (of two, one may be alone) and must not call
	// the runner. An error is logged, since it must not keep a node that was
	// fenced from being recovered. Told entries came from another node or are
	// announced: they are not to be told here.
	Record func(e Entry, told bool) error
	// Announce, if set, tells the other nodes of a request that is about to be
	// carried out, and returns when they know, with what they are at
	// ([Runner.UnderWay] there). The request waits for it.
	Announce func(ctx context.Context, e Entry) Told
	// Reset, if set, resets this machine soon after it returned; other nodes count
	// on its watchdog if that does not succeed.
	Reset func(why string)
	// Secrets, if set, fills in the values that are kept out of the CIB.
	Secrets func(device string, params map[string]string) (map[string]string, error)
	Log     *slog.Logger
}

// Runner gives a [Machine] a clock, and lets its actions be carried out. Its
// methods are safe for concurrent use.
type Runner struct {
	cfg    RunnerConfig
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	machine *Machine
	conf    *Configuration
	waiting map[uint64]chan Result
	next    uint64
	wake    chan struct{}
	// acting counts the actions on each device, asking ends monitors.
	acting map[string]int
	asking map[string][]context.CancelFunc
	// executing are the actions that this node carries out, for whomever.
	executing int
}

// NewRunner makes a runner; Close ends it.
func NewRunner(cfg RunnerConfig) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runner{cfg: cfg, waiting: map[uint64]chan Result{}, wake: make(chan struct{}, 1),
		acting: map[string]int{}, asking: map[string][]context.CancelFunc{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.machine = New(Config{Self: cfg.Self, Boot: strconv.FormatInt(time.Now().UnixNano(), 36), Draw: rand.Int64N, Announces: cfg.Announce != nil})
	r.wg.Go(r.tick)
	return r
}

// Close ends all actions of this node and waits for that.
func (r *Runner) Close() {
	r.mu.Lock() // so that no goroutine is begun after
	r.cancel()
	r.mu.Unlock()
	r.wg.Wait()
}

// Configure takes the devices from a document. It is to be called for every
// new configuration; problems are those of [Unpack].
func (r *Runner) Configure(doc *cib.CIB, s Sources) []cib.Problem {
	if s.Agents == nil && r.cfg.Registry != nil {
		s.Agents, s.Proves = r.cfg.Registry, r.cfg.Registry.Proves
	}
	conf, problems := Unpack(doc, s)
	r.mu.Lock()
	r.conf = conf
	r.mu.Unlock()
	r.step(Configure{conf})
	return problems
}

// Members tells who can execute.
func (r *Runner) Members(m Members) { r.step(m) }

// Fence does a request and returns when it is over, or ctx is. When ctx is
// over, nothing more is asked of devices, unless it is an administrator's; what
// comes of what was is found in the history.
func (r *Runner) Fence(ctx context.Context, req Request) (Result, error) {
	ch := make(chan Result, 1)
	r.mu.Lock()
	r.next++
	req.ID = r.next
	r.waiting[req.ID] = ch
	r.mu.Unlock()
	r.step(req)
	select {
	case res := <-ch:
		return res, res.Err
	case <-ctx.Done():
		r.step(Abandon{req.ID})
		select {
		case res := <-ch: // it had come just then
			if res.Err == nil {
				return res, nil
			}
		default:
		}
		r.mu.Lock()
		delete(r.waiting, req.ID)
		r.mu.Unlock()
		return Result{}, &Error{req.Action, req.Target, ctx.Err(), ""}
	case <-r.ctx.Done():
		return Result{}, &Error{req.Action, req.Target, errors.New("the node is being stopped"), ""}
	}
}

// Withdraw ends requests for a node that is back before a device was asked.
func (r *Runner) Withdraw(target, why string) { r.step(Withdraw{target, why}) }

// Confirm takes an administrator's word that an incarnation of a node is down.
func (r *Runner) Confirm(target, by string, incarnation uint64) {
	r.step(Confirm{target, by, incarnation})
}

// Started tells on which nodes the devices are started as resources.
func (r *Runner) Started(doc *cib.CIB) {
	r.mu.Lock()
	conf := r.conf
	r.mu.Unlock()
	if conf != nil {
		r.step(Started{started(doc, conf.Order)})
	}
}

// StartedOn returns where devices are started: names of nodes in lower case, by
// device.
func (r *Runner) StartedOn() map[string]map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.started
}

// Remember adds what other nodes recorded; live tells that it just happened.
func (r *Runner) Remember(entries []Entry, live bool) {
	r.step(Remember{Entries: entries, Live: live})
}

// UnderWay returns the requests that this node's machine is carrying out, or has
// just carried out.
func (r *Runner) UnderWay() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.UnderWay(time.Now())
}

// Restore adds what an earlier run recorded.
func (r *Runner) Restore(entries []Entry) { r.step(Remember{Entries: entries, Stored: true}) }

// Retract tells that a node is not down though a device said so.
func (r *Runner) Retract(target string) { r.step(Retract{target}) }

// Forget clears the history of a node, or with "" all.
func (r *Runner) Forget(target string) { r.step(Forget{target}) }

// Configuration returns the present one; nil before the first.
func (r *Runner) Configuration() *Configuration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conf
}

// History returns what is known of past and present requests, the latest first.
func (r *Runner) History() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.History()
}

// step runs the machine and starts the effects.
func (r *Runner) step(in Input) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	effects := r.machine.Step(time.Now(), in)
	for _, e := range effects {
		if rec, ok := e.(Record); ok && r.cfg.Record != nil {
			if err := r.cfg.Record(rec.Entry, rec.Told); err != nil {
				r.cfg.Log.Error("the history of fencing could not be stored", "entry", rec.Entry.ID, "err", err)
			}
		}
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Execute:
			r.wg.Go(func() {
				o := r.execute(e)
				r.step(Executed{e.Ref, o})
			})
		case Announce:
			r.wg.Go(func() {
				told := r.cfg.Announce(r.ctx, e.Entry)
				told.ID = e.Entry.ID
				r.step(told)
			})
		case Done:
			if ch := r.waiting[e.ID]; ch != nil {
				delete(r.waiting, e.ID)
				ch <- e.Result
			}
		case Event:
			r.cfg.Log.Log(r.ctx, e.Level, e.Text, "target", e.Target)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Runner) tick() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		at, ok := r.machine.Wake()
		r.mu.Unlock()
		wait := time.Hour
		if ok {
			wait = max(0, time.Until(at))
		}
		timer.Reset(wait)
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
			r.step(Tick{})
		}
	}
}

// execute carries out an action of the machine, here or on another node.
func (r *Runner) execute(x Execute) Outcome {
	if x.Node == r.cfg.Self {
		return r.Execute(r.ctx, x)
	}
	if r.cfg.Peers == nil {
		return Outcome{Code: Unreachable, Text: "node " + x.Node + " cannot be reached"}
	}
	ctx, cancel := context.WithTimeout(r.ctx, x.Timeout+answerGrace)
	defer cancel()
	o, err := r.cfg.Peers.Execute(ctx, x.Node, x)
	if err != nil {
		if ctx.Err() != nil {
			return Outcome{Code: TimedOut, Text: "no answer from node " + x.Node}
		}
		return Outcome{Code: Unreachable, Text: fmt.Sprintf("node %s: %v", x.Node, err)}
	}
	return o
}

// Ask asks a device from this node whether it works; other actions on it go
// first.
func (r *Runner) Ask(ctx context.Context, device string, timeout time.Duration) Outcome {
	r.mu.Lock()
	conf := r.conf
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	busy := r.acting[device] > 0
	if !busy {
		r.asking[device] = append(r.asking[device], cancel)
	}
	r.mu.Unlock()
	var d *Device
	if conf != nil {
		d = conf.Devices[device]
	}
	switch {
	case d == nil && conf != nil && conf.watchdog != nil && conf.watchdog.ID == device:
		d = conf.watchdog
	case d == nil:
		return Fail("", "node %s does not know the device %s yet", r.cfg.Self, device)
	case busy:
		return Outcome{Text: "the device is busy with fencing"}
	}
	if !d.HasAction(Monitor) {
		return Outcome{Text: "the agent has no monitor"}
	}
	o := r.run(ctx, d, Execute{Device: device, Action: d.command(Monitor), Timeout: d.timeout(timeout, Monitor)})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.acting[device] > 0 {
		return Outcome{Text: "fencing took the device over"}
	}
	delete(r.asking, device)
	return o
}

// Execute carries out an action on this node, for its own machine or that of
// another. Parameters come from this node's configuration.
func (r *Runner) Execute(ctx context.Context, x Execute) Outcome {
	if x.Device == WatchdogDevice {
		return r.resetSelf(x)
	}
	r.mu.Lock()
	conf := r.conf
	r.executing++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.executing--
		r.mu.Unlock()
	}()
	if conf == nil || conf.Devices[x.Device] == nil {
		return Fail("", "node %s does not know the device %s yet", r.cfg.Self, x.Device)
	}
	d := conf.Devices[x.Device]
	if d.Limit == 1 {
		// The device does one thing at a time, and fencing does not wait.
		r.mu.Lock()
		for _, cancel := range r.asking[d.ID] {
			cancel()
		}
		delete(r.asking, d.ID)
		r.acting[d.ID]++
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.acting[d.ID]--
			r.mu.Unlock()
		}()
	}
	o := r.run(ctx, d, x)
	if x.Ends != nil {
		r.step(Witnessed{*x.Ends, o})
	}
	return o
}

func (r *Runner) resetSelf(x Execute) Outcome {
	switch {
	case x.Action != Off || !strings.EqualFold(x.Target, r.cfg.Self):
		return Fail("", "node %s was told to do %q of %s by its watchdog", r.cfg.Self, x.Action, x.Target)
	case r.cfg.Reset == nil:
		return Fail("", "node %s has no watchdog", r.cfg.Self)
	}
	r.cfg.Log.Error("this node was told to reset itself")
	r.cfg.Reset("the cluster fences it")
	return Outcome{Text: "it resets itself"}
}

// Executing reports whether an action is being carried out on this node.
func (r *Runner) Executing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.executing > 0
}

// run calls the method of a device.
func (r *Runner) run(ctx context.Context, d *Device, x Execute) Outcome {
	m, err := r.cfg.Registry.Method(d.Agent)
	if err != nil {
		return Fail("install it on node "+r.cfg.Self+", or keep the device from the node by a location constraint", "%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, x.Timeout)
	defer cancel()
	c := Call{Device: d.ID, Agent: d.Agent, Action: x.Action, Target: x.Target, Params: d.Arguments(x.Target), Self: r.cfg.Self}
	if x.Target != "" {
		c.Plug = d.Plug(x.Target)
		if v := c.Params[d.Argument]; d.Argument != "" && v != "" {
			c.Plug = v
		}
	}
	if r.cfg.Secrets != nil {
		if c.Params, err = r.cfg.Secrets(d.ID, c.Params); err != nil {
			return Fail("", "%v", err)
		}
	}
	if why := completeSecrets(ctx, d, c.Params); why != nil {
		return Fail("", "%v", why)
	}
	started := time.Now()
	o := guarded(ctx, m, c)
	if o.Code != Succeeded && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		o.Code = TimedOut
		o.Text = nonEmpty(o.Text, "no answer") + fmt.Sprintf(" within %s", x.Timeout)
	}
	r.cfg.Log.Debug("fence device", "call", c.String(), "outcome", o.Code.String(), "power", o.Power.String(), "took", time.Since(started), "text", o.Text)
	return o
}

// guarded does an action. A method that breaks on what a device answers must
// not take the daemon, and with it the node, along.
func guarded(ctx context.Context, m Method, c Call) (o Outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = Fail("report it, with what is in the log; have another level behind this device", "internal error in %s: %v\n%s", c.Agent, p, debug.Stack())
		}
	}()
	return m.Do(ctx, c)
}
