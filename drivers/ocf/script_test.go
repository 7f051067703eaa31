package ocf_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/ocf"
)

// own is an OCF agent that needs no shell library: what a site writes itself.
const own = `#!/bin/sh
state=$HA_RSCTMP/own-$OCF_RESOURCE_INSTANCE
[ -z "$OCF_RESKEY_delay" ] || { sleep "$OCF_RESKEY_delay" & wait; }
case "$1" in
start) touch "$state" ;;
stop) rm -f "$state" ;;
monitor) [ -e "$state" ] || exit 7 ;;
validate-all) ;;
env) env ;;
fail) echo "ocf-exit-reason:first" >&2; echo noise >&2; echo "x ocf-exit-reason: disk is full " >&2; exit 5 ;;
odd) exit 42 ;;
dies) kill -TERM $$ ;;
meta-data) cat <<END
<?xml version="1.0"?>
<resource-agent name="own" version="0.1"><version>1.1</version>
<longdesc lang="en">x</longdesc><shortdesc lang="en">x</shortdesc>
<parameters><parameter name="delay"><longdesc lang="en">d</longdesc><shortdesc lang="en">d</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
END
;;
*) exit 3 ;;
esac
`

func write(t *testing.T, root, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, "resource.d", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func subject(t *testing.T) agenttest.Subject {
	root := t.TempDir()
	write(t, root, "site/own", own, 0o755)
	name := drivers.Name{Class: "ocf", Provider: "site", Type: "own"}
	agent, src, err := ocf.NewFinder(root).Find(name)
	if err != nil {
		t.Fatal(err)
	}
	if src.Kind != "script" || src.Path != filepath.Join(root, "resource.d/site/own") {
		t.Errorf("source %+v", src)
	}
	return agenttest.Subject{Agent: agent, Name: name, Node: agenttest.NewNode(t, "kvm1-cr"), Resource: "web"}
}

func TestContract(t *testing.T) {
	s := subject(t)
	s.Slow = map[string]string{"delay": "30"}
	s.Break = func(t *testing.T) {
		if err := os.Remove(filepath.Join(s.Node.StateDir, "resource-agents", "own-web")); err != nil {
			t.Error(err)
		}
	}
	agenttest.Contract(t, s)
}

func TestDebianDummyKeepsTheContract(t *testing.T) {
	for _, provider := range []string{"heartbeat", "pacemaker"} {
		t.Run(provider, func(t *testing.T) {
			name := drivers.Name{Class: "ocf", Provider: provider, Type: "Dummy"}
			agent, _, err := ocf.NewFinder("").Find(name)
			if err != nil {
				t.Skip(err)
			}
			s := agenttest.Subject{Agent: agent, Name: name, Params: map[string]string{"state": filepath.Join(t.TempDir(), "state")}}
			s.Break = func(t *testing.T) {
				if err := os.Remove(s.Params["state"]); err != nil {
					t.Error(err)
				}
			}
			// No time limit for pacemaker's: killed, it leaves a lock file
			// by which it takes the next call for one in parallel.
			agenttest.Contract(t, s)
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DAEMON", "x")
	t.Setenv("HA_logfacility", "daemon")
	s := subject(t)
	s.Node.HelperDir, s.Node.Socket = "/run/gcrm/helpers", "/run/gcrm/api.sock"
	s.Params = map[string]string{"ip": "10.0.0.1", "empty": "", "odd": "a 'b' \"c\"\n$d"}
	req := s.Request("env")
	req.Interval = 10 * time.Second
	req.Meta = map[string]string{"notify_start_uname": " ", "clone-max": "2", "OCF_CHECK_LEVEL": "20"}
	out := s.Agent.Run(t.Context(), req).Output
	for _, want := range []string{
		"OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1", "OCF_RESOURCE_INSTANCE=web", "OCF_RESOURCE_TYPE=own",
		"OCF_RESOURCE_PROVIDER=site", "OCF_EXIT_REASON_PREFIX=ocf-exit-reason:", "OCF_CHECK_LEVEL=20",
		"OCF_RESKEY_ip=10.0.0.1", "OCF_RESKEY_empty=", "OCF_RESKEY_odd=a 'b' \"c\"\n$d", "OCF_RESKEY_crm_feature_set=3.16.2",
		"OCF_RESKEY_CRM_meta_timeout=20000", "OCF_RESKEY_CRM_meta_interval=10000", "OCF_RESKEY_CRM_meta_on_node=kvm1-cr",
		"OCF_RESKEY_CRM_meta_on_node_uuid=1", "OCF_RESKEY_CRM_meta_notify_start_uname= ", "OCF_RESKEY_CRM_meta_clone_max=2",
		"LC_ALL=C", "HA_SBIN_DIR=/run/gcrm/helpers", "PATH=/run/gcrm/helpers:/usr/local/sbin", "GCRM_SOCKET=/run/gcrm/api.sock",
		"GCRM_NODE=kvm1-cr", "HA_logfacility=daemon", "HA_RSCTMP=" + s.Node.StateDir + "/resource-agents",
	} {
		if !strings.Contains("\n"+out, "\n"+want) {
			t.Errorf("the environment lacks %q", want)
		}
	}
	for _, bad := range []string{"SECRET_OF_THE_DAEMON", "OCF_RESKEY_OCF_CHECK_LEVEL", "OCF_RESKEY_CRM_meta_OCF"} {
		if strings.Contains(out, bad) {
			t.Errorf("the environment has %s", bad)
		}
	}
}

func TestResults(t *testing.T) {
	s := subject(t)
	for action, want := range map[string]drivers.Result{
		"fail": {RC: drivers.NotInstalled, Reason: "disk is full"},
		"odd":  {RC: drivers.GenericError, Reason: "exit code 42"},
		"dies": {RC: drivers.GenericError, Status: drivers.Error, Reason: "interrupted by signal 15"},
	} {
		got := s.Do(t.Context(), action)
		if got.RC != want.RC || got.Status != want.Status || !strings.Contains(got.Reason, want.Reason) {
			t.Errorf("%s: %+v", action, got)
		}
	}
}

func TestTimeoutKillsTheGroupOfTheScript(t *testing.T) {
	s := subject(t)
	root := t.TempDir()
	pidfile := filepath.Join(t.TempDir(), "pid")
	write(t, root, "site/hangs", "#!/bin/sh\ntrap '' TERM\nsleep 60 & echo $! > "+pidfile+"\necho ocf-exit-reason:asking the disk >&2\nwait\n", 0o755)
	agent, _, err := ocf.NewFinder(root).Find(drivers.Name{Class: "ocf", Provider: "site", Type: "hangs"})
	if err != nil {
		t.Fatal(err)
	}
	req := s.Request(drivers.Start)
	req.Timeout = 500 * time.Millisecond
	began := time.Now()
	res := agent.Run(context.Background(), req)
	if took := time.Since(began); took > 3*time.Second || res.Status != drivers.TimedOut || res.RC != drivers.GenericError ||
		!strings.Contains(res.Reason, "after 500ms") || !strings.Contains(res.Reason, "asking the disk") {
		t.Errorf("after %v: %+v", took, res)
	}
	raw, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(raw)))
	time.Sleep(50 * time.Millisecond)
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && !strings.Contains(string(stat), ") Z") {
		t.Errorf("child %d survived: %s", pid, stat)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestUnusableScripts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "site/plain", own, 0o644)
	write(t, root, "site/noint", "#!/opt/none/sh\n", 0o755)
	write(t, root, "site/.helper", own, 0o755)
	write(t, root, "site/lib.sh", own, 0o755)
	write(t, root, "site/own", own, 0o755)
	f := ocf.NewFinder(root)
	if got := f.Types("site"); !slices.Equal(got, []string{"noint", "own"}) {
		t.Errorf("types %q", got)
	}
	if got := f.Providers(); !slices.Equal(got, []string{"site"}) {
		t.Errorf("providers %q", got)
	}
	name := drivers.Name{Class: "ocf", Provider: "site", Type: "plain"}
	_, _, err := f.Find(name)
	if u := (*drivers.UnusableError)(nil); !errors.As(err, &u) || !strings.Contains(err.Error(), "not executable") {
		t.Errorf("%v", err)
	}
	if res := drivers.LookupFailure(err); res.RC != drivers.Permission {
		t.Errorf("%+v", res)
	}
	name.Type = "../site/own"
	if _, _, err := f.Find(name); err == nil {
		t.Error("a path was taken for a type")
	}
	name.Type = "noint"
	a, _, err := f.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	res := a.Run(t.Context(), drivers.Request{Agent: name, Action: "start"})
	if res.RC != drivers.NotInstalled || !strings.Contains(res.Reason, "/opt/none/sh does not exist") {
		t.Errorf("%+v", res)
	}
	if _, err := a.Metadata(t.Context()); err == nil || !strings.Contains(err.Error(), "/opt/none/sh") {
		t.Errorf("%v", err)
	}
}

func TestMetadataIsReadAgainWhenTheScriptChanges(t *testing.T) {
	root := t.TempDir()
	f := ocf.NewFinder(root)
	write(t, root, "site/m", "#!/bin/sh\necho one\n", 0o755)
	a, _, _ := f.Find(drivers.Name{Class: "ocf", Provider: "site", Type: "m"})
	if s, err := a.Metadata(t.Context()); err != nil || s != "one\n" {
		t.Fatal(s, err)
	}
	write(t, root, "site/m", "#!/bin/sh\necho second\n", 0o755)
	if s, err := a.Metadata(t.Context()); err != nil || s != "second\n" {
		t.Error(s, err)
	}
}
