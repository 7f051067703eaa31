package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The unmodified agents of Debian's resource-agents package, run by a real
// daemon with the helper commands served, beside ocf-tester:
//
//	go build -o /tmp/bin/gcrm ./cmd/gcrm
//	go test ./cmd/gcrm -run TestEveryAgent -v -every-agent /tmp/bin/gcrm -agents-table ../../doc/agents.md
//
// It takes some minutes. What is not installed is left out and said.
var (
	everyAgent  = flag.String("every-agent", "", "program that runs every script of resource-agents that can start in a namespace")
	agentsOnly  = flag.String("agents-only", "", "names of agents, separated by commas: only these")
	agentsTable = flag.String("agents-table", "", "file for the table of what they did")
)

// recipe is how an agent can be started in a network namespace.
type recipe struct {
	agent    string
	params   string // as crm and ocf-tester take them: name=value, quoted for a shell
	setup    string // commands before
	needs    string // a program; the agent is left out without it
	promotes bool
}

func recipes() []recipe {
	return []recipe{
		{agent: "Dummy"},
		{agent: "dummypy", needs: "python3"},
		{agent: "Delay", params: "startdelay=0 stopdelay=0 mondelay=0"},
		{agent: "Stateful", promotes: true},
		{agent: "anything", params: "binfile=/bin/sleep cmdline_options=600"},
		{agent: "symlink", params: "link=/run/w/link target=/run/w/target", setup: "touch /run/w/target"},
		{agent: "Filesystem", params: "device=tmpfs directory=/run/w/mnt fstype=tmpfs", setup: "mkdir -p /run/w/mnt"},
		{agent: "IPaddr2", params: "ip=192.0.2.9 cidr_netmask=24 nic=e0"},
		{agent: "IPaddr", params: "ip=10.77.0.9 cidr_netmask=24 nic=e0", needs: "ifconfig"},
		{agent: "IPv6addr", params: "ipv6addr=2001:db8::9 cidr_netmask=64 nic=e0"},
		{agent: "IPsrcaddr", params: "ipaddress=10.77.0.7", setup: "ip address add 10.77.0.7/24 dev e0"},
		{agent: "Route", params: "destination=198.51.100.0/24 device=e0"},
		{agent: "VIPArip", params: "ip=10.77.0.10 nic=e0:1", needs: "ripd"},
		{agent: "SendArp", params: "ip=10.77.0.9 nic=e0", setup: "ip address add 10.77.0.9/24 dev e0"},
		{agent: "portblock", params: "protocol=tcp portno=4711 action=block ip=10.77.0.1", needs: "iptables"},
		{agent: "iface-bridge", params: "bridge_name=br0", needs: "brctl"},
		{agent: "iface-macvlan", params: "device=e0 name=mv0"},
		{agent: "iface-vlan", params: "vlan_interface=e0 vlan_id=7"},
		{agent: "ethmonitor", params: "interface=e0 repeat_count=1 repeat_interval=1"},
		{agent: "SysInfo", params: "delay=0s"},
		{agent: "NodeUtilization", params: "dynamic=false"},
		{agent: "ClusterMon", needs: "crm_mon"},
		{agent: "MailTo", params: "email=root", needs: "mail"},
		{agent: "storage-mon", params: "drives=/dev/null", needs: "storage_mon"},
		{agent: "apache", params: "httpd=/usr/sbin/apache2 configfile=/run/w/apache.conf statusurl=http://127.0.0.1:8081/server-status", needs: "apache2",
			setup: `printf 'ServerName x\nPidFile /run/w/apache.pid\nErrorLog /run/w/apache.log\nListen 127.0.0.1:8081\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nLoadModule status_module /usr/lib/apache2/modules/mod_status.so\n<Location /server-status>\nSetHandler server-status\n</Location>\n' >/run/w/apache.conf`},
		{agent: "nginx", params: "configfile=/run/w/nginx.conf status10url=http://127.0.0.1:8082/", needs: "nginx",
			setup: `mkdir -p /run/w/ngx /var/lib/nginx; printf 'pid /run/w/ngx/pid;\nerror_log /run/w/ngx/log;\nevents { }\nhttp { access_log off; server { listen 127.0.0.1:8082; location / { return 200; } } }\n' >/run/w/nginx.conf`},
		{agent: "Squid", params: "squid_exe=/usr/sbin/squid squid_conf=/run/w/squid.conf squid_port=3128 squid_pidfile=/run/w/sq/squid.pid", needs: "squid",
			setup: `mkdir -p /run/w/sq; chown proxy /run/w/sq; printf 'http_port 127.0.0.1:3128\nvisible_hostname w\npid_filename /run/w/sq/squid.pid\ncache_log /run/w/sq/log\naccess_log none\ncoredump_dir /run/w/sq\npinger_enable off\n' >/run/w/squid.conf`},
		{agent: "named", params: "named_config=/run/w/named.conf named_pidfile=/run/w/nd/pid named_rootdir= named_user=bind rndc=/bin/true monitor_request=localhost monitor_response=127.0.0.1", needs: "named",
			setup: `mkdir -p /run/w/nd /var/cache/bind; chown bind /run/w/nd; printf 'options { directory "/run/w/nd"; pid-file "/run/w/nd/pid"; listen-on { 127.0.0.1; }; listen-on-v6 { none; }; session-keyfile "/run/w/nd/key"; };\nzone "localhost" { type master; file "/etc/bind/db.local"; };\n' >/run/w/named.conf`},
		{agent: "dhcpd", params: "config=/run/w/dhcpd.conf chrooted_path=/run/w leases=leases interface=e0 user=root group=root chrooted=false pid=/run/w/dhcpd.pid", needs: "dhcpd",
			setup: `mkdir -p /var/lib/dhcp /run/w/dhcpd; touch /run/w/leases; printf 'subnet 10.77.0.0 netmask 255.255.255.0 { }\n' >/run/w/dhcpd.conf`},
		{agent: "rsyncd", params: "conffile=/run/w/rsyncd.conf", needs: "rsync", setup: `printf 'pid file = /run/w/rsyncd.pid\n[w]\npath = /run/w\n' >/run/w/rsyncd.conf`},
		{agent: "redis", params: "bin=/usr/bin/redis-server client_bin=/usr/bin/redis-cli config=/run/w/redis.conf rundir=/run/w/redis pidfile_name=redis.pid socket_name=redis.sock user=redis port=6379", needs: "redis-server", promotes: true,
			setup: `mkdir -p /run/w/redis /var/lib/redis; chown redis /run/w/redis /var/lib/redis; printf 'bind 10.77.0.1 127.0.0.1\ndir /var/lib/redis\nprotected-mode no\n' >/run/w/redis.conf`},
		{agent: "varnish", params: "config=/run/w/vcl mgmt_address=127.0.0.1:6082 pid=/run/w/varnish.pid backend_type=malloc backend_size=8M", needs: "varnishd",
			setup: `mkdir -p /var/lib/varnish; printf 'vcl 4.0;\nbackend default { .host = "127.0.0.1"; .port = "8082"; }\n' >/run/w/vcl`},
		{agent: "vsftpd", params: "conffile=/run/w/vsftpd.conf", needs: "vsftpd", setup: `mkdir -p /run/vsftpd/empty; printf 'listen=YES\nbackground=YES\nlisten_address=127.0.0.1\n' >/run/w/vsftpd.conf`},
		{agent: "postfix", needs: "postfix",
			setup: `cp -a /etc/postfix /run/w/postfix; mount --bind /run/w/postfix /etc/postfix; mkdir -p /var/lib/postfix; chown postfix /var/lib/postfix; mount -t tmpfs none /var/spool/postfix; printf 'compatibility_level = 3.6\nmyhostname = node1.invalid\ninet_interfaces = loopback-only\ndata_directory = /var/lib/postfix\nmaillog_file = /run/w/maillog\nmaillog_file_prefixes = /run\n' >/etc/postfix/main.cf; postfix post-install create-missing; true`},
		{agent: "dovecot", params: "config_file=/run/w/dovecot/dovecot.conf", needs: "dovecot", setup: `mkdir -p /run/w/dovecot /run/dovecot; printf 'protocols =\nbase_dir = /run/dovecot\nlog_path = /run/w/dovecot/log\nssl = no\n' >/run/w/dovecot/dovecot.conf`},
		{agent: "slapd", params: "config=/run/w/slapd.conf services=ldap://127.0.0.1:3899 pidfile=/run/w/slapd.pid user= group=", needs: "slapd",
			setup: `mkdir -p /run/w/ldap; printf 'include /etc/ldap/schema/core.schema\npidfile /run/w/slapd.pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix "dc=x"\ndirectory /run/w/ldap\n' >/run/w/slapd.conf; printf 'dn: dc=x\nobjectClass: organization\nobjectClass: dcObject\no: x\ndc: x\n' | slapadd -f /run/w/slapd.conf`},
		{agent: "rsyslog", params: "configfile=/run/w/rsyslog.conf", needs: "rsyslogd", setup: `mkdir -p /var/lib/rsyslog /var/spool/rsyslog; printf 'module(load="imuxsock" SysSock.Use="off")\n*.* /run/w/rsyslog.out\n' >/run/w/rsyslog.conf`},
		{agent: "Xinetd", params: "service=echo-w", needs: "xinetd", setup: `mount -t tmpfs none /etc/xinetd.d; printf 'service echo-w\n{\n\tdisable = yes\n\ttype = INTERNAL UNLISTED\n\tid = echo-w\n\tport = 7007\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n}\n' >/etc/xinetd.d/echo-w; xinetd -pidfile /run/xinetd.pid`},
		{agent: "mysql", params: "config=/run/w/my.cnf datadir=/run/w/db/data pid=/run/w/db/pid socket=/run/w/db/sock log=/run/w/db/log enable_creation=true", needs: "mysqld_safe",
			setup: `mkdir -p /run/w/db/data /run/mysqld; chown -R mysql /run/w/db /run/mysqld; printf '[mysqld]\nskip-networking\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\nperformance_schema=off\n' >/run/w/my.cnf`},
		{agent: "pgsql", params: "pgctl=/usr/local/bin/pg_ctl psql=/usr/bin/psql pgdata=/run/w/pg/data socketdir=/run/w/pg/run pgport=5999 logfile=/run/w/pg/log", needs: "pg_ctl",
			setup: `mkdir -p /run/w/pg/run /run/postgresql; chown -R postgres /run/w/pg /run/postgresql; su -s /bin/sh postgres -c "pg_ctl -D /run/w/pg/data -o '--no-sync --auth=trust' initdb" >/run/w/pg.init 2>&1`},
		{agent: "exportfs", params: "clientspec=127.0.0.1 directory=/run/w/export fsid=7", needs: "exportfs", setup: "mkdir -p /run/w/export"},
		{agent: "syslog-ng", params: "configfile=/run/w/syslog-ng.conf", needs: "syslog-ng",
			setup: `printf '@version: 3.38\nsource s { unix-dgram("/run/w/log.sock"); };\ndestination d { file("/run/w/messages"); };\nlog { source(s); destination(d); };\n' >/run/w/syslog-ng.conf`},
		{agent: "iSCSITarget", params: "implementation=tgt iqn=iqn.2026-01.test:w tid=1 portals=10.77.0.1:3260", needs: "tgtadm", setup: "mkdir -p /run/tgtd; tgtd --iscsi portal=10.77.0.1:3260"},
	}
}

// row is what an agent did.
type row struct{ agent, tried, result, tester string }

func TestEveryAgent(t *testing.T) {
	if *everyAgent == "" {
		t.Skip("a long run; see -every-agent")
	}
	const folder = "/usr/lib/ocf/resource.d/heartbeat"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the package resource-agents is not installed: ", err)
	}
	hosts := guests(t, "node1", "node2")
	h := hosts["node1"]
	must := func(line string) string {
		t.Helper()
		out, status := h.sh(line)
		if status != "0" {
			t.Fatalf("%s: status %s\n%s", line, status, out)
		}
		return out
	}
	must("export PATH=" + filepath.Dir(*everyAgent) + ":$PATH; unset GCRM_TEST_AS_PROGRAM http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy; mount -t proc proc /proc; mkdir -p /run/w /run/resource-agents /run/lock /var/lib/misc; chmod 755 /run/w; ip -6 address add 2001:db8::1/64 dev e0 nodad; ip address add 192.0.2.1/24 dev e0")
	must("gcrm cluster init --name every --node node1 --address 10.77.0.1")
	must("gcrm daemon >daemon.log 2>&1 &")
	must("for i in $(seq 300); do gcrm cluster status >/dev/null 2>&1 && break; sleep 0.2; done; gcrm -F configure property stonith-enabled=false no-quorum-policy=ignore")
	var rows []row
	known := map[string]bool{}
	for _, r := range recipes() {
		known[r.agent] = true
		if *agentsOnly != "" && !slices.Contains(strings.Split(*agentsOnly, ","), r.agent) {
			continue
		}
		began := time.Now()
		row := try(h, folder, r)
		rows = append(rows, row)
		t.Logf("%-16s %-40s %-50s ocf-tester: %s (%.1f s)", row.agent, row.tried, row.result, row.tester, time.Since(began).Seconds())
		if row.result != "as it should be" && !strings.HasPrefix(row.result, "not tried") && row.tester == "ok" {
			t.Errorf("%s: %s, and ocf-tester finds nothing", row.agent, row.result)
		}
	}
	all, err := filepath.Glob(folder + "/*")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, p := range all {
		if n := filepath.Base(p); !known[n] && n[0] != '.' {
			left = append(left, n)
		}
	}
	if *agentsTable != "" {
		if err := os.WriteFile(*agentsTable, []byte(agentsText(rows, left)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// try has the cluster probe, start, monitor, promote, demote and stop an
// agent, and then ocf-tester have its way with it.
func try(h *guest, folder string, r recipe) (out row) {
	out = row{agent: r.agent, tester: "not tried"}
	if _, status := h.sh("test -x " + folder + "/" + r.agent); status != "0" {
		out.result = "not tried: the package has no such agent"
		return out
	}
	if r.needs != "" {
		if _, status := h.sh("command -v " + r.needs + " >/dev/null"); status != "0" {
			out.result = "not tried: " + r.needs + " is not installed"
			return out
		}
	}
	if r.setup != "" {
		if text, status := h.sh("(" + r.setup + ") </dev/null"); status != "0" {
			out.result = "not tried: preparation: " + strings.TrimSpace(text)
			return out
		}
	}
	tried := []string{}
	step := func(name, command, want string) bool {
		if text, status := h.sh("(" + command + ") </dev/null"); status != "0" {
			out.result = name + ": " + lastLineOf(text)
			return false
		}
		tried = append(tried, name)
		for end := time.Now().Add(25 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			state, failure := stateOf(h)
			if failure != "" {
				out.result = name + ": " + failure
				return false
			}
			if state == want {
				return true
			}
			if time.Now().After(end) {
				out.result = fmt.Sprintf("%s: %s, not %s", name, state, want)
				return false
			}
		}
	}
	resource := "w"
	define := "gcrm -F configure primitive w ocf:heartbeat:" + r.agent
	if r.params != "" {
		define += " params " + r.params
	}
	define += " op monitor interval=1s timeout=20s op start timeout=20s op stop timeout=20s"
	if r.promotes {
		resource = "m"
		define = "printf '%s\\n' 'configure' \"" + strings.ReplaceAll(strings.TrimPrefix(define, "gcrm -F configure "), `"`, `\"`) +
			" op monitor role=Master interval=2s timeout=20s\" 'ms m w meta target-role=Stopped notify=true' 'commit force' | gcrm -F"
	} else {
		define += " meta target-role=Stopped"
	}
	ok := step("probe", define, "stopped")
	if ok && r.promotes {
		ok = step("start", "gcrm resource meta m set target-role Slave", "started") &&
			step("promote", "gcrm resource meta m set target-role Master", "promoted") &&
			step("demote", "gcrm resource meta m set target-role Slave", "started")
	} else if ok {
		ok = step("start", "gcrm resource start "+resource, "started")
	}
	if ok {
		time.Sleep(2500 * time.Millisecond) // two monitors
		ok = step("monitor", "true", "started")
	}
	if ok && step("stop", "gcrm resource stop "+resource, "stopped") {
		out.result = "as it should be"
	}
	out.tried = strings.Join(tried, ", ")
	h.sh("gcrm resource stop " + resource + " </dev/null; gcrm --wait resource cleanup w </dev/null; for i in $(seq 50); do gcrm -F configure delete " + resource + " w </dev/null >/dev/null 2>&1; gcrm configure show w >/dev/null 2>&1 || break; sleep 0.2; done")
	command := "timeout 30 ocf-tester -n w"
	for _, p := range shellWords(r.params) {
		command += " -o '" + p + "'"
	}
	text, status := h.sh("OCF_ROOT=/usr/lib/ocf " + command + " " + folder + "/" + r.agent + " </dev/null")
	if out.tester = "ok"; status != "0" {
		out.tester = testerSays(text, status)
	}
	return out
}

// shellWords splits name=value words; the recipes quote nothing.
func shellWords(s string) []string { return strings.Fields(s) }

// testerSays is what ocf-tester found wrong, in short.
func testerSays(text, status string) string {
	var found []string
	for line := range strings.Lines(text) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "* rc="); ok {
			_, s, _ = strings.Cut(s, ": ")
			found = append(found, strings.TrimSpace(s))
		}
	}
	if len(found) == 0 {
		found = []string{"status " + status + ": " + lastLineOf(text)}
	}
	return strings.Join(slices.Compact(found), "; ")
}

func lastLineOf(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// stateOf is what the cluster says of the one resource, and its failed
// action, if there is one.
func stateOf(h *guest) (state, failure string) {
	text, _ := h.sh("gcrm status </dev/null")
	if _, failed, ok := strings.Cut(text, "Failed Resource Actions:"); ok {
		line, _, _ := strings.Cut(strings.TrimSpace(failed), "\n")
		return "", strings.TrimPrefix(line, "* ")
	}
	switch {
	case strings.Contains(text, "Promoted: ["):
		return "promoted", ""
	case strings.Contains(text, "Unpromoted") || strings.Contains(text, "Started node1"):
		return "started", ""
	}
	return "stopped", ""
}

// agentsText is the table as documentation.
func agentsText(rows []row, left []string) string {
	var b strings.Builder
	b.WriteString("# Unmodified agents under gcrm\n\n" +
		"The scripts of Debian's package resource-agents (4.12.0), unmodified, run by a node's daemon in a network namespace: defined\n" +
		"as a resource, probed, started, monitored every second, promoted and demoted where the agent can, and stopped. Beside it\n" +
		"what the package's own `ocf-tester` finds with the same parameters. The table is written by `TestEveryAgent`\n" +
		"(`cmd/gcrm/everyagent_test.go` says how).\n\n| agent | actions | result | ocf-tester |\n| --- | --- | --- | --- |\n")
	good := 0
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ") }
	for _, r := range rows {
		if r.result == "as it should be" {
			good++
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.agent, cell(r.tried), cell(r.result), cell(r.tester))
	}
	fmt.Fprintf(&b, "\n%d of %d did everything. Not tried, because they need hardware, a kernel module, a cloud or a program that is not\nin the distribution: %s.\n", good, len(rows), strings.Join(left, ", "))
	return b.String()
}
