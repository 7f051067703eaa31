package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/process"
	"gcrm/durable"
)

// Call is one execution of an action: the request, its checked parameters,
// and the way to the host.
type Call struct {
	drivers.Request
	Params meta.Values

	agent *Agent
	dry   bool

	mu    sync.Mutex
	steps []string
	note  string
}

// Dry tells that changes are only shown. Loops that wait for the effect of a
// change must not wait then.
func (c *Call) Dry() bool { return c.dry }

// Do makes one change of the host, described as the command or system call
// that it is; in a dry run only the description is kept.
func (c *Call) Do(what string, change func() error) error {
	c.mu.Lock()
	if n := len(c.steps); n == 0 || c.steps[n-1] != what { // a step tried again is told once
		c.steps = append(c.steps, what)
	}
	c.note = what
	c.mu.Unlock()
	if c.dry {
		return nil
	}
	if err := change(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Waiting says what the action is waiting for, for the reason of a timeout.
func (c *Call) Waiting(format string, args ...any) {
	c.mu.Lock()
	c.note = "waiting for " + fmt.Sprintf(format, args...)
	c.mu.Unlock()
}

// Steps returns the changes made, or in a dry run those to be made.
func (c *Call) Steps() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.steps...)
}

func (c *Call) doing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note
}

// Probe tells a monitor that only finds out whether the resource is active,
// before the cluster has started it.
func (c *Call) Probe() bool {
	return c.Action == drivers.Monitor && c.Interval == 0 && (c.Meta["interval"] == "" || c.Meta["interval"] == "0")
}

// Level is the depth of the check asked for (OCF_CHECK_LEVEL), 0 by default.
func (c *Call) Level() (int, error) {
	s, ok := c.Request.Params["OCF_CHECK_LEVEL"]
	if !ok {
		s = c.Meta["OCF_CHECK_LEVEL"]
	}
	if s = strings.TrimSpace(s); s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("OCF_CHECK_LEVEL: %q is not a whole number", s)
	}
	return n, nil
}

// Cloned tells whether the resource is an instance of a clone.
func (c *Call) Cloned() bool { return c.Meta["clone_max"] != "" }

// MetaInt reads a number the cluster passes along; fallback if it is absent
// or no number.
func (c *Call) MetaInt(name string, fallback int) int {
	if n, err := strconv.Atoi(c.Meta[name]); err == nil {
		return n
	}
	return fallback
}

// MetaTrue reads a truth value the cluster passes along; absent is false.
func (c *Call) MetaTrue(name string) bool {
	v, _ := meta.ParseBool(c.Meta[name])
	return v
}

// Instance is the resource id in a form fit for file names.
func (c *Call) Instance() string {
	return strings.NewReplacer("/", "%2F", "%", "%25", "\x00", "").Replace(c.Resource)
}

// StateFile is the path of a file of this resource in the node's state
// folder; the folder exists when it returns without error.
func (c *Call) StateFile(name string) (string, error) {
	if err := os.MkdirAll(c.Node.StateDir, 0o755); err != nil {
		return "", fmt.Errorf("state folder of node %s: %w", c.Node.Name, err)
	}
	return filepath.Join(c.Node.StateDir, name), nil
}

// WriteState writes a small file so that it has either its old or its new
// content, whatever happens.
func (c *Call) WriteState(path, content string) error {
	return c.Do("write "+path, func() error { return durable.Write(path, []byte(content), 0o644) })
}

// Remove removes a file; one that is not there is fine and no step.
func (c *Call) Remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return c.Do("unlink "+path, func() error {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Exists tells whether a path is there; an error that is neither yes nor no
// is returned.
func Exists(path string) (bool, error) {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
		return false, nil
	default:
		return false, err
	}
}

// ToolError says that a program the agent needs is not on the host.
type ToolError struct {
	Tool string
	Path []string
}

func (e *ToolError) Error() string {
	return fmt.Sprintf("program %s is not installed: looked in %s", e.Tool, strings.Join(e.Path, ":"))
}

// Tool finds a program by name, or takes a path as it is.
func (c *Call) Tool(name string) (string, error) {
	dirs := c.agent.Path
	if len(dirs) == 0 {
		dirs = DefaultPath()
	}
	return LookPath(name, dirs)
}

// LookPath finds an executable file in a list of folders. A name with a
// slash is taken as it is.
func LookPath(name string, dirs []string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, d := range dirs {
			if d != "" {
				candidates = append(candidates, filepath.Join(d, name))
			}
		}
	}
	for _, p := range candidates {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &ToolError{Tool: name, Path: dirs}
}

// ExitError says that a tool ended with something else than 0.
type ExitError struct {
	Tool    string
	Outcome process.Outcome
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit code %d", e.Outcome.Code)
	switch {
	case e.Outcome.Err != nil:
		return fmt.Sprintf("%s: %v", e.Tool, e.Outcome.Err)
	case e.Outcome.Signal != 0:
		how = "ended by signal " + e.Outcome.Signal.String()
	}
	text := lastLine(e.Outcome.Stderr)
	if text == "" {
		text = lastLine(e.Outcome.Stdout)
	}
	if text == "" {
		return fmt.Sprintf("%s: %s", e.Tool, how)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Tool, text, how)
}

func (e *ExitError) Unwrap() error { return e.Outcome.Err }

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// Ask runs a tool that changes nothing and returns its output; the error is a
// *ToolError or *ExitError.
func (c *Call) Ask(ctx context.Context, argv ...string) (string, error) {
	path, err := c.Tool(argv[0])
	if err != nil {
		return "", err
	}
	out := process.Run(ctx, process.Command{Path: path, Args: argv[1:], Env: c.toolEnv()})
	if out.Code != 0 {
		return out.Stdout, &ExitError{Tool: argv[0], Outcome: out}
	}
	return out.Stdout, nil
}

// Change runs a tool that changes the host.
func (c *Call) Change(ctx context.Context, argv ...string) error {
	path, err := c.Tool(argv[0])
	if err != nil {
		return err
	}
	return c.Do(Quote(argv), func() error {
		out := process.Run(ctx, process.Command{Path: path, Args: argv[1:], Env: c.toolEnv()})
		if out.Code != 0 {
			return &ExitError{Tool: argv[0], Outcome: out}
		}
		return nil
	})
}

func (c *Call) toolEnv() []string {
	dirs := c.agent.Path
	if len(dirs) == 0 {
		dirs = DefaultPath()
	}
	return []string{"LC_ALL=C", "PATH=" + strings.Join(dirs, ":"), "HOME=/root", "TERM=dumb"}
}

// Mark is an environment variable for servers that outlive the action: by it
// they are known as those of a node, where several nodes share a host.
func (c *Call) Mark() string { return "GCRM_NODE_FOLDER=" + c.Node.StateDir }

// Quote writes an argument list as a shell would take it.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// Together calls functions at the same time and returns when all have. A panic of one is
// the caller's, so that the frame of the agents turns it into a result.
func Together(all ...func()) {
	ended := make(chan any, len(all))
	for _, f := range all {
		go func() {
			defer func() { ended <- recover() }()
			f()
		}()
	}
	var last any
	for range all {
		if p := <-ended; p != nil {
			last = p
		}
	}
	if last != nil {
		panic(last)
	}
}

// Sleep waits; the error is that of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Poll calls ready until it is true or ctx is done, at most every pause; in a
// dry run it does not wait.
func (c *Call) Poll(ctx context.Context, pause time.Duration, ready func() bool) error {
	for {
		if ready() || c.dry {
			return nil
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Remaining is the time left for the action; an hour if it is unlimited.
func Remaining(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return time.Until(d)
	}
	return time.Hour
}

func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }

// SetPromotionScore tells the cluster how fit this instance is for promotion;
// nil withdraws it.
func (c *Call) SetPromotionScore(ctx context.Context, score *int) error {
	what := "remove the promotion score of " + c.Resource
	if score != nil {
		what = fmt.Sprintf("set the promotion score of %s to %d", c.Resource, *score)
	}
	return c.Do(what, func() error { return c.Node.Cluster.SetPromotionScore(ctx, c.Resource, score) })
}

// SetAttribute sets a transient attribute of this node; nil removes it.
func (c *Call) SetAttribute(ctx context.Context, name string, value *string) error {
	what := "remove node attribute " + name
	if value != nil {
		what = fmt.Sprintf("set node attribute %s to %q", name, *value)
	}
	return c.Do(what, func() error { return c.Node.Cluster.SetAttribute(ctx, name, value) })
}
