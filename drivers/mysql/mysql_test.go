package mysql

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/process"
)

func subject(t *testing.T, params map[string]string) agenttest.Subject {
	return agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "mysql"}, Agent: Agent(), Resource: "db",
		Params: params, Node: agenttest.NewNode(t, "node1"), Timeout: 60 * time.Second}
}

// realServer is a subject on the host's database server, with data of its own.
func realServer(t *testing.T) agenttest.Subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the server changes its user, which needs root")
	}
	if _, err := exec.LookPath("mysqld_safe"); err != nil {
		t.Skip("no MySQL or MariaDB server is installed")
	}
	dir, err := os.MkdirTemp("", "gcrm-db-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"data", "run"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chown", "mysql:mysql", filepath.Join(dir, d)).CombinedOutput(); err != nil {
			t.Skipf("no user mysql: %s", out)
		}
	}
	conf := filepath.Join(dir, "my.cnf")
	if err := os.WriteFile(conf, []byte("[mysqld]\nskip-networking\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\nperformance_schema=off\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return subject(t, map[string]string{"config": conf, "datadir": filepath.Join(dir, "data"), "enable_creation": "true",
		"pid": filepath.Join(dir, "run", "db.pid"), "socket": filepath.Join(dir, "run", "db.sock"), "log": filepath.Join(dir, "run", "error.log")})
}

func TestContractOnARealServer(t *testing.T) {
	t.Parallel()
	s := realServer(t)
	s.Break = func(t *testing.T) {
		raw, err := os.ReadFile(s.Params["pid"])
		if err != nil {
			t.Fatal(err)
		}
		id, err := process.ParseIdentity(string(raw))
		if err != nil {
			t.Fatal(err)
		}
		if safe, ok := guardian(id); ok {
			_ = safe.Signal(syscall.SIGKILL)
		}
		_ = id.Signal(syscall.SIGKILL)
		for range 200 {
			if !id.Alive() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	agenttest.Contract(t, s)

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
	s.Params["test_table"] = "mysql.nothing"
	level(drivers.GenericError, "nothing")
	s.Params["test_table"] = "x; DROP TABLE y"
	level(drivers.NotConfigured, "not the name of a table")
	s.Want(t, drivers.Stop, drivers.OK)
	s.Params["additional_parameters"] = "--no-such-option"
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "no-such-option") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	agenttest.SameAsScript(t, subject(t, nil).Name, Agent(), nil, nil)
	agenttest.SameAsScript(t, drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "mariadb"}, MariaDB(), nil, nil)
}

func TestRefusals(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "my.cnf")
	if err := os.WriteFile(conf, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"binary": "/bin/true", "client_binary": "/bin/true", "config": conf, "datadir": t.TempDir(), "user": "root", "group": "root",
		"pid": filepath.Join(t.TempDir(), "pid")}
	for _, c := range []struct {
		param, value string
		meta         map[string]string
		rc           drivers.RC
		want         string
	}{
		{"binary", "/no/mysqld", nil, drivers.NotInstalled, "/no/mysqld is not installed"},
		{"config", "/no/my.cnf", nil, drivers.NotInstalled, "/no/my.cnf"},
		{"datadir", "/no/data", nil, drivers.NotInstalled, "is its file system mounted"},
		{"user", "nobody-knows", nil, drivers.NotInstalled, "no user nobody-knows"},
		{"user", "root", map[string]string{"promoted_max": "1", "clone_max": "2"}, drivers.NotConfigured, "notify=true"},
	} {
		s := subject(t, map[string]string{})
		for k, v := range good {
			s.Params[k] = v
		}
		s.Params[c.param], s.Meta = c.value, c.meta
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%s: %s", c.value, res.Reason)
		}
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Stop, drivers.OK)
	}
}
