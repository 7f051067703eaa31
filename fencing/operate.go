package fencing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Outlet is what a native method has to know about a device that switches
// power, for one target.
type Outlet interface {
	// Power reads the power. A target that does not exist is an error.
	Power(ctx context.Context) (Power, error)
	// Switch begins to change the power; Power tells when it is done.
	Switch(ctx context.Context, on bool) error
}

// Operate carries out on, off, reboot and status as fence agents do: nothing is
// switched that is in order already, a change is read back until it is there,
// and a reboot is off and on, of which the second may fail.
func Operate(ctx context.Context, c Call, o Outlet) Outcome {
	switch c.Action {
	case Status, Off, On, Reboot:
	default:
		return Fail("", "the action %q is not one of the device", c.Action)
	}
	if c.Action == Off || c.Action == Reboot {
		if !Sleep(ctx, c.Duration(0, "delay")) {
			return OutcomeOf(ctx, ctx.Err())
		}
	}
	power, err := o.Power(ctx)
	if err != nil {
		return OutcomeOf(ctx, err)
	}
	switch c.Action {
	case Status:
		return Outcome{Power: power, Text: "power is " + power.String()}
	case On:
		if power == PowerOn {
			return Outcome{Power: power, Text: "power was on already"}
		}
		if err := change(ctx, c, o, true); err != nil {
			return OutcomeOf(ctx, err)
		}
		return Outcome{Power: PowerOn, Text: "power read as on"}
	}
	text := "was off already"
	if power != PowerOff {
		if err := change(ctx, c, o, false); err != nil {
			return OutcomeOf(ctx, err)
		}
		text = "read as off at " + time.Now().UTC().Format(time.RFC3339)
	}
	if c.Action == Reboot {
		if err := change(ctx, c, o, true); err != nil {
			text += ", could not be switched on again: " + err.Error()
		}
	}
	return Outcome{Power: PowerOff, Text: text}
}

func change(ctx context.Context, c Call, o Outlet, on bool) error {
	want := PowerOff
	if on {
		want = PowerOn
	}
	if err := o.Switch(ctx, on); err != nil {
		return err
	}
	Sleep(ctx, c.Duration(0, "power_wait"))
	limit := time.Now().Add(c.Duration(20*time.Second, "power_timeout"))
	var last error
	power := PowerUnknown
	for {
		if power, last = o.Power(ctx); last == nil && power == want {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			break
		}
		Sleep(ctx, c.Duration(time.Second, "stonith_status_sleep"))
	}
	if last != nil {
		return fmt.Errorf("the power was to be %s, and cannot be read: %w", want, last)
	}
	return &Error{"switch", c.Plug, fmt.Errorf("the power was to be %s, and is %s", want, power), "raise power_timeout, or look at the device"}
}

// OutcomeOf is the outcome of an error; a context that is over makes it a
// timeout.
func OutcomeOf(ctx context.Context, err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	o := Outcome{Code: Failed, Text: err.Error()}
	var e *Error
	if errors.As(err, &e) && e.Hint != "" {
		o.Text, o.Hint = strings.ReplaceAll(o.Text, " ("+e.Hint+")", ""), e.Hint
	}
	if ctx.Err() != nil {
		o.Code = TimedOut
	}
	return o
}

// Sleep waits, and reports whether it did not end before.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
