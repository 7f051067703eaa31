package anything

import (
	"bytes"
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

	"gcrm/drivers/native"
	"gcrm/drivers/ocf"
	"gcrm/drivers/process"
)

// marker is the environment variable that tells the processes of a resource
// from others, also when their leader is gone.
const marker = "GCRM_SUPERVISED"

func mark(c *native.Call) string { return marker + "=" + c.Node.StateDir + "|" + c.Resource }

// files of one resource.
type files struct {
	identity string // pid and start time, in the node's state folder
	pidfile  string // pid for other programs
	stderr   string // last words, if the user has no log for them
}

func filesOf(c *native.Call) (files, error) {
	base, err := c.StateFile("anything_" + c.Instance())
	if err != nil {
		return files{}, err
	}
	f := files{identity: base + ".id", pidfile: base + ".pid", stderr: base + ".err"}
	if p := c.Params.String("pidfile"); c.Params.Set("pidfile") && p != "" {
		f.pidfile = p
	}
	return f, nil
}

// recorded returns the process this resource is recorded to be, whether there
// is a record at all, and whether that process lives.
func recorded(c *native.Call, f files) (id process.Identity, there, alive bool, err error) {
	raw, err := os.ReadFile(f.identity)
	if err == nil {
		id, err = process.ParseIdentity(string(raw))
		if err != nil {
			return id, false, false, fmt.Errorf("%s: %w", f.identity, err)
		}
		return id, true, id.Alive(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return id, false, false, err
	}
	// Without a record of ours, a pid file that the user named may be that of
	// a process started by the script of this name. It counts only if the
	// process runs the program.
	if !c.Params.Set("pidfile") {
		return id, false, false, nil
	}
	raw, err = os.ReadFile(f.pidfile)
	if err != nil {
		return id, false, false, nil
	}
	if id, err = process.ParseIdentity(string(raw)); err != nil || !runs(id.Pid, c.Params.String("binfile")) {
		return id, false, false, nil
	}
	st, err := process.Look(id.Pid)
	if err != nil {
		return id, false, false, nil
	}
	return st.Identity, true, st.Identity.Alive(), nil
}

// runs tells whether the command line of a process names the program.
func runs(pid int, binfile string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	for _, arg := range strings.SplitN(string(raw), "\x00", 4) {
		if arg != "" && filepath.Base(arg) == filepath.Base(binfile) {
			return true
		}
	}
	return false
}

// leftovers are live processes of this resource whatever became of their
// leader: they carry its mark in their environment.
func leftovers(c *native.Call) []process.Identity {
	all, err := process.All()
	if err != nil {
		return nil
	}
	want := []byte(mark(c))
	var out []process.Identity
	for _, s := range all {
		if s.State == 'Z' {
			continue
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.Pid))
		if err != nil {
			continue
		}
		for v := range bytes.SplitSeq(raw, []byte{0}) {
			if bytes.Equal(v, want) {
				out = append(out, s.Identity)
				break
			}
		}
	}
	return out
}

// program finds the file to execute. The helper folder comes first, so that
// the program itself can be had by its name.
func program(c *native.Call) (string, error) {
	name := c.Params.String("binfile")
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join("/", c.Params.String("workdir"), name)
	}
	dirs := []string{}
	if c.Node.HelperDir != "" {
		dirs = append(dirs, c.Node.HelperDir)
	}
	return native.LookPath(name, append(dirs, native.DefaultPath()...))
}

// launch starts the program and returns what it is and a channel that gives
// its end, should it come while somebody listens.
func launch(c *native.Call, f files) (process.Identity, <-chan *os.ProcessState, error) {
	path, err := program(c)
	if err != nil {
		return process.Identity{}, nil, err
	}
	cmd, err := command(c, path)
	if err != nil {
		return process.Identity{}, nil, err
	}
	closeLogs, err := openLogs(c, f, cmd)
	if err != nil {
		return process.Identity{}, nil, err
	}
	defer closeLogs()
	if err := cmd.Start(); err != nil {
		return process.Identity{}, nil, fmt.Errorf("start %s: %w", path, err)
	}
	st, err := process.Look(cmd.Process.Pid) // at worst a zombie: not waited for yet
	ended := make(chan *os.ProcessState, 1)
	go func() {
		_ = cmd.Wait() // how it ended is in the state
		ended <- cmd.ProcessState
	}()
	return st.Identity, ended, err
}

func command(c *native.Call, path string) (*exec.Cmd, error) {
	options := c.Params.String("cmdline_options")
	l, err := splitWords(options)
	if err != nil {
		return nil, fmt.Errorf("cmdline_options: %w", err)
	}
	cmd := &exec.Cmd{Path: path, Args: append([]string{path}, l.words...), Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if l.shell {
		// The shell gives way to the program, so its pid is the program's.
		cmd.Path = "/bin/sh"
		cmd.Args = []string{"/bin/sh", "-c", "exec " + native.Quote([]string{path}) + " " + options}
	}
	if dir := c.Params.String("workdir"); dir != "" {
		cmd.Dir = dir
	}
	env := ocf.Environment(ocf.DefaultRoot, c.Request, os.Environ())
	if name := c.Params.String("user"); c.Params.Set("user") && name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, err
		}
		if env, err = become(cmd, u, env); err != nil {
			return nil, err
		}
	}
	cmd.Env = append(env, mark(c))
	return cmd, nil
}

// become makes the command run as a user, with all groups of that user.
func become(cmd *exec.Cmd, u *user.User, env []string) ([]string, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: uid %q", u.Username, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: gid %q", u.Username, u.Gid)
	}
	var kept []string
	for _, v := range env {
		if name, _, _ := strings.Cut(v, "="); name != "HOME" {
			kept = append(kept, v)
		}
	}
	env = append(kept, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username)
	if int(uid) == os.Geteuid() {
		return env, nil
	}
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", u.Username, err)
	}
	for _, s := range ids {
		if g, err := strconv.ParseUint(s, 10, 32); err == nil {
			cred.Groups = append(cred.Groups, uint32(g))
		}
	}
	cmd.SysProcAttr.Credential = cred
	return env, nil
}

// openLogs gives the command its output files; the returned function closes
// this side of them.
func openLogs(c *native.Call, f files, cmd *exec.Cmd) (func(), error) {
	logfile, errlog := c.Params.String("logfile"), c.Params.String("errlogfile")
	flags := os.O_APPEND | os.O_CREATE | os.O_WRONLY
	if errlog == "" {
		errlog = logfile
		if logfile == "" || logfile == "/dev/null" {
			errlog = f.stderr
			if err := os.Remove(errlog); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	if logfile == "" {
		logfile = "/dev/null"
	}
	stdout, err := os.OpenFile(logfile, flags, 0o640)
	if err != nil {
		return nil, fmt.Errorf("logfile: %w", err)
	}
	stderr, err := os.OpenFile(errlog, flags, 0o640)
	if err != nil {
		stdout.Close()
		return nil, fmt.Errorf("errlogfile: %w", err)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return func() { stdout.Close(); stderr.Close() }, nil
}

// keptWords bounds the file of last words.
const keptWords = 256 << 10

// trim empties the file of last words when it has grown large; the program
// appends to it, so it goes on from the beginning.
func trim(f files) {
	if st, err := os.Stat(f.stderr); err == nil && st.Size() > keptWords {
		_ = os.Truncate(f.stderr, 0)
	}
}

// lastWords is the last line the program wrote to its standard error.
func lastWords(c *native.Call, f files) string {
	path := f.stderr
	if p := c.Params.String("errlogfile"); p != "" {
		path = p
	} else if p := c.Params.String("logfile"); p != "" && p != "/dev/null" {
		path = p
	}
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return ""
	}
	buf := make([]byte, min(st.Size(), 2048))
	n, _ := file.ReadAt(buf, max(0, st.Size()-int64(len(buf))))
	lines := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return "; it last said: " + last
	}
	return ""
}

// howEnded puts the end of a process into words.
func howEnded(st *os.ProcessState) string {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return fmt.Sprintf("was ended by signal %d (%v)", int(ws.Signal()), ws.Signal())
	}
	if st.ExitCode() == 0 {
		return "ended with exit code 0 (a program that goes into the background by itself cannot be supervised)"
	}
	return fmt.Sprintf("ended with exit code %d", st.ExitCode())
}

// settle is how long a program is watched after its start before it counts as
// running: what fails at once (a taken port, a bad option) fails within it.
const settle = 300 * time.Millisecond
