// Package methodtest is for the tests of fencing methods: the contract that each
// of them keeps in the situations in which fencing goes wrong, and counterparts
// that several methods have.
package methodtest

import (
	"cmp"
	"strings"
	"testing"

	"gcrm/fencing"
)

// Situation is one in which fencing goes wrong, or seems to.
type Situation string

const (
	// WrongPassword: the device does not know the user, the password or the key.
	WrongPassword Situation = "wrong password"
	// Timeout: the device takes the question and does not answer.
	Timeout Situation = "timeout"
	// Garbage: what answers does not speak the device's language.
	Garbage Situation = "garbage"
	// AlreadyOff: the node that is to be off is off.
	AlreadyOff Situation = "already off"
	// GoneMidway: the device took the order, and is not there when the power
	// is read back.
	GoneMidway Situation = "device gone in the middle"
)

// Situations are those that every method is tested in.
var Situations = [...]Situation{WrongPassword, Timeout, Garbage, AlreadyOff, GoneMidway}

// Case is a method in one situation.
type Case struct {
	// Do brings the situation about, lets the method act in it, and returns
	// what came of it.
	Do func(t *testing.T) fencing.Outcome
	// Text and Hint are parts of what the administrator must be told.
	Text, Hint string
	// Fine says why success is right, where it is not that the node was off
	// already and the power was read.
	Fine string
	// Cannot says why the method cannot get into the situation; Do is nil then.
	Cannot string
}

// Run tests a method in all situations. None of its messages may hold the
// secrets; each has to say what to do, unless all is well.
func Run(t *testing.T, cases map[Situation]Case, secrets ...string) {
	t.Helper()
	for _, s := range Situations {
		t.Run(string(s), func(t *testing.T) {
			c, known := cases[s]
			switch {
			case !known:
				t.Fatal("the situation is missing")
			case c.Do == nil && c.Cannot == "":
				t.Fatal("neither a test, nor a reason why there is none")
			case c.Do == nil:
				t.Log("cannot be: ", c.Cannot)
				return
			}
			o := c.Do(t)
			if s == AlreadyOff || c.Fine != "" {
				if o.Code != fencing.Succeeded || c.Fine == "" && o.Power != fencing.PowerOff {
					t.Errorf("no success: %+v", o)
				}
				if !strings.Contains(o.Text, cmp.Or(c.Text, map[bool]string{true: "already"}[c.Fine == ""])) {
					t.Errorf("says: %q", o.Text)
				}
			} else {
				if o.Code != fencing.Failed && o.Code != fencing.TimedOut {
					t.Errorf("no failure: %+v", o)
				}
				if o.Text == "" || !strings.Contains(o.Text, c.Text) {
					t.Errorf("does not say what is wrong (%q): %+v", c.Text, o)
				}
				if c.Hint == "" || !strings.Contains(o.Hint, c.Hint) {
					t.Errorf("does not say what to do (%q): %+v", c.Hint, o)
				}
				if strings.Contains(o.Text, o.Hint) && o.Hint != "" {
					t.Errorf("says twice what to do: %+v", o)
				}
			}
			for _, secret := range secrets {
				if strings.Contains(o.Text+o.Hint, secret) {
					t.Errorf("tells the secret: %+v", o)
				}
			}
			if !t.Failed() {
				t.Logf("%s: %s (%s)", o.Code, o.Text, o.Hint)
			}
		})
	}
}
