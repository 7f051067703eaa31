package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// table is all checks, in the order in which they run.
func table() []check {
	list := []check{
		{name: "ports", run: ports},
		{name: "firewall", run: firewall},
		{name: "clock", run: clock},
		{name: "resolution", run: resolution},
		{name: "space", run: space},
		{name: "watchdog", run: watchdog},
		{name: "other cluster software", run: others},
		{name: "services of the cluster", run: managed},
	}
	for _, f := range []struct {
		feature string
		modules []string
	}{
		{"drbd", []string{"drbd"}},
		{"gfs2", []string{"dlm", "gfs2"}},
		{"clvm", []string{"dlm", "dm_mod"}},
		{"iscsi", []string{"iscsi_tcp"}},
		{"iscsi-target", []string{"target_core_mod", "iscsi_target_mod"}},
		{"multipath", []string{"dm_multipath"}},
		{"kvm", []string{"kvm"}},
		{"nfs", []string{"nfsd"}},
		{"watchdog", []string{"softdog"}},
	} {
		list = append(list, check{name: "kernel modules for " + f.feature, feature: f.feature,
			run: func(ctx context.Context, h Host, _ Plan) []Finding { return modules(ctx, h, f.feature, f.modules) }})
	}
	return append(list, featureChecks()...)
}

func ports(_ context.Context, h Host, p Plan) []Finding {
	if p.Running {
		return []Finding{{Status: OK, Text: "in use by the daemon of this node"}}
	}
	if len(p.Addresses) == 0 {
		return []Finding{{Status: Skipped, Text: "no address is known yet: give --address"}}
	}
	var out []Finding
	for _, a := range p.Addresses {
		if err := h.Listen(a); err != nil {
			_, port, _ := net.SplitHostPort(a)
			out = append(out, Finding{Status: Failure, Text: fmt.Sprintf("%s cannot be used: %v", a, err),
				Hint: "see who uses it with 'ss -tulpn sport = :" + port + "', or choose another port with --address ADDR:PORT"})
		}
	}
	return out
}

// portsOf are the different ports of a plan.
func portsOf(p Plan) []string {
	var out []string
	for _, a := range p.Addresses {
		if _, port, err := net.SplitHostPort(a); err == nil && !slices.Contains(out, port) {
			out = append(out, port)
		}
	}
	return out
}

func firewall(ctx context.Context, h Host, p Plan) []Finding {
	var out []Finding
	wanted := portsOf(p)
	if state, err := h.Run(ctx, "firewall-cmd", "--state"); err == nil && strings.TrimSpace(state) == "running" {
		open, err := h.Run(ctx, "firewall-cmd", "--list-ports")
		if err != nil {
			return []Finding{{Status: Warning, Text: "firewalld runs and does not tell its open ports: " + err.Error()}}
		}
		for _, port := range wanted {
			for _, kind := range []string{"tcp", "udp"} {
				if slices.Contains(strings.Fields(open), port+"/"+kind) {
					continue
				}
				out = append(out, Finding{Status: Failure, Text: "firewalld does not let port " + port + "/" + kind + " in", Remedy: [][]string{
					{"firewall-cmd", "--permanent", "--add-port=" + port + "/" + kind}, {"firewall-cmd", "--add-port=" + port + "/" + kind}}})
			}
		}
		return out
	}
	if state, err := h.Run(ctx, "ufw", "status"); err == nil && strings.Contains(state, "Status: active") {
		for _, port := range wanted {
			if !strings.Contains(state, port+" ") && !strings.Contains(state, port+"/") {
				out = append(out, Finding{Status: Failure, Text: "ufw does not let port " + port + " in", Remedy: [][]string{{"ufw", "allow", port}}})
			}
		}
		return out
	}
	if rules, err := h.Run(ctx, "nft", "list", "ruleset"); err == nil && strings.Contains(rules, "hook input") && strings.Contains(rules, "policy drop") {
		for _, port := range wanted {
			if !strings.Contains(rules, port) {
				out = append(out, Finding{Status: Warning, Text: "nftables drops what no rule lets in, and no rule names port " + port,
					Hint: "let TCP and UDP port " + port + " in from the other nodes"})
			}
		}
	}
	return out
}

func clock(_ context.Context, h Host, _ Plan) []Finding {
	ok, err := h.ClockSynchronized()
	switch {
	case err != nil:
		return []Finding{{Status: Skipped, Text: err.Error()}}
	case ok:
		return nil
	}
	return []Finding{{Status: Warning, Text: "the clock is not kept right by anybody: logs, certificates and date rules of the nodes will not fit together",
		Hint: "install chrony or another NTP client, and enable it: systemctl enable --now chrony"}}
}

func resolution(ctx context.Context, h Host, p Plan) []Finding {
	var out []Finding
	if list, err := h.Resolve(ctx, "localhost"); err != nil || len(list) == 0 {
		out = append(out, Finding{Status: Warning, Text: "localhost has no address", Hint: "add the line '127.0.0.1 localhost' to /etc/hosts"})
	}
	if p.Node == "" {
		return out
	}
	list, err := h.Resolve(ctx, p.Node)
	if err != nil {
		return append(out, Finding{Status: OK, Text: p.Node + " has no address; gcrm does not need it, agents may: then add it to /etc/hosts on every node"})
	}
	for _, a := range list {
		if ip, err := netip.ParseAddr(a); err == nil && ip.IsLoopback() && len(p.Addresses) > 0 && !strings.HasPrefix(p.Addresses[0], "127.") {
			out = append(out, Finding{Status: Warning, Text: fmt.Sprintf("%s is the address %s here, which other nodes cannot reach: services that listen on the name of the host are alone", p.Node, a),
				Hint: "give it the node's own address in /etc/hosts"})
		}
	}
	return out
}

// leastSpace is what the state folder should have free: logs and snapshots stay
// far below it.
const leastSpace = 512 << 20

func space(_ context.Context, h Host, p Plan) []Finding {
	dir := p.StateDir
	for dir != "/" && dir != "." && !h.Exists(dir) {
		dir = path.Dir(dir)
	}
	free, err := h.Free(dir)
	switch {
	case err != nil:
		return []Finding{{Status: Skipped, Text: err.Error()}}
	case free < leastSpace/8:
		return []Finding{{Status: Failure, Text: fmt.Sprintf("%s has %d MiB free: a node that cannot write its log has no vote", dir, free>>20), Hint: "free some space, or choose another folder with --state-dir"}}
	case free < leastSpace:
		return []Finding{{Status: Warning, Text: fmt.Sprintf("%s has %d MiB free", dir, free>>20), Hint: "free some space, or choose another folder with --state-dir"}}
	}
	return nil
}

func watchdog(_ context.Context, h Host, _ Plan) []Finding {
	if h.Exists("/dev/watchdog") {
		return nil
	}
	return []Finding{{Status: Warning, Text: "there is no watchdog: a node that hangs can only be fenced from outside",
		Remedy: load("softdog")}}
}

// load are the commands that load a module, now and at every boot.
func load(module string) [][]string {
	return [][]string{{"modprobe", module}, {"sh", "-c", "echo " + module + " > /etc/modules-load.d/gcrm-" + module + ".conf"}}
}

// enabled reports whether a service starts at boot.
func enabled(h Host, service string) bool {
	return len(h.Glob("/etc/systemd/system/*.wants/"+service+".service")) > 0
}

func others(_ context.Context, h Host, _ Plan) []Finding {
	var out []Finding
	for _, s := range []string{"pacemaker", "corosync", "sbd", "pcsd", "heartbeat", "drbd", "booth-arbitrator"} {
		if enabled(h, s) {
			status := Failure
			if s == "pcsd" {
				status = Warning
			}
			out = append(out, Finding{Status: status, Text: s + " starts at boot, and wants what gcrm works with", Remedy: [][]string{{"systemctl", "disable", "--now", s + ".service"}}})
		}
	}
	return out
}

func managed(_ context.Context, h Host, p Plan) []Finding {
	var out []Finding
	for _, s := range p.Managed {
		if enabled(h, strings.TrimSuffix(s, ".service")) {
			out = append(out, Finding{Status: Failure, Text: s + " starts at boot, though the cluster decides where it runs",
				Remedy: [][]string{{"systemctl", "disable", strings.TrimSuffix(s, ".service") + ".service"}}})
		}
	}
	return out
}

// modules looks for kernel modules: loaded, built in, or there to be loaded.
func modules(ctx context.Context, h Host, feature string, names []string) []Finding {
	release, err := h.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return []Finding{{Status: Skipped, Text: err.Error()}}
	}
	dir := "/lib/modules/" + strings.TrimSpace(string(release))
	var out []Finding
	for _, m := range names {
		switch {
		case h.Exists("/sys/module/"+m) || listed(h, dir+"/modules.builtin", m):
		case listed(h, dir+"/modules.dep", m):
			out = append(out, Finding{Status: Warning, Text: "module " + m + " is not loaded", Remedy: load(m)})
		default:
			out = append(out, Finding{Status: Failure, Text: "this kernel has no module " + m + ", which " + feature + " needs",
				Hint: "install the kernel's extra modules, or a kernel that has it"})
		}
	}
	return out
}

// listed looks for a module in a list of files; - and _ are the same.
func listed(h Host, list, module string) bool {
	b, err := h.ReadFile(list)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		if strings.ReplaceAll(name, "-", "_") == strings.ReplaceAll(module, "-", "_") {
			return true
		}
	}
	return false
}
