package watchdog

import (
	"path/filepath"
	"testing"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// TestWatchdogGoesWrong: fence_watchdog itself never acts; what its time proves
// is in the transcripts of the machine. The real counterpart, the kernel's
// driver, is in the lab (cluster/simtest/lab): softdog is not to be had
// everywhere.
func TestWatchdogGoesWrong(t *testing.T) {
	methodtest.Run(t, map[methodtest.Situation]methodtest.Case{
		methodtest.WrongPassword: {Cannot: "there is nobody to log in to"},
		methodtest.Garbage:       {Cannot: "a watchdog is only written to; one that grants another time is refused (TestDeviceThatIsTooSlowOrNone)"},
		methodtest.AlreadyOff:    {Cannot: "the time is waited for in any case (watchdog.txt)"},
		methodtest.Timeout: {Text: "cannot be asked", Hint: "stonith-watchdog-timeout", Do: func(t *testing.T) fencing.Outcome {
			return NewMethod().Do(t.Context(), fencing.Call{Action: fencing.Off, Target: "n1"})
		}},
		methodtest.GoneMidway: {Text: "no watchdog", Hint: "softdog", Do: func(t *testing.T) fencing.Outcome {
			m := NewMethod()
			m.Path = filepath.Join(t.TempDir(), "none")
			return m.Do(t.Context(), fencing.Call{Action: fencing.Monitor})
		}},
	})
}
