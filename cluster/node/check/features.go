package check

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// needs are what a feature takes on the host besides kernel modules.
type needs struct {
	feature string
	// program is one that must be there; packages are where it comes from, by
	// package manager (apt-get, dnf, zypper).
	program  string
	packages map[string]string
	// units are what the cluster starts itself and nobody else may, at boot.
	units []string
	// ports must be open between the nodes, or to clients, as PORT/PROTOCOL.
	ports []string
	// booleans of SELinux that must be on.
	booleans []string
}

func features() []needs {
	from := func(debian, redhat, suse string) map[string]string {
		return map[string]string{"apt-get": debian, "dnf": redhat, "zypper": suse}
	}
	return []needs{
		{feature: "drbd", units: []string{"drbd.service", "drbd.target"}, ports: []string{"7788-7799/tcp"}, booleans: []string{"daemons_enable_cluster_mode"}},
		{feature: "lvm", program: "vgs", packages: from("lvm2", "lvm2", "lvm2")},
		{feature: "clvm", program: "vgs", packages: from("lvm2", "lvm2", "lvm2"), units: []string{"lvm2-lvmlockd.service", "lvmlockd.service", "clvmd.service"}},
		{feature: "gfs2", program: "mkfs.gfs2", packages: from("gfs2-utils", "gfs2-utils", "gfs2-utils"), units: []string{"dlm.service", "gfs2.service"}},
		{feature: "iscsi", program: "iscsiadm", packages: from("open-iscsi", "iscsi-initiator-utils", "open-iscsi")},
		{feature: "iscsi-target", units: []string{"target.service", "rtslib-fb-targetctl.service", "tgt.service"}, ports: []string{"3260/tcp"}},
		{feature: "multipath", program: "multipath", packages: from("multipath-tools", "device-mapper-multipath", "multipath-tools")},
		{feature: "kvm", program: "virsh", packages: from("libvirt-daemon-system libvirt-clients", "libvirt", "libvirt"), units: []string{"libvirt-guests.service"},
			ports: []string{"49152-49215/tcp"}, booleans: []string{"virt_use_nfs"}},
		{feature: "nfs", program: "exportfs", packages: from("nfs-kernel-server", "nfs-utils", "nfs-kernel-server"),
			units: []string{"nfs-server.service", "nfs-kernel-server.service"}, ports: []string{"2049/tcp", "111/tcp"}, booleans: []string{"nfs_export_all_rw"}},
		{feature: "mysql", program: "mysqld_safe", packages: from("mariadb-server", "mariadb-server", "mariadb"),
			units: []string{"mysql.service", "mysqld.service", "mariadb.service"}, ports: []string{"3306/tcp"}},
		{feature: "pgsql", program: "psql", packages: from("postgresql", "postgresql-server", "postgresql-server"), units: []string{"postgresql.service"}, ports: []string{"5432/tcp"}},
		{feature: "apache", units: []string{"apache2.service", "httpd.service"}, ports: []string{"80/tcp"}},
		{feature: "nginx", program: "nginx", packages: from("nginx", "nginx", "nginx"), units: []string{"nginx.service"}, ports: []string{"80/tcp"}},
	}
}

// featureChecks are the rows that follow from that table, and those that are
// of one feature alone.
func featureChecks() []check {
	var list []check
	for _, n := range features() {
		if n.program != "" {
			list = append(list, check{name: "programs for " + n.feature, feature: n.feature,
				run: func(_ context.Context, h Host, _ Plan) []Finding { return installed(h, n) }})
		}
		if len(n.units) > 0 {
			list = append(list, check{name: "services of " + n.feature, feature: n.feature,
				run: func(_ context.Context, h Host, _ Plan) []Finding { return atBoot(h, n.units) }})
		}
		if len(n.ports) > 0 {
			list = append(list, check{name: "firewall for " + n.feature, feature: n.feature,
				run: func(ctx context.Context, h Host, _ Plan) []Finding { return closed(ctx, h, n.ports) }})
		}
		if len(n.booleans) > 0 {
			list = append(list, check{name: "SELinux for " + n.feature, feature: n.feature,
				run: func(ctx context.Context, h Host, _ Plan) []Finding { return denied(ctx, h, n.booleans) }})
		}
	}
	return append(list,
		check{name: "activation of volume groups", feature: "lvm", run: systemID},
		check{name: "volume groups at boot", feature: "lvm", run: autoactivation},
		check{name: "queueing of multipath", feature: "multipath", run: queueing},
		check{name: "multipathd", feature: "multipath", run: func(_ context.Context, h Host, _ Plan) []Finding {
			return running(h, "multipathd.service", "paths are not watched without it")
		}},
		check{name: "patience of iSCSI", feature: "iscsi", run: replacement},
		check{name: "name of the initiator", feature: "iscsi", run: initiator},
		check{name: "rpcbind", feature: "nfs", run: rpcbind},
		check{name: "grace time of NFS", feature: "nfs", run: graceTime},
		check{name: "libvirt", feature: "kvm", run: libvirt},
	)
}

// folders are where programs are.
var folders = [...]string{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/", "/usr/local/sbin/", "/usr/local/bin/"}

func has(h Host, program string) bool {
	return slices.ContainsFunc(folders[:], func(dir string) bool { return h.Exists(dir + program) })
}

func installed(h Host, n needs) []Finding {
	if has(h, n.program) {
		return nil
	}
	f := Finding{Status: Failure, Text: "the program " + n.program + " is not installed"}
	for _, manager := range []string{"apt-get", "dnf", "zypper"} {
		if has(h, manager) {
			f.Remedy = [][]string{append([]string{manager, "install", "-y"}, strings.Fields(n.packages[manager])...)}
			return []Finding{f}
		}
	}
	f.Hint = "install the package " + n.packages["dnf"] + " of the distribution"
	return []Finding{f}
}

// starts reports whether a unit is started at boot.
func starts(h Host, unit string) bool {
	return len(h.Glob("/etc/systemd/system/*.wants/"+unit)) > 0 || len(h.Glob("/etc/systemd/system/*.requires/"+unit)) > 0
}

func atBoot(h Host, units []string) []Finding {
	var out []Finding
	for _, u := range units {
		if starts(h, u) {
			out = append(out, Finding{Status: Failure, Text: u + " starts at boot, though the cluster decides where it runs",
				Remedy: [][]string{{"systemctl", "disable", u}}})
		}
	}
	return out
}

func running(h Host, unit, why string) []Finding {
	if starts(h, unit) || len(h.Glob("/etc/systemd/system/sockets.target.wants/"+strings.TrimSuffix(unit, ".service")+".socket")) > 0 {
		return nil
	}
	return []Finding{{Status: Warning, Text: unit + " does not start at boot: " + why, Remedy: [][]string{{"systemctl", "enable", "--now", unit}}}}
}

// closed finds ports that the firewall does not let in.
func closed(ctx context.Context, h Host, ports []string) []Finding {
	if state, err := h.Run(ctx, "firewall-cmd", "--state"); err == nil && strings.TrimSpace(state) == "running" {
		all, err := h.Run(ctx, "firewall-cmd", "--list-all")
		if err != nil {
			return []Finding{{Status: Warning, Text: "firewalld runs and does not tell what it lets in: " + err.Error(), Hint: "see firewall-cmd --list-all"}}
		}
		var out []Finding
		for _, p := range ports {
			if !letIn(all, p) {
				out = append(out, Finding{Status: Warning, Text: "firewalld does not let " + p + " in",
					Remedy: [][]string{{"firewall-cmd", "--permanent", "--add-port=" + p}, {"firewall-cmd", "--add-port=" + p}}})
			}
		}
		return out
	}
	if state, err := h.Run(ctx, "ufw", "status"); err == nil && strings.Contains(state, "Status: active") {
		var out []Finding
		for _, p := range ports {
			p = strings.ReplaceAll(p, "-", ":") // ufw's spelling of a range
			number, _, _ := strings.Cut(p, "/")
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(number) + `(/|\s)`).MatchString(state) {
				out = append(out, Finding{Status: Warning, Text: "ufw does not let " + p + " in", Remedy: [][]string{{"ufw", "allow", p}}})
			}
		}
		return out
	}
	return nil
}

// letIn looks for a port among the ports and services of a zone of firewalld.
func letIn(zone, port string) bool {
	services := map[string][]string{"2049/tcp": {"nfs", "nfs3"}, "111/tcp": {"rpc-bind"}, "3306/tcp": {"mysql"}, "5432/tcp": {"postgresql"},
		"80/tcp": {"http"}, "3260/tcp": {"iscsi-target"}, "49152-49215/tcp": {"libvirt"}}
	for line := range strings.Lines(zone) {
		kind, list, _ := strings.Cut(strings.TrimSpace(line), ":")
		words := strings.Fields(list)
		if kind == "ports" && slices.Contains(words, port) ||
			kind == "services" && slices.ContainsFunc(words, func(w string) bool { return slices.Contains(services[port], w) }) {
			return true
		}
	}
	return false
}

func denied(ctx context.Context, h Host, booleans []string) []Finding {
	if mode, err := h.ReadFile("/sys/fs/selinux/enforce"); err != nil || strings.TrimSpace(string(mode)) != "1" {
		return nil
	}
	var out []Finding
	for _, b := range booleans {
		state, err := h.Run(ctx, "getsebool", b)
		if err == nil && strings.HasSuffix(strings.TrimSpace(state), "off") {
			out = append(out, Finding{Status: Warning, Text: "SELinux is enforced and its boolean " + b + " is off", Remedy: [][]string{{"setsebool", "-P", b, "1"}}})
		}
	}
	return out
}

// setting finds "name = value" in a file with comments.
func setting(file []byte, name string) string {
	m := regexp.MustCompile(`(?m)^[ \t]*`+regexp.QuoteMeta(name)+`[ \t]*=?[ \t]*"?([^"\s#]+)`).FindAllSubmatch(file, -1)
	if len(m) == 0 {
		return ""
	}
	return string(m[len(m)-1][1])
}

const lvmConf = "/etc/lvm/lvm.conf"

func systemID(_ context.Context, h Host, _ Plan) []Finding {
	file, err := h.ReadFile(lvmConf)
	if err != nil {
		return nil // the programs are missed already
	}
	source := setting(file, "system_id_source")
	if source != "" && source != "none" || setting(file, "volume_list") != "" {
		return nil
	}
	return []Finding{{Status: Warning, Text: "LVM keeps no host from activating a volume group that another has active: no system_id_source and no volume_list in " + lvmConf,
		Remedy: [][]string{{"sed", "-i", `s/^[ \t#]*system_id_source[ \t]*=.*/\tsystem_id_source = "uname"/`, lvmConf}},
		Hint:   "for groups used by LVM-activate with vg_access_mode=system_id; for LVM with tags set volume_list instead"}}
}

func autoactivation(ctx context.Context, h Host, p Plan) []Finding {
	var out []Finding
	for _, vg := range p.Groups {
		state, err := h.Run(ctx, "vgs", "--noheadings", "-o", "autoactivation", vg)
		if err == nil && strings.TrimSpace(state) == "enabled" {
			out = append(out, Finding{Status: Failure, Text: "volume group " + vg + " is activated at boot, though the cluster decides where it is active",
				Remedy: [][]string{{"vgchange", "--setautoactivation", "n", vg}}})
		}
	}
	return out
}

// queueing: with all paths gone, input and output must fail in the end, or
// monitors and unmounts hang until the node is fenced.
func queueing(_ context.Context, h Host, _ Plan) []Finding {
	const path = "/etc/multipath.conf"
	file, err := h.ReadFile(path)
	if err != nil {
		return []Finding{{Status: Warning, Text: path + " is missing: the defaults of some arrays queue for ever when all paths are gone",
			Remedy: [][]string{{"sh", "-c", "printf 'defaults {\\n\\tno_path_retry fail\\n}\\n' > " + path}, {"systemctl", "reload-or-restart", "multipathd.service"}}}}
	}
	retry := setting(file, "no_path_retry")
	switch {
	case strings.Contains(string(file), "queue_if_no_path") || retry == "queue":
		return []Finding{{Status: Failure, Text: path + " has multipath queue for ever when all paths are gone: monitors and stops hang then",
			Hint: "set no_path_retry to fail, or to a number of retries that ends before the monitor's timeout, and take queue_if_no_path out"}}
	case retry == "":
		return []Finding{{Status: Warning, Text: path + " does not say what happens when all paths are gone", Hint: "set no_path_retry fail in its section defaults"}}
	}
	return nil
}

// leastReplacement is how long iSCSI may hold back input and output of a lost
// connection where multipath has other paths, in seconds.
const leastReplacement = 20

func replacement(_ context.Context, h Host, _ Plan) []Finding {
	const path = "/etc/iscsi/iscsid.conf"
	file, err := h.ReadFile(path)
	if err != nil {
		return nil
	}
	value := setting(file, "node.session.timeo.replacement_timeout")
	n, err := strconv.Atoi(value)
	if err == nil && n <= leastReplacement {
		return nil
	}
	if err != nil {
		n = 120 // the initiator's own
	}
	return []Finding{{Status: Warning, Text: fmt.Sprintf("a lost iSCSI connection holds input and output back for %d s, longer than most monitors wait", n),
		Remedy: [][]string{{"sh", "-c", "sed -i '/^[ \\t#]*node.session.timeo.replacement_timeout/d' " + path +
			" && echo 'node.session.timeo.replacement_timeout = 15' >> " + path}},
		Hint: "sessions that exist keep theirs: iscsiadm -m node -o update -n node.session.timeo.replacement_timeout -v 15, and log in anew"}}
}

func initiator(_ context.Context, h Host, _ Plan) []Finding {
	file, err := h.ReadFile("/etc/iscsi/initiatorname.iscsi")
	if err == nil && setting(file, "InitiatorName") != "" {
		return nil
	}
	return []Finding{{Status: Failure, Text: "this host has no name as an iSCSI initiator; targets and reservations tell hosts apart by it",
		Remedy: [][]string{{"sh", "-c", `echo "InitiatorName=$(iscsi-iname)" > /etc/iscsi/initiatorname.iscsi`}}}}
}

func rpcbind(_ context.Context, h Host, _ Plan) []Finding {
	if !has(h, "rpcbind") {
		return []Finding{{Status: Warning, Text: "rpcbind is not installed: clients of NFS version 3 find no server", Hint: "not needed if all clients use version 4"}}
	}
	return nil
}

// longestGrace is what clients may wait after the server has moved, in seconds; the
// kernel's own is 90, and 10 is the least that it takes.
const longestGrace = 15

// graceTime is how long an NFS server that has just started refuses what no client had
// before, so that clients of its predecessor can claim their locks. It follows the lease,
// in which they have to notice that the server is another one.
func graceTime(_ context.Context, h Host, _ Plan) []Finding {
	value := ""
	for _, path := range append([]string{"/etc/nfs.conf"}, h.Glob("/etc/nfs.conf.d/*.conf")...) {
		if file, err := h.ReadFile(path); err == nil {
			value = cmp.Or(setting(file, "grace-time"), value)
		}
	}
	n, err := strconv.Atoi(value)
	if err == nil && n <= longestGrace {
		return nil
	}
	if err != nil {
		n = 90
	}
	return []Finding{{Status: Warning, Text: fmt.Sprintf("clients of NFS may wait %d s for the grace time to pass each time the server moves", n),
		Remedy: [][]string{{"nfsconf", "--set", "nfsd", "lease-time", "10"}, {"nfsconf", "--set", "nfsd", "grace-time", "10"}},
		Hint:   "a server that runs takes it at its next start; it should be the same on all nodes"}}
}

func libvirt(_ context.Context, h Host, _ Plan) []Finding {
	var out []Finding
	if !h.Exists("/run/libvirt/libvirt-sock") && !h.Exists("/run/libvirt/virtqemud-sock") {
		out = append(out, Finding{Status: Failure, Text: "libvirt does not listen on its socket", Remedy: [][]string{{"systemctl", "enable", "--now", "libvirtd.service"}}})
	}
	if !h.Exists("/dev/kvm") {
		out = append(out, Finding{Status: Warning, Text: "there is no /dev/kvm: machines are emulated and slow", Hint: "enable virtualization in the firmware, or load kvm_intel or kvm_amd"})
	}
	if !h.Exists("/root/.ssh/known_hosts") {
		out = append(out, Finding{Status: Warning, Text: "root knows no host keys: live migration over qemu+ssh would ask",
			Hint: "let root log in on the other nodes with a key once, or set migration_transport to tls or tcp"})
	}
	return out
}
