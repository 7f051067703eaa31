package watchdog

import (
	"context"
	"os"

	"gcrm/fencing"
)

// Method is fence_watchdog: it stands in the configuration for the nodes'
// watchdogs and limits the nodes that stonith-watchdog-timeout holds for. The
// machine waits itself; nothing is ever executed.
type Method struct {
	fencing.Description
	// Path is the device whose presence a monitor looks at.
	Path string
}

// NewMethod returns the method.
func NewMethod() *Method {
	return &Method{Path: "/dev/watchdog", Description: fencing.Description{Name: "fence_watchdog", Short: "the watchdogs of the nodes",
		Long:    "Limits, with pcmk_host_list, the nodes for which the property stonith-watchdog-timeout holds.",
		Actions: []string{fencing.Off, fencing.Reboot, fencing.Monitor},
		Params:  []fencing.Param{{Name: "nodename", Short: "node; the cluster gives it"}}}}
}

// Proves implements [fencing.Judge]: its success would prove nothing; the time
// that the machine waits does.
func (*Method) Proves() fencing.Proves { return fencing.Never }

// Do implements [fencing.Method].
func (m *Method) Do(_ context.Context, c fencing.Call) fencing.Outcome {
	if c.Action == fencing.Monitor {
		if _, err := os.Stat(m.Path); err != nil {
			return fencing.Fail("load the driver of the hardware's watchdog, or softdog", "this node has no watchdog: %v", err)
		}
		return fencing.Outcome{}
	}
	return fencing.Fail("set stonith-watchdog-timeout: the cluster waits for that time, and asks no device", "a watchdog cannot be asked to act")
}
