package web

import (
	"context"
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

// Apache is ocf:heartbeat:apache.
func Apache() *native.Agent {
	return &native.Agent{
		Table: meta.Agent{
			Name: "apache", Version: "1.0", API: "1.0", Short: "Apache web server",
			Long: "Starts an Apache web server with a configuration file and asks for pages: the status page, if the configuration has one, and at check level 10 a page of your choice.",
			Params: []meta.Param{
				{Name: "configfile", Type: meta.String, Default: "/etc/httpd/conf/httpd.conf", Unique: true, Short: "Configuration file",
					Long: "Configuration file; left out, the first of the usual ones that is there."},
				{Name: "httpd", Type: meta.String, Default: "/usr/sbin/httpd", Short: "Program of the server", Long: "Program of the server; left out, httpd, apache2 or httpd2."},
				{Name: "port", Type: meta.Integer, Short: "Port to ask for the status page", Long: "Port to ask for the status page; left out, the first that the configuration listens on."},
				{Name: "statusurl", Type: meta.String, Short: "URL of the status page", Long: "URL of the status page; left out, that of the configuration. Without either only the process is watched."},
				{Name: "testregex", Type: meta.String, Default: `</ *html *>`, Short: "Pattern that the status page must match"},
				{Name: "client", Type: meta.String, Short: "Program to ask for pages", Long: "Chooses wget or curl in the script of this name; the built-in agent asks itself."},
				{Name: "testurl", Type: meta.String, Short: "URL for check level 10", Long: "URL for check level 10, or a path on this server."},
				{Name: "testregex10", Type: meta.String, Short: "Pattern that this page must match"},
				{Name: "testconffile", Type: meta.String, Short: "File of tests (not supported)", Long: "The built-in agent refuses it; use testurl and testregex10."},
				{Name: "testname", Type: meta.String, Short: "Test of that file (not supported)"},
				{Name: "options", Type: meta.String, Short: "Further arguments of the server"},
				{Name: "envfiles", Type: meta.String, Default: "/etc/apache2/envvars", Short: "Files that set environment variables", Long: "Shell files, separated by blanks, that set environment variables of the server."},
				{Name: "use_ipv6", Type: meta.Boolean, Default: "false", Short: "Ask over IPv6"},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 40 * second}, {Name: "stop", Timeout: 60 * second}, {Name: "status", Timeout: 30 * second},
				{Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 5 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			for _, name := range []string{"testconffile", "testname"} {
				if c.Params.String(name) != "" {
					return native.Fail(drivers.NotConfigured, "%s is not supported by the built-in agent; use testurl and testregex10", name)
				}
			}
			for _, name := range []string{"testregex", "testregex10"} {
				if _, err := regexp.Compile(c.Params.String(name)); err != nil {
					return native.Fail(drivers.NotConfigured, "parameter %s: %v", name, err)
				}
			}
			return native.OK()
		},
		Actions: map[string]native.Action{
			drivers.Start: apacheStart, drivers.Stop: apacheStop, drivers.Monitor: apacheMonitor, "status": apacheMonitor,
			drivers.Validate: func(ctx context.Context, c *native.Call) drivers.Result {
				s, _, err := apacheServer(ctx, c)
				if err != nil {
					return missing(c, err)
				}
				out := process.Run(ctx, process.Command{Path: s.program, Args: append(s.start, "-t"), Env: s.env})
				if out.Code != 0 {
					return native.Fail(drivers.NotConfigured, "%v", &native.ExitError{Tool: filepath.Base(s.program), Outcome: out})
				}
				return native.OK()
			},
		},
	}
}

// apacheServer finds program, configuration and pid file.
func apacheServer(ctx context.Context, c *native.Call) (server, apacheConfig, error) {
	program, err := findProgram(c, "httpd", "httpd", "apache2", "httpd2")
	if err != nil {
		return server{}, apacheConfig{}, err
	}
	file := c.Params.String("configfile")
	if !c.Params.Set("configfile") {
		for _, f := range []string{"/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf", "/etc/apache2/httpd.conf"} {
			if _, err := os.Stat(f); err == nil {
				file = f
				break
			}
		}
	}
	env, err := environment(ctx, c)
	if err != nil {
		return server{}, apacheConfig{}, err
	}
	values := map[string]string{}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		values[k] = v
	}
	conf, err := readApache(file, values)
	if err != nil {
		return server{}, conf, err
	}
	s := server{program: program, env: env, start: append([]string{"-DSTATUS"}, c.Params.Words("options")...)}
	s.start = append(s.start, "-f", file)
	if conf.pidfile == "" {
		// Without a pid file of its own the server gets one of the node.
		if conf.pidfile, err = c.StateFile("apache-" + c.Instance() + ".pid"); err != nil {
			return s, conf, err
		}
		s.start = append(s.start, "-c", "PidFile "+conf.pidfile)
	}
	s.pidfile = conf.absolute(conf.pidfile)
	return s, conf, nil
}

// environment reads the files that set environment variables, as a shell does.
func environment(ctx context.Context, c *native.Call) ([]string, error) {
	base := []string{"PATH=" + strings.Join(native.DefaultPath(), ":"), "LC_ALL=C", "HOME=/root"}
	script := ""
	for _, f := range c.Params.Words("envfiles") {
		if st, err := os.Stat(f); err == nil && st.Mode().IsRegular() {
			script += ". " + native.Quote([]string{f}) + "\n"
		}
	}
	if script == "" {
		return base, nil
	}
	out := process.Run(ctx, process.Command{Path: "/bin/sh", Args: []string{"-c", "set -a\n" + script + "exec env -0"}, Env: base})
	if out.Code != 0 {
		return nil, &native.ExitError{Tool: "envfiles", Outcome: out}
	}
	var env []string
	for v := range strings.SplitSeq(out.Stdout, "\x00") {
		if v != "" {
			env = append(env, v)
		}
	}
	return env, nil
}

func apacheStart(ctx context.Context, c *native.Call) drivers.Result {
	s, _, err := apacheServer(ctx, c)
	if err != nil {
		return missing(c, err)
	}
	if _, alive, err := s.running(); err != nil {
		return native.Failed(err)
	} else if alive {
		return apacheMonitor(ctx, c)
	}
	if res := s.end(ctx, c, syscall.SIGTERM); res.RC != drivers.OK { // workers without their main process
		return res
	}
	if err := c.Do("mkdir -p "+filepath.Dir(s.pidfile), func() error { return os.MkdirAll(filepath.Dir(s.pidfile), 0o755) }); err != nil {
		return native.Failed(err)
	}
	return s.launch(ctx, c, func() drivers.Result { return apacheMonitor(ctx, c) })
}

func apacheStop(ctx context.Context, c *native.Call) drivers.Result {
	s, _, err := apacheServer(ctx, c)
	if err != nil {
		return missing(c, err)
	}
	return s.end(ctx, c, syscall.SIGTERM)
}

func apacheMonitor(ctx context.Context, c *native.Call) drivers.Result {
	s, conf, err := apacheServer(ctx, c)
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
	origin := conf.origin(c.Params.String("port"), c.Params.Bool("use_ipv6"))
	url := c.Params.String("statusurl")
	if url == "" && conf.status != "" {
		url = origin + conf.status
	}
	if url != "" {
		if err := page(ctx, url, c.Params.String("testregex")); err != nil {
			return native.Fail(drivers.GenericError, "the server runs but does not serve: %v", err)
		}
	}
	level, err := c.Level()
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	if level >= 10 {
		test := c.Params.String("testurl")
		if test == "" {
			return native.Fail(drivers.NotConfigured, "OCF_CHECK_LEVEL %d needs the parameter testurl", level)
		}
		if strings.HasPrefix(test, "/") {
			test = origin + test
		}
		if err := page(ctx, test, c.Params.String("testregex10")); err != nil {
			return native.Fail(drivers.GenericError, "%v", err)
		}
	}
	return native.OK()
}
