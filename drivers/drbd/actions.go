package drbd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/replication/admin"
)

func meansTrue(s string) bool { b, _ := meta.ParseBool(s); return b }

func (h host) validate(ctx context.Context, c *native.Call) drivers.Result {
	_, _, res := h.suitable(ctx, c)
	return res
}

func (h host) monitor(ctx context.Context, c *native.Call) drivers.Result {
	s, err := h.state(ctx, c)
	if err != nil {
		return native.Fail(drivers.GenericError, "%v", err)
	}
	if !s.configured() && c.Probe() {
		return native.NotRunning()
	}
	if err := h.publish(ctx, c, s); err != nil {
		return native.Failed(err)
	}
	return running(s)
}

func running(s state) drivers.Result {
	switch {
	case !s.configured():
		return native.NotRunning()
	case s.primary():
		return drivers.Result{RC: drivers.RunningPromoted}
	}
	return native.OK()
}

func (h host) start(ctx context.Context, c *native.Call) drivers.Result {
	v, devices, res := h.suitable(ctx, c)
	if res.RC != drivers.OK {
		// Best effort: the start has failed already, with a better reason.
		_ = c.SetPromotionScore(ctx, nil)
		return res
	}
	if h.nativeCore(ctx, c) {
		return h.nativeStart(ctx, c)
	}
	if res := h.load(ctx, c); res.RC != drivers.OK {
		return res
	}
	attachFailed, found := false, false
	for first := true; ; first = false {
		s, err := h.state(ctx, c)
		if err != nil {
			return native.Failed(err)
		}
		if first {
			found = s.configured()
		}
		switch {
		case s.primary():
			if err := c.Change(ctx, h.admin(ctx, c, "secondary")...); err != nil {
				c.Waiting("DRBD resource %s to become Secondary: %v", c.Params.String("drbd_resource"), err)
			}
		case s.configured() && !s.anyDisk("Diskless"), s.configured() && s.diskless():
			return h.connect(ctx, c, v)
		default:
			if first {
				// Only tells whether the backing device has grown.
				_ = c.Change(ctx, h.admin(ctx, c, "check-resize")...)
			}
			if err := h.create(ctx, c, s, v, devices); err != nil {
				return native.Failed(err)
			}
			argv := h.admin(ctx, c, "attach")
			if v[0] >= 9 {
				argv = h.admin(ctx, c, "adjust", "--skip-net")
			}
			if err := c.Change(ctx, argv...); err != nil {
				if found { // it ran without its disk before, by the data of its peer
					return h.connect(ctx, c, v)
				}
				if attachFailed {
					return native.Fail(drivers.GenericError, "%v: check the backing device and its DRBD meta-data (drbdadm dump-md %s)", err, c.Params.String("drbd_resource"))
				}
				attachFailed = true
			} else if v[0] >= 9 || c.Dry() {
				return h.connect(ctx, c, v) // a node of version 9 may be without disk by configuration
			}
		}
		if c.Dry() {
			return native.OK()
		}
		if first && !attachFailed {
			continue
		}
		if err := native.Sleep(ctx, h.pause); err != nil {
			return native.Failed(err)
		}
	}
}

// load loads the module with the parameters the configuration asks for.
func (h host) load(ctx context.Context, c *native.Call) drivers.Result {
	if loaded, err := native.Exists(h.proc); err != nil || loaded {
		return native.Failed(err)
	}
	// Modules since 8.4 have no parameter that must be given.
	params, _ := c.Ask(ctx, "drbdadm", "sh-mod-parms")
	if err := c.Change(ctx, append([]string{"modprobe", "-s", "drbd"}, strings.Fields(params)...)...); err != nil {
		return native.Fail(drivers.NotInstalled, "the DRBD module cannot be loaded: %v", err)
	}
	return native.OK()
}

// create makes the resource and its minors and waits for their device nodes.
func (h host) create(ctx context.Context, c *native.Call, s state, v version, devices []string) error {
	if len(s.volumes) > 0 {
		return nil
	}
	if !s.exists {
		if err := c.Change(ctx, h.admin(ctx, c, "new-resource")...); err != nil {
			return err
		}
	}
	if err := c.Change(ctx, h.admin(ctx, c, "new-minor")...); err != nil {
		return err
	}
	c.Waiting("the device nodes %s", strings.Join(devices, ", "))
	return c.Poll(ctx, min(h.pause, 200*time.Millisecond), func() bool {
		return !slices.ContainsFunc(devices, func(d string) bool { ok, err := native.Exists(d); return err != nil || !ok })
	})
}

// connect ends a start: connections, a bounded wait for them, the score.
func (h host) connect(ctx context.Context, c *native.Call, v version) drivers.Result {
	if !c.Params.Bool("connect_only_after_promote") {
		// The data of a promoted peer is the one to follow.
		if at := promotedElsewhere(c); v[0] >= 9 && len(at) > 0 {
			argv := h.admin(ctx, c, "adjust")
			argv[len(argv)-1] += ":" + at[0]
			// The names of cluster and DRBD may differ: then all at once.
			_ = c.Change(ctx, argv...)
		}
		if err := h.adjust(ctx, c, v); err != nil {
			return native.Failed(err)
		}
		limit, cancel := context.WithTimeout(ctx, time.Duration(c.Params.Int("wfc_timeout"))*time.Second)
		defer cancel()
		// A start without its peers is a good start.
		_ = c.Poll(limit, min(h.pause, 200*time.Millisecond), func() bool {
			s, err := h.state(ctx, c)
			return err != nil || s.connected()
		})
	}
	if c.Dry() {
		return native.OK()
	}
	s, err := h.state(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if err := h.publish(ctx, c, s); err != nil {
		return native.Failed(err)
	}
	if !s.configured() {
		return native.Fail(drivers.GenericError, "DRBD resource %s is gone right after its start", c.Params.String("drbd_resource"))
	}
	return native.OK()
}

// direct stops the resource without its configuration.
func (h host) direct(ctx context.Context, c *native.Call, name string) error {
	if !h.nativeCore(ctx, c) {
		return c.Change(ctx, "drbdsetup", "down", name)
	}
	return c.Do("stop the process of "+name, func() error {
		a, err := h.folder(c).Call(ctx, name, admin.Call{Command: "down"})
		if err == nil && a.Error != "" {
			err = errors.New(a.Error)
		}
		return err
	})
}

// adjust brings the kernel to what the configuration says; version 8.4 is told
// which of several possible peers is meant.
func (h host) adjust(ctx context.Context, c *native.Call, v version) error {
	argv := h.admin(ctx, c, "adjust")
	if at := others(c, "notify_start_uname", "notify_promote_uname", "notify_promoted_uname", "notify_master_uname",
		"notify_unpromoted_uname", "notify_slave_uname", "notify_demote_uname"); v[0] < 9 && len(at) > 0 && !h.nativeCore(ctx, c) {
		argv = slices.Insert(argv, len(argv)-2, "--peer", at[0])
	}
	return c.Change(ctx, argv...)
}

func (h host) reload(ctx context.Context, c *native.Call) drivers.Result {
	s, err := h.state(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if !s.configured() {
		return native.Fail(drivers.GenericError, "DRBD resource %s is not started, there is nothing to reload", c.Params.String("drbd_resource"))
	}
	if err := c.Change(ctx, h.admin(ctx, c, "adjust")...); err != nil {
		return native.Failed(err)
	}
	if s, err = h.state(ctx, c); err == nil {
		err = h.publish(ctx, c, s)
	}
	return native.Failed(err)
}

func (h host) promote(ctx context.Context, c *native.Call) drivers.Result {
	began := time.Now()
	v, _, res := h.suitable(ctx, c)
	if res.RC == drivers.OK {
		res = h.raise(ctx, c, v)
	}
	if wait := min(h.calm-time.Since(began), native.Remaining(ctx)-second); res.RC != drivers.OK && !c.Dry() && wait > 0 {
		// Its end, too, is the end of the action.
		_ = native.Sleep(ctx, wait)
	}
	return res
}

func (h host) raise(ctx context.Context, c *native.Call, v version) drivers.Result {
	name := c.Params.String("drbd_resource")
	var last error
	for first := true; ; first = false {
		s, err := h.state(ctx, c)
		switch {
		case err != nil && ctx.Err() != nil && last != nil:
			return native.Fail(drivers.GenericError, "DRBD resource %s did not become Primary: %v", name, last)
		case err != nil:
			return native.Failed(err)
		case !s.configured():
			return native.Fail(drivers.GenericError, "DRBD resource %s is not started and cannot be promoted", name)
		case s.primary():
			if c.Params.Bool("connect_only_after_promote") {
				return native.Failed(h.adjust(ctx, c, v))
			}
			return native.OK()
		case !first && c.Params.Bool("fail_promote_early_if_peer_primary") && promotedMax(c) == 1 && s.peerPrimary() && len(promotedElsewhere(c)) == 0:
			_ = c.SetPromotionScore(ctx, nil)
			return native.Fail(drivers.GenericError, "a peer of DRBD resource %s is Primary although the cluster has promoted none: demote it there (drbdadm secondary %s): %v", name, name, last)
		}
		last = c.Change(ctx, h.admin(ctx, c, "primary")...)
		var exit *native.ExitError
		if errors.As(last, &exit) && exit.Outcome.Code == 17 {
			return native.Fail(drivers.GenericError, "DRBD resource %s has no access to data that is up to date, or its peer could not be fenced: %v; look at drbdadm status %s and connect the peer that has the data", name, last, name)
		}
		if c.Dry() {
			return native.OK()
		}
		if last == nil && first {
			continue
		}
		if native.Sleep(ctx, h.pause) != nil {
			return native.Fail(drivers.GenericError, "DRBD resource %s did not become Primary: %v", name, last)
		}
	}
}

// lower makes the resource Secondary; gone is true if it is not running.
func (h host) lower(ctx context.Context, c *native.Call) (gone bool, err error) {
	var last error
	held := func() error {
		return errors.Join(errors.New("still Primary; stop or unmount what has its device open"), last)
	}
	for {
		s, err := h.state(ctx, c)
		if err != nil && ctx.Err() != nil && last != nil {
			return false, held() // the time is over, and this is why
		}
		if err != nil {
			return false, err
		}
		if !s.primary() {
			return !s.configured(), nil
		}
		err = c.Change(ctx, h.admin(ctx, c, "secondary")...)
		if c.Dry() {
			return false, nil
		}
		if last == nil || ctx.Err() == nil { // a command cut off tells less than the one before it
			last = err
		}
		if last == nil {
			if s, err := h.state(ctx, c); err == nil && !s.primary() {
				continue
			}
		}
		if native.Sleep(ctx, h.pause) != nil {
			return false, held()
		}
	}
}

func (h host) demote(ctx context.Context, c *native.Call) drivers.Result {
	gone, err := h.lower(ctx, c)
	switch {
	case err != nil:
		return native.Fail(drivers.GenericError, "DRBD resource %s: %v", c.Params.String("drbd_resource"), err)
	case gone:
		return native.NotRunning()
	}
	return native.OK()
}

func (h host) stop(ctx context.Context, c *native.Call) drivers.Result {
	name := c.Params.String("drbd_resource")
	fail := func(err error) drivers.Result {
		return native.Fail(drivers.GenericError, "DRBD resource %s cannot be stopped: %v", name, err)
	}
	var last error
	for {
		s, err := h.state(ctx, c)
		if err != nil {
			return fail(err)
		}
		if !s.exists {
			break
		}
		if s.primary() {
			if _, err := h.lower(ctx, c); err != nil {
				return fail(err)
			}
		}
		if last = c.Change(ctx, h.admin(ctx, c, "down")...); last != nil {
			// The kernel can be told without a configuration that is right.
			if direct := h.direct(ctx, c, name); direct == nil {
				last = nil
			}
		}
		if c.Dry() {
			break
		}
		if s, err = h.state(ctx, c); err == nil && !s.exists {
			break
		}
		if native.Sleep(ctx, h.pause) != nil {
			return fail(errors.Join(errors.New("still in the kernel"), last))
		}
	}
	h.outdate(ctx, c)
	h.farewell(ctx, c)
	return native.OK()
}

// farewell takes the promotion score back. That it cannot be done without a leader is no
// failure of the stop, as DRBD is down: a node without quorum, or back from a loss, has to
// be able to give up what it has. The score ends with this life of the node, and the next
// start says anew what it is.
func (h host) farewell(ctx context.Context, c *native.Call) {
	limit, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	_ = c.SetPromotionScore(limit, nil)
}

// outdate marks the local data as older than that of a node which stays
// promoted, if that is asked for. DRBD's own fencing policies do not need it.
func (h host) outdate(ctx context.Context, c *native.Call) bool {
	if !c.Params.Bool("stop_outdates_secondary") {
		return false
	}
	stopping := others(c, "notify_stop_uname")
	staying := slices.DeleteFunc(promotedElsewhere(c), func(n string) bool { return slices.Contains(stopping, n) })
	if len(staying) == 0 {
		return false
	}
	// It fails where it is done already, and must not keep a stop from ending.
	return c.Change(ctx, h.admin(ctx, c, "outdate")...) == nil
}

// notify follows the changes of other instances. It never fails: what it did
// not do, the next monitor finds.
func (h host) notify(ctx context.Context, c *native.Call) drivers.Result {
	kind, operation := c.Meta["notify_type"], c.Meta["notify_operation"]
	if operation == "start" && !c.Params.Bool("connect_only_after_promote") {
		if v, res := h.module(ctx, c); res.RC == drivers.OK {
			_ = h.adjust(ctx, c, v)
		}
	}
	if kind != "post" {
		return native.OK()
	}
	s, err := h.state(ctx, c)
	if err != nil {
		return drivers.Result{Reason: err.Error()}
	}
	if s.configured() && !s.primary() && s.peerDisksUnknown() && h.outdate(ctx, c) {
		if c.SetPromotionScore(ctx, nil) == nil {
			return native.OK()
		}
	}
	if err := h.publish(ctx, c, s); err != nil {
		return drivers.Result{Reason: err.Error()}
	}
	return native.OK()
}
