// Package process runs programs for agents and looks after processes that
// agents leave behind: a run is bounded in time and output and takes its whole
// process group with it when it must end; an identity tells a process from a
// later one with the same pid.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to run to its end.
type Command struct {
	Path string // absolute
	Args []string
	Env  []string // complete; nil is an empty environment
	Dir  string   // empty is /
	// Stdin is written to the program; empty gives it /dev/null.
	Stdin string
	// Limit bounds what is kept of each output stream, in bytes; zero is
	// DefaultLimit. The middle of a longer output is left out.
	Limit int
	// Notes, if set, is a folder in which it is noted that the program runs,
	// for [EndLeftovers] after a crash of the daemon.
	Notes string
	// User runs the program as another user; nil is the daemon's own.
	User *syscall.Credential
}

// DefaultLimit is how much of an output stream is kept.
const DefaultLimit = 64 << 10

// Grace is how long a killed process group may take to disappear before Run
// gives up waiting for it.
const Grace = 5 * time.Second

// Outcome is how a run ended.
type Outcome struct {
	// Code is the exit code; -1 if the program did not start or was ended by
	// a signal.
	Code   int
	Signal syscall.Signal // zero if none
	Stdout string
	Stderr string
	// Err is set if the program could not be started, or if ctx was done
	// first; then it wraps context.Cause(ctx).
	Err error
	// Stuck is set if the group was killed and its leader is still there
	// after Grace (uninterruptible in the kernel).
	Stuck bool
	Pid   int
}

// Run runs the command in a process group of its own and returns when its
// first process has ended. Processes it left in the background live on and do
// not hold up the result, even with the output still open: what they write to it
// later is read and thrown away, since a closed pipe would end them.
//
// When ctx is done first, the whole group and all descendants that left the
// group are killed at once with SIGKILL.
func Run(ctx context.Context, c Command) Outcome {
	if err := ctx.Err(); err != nil {
		return Outcome{Code: -1, Err: context.Cause(ctx)}
	}
	limit := c.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	stdout, err := newStream(limit)
	if err != nil {
		return Outcome{Code: -1, Err: err}
	}
	defer stdout.release()
	stderr, err := newStream(limit)
	if err != nil {
		return Outcome{Code: -1, Err: err}
	}
	defer stderr.release()

	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	env := c.Env
	if env == nil {
		env = []string{}
	}
	cmd := &exec.Cmd{Path: c.Path, Args: append([]string{c.Path}, c.Args...), Env: env, Dir: dir,
		Stdout: stdout.w, Stderr: stderr.w, SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: c.User}}
	if c.Stdin != "" {
		cmd.Stdin = strings.NewReader(c.Stdin)
		cmd.WaitDelay = Grace
	}
	if err := cmd.Start(); err != nil {
		return Outcome{Code: -1, Err: startError(c.Path, err)}
	}
	stdout.follow()
	stderr.follow()
	leader := cmd.Process.Pid
	if c.Notes != "" {
		forget, err := note(c.Notes, leader)
		if err != nil {
			killGroup(leader)
			_ = cmd.Wait()
			return Outcome{Code: -1, Err: fmt.Errorf("the run could not be noted: %w", err)}
		}
		defer forget()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	out := Outcome{Code: -1, Pid: leader}
	select {
	case <-ended:
	case <-ctx.Done():
		out.Err = context.Cause(ctx)
		killGroup(leader)
		select {
		case <-ended:
		case <-time.After(Grace):
			out.Stuck = true
		}
	}
	if !out.Stuck {
		st := cmd.ProcessState
		if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			out.Signal = ws.Signal()
		} else {
			out.Code = st.ExitCode()
		}
	}
	out.Stdout, out.Stderr = stdout.finish(), stderr.finish()
	return out
}

// StartError says why a program could not be started.
type StartError struct {
	Path string
	Why  string
	Err  error
}

func (e *StartError) Error() string { return e.Path + ": " + e.Why }
func (e *StartError) Unwrap() error { return e.Err }

// startError puts the reason of a failed start into words. The kernel says
// "no such file" both for a missing program and for a missing interpreter.
func startError(path string, err error) error {
	why := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		why = pe.Err.Error()
	}
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(path); statErr == nil {
			why = "its interpreter " + interpreter(path) + " does not exist"
		}
	}
	if errors.Is(err, syscall.ENOEXEC) {
		why = "is neither a program nor a script with a #! line"
	}
	return &StartError{Path: path, Why: why, Err: err}
}

func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "(unknown)"
	}
	defer f.Close()
	buf := make([]byte, 256)
	n, _ := io.ReadFull(f, buf)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	if !strings.HasPrefix(line, "#!") {
		return "(the dynamic loader)"
	}
	if words := strings.Fields(line[2:]); len(words) > 0 {
		return words[0]
	}
	return "(none named)"
}

// stream is one output pipe and what is kept of it.
type stream struct {
	r, w *os.File
	kept *clipped
	done chan struct{}
}

func newStream(limit int) (*stream, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("output pipe: %w", err)
	}
	return &stream{r: r, w: w, kept: &clipped{limit: limit}, done: make(chan struct{})}, nil
}

// follow reads until the end of the pipe or until finish.
func (s *stream) follow() {
	s.w.Close()
	go func() {
		defer close(s.done)
		// An error means the pipe is done with, or finish said so.
		_, _ = io.Copy(s.kept, s.r)
	}()
}

// finish takes what is in the pipe without waiting for writers that are still
// there, and returns everything kept.
func (s *stream) finish() string {
	past := time.Unix(1, 0)
	if s.r.SetReadDeadline(past) == nil {
		<-s.done
		_ = s.r.SetReadDeadline(time.Time{})
		s.drain()
	}
	return s.kept.String()
}

func (s *stream) drain() {
	conn, err := s.r.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 32<<10)
	_ = conn.Read(func(fd uintptr) bool {
		for {
			n, err := unix.Read(int(fd), buf)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 || err != nil {
				return true
			}
			_, _ = s.kept.Write(buf[:n])
		}
	})
}

// release lets go of the pipe: at once if nobody has its other end any more, and else when
// the last one has closed it.
func (s *stream) release() {
	s.w.Close()
	go func() {
		defer s.r.Close()
		_, _ = io.Copy(io.Discard, s.r)
	}()
}

// clipped keeps the first and the last part of what is written to it: the
// beginning has the context, the end the reason of a failure.
type clipped struct {
	limit int
	head  []byte
	tail  []byte
	lost  int
}

func (c *clipped) Write(p []byte) (int, error) {
	n := len(p)
	if room := c.limit/2 - len(c.head); room > 0 {
		k := min(room, len(p))
		c.head = append(c.head, p[:k]...)
		p = p[k:]
	}
	c.tail = append(c.tail, p...)
	if over := len(c.tail) - c.limit/2; over > c.limit { // trim rarely, in large steps
		c.lost += over
		c.tail = append(c.tail[:0:0], c.tail[over:]...)
	}
	return n, nil
}

func (c *clipped) String() string {
	tail, lost := c.tail, c.lost
	if over := len(tail) - c.limit/2; over > 0 {
		lost += over
		tail = tail[over:]
	}
	if lost == 0 {
		return string(c.head) + string(tail)
	}
	return fmt.Sprintf("%s\n[%d bytes left out]\n%s", c.head, lost, tail)
}
