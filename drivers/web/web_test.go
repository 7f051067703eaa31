package web

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/process"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folder is a folder that servers may enter after giving up root.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gcrm-web-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func apacheSubject(t *testing.T) (s agenttest.Subject, dir string) {
	program, err := exec.LookPath("apache2")
	if err != nil {
		t.Skip("no Apache is installed")
	}
	dir = folder(t)
	port := agenttest.Port(t)
	write(t, filepath.Join(dir, "www", "index.html"), "<html>Hello from Apache</html>")
	write(t, filepath.Join(dir, "envvars"), "export RUN_DIR="+dir+"\nexport PORT="+port+"\n")
	write(t, filepath.Join(dir, "conf.d", "status.conf"), "<Location \"/my-status\">\n  SetHandler server-status\n</Location>\n")
	write(t, filepath.Join(dir, "httpd.conf"), fmt.Sprintf(`ServerRoot %q
ServerName localhost
PidFile ${RUN_DIR}/apache.pid
Listen 127.0.0.1:${PORT}
Mutex file:${RUN_DIR} default
ErrorLog ${RUN_DIR}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule status_module /usr/lib/apache2/modules/mod_status.so
User www-data
Group www-data
TypesConfig /etc/mime.types
DirectoryIndex index.html
DocumentRoot ${RUN_DIR}/www
IncludeOptional conf.d/*.conf
`, dir))
	s = agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "apache"}, Agent: Apache(), Resource: "web",
		Node: agenttest.NewNode(t, "node1"), Params: map[string]string{"httpd": program, "configfile": filepath.Join(dir, "httpd.conf"),
			"envfiles": filepath.Join(dir, "envvars"), "testurl": "/index.html", "testregex10": "hello from"}}
	return s, dir
}

func TestApacheContract(t *testing.T) {
	s, dir := apacheSubject(t)
	s.Break = func(t *testing.T) { kill(t, filepath.Join(dir, "apache.pid")) }
	agenttest.Contract(t, s)
}

// kill ends the main process of a server the hard way.
func kill(t *testing.T, pidfile string) {
	t.Helper()
	raw, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	id, err := process.ParseIdentity(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	_ = id.Signal(syscall.SIGKILL) // its workers live on and hold the port
	for range 200 {
		if !id.Alive() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestApacheIsAskedForPages(t *testing.T) {
	s, dir := apacheSubject(t)
	s.Want(t, drivers.Start, drivers.OK)
	level := func(rc drivers.RC, want string) {
		t.Helper()
		req := s.Request(drivers.Monitor)
		req.Params["OCF_CHECK_LEVEL"] = "10"
		if res := s.Agent.Run(t.Context(), req); res.RC != rc || !strings.Contains(res.Reason, want) {
			t.Errorf("%+v, want %v %s", res, rc, want)
		}
	}
	level(drivers.OK, "")
	s.Params["testregex10"] = "goodbye"
	level(drivers.GenericError, `does not match "goodbye"`)
	s.Params["testurl"] = "/nothing"
	level(drivers.GenericError, "404")
	s.Params["testregex"] = "no status page has this"
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "runs but does not serve") || !strings.Contains(res.Reason, "/my-status") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	// A pid file of another process is not taken for the server.
	write(t, filepath.Join(dir, "apache.pid"), fmt.Sprint(os.Getpid()))
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestApacheThatCannotStart(t *testing.T) {
	s, dir := apacheSubject(t)
	write(t, filepath.Join(dir, "conf.d", "bad.conf"), "NoSuchDirective on\n")
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "NoSuchDirective") && !strings.Contains(res.Reason, "Invalid command") {
		t.Error(res.Reason)
	}
	if res := s.Want(t, drivers.Validate, drivers.NotConfigured); res.Reason == "" {
		t.Error("no reason")
	}
	s.Params["configfile"] = "/no/such.conf"
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
	if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "/no/such.conf") {
		t.Error(res.Reason)
	}
	s.Params["testconffile"] = "x"
	s.Want(t, drivers.Start, drivers.NotConfigured)
}

func TestApacheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.conf"), "# comment\nServerRoot \""+dir+"\"\nDefine WHERE logs\nPidFile ${WHERE}/a.pid\n"+
		"Include sub/*.conf\nListen \\\n 192.0.2.1:8080\nListen 81\nUnknown ${X}\n")
	write(t, filepath.Join(dir, "sub", "1.conf"), "<Location /st>\n SetHandler server-status\n</Location>\nSetHandler server-status\nInclude sub\n")
	c, err := readApache(filepath.Join(dir, "main.conf"), map[string]string{})
	if err != nil || !reflect.DeepEqual(c, apacheConfig{root: dir, pidfile: "logs/a.pid", listen: "192.0.2.1:8080", status: "/st"}) {
		t.Errorf("%+v %v", c, err)
	}
	if got := c.absolute(c.pidfile); got != filepath.Join(dir, "logs/a.pid") {
		t.Error(got)
	}
	for _, x := range []struct {
		listen, port string
		six          bool
		want         string
	}{{"192.0.2.1:8080", "", false, "http://192.0.2.1:8080"}, {"80", "", false, "http://localhost:80"}, {"*:81", "", true, "http://[::1]:81"},
		{"[::]:82", "99", false, "http://localhost:99"}, {"443", "", false, "https://localhost"}, {"", "", false, "http://localhost:80"}} {
		if got := (apacheConfig{listen: x.listen}).origin(x.port, x.six); got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}

func nginxSubject(t *testing.T) (s agenttest.Subject, dir string) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no Nginx is installed")
	}
	dir = folder(t)
	port := agenttest.Port(t)
	write(t, filepath.Join(dir, "nginx.conf"), fmt.Sprintf(`pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server {
    listen 127.0.0.1:%[2]s;
    location /status { return 200 "Reading: 0 Writing: 1 Waiting: 0"; }
    location / { return 200 "Hello from Nginx"; }
  }
}
`, dir, port))
	s = agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "nginx"}, Agent: Nginx(), Resource: "web",
		Node: agenttest.NewNode(t, "node1"), Params: map[string]string{"httpd": program, "configfile": filepath.Join(dir, "nginx.conf"), "port": port,
			"status10url": "/status", "test20url": "http://localhost:" + port + "/", "test20regex": "hello from", "external_monitor30_cmd": "test -e " + dir + "/well"}}
	return s, dir
}

func TestNginxContract(t *testing.T) {
	s, dir := nginxSubject(t)
	s.Break = func(t *testing.T) { kill(t, filepath.Join(dir, "nginx.pid")) }
	agenttest.Contract(t, s)
}

func TestNginxLevelsAndReload(t *testing.T) {
	s, dir := nginxSubject(t)
	s.Want(t, drivers.Start, drivers.OK)
	levels := func(want map[string]drivers.RC) {
		t.Helper()
		for level, rc := range want {
			req := s.Request(drivers.Monitor)
			req.Params["OCF_CHECK_LEVEL"] = level
			if res := s.Agent.Run(t.Context(), req); res.RC != rc {
				t.Errorf("level %s: %+v", level, res)
			}
		}
	}
	levels(map[string]drivers.RC{"0": drivers.OK, "10": drivers.OK, "20": drivers.OK, "30": drivers.GenericError, "7": drivers.NotConfigured})
	write(t, filepath.Join(dir, "well"), "")
	levels(map[string]drivers.RC{"30": drivers.OK})
	raw, _ := os.ReadFile(filepath.Join(dir, "nginx.conf"))
	write(t, filepath.Join(dir, "nginx.conf"), strings.ReplaceAll(string(raw), "Hello from", "Greetings from"))
	s.Want(t, drivers.Reload, drivers.OK)
	s.Params["test20regex"] = "greetings"
	seen := false // the old worker may still answer some requests
	for range 200 {
		req := s.Request(drivers.Monitor)
		req.Params["OCF_CHECK_LEVEL"] = "20"
		if seen = s.Agent.Run(t.Context(), req).RC == drivers.OK; seen {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !seen {
		t.Error("the new configuration does not take effect")
	}
	s.Want(t, drivers.Stop, drivers.OK)
	write(t, filepath.Join(dir, "nginx.conf"), "pid "+dir+"/nginx.pid;\nnonsense;\n")
	if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, "nonsense") {
		t.Error(res.Reason)
	}
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	for name, a := range Agents() {
		t.Run(name.Type, func(t *testing.T) {
			agenttest.SameAsScript(t, name, a, nil, []string{"configfile", "httpd", "testregex"})
		})
	}
}
