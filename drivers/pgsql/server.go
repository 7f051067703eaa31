package pgsql

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/database"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// running finds the server by the first line of postmaster.pid.
func running(c *native.Call) (process.Identity, bool, error) {
	return database.Running(filepath.Join(c.Params.String("pgdata"), "postmaster.pid"), "postgres", "postmaster")
}

// orphans are processes of a server whose main process died. They hold its
// shared memory; a second server beside them would destroy the data.
func orphans(c *native.Call) []process.Identity {
	data, err := filepath.EvalSymlinks(c.Params.String("pgdata"))
	if err != nil {
		return nil
	}
	all, _ := process.All()
	var out []process.Identity
	for _, p := range all {
		if p.State == 'Z' || p.Name != "postgres" && p.Name != "postmaster" {
			continue
		}
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.Pid)); err == nil && cwd == data {
			out = append(out, p.Identity)
		}
	}
	return out
}

// bury waits for orphans to end, as they do by themselves, and ends them
// after a few seconds.
func bury(ctx context.Context, c *native.Call) drivers.Result {
	left := orphans(c)
	for i := 0; len(left) > 0 && !c.Dry(); i++ {
		if i == 50 {
			for _, id := range left {
				_ = c.Do(fmt.Sprintf("kill -KILL %d", id.Pid), func() error { return id.Signal(syscall.SIGKILL) })
			}
		}
		c.Waiting("process %d of a server that died to end", left[0].Pid)
		if err := native.Sleep(ctx, 100*time.Millisecond); err != nil {
			return native.Failed(err)
		}
		left = orphans(c)
	}
	return native.OK()
}

func owner(c *native.Call) (database.Owner, error) {
	return database.LookupOwner(c.Params.String("pgdba"), "")
}

// asOwner runs one of PostgreSQL's programs as the user of the server.
func asOwner(ctx context.Context, c *native.Call, env []string, argv ...string) (string, error) {
	path, err := c.Tool(argv[0])
	if err != nil {
		return "", err
	}
	o, err := owner(c)
	if err != nil {
		return "", err
	}
	out := process.Run(ctx, process.Command{Path: path, Args: argv[1:], User: o.Credential(), Dir: c.Params.String("pgdata"),
		Env: append([]string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "HOME=" + o.Home, "USER=" + o.Name, c.Mark(),
			"LD_LIBRARY_PATH=" + c.Params.String("pglibs")}, env...)})
	if out.Code != 0 {
		return out.Stdout, &native.ExitError{Tool: filepath.Base(argv[0]), Outcome: out}
	}
	return out.Stdout, nil
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	_, alive, err := running(c)
	switch {
	case err != nil:
		return native.Failed(err)
	case !alive:
		return native.NotRunning()
	}
	if replicated(c) {
		return monitorCopy(ctx, c)
	}
	return answers(ctx, c)
}

// answers asks the query of parameter monitor_sql.
func answers(ctx context.Context, c *native.Call) drivers.Result {
	if _, err := ask(ctx, c, c.Params.String("monitor_sql")); err != nil {
		return native.Fail(drivers.GenericError, "the server runs but does not answer: %v", err)
	}
	return native.OK()
}

// ask runs a query and returns the rows, columns separated by bars.
func ask(ctx context.Context, c *native.Call, sql string) (string, error) {
	v := c.Params
	argv := []string{v.String("psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-p", strconv.Itoa(v.Int("pgport"))}
	if host := firstOf(v.String("pghost"), v.String("socketdir")); host != "" {
		argv = append(argv, "-h", host)
	}
	argv = append(argv, "-U", firstOf(v.String("monitor_user"), v.String("pgdba")), "-d", v.String("pgdb"), "-c", sql)
	var env []string
	if p := v.String("monitor_password"); p != "" {
		env = []string{"PGPASSWORD=" + p}
	}
	out, err := asOwner(ctx, c, env, argv...)
	return strings.TrimSpace(out), err
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	switch c.Params.String("rep_mode") {
	case "slave":
		if res := follow(c); res.RC != drivers.OK {
			return res
		}
	case "sync", "async":
		return startCopy(ctx, c)
	}
	return startServer(ctx, c)
}

// startServer starts the server as its files say, and waits until it answers.
func startServer(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if alive {
		return answers(ctx, c)
	}
	if res := bury(ctx, c); res.RC != drivers.OK {
		return res
	}
	v := c.Params
	// A left-over of a server that was killed; and of a backup that did not
	// finish, from which the server would try to recover.
	for _, f := range []string{"postmaster.pid", "backup_label"} {
		if err := c.Remove(filepath.Join(v.String("pgdata"), f)); err != nil {
			return native.Failed(err)
		}
	}
	if err := removeLock(c); err != nil {
		return native.Failed(err)
	}
	if err := prepare(c); err != nil {
		return native.Failed(err)
	}
	options := "-c config_file=" + config(c) + " -p " + strconv.Itoa(v.Int("pgport"))
	if h := v.String("pghost"); h != "" && !strings.HasPrefix(h, "/") {
		options += " -h " + h
	}
	if d := firstOf(v.String("socketdir"), folderOf(v.String("pghost"))); d != "" {
		options += " -k " + d
	}
	options = strings.TrimSpace(options + " " + v.String("start_opt"))
	argv := append([]string{v.String("pgctl")}, v.Words("ctl_opt")...)
	argv = append(argv, "-D", v.String("pgdata"), "-l", v.String("logfile"), "-o", options, "-W", "start")
	err := c.Do(native.Quote(argv), func() error {
		_, err := asOwner(ctx, c, nil, argv...)
		return err
	})
	if err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	absent := 0
	for {
		res := native.NotRunning()
		if _, alive, err := running(c); err == nil && alive {
			res = answers(ctx, c)
		}
		if res.RC == drivers.OK {
			return res
		}
		// pg_ctl returns before the pid file is there; a server that is still
		// absent later has given up.
		if absent++; res.RC == drivers.NotRunning && absent > 20 {
			return native.Fail(drivers.GenericError, "the server did not start%s", lastError(v.String("logfile")))
		}
		c.Waiting("the server to answer: %s", res.Reason)
		if native.Sleep(ctx, 100*time.Millisecond) != nil {
			return native.Fail(drivers.GenericError, "the server does not answer: %s", res.Reason)
		}
	}
}

// lastError is what the end of the server's log tells of a failure.
func lastError(log string) string {
	if st, err := os.Stat(log); err != nil || !st.Mode().IsRegular() {
		return " (parameter logfile names no file that would say why)"
	}
	if text := database.LogTail(log, 8, "FATAL:", "PANIC:", "DETAIL:", "HINT:"); text != "" {
		return ": " + text
	}
	return "; see " + log
}

func folderOf(host string) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	return ""
}

// removeLock removes the lock of the socket if its owner is dead. PostgreSQL
// does so itself, but takes a process nobody has waited for yet for alive.
func removeLock(c *native.Call) error {
	v := c.Params
	for _, dir := range []string{firstOf(v.String("socketdir"), folderOf(v.String("pghost"))), "/var/run/postgresql"} {
		if dir == "" {
			continue
		}
		lock := filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(v.Int("pgport"))+".lock")
		raw, err := os.ReadFile(lock)
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(string(raw), "\n")
		if id, err := process.ParseIdentity(strings.TrimPrefix(line, "-")); err != nil || id.Alive() {
			continue
		}
		if err := c.Remove(lock); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the folder of the socket and the log file, owned by the
// user of the server.
func prepare(c *native.Call) error {
	v := c.Params
	o, err := owner(c)
	if err != nil {
		return err
	}
	if dir := v.String("socketdir"); dir != "" {
		if err := o.Folder(c, dir, 0o775); err != nil {
			return err
		}
	}
	return o.Touch(c, v.String("logfile"), 0o600)
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	if replicated(c) {
		return stopCopy(ctx, c)
	}
	_, res := stopServer(ctx, c, "stop_escalate")
	return res
}

// stopServer ends the server without waiting for its clients (a fast
// shutdown); when that takes longer than the parameter says, at once and with
// recovery at the next start. orderly tells that it was not so.
func stopServer(ctx context.Context, c *native.Call, patience string) (orderly bool, _ drivers.Result) {
	id, alive, err := running(c)
	if err != nil {
		return false, native.Failed(err)
	}
	if !alive {
		return false, bury(ctx, c)
	}
	soft := min(time.Duration(max(c.Params.Int(patience), 0))*second, native.Remaining(ctx)*3/4)
	gone := func() bool { return !id.Alive() }
	if err := database.End(ctx, c, id, gone, database.Signal{Number: syscall.SIGINT, Wait: soft}); err == nil {
		orderly = soft > 0
	}
	if !orderly {
		err := database.End(ctx, c, id, gone, database.Signal{Number: syscall.SIGQUIT, Wait: native.Remaining(ctx) / 2},
			database.Signal{Number: syscall.SIGKILL, Wait: time.Hour})
		if err != nil {
			return false, native.Failed(err)
		}
	}
	return orderly, native.Failed(c.Remove(filepath.Join(c.Params.String("pgdata"), "postmaster.pid")))
}
