package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/succession"
)

// waits are the settings with which commits wait for a replica for as long
// as it takes.
const waits = "SET GLOBAL rpl_semi_sync_master_timeout=4294967295, rpl_semi_sync_master_wait_no_slave=ON, rpl_semi_sync_master_enabled=ON"

// keepBooks records what every replica is worth. A replica counts when
// commits wait for replicas and one has caught up; when none is left, that is
// recorded before commits go on without.
func keepBooks(ctx context.Context, c *native.Call) error {
	l, err := open(ctx, c)
	if err != nil {
		return err
	}
	if err := l.Keep(ctx, func() (bool, error) { return review(ctx, c, l) }); err != nil {
		return err
	}
	readable := "1"
	return c.SetAttribute(ctx, readerAttribute(c), &readable)
}

// review is one round of keepBooks; settled is false while a replica is
// about to catch up.
func review(ctx context.Context, c *native.Call, l *succession.Ledger) (settled bool, err error) {
	row, err := query(ctx, c, "SELECT @@rpl_semi_sync_master_enabled, "+variable("Rpl_semi_sync_master_status")+", "+variable("Rpl_semi_sync_master_clients"))
	if err != nil {
		return false, err
	}
	f := strings.Split(row, "\t")
	if len(f) != 3 {
		return false, fmt.Errorf("the server answers %.80q", row)
	}
	enabled, caughtUp := f[0] == "1", f[1] == "ON"
	clients, err := strconv.Atoi(f[2])
	if err != nil {
		return false, fmt.Errorf("the server answers %.80q", row)
	}
	hosts, err := query(ctx, c, "SHOW SLAVE HOSTS")
	if err != nil {
		return false, err
	}
	connected := map[string]bool{}
	for line := range strings.Lines(hosts) {
		if w := strings.Split(strings.TrimRight(line, "\n"), "\t"); len(w) > 1 {
			connected[strings.ToLower(w[1])] = true
		}
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return false, err
	}
	var there []string
	for _, cp := range copies {
		if strings.EqualFold(cp.Node, c.Node.Name) {
			continue
		}
		// Of a node that is lost the server hears nothing for a while.
		if connected[strings.ToLower(cp.Node)] && cp.Running {
			there = append(there, cp.Node)
		} else if err := l.Record(ctx, cp.Node, succession.Disconnected); err != nil {
			return false, err
		}
	}
	acks := clients > 0 && len(there) > 0
	is := succession.Potential
	if enabled && caughtUp && clients >= len(there) && acks {
		is = succession.Synchronous
	}
	for _, node := range there {
		if err := l.Record(ctx, node, is); err != nil {
			return false, err
		}
	}
	switch {
	case acks && !enabled:
		return false, apply(ctx, c, waits, "")
	case !acks && enabled:
		return true, apply(ctx, c, "SET GLOBAL rpl_semi_sync_master_enabled=OFF", "")
	}
	return !acks || caughtUp, nil
}

func variable(name string) string {
	return "(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='" + name + "')"
}

func promote(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if !alive {
		return native.NotRunning()
	}
	readOnly, err := query(ctx, c, "SELECT @@read_only")
	if err != nil {
		return native.Failed(err)
	}
	if readOnly == "0" {
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
	if err := l.Claim(ctx, rule(), own); err != nil {
		return native.Fail(drivers.GenericError, "the server on %s is not promoted: %v", c.Node.Name, err)
	}
	if err := finish(ctx, c); err != nil {
		return native.Failed(err)
	}
	if err := l.Succeed(ctx); err != nil {
		return native.Failed(err)
	}
	if _, err := options(c, "MASTER"); err != nil {
		return native.Failed(err)
	}
	if err := apply(ctx, c, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_master_enabled=OFF; SET GLOBAL read_only=OFF", ""); err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	return native.Failed(keepBooks(ctx, c))
}

// finish applies everything that the replica has received.
func finish(ctx context.Context, c *native.Call) error {
	s, err := replica(ctx, c)
	if err != nil || len(s) == 0 {
		return err
	}
	if err := apply(ctx, c, "STOP SLAVE IO_THREAD", ""); err != nil || c.Dry() {
		return err
	}
	if s["Slave_SQL_Running"] != "Yes" {
		if err := apply(ctx, c, "START SLAVE SQL_THREAD", ""); err != nil {
			return err
		}
	}
	c.Waiting("the replica to apply what it has received")
	for {
		if s, err = replica(ctx, c); err != nil {
			return err
		}
		row, err := query(ctx, c, "SELECT @@gtid_slave_pos")
		if err != nil {
			return err
		}
		has, err1 := parseGTID(row)
		wants, err2 := parseGTID(s["Gtid_IO_Pos"])
		if err1 == nil && err2 == nil && has.covers(wants) {
			return nil
		}
		if s["Slave_SQL_Running"] != "Yes" {
			return fmt.Errorf("what the replica has received cannot be applied: error %s %s", s["Last_SQL_Errno"], s["Last_SQL_Error"])
		}
		if err := native.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// calm ends writing: nobody commits after it, and what was committed is on a
// replica, if there is one.
func calm(ctx context.Context, c *native.Call) error {
	if err := apply(ctx, c, "SET GLOBAL read_only=ON", ""); err != nil {
		return err
	}
	ids, err := query(ctx, c, "SELECT id FROM information_schema.processlist WHERE id<>CONNECTION_ID() AND user NOT IN ('system user','event_scheduler') AND command NOT LIKE 'Binlog Dump%' AND command<>'Daemon'")
	if err != nil {
		return err
	}
	for _, id := range strings.Fields(ids) {
		// One that is gone meanwhile is what was wanted.
		if err := apply(ctx, c, "KILL "+id, ""); err != nil && !strings.Contains(err.Error(), "1094") {
			return err
		}
	}
	c.Waiting("replicas to acknowledge the last commits")
	limit, cancel := context.WithTimeout(ctx, native.Remaining(ctx)/3)
	defer cancel()
	_ = c.Poll(limit, 50*time.Millisecond, func() bool { // later is too late, and no reason to go on as primary
		n, err := query(ctx, c, "SELECT "+variable("Rpl_semi_sync_master_wait_sessions"))
		return err == nil && n == "0"
	})
	return nil
}

func demote(ctx context.Context, c *native.Call) drivers.Result {
	_, alive, err := running(c)
	if err != nil {
		return native.Failed(err)
	}
	if !alive {
		return native.NotRunning()
	}
	readOnly, err := query(ctx, c, "SELECT @@read_only")
	if err != nil {
		return native.Failed(err)
	}
	if readOnly == "0" {
		if err := calm(ctx, c); err != nil {
			return native.Failed(err)
		}
		if err := apply(ctx, c, "SET GLOBAL rpl_semi_sync_master_enabled=OFF", ""); err != nil {
			return native.Failed(err)
		}
	}
	return standing(ctx, c)
}
