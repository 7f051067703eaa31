package sbd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"gcrm/fencing"
)

// Method is fence_sbd.
type Method struct{ fencing.Description }

// New returns the method.
func New() *Method {
	return &Method{fencing.Description{Name: "fence_sbd", Short: "messages on shared disks (poison pill)",
		Long: "Puts a message for the node on shared disks, and waits until the node has read it and reset itself, or its watchdog has. " +
			"A majority of the disks must take the message. pcmk_reboot_timeout and pcmk_off_timeout must be at least 1.2 times the disks' msgwait.",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List},
		Params: []fencing.Param{
			{Name: "devices", Required: true, Short: "the disks, separated by commas"},
			{Name: "plug", Obsoletes: "port", Short: "node"},
			{Name: "method", Type: "select", Values: []string{"cycle", "onoff"}, Default: "cycle", Short: "how a reboot is done; a node that is off cannot be switched on by a disk"},
			{Name: "delay", Type: "second", Default: "0", Short: "wait before off and reboot"},
		}}}
}

// Proves implements [fencing.Judge].
func (*Method) Proves() fencing.Proves { return fencing.Reports }

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	paths := strings.FieldsFunc(c.Param("devices", ""), func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
	if len(paths) == 0 {
		return fencing.Fail("set devices", "no disk is given")
	}
	if (c.Action == fencing.Off || c.Action == fencing.Reboot) && !fencing.Sleep(ctx, c.Duration(0, "delay")) {
		return fencing.OutcomeOf(ctx, ctx.Err())
	}
	v := &visit{ctx: ctx, call: c, node: c.Param("plug", "port", c.Plug)}
	results := make([]visited, len(paths))
	var wg sync.WaitGroup
	for i, path := range paths {
		wg.Go(func() {
			results[i] = v.disk(path)
			if results[i].err != nil {
				results[i].err = fmt.Errorf("%w", results[i].err)
			}
		})
	}
	wg.Wait()
	return v.sum(results)
}

// visit is one action on all disks.
type visit struct {
	ctx  context.Context
	call fencing.Call
	node string
}

type visited struct {
	hosts   []string
	command Command
	wait    time.Duration
	err     error
}

// disk does the action on one disk, but for the waiting.
func (v *visit) disk(path string) (r visited) {
	d, err := Open(path)
	if err != nil {
		r.err = err
		return r
	}
	defer d.Close()
	h, err := d.Header()
	if err != nil {
		r.err = err
		return r
	}
	r.wait = h.MsgWait
	switch v.call.Action {
	case fencing.Monitor:
		return r
	case fencing.List:
		list, err := d.Slots(h)
		for _, s := range list {
			r.hosts = append(r.hosts, strings.ToLower(s.Name))
		}
		r.err = err
		return r
	}
	s, err := d.Find(h, v.node)
	if err != nil {
		r.err = err
		return r
	}
	switch v.call.Action {
	case fencing.Status:
		r.command = s.Command
	case fencing.Off:
		r.err = v.send(d, h, s, Off)
	case fencing.Reboot:
		r.err = v.send(d, h, s, Reset)
	case fencing.On:
		if s.Command.kills() {
			r.err = d.Send(s, Clear, v.call.Self)
		}
	default:
		r.err = fmt.Errorf("fence_sbd cannot do %s", v.call.Action)
	}
	return r
}

// send refuses to begin what cannot be waited for.
func (v *visit) send(d *Disk, h Header, s Slot, c Command) error {
	if end, ok := v.ctx.Deadline(); ok && time.Until(end) < h.MsgWait {
		return &fencing.Error{Op: "fence", On: v.node, Err: fmt.Errorf("the timeout is shorter than the disk's msgwait of %s", h.MsgWait),
			Hint: fmt.Sprintf("set pcmk_reboot_timeout and pcmk_off_timeout to at least %s", h.MsgWait*12/10)}
	}
	return d.Send(s, c, v.call.Self)
}

// sum says what the results of the disks are together.
func (v *visit) sum(results []visited) fencing.Outcome {
	var good []visited
	var errs []error
	for _, r := range results {
		if r.err == nil {
			good = append(good, r)
		} else {
			errs = append(errs, r.err)
		}
	}
	need := len(results)/2 + 1
	if len(good) < need {
		var e *fencing.Error
		hint := "check that this node reaches the disks, and that they are initialized"
		if err := errors.Join(errs...); errors.As(err, &e) {
			hint = e.Hint
		}
		text := make([]string, len(errs))
		for i, err := range errs {
			text[i] = fencing.OutcomeOf(v.ctx, err).Text
		}
		o := fencing.Fail(hint, "%d of %d disks, %d are needed: %s", len(good), len(results), need, strings.Join(text, "; "))
		if v.ctx.Err() != nil {
			o.Code = fencing.TimedOut
		}
		return o
	}
	text := fmt.Sprintf("%d of %d disks", len(good), len(results))
	switch v.call.Action {
	case fencing.List:
		return fencing.Outcome{Hosts: good[0].hosts, Text: text}
	case fencing.Status:
		for _, r := range good {
			if r.command.kills() {
				// Whether the node has read it cannot be known from here.
				return fencing.Outcome{Text: "the mailbox holds " + r.command.String()}
			}
		}
		return fencing.Outcome{Power: fencing.PowerOn, Text: "the mailbox holds no message"}
	case fencing.Off, fencing.Reboot:
		var wait time.Duration
		for _, r := range good {
			wait = max(wait, r.wait)
		}
		if !fencing.Sleep(v.ctx, wait) {
			return fencing.Outcome{Code: fencing.TimedOut, Text: "the message was delivered, but not waited for"}
		}
		text = "message on " + text + ", waited " + wait.String()
	}
	return fencing.Outcome{Text: text}
}
