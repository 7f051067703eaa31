package libvirt

import (
	"context"
	"fmt"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/native"
)

// abortTime is kept at the end of a migration's time for ending it in order.
const abortTime = 5 * time.Second

// target is the node a migration goes to.
func target(c *native.Call) string { return c.Meta["migrate_target"] }

func (v machine) migrateTo(ctx context.Context, c *native.Call) drivers.Result {
	name := v.name(c)
	if target(c) == "" {
		return native.Fail(drivers.NotConfigured, "migration of domain %s: the cluster names no target", name)
	}
	set := v.settings(c)
	conn, err := open(ctx, set.uri)
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	s, err := look(ctx, conn, name)
	if err != nil {
		return failed(err)
	}
	if s.condition != running {
		return native.Fail(drivers.GenericError, "domain %s is %s here and cannot be migrated", name, s.state)
	}
	r, err := v.route(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if r.hypervisor == "" {
		if r.hypervisor, err = conn.URI(ctx); err != nil {
			return failed(err)
		}
	}
	to, err := r.daemon()
	if err != nil {
		return native.Fail(drivers.NotConfigured, "migration of domain %s: %v", name, err)
	}
	if able, err := conn.Supports(ctx, rpc.FeatureMigrationP2P); err == nil && !able {
		return native.Fail(drivers.GenericError, "domain %s: this hypervisor cannot migrate between daemons", name)
	}
	o, err := parseOptions(set.migrateOptions)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if data := r.memory(); data != "" && o.param("migrate_uri") == "" {
		o.params = append(o.params, rpc.Param{Field: "migrate_uri", Value: data})
	}
	if speed := set.speed; speed > 0 {
		if err := c.Do(fmt.Sprintf("virsh migrate-setspeed %s %d", name, speed), func() error { return conn.SetMigrateSpeed(ctx, s.domain, uint64(speed)) }); err != nil {
			return failed(err)
		}
	}
	m := rpc.Migration{Domain: s.domain, To: to, Params: o.params, Flags: o.flags}
	err = c.Do("virsh migrate --live --p2p "+name+" "+to, func() error { return v.move(ctx, c, conn, m) })
	if c.Dry() {
		return native.OK()
	}
	// Looking around must work when the time of the action is over too.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(native.Remaining(ctx), time.Second))
	defer cancel()
	return v.settle(after, c, name, to, err)
}

// move migrates on a connection of its own, and aborts when the time is over:
// neither giving up waiting nor a broken connection would end a migration.
func (v machine) move(ctx context.Context, c *native.Call, control *rpc.Conn, m rpc.Migration) error {
	mover, err := open(ctx, v.settings(c).uri)
	if err != nil {
		return err
	}
	defer mover.Close()
	rest := native.Remaining(ctx)
	work, cancel := context.WithTimeout(ctx, rest-min(abortTime, rest/2))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- mover.Migrate(context.WithoutCancel(ctx), m) }()
	var pause <-chan time.Time
	if v.settings(c).downtime > 0 {
		pause = time.After(2 * second)
	}
	for {
		select {
		case err := <-done:
			return err
		case <-pause:
			pause = nil
			// Only a wish: without it the migration goes on as usual.
			_ = c.Do(fmt.Sprintf("virsh migrate-setmaxdowntime %s %d", m.Domain.Name, v.settings(c).downtime), func() error {
				return control.SetMigrateDowntime(work, m.Domain, uint64(v.settings(c).downtime))
			})
			continue
		case <-work.Done():
		}
		break
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), max(min(native.Remaining(ctx), abortTime)*2/3, time.Second))
	defer stop()
	aborted := c.Do("virsh domjobabort "+m.Domain.Name, func() error { return control.AbortJob(last, m.Domain) })
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("not over in time and aborted: %w", err)
		}
		return nil
	case <-last.Done():
		return fmt.Errorf("not over in time, and no answer to the abort (%v)", aborted)
	}
}

// settle finds out where the domain is after a migration, and makes sure that
// a failed one leaves it running in one place. It never starts or ends it.
func (v machine) settle(ctx context.Context, c *native.Call, name, to string, migration error) drivers.Result {
	here, err := lookAt(ctx, v.settings(c).uri, name)
	if err != nil {
		return native.Fail(drivers.GenericError, "domain %s: after the migration to %s (%v) its state here is unknown: %v", name, target(c), migration, err)
	}
	switch {
	case migration == nil && here.condition == stopped:
		return native.Failed(c.Remove(v.memoFile(c)))
	case migration == nil:
		return native.Fail(drivers.GenericError, "domain %s is still %s here although libvirt says it was migrated to %s", name, here.state, target(c))
	case here.condition == running:
		return native.Fail(drivers.GenericError, "domain %s goes on running here; migration to %s failed: %v", name, target(c), migration)
	}
	there, err := lookAt(ctx, to, name)
	switch {
	case err == nil && there.condition == running && here.condition == stopped:
		return native.Failed(c.Remove(v.memoFile(c))) // only the answer was lost
	case here.condition == incoming && err == nil && there.condition == stopped:
		if err := v.resume(ctx, c, here.domain); err != nil {
			return failed(fmt.Errorf("domain %s is paused here after a failed migration to %s (%v): %w", name, target(c), migration, err))
		}
		return native.Fail(drivers.GenericError, "domain %s runs here again; migration to %s failed: %v", name, target(c), migration)
	case err != nil:
		return native.Fail(drivers.GenericError, "domain %s is %s here and unknown on %s (%v); migration failed: %v", name, here.state, target(c), err, migration)
	}
	return native.Fail(drivers.GenericError, "domain %s is %s here and %s on %s; migration failed: %v", name, here.state, there.state, target(c), migration)
}

func (v machine) resume(ctx context.Context, c *native.Call, dom rpc.Domain) error {
	conn, err := open(ctx, v.settings(c).uri)
	if err != nil {
		return err
	}
	defer conn.Close()
	return c.Do("virsh resume "+dom.Name, func() error { return conn.Resume(ctx, dom) })
}

func lookAt(ctx context.Context, uri, name string) (seen, error) {
	conn, err := open(ctx, uri)
	if err != nil {
		return seen{condition: unclear}, err
	}
	defer conn.Close()
	return look(ctx, conn, name)
}

func (v machine) migrateFrom(ctx context.Context, c *native.Call) drivers.Result {
	name := v.name(c)
	conn, err := open(ctx, v.settings(c).uri)
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	var s seen
	c.Waiting("domain %s to arrive from %s", name, c.Meta["migrate_source"])
	if err := c.Poll(ctx, lookAgain, func() bool {
		s, err = look(ctx, conn, name)
		return err == nil && (s.condition == running || s.condition == broken)
	}); err != nil {
		return native.Fail(drivers.GenericError, "domain %s did not arrive from %s: it is %s here", name, c.Meta["migrate_source"], s.state)
	}
	if s.condition == broken {
		return native.Fail(drivers.GenericError, "domain %s arrived and is %s (reason %d)", name, s.state, s.reason)
	}
	if err := v.remember(c, name); err != nil {
		return native.Failed(err)
	}
	return recordUtilization(ctx, c, conn, s.domain, v.settings(c).utilization)
}
