package all

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/ocf"
)

// TestScriptAndNativeKeepTheSameContract runs one suite over the scripts of
// Debian's resource-agents package, unmodified, and over the native agents
// under the same names with the same parameters.
func TestScriptAndNativeKeepTheSameContract(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("most of these agents need root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	natives := Natives()
	for name, params := range map[string]func(t *testing.T) map[string]string{
		"ocf:heartbeat:Dummy": func(t *testing.T) map[string]string {
			return map[string]string{"state": filepath.Join(t.TempDir(), "state")}
		},
		"ocf:pacemaker:Dummy": func(t *testing.T) map[string]string {
			return map[string]string{"state": filepath.Join(t.TempDir(), "state")}
		},
		"ocf:heartbeat:anything": func(t *testing.T) map[string]string {
			return map[string]string{"binfile": "/bin/sleep", "cmdline_options": "600", "pidfile": filepath.Join(t.TempDir(), "pid"), "workdir": "/"}
		},
		"ocf:heartbeat:Filesystem": func(t *testing.T) map[string]string {
			dir := filepath.Join(t.TempDir(), "mnt")
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			return map[string]string{"device": "tmpfs", "directory": dir, "fstype": "tmpfs", "options": "size=1m"}
		},
		"ocf:heartbeat:IPaddr2": func(t *testing.T) map[string]string {
			return map[string]string{"ip": "127.88.0.1", "nic": "lo", "cidr_netmask": "32"}
		},
		"ocf:heartbeat:exportfs": func(t *testing.T) map[string]string {
			if _, err := exec.LookPath("exportfs"); err != nil {
				t.Skip("exportfs is not installed")
			}
			return map[string]string{"clientspec": "127.0.0.1", "directory": t.TempDir(), "fsid": "4790"}
		},
		"ocf:heartbeat:nginx": func(t *testing.T) map[string]string {
			program, err := exec.LookPath("nginx")
			if err != nil {
				t.Skip("nginx is not installed")
			}
			dir := t.TempDir()
			conf := filepath.Join(dir, "nginx.conf")
			text := strings.ReplaceAll("pid DIR/nginx.pid;\nerror_log DIR/error.log;\nworker_processes 1;\nevents { worker_connections 64; }\n"+
				"http { access_log off; client_body_temp_path DIR/1; proxy_temp_path DIR/2; fastcgi_temp_path DIR/3; uwsgi_temp_path DIR/4; scgi_temp_path DIR/5;\n"+
				"server { listen unix:DIR/socket; location / { return 200; } } }\n", "DIR", dir)
			if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"httpd": program, "configfile": conf, "status10url": "http://localhost:4799/"}
		},
	} {
		n, err := drivers.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		node := func(t *testing.T) drivers.Node {
			node := agenttest.NewNode(t, "node1")
			node.HelperDir = t.TempDir()
			if err := drivers.InstallHelpers(node.HelperDir, self); err != nil {
				t.Fatal(err)
			}
			return node
		}
		t.Run("native "+name, func(t *testing.T) {
			agenttest.Contract(t, agenttest.Subject{Agent: natives[n], Name: n, Resource: "r1", Params: params(t), Node: node(t)})
		})
		t.Run("script "+name, func(t *testing.T) {
			script, _, err := ocf.NewFinder("").Find(n)
			if err != nil {
				t.Skip(err)
			}
			if _, err := exec.LookPath("modprobe"); err != nil && n.Type == "Filesystem" {
				t.Skip("the script of this name does not run without modprobe")
			}
			agenttest.Contract(t, agenttest.Subject{Agent: script, Name: n, Resource: "r1", Params: params(t), Node: node(t)})
		})
	}
}

var sbinOf = regexp.MustCompile(`\$\{?(?:HA_SBIN_DIR|sbindir)\}?/([\w-]+)`)

// TestScriptsFindWhatTheyCall looks whether all that the host's scripts call in the
// folder of the cluster's commands is in it.
func TestScriptsFindWhatTheyCall(t *testing.T) {
	scripts, err := filepath.Glob("/usr/lib/ocf/resource.d/*/*")
	if err != nil || len(scripts) == 0 {
		t.Skip("SKIPPED: no agents are installed here ", err)
	}
	dir := t.TempDir()
	if err := drivers.InstallHelpers(dir, "/bin/true"); err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		n := drivers.Name{Class: "ocf", Provider: filepath.Base(filepath.Dir(path)), Type: filepath.Base(path)}
		if err != nil || n.Type == "clvm" { // the native agent serves in any case
			continue
		}
		for _, m := range sbinOf.FindAllSubmatch(text, -1) {
			if _, err := os.Lstat(filepath.Join(dir, string(m[1]))); err != nil {
				t.Errorf("%v calls %s: %v", n, m[1], err)
			}
		}
	}
}
