package anything

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

func start(ctx context.Context, c *native.Call) drivers.Result {
	f, err := filesOf(c)
	if err != nil {
		return native.Failed(err)
	}
	_, _, alive, err := recorded(c, f)
	if err != nil {
		return native.Failed(err)
	}
	if alive {
		return hooked(ctx, c, f)
	}
	// What a dead leader left behind would hold ports and files.
	if res := end(ctx, c, leftovers(c), stopPatience(ctx, c)); res.RC != drivers.OK {
		return res
	}
	path, err := program(c)
	if err != nil {
		return native.Failed(err)
	}
	var id process.Identity
	var ended <-chan *os.ProcessState
	err = c.Do("start "+strings.TrimSpace(path+" "+c.Params.String("cmdline_options")), func() error {
		id, ended, err = launch(c, f)
		return err
	})
	if err != nil {
		return native.Failed(err)
	}
	// The record comes first: a daemon that dies here finds the process again.
	if err := errors.Join(c.WriteState(f.identity, id.String()+"\n"), writePid(c, f, id)); err != nil {
		_ = id.Signal(syscall.SIGKILL)
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	go keepTrim(f, id)
	select {
	case st := <-ended:
		_ = errors.Join(c.Remove(f.identity), c.Remove(f.pidfile))
		return native.Fail(drivers.GenericError, "%s %s right after its start%s", path, howEnded(st), lastWords(c, f))
	case <-ctx.Done():
	case <-time.After(settle):
	}
	res := hooked(ctx, c, f)
	if ctx.Err() != nil {
		// Nothing of a start that did not finish in time stays behind.
		end(context.WithoutCancel(ctx), c, append(leftovers(c), id), 0)
		_ = errors.Join(c.Remove(f.identity), c.Remove(f.pidfile))
		if res.RC == drivers.OK {
			res = native.Failed(ctx.Err())
		}
	}
	return res
}

func writePid(c *native.Call, f files, id process.Identity) error {
	if err := os.MkdirAll(filepath.Dir(f.pidfile), 0o755); err != nil {
		return err
	}
	return c.WriteState(f.pidfile, fmt.Sprintf("%d\n", id.Pid))
}

// keepTrim bounds the file of last words as long as the program lives.
func keepTrim(f files, id process.Identity) {
	for id.Alive() {
		trim(f)
		time.Sleep(10 * time.Second)
	}
}

// hooked waits until the monitor hook, if there is one, is content.
func hooked(ctx context.Context, c *native.Call, f files) drivers.Result {
	for {
		res := monitor(ctx, c)
		if res.RC != drivers.GenericError || c.Params.String("monitor_hook") == "" {
			return res
		}
		c.Waiting("monitor_hook: %s", res.Reason)
		if native.Sleep(ctx, 200*time.Millisecond) != nil {
			return res
		}
	}
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	f, err := filesOf(c)
	if err != nil {
		return native.Failed(err)
	}
	id, there, alive, err := recorded(c, f)
	switch {
	case err != nil:
		return native.Failed(err)
	case !there:
		return native.NotRunning()
	case !alive:
		return native.Fail(drivers.NotRunning, "process %d of %s is gone%s", id.Pid, c.Params.String("binfile"), lastWords(c, f))
	}
	hook := c.Params.String("monitor_hook")
	if hook == "" {
		return native.OK()
	}
	if _, err := c.Ask(ctx, "sh", "-c", hook); err != nil {
		return native.Fail(drivers.GenericError, "process %d lives, but monitor_hook failed: %v", id.Pid, err)
	}
	return native.OK()
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	f, err := filesOf(c)
	if err != nil {
		return native.Failed(err)
	}
	id, _, alive, err := recorded(c, f)
	if err != nil {
		return native.Failed(err)
	}
	patience := stopPatience(ctx, c)
	if alive {
		// The program first and alone: it may want to end its children itself.
		if res := end(ctx, c, []process.Identity{id}, patience); res.RC != drivers.OK {
			return res
		}
	}
	if res := end(ctx, c, leftovers(c), min(patience, time.Second)); res.RC != drivers.OK {
		return res
	}
	return native.Failed(errors.Join(c.Remove(f.identity), c.Remove(f.pidfile), c.Remove(f.stderr)))
}

// stopPatience is the time between SIGTERM and SIGKILL.
func stopPatience(ctx context.Context, c *native.Call) time.Duration {
	if text := c.Params.String("stop_timeout"); text != "" {
		if d, err := meta.ParseTime(text); err == nil {
			return d
		}
	}
	return native.Remaining(ctx) * 2 / 3
}

// end ends processes, asking first, and returns when the last is gone.
func end(ctx context.Context, c *native.Call, ids []process.Identity, patience time.Duration) drivers.Result {
	if len(ids) == 0 {
		return native.OK()
	}
	signal := func(sig syscall.Signal) error {
		var errs []error
		for _, id := range ids {
			if !id.Alive() {
				continue
			}
			err := c.Do(fmt.Sprintf("kill -%s %d", map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGKILL: "KILL"}[sig], id.Pid),
				func() error { return id.Signal(sig) })
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	gone := func() bool {
		for _, id := range ids {
			if id.Alive() {
				return false
			}
		}
		return true
	}
	if patience > 0 {
		if err := signal(syscall.SIGTERM); err != nil {
			return native.Failed(err)
		}
		c.Waiting("process %d to end after SIGTERM", ids[0].Pid)
		soft, cancel := context.WithTimeout(ctx, patience)
		err := c.Poll(soft, 20*time.Millisecond, gone)
		cancel()
		if err == nil {
			return native.OK()
		}
	}
	if err := signal(syscall.SIGKILL); err != nil {
		return native.Failed(err)
	}
	c.Waiting("process %d to end after SIGKILL", ids[0].Pid)
	// A little longer than the action has: SIGKILL takes effect at once
	// unless the process is caught in the kernel.
	hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(native.Remaining(ctx), time.Second))
	defer cancel()
	if err := c.Poll(hard, 10*time.Millisecond, gone); err != nil {
		return native.Fail(drivers.GenericError, "process %d does not end after SIGKILL (it is caught in the kernel)", ids[0].Pid)
	}
	return native.OK()
}
