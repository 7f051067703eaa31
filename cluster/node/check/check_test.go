package check

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// fake is a host made up.
type fake struct {
	files   map[string]string
	answers map[string]string // to commands
	ran     []string
	used    map[string]bool // addresses
	names   map[string][]string
	sync    bool
	free    uint64
}

func (f *fake) ReadFile(p string) ([]byte, error) {
	if s, ok := f.files[p]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (f *fake) Exists(p string) bool {
	_, ok := f.files[p]
	return ok || p == "/"
}

func (f *fake) Glob(pattern string) []string {
	var out []string
	for p := range f.files {
		if ok, _ := path.Match(pattern, p); ok {
			out = append(out, p)
		}
	}
	return out
}

func (f *fake) Run(_ context.Context, command ...string) (string, error) {
	text := strings.Join(command, " ")
	f.ran = append(f.ran, text)
	if out, ok := f.answers[text]; ok {
		return out, nil
	}
	return "", errors.New("not there")
}

func (f *fake) Listen(a string) error {
	if f.used[a] {
		return errors.New("address already in use")
	}
	return nil
}

func (f *fake) Resolve(_ context.Context, name string) ([]string, error) {
	if l, ok := f.names[name]; ok {
		return l, nil
	}
	return nil, errors.New("no such host")
}

func (f *fake) ClockSynchronized() (bool, error) { return f.sync, nil }
func (f *fake) Free(string) (uint64, error)      { return f.free, nil }

// good is a host with which all is well.
func good() *fake {
	return &fake{sync: true, free: 10 << 30, names: map[string][]string{"localhost": {"127.0.0.1"}, "n1": {"192.0.2.1"}}, used: map[string]bool{}, answers: map[string]string{},
		files: map[string]string{"/dev/watchdog": "", "/usr/bin/apt-get": "", "/usr/sbin/vgs": "", "/usr/sbin/exportfs": "", "/usr/sbin/rpcbind": "", "/usr/bin/virsh": "", "/usr/sbin/multipath": "",
			"/usr/sbin/iscsiadm": "", "/usr/bin/mysqld_safe": "", "/usr/bin/psql": "", "/usr/sbin/nginx": "", "/sys/module/nfsd": "", "/sys/module/kvm": "", "/sys/module/dm_multipath": "",
			"/etc/nfs.conf": "[nfsd]\ngrace-time=90\n", "/etc/nfs.conf.d/short.conf": "[nfsd]\ngrace-time = 10\n",
			"/etc/lvm/lvm.conf": "global {\n\tsystem_id_source = \"uname\"\n}\n", "/etc/multipath.conf": "defaults {\n\tno_path_retry fail\n}\n",
			"/etc/systemd/system/sysinit.target.wants/multipathd.service": "", "/etc/iscsi/iscsid.conf": "node.session.timeo.replacement_timeout = 15\n",
			"/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1993-08.org.debian:01:1\n", "/run/libvirt/libvirt-sock": "", "/dev/kvm": "", "/root/.ssh/known_hosts": "",
			"/var/lib/gcrm": "", "/proc/sys/kernel/osrelease": "6.1.0\n", "/sys/module/dlm": "",
			"/lib/modules/6.1.0/modules.dep": "kernel/fs/gfs2/gfs2.ko.xz: kernel/fs/dlm/dlm.ko\nkernel/drivers/block/drbd/drbd.ko:\n", "/lib/modules/6.1.0/modules.builtin": "kernel/drivers/md/dm-mod.ko\n"}}
}

func TestChecks(t *testing.T) {
	plan := Plan{Node: "n1", Addresses: []string{"192.0.2.1:7488"}, StateDir: "/var/lib/gcrm", Managed: []string{"httpd"}}
	for _, tt := range []struct {
		name     string
		change   func(*fake, *Plan)
		features []string
		check    string // that finds something; empty for none
		status   Status
		text     string
		remedy   string
	}{
		{name: "all is well", change: func(*fake, *Plan) {}},
		{"port in use", func(f *fake, _ *Plan) { f.used["192.0.2.1:7488"] = true }, nil, "ports", Failure, "already in use", ""},
		{name: "port in use by the node itself", change: func(f *fake, p *Plan) { f.used["192.0.2.1:7488"], p.Running = true, true }},
		{"firewalld", func(f *fake, _ *Plan) {
			f.answers["firewall-cmd --state"], f.answers["firewall-cmd --list-ports"] = "running\n", "7488/tcp\n"
		}, nil, "firewall", Failure, "7488/udp", "firewall-cmd --permanent --add-port=7488/udp"},
		{"ufw", func(f *fake, _ *Plan) { f.answers["ufw status"] = "Status: active\n22/tcp ALLOW\n" }, nil, "firewall", Failure, "7488", "ufw allow 7488"},
		{name: "ufw lets it in", change: func(f *fake, _ *Plan) { f.answers["ufw status"] = "Status: active\n7488 ALLOW\n" }},
		{"nftables", func(f *fake, _ *Plan) {
			f.answers["nft list ruleset"] = "chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept }"
		}, nil, "firewall", Warning, "7488", ""},
		{"clock", func(f *fake, _ *Plan) { f.sync = false }, nil, "clock", Warning, "not kept right", ""},
		{"name is a loopback address", func(f *fake, _ *Plan) { f.names["n1"] = []string{"127.0.1.1"} }, nil, "resolution", Warning, "127.0.1.1", ""},
		{"little space", func(f *fake, _ *Plan) { f.free = 100 << 20 }, nil, "space", Warning, "100 MiB", ""},
		{"no space", func(f *fake, _ *Plan) { f.free = 1 << 20 }, nil, "space", Failure, "1 MiB", ""},
		{"no watchdog", func(f *fake, _ *Plan) { delete(f.files, "/dev/watchdog") }, nil, "watchdog", Warning, "no watchdog", "modprobe softdog"},
		{"corosync at boot", func(f *fake, _ *Plan) {
			f.files["/etc/systemd/system/multi-user.target.wants/corosync.service"] = ""
		}, nil, "other cluster software", Failure, "corosync starts at boot", "systemctl disable --now corosync.service"},
		{"a service of the cluster at boot", func(f *fake, _ *Plan) { f.files["/etc/systemd/system/multi-user.target.wants/httpd.service"] = "" }, nil,
			"services of the cluster", Failure, "httpd starts at boot", "systemctl disable httpd.service"},
		{"a module to load", func(*fake, *Plan) {}, []string{"gfs2"}, "kernel modules for gfs2", Warning, "gfs2 is not loaded", "modprobe gfs2"},
		{"a module that is built in", func(*fake, *Plan) {}, []string{"clvm"}, "", OK, "", ""},
		{"a module that is not there", func(f *fake, _ *Plan) {}, []string{"iscsi"}, "kernel modules for iscsi", Failure, "no module iscsi_tcp", ""},
		{"a program that is missing", func(f *fake, _ *Plan) { delete(f.files, "/usr/sbin/vgs") }, []string{"lvm"}, "programs for lvm", Failure, "vgs is not installed", "apt-get install -y lvm2"},
		{"another package manager", func(f *fake, _ *Plan) {
			delete(f.files, "/usr/sbin/exportfs")
			delete(f.files, "/usr/bin/apt-get")
			f.files["/usr/bin/dnf"] = ""
		}, []string{"nfs"}, "programs for nfs", Failure, "exportfs", "dnf install -y nfs-utils"},
		{"a data base at boot", func(f *fake, _ *Plan) {
			f.files["/etc/systemd/system/multi-user.target.wants/mariadb.service"] = ""
		}, []string{"mysql"}, "services of mysql", Failure, "mariadb.service starts at boot", "systemctl disable mariadb.service"},
		{"guests at boot", func(f *fake, _ *Plan) {
			f.files["/etc/systemd/system/multi-user.target.wants/libvirt-guests.service"] = ""
		}, []string{"kvm"}, "services of kvm", Failure, "libvirt-guests", "systemctl disable libvirt-guests.service"},
		{"a port of a feature in firewalld", func(f *fake, _ *Plan) {
			f.answers["firewall-cmd --state"], f.answers["firewall-cmd --list-ports"], f.answers["firewall-cmd --list-all"] = "running\n", "7488/tcp 7488/udp\n", "public\n  services: ssh rpc-bind\n  ports: 7488/tcp\n"
		}, []string{"nfs"}, "firewall for nfs", Warning, "2049/tcp", "firewall-cmd --permanent --add-port=2049/tcp"},
		{"a range in ufw", func(f *fake, _ *Plan) { f.answers["ufw status"] = "Status: active\n7488 ALLOW\n" }, []string{"kvm"}, "firewall for kvm", Warning, "49152:49215/tcp", "ufw allow 49152:49215/tcp"},
		{name: "firewalld lets it in as a service", change: func(f *fake, _ *Plan) {
			f.answers["firewall-cmd --state"], f.answers["firewall-cmd --list-ports"], f.answers["firewall-cmd --list-all"] = "running\n", "7488/tcp 7488/udp\n", "public\n  services: mysql\n"
		}, features: []string{"mysql"}},
		{"a long grace time", func(f *fake, _ *Plan) { delete(f.files, "/etc/nfs.conf.d/short.conf") }, []string{"nfs"}, "grace time of NFS", Warning, "90 s", "nfsconf --set nfsd grace-time 10"},
		{"SELinux", func(f *fake, _ *Plan) {
			f.files["/sys/fs/selinux/enforce"], f.answers["getsebool virt_use_nfs"] = "1", "virt_use_nfs --> off\n"
		}, []string{"kvm"}, "SELinux for kvm", Warning, "virt_use_nfs", "setsebool -P virt_use_nfs 1"},
		{"LVM without system id", func(f *fake, _ *Plan) {
			f.files["/etc/lvm/lvm.conf"] = "global {\n\t# system_id_source = \"none\"\n}\n"
		}, []string{"lvm"},
			"activation of volume groups", Warning, "no system_id_source", `sed -i s/^[ \t#]*system_id_source[ \t]*=.*/\tsystem_id_source = "uname"/ /etc/lvm/lvm.conf`},
		{"a volume group at boot", func(f *fake, p *Plan) {
			p.Groups, f.answers["vgs --noheadings -o autoactivation data"] = []string{"data"}, "  enabled\n"
		}, []string{"lvm"}, "volume groups at boot", Failure, "group data", "vgchange --setautoactivation n data"},
		{"multipath queues", func(f *fake, _ *Plan) { f.files["/etc/multipath.conf"] = "defaults {\n\tno_path_retry queue\n}\n" }, []string{"multipath"}, "queueing of multipath", Failure, "for ever", ""},
		{"multipath without configuration", func(f *fake, _ *Plan) { delete(f.files, "/etc/multipath.conf") }, []string{"multipath"}, "queueing of multipath", Warning, "missing", "systemctl reload-or-restart multipathd.service"},
		{"multipathd not at boot", func(f *fake, _ *Plan) { delete(f.files, "/etc/systemd/system/sysinit.target.wants/multipathd.service") }, []string{"multipath"}, "multipathd", Warning, "not watched", "systemctl enable --now multipathd.service"},
		{"iSCSI waits", func(f *fake, _ *Plan) {
			f.files["/etc/iscsi/iscsid.conf"] = "# node.session.timeo.replacement_timeout = 5\nnode.session.timeo.replacement_timeout = 120\n"
			f.files["/sys/module/iscsi_tcp"] = ""
		}, []string{"iscsi"}, "patience of iSCSI", Warning, "120 s", ""},
		{"no initiator", func(f *fake, _ *Plan) {
			delete(f.files, "/etc/iscsi/initiatorname.iscsi")
			f.files["/sys/module/iscsi_tcp"] = ""
		}, []string{"iscsi"}, "name of the initiator", Failure, "no name", ""},
		{"libvirt is not there", func(f *fake, _ *Plan) { delete(f.files, "/run/libvirt/libvirt-sock") }, []string{"kvm"}, "libvirt", Failure, "socket", "systemctl enable --now libvirtd.service"},
		{name: "all is well with features", change: func(f *fake, _ *Plan) { f.files["/sys/module/iscsi_tcp"] = "" },
			features: []string{"lvm", "nfs", "kvm", "multipath", "iscsi", "mysql", "pgsql", "apache", "nginx", "clvm"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, p := good(), plan
			tt.change(h, &p)
			list, err := Run(t.Context(), h, p, tt.features...)
			if err != nil {
				t.Fatal(err)
			}
			if tt.check == "" {
				if Worst(list) != OK {
					t.Errorf("found %+v", list)
				}
				return
			}
			i := slices.IndexFunc(list, func(f Finding) bool { return f.Status > OK })
			if i < 0 {
				t.Fatalf("nothing was found: %+v", list)
			}
			f := list[i]
			if f.Check != tt.check || f.Status != tt.status || !strings.Contains(f.Text, tt.text) {
				t.Errorf("found %+v", f)
			}
			if len(f.Remedy) == 0 && f.Hint == "" {
				t.Errorf("no remedy: %+v", f)
			}
			if tt.remedy == "" {
				return
			}
			var told []string
			h.ran = nil
			Fix(t.Context(), h, list, func(c string) { told = append(told, c) })
			if !slices.Contains(told, tt.remedy) || !slices.Equal(told, h.ran) {
				t.Errorf("told %q, ran %q, want %q", told, h.ran, tt.remedy)
			}
		})
	}
	if _, err := Run(t.Context(), good(), plan, "nonsense"); err == nil || !strings.Contains(err.Error(), "gfs2") {
		t.Errorf("an unknown feature: %v", err)
	}
}

// The checks run on a real host.
func TestThisHost(t *testing.T) {
	list, err := Run(t.Context(), This{}, Plan{Node: "localhost", Addresses: []string{"127.0.0.1:0"}, StateDir: t.TempDir()}, Features()...)
	if err != nil || len(list) < 10 {
		t.Errorf("%v, %v", list, err)
	}
}
