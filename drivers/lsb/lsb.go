// Package lsb runs init scripts (/etc/init.d) as cluster resources.
package lsb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/process"
)

// DefaultDir is where init scripts are.
const DefaultDir = "/etc/init.d"

// Finder finds the init scripts of a folder.
type Finder struct{ dir string }

// NewFinder looks in dir, DefaultDir if it is empty.
func NewFinder(dir string) *Finder {
	if dir == "" {
		dir = DefaultDir
	}
	return &Finder{dir}
}

// Find implements drivers.Finder.
func (f *Finder) Find(name drivers.Name) (drivers.Agent, drivers.Source, error) {
	path := filepath.Join(f.dir, name.Type)
	missing := &drivers.NotFoundError{Name: name, Places: []string{path}}
	if name.Type == "" || strings.HasPrefix(name.Type, ".") || strings.ContainsAny(name.Type, "/\x00") {
		return nil, drivers.Source{}, missing
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, drivers.Source{}, missing
	case err != nil:
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "cannot be read: " + err.Error()}
	case !st.Mode().IsRegular():
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "is not a file"}
	case st.Mode()&0o111 == 0:
		return nil, drivers.Source{}, &drivers.UnusableError{Name: name, Path: path, Why: "is not executable (chmod 755 makes it so)"}
	}
	return &Script{name, path}, drivers.Source{Kind: "lsb", Path: path}, nil
}

// Providers implements drivers.Finder: the class has none.
func (f *Finder) Providers() []string { return nil }

// Types implements drivers.Finder.
func (f *Finder) Types(string) []string {
	entries, _ := os.ReadDir(f.dir)
	var out []string
	for _, e := range entries {
		if _, _, err := f.Find(drivers.Name{Class: "lsb", Type: e.Name()}); err == nil {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out
}

// Script is one init script.
type Script struct {
	name drivers.Name
	path string
}

// Metadata is made from the script's LSB header; init scripts have no
// parameters.
func (s *Script) Metadata(context.Context) (string, error) {
	const sec = time.Second
	a := meta.Agent{Name: s.name.Type, Version: "1.0", Short: "init script " + s.path, Actions: []meta.Action{
		{Name: "start", Timeout: 15 * sec}, {Name: "stop", Timeout: 15 * sec}, {Name: "status", Timeout: 15 * sec},
		{Name: "restart", Timeout: 15 * sec}, {Name: "force-reload", Timeout: 15 * sec},
		{Name: "monitor", Timeout: 15 * sec, Interval: 15 * sec}, {Name: "meta-data", Timeout: 5 * sec},
	}}
	f, err := os.Open(s.path)
	if err != nil {
		return "", fmt.Errorf("init script: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	inHeader, last := false, ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "### BEGIN INIT INFO"):
			inHeader = true
			continue
		case strings.HasPrefix(line, "### END INIT INFO"):
			inHeader = false
		}
		if !inHeader || !strings.HasPrefix(line, "#") {
			continue
		}
		text := strings.TrimPrefix(line, "#")
		key, value, ok := strings.Cut(strings.TrimSpace(text), ":")
		switch {
		case ok && key == "Short-Description":
			a.Short, last = strings.TrimSpace(value), key
		case ok && key == "Description":
			a.Long, last = strings.TrimSpace(value), key
		case last == "Description" && (strings.HasPrefix(text, "  ") || strings.HasPrefix(text, "\t")):
			a.Long += " " + strings.TrimSpace(text)
		default:
			last = ""
		}
	}
	return a.XML(), nil
}

// Run implements drivers.Agent; monitor is the script's status.
func (s *Script) Run(ctx context.Context, req drivers.Request) drivers.Result {
	argument := req.Action
	switch req.Action {
	case drivers.MetaData:
		text, err := s.Metadata(ctx)
		if err != nil {
			return drivers.Result{RC: drivers.GenericError, Reason: err.Error()}
		}
		return drivers.Result{Output: text}
	case drivers.Monitor, "status":
		argument = "status"
	case drivers.Start, drivers.Stop, drivers.Reload, "restart", "force-reload":
	default:
		return drivers.Result{RC: drivers.Unimplemented, Reason: fmt.Sprintf("init scripts have no action %s", req.Action)}
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Timeout)
		defer cancel()
	}
	out := process.Run(ctx, process.Command{Path: s.path, Args: []string{argument}, Notes: req.Node.CallNotes(), Env: []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root", "SHELL=/bin/sh",
		// Debian's and others' shell libraries would hand over to systemctl.
		"SYSTEMCTL_SKIP_REDIRECT=1", "_SYSTEMCTL_SKIP_REDIRECT=1",
	}})
	res := drivers.Result{Output: out.Stdout + out.Stderr}
	var start *process.StartError
	switch {
	case errors.As(out.Err, &start):
		res.RC, res.Status, res.Reason = drivers.NotInstalled, drivers.NoSuchAgent, start.Error()
		if errors.Is(start, fs.ErrPermission) {
			res.RC, res.Status = drivers.Permission, drivers.Error
		}
	case out.Err != nil:
		res.RC, res.Status = drivers.GenericError, drivers.TimedOut
		res.Reason = fmt.Sprintf("%s %s did not end in time and was killed", s.path, argument)
		if errors.Is(ctx.Err(), context.Canceled) {
			res.Status = drivers.Cancelled
			res.Reason = fmt.Sprintf("%s %s was cancelled and killed", s.path, argument)
		}
	case out.Signal != 0:
		res.RC, res.Status = drivers.GenericError, drivers.Error
		res.Reason = fmt.Sprintf("%s %s was interrupted by signal %d", s.path, argument, int(out.Signal))
	case argument == "status":
		res.RC = statusCode(out.Code)
	default:
		res.RC = actionCode(out.Code)
	}
	if res.RC != drivers.OK && res.Reason == "" && res.RC != drivers.NotRunning {
		res.Reason = fmt.Sprintf("%s %s ended with exit code %d", s.path, argument, out.Code)
		if line := lastLine(res.Output); line != "" {
			res.Reason += ": " + line
		}
	}
	return res
}

// statusCode maps the exit codes the LSB defines for status.
func statusCode(code int) drivers.RC {
	switch code {
	case 0:
		return drivers.OK
	case 1, 2, 3: // dead with pid file, dead with lock file, stopped
		return drivers.NotRunning
	case 150:
		return drivers.NotInstalled
	case 151:
		return drivers.Permission
	}
	return drivers.GenericError
}

// actionCode maps those of the other actions, which agree with OCF up to 7.
func actionCode(code int) drivers.RC {
	if code >= 0 && code <= 7 {
		return drivers.RC(code)
	}
	return drivers.GenericError
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
