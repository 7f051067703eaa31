package mysql

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

// running finds the server by its pid file.
func running(c *native.Call) (process.Identity, bool, error) {
	return database.Running(c.Params.String("pid"), "mysqld", "mariadbd")
}

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
	if level >= 10 || replicated(c) {
		if res := answers(ctx, c); res.RC != drivers.OK {
			return res
		}
	}
	if replicated(c) {
		return monitorCopy(ctx, c)
	}
	return native.OK()
}

// answers counts the rows of a table.
func answers(ctx context.Context, c *native.Call) drivers.Result {
	table := c.Params.String("test_table")
	if table == "" {
		return native.OK()
	}
	if strings.ContainsAny(table, " ;'\"`\\") {
		return native.Fail(drivers.NotConfigured, "test_table %q is not the name of a table", table)
	}
	if out, err := ask(ctx, c, account{c.Params.String("test_user"), c.Params.String("test_passwd")}, "SELECT COUNT(*) FROM "+table); err != nil {
		return native.Fail(drivers.GenericError, "the server runs but does not answer: %v", err)
	} else if _, err := strconv.Atoi(strings.TrimSpace(out)); err != nil {
		return native.Fail(drivers.GenericError, "the server answers %.60q when table %s is counted", out, table)
	}
	return native.OK()
}

type account struct{ user, password string }

// ask runs statements and returns their rows, columns separated by tabs.
// Password and statements do not go through arguments, which other users see.
func ask(ctx context.Context, c *native.Call, who account, sql string, flags ...string) (string, error) {
	v := c.Params
	client, err := c.Tool(v.String("client_binary"))
	if err != nil {
		return "", err
	}
	if len(flags) == 0 {
		flags = []string{"-N"}
	}
	out := process.Run(ctx, process.Command{Path: client, Stdin: sql + ";\n",
		Args: append([]string{"--no-defaults", "--user=" + who.user, "--socket=" + v.String("socket"), "-B"}, flags...),
		Env:  []string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "MYSQL_PWD=" + who.password}})
	if out.Code != 0 {
		return "", &native.ExitError{Tool: v.String("client_binary"), Outcome: out}
	}
	return out.Stdout, nil
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	if replicated(c) {
		return startCopy(ctx, c)
	}
	return startServer(ctx, c, c.Params.String("config"))
}

// startServer starts the server on a file of options and waits until it
// listens.
func startServer(ctx context.Context, c *native.Call, options string, more ...string) drivers.Result {
	if _, alive, err := running(c); err != nil || alive {
		return native.Failed(err)
	}
	o, err := owner(c)
	if err != nil {
		return native.Failed(err)
	}
	if err := prepare(ctx, c, o); err != nil {
		return native.Failed(err)
	}
	if err := c.Remove(c.Params.String("pid")); err != nil { // of a server that died
		return native.Failed(err)
	}
	ended := make(chan *os.ProcessState, 1)
	argv := command(c, options, more)
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

func command(c *native.Call, options string, more []string) []string {
	v := c.Params
	argv := []string{v.String("binary"), "--defaults-file=" + options, "--pid-file=" + v.String("pid"),
		"--socket=" + v.String("socket"), "--datadir=" + v.String("datadir"), "--log-error=" + v.String("log"), "--user=" + v.String("user")}
	return append(append(argv, v.Words("additional_parameters")...), more...)
}

// launch starts the server in a session of its own; it outlives the daemon.
func launch(c *native.Call, argv []string, ended chan<- *os.ProcessState) error {
	path, err := c.Tool(argv[0])
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		Env: []string{"LC_ALL=C", "PATH=" + strings.Join(native.DefaultPath(), ":"), "HOME=" + c.Params.String("datadir"), c.Mark()}}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait() // how it ended is in the state
		ended <- cmd.ProcessState
	}()
	return nil
}

func owner(c *native.Call) (database.Owner, error) {
	return database.LookupOwner(c.Params.String("user"), c.Params.String("group"))
}

// prepare creates what the server needs around its data, and the data base
// itself if that is wanted.
func prepare(ctx context.Context, c *native.Call, o database.Owner) error {
	v := c.Params
	for _, path := range []string{v.String("pid"), v.String("socket"), v.String("log")} {
		if err := o.Folder(c, filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	if err := o.Touch(c, v.String("log"), 0o640); err != nil {
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
	if text := database.LogTail(log, 10, "[ERROR]"); text != "" {
		return ": " + text
	}
	return ""
}

func stop(ctx context.Context, c *native.Call) drivers.Result {
	if replicated(c) {
		return stopCopy(ctx, c)
	}
	return stopServer(ctx, c)
}

func stopServer(ctx context.Context, c *native.Call) drivers.Result {
	id, alive, err := running(c)
	if err != nil {
		return native.Failed(err)
	}
	if !alive {
		return native.Failed(c.Remove(c.Params.String("pid")))
	}
	safe, guarded := guardian(id)
	// An orderly end writes everything down; the guardian then ends too.
	gone := func() bool { return !id.Alive() && (!guarded || !safe.Alive()) }
	if err := database.End(ctx, c, id, gone, database.Signal{Number: syscall.SIGTERM, Wait: native.Remaining(ctx) * 3 / 4}); err != nil {
		// The guardian first: it would start the server again.
		if guarded {
			if err := database.Send(c, safe, syscall.SIGKILL); err != nil {
				return native.Failed(err)
			}
		}
		if err := database.End(ctx, c, id, gone, database.Signal{Number: syscall.SIGKILL, Wait: time.Hour}); err != nil {
			return native.Failed(err)
		}
	}
	return native.Failed(c.Remove(c.Params.String("pid")))
}
