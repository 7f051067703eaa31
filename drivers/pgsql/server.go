package pgsql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// running finds the server by the first line of postmaster.pid.
func running(c *native.Call) (process.Identity, bool, error) {
	raw, err := os.ReadFile(filepath.Join(c.Params.String("pgdata"), "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return process.Identity{}, false, nil
	}
	if err != nil {
		return process.Identity{}, false, fmt.Errorf("postmaster.pid: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	id, err := process.ParseIdentity(strings.TrimPrefix(line, "-"))
	if err != nil {
		return process.Identity{}, false, nil // not written in full yet
	}
	st, err := process.Look(id.Pid)
	if err != nil || !st.Identity.Alive() || st.Name != "postgres" && st.Name != "postmaster" {
		return process.Identity{}, false, nil
	}
	return st.Identity, true, nil
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

// owner is the user of the server, with the groups of that user; nil if the
// daemon itself runs as that user.
func owner(c *native.Call) (*syscall.Credential, *user.User, error) {
	u, err := user.Lookup(c.Params.String("pgdba"))
	if err != nil {
		return nil, nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	ids, err3 := u.GroupIds()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if int(uid) == os.Geteuid() {
		return nil, u, nil
	}
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, s := range ids {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil {
			cred.Groups = append(cred.Groups, uint32(g))
		}
	}
	return cred, u, nil
}

// asOwner runs one of PostgreSQL's programs as the user of the server.
func asOwner(ctx context.Context, c *native.Call, env []string, argv ...string) (string, error) {
	path, err := c.Tool(argv[0])
	if err != nil {
		return "", err
	}
	cred, u, err := owner(c)
	if err != nil {
		return "", err
	}
	out := process.Run(ctx, process.Command{Path: path, Args: argv[1:], User: cred, Dir: c.Params.String("pgdata"),
		Env: append([]string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "HOME=" + u.HomeDir, "USER=" + u.Username,
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
	if err := query(ctx, c); err != nil {
		return native.Fail(drivers.GenericError, "the server runs but does not answer: %v", err)
	}
	return native.OK()
}

func query(ctx context.Context, c *native.Call) error {
	v := c.Params
	argv := []string{v.String("psql"), "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-p", strconv.Itoa(v.Int("pgport"))}
	if host := firstOf(v.String("pghost"), v.String("socketdir")); host != "" {
		argv = append(argv, "-h", host)
	}
	argv = append(argv, "-U", firstOf(v.String("monitor_user"), v.String("pgdba")), "-d", v.String("pgdb"), "-c", v.String("monitor_sql"))
	var env []string
	if p := v.String("monitor_password"); p != "" {
		env = []string{"PGPASSWORD=" + p}
	}
	_, err := asOwner(ctx, c, env, argv...)
	return err
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
	if _, alive, err := running(c); err != nil {
		return native.Failed(err)
	} else if alive {
		return monitor(ctx, c)
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
		res := monitor(ctx, c)
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
	st, err := os.Stat(log)
	if err != nil || !st.Mode().IsRegular() {
		return " (parameter logfile names no file that would say why)"
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		return ": " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	var found []string
	for _, l := range lines[max(0, len(lines)-6):] {
		for _, level := range []string{"FATAL:", "PANIC:", "HINT:"} {
			if _, text, ok := strings.Cut(l, level); ok {
				found = append(found, strings.TrimSpace(text))
			}
		}
	}
	if len(found) == 0 {
		return "; see " + log
	}
	return ": " + strings.Join(found, "; ")
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
	_, u, err := owner(c)
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if dir := v.String("socketdir"); dir != "" {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			err := c.Do("mkdir -p "+dir, func() error { return errors.Join(os.MkdirAll(dir, 0o775), os.Chown(dir, uid, gid)) })
			if err != nil {
				return err
			}
		}
	}
	log := v.String("logfile")
	if _, err := os.Stat(log); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.Do("touch "+log, func() error {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Chown(log, uid, gid))
	})
}

// stop ends the server without waiting for its clients (a fast shutdown);
// when that takes too long, at once and with recovery at the next start.
func stop(ctx context.Context, c *native.Call) drivers.Result {
	id, alive, err := running(c)
	if err != nil {
		return native.Failed(err)
	}
	if !alive {
		return bury(ctx, c)
	}
	patience := min(time.Duration(max(c.Params.Int("stop_escalate"), 0))*second, native.Remaining(ctx)*3/4)
	gone := func() bool { return !id.Alive() }
	for _, step := range []struct {
		sig  syscall.Signal
		name string
		max  time.Duration
	}{{syscall.SIGINT, "INT", patience}, {syscall.SIGQUIT, "QUIT", native.Remaining(ctx) / 8}, {syscall.SIGKILL, "KILL", time.Hour}} {
		if step.max <= 0 {
			continue
		}
		err := c.Do(fmt.Sprintf("kill -%s %d", step.name, id.Pid), func() error { return id.Signal(step.sig) })
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return native.Failed(err)
		}
		c.Waiting("the server (process %d) to end", id.Pid)
		limit, cancel := context.WithTimeout(ctx, step.max)
		err = c.Poll(limit, 20*time.Millisecond, gone)
		cancel()
		if err == nil {
			return native.Failed(c.Remove(filepath.Join(c.Params.String("pgdata"), "postmaster.pid")))
		}
	}
	return native.Fail(drivers.GenericError, "the server (process %d) does not end after SIGKILL", id.Pid)
}
