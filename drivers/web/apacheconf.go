package web

import (
	"os"
	"path/filepath"
	"strings"
)

// apacheConfig is what the agent needs from a server's configuration.
type apacheConfig struct {
	root    string // ServerRoot
	pidfile string // as configured
	listen  string // first address and port
	status  string // path of the server-status page, if there is one
}

// readApache reads a configuration with its includes; env gives the values of
// ${NAME}.
func readApache(path string, env map[string]string) (apacheConfig, error) {
	r := apacheReader{env: env, c: apacheConfig{root: filepath.Dir(path)}}
	err := r.file(path, 0)
	return r.c, err
}

type apacheReader struct {
	env      map[string]string
	c        apacheConfig
	location string
}

func (r *apacheReader) file(path string, depth int) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(raw), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if i := strings.IndexAny(line, " \t"); i > 0 {
			name, rest = line[:i], line[i+1:]
		}
		value := r.expand(strings.Trim(strings.TrimSpace(rest), `"`))
		switch strings.ToLower(name) {
		case "serverroot":
			r.c.root = value
		case "pidfile":
			r.c.pidfile = value
		case "listen", "port":
			if r.c.listen == "" {
				r.c.listen = strings.Fields(value + " ")[0]
			}
		case "define":
			if k, v, ok := strings.Cut(value, " "); ok {
				r.env[k] = strings.Trim(strings.TrimSpace(v), `"`)
			}
		case "<location":
			r.location = strings.Trim(strings.TrimSuffix(strings.TrimSpace(value), ">"), `" `)
		case "</location>":
			r.location = ""
		case "sethandler":
			if value == "server-status" && r.location != "" && r.c.status == "" {
				r.c.status = r.location
			}
		case "include", "includeoptional":
			if depth < 10 {
				r.include(value, depth)
			}
		}
	}
	return nil
}

// include follows an include; files that are not there are the server's
// concern, which says so at its start.
func (r *apacheReader) include(pattern string, depth int) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(r.c.root, pattern)
	}
	if st, err := os.Stat(pattern); err == nil && st.IsDir() {
		pattern = filepath.Join(pattern, "*")
	}
	files, _ := filepath.Glob(pattern)
	for _, f := range files {
		_ = r.file(f, depth+1)
	}
}

func (r *apacheReader) expand(s string) string {
	return os.Expand(s, func(name string) string {
		if v, ok := r.env[name]; ok {
			return v
		}
		return "${" + name + "}"
	})
}

// absolute is a path of the configuration, relative ones from ServerRoot.
func (c apacheConfig) absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.root, path)
}

// origin is the beginning of URLs to the server from its own host.
func (c apacheConfig) origin(port string, ipv6 bool) string {
	host := "localhost"
	if ipv6 {
		host = "[::1]"
	}
	address := c.listen
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		if h := address[:i]; h != "" && h != "0.0.0.0" && h != "[::]" && h != "*" {
			host = h
		}
		address = address[i+1:]
	}
	if port == "" {
		port = address
	}
	if port == "" {
		port = "80"
	}
	if port == "443" {
		return "https://" + host
	}
	return "http://" + host + ":" + port
}
