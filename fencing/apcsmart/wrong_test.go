package apcsmart

import (
	"testing"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestSmartGoesWrong: a UPS at the other end of a pseudo-terminal.
func TestSmartGoesWrong(t *testing.T) {
	off := func(t *testing.T, u *fakeUPS) fencing.Outcome { return do(t, quick(), u.plug(t), fencing.Off) }
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: "a serial line has no password"},
		methodtest.Timeout: {Text: "does not answer", Hint: "cable", Do: func(t *testing.T) fencing.Outcome {
			return off(t, &fakeUPS{silent: true})
		}},
		methodtest.Garbage: {Text: "smart mode", Hint: "Smart-UPS", Do: func(t *testing.T) fencing.Outcome {
			return off(t, &fakeUPS{rubbish: true})
		}},
		methodtest.AlreadyOff: {Do: func(t *testing.T) fencing.Outcome { return off(t, &fakeUPS{}) }},
		methodtest.GoneMidway: {Text: "cannot be read", Hint: "cable", Do: func(t *testing.T) fencing.Outcome {
			return off(t, &fakeUPS{on: true, dies: true})
		}},
	})
}
