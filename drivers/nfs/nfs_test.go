package nfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// The lines are those of exportfs 2.6.2.
func TestTableOfExports(t *testing.T) {
	p := paths{state: t.TempDir()}
	text := "/srv/a\t::1(ro,sync,fsid=3,sec=sys,ro,root_squash)\n" +
		"/srv/a\\040very\\040long name\t*(rw,sync,wdelay,fsid=root,anonuid=65534)\n" +
		"garbage\n"
	if err := os.WriteFile(filepath.Join(p.state, "etab"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := p.exports()
	if err != nil || len(list) != 2 || list[0].client != "::1" || list[0].fsid() != "3" ||
		list[1].directory != "/srv/a very long name" || list[1].client != "*" || list[1].fsid() != "0" {
		t.Errorf("%+v, %v", list, err)
	}
}

func subject(t *testing.T, typ string, p paths, path []string, params map[string]string) agenttest.Subject {
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: typ}
	return agenttest.Subject{Name: name, Agent: agents(p, path)[name], Resource: "nfs", Params: params, Node: agenttest.NewNode(t, "node1")}
}

// real is a subject on the exportfs of the host; it needs no NFS server.
func real(t *testing.T, params map[string]string) agenttest.Subject {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("exporting needs root")
	}
	if _, err := exec.LookPath("exportfs"); err != nil {
		t.Skip("exportfs is not installed")
	}
	return subject(t, "exportfs", host(), nil, params)
}

func TestExportContract(t *testing.T) {
	long := filepath.Join(t.TempDir(), "a long name")
	for name, params := range map[string]map[string]string{
		"network":       {"clientspec": "127.0.0.0/255.255.255.0", "directory": t.TempDir(), "fsid": "4711", "options": "ro"},
		"everybody":     {"clientspec": "*", "directory": t.TempDir(), "fsid": "4712", "options": "rw,no_root_squash"},
		"IPv6":          {"clientspec": "[::1]", "directory": t.TempDir(), "fsid": "4713"},
		"three folders": {"clientspec": "127.0.0.1", "directory": strings.Join([]string{t.TempDir(), t.TempDir(), t.TempDir()}, " "), "fsid": "4720"},
		"new folder":    {"clientspec": "127.0.0.1", "directory": strings.ReplaceAll(long, " ", "-"), "fsid": "4730", "rmtab_backup": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			s := real(t, params)
			s.Break = func(t *testing.T) {
				for _, d := range strings.Fields(params["directory"]) {
					if out, err := exec.Command("exportfs", "-u", params["clientspec"]+":"+d).CombinedOutput(); err != nil {
						t.Errorf("%v %s", err, out)
					}
				}
			}
			agenttest.Contract(t, s)
		})
	}
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	for name, a := range Agents() {
		t.Run(name.Type, func(t *testing.T) { agenttest.SameAsScript(t, name, a, nil, nil) })
	}
}

func TestFsidsAreUnique(t *testing.T) {
	a := real(t, map[string]string{"clientspec": "127.0.0.1", "directory": t.TempDir(), "fsid": "4741"})
	b := real(t, map[string]string{"clientspec": "127.0.0.2", "directory": t.TempDir(), "fsid": "4741"})
	a.Want(t, drivers.Start, drivers.OK)
	defer a.Want(t, drivers.Stop, drivers.OK)
	if res := b.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, "fsid 4741 of "+b.Params["directory"]+" is already that of the export "+a.Params["directory"]) {
		t.Error(res.Reason)
	}
	// The same folder for other clients may have the same id.
	b.Params["directory"] = a.Params["directory"]
	b.Want(t, drivers.Start, drivers.OK)
	b.Want(t, drivers.Stop, drivers.OK)
	a.Want(t, drivers.Monitor, drivers.OK)
}

func TestExportsThatFail(t *testing.T) {
	for _, c := range []struct {
		param, value, want string
		rc                 drivers.RC
	}{
		{"fsid", "1,2", "has a comma", drivers.NotConfigured},
		{"directory", "relative", "not an absolute path", drivers.NotConfigured},
		{"options", "rw,bogus", "bogus", drivers.GenericError},
		{"clientspec", "no-such-host.invalid", "no-such-host.invalid", drivers.GenericError},
	} {
		s := real(t, map[string]string{"clientspec": "127.0.0.1", "directory": t.TempDir(), "fsid": "4751"})
		s.Params[c.param] = c.value
		if res := s.Want(t, drivers.Start, c.rc); !strings.Contains(res.Reason, c.want) {
			t.Errorf("%s: %s", c.value, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
	s := real(t, map[string]string{"clientspec": "127.0.0.1", "directory": "/a /b", "fsid": "0b6a-uuid"})
	if res := s.Want(t, drivers.Validate, drivers.NotConfigured); !strings.Contains(res.Reason, "must be a number") {
		t.Error(res.Reason)
	}
}

// fake is a host whose files lie in a folder and whose exportfs keeps etab
// and the kernel's cache there.
func fake(t *testing.T) (paths, []string) {
	dir := t.TempDir()
	p := paths{filepath.Join(dir, "state"), filepath.Join(dir, "nfsd"), filepath.Join(dir, "rpc"), filepath.Join(dir, "no-systemd"), network{dir, hostAddresses, nil}}
	for _, d := range []string{"bin", "state/sm", "state/sm.bak", "nfsd", "rpc/nfsd.export"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := `#!/bin/sh
D=` + dir + `
echo "exportfs $*" >> $D/log
case "$1" in
-v) printf '%s\t%s(%s)\n' "${4#*:}" "${4%%:*}" "$3" >> $D/state/etab; printf '%s\t%s(%s)\n' "${4#*:}" "${4%%:*}" "$3" >> $D/rpc/nfsd.export/content ;;
-u) : > $D/state/etab ;;
-f) [ -e $D/once ] && : > $D/rpc/nfsd.export/content; touch $D/once ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "bin", "exportfs"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	notify := "#!/bin/sh\necho \"sm-notify $*\" >> " + dir + "/log\nls \"$4/sm\" \"$6/sm\" 2>/dev/null >> " + dir + "/log\nexit 0\n"
	if err := os.WriteFile(filepath.Join(dir, "bin", "sm-notify"), []byte(notify), 0o755); err != nil {
		t.Fatal(err)
	}
	for f, text := range map[string]string{"nfsd/unlock_filesystem": "", "nfsd/nfsv4leasetime": "0\n",
		"state/rmtab": "10.0.0.9:/elsewhere:0x1\n", "state/sm/client1": "x"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p, []string{filepath.Join(dir, "bin"), "/usr/bin", "/bin"}
}

func TestStopLetsTheFileSystemGo(t *testing.T) {
	p, path := fake(t)
	dir := t.TempDir()
	s := subject(t, "exportfs", p, path, map[string]string{"clientspec": "10.0.0.0/24", "directory": dir, "fsid": "1", "wait_for_leasetime_on_stop": "true"})
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	raw, _ := os.ReadFile(filepath.Join(p.nfsd, "unlock_filesystem"))
	if string(raw) != dir+"\n" {
		t.Errorf("unlocked %q", raw)
	}
	log, _ := os.ReadFile(filepath.Join(filepath.Dir(p.state), "log"))
	if got := strings.Count(string(log), "exportfs -f\n"); got != 2 {
		t.Errorf("the cache was flushed %d times, want 2:\n%s", got, log)
	}
}

func TestListOfClientsMovesWithTheFolder(t *testing.T) {
	p, path := fake(t)
	dir := t.TempDir()
	s := subject(t, "exportfs", p, path, map[string]string{"clientspec": "10.0.0.0/24", "directory": dir, "fsid": "1"})
	s.Want(t, drivers.Start, drivers.OK)
	all := "10.0.0.9:/elsewhere:0x1\n10.0.0.5:" + dir + ":0x1\n"
	if err := os.WriteFile(filepath.Join(p.state, "rmtab"), []byte(all), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	if raw, _ := os.ReadFile(filepath.Join(dir, ".rmtab")); string(raw) != "10.0.0.5:"+dir+":0x1\n" {
		t.Errorf("kept %q", raw)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	// The other node has other clients of its own.
	q, path := fake(t)
	s = subject(t, "exportfs", q, path, s.Params)
	s.Want(t, drivers.Start, drivers.OK)
	if raw, _ := os.ReadFile(filepath.Join(q.state, "rmtab")); string(raw) != all {
		t.Errorf("restored %q", raw)
	}
}

func TestNotify(t *testing.T) {
	p, path := fake(t)
	s := subject(t, "nfsnotify", p, path, map[string]string{"source_host": "10.0.0.1,10.0.0.2", "notify_args": "-m 5"})
	if _, running := statd(); running {
		t.Skip("rpc.statd runs on this host")
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	if res := s.Want(t, drivers.Start, drivers.NotRunning); !strings.Contains(res.Reason, "rpc.statd does not run") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	// A process of that name stands in for statd.
	program := filepath.Join(t.TempDir(), "rpc.statd")
	raw, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(program, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func() *exec.Cmd {
		cmd := exec.Command(program, "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	end := func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	daemon := run()
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
	log, _ := os.ReadFile(filepath.Join(filepath.Dir(p.state), "log"))
	base := filepath.Join(s.Node.StateDir, "nfsnotify-nfs")
	want := "sm-notify -f -m 5 -v 10.0.0.1 -P " + base + ".0"
	if !strings.Contains(string(log), want) || strings.Count(string(log), "sm-notify") != 2 {
		t.Errorf("log %s; want %s", log, want)
	}
	if _, err := os.Stat(filepath.Join(base+".1", "sm", "client1")); err != nil {
		t.Error(err)
	}
	end(daemon)
	daemon = run()
	defer func() { end(daemon) }()
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "started anew") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestPlan(t *testing.T) {
	if got := slices.Collect(func(yield func(string) bool) {
		for _, s := range []string{`a\040b`, `a\x`, `\134`} {
			yield(unescape(s))
		}
	}); !reflect.DeepEqual(got, []string{"a b", `a\x`, `\`}) {
		t.Errorf("%q", got)
	}
}
