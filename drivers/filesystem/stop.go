package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// fastStop is the time budget of a stop with fast_stop set.
const fastStop = 6 * time.Second

// pressure is how users of a mount are made to let go.
type pressure struct {
	signals  bool // send any at all
	linkOnly bool // count as users only whose links lead there (safe)
	term     []syscall.Signal
	kill     []syscall.Signal
	delay    time.Duration // between a signal and the next attempt
}

func readPressure(v meta.Values) (pressure, error) {
	p := pressure{delay: v.Duration("signal_delay")}
	switch mode := v.String("force_unmount"); mode {
	case "safe", "move", "ps", "xargs":
		// The newer words tell the script how to list processes; they are
		// one here.
		p.signals, p.linkOnly = true, true
	default:
		on, ok := meta.ParseBool(mode)
		if !ok {
			return p, fmt.Errorf("parameter force_unmount: %q is neither true, false nor safe", mode)
		}
		p.signals = on
	}
	var err error
	if p.term, err = signals(v.String("term_signals")); err != nil {
		return p, fmt.Errorf("parameter term_signals: %w", err)
	}
	if p.kill, err = signals(v.String("kill_signals")); err != nil {
		return p, fmt.Errorf("parameter kill_signals: %w", err)
	}
	return p, nil
}

func signals(s string) ([]syscall.Signal, error) {
	var out []syscall.Signal
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' }) {
		n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
		if n == 0 {
			return nil, fmt.Errorf("%q is not the name of a signal", name)
		}
		out = append(out, n)
	}
	return out, nil
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	t, err := read(c)
	if err != nil {
		return native.OK() // with such parameters nothing can have been mounted
	}
	press, err := readPressure(c.Params)
	if err != nil {
		press = pressure{signals: true, term: []syscall.Signal{unix.SIGTERM}, kill: []syscall.Signal{unix.SIGKILL}, delay: time.Second}
	}
	s, err := look(t)
	if err != nil {
		return native.Failed(err)
	}
	if !s.ours {
		if s.buried {
			return native.Fail(drivers.GenericError, "%s is mounted on %s above %s; unmount it by hand", s.at.source, t.directory, t.device)
		}
		return native.OK()
	}
	if level, _ := c.Level(); level == 20 {
		_ = c.Remove(statusFile(c, t)) // the file system may be read-only
	}
	budget := native.Remaining(ctx)
	if c.Params.Bool("fast_stop") {
		budget = min(budget, fastStop)
	}
	// Leave a moment for the last look and the answer.
	limit, cancel := context.WithTimeout(ctx, budget*95/100)
	defer cancel()

	for _, m := range unmountOrder(t, s) {
		if res := unmount(limit, c, t, m, press); res.RC != drivers.OK {
			return res
		}
	}
	for range 64 { // the same target may be mounted there several times
		if c.Dry() {
			return native.OK()
		}
		if s, err = look(t); err != nil {
			return native.Failed(err)
		}
		if !s.ours {
			flush(t)
			return native.OK()
		}
		if res := unmount(limit, c, t, s.at, press); res.RC != drivers.OK {
			return res
		}
	}
	return native.Fail(drivers.GenericError, "%s is still mounted on %s", t.device, t.directory)
}

// unmountOrder lists everything that must go: what is mounted below, the
// same tree bound elsewhere (with what is below that), and the mount itself.
func unmountOrder(t target, s situation) []mount {
	var out []mount
	add := func(ms ...mount) {
		for _, m := range ms {
			if !slices.ContainsFunc(out, func(x mount) bool { return x.id == m.id }) {
				out = append(out, m)
			}
		}
	}
	add(below(s.table, t.directory)...)
	if t.block || t.options.loop {
		for _, m := range siblings(s.table, s.at) {
			add(below(s.table, m.point)...)
			add(m)
		}
	}
	add(s.at)
	return out
}

// unmount unmounts one mount point, signalling its users half of the time
// gently and half of the time hard. It never detaches lazily: a file system
// that is still in use below would be damaged when its device moves on.
func unmount(ctx context.Context, c *native.Call, t target, m mount, press pressure) drivers.Result {
	network := slices.Contains(network, m.fstype)
	find := search{point: m.point, device: !press.linkOnly && !t.bind && !network && m.root == "/", major: m.major, minor: m.minor}
	began := time.Now()
	half := began.Add(native.Remaining(ctx) / 2)
	var nextSignal time.Time
	var last []user
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		flags, command := unix.UMOUNT_NOFOLLOW, "umount "+m.point
		hard := time.Now().After(half)
		if hard && network {
			flags, command = flags|unix.MNT_FORCE, "umount -f "+m.point
		}
		err := c.Do(command, func() error { return unix.Unmount(m.point, flags) })
		switch {
		case err == nil || errors.Is(err, unix.EINVAL) && !stillMounted(m):
			return native.OK()
		case !errors.Is(err, unix.EBUSY):
			return native.Failed(err)
		}
		last = users(find)
		if press.signals && time.Now().After(nextSignal) {
			if hard {
				last = kill(c, find, last, press.kill)
			} else {
				signalAll(c, last, press.term)
			}
			nextSignal = time.Now().Add(max(press.delay, 100*time.Millisecond))
			pause = 10 * time.Millisecond
		}
		c.Waiting("%s to be free: %s", m.point, blockers(last, otherUse(m.point)))
		if native.Sleep(ctx, pause) != nil {
			break
		}
	}
	how := "force_unmount is off, so they were not signalled"
	if press.signals {
		how = "signals did not help"
	}
	return native.Fail(drivers.GenericError, "cannot unmount %s: %s; %s", m.point, blockers(last, otherUse(m.point)), how)
}

// kill signals users and everybody they started meanwhile: a process that dies
// between two looks may leave a child behind that holds the same files.
func kill(c *native.Call, find search, found []user, sigs []syscall.Signal) []user {
	done := map[int]bool{}
	for range 10 {
		fresh := slices.DeleteFunc(slices.Clone(found), func(u user) bool { return done[u.Pid] })
		if len(fresh) == 0 {
			break
		}
		signalAll(c, fresh, sigs)
		for _, u := range fresh {
			done[u.Pid] = true
		}
		found = users(find)
	}
	return found
}

func signalAll(c *native.Call, list []user, sigs []syscall.Signal) {
	for _, u := range list {
		for _, sig := range sigs {
			_ = c.Do(fmt.Sprintf("kill -%s %d (%s, %s)", strings.TrimPrefix(unix.SignalName(sig), "SIG"), u.Pid, u.name, u.how),
				func() error { return u.Signal(sig) })
		}
	}
}

func stillMounted(m mount) bool {
	table, err := mounts()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(table, func(x mount) bool { return x.id == m.id })
}

// flush empties the buffers of the device, so that the next node to use it
// reads what this one wrote.
func flush(t target) {
	if !t.block {
		return
	}
	f, err := os.OpenFile(t.device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0)
}
