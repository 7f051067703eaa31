package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/fencing/keeper"
	"gcrm/fencing/sbd"
	"gcrm/fencing/watchdog"
)

// errCrashed is the end that tests ask for.
var errCrashed = errors.New("crashed")

// ended reports whether the node has left in order, so that nothing runs that a
// reset would have to end. In other cases the watchdog is not disarmed: the
// others count on it.
func (o *Options) ended(err error) bool { return err == nil && !o.LeaveRunning }

// watchOver arms the watchdog and takes the node's places at the shared disks.
// armed is the time after which others may count on this machine being reset.
func (o *Options) watchOver(node string, exit func()) (k *keeper.Keeper, armed time.Duration, err error) {
	if o.Keeper == nil {
		return nil, 0, nil
	}
	reset := o.Reset
	if reset == nil {
		reset = func(how sbd.Command, why string) {
			// Whoever reads the console later wants to know.
			if f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
				_, _ = fmt.Fprintf(f, "<0>gcrm: %s of this node: %s\n", how, why)
			}
			keeper.ResetMachine(how)
		}
	}
	c := keeper.Config{Node: node, Timeout: o.Keeper.Timeout, Disks: o.Keeper.Devices, Cluster: true, Reset: reset, Exit: exit,
		Log: o.Log.With("room", "keeper"),
		Open: func(ctx context.Context, disk string) (keeper.Station, error) {
			return sbd.OpenStation(ctx, disk, node, o.Keeper.Clean)
		}}
	if o.Keeper.Watchdog != "" {
		w, err := watchdog.Open(o.Keeper.Watchdog, o.Keeper.Timeout)
		if err != nil {
			return nil, 0, err
		}
		c.Watchdog, armed = w, w.Timeout()
		o.Log.Info("the watchdog is armed", "device", o.Keeper.Watchdog, "name", w.Name(), "timeout", w.Timeout())
	} else {
		o.Log.Warn("no watchdog is used: if this machine hangs, nothing resets it, and other nodes do not count on it")
	}
	if k, err = keeper.Start(c); err != nil && c.Watchdog != nil {
		err = errors.Join(err, c.Watchdog.Disarm())
	}
	return k, armed, err
}
