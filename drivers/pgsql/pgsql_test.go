package pgsql

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
	return agenttest.Subject{Name: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "pgsql"}, Agent: Agent(), Resource: "db",
		Params: params, Node: agenttest.NewNode(t, "node1"), Timeout: 60 * time.Second}
}

// server is a subject on the host's PostgreSQL, with data of its own.
func server(t *testing.T) agenttest.Subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the server runs as another user, which needs root")
	}
	ctl, err1 := exec.LookPath("pg_ctl")
	psql, err2 := exec.LookPath("psql")
	su, err3 := exec.LookPath("su")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Skip("no PostgreSQL server is installed")
	}
	dir, err := os.MkdirTemp("", "gcrm-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if out, err := exec.Command("chown", "postgres", dir).CombinedOutput(); err != nil {
		t.Skipf("no user postgres: %s", out)
	}
	if out, err := exec.Command(su, "-s", "/bin/sh", "postgres", "-c", ctl+" -D "+dir+"/data -o '--no-sync --auth=trust' initdb").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v %s", err, out)
	}
	return subject(t, map[string]string{"pgctl": ctl, "psql": psql, "pgdata": filepath.Join(dir, "data"), "pgport": agenttest.Port(t),
		"socketdir": filepath.Join(dir, "run"), "logfile": filepath.Join(dir, "log"), "start_opt": "-c listen_addresses="})
}

func TestContractOnARealServer(t *testing.T) {
	t.Parallel()
	s := server(t)
	s.Break = func(t *testing.T) {
		raw, err := os.ReadFile(filepath.Join(s.Params["pgdata"], "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		id, err := process.ParseIdentity(strings.SplitN(string(raw), "\n", 2)[0])
		if err != nil {
			t.Fatal(err)
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
	s.Params["monitor_sql"] = "select nothing from nowhere"
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "does not answer") {
		t.Error(res.Reason)
	}
	delete(s.Params, "monitor_sql")
	s.Want(t, drivers.Stop, drivers.OK)
	s.Params["start_opt"] = "-c no_such_setting=1"
	s.Want(t, drivers.Start, drivers.GenericError)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	agenttest.SameAsScript(t, subject(t, nil).Name, Agent(), nil, nil)
}

func TestRefusals(t *testing.T) {
	data := t.TempDir()
	for _, f := range []string{"PG_VERSION", "postgresql.conf"} {
		if err := os.WriteFile(filepath.Join(data, f), []byte("15\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		param, value string
		rc           drivers.RC
		want         string
	}{
		{"pgctl", "/no/pg_ctl", drivers.NotInstalled, "/no/pg_ctl is not installed"},
		{"pgdata", "/no/data", drivers.NotInstalled, "is its file system mounted"},
		{"config", "/no/conf", drivers.NotInstalled, "/no/conf"},
		{"pgdba", "nobody-knows", drivers.NotInstalled, "no user nobody-knows"},
		{"rep_mode", "async", drivers.NotConfigured, "needs a promotable clone"},
		{"rep_mode", "slave", drivers.NotConfigured, "needs parameter master_ip"},
		{"rep_mode", "often", drivers.NotConfigured, "none of none, sync"},
	} {
		s := subject(t, map[string]string{"pgctl": "/bin/true", "psql": "/bin/true", "pgdata": data, "pgdba": "root"})
		s.Params[c.param] = c.value
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%s: %s", c.value, res.Reason)
		}
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Stop, drivers.OK)
	}
}
