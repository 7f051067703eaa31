package web

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
	"gcrm/drivers/process"
)

// Nginx is ocf:heartbeat:nginx.
func Nginx() *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "nginx", Version: "1.0", API: "1.0", Short: "Nginx web server",
			Long: "Starts an Nginx server with a configuration file. Check level 10 asks for the status page, 20 for a page of your choice, 30 runs a command.",
			Params: []meta.Param{
				{Name: "configfile", Type: meta.String, Unique: true, Short: "Configuration file", Long: "Configuration file; left out, the one built into the server."},
				{Name: "httpd", Type: meta.String, Default: "/usr/sbin/nginx", Short: "Program of the server"},
				{Name: "port", Type: meta.Integer, Short: "Port to ask", Long: "Port for the checks whose URL is a path only."},
				{Name: "status10url", Type: meta.String, Short: "URL for check level 10", Long: "URL of the status page for check level 10, or a path on this server."},
				{Name: "status10regex", Type: meta.String, Default: "Reading: [0-9]+ Writing: [0-9]+ Waiting: [0-9]+", Short: "Pattern that the status page must match"},
				{Name: "testclient", Type: meta.String, Short: "Program to ask for pages", Long: "Chooses wget or curl in the script of this name; the built-in agent asks itself."},
				{Name: "test20url", Type: meta.String, Short: "URL for check level 20"},
				{Name: "test20regex", Type: meta.String, Short: "Pattern that this page must match"},
				{Name: "test20conffile", Type: meta.String, Short: "File of tests (not supported)", Long: "The built-in agent refuses it; use test20url and test20regex."},
				{Name: "test20name", Type: meta.String, Short: "Test of that file (not supported)"},
				{Name: "external_monitor30_cmd", Type: meta.String, Short: "Shell command for check level 30"},
				{Name: "options", Type: meta.String, Short: "Further arguments of the server"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 40 * second}, {Name: "stop", Timeout: 60 * second}, {Name: "reload", Timeout: 40 * second},
				{Name: "status", Timeout: 30 * second},
				{Name: "monitor", Timeout: 30 * second, Interval: 10 * second}, {Name: "monitor", Timeout: 30 * second, Interval: 30 * second, Depth: 10},
				{Name: "monitor", Timeout: 45 * second, Depth: 20}, {Name: "monitor", Timeout: 60 * second, Depth: 30},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			for _, name := range []string{"test20conffile", "test20name"} {
				if c.Params.String(name) != "" {
					return native.Fail(drivers.NotConfigured, "%s is not supported by the built-in agent; use test20url and test20regex", name)
				}
			}
			for _, name := range []string{"status10regex", "test20regex"} {
				if _, err := regexp.Compile(c.Params.String(name)); err != nil {
					return native.Fail(drivers.NotConfigured, "parameter %s: %v", name, err)
				}
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start: nginxStart, drivers.Stop: nginxStop, drivers.Monitor: nginxMonitor, "status": nginxMonitor,
			drivers.Reload: func(ctx context.Context, c *native.Call) drivers.Result {
				s, err := nginxServer(ctx, c)
				if err != nil {
					return missing(c, err)
				}
				id, alive, err := s.running()
				switch {
				case err != nil:
					return native.Failed(err)
				case !alive:
					return native.NotRunning()
				}
				return native.Failed(c.Do(fmt.Sprintf("kill -HUP %d", id.Pid), func() error { return id.Signal(syscall.SIGHUP) }))
			},
			drivers.Validate: func(ctx context.Context, c *native.Call) drivers.Result {
				s, err := nginxServer(ctx, c)
				if err != nil {
					return missing(c, err)
				}
				return nginxTest(ctx, s)
			},
		},
	}
}

// nginxTest lets the server check its configuration.
func nginxTest(ctx context.Context, s server) drivers.Result {
	out := process.Run(ctx, process.Command{Path: s.program, Args: append([]string{"-t", "-q"}, s.start...), Env: s.env})
	if out.Code != 0 {
		return native.Fail(drivers.NotConfigured, "%s", strings.TrimSpace("nginx: "+out.Stderr))
	}
	return native.OK()
}

func nginxServer(ctx context.Context, c *native.Call) (server, error) {
	program, err := findProgram(c, "httpd", "nginx")
	if err != nil {
		return server{}, err
	}
	s := server{program: program, env: []string{"PATH=" + strings.Join(native.DefaultPath(), ":"), "LC_ALL=C", "HOME=/root"}}
	built, err := builtIn(ctx, s)
	if err != nil {
		return s, err
	}
	file := c.Params.String("configfile")
	if file == "" {
		file = built["conf-path"]
	}
	s.start = append(c.Params.Words("options"), "-c", file)
	raw, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	s.pidfile = built["pid-path"]
	if m := regexp.MustCompile(`(?m)^\s*pid\s+([^;]+);`).FindStringSubmatch(string(raw)); m != nil {
		s.pidfile = strings.Trim(strings.TrimSpace(m[1]), `"'`)
	}
	if !filepath.IsAbs(s.pidfile) {
		s.pidfile = filepath.Join(built["prefix"], s.pidfile)
	}
	return s, nil
}

// builtIn reads the paths the server was built with.
func builtIn(ctx context.Context, s server) (map[string]string, error) {
	out := process.Run(ctx, process.Command{Path: s.program, Args: []string{"-V"}, Env: s.env})
	if out.Code != 0 {
		return nil, &native.ExitError{Tool: "nginx -V", Outcome: out}
	}
	paths := map[string]string{"prefix": "/usr/local/nginx", "conf-path": "/etc/nginx/nginx.conf", "pid-path": "/run/nginx.pid"}
	for _, w := range strings.Fields(out.Stderr + out.Stdout) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(w, "--"), "="); ok && strings.HasPrefix(w, "--") {
			paths[k] = v
		}
	}
	return paths, nil
}

func nginxStart(ctx context.Context, c *native.Call) drivers.Result {
	s, err := nginxServer(ctx, c)
	if err != nil {
		return missing(c, err)
	}
	if _, alive, err := s.running(); err != nil {
		return native.Failed(err)
	} else if alive {
		return nginxMonitor(ctx, c)
	}
	if res := nginxTest(ctx, s); res.RC != drivers.OK {
		return res
	}
	if res := s.end(ctx, c, syscall.SIGTERM); res.RC != drivers.OK { // workers without their main process
		return res
	}
	return s.launch(ctx, c, func() drivers.Result { return nginxMonitor(ctx, c) })
}

func nginxStop(ctx context.Context, c *native.Call) drivers.Result {
	s, err := nginxServer(ctx, c)
	if err != nil {
		return missing(c, err)
	}
	// QUIT lets requests finish; the other signals would cut them off.
	return s.end(ctx, c, syscall.SIGQUIT)
}

func nginxMonitor(ctx context.Context, c *native.Call) drivers.Result {
	s, err := nginxServer(ctx, c)
	if err != nil {
		return missing(c, err)
	}
	_, alive, err := s.running()
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
	check := func(urlParam, pattern string) error {
		url := c.Params.String(urlParam)
		if url == "" {
			return fmt.Errorf("OCF_CHECK_LEVEL %d needs the parameter %s", level, urlParam)
		}
		if strings.HasPrefix(url, "/") {
			port := c.Params.String("port")
			if port == "" {
				port = "80"
			}
			url = "http://localhost:" + port + url
		}
		return page(ctx, url, c.Params.String(pattern))
	}
	switch {
	case level == 10:
		err = check("status10url", "status10regex")
	case level == 20:
		err = check("test20url", "test20regex")
	case level == 30:
		command := c.Params.String("external_monitor30_cmd")
		if command == "" {
			return native.Fail(drivers.NotConfigured, "OCF_CHECK_LEVEL 30 needs the parameter external_monitor30_cmd")
		}
		_, err = c.Ask(ctx, "sh", "-c", command)
	case level != 0:
		return native.Fail(drivers.NotConfigured, "OCF_CHECK_LEVEL %d is not supported: use 0, 10, 20 or 30", level)
	}
	if err != nil {
		return native.Fail(drivers.GenericError, "%v", err)
	}
	return native.OK()
}
