package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"gcrm/drivers"
	"gcrm/drivers/meta"
)

// Unit is one systemd unit.
type Unit struct {
	name drivers.Name
	unit string
	o    Options
}

// Metadata describes the actions every unit has; units have no parameters.
func (u *Unit) Metadata(ctx context.Context) (string, error) {
	const s = time.Second
	a := meta.Agent{Name: u.name.Type, Version: "1.0", Short: "systemd unit " + u.unit, Actions: []meta.Action{
		{Name: "start", Timeout: 100 * s}, {Name: "stop", Timeout: 100 * s}, {Name: "status", Timeout: 100 * s},
		{Name: "monitor", Timeout: 100 * s, Interval: 60 * s}, {Name: "meta-data", Timeout: 5 * s},
	}}
	if conn, err := u.o.Dial(ctx); err == nil {
		defer conn.Close()
		if p, err := conn.GetUnitPropertyContext(ctx, u.unit, "Description"); err == nil {
			if text, ok := p.Value.Value().(string); ok {
				a.Long = text
			}
		}
	}
	return a.XML(), nil
}

// Run implements drivers.Agent. An enabled unit stays enabled and a disabled
// one disabled; the cluster is only as good as the former is avoided.
func (u *Unit) Run(ctx context.Context, req drivers.Request) drivers.Result {
	if req.Action == drivers.MetaData {
		text, err := u.Metadata(ctx)
		if err != nil {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
		return drivers.Result{Output: text}
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	var act func(context.Context, *sd.Conn, drivers.Request) drivers.Result
	switch req.Action {
	case drivers.Start:
		act = u.start
	case drivers.Stop:
		act = u.stop
	case drivers.Monitor, "status":
		act = u.monitor
	default:
		return drivers.Result{RC: drivers.Unimplemented, Reason: fmt.Sprintf("systemd units have no action %s", req.Action)}
	}
	if ctx.Err() != nil {
		return u.ended(ctx, req, "before it began")
	}
	conn, err := u.o.Dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return u.ended(ctx, req, "connecting to systemd")
		}
		return drivers.Result{RC: drivers.NotInstalled, Status: drivers.Error,
			Reason: fmt.Sprintf("unit %s: systemd does not run on %s or cannot be reached over D-Bus: %v", u.unit, req.Node.Name, err)}
	}
	defer conn.Close()
	res := act(ctx, conn, req)
	if ctx.Err() != nil && res.RC != drivers.OK {
		return u.ended(ctx, req, res.Reason)
	}
	return res
}

func (u *Unit) ended(ctx context.Context, req drivers.Request, doing string) drivers.Result {
	res := drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut,
		Reason: fmt.Sprintf("%s of unit %s timed out: %s", req.Action, u.unit, doing)}
	if errors.Is(ctx.Err(), context.Canceled) {
		res.Status = drivers.Cancelled
		res.Reason = fmt.Sprintf("%s of unit %s was cancelled", req.Action, u.unit)
	}
	return res
}

func (u *Unit) start(ctx context.Context, conn *sd.Conn, req drivers.Request) drivers.Result {
	if err := u.addDropIn(ctx, conn); err != nil {
		return failed(u.unit, err)
	}
	if res := u.job(ctx, conn.StartUnitContext, "start"); res.RC != drivers.OK {
		return res
	}
	res := u.monitor(ctx, conn, req)
	if res.RC == drivers.NotRunning {
		res.RC = drivers.GenericError
		res.Reason = fmt.Sprintf("unit %s is not active after its start; see journalctl -u %s", u.unit, u.unit)
	}
	return res
}

func (u *Unit) stop(ctx context.Context, conn *sd.Conn, req drivers.Request) drivers.Result {
	load, _, err := u.state(ctx, conn)
	if err != nil {
		return failed(u.unit, err)
	}
	if load == "not-found" {
		return drivers.Result{} // what systemd does not know it does not run
	}
	if err := u.removeDropIn(ctx, conn); err != nil {
		return failed(u.unit, err)
	}
	if res := u.job(ctx, conn.StopUnitContext, "stop"); res.RC != drivers.OK {
		return res
	}
	res := u.monitor(ctx, conn, req)
	switch res.RC {
	case drivers.NotRunning:
		return drivers.Result{}
	case drivers.OK:
		return drivers.Result{RC: drivers.GenericError, Reason: fmt.Sprintf("unit %s is still active after its stop", u.unit)}
	}
	return res
}

// job queues a job and waits for its result.
func (u *Unit) job(ctx context.Context, queue func(context.Context, string, string, chan<- string) (int, error), what string) drivers.Result {
	done := make(chan string, 1) // buffered: an unread result would hold up the connection
	if _, err := queue(ctx, u.unit, "replace", done); err != nil {
		return failed(u.unit, err)
	}
	select {
	case result := <-done:
		if result == "done" {
			return drivers.Result{}
		}
		return drivers.Result{RC: drivers.GenericError,
			Reason: fmt.Sprintf("systemd could not %s unit %s: job %s; see journalctl -u %s", what, u.unit, result, u.unit)}
	case <-ctx.Done():
		return drivers.Result{RC: drivers.GenericError, Reason: fmt.Sprintf("waiting for the %s job of systemd", what)}
	}
}

// monitor maps the state of the unit; one in transition is watched until it
// has arrived.
func (u *Unit) monitor(ctx context.Context, conn *sd.Conn, req drivers.Request) drivers.Result {
	pause := 100 * time.Millisecond
	longest := 2 * time.Second
	if req.Timeout > 0 {
		longest = min(longest, req.Timeout/10)
	}
	for {
		load, active, err := u.state(ctx, conn)
		switch {
		case err != nil:
			return failed(u.unit, err)
		case load == "not-found":
			return drivers.Result{RC: drivers.NotInstalled, Reason: fmt.Sprintf("systemd has no unit %s", u.unit)}
		case load == "masked":
			return drivers.Result{RC: drivers.NotInstalled, Reason: fmt.Sprintf("unit %s is masked: systemctl unmask %s makes it usable", u.unit, u.unit)}
		}
		switch active {
		case "active", "reloading":
			return drivers.Result{}
		case "failed":
			return drivers.Result{RC: drivers.NotRunning, Reason: fmt.Sprintf("unit %s has failed; see journalctl -u %s", u.unit, u.unit)}
		case "activating", "deactivating", "refreshing", "maintenance":
		default:
			return drivers.Result{RC: drivers.NotRunning}
		}
		select {
		case <-ctx.Done():
			return drivers.Result{RC: drivers.GenericError, Reason: "unit is still " + active}
		case <-time.After(pause):
			pause = min(2*pause, longest)
		}
	}
}

func (u *Unit) state(ctx context.Context, conn *sd.Conn) (load, active string, err error) {
	for name, into := range map[string]*string{"LoadState": &load, "ActiveState": &active} {
		p, err := conn.GetUnitPropertyContext(ctx, u.unit, name)
		if err != nil {
			return "", "", err
		}
		*into, _ = p.Value.Value().(string)
	}
	return load, active, nil
}

// dropIn is the file that keeps systemd from restarting a service behind the
// cluster's back, and from stopping it before the cluster at shutdown.
func (u *Unit) dropIn() string {
	return filepath.Join(u.o.RuntimeDir, u.unit+".d", "50-gcrm.conf")
}

func (u *Unit) addDropIn(ctx context.Context, conn *sd.Conn) error {
	text := "[Unit]\nDescription=Cluster controlled " + u.unit + "\nBefore=gcrm.service\n"
	if strings.HasSuffix(u.unit, ".service") {
		text += "\n[Service]\nRestart=no\n"
	}
	path := u.dropIn()
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return conn.ReloadContext(ctx)
}

func (u *Unit) removeDropIn(ctx context.Context, conn *sd.Conn) error {
	err := os.Remove(u.dropIn())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(u.dropIn())) // stays if others put something there
	return conn.ReloadContext(ctx)
}

// failed maps errors of systemd.
func failed(unit string, err error) drivers.Result {
	res := drivers.Result{RC: drivers.GenericError, Reason: fmt.Sprintf("unit %s: %v", unit, err)}
	var de dbus.Error
	if errors.As(err, &de) {
		switch de.Name {
		case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.systemd1.LoadFailed", "org.freedesktop.systemd1.UnitMasked":
			res.RC = drivers.NotInstalled
		case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
			res.RC = drivers.Permission
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		res.RC = drivers.Permission
	}
	return res
}
