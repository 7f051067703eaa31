package pgsql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/succession"
)

// A replicated server starts as a standby, whatever it was, and becomes the
// primary by promote alone. Which copy may is decided by package succession.

// replicated tells whether the servers replicate under the cluster's rule.
func replicated(c *native.Call) bool {
	mode := c.Params.String("rep_mode")
	return mode == "sync" || mode == "async"
}

func rule(c *native.Call) succession.Rule {
	return succession.Rule{Lagging: c.Params.String("rep_mode") == "async", Every: true, Compare: comparePositions}
}

// comparePositions orders "TIMELINE/LSN", both in hexadecimal with leading
// zeros.
func comparePositions(a, b string) (int, bool) { return strings.Compare(a, b), true }

// position builds such a text from a timeline and an LSN as the server
// prints it (HIGH/LOW in hexadecimal).
func position(timeline, lsn string) (string, error) {
	t, err := strconv.ParseUint(timeline, 10, 32)
	high, low, ok := strings.Cut(lsn, "/")
	h, err1 := strconv.ParseUint(high, 16, 32)
	l, err2 := strconv.ParseUint(low, 16, 32)
	if err := errors.Join(err, err1, err2); err != nil || !ok {
		return "", fmt.Errorf("the server tells its position as %q/%q", timeline, lsn)
	}
	return fmt.Sprintf("%08X/%08X%08X", t, h, l), nil
}

// The position of a standby is what it has received or recovered; the
// timeline is that of the newest record it must replay.
const positionSQL = `SELECT greatest((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery())),
 greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0'::pg_lsn)`

func ownPosition(ctx context.Context, c *native.Call) (string, error) {
	row, err := ask(ctx, c, positionSQL)
	if err != nil {
		return "", err
	}
	t, lsn, _ := strings.Cut(row, "|")
	return position(t, lsn)
}

func open(ctx context.Context, c *native.Call) (*succession.Ledger, error) {
	l, err := succession.Open(ctx, c, c.Params.Words("node_list"), "xlog-loc")
	if err != nil {
		return nil, err
	}
	l.Limit, l.Looks = time.Duration(c.Params.Int("crm_attr_timeout"))*second, c.Params.Int("xlog_check_count")
	return l, nil
}

// follow prepares the server for following the primary at master_ip.
func follow(c *native.Call) drivers.Result {
	major, err := version(c)
	if err != nil {
		return native.Failed(err)
	}
	if major < 13 {
		return native.Fail(drivers.NotConfigured, "rep_mode=%s: %s has a data base of PostgreSQL %d; the built-in agent replicates from 13 on, the script of this name earlier ones too",
			c.Params.String("rep_mode"), c.Params.String("pgdata"), major)
	}
	o, err := owner(c)
	if err != nil {
		return native.Failed(err)
	}
	if err := configure(c, nil); err != nil {
		return native.Failed(err)
	}
	return native.Failed(o.Touch(c, signalFile(c), 0o600))
}

func version(c *native.Call) (int, error) {
	raw, err := os.ReadFile(filepath.Join(c.Params.String("pgdata"), "PG_VERSION"))
	if err != nil {
		return 0, err
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(raw)), ".")
	return strconv.Atoi(text)
}

func startCopy(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if alive {
		return standing(ctx, c)
	}
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	if err := l.Leave(ctx); err != nil { // what a server that died left
		return native.Failed(err)
	}
	if res := bury(ctx, c); res.RC != drivers.OK {
		return res
	}
	if res := rejoin(ctx, c, l); res.RC != drivers.OK {
		return res
	}
	if res := follow(c); res.RC != drivers.OK {
		return res
	}
	if res := startServer(ctx, c); res.RC != drivers.OK || c.Dry() {
		return res
	}
	return standing(ctx, c)
}

// rejoin deals with a server that was primary and did not end in order. If
// another is primary now, what this one has beyond its successor was never
// acknowledged: it is taken back.
func rejoin(ctx context.Context, c *native.Call, l *succession.Ledger) drivers.Result {
	if there, err := native.Exists(lockFile(c)); err != nil || !there {
		return native.Failed(err)
	}
	copies, err := l.Copies(ctx)
	if err != nil {
		return native.Failed(err)
	}
	v := c.Params
	switch succession.Of(copies, c.Node.Name).Standing {
	case succession.Latest, succession.Unknown:
		return native.OK() // nobody took over
	}
	primary := succession.PrimaryOf(copies, c.Node.Name)
	if primary == "" {
		return native.Fail(drivers.GenericError, "the server on %s was primary and another took over, which is not there now: this copy may have commits of its own; "+
			"it joins by itself once a primary runs (to take it as it is, remove %s)", c.Node.Name, lockFile(c))
	}
	source := fmt.Sprintf("host=%s port=%d user=%s dbname=%s", v.String("master_ip"), v.Int("pgport"), v.String("repuser"), v.String("pgdb"))
	words, env := withoutPassword(v.String("primary_conninfo_opt"))
	if words != "" {
		source += " " + words
	}
	// Until its first checkpoint a server that was just promoted tells pg_rewind
	// the timeline of before (PostgreSQL documentation, pg_rewind, "Notes").
	client, err := c.Tool(v.String("psql"))
	if err != nil {
		return native.Failed(err)
	}
	checkpoint := []string{client, "-X", "-q", "-w", "-d", source, "-c", "CHECKPOINT"}
	argv := []string{filepath.Join(filepath.Dir(tool(c, "pgctl")), "pg_rewind"), "--target-pgdata=" + v.String("pgdata"), "--source-server=" + source, "--config-file=" + config(c)}
	keep, err := os.ReadFile(config(c))
	if err != nil {
		return native.Failed(err)
	}
	for _, command := range [][]string{checkpoint, argv} {
		if err = c.Do(native.Quote(command), func() error {
			_, err := asOwner(ctx, c, env, command...)
			return err
		}); err != nil {
			break
		}
	}
	if err != nil {
		return native.Fail(drivers.GenericError, "the server on %s was primary and %s took over; what it has beyond that could not be taken back (%v): "+
			"make its data anew with pg_basebackup and remove %s", c.Node.Name, primary, err, lockFile(c))
	}
	// The files of the configuration come from the source; this server's own
	// stay.
	o, err := owner(c)
	if err == nil {
		err = o.Write(c, config(c), string(keep), 0o600)
	}
	if err == nil {
		err = c.Remove(lockFile(c))
	}
	return native.Failed(err)
}

// withoutPassword takes the password out of the words of a connection, for the
// environment: everybody can read the arguments of a program.
func withoutPassword(conninfo string) (words string, env []string) {
	pattern := regexp.MustCompile(`\bpassword\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)
	for _, m := range pattern.FindAllStringSubmatch(conninfo, -1) {
		secret := strings.TrimSuffix(strings.TrimPrefix(m[1], "'"), "'")
		env = []string{"PGPASSWORD=" + regexp.MustCompile(`\\(.)`).ReplaceAllString(secret, "$1")}
	}
	return strings.Join(strings.Fields(pattern.ReplaceAllString(conninfo, "")), " "), env
}

// tool is the path of a program with links resolved: those that belong
// together lie in one folder.
func tool(c *native.Call, param string) string {
	path, err := c.Tool(c.Params.String(param))
	if err != nil {
		return c.Params.String(param)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// standing sets status and promotion score of a standby.
func standing(ctx context.Context, c *native.Call) drivers.Result {
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	status := "HS:alone"
	copies, err := l.Copies(ctx)
	if err != nil {
		return native.Failed(err)
	}
	if succession.PrimaryOf(copies, c.Node.Name) != "" {
		switch succession.Of(copies, c.Node.Name).Standing {
		case succession.Synchronous:
			status = "HS:sync"
		case succession.Asynchronous:
			status = "HS:async"
		case succession.Potential:
			status = "HS:potential"
		}
	}
	if err := l.SetStatus(ctx, status); err != nil {
		return native.Failed(err)
	}
	why, err := l.Stand(ctx, rule(c), func() (string, error) { return ownPosition(ctx, c) })
	if err != nil {
		return native.Failed(err)
	}
	return drivers.Result{Output: why}
}

func monitorCopy(ctx context.Context, c *native.Call) drivers.Result {
	recovering, err := ask(ctx, c, "SELECT pg_is_in_recovery()")
	if err != nil {
		return native.Fail(drivers.GenericError, "the server runs but does not answer: %v", err)
	}
	if c.Params.Bool("check_wal_receiver") {
		if err := tellReceiver(ctx, c, recovering == "t"); err != nil {
			return native.Failed(err)
		}
	}
	if recovering == "t" {
		return standing(ctx, c)
	}
	if res := answers(ctx, c); res.RC != drivers.OK {
		return res
	}
	if err := keepBooks(ctx, c); err != nil {
		return native.Fail(drivers.GenericError, "what the standbys are worth cannot be recorded: %v", err)
	}
	return drivers.Result{RC: drivers.RunningPromoted}
}

// tellReceiver sets the node attribute that parameter check_wal_receiver
// asks for.
func tellReceiver(ctx context.Context, c *native.Call, standby bool) error {
	base, _, _ := strings.Cut(c.Resource, ":")
	value := "normal (master)"
	if standby {
		rows, err := ask(ctx, c, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'")
		if err != nil {
			return err
		}
		if value = "normal"; rows == "0" {
			value = "ERROR"
		}
	}
	return c.SetAttribute(ctx, base+"-receiver-status", &value)
}

func stopCopy(ctx context.Context, c *native.Call) drivers.Result {
	patience := "stop_escalate_in_slave"
	primary := false
	if there, err := native.Exists(signalFile(c)); err == nil && !there {
		patience, primary = "stop_escalate", true
	}
	orderly, res := stopServer(ctx, c, patience)
	if res.RC != drivers.OK {
		return res
	}
	if primary && orderly {
		// Its last record is in every standby that could take over.
		if err := c.Remove(lockFile(c)); err != nil {
			return native.Failed(err)
		}
	}
	l, err := open(ctx, c)
	if err != nil {
		return native.Failed(err)
	}
	return native.Failed(l.Leave(ctx))
}

// notify has the standbys look at once when the primary is gone or new, and
// the primary when a standby is.
func notify(ctx context.Context, c *native.Call) drivers.Result {
	if !replicated(c) || c.Meta["notify_type"] != "post" {
		return native.OK()
	}
	if _, alive, err := running(c); err != nil || !alive {
		return native.Failed(err)
	}
	recovering, err := ask(ctx, c, "SELECT pg_is_in_recovery()")
	switch {
	case err != nil:
		return native.Failed(err)
	case recovering == "t":
		return standing(ctx, c)
	}
	return native.Failed(keepBooks(ctx, c))
}
