// Package web has the agents of web servers: ocf:heartbeat:apache and
// ocf:heartbeat:nginx. They start the host's server and ask it for pages
// themselves.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// Agents returns the agents of this package by name.
func Agents() map[drivers.Name]drivers.Agent {
	return map[drivers.Name]drivers.Agent{
		{Class: "ocf", Provider: "heartbeat", Type: "apache"}: Apache(),
		{Class: "ocf", Provider: "heartbeat", Type: "nginx"}:  Nginx(),
	}
}

const second = time.Second

// server is a web server as its parameters and configuration describe it.
type server struct {
	program string   // path
	pidfile string   // path
	start   []string // arguments
	env     []string // of the start
}

// running finds the main process by the pid file. A process that is another
// program does not count: the file is then a left-over.
func (s server) running() (process.Identity, bool, error) {
	raw, err := os.ReadFile(s.pidfile)
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
	if err != nil || !st.Identity.Alive() || !strings.HasPrefix(filepath.Base(s.program), strings.TrimSuffix(st.Name, ":")) {
		return process.Identity{}, false, nil
	}
	return st.Identity, true, nil
}

// workers are the processes of the server besides the main one: it began a
// session in which all of them are. They can outlive it and hold its ports.
func (s server) workers() []process.Identity {
	raw, err := os.ReadFile(s.pidfile)
	if err != nil {
		return nil
	}
	id, err := process.ParseIdentity(string(raw))
	if err != nil {
		return nil
	}
	all, _ := process.All()
	var out []process.Identity
	for _, p := range all {
		if p.Session == id.Pid && p.Pid != id.Pid && p.State != 'Z' && strings.HasPrefix(filepath.Base(s.program), p.Name) {
			out = append(out, p.Identity)
		}
	}
	return out
}

// launch starts the server, which puts itself into the background, and waits
// until check says that it serves.
func (s server) launch(ctx context.Context, c *native.Call, check func() drivers.Result) drivers.Result {
	err := c.Do(native.Quote(append([]string{s.program}, s.start...)), func() error {
		out := process.Run(ctx, process.Command{Path: s.program, Args: s.start, Env: append(slices.Clone(s.env), c.Mark())})
		if out.Code != 0 {
			return &native.ExitError{Tool: filepath.Base(s.program), Outcome: inFull(out)}
		}
		return nil
	})
	if err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	for {
		res := check()
		if res.RC == drivers.OK {
			return res
		}
		c.Waiting("the server to serve: %s", res.Reason)
		if native.Sleep(ctx, 100*time.Millisecond) != nil {
			return native.Fail(drivers.GenericError, "%s does not serve: %s", s.program, res.Reason)
		}
	}
}

// inFull puts the lines of a server's complaint into one: the last of them is
// seldom the one that tells why.
func inFull(out process.Outcome) process.Outcome {
	text := strings.Join(strings.FieldsFunc(strings.TrimSpace(out.Stderr), func(r rune) bool { return r == '\n' }), "; ")
	if len(text) > 500 {
		text = text[:500] + "..."
	}
	out.Stderr = text
	return out
}

// end stops the main process with the given signal, then with SIGTERM, and
// with SIGKILL what is left of it and its workers when the time runs out.
func (s server) end(ctx context.Context, c *native.Call, gentle syscall.Signal) drivers.Result {
	id, alive, err := s.running()
	if err != nil {
		return native.Failed(err)
	}
	family := s.workers()
	if alive {
		family = append(family, id)
	}
	if len(family) == 0 {
		return native.Failed(c.Remove(s.pidfile))
	}
	gone := func() bool {
		for _, p := range family {
			if p.Alive() {
				return false
			}
		}
		return true
	}
	send := func(sig syscall.Signal, ids ...process.Identity) error {
		for _, p := range ids {
			if !p.Alive() {
				continue
			}
			err := c.Do(fmt.Sprintf("kill -%d %d", int(sig), p.Pid), func() error { return p.Signal(sig) })
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		}
		return nil
	}
	// Workers follow the main process; without one they get the signal that
	// all of them understand. A graceful end gets a part of the time only:
	// clients may hold on to connections for ever.
	type step struct {
		sig syscall.Signal
		to  []process.Identity
		max time.Duration
	}
	left := native.Remaining(ctx)
	steps := []step{{syscall.SIGTERM, family, min(left/2, 2*time.Second)}}
	if alive {
		steps = []step{{syscall.SIGTERM, []process.Identity{id}, left * 3 / 4}}
		if gentle != syscall.SIGTERM {
			steps = []step{{gentle, []process.Identity{id}, min(left/3, 5*time.Second)}, {syscall.SIGTERM, []process.Identity{id}, left / 3}}
		}
	}
	c.Waiting("process %d to end", family[0].Pid)
	for _, s := range steps {
		if err = send(s.sig, s.to...); err != nil {
			return native.Failed(err)
		}
		soft, cancel := context.WithTimeout(ctx, s.max)
		err = c.Poll(soft, 20*time.Millisecond, gone)
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		if err := send(syscall.SIGKILL, family...); err != nil {
			return native.Failed(err)
		}
		if err := c.Poll(ctx, 20*time.Millisecond, gone); err != nil {
			return native.Fail(drivers.GenericError, "process %d does not end after SIGKILL", family[0].Pid)
		}
	}
	if c.Dry() {
		return native.OK()
	}
	return native.Failed(c.Remove(s.pidfile))
}

// page asks for a page and looks for a pattern in it, in any case; an empty
// pattern takes any page.
func page(ctx context.Context, url, pattern string) error {
	expression, err := regexp.Compile("(?is)" + pattern)
	if err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// The check is of the server here, whatever name its certificate has.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	if res.StatusCode >= 400 {
		return fmt.Errorf("%s: the server answers %s", url, res.Status)
	}
	if !expression.Match(body) {
		return fmt.Errorf("%s: the page does not match %q", url, pattern)
	}
	return nil
}

// findProgram takes the first that is there of a parameter and the usual names.
func findProgram(c *native.Call, parameter string, names ...string) (string, error) {
	if p := c.Params.String(parameter); c.Params.Set(parameter) && p != "" {
		return c.Tool(p)
	}
	var first error
	for _, n := range names {
		path, err := c.Tool(n)
		if err == nil {
			return path, nil
		}
		first = errors.Join(first, err)
	}
	return "", &native.ToolError{Tool: strings.Join(names, " or "), Path: native.DefaultPath()}
}

// missing is the answer when the server or its configuration is not there:
// not running to a probe, nothing to do for stop.
func missing(c *native.Call, err error) drivers.Result {
	switch {
	case c.Action == drivers.Stop:
		return native.OK()
	case c.Probe():
		return native.Fail(drivers.NotRunning, "%v", err)
	}
	return native.Fail(drivers.NotInstalled, "%v", err)
}
