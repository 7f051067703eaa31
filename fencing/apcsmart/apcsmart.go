// Package apcsmart is the plug-in apcsmart: nodes behind an APC Smart-UPS that
// this node reaches over a serial line.
package apcsmart

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/fencing"
)

const (
	outputOff    = 0x40 // in the register "~"
	shuttingDown = 0x08 // in register 3, command "8"
)

// Method is apcsmart.
type Method struct {
	fencing.Description
	// times are shorter in tests.
	pause, reply, between time.Duration
	poll                  time.Duration
}

// New returns the method.
func New() *Method {
	return &Method{pause: 50 * time.Millisecond, reply: 3 * time.Second, between: 1700 * time.Millisecond, poll: time.Second,
		Description: fencing.Description{Name: "apcsmart", Short: "APC Smart-UPS over a serial line",
			Long: "Switches the output of an APC Smart-UPS that feeds the nodes in hostlist. Only the node that the line ends at can do it: " +
				"keep the device from others by location constraints.",
			Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List},
			Params: fencing.WithPower(
				fencing.Param{Name: "ttydev", Required: true, Short: "serial device, as /dev/ttyS0"},
				fencing.Param{Name: "method", Type: "select", Values: []string{"cycle", "onoff"}, Default: "cycle",
					Short: "how a reboot is done: by one command of the UPS, or by off and on"},
				fencing.Param{Name: "hostlist", Required: true, Short: "nodes that the UPS feeds"},
			)}}
}

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	hosts := fencing.ParseHostList(c.Param("hostlist", ""))
	if c.Action == fencing.List {
		return fencing.Outcome{Hosts: hosts}
	}
	if c.Target != "" && !slices.Contains(hosts, strings.ToLower(c.Plug)) && !slices.Contains(hosts, strings.ToLower(c.Target)) {
		return fencing.Fail("add the node to hostlist, if the UPS feeds it", "%s is not fed by this UPS (hostlist)", c.Target)
	}
	path := c.Param("ttydev", "")
	if path == "" {
		return fencing.Fail("set ttydev", "no serial device is given")
	}
	f, err := openLine(path)
	if err != nil {
		return fencing.Fail("check ttydev, and that the UPS is at this node; else keep the device from it by a location constraint", "%v", err)
	}
	defer f.Close()
	u := &ups{method: m, line: newLine(f), path: path}
	u.line.pause, u.line.reply = m.pause, m.reply
	if err := u.smart(ctx); err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	switch c.Action {
	case fencing.Monitor:
		_, err := u.register(ctx, "Q")
		return fencing.OutcomeOf(ctx, err)
	case fencing.Reboot:
		if c.Param("method", "cycle") == "onoff" {
			break
		}
		if !fencing.Sleep(ctx, c.Duration(0, "delay")) {
			return fencing.OutcomeOf(ctx, ctx.Err())
		}
		return u.reset(ctx, c)
	}
	return fencing.Operate(ctx, c, u)
}

type ups struct {
	method *Method
	line   *line
	path   string
}

func (u *ups) failed(err error) error {
	return &fencing.Error{Op: "ask UPS at", On: u.path, Err: err, Hint: "check the cable (APC 940-0024C) and that the UPS is a Smart-UPS"}
}

// smart enters the mode in which commands are understood.
func (u *ups) smart(ctx context.Context) error {
	answer, err := u.line.ask(ctx, "Y")
	if err == nil && answer != "SM" {
		err = fmt.Errorf("it answers %q to the start of its smart mode", answer)
	}
	if err != nil {
		return u.failed(err)
	}
	return nil
}

// command does a command in smart mode.
func (u *ups) command(ctx context.Context, c string) (string, error) {
	if err := u.smart(ctx); err != nil {
		return "", err
	}
	answer, err := u.line.ask(ctx, c)
	if err != nil {
		return "", u.failed(err)
	}
	if answer == "NA" {
		return "", u.failed(errors.New("it refuses the command"))
	}
	return answer, nil
}

// register reads a number in hexadecimal.
func (u *ups) register(ctx context.Context, c string) (uint64, error) {
	answer, err := u.command(ctx, c)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(answer), 16, 32)
	if err != nil {
		return 0, u.failed(fmt.Errorf("it answers %q to %q", answer, c))
	}
	return n, nil
}

// Power implements [fencing.Outlet].
func (u *ups) Power(ctx context.Context) (fencing.Power, error) {
	r, err := u.register(ctx, "~")
	switch {
	case err != nil:
		return fencing.PowerUnknown, err
	case r&outputOff != 0:
		return fencing.PowerOff, nil
	}
	return fencing.PowerOn, nil
}

// Switch implements [fencing.Outlet]: the key is pressed twice.
func (u *ups) Switch(ctx context.Context, on bool) error {
	key := "Z"
	if on {
		key = "\x0e"
	}
	if err := u.smart(ctx); err != nil {
		return err
	}
	// The first press is answered by nothing, and some do not answer the
	// second; what counts is the register that is read after it.
	first := *u.line
	first.reply = u.method.poll / 10
	if a, err := first.ask(ctx, key); err != nil && !errors.Is(err, errSilent) {
		return u.failed(err)
	} else if a == "NA" {
		return u.failed(errors.New("it refuses the command"))
	}
	if !fencing.Sleep(ctx, u.method.between) {
		return ctx.Err()
	}
	a, err := first.ask(ctx, key)
	if err != nil && !errors.Is(err, errSilent) {
		return u.failed(err)
	} else if a == "NA" {
		return u.failed(errors.New("it refuses the command"))
	}
	return nil
}

// cycle changes a setting to its smallest value, or to the one wanted, and
// returns what it was and is.
func (u *ups) cycle(ctx context.Context, setting, want string) (was, is string, err error) {
	if was, err = u.command(ctx, setting); err != nil {
		return "", "", err
	}
	next := func() (string, error) {
		if _, err := u.command(ctx, setting); err != nil { // selects it
			return "", err
		}
		if a, err := u.line.ask(ctx, "-"); err != nil || a != "OK" {
			return "", u.failed(errors.Join(fmt.Errorf("setting %q cannot be changed (%q)", setting, a), err))
		}
		return u.command(ctx, setting)
	}
	if want == "" {
		want = was
		for v, n := was, 0; n < 16; n++ {
			if v, err = next(); err != nil {
				return was, was, err
			}
			if v == was {
				break
			}
			if less(v, want) {
				want = v
			}
		}
	}
	is = was
	for n := 0; is != want && n < 16; n++ {
		if is, err = next(); err != nil {
			return was, is, err
		}
	}
	return was, is, nil
}

func less(a, b string) bool {
	x, err1 := strconv.Atoi(strings.TrimSpace(a))
	y, err2 := strconv.Atoi(strings.TrimSpace(b))
	return err1 == nil && err2 == nil && x < y
}

// reset switches the output off and on again, as fast as the UPS can.
func (u *ups) reset(ctx context.Context, c fencing.Call) fencing.Outcome {
	grace := 180 * time.Second // until the smallest is known
	for _, setting := range []string{"p", "r"} {
		was, is, err := u.cycle(ctx, setting, "")
		if err != nil {
			return fencing.OutcomeOf(ctx, err)
		}
		if was != is {
			defer func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
				defer cancel()
				_, _, _ = u.cycle(ctx, setting, was) // the UPS works with either
			}()
		}
		if n, err := strconv.Atoi(strings.TrimSpace(is)); err == nil && setting == "p" {
			grace = time.Duration(n) * time.Second
		}
	}
	answer, err := u.command(ctx, "S")
	if err == nil && answer != "*" && answer != "OK" {
		err = u.failed(fmt.Errorf("it answers %q to the soft shutdown", answer))
	}
	if err != nil {
		// It does that only on battery; it has another command.
		if answer, err = u.command(ctx, "@000"); err == nil && answer != "*" && answer != "OK" {
			err = u.failed(fmt.Errorf("it answers %q to the shutdown", answer))
		}
	}
	if err != nil {
		return fencing.OutcomeOf(ctx, err)
	}
	for end := time.Now().Add(grace + 10*time.Second); time.Now().Before(end); {
		if r, err := u.register(ctx, "8"); err == nil && r&shuttingDown != 0 {
			return fencing.Outcome{Power: fencing.PowerOff, Text: "the UPS has switched its output off"}
		}
		if !fencing.Sleep(ctx, u.method.poll) {
			return fencing.OutcomeOf(ctx, ctx.Err())
		}
	}
	return fencing.Fail("look at the UPS", "the UPS took the command, but did not switch its output off within %s", grace+10*time.Second)
}
