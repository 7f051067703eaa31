package mysql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

// running finds the server by its pid file.
func running(c *native.Call) (process.Identity, bool, error) {
	raw, err := os.ReadFile(c.Params.String("pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return process.Identity{}, false, nil
	}
	if err != nil {
		return process.Identity{}, false, fmt.Errorf("pid file: %w", err)
	}
	id, err := process.ParseIdentity(string(raw))
	if err != nil {
		return process.Identity{}, false, nil // empty while the server starts
	}
	st, err := process.Look(id.Pid)
	if err != nil || !st.Identity.Alive() || !isServer(st.Name) {
		return process.Identity{}, false, nil
	}
	return st.Identity, true, nil
}

func isServer(name string) bool { return name == "mysqld" || name == "mariadbd" }

// guardian is the shell script that starts a server again when it dies.
func guardian(of process.Identity) (process.Identity, bool) {
	st, err := process.Look(of.Pid)
	if err != nil {
		return process.Identity{}, false
	}
	parent, err := process.Look(st.Parent)
	if err != nil || parent.Name != "mysqld_safe" && parent.Name != "mariadbd-safe" {
		return process.Identity{}, false
	}
	return parent.Identity, true
}

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	_, alive, err := running(c)
	switch {
	case err != nil:
		return native.Failed(err)
	case !alive:
		return native.NotRunning()
	}
	level, err := c.Level()
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if level < 10 {
		return native.OK()
	}
	table := c.Params.String("test_table")
	if strings.ContainsAny(table, " ;'\"`\\") {
		return native.Fail(drivers.NotConfigured, "test_table %q is not the name of a table", table)
	}
	if out, err := ask(ctx, c, "SELECT COUNT(*) FROM "+table); err != nil {
		return native.Fail(drivers.GenericError, "the server runs but does not answer: %v", err)
	} else if _, err := strconv.Atoi(strings.TrimSpace(out)); err != nil {
		return native.Fail(drivers.GenericError, "the server answers %.60q when table %s is counted", out, table)
	}
	return native.OK()
}

// ask runs a query. The password goes through the environment, where other
// users cannot see it.
func ask(ctx context.Context, c *native.Call, query string) (string, error) {
	v := c.Params
	client, err := c.Tool(v.String("client_binary"))
	if err != nil {
		return "", err
	}
	out := process.Run(ctx, process.Command{Path: client,
		Args: []string{"--no-defaults", "--user=" + v.String("test_user"), "--socket=" + v.String("socket"), "-N", "-B", "-e", query},
		Env:  []string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "MYSQL_PWD=" + v.String("test_passwd")}})
	if out.Code != 0 {
		return "", &native.ExitError{Tool: v.String("client_binary"), Outcome: out}
	}
	return out.Stdout, nil
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	if _, alive, err := running(c); err != nil || alive {
		return native.Failed(err)
	}
	uid, gid, err := owner(c)
	if err != nil {
		return native.Failed(err)
	}
	if err := prepare(ctx, c, uid, gid); err != nil {
		return native.Failed(err)
	}
	if err := c.Remove(c.Params.String("pid")); err != nil { // of a server that died
		return native.Failed(err)
	}
	ended := make(chan *os.ProcessState, 1)
	argv := command(c)
	if err := c.Do(native.Quote(argv), func() error { return launch(c, argv, ended) }); err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	c.Waiting("the server to open its socket")
	for {
		if _, alive, err := running(c); err == nil && alive {
			if st, err := os.Stat(c.Params.String("socket")); err == nil && st.Mode()&fs.ModeSocket != 0 {
				return native.OK()
			}
		}
		select {
		case st := <-ended:
			return native.Fail(drivers.GenericError, "the server did not start (%v)%s", st, lastError(c.Params.String("log")))
		case <-ctx.Done():
			return native.Fail(drivers.GenericError, "the server does not open its socket%s", lastError(c.Params.String("log")))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func command(c *native.Call) []string {
	v := c.Params
	argv := []string{v.String("binary"), "--defaults-file=" + v.String("config"), "--pid-file=" + v.String("pid"),
		"--socket=" + v.String("socket"), "--datadir=" + v.String("datadir"), "--log-error=" + v.String("log"), "--user=" + v.String("user")}
	return append(argv, v.Words("additional_parameters")...)
}

// launch starts the server in a session of its own; it outlives the daemon.
func launch(c *native.Call, argv []string, ended chan<- *os.ProcessState) error {
	path, err := c.Tool(argv[0])
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		Env: []string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "HOME=" + c.Params.String("datadir")}}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in the state
		ended <- cmd.ProcessState
	}()
	return nil
}

func owner(c *native.Call) (uid, gid int, err error) {
	u, err := user.Lookup(c.Params.String("user"))
	if err != nil {
		return 0, 0, err
	}
	g, err := user.LookupGroup(c.Params.String("group"))
	if err != nil {
		return 0, 0, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(g.Gid)
	return uid, gid, errors.Join(err1, err2)
}

// prepare creates what the server needs around its data, and the data base
// itself if that is wanted.
func prepare(ctx context.Context, c *native.Call, uid, gid int) error {
	v := c.Params
	for _, path := range []string{v.String("pid"), v.String("socket"), v.String("log")} {
		dir := filepath.Dir(path)
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			continue
		}
		err := c.Do(fmt.Sprintf("mkdir -p %s; chown %s:%s %s", dir, v.String("user"), v.String("group"), dir), func() error {
			return errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid))
		})
		if err != nil {
			return err
		}
	}
	log := v.String("log")
	err := c.Do("touch "+log, func() error {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Chown(log, uid, gid))
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(v.String("datadir"), "mysql")); err == nil {
		return nil
	}
	if !v.Bool("enable_creation") {
		return fmt.Errorf("%s has no data base; enable_creation=true would create one", v.String("datadir"))
	}
	installer := "mariadb-install-db"
	if _, err := c.Tool(installer); err != nil {
		installer = "mysql_install_db"
	}
	return c.Change(ctx, installer, "--defaults-file="+v.String("config"), "--datadir="+v.String("datadir"), "--user="+v.String("user"))
}

// lastError is what the end of the log tells of errors.
func lastError(log string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	var found []string
	for _, l := range lines[max(0, len(lines)-10):] {
		if _, text, ok := strings.Cut(l, "[ERROR]"); ok && !strings.Contains(text, "Aborting") {
			found = append(found, strings.TrimSpace(text))
		}
	}
	if len(found) == 0 {
		return ""
	}
	return ": " + strings.Join(found, "; ")
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	id, alive, err := running(c)
	if err != nil {
		return native.Failed(err)
	}
	if !alive {
		return native.Failed(c.Remove(c.Params.String("pid")))
	}
	safe, guarded := guardian(id)
	// An orderly end writes everything down; the guardian then ends too.
	if err := send(c, id, syscall.SIGTERM); err != nil {
		return native.Failed(err)
	}
	c.Waiting("the server (process %d) to end", id.Pid)
	gone := func() bool { return !id.Alive() && (!guarded || !safe.Alive()) }
	soft, cancel := context.WithTimeout(ctx, native.Remaining(ctx)*3/4)
	err = c.Poll(soft, 50*time.Millisecond, gone)
	cancel()
	if err != nil {
		// The guardian first: it would start the server again.
		if guarded {
			if err := send(c, safe, syscall.SIGKILL); err != nil {
				return native.Failed(err)
			}
		}
		if err := send(c, id, syscall.SIGKILL); err != nil {
			return native.Failed(err)
		}
		if err := c.Poll(ctx, 20*time.Millisecond, gone); err != nil {
			return native.Fail(drivers.GenericError, "the server (process %d) does not end after SIGKILL", id.Pid)
		}
	}
	return native.Failed(c.Remove(c.Params.String("pid")))
}

func send(c *native.Call, id process.Identity, sig syscall.Signal) error {
	if !id.Alive() {
		return nil
	}
	err := c.Do(fmt.Sprintf("kill -%d %d", int(sig), id.Pid), func() error { return id.Signal(sig) })
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
