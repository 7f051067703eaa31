package pgsql

import (
	"context"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/succession"
)

// follower is a standby as the primary sees it.
type follower struct {
	state, sync string
	flushed     bool // up to the point asked for
}

func followers(ctx context.Context, c *native.Call, lsn string) (map[string]follower, error) {
	rows, err := ask(ctx, c, "SELECT application_name, state, sync_state, coalesce(flush_lsn >= '"+lsn+"'::pg_lsn, false) FROM pg_stat_replication")
	if err != nil {
		return nil, err
	}
	out := map[string]follower{}
	for row := range strings.Lines(rows) {
		if f := strings.Split(strings.TrimSpace(row), "|"); len(f) == 4 {
			out[f[0]] = follower{f[1], f[2], f[3] == "t"}
		}
	}
	return out, nil
}

// keepBooks records what every standby is worth, and has commits wait for
// those that follow. It only trusts a standby when commits wait for it and
// it has everything from before that; and distrusts it before they stop
// waiting.
func keepBooks(ctx context.Context, c *native.Call) error {
	l, err := open(ctx, c)
	if err != nil {
		return err
	}
	return l.Keep(ctx, func() (bool, error) { return review(ctx, c, l) })
}

// review is one round of keepBooks; settled is false while a standby is
// about to become synchronous.
func review(ctx context.Context, c *native.Call, l *succession.Ledger) (settled bool, err error) {
	names := synchronous(c) // commits wait for these since before the next line
	now, err := ask(ctx, c, "SELECT pg_current_wal_lsn()")
	if err != nil {
		return false, err
	}
	seen, err := followers(ctx, c, now)
	if err != nil {
		return false, err
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return false, err
	}
	sync := c.Params.String("rep_mode") == "sync"
	settled = true
	want := slices.Clone(names)
	for _, node := range l.Nodes {
		if strings.EqualFold(node, c.Node.Name) {
			continue
		}
		f := seen[node]
		is := succession.Disconnected
		switch {
		case f.state != "streaming" || !succession.Of(copies, node).Running:
			// Of a node that is lost the server hears nothing for a while.
			want = slices.DeleteFunc(want, func(n string) bool { return n == node })
		case !sync:
			is = succession.Asynchronous
		case !slices.Contains(names, node):
			want, settled = append(want, node), false
			continue // its standing stays what it is until commits wait for it
		case f.sync != "sync" || !f.flushed:
			settled = false
			continue
		default:
			is = succession.Synchronous
		}
		if err := l.Record(ctx, node, is); err != nil {
			return false, err
		}
	}
	return settled, commitsWaitFor(ctx, c, want)
}

func promote(ctx context.Context, c *native.Call) drivers.Result {
	if !replicated(c) {
		return native.Fail(drivers.NotConfigured, "promote needs rep_mode=sync or async")
	}
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if !alive {
		return native.NotRunning()
	}
	recovering, err := ask(ctx, c, "SELECT pg_is_in_recovery()")
	if err != nil {
		return native.Failed(err)
	}
	if recovering == "f" {
		return native.Failed(keepBooks(ctx, c))
	}
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	own, err := ownPosition(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if err := l.Claim(ctx, rule(c), own); err != nil {
		return native.Fail(drivers.GenericError, "the server on %s is not promoted: %v", c.Node.Name, err)
	}
	o, err := owner(c)
	if err != nil {
		return native.Failed(err)
	}
	if err := configure(c, nil); err != nil {
		return native.Failed(err)
	}
	if err := l.Succeed(ctx); err != nil {
		return native.Failed(err)
	}
	if err := o.Write(c, lockFile(c), c.Node.Name+"\n", 0o600); err != nil {
		return native.Failed(err)
	}
	if res := lead(ctx, c); res.RC != drivers.OK || c.Dry() {
		return res
	}
	if err := slots(ctx, c, l.Nodes); err != nil {
		return native.Failed(err)
	}
	return native.Failed(keepBooks(ctx, c))
}

// lead makes the standby a primary.
func lead(ctx context.Context, c *native.Call) drivers.Result {
	if c.Params.Bool("restart_on_promote") {
		if _, res := stopServer(ctx, c, "stop_escalate_in_slave"); res.RC != drivers.OK {
			return res
		}
		if err := c.Remove(signalFile(c)); err != nil {
			return native.Failed(err)
		}
		if res := startServer(ctx, c); res.RC != drivers.OK {
			return res
		}
	} else {
		argv := []string{c.Params.String("pgctl"), "-D", c.Params.String("pgdata"), "-W", "promote"}
		err := c.Do(native.Quote(argv), func() error {
			_, err := asOwner(ctx, c, nil, argv...)
			return err
		})
		if err != nil {
			return native.Failed(err)
		}
	}
	c.Waiting("the server to end its recovery")
	err := c.Poll(ctx, 100*time.Millisecond, func() bool {
		recovering, err := ask(ctx, c, "SELECT pg_is_in_recovery()")
		return err == nil && recovering == "f"
	})
	if err != nil {
		return native.Fail(drivers.GenericError, "the server does not end its recovery%s", lastError(c.Params.String("logfile")))
	}
	return native.OK()
}

// slots makes the replication slots of the other nodes.
func slots(ctx context.Context, c *native.Call, nodes []string) error {
	prefix := c.Params.String("replication_slot_name")
	if prefix == "" {
		return nil
	}
	for _, n := range nodes {
		if strings.EqualFold(n, c.Node.Name) {
			continue
		}
		slot := slotOf(prefix, n)
		sql := "SELECT pg_create_physical_replication_slot('" + slot + "') WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + slot + "')"
		if err := c.Do("psql -c "+native.Quote([]string{sql}), func() error { _, err := ask(ctx, c, sql); return err }); err != nil {
			return err
		}
	}
	return nil
}

// demote makes the primary a standby again, which is a restart: a fast
// shutdown sends everything to the standbys first.
func demote(ctx context.Context, c *native.Call) drivers.Result {
	if !replicated(c) {
		return native.Fail(drivers.NotConfigured, "demote needs rep_mode=sync or async")
	}
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if alive {
		if recovering, err := ask(ctx, c, "SELECT pg_is_in_recovery()"); err == nil && recovering == "t" {
			return native.OK()
		}
	}
	if res := stopCopy(ctx, c); res.RC != drivers.OK {
		return res
	}
	return startCopy(ctx, c)
}
