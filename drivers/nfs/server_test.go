package nfs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// fakeServer is a host without an NFS server in its kernel: a file has the
// number of threads, and scripts under the names of the programs stay in the
// background as those do.
func fakeServer(t *testing.T) (paths, []string, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the state folder is mounted, which needs root")
	}
	for _, s := range services() {
		if len(s.find()) > 0 {
			t.Skipf("%s runs on this host", s.name)
		}
	}
	p, path := fake(t)
	dir := filepath.Dir(p.state)
	daemon := "#!/bin/sh\n[ -n \"$AGAIN\" ] || { echo ${0##*/} $* >> " + dir + "/log; rm -f $0.ready; AGAIN=1 setsid $0 \"$@\" >/dev/null 2>&1 </dev/null &\n" +
		"while [ ! -e $0.ready ]; do sleep 0.01; done; exit 0; }\n" +
		"cd " + p.state + "; touch $0.ready; while :; do sleep 1; done\n"
	programs := map[string]string{
		"rpc.nfsd": "#!/bin/sh\necho rpc.nfsd $* >> " + dir + "/log\nfor last; do :; done\necho $last > " + p.nfsd + "/threads\n",
	}
	for _, s := range services() {
		programs[s.name] = daemon
	}
	programs["rpcbind"] = strings.ReplaceAll(daemon, "cd "+p.state, "cd /") // keeps nothing there open

	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(p.nfsd, "threads"), []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range services() {
			for _, id := range s.find() {
				_ = id.Signal(syscall.SIGKILL)
			}
		}
		_ = unix.Unmount(p.state, unix.MNT_DETACH)
	})
	return p, path, dir
}

func TestServerContract(t *testing.T) {
	for name, params := range map[string]map[string]string{
		"all versions": {}, "NFSv4 on shared state": {"nfsv4_only": "true", "nfs_shared_infodir": "SHARED"},
	} {
		t.Run(name, func(t *testing.T) {
			p, path, dir := fakeServer(t)
			params["rpcpipefs_dir"] = filepath.Join(dir, "pipes")
			if params["nfs_shared_infodir"] != "" {
				params["nfs_shared_infodir"] = filepath.Join(dir, "shared")
			}
			s := subject(t, "nfsserver", p, path, params)
			s.Break = func(t *testing.T) {
				if err := os.WriteFile(filepath.Join(p.nfsd, "threads"), []byte("0\n"), 0o644); err != nil {
					t.Error(err)
				}
			}
			agenttest.Contract(t, s)
		})
	}
}

func TestServerWithStateOnSharedStorage(t *testing.T) {
	p, path, dir := fakeServer(t)
	shared := filepath.Join(dir, "shared")
	s := subject(t, "nfsserver", p, path, map[string]string{"nfs_shared_infodir": shared, "nfs_ip": "192.0.2.1,192.0.2.2",
		"nfs_smnotify_retry_time": "3", "rpcpipefs_dir": filepath.Join(dir, "pipes")})
	s.Want(t, drivers.Start, drivers.OK)
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	order := []string{"rpcbind -w", "rpc.statd --no-notify", "rpc.mountd", "rpc.idmapd", "nfsdcld", "rpc.nfsd 8",
		"sm-notify -f -m 3 -v 192.0.2.1", "sm-notify -f -m 3 -v 192.0.2.2"}
	if got := string(log); !strings.Contains(got, strings.Join(order, "\n")) {
		t.Errorf("started in this order:\n%s", got)
	}
	// What the programs write now lies on the shared storage.
	if err := os.WriteFile(filepath.Join(p.state, "sm", "client9"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(shared, "sm", "client9")); err != nil {
		t.Error(err)
	}
	for _, f := range []string{"etab", "rmtab", "v4recovery", "nfsdcld"} {
		if _, err := os.Stat(filepath.Join(shared, f)); err != nil {
			t.Error(err)
		}
	}
	if raw, _ := os.ReadFile(filepath.Join(shared, "state")); len(raw) != 4 {
		t.Errorf("state has %d bytes", len(raw))
	}
	// Without statd there are no locks for NFSv3.
	for _, sv := range services() {
		if sv.name == "rpc.statd" {
			for _, id := range sv.find() {
				_ = id.Signal(syscall.SIGKILL)
			}
			for len(sv.find()) > 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "rpc.statd does not: NFSv3 clients cannot lock") {
		t.Error(res.Reason)
	}
	// The programs keep the folder busy; stop ends them and lets it go.
	s.Want(t, drivers.Stop, drivers.OK)
	for _, sv := range services() {
		if n := len(sv.find()); n > 0 && sv.name != "rpcbind" {
			t.Errorf("%d processes of %s are left", n, sv.name)
		}
	}
	if m, _ := (nfsServer{p}).mountedOn(p.state); m {
		t.Error("the shared folder is still mounted")
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestServerParameters(t *testing.T) {
	p, path, _ := fakeServer(t)
	s := subject(t, "nfsserver", p, path, map[string]string{"nfs_shared_infodir": "relative"})
	s.Want(t, drivers.Start, drivers.NotConfigured)
	s.Params["nfs_shared_infodir"] = "/srv/state"
	s.Meta = map[string]string{"clone_max": "2"}
	if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, "two servers would write the same state") {
		t.Error(res.Reason)
	}
	s = subject(t, "nfsserver", p, []string{"/nowhere"}, nil)
	if res := s.Want(t, drivers.Start, drivers.NotInstalled); !strings.Contains(res.Reason, "rpc.nfsd is not installed") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.OK)
}

// Under systemd, a program that the server can do without may be masked; one that it
// needs may not.
func TestServerWithMaskedUnits(t *testing.T) {
	p, path, dir := fakeServer(t)
	if err := os.Mkdir(p.booted, 0o755); err != nil {
		t.Fatal(err)
	}
	units := "#!/bin/sh\necho systemctl $* >> " + dir + "/log\nverb=$1; shift; code=0\nfor unit; do\n" +
		"masked=" + dir + "/masked.$unit\ncase $verb.$unit in\n" +
		"show.*.service) [ -e $masked ] && echo masked || echo loaded;;\n" +
		"start.*) if [ -e $masked ]; then echo \"Unit $unit is masked.\" >&2; code=1; else case $unit in\n"
	stops := ""
	for _, s := range services() {
		units += s.unit + ") " + filepath.Join(dir, "bin", s.name) + ";;\n"
		stops += "stop." + s.unit + ") for p in $(pgrep -f '^/bin/sh [^ ]*/" + s.name + "$'); do kill -9 $p; done;;\n"
	}
	units += "nfs-server.service) " + filepath.Join(dir, "bin", "rpc.nfsd") + " 8;;\nesac; fi;;\n" +
		"stop.nfs-server.service) echo 0 >" + p.nfsd + "/threads;;\n" + stops + "esac\ndone\nexit $code\n"
	if err := os.WriteFile(filepath.Join(dir, "bin", "systemctl"), []byte(units), 0o755); err != nil {
		t.Fatal(err)
	}
	mask := func(unit string) {
		if err := os.WriteFile(filepath.Join(dir, "masked."+unit), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := subject(t, "nfsserver", p, path, map[string]string{"rpcpipefs_dir": filepath.Join(dir, "pipes")})
	// One question is enough where nothing is masked.
	s.Want(t, drivers.Start, drivers.OK)
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if want := "systemctl start rpcbind.service rpc-statd.service nfs-mountd.service nfs-idmapd.service nfsdcld.service nfs-server.service\n"; strings.Count(string(log), "systemctl") != 1 || !strings.Contains(string(log), want) {
		t.Errorf("started by\n%s", log)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	mask("nfsdcld.service")
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	mask("rpc-statd.service")
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "rpc-statd.service is masked") {
		t.Error(res.Reason)
	}
}
