package main

import "strings"

// recipe is how an agent can be started.
type recipe struct {
	agent    string
	params   string // name=value, or name="several words"
	setup    string // commands before
	after    string // commands behind it, which end what setup started
	needs    string // programs; the agent is left out without one of them
	promotes bool
	slow     bool   // needs more than a minute for an action
	meta     string // further meta attributes of the promotable clone
	because  string // why it cannot work, where that is known
}

// inNamespace are those that need nothing of the kernel but namespaces, on any host with
// the packages.
func inNamespace() []recipe {
	return []recipe{
		{agent: "Dummy"},
		{agent: "dummypy", params: "state=/run/w/dummypy.state", needs: "python3"},
		{agent: "Delay", params: "startdelay=0 stopdelay=0 mondelay=0"},
		{agent: "Stateful", promotes: true},
		{agent: "anything", params: "binfile=/bin/sleep cmdline_options=600"},
		{agent: "symlink", params: "link=/run/w/link target=/run/w/target", setup: "touch /run/w/target"},
		{agent: "Filesystem", params: "device=tmpfs directory=/run/w/mnt fstype=tmpfs", setup: "mkdir -p /run/w/mnt"},
		{agent: "IPaddr2", params: "ip=192.0.2.9 cidr_netmask=24 nic=e0"},
		{agent: "IPaddr", params: "ip=10.77.0.9 cidr_netmask=24 nic=e0", needs: "ifconfig"},
		{agent: "IPv6addr", params: "ipv6addr=2001:db8::9 cidr_netmask=64 nic=e0"},
		{agent: "IPsrcaddr", params: "ipaddress=10.79.0.7", setup: "ip link add src0 type veth peer name src1; ip link set src0 up; ip link set src1 up; ip address add 10.79.0.1/24 dev src0; ip address add 10.79.0.7/24 dev src0; ip route add default via 10.79.0.2", after: "ip link del src0"},
		{agent: "Route", params: "destination=198.51.100.0/24 device=e0"},
		{agent: "VIPArip", params: "ip=10.77.0.10 nic=e0:1 zebra_binary=/usr/lib/frr/zebra ripd_binary=/usr/lib/frr/ripd", needs: "/usr/lib/frr/ripd ifconfig",
			setup: "mkdir -p /run/frr; chown frr:frr /run/frr"},
		{agent: "SendArp", params: "ip=10.77.0.9 nic=e0", setup: "ip address add 10.77.0.9/24 dev e0"},
		{agent: "portblock", params: "protocol=tcp portno=4711 action=block ip=10.77.0.1", needs: "iptables"},
		{agent: "iface-bridge", params: "bridge_name=br0", needs: "brctl"},
		{agent: "iface-macvlan", params: "device=e0 name=mv0"},
		{agent: "ethmonitor", params: "interface=e0 repeat_count=1 repeat_interval=1"},
		{agent: "SysInfo", params: "delay=0s"},
		{agent: "NodeUtilization", params: "dynamic=false"},
		{agent: "ClusterMon", needs: "crm_mon"},
		{agent: "MailTo", params: "email=root", needs: "mail"},
		{agent: "storage-mon", params: "drives=/run/w/drive.disk", needs: "/usr/libexec/heartbeat/storage_mon", setup: "truncate -s 1M /run/w/drive; ln -s $(losetup --find --show /run/w/drive) /run/w/drive.disk", after: "losetup -d $(readlink /run/w/drive.disk)"},
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
		{agent: "varnish", params: "config=/run/w/vcl mgmt_address=127.0.0.1:6082 pid=/run/w/varnish.pid backend_type=malloc backend_size=8M", needs: "varnishd", because: "line 381 of the agent passes -u, and varnishd of Debian 12 answers: invalid option -- 'u'",
			setup: `mkdir -p /var/lib/varnish; printf 'vcl 4.0;\nbackend default { .host = "127.0.0.1"; .port = "8082"; }\n' >/run/w/vcl`},
		{agent: "vsftpd", params: "binpath=vsftpd conffile=/run/w/vsftpd.conf", needs: "vsftpd", setup: `mkdir -p /run/vsftpd/empty; printf 'listen=YES\nbackground=YES\nlisten_address=127.0.0.1\n' >/run/w/vsftpd.conf`},
		{agent: "postfix", needs: "postfix",
			setup: `cp -a /etc/postfix /run/w/postfix; mount --bind /run/w/postfix /etc/postfix; mkdir -p /var/lib/postfix; chown postfix /var/lib/postfix; mount -t tmpfs none /var/spool/postfix; printf 'compatibility_level = 3.6\nmyhostname = node1.invalid\ninet_interfaces = loopback-only\ndata_directory = /var/lib/postfix\nmaillog_file = /run/w/maillog\nmaillog_file_prefixes = /run\n' >/etc/postfix/main.cf; postfix post-install create-missing; true`},
		{agent: "dovecot", params: "config_file=/run/w/dovecot/dovecot.conf", needs: "dovecot", setup: `mkdir -p /run/w/dovecot /run/dovecot; printf 'protocols =\nbase_dir = /run/dovecot\nlog_path = /run/w/dovecot/log\nssl = no\n' >/run/w/dovecot/dovecot.conf`},
		{agent: "slapd", params: "config=/run/w/slapd.conf services=ldap://127.0.0.1:3899 pidfile=/run/w/slapd.pid user= group=", needs: "slapd",
			setup: `mkdir -p /run/w/ldap; printf 'include /etc/ldap/schema/core.schema\npidfile /run/w/slapd.pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix "dc=x"\ndirectory /run/w/ldap\n' >/run/w/slapd.conf; printf 'dn: dc=x\nobjectClass: organization\nobjectClass: dcObject\no: x\ndc: x\n' | slapadd -f /run/w/slapd.conf`},
		{agent: "rsyslog", params: "configfile=/run/w/rsyslog.conf", needs: "rsyslogd", setup: `mkdir -p /var/lib/rsyslog /var/spool/rsyslog; printf 'module(load="imuxsock" SysSock.Use="off")\n*.* /run/w/rsyslog.out\n' >/run/w/rsyslog.conf`},
		{agent: "Xinetd", params: "service=echo", needs: "xinetd", setup: `mount -t tmpfs none /etc/xinetd.d; printf 'service echo\n{\n\tdisable = yes\n\ttype = INTERNAL UNLISTED\n\tid = echo\n\tport = 7007\n\tsocket_type = stream\n\tprotocol = tcp\n\twait = no\n}\n' >/etc/xinetd.d/echo; sed 's/disable = yes/disable = no/; s/echo/discard/; s/7007/7008/' /etc/xinetd.d/echo >/etc/xinetd.d/discard; xinetd -filelog /run/w/xinetd.log -pidfile /run/xinetd.pid`},
		{agent: "mysql", params: "config=/run/w/my.cnf datadir=/run/w/db/data pid=/run/w/db/pid socket=/run/w/db/sock log=/run/w/db/log enable_creation=true", needs: "mysqld_safe",
			setup: `mkdir -p /run/w/db/data /run/mysqld; chown -R mysql /run/w/db /run/mysqld; printf '[mysqld]\nskip-networking\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\nperformance_schema=off\n' >/run/w/my.cnf`},
		{agent: "pgsql", params: "pgctl=/usr/lib/postgresql/15/bin/pg_ctl psql=/usr/bin/psql pgdata=/run/w/pg/data pgport=5999 logfile=/run/w/pg/log", needs: "/usr/lib/postgresql/15/bin/pg_ctl",
			setup: `mkdir -p /run/w/pg/run /run/postgresql; chown -R postgres /run/w/pg /run/postgresql; su -s /bin/sh postgres -c "/usr/lib/postgresql/15/bin/pg_ctl -D /run/w/pg/data -o '--no-sync --auth=trust' initdb" >/run/w/pg.init 2>&1`},
		{agent: "syslog-ng", params: "configfile=/run/w/syslog-ng.conf", needs: "syslog-ng",
			setup: `mkdir -p /var/lib/syslog-ng; printf '@version: 3.38\nsource s { unix-dgram("/run/w/log.sock"); };\ndestination d { file("/run/w/messages"); };\nlog { source(s); destination(d); };\n' >/run/w/syslog-ng.conf`},
		{agent: "iSCSITarget", params: "implementation=tgt iqn=iqn.2026-01.test:w tid=1 portals=10.77.0.1:3260", needs: "tgtadm", setup: "mkdir -p /run/tgtd; tgtd --iscsi portal=10.77.0.1:3260"},
		{agent: "AoEtarget", params: "device=/run/w/aoe nic=e0 shelf=7 slot=1 pid=/run/w/aoe.pid binary=/usr/sbin/vblade", needs: "vblade", setup: "truncate -s 1M /run/w/aoe"},
		{agent: "AudibleAlarm", setup: "touch /run/w/console; mount --bind /run/w/console /dev/console"},
		{agent: "CTDB", params: "ctdb_recovery_lock=/run/w/ctdb.lock ctdb_logfile=/run/w/log.ctdb", needs: "ctdbd",
			setup: `cp -a /etc/ctdb /run/w/ctdb; mount --bind /run/w/ctdb /etc/ctdb; mkdir -p /var/lib/ctdb /run/ctdb; echo 10.77.0.1 >/etc/ctdb/nodes`},
		{agent: "Pure-FTPd", params: "script=/usr/sbin/pure-ftpd-wrapper pidfile=/run/pure-ftpd/pure-ftpd.pid", needs: "pure-ftpd-wrapper",
			setup: "mkdir -p /run/pure-ftpd /var/log/pure-ftpd"},
		{agent: "WinPopup", params: "hostfile=/run/w/popup", needs: "smbd smbclient",
			setup: `mkdir -p /run/w/smb /run/samba; printf '[global]\nserver min protocol = NT1\nclient min protocol = NT1\nnetbios name = W\nmessage command = cp %%s /run/w/popped\nprivate dir = /run/w/smb\nlock directory = /run/w/smb\nstate directory = /run/w/smb\ncache directory = /run/w/smb\npid directory = /run/w/smb\n' >/run/w/smb.conf; touch /run/w/smb.bound; mount --bind /run/w/smb.conf /etc/samba/smb.conf; mkdir -p /var/log/samba; smbd -D; nmbd -D; echo W >/run/w/popup; for i in $(seq 40); do nmblookup W#03 >/dev/null && break; sleep 0.5; done`,
			after: "kill $(cat /run/w/smb/smbd.pid) $(cat /run/w/smb/nmbd.pid); umount /etc/samba/smb.conf"},
		{agent: "azure-lb", params: "nc=/usr/bin/nc port=61000", needs: "/usr/bin/nc"},
		{agent: "gcp-ilb", params: "cat=socat port=60000", needs: "socat"},
		{agent: "conntrackd", params: "config=/run/w/conntrackd.conf", needs: "conntrackd", promotes: true, meta: "clone-node-max=1 master-max=1 master-node-max=1",
			setup: `mkdir -p /run/lock; ip link add sync0 type veth peer name sync1; ip link set sync0 up; ip link set sync1 up; ip address add 10.80.0.1/24 dev sync0; printf 'Sync {\n Mode FTFW { }\n UDP {\n  IPv4_address 10.80.0.1\n  IPv4_Destination_Address 10.80.0.2\n  Port 3780\n  Interface sync0\n }\n}\nGeneral {\n LockFile /run/w/conntrack.lock\n UNIX {\n  Path /run/w/conntrackd.ctl\n }\n}\n' >/run/w/conntrackd.conf`},
		{agent: "corosync-qnetd", params: "ip=10.77.0.1 port=5403 nss_db_dir=/run/w/qnetd/nssdb", needs: "corosync-qnetd",
			setup: `mkdir -p /run/w/qnetd; cp -a /etc/corosync/qnetd /run/w/qnetd-config; mount --bind /run/w/qnetd-config /etc/corosync/qnetd; rm -rf /etc/corosync/qnetd/nssdb; corosync-qnetd-certutil -i -G; cp -a /etc/corosync/qnetd/nssdb /run/w/qnetd/; chmod 755 /run/w/qnetd; chown -R coroqnetd /run/w/qnetd`},
		{agent: "fio", params: `args="--name=w --directory=/run/w --rw=read --size=64k --time_based --runtime=600"`, needs: "fio"},
		{agent: "galera", params: "wsrep_cluster_address=gcomm://node1 config=/run/w/galera.cnf datadir=/run/w/ga/data pid=/run/w/ga/pid socket=/run/mysqld/mysqld.sock log=/run/w/ga/log check_user=root", needs: "mysqld_safe /usr/lib/galera/libgalera_smm.so", promotes: true, meta: "master-max=3",
			setup: `mkdir -p /run/w/ga/data /run/mysqld; ` + galeraConfig + `mysql_install_db --no-defaults --user=mysql --datadir=/run/w/ga/data --auth-root-authentication-method=normal --innodb-log-file-size=4M >/run/w/ga.init; chown -R mysql /run/w/ga /run/mysqld`},
		{agent: "garbd", params: "binary=/usr/bin/garbd wsrep_cluster_address=gcomm://10.77.0.1:4567 wsrep_cluster_name=w log=/run/w/garbd.log pid=/run/w/garbd.pid options=base_port=4577", needs: "garbd mysqld netstat",
			setup: galeraConfig + `mkdir -p /run/w/gb /run/mysqld; mysql_install_db --no-defaults --user=mysql --datadir=/run/w/gb --innodb-log-file-size=4M >/run/w/gb.init; chown -R mysql /run/w/gb /run/mysqld; (mysqld --defaults-file=/run/w/galera.cnf --user=mysql --datadir=/run/w/gb --socket=/run/w/gb/sock --pid-file=/run/w/gb/pid --wsrep-new-cluster </dev/null >/run/w/gb.log 2>&1 &); for i in $(seq 100); do [ -S /run/w/gb/sock ] && break; sleep 0.2; done`,
			after: "kill $(cat /run/w/gb/pid)"},
		{agent: "kamailio", params: "listen_address=127.0.0.1 monitoring_ip=127.0.0.1 port=5060 conffile=/run/w/kamailio.cfg pidfile=/run/w/kam/pid kamuser=kamailio kamgroup=kamailio proto=udptcp kamctl=/usr/sbin/kamctl", needs: "kamailio sipsak",
			setup: `mkdir -p /run/kamailio /run/w/kam; chown kamailio /run/kamailio /run/w/kam; printf '#!KAMAILIO\nfork=yes\nchildren=1\nmpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"\nloadmodule "sl.so"\nloadmodule "kex.so"\nloadmodule "jsonrpcs.so"\nrequest_route { sl_send_reply("200", "ok"); }\n' >/run/w/kamailio.cfg`},
		{agent: "lxc", params: "container=w config=/run/w/lxc/config", needs: "lxc-start busybox",
			setup: controlGroups + `; mkdir -p /run/w/lxc/root/bin /run/w/lxc/root/proc /run/w/lxc/root/dev /run/w/lxc/root/sys /var/lib/lxc/w; cp /bin/busybox /run/w/lxc/root/bin/; ln -s busybox /run/w/lxc/root/bin/sh; printf '#!/bin/sh\ntrap "exit 0" TERM PWR\nwhile :; do /bin/busybox sleep 1; done\n' >/run/w/lxc/root/init; chmod +x /run/w/lxc/root/init; printf 'lxc.uts.name = w\nlxc.rootfs.path = dir:/run/w/lxc/root\nlxc.init.cmd = /init\nlxc.net.0.type = none\nlxc.apparmor.profile = unconfined\n' >/run/w/lxc/config; cp /run/w/lxc/config /var/lib/lxc/w/`},
		{agent: "mariadb", params: "config=/run/w/mdb.cnf datadir=/run/w/md/data pid=/run/w/md/pid socket=/run/w/md/sock log=/run/w/md/log enable_creation=true node_list=node1 replication_user=r replication_passwd=r test_user=root", needs: "mysqld_safe bc", promotes: true,
			setup: `mkdir -p /run/w/md/data /run/mysqld; chown -R mysql /run/w/md /run/mysqld; printf '%s\n' "CREATE OR REPLACE USER 'r'@'localhost' IDENTIFIED BY 'r';" "GRANT ALL ON *.* TO 'r'@'localhost';" >/run/w/mdb.sql; printf '[mysqld]\ninit_file=/run/w/mdb.sql\nport=3388\nserver_id=1\nlog_bin=w\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\nperformance_schema=off\n' >/run/w/mdb.cnf`},
		{agent: "nagios", params: "binary=/usr/sbin/nagios4 config=/run/w/nagios/nagios.cfg log=/run/w/nagios/log retention=/run/w/nagios/retention command=/run/w/nagios/cmd pid=/run/w/nagios/pid", needs: "nagios4",
			setup: `mkdir -p /run/w/nagios/objects /run/w/nagios/spool /run/w/nagios/archives; printf 'log_file=/run/w/nagios/log\nlock_file=/run/w/nagios/pid\ncommand_file=/run/w/nagios/cmd\nstate_retention_file=/run/w/nagios/retention\nstatus_file=/run/w/nagios/status\nobject_cache_file=/run/w/nagios/objects.cache\ntemp_file=/run/w/nagios/tmp\ntemp_path=/tmp\ncheck_result_path=/run/w/nagios/spool\nlog_archive_path=/run/w/nagios/archives\nquery_socket=/run/w/nagios/qh\nnagios_user=nagios\nnagios_group=nagios\ncfg_dir=/run/w/nagios/objects\n' >/run/w/nagios/nagios.cfg; printf 'define command {\n command_name c\n command_line /bin/true\n}\ndefine timeperiod {\n timeperiod_name t\n alias t\n monday 00:00-24:00\n}\ndefine contact {\n contact_name p\n host_notifications_enabled 0\n service_notifications_enabled 0\n host_notification_period t\n service_notification_period t\n host_notification_commands c\n service_notification_commands c\n}\ndefine host {\n host_name h\n address 127.0.0.1\n check_command c\n max_check_attempts 1\n contacts p\n check_period t\n notification_period t\n}\ndefine service {\n host_name h\n service_description s\n check_command c\n max_check_attempts 1\n check_period t\n notification_period t\n contacts p\n}\n' >/run/w/nagios/objects/o.cfg; chown -R nagios:nagios /run/w/nagios`},
		{agent: "ovsmonitor", params: "bond=bond0 bridge=brw repeat_count=1 repeat_interval=1 link_status_only=true", needs: "ovs-vswitchd ovsdb-server bc",
			setup: `mkdir -p /run/openvswitch /var/lib/openvswitch /var/log/openvswitch; cp -a /etc/openvswitch /run/w/ovs; mount --bind /run/w/ovs /etc/openvswitch; ovsdb-tool create /run/w/ovs/w.db /usr/share/openvswitch/vswitch.ovsschema; ovsdb-server --detach --pidfile=/run/w/ovsdb.pid --remote=punix:/run/openvswitch/db.sock /run/w/ovs/w.db; ovs-vsctl --no-wait init; ovs-vswitchd --detach --pidfile=/run/openvswitch/ovs-vswitchd.pid >/run/w/ovs.log 2>&1; ip link add v1 type veth peer name v2; ip link add v3 type veth peer name v4; for i in v1 v2 v3 v4; do ip link set $i up; done; ovs-vsctl --timeout=20 add-br brw -- set bridge brw datapath_type=netdev -- add-bond brw bond0 v1 v3`,
			after: "kill $(cat /run/openvswitch/ovs-vswitchd.pid) $(cat /run/w/ovsdb.pid)"},
		{agent: "pgagent", params: `connection_string="host=/run/w/pga/run port=5998 user=postgres dbname=postgres"`, needs: "/usr/lib/postgresql/15/bin/pg_ctl pgagent",
			setup: `mkdir -p /run/w/pga/run /run/postgresql; chown -R postgres /run/w/pga /run/postgresql; su -s /bin/sh postgres -c "/usr/lib/postgresql/15/bin/pg_ctl -D /run/w/pga/data -o '--no-sync --auth=trust' initdb && /usr/lib/postgresql/15/bin/pg_ctl -D /run/w/pga/data -w -o '-k /run/w/pga/run -p 5998' -l /run/w/pga/log start && psql -h /run/w/pga/run -p 5998 -c 'CREATE EXTENSION pgagent'" >/run/w/pga.init 2>&1`,
			after: `su -s /bin/sh postgres -c "/usr/lib/postgresql/15/bin/pg_ctl -D /run/w/pga/data -m immediate stop"`},
		{agent: "podman", params: `image=localhost/w name=w run_cmd="/bin/busybox sleep 600" run_opts=--network=none monitor_cmd="/bin/busybox true"`, needs: "podman busybox",
			setup: boxImage + `; ` + controlGroups + `; cp -a /etc/containers /run/w/containers; mount --bind /run/w/containers /etc/containers; printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >/etc/containers/containers.conf; printf '[storage]\ndriver = "vfs"\nrunroot = "/run/w/podman"\ngraphroot = "/var/lib/containers"\n' >/etc/containers/storage.conf; tar -C /run/w/box -c . | podman import - localhost/w`},
		{agent: "docker", params: `image=w name=w1 run_cmd="/bin/busybox sleep 600" run_opts=--network=none monitor_cmd="/bin/busybox true"`, needs: "dockerd busybox",
			setup: boxImage + `; ` + dockerSetup, after: dockerEnd},
		{agent: "docker-compose", params: "dirpath=/run/w/compose", needs: "dockerd docker-compose busybox",
			setup: boxImage + `; ` + dockerSetup + `; mkdir -p /run/w/compose; printf 'version: "2.4"\nservices:\n  w:\n    image: w\n    network_mode: none\n    command: /bin/busybox sleep 600\n' >/run/w/compose/docker-compose.yml`, after: dockerEnd},
		{agent: "proftpd", params: "conffile=/run/w/proftpd.conf pidfile=/run/w/proftpd.pid", needs: "proftpd",
			setup: `mkdir -p /run/proftpd; printf 'ServerName w\nServerType standalone\nDefaultAddress 127.0.0.1\nPort 2121\nUser nobody\nGroup nogroup\nPidFile /run/w/proftpd.pid\nScoreboardFile /run/proftpd/board\nUseIPv6 off\n' >/run/w/proftpd.conf`},
		{agent: "rabbitmq-cluster", slow: true, needs: "rabbitmq-server", setup: `mkdir -p /var/lib/rabbitmq /var/log/rabbitmq; chown -R rabbitmq /var/lib/rabbitmq /var/log/rabbitmq; ip link set lo up`},
		{agent: "rabbitmq-server-ha", slow: true, params: "use_fqdn=false", needs: "rabbitmq-server", promotes: true, meta: "master-max=1",
			setup: commandsInPlace + `; mkdir -p /var/lib/rabbitmq /var/log/rabbitmq; chown -R rabbitmq /var/lib/rabbitmq /var/log/rabbitmq; printf '127.0.0.1 localhost\n10.77.0.1 node1\n' >/run/w/hosts; mount --bind /run/w/hosts /etc/hosts`},
		{agent: "smb-share", params: "share=w path=/run/w outfile=/run/w/smb.d/w.conf confd=/run/w/smb.d includesfile=/run/w/smb.d/includes.conf", needs: "smbd smbcontrol",
			setup: `mkdir -p /run/w/smb.d /run/w/smb /run/samba /var/log/samba; mount -t tmpfs none /run/w/smb.d; touch /run/w/smb.d/includes.conf; printf '[global]\nprivate dir = /run/w/smb\nlock directory = /run/w/smb\nstate directory = /run/w/smb\ncache directory = /run/w/smb\npid directory = /run/w/smb\ninclude = /run/w/smb.d/includes.conf\n' >/run/w/share.conf; mount --bind /run/w/share.conf /etc/samba/smb.conf; smbd -D`,
			after: "kill $(cat /run/w/smb/smbd.pid); umount /etc/samba/smb.conf"},
		{agent: "tomcat", params: "java_home=/usr/lib/jvm/default-java catalina_home=/usr/share/tomcat10 catalina_base=/run/w/tc tomcat_user=tomcat statusurl=http://127.0.0.1:8089/ catalina_pid=/run/w/tc/pid", needs: "java /usr/share/tomcat10/bin/catalina.sh wget",
			setup: `mkdir -p /run/w/tc/conf /run/w/tc/logs /run/w/tc/temp /run/w/tc/work /run/w/tc/webapps/ROOT; echo well >/run/w/tc/webapps/ROOT/index.html; printf '<Server port="-1"><Service name="Catalina"><Connector port="8089" address="127.0.0.1" protocol="HTTP/1.1"/><Engine name="Catalina" defaultHost="localhost"><Host name="localhost" appBase="webapps"/></Engine></Service></Server>\n' >/run/w/tc/conf/server.xml; cp /etc/tomcat10/web.xml /run/w/tc/conf/; chown -R tomcat /run/w/tc`},
		{agent: "zabbixserver", params: "config=/run/w/zabbix.conf pid=/run/w/zabbix/pid", needs: "zabbix_server /usr/lib/postgresql/15/bin/pg_ctl", setup: zabbixSetup,
			after: `su -s /bin/sh postgres -c "/usr/lib/postgresql/15/bin/pg_ctl -D /run/w/zdb/data -m immediate stop"`},
		{agent: "dnsupdate", params: "hostname=w.test ip=10.77.0.9 ttl=60 server=127.0.0.1 serverport=5354 type=A", needs: "named nsupdate dig",
			setup: `mkdir -p /run/w/dyn; printf '$TTL 60\n@ IN SOA ns.test. r.test. 1 60 60 60 60\n@ IN NS ns.test.\nns IN A 127.0.0.1\n' >/run/w/dyn/test; printf 'options { directory "/run/w/dyn"; pid-file "/run/w/dyn/pid"; listen-on port 5354 { 127.0.0.1; }; listen-on-v6 { none; }; session-keyfile "/run/w/dyn/key"; recursion no; };\ncontrols { };\nzone "test" { type master; file "test"; allow-update { any; }; };\n' >/run/w/dyn.conf; chown -R bind /run/w/dyn; named -u bind -c /run/w/dyn.conf; for i in $(seq 50); do dig -p 5354 @127.0.0.1 ns.test >/dev/null && break; sleep 0.2; done`,
			after: "kill $(cat /run/w/dyn/pid)"},
	}
}

// galeraConfig is that of a server of a cluster of one.
const galeraConfig = `printf '[mysqld]\nskip-name-resolve\nport=3399\ninnodb_buffer_pool_size=8M\ninnodb_log_file_size=4M\nperformance_schema=off\nbinlog_format=ROW\ninnodb_autoinc_lock_mode=2\nwsrep_on=ON\nwsrep_provider=/usr/lib/galera/libgalera_smm.so\nwsrep_provider_options="gcache.size=4M"\nwsrep_cluster_name=w\nwsrep_node_address=10.77.0.1\nwsrep_cluster_address=gcomm://10.77.0.1\n' >/run/w/galera.cnf; `

// commandsInPlace has the commands of the cluster in /usr/sbin too: an agent that sets
// a PATH of its own finds them there or nowhere.
const commandsInPlace = "mount -t overlay w -o lowerdir=/var/lib/gcrm/helpers:/usr/sbin /usr/sbin"

// boxImage is a file system with one program.
const boxImage = `mkdir -p /run/w/box/bin /run/w/box/tmp; cp /bin/busybox /run/w/box/bin/; for i in sh sleep true; do ln -sf busybox /run/w/box/bin/$i; done`

// controlGroups are those of the host, which a new network namespace hides.
const controlGroups = `mountpoint -q /sys/fs/cgroup || { mount -t tmpfs none /sys/fs/cgroup; for c in $(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups); do mkdir -p /sys/fs/cgroup/$c; mount -t cgroup -o $c none /sys/fs/cgroup/$c; done; }`

// dockerSetup starts a daemon of its own, without networks and with an image.
const dockerSetup = controlGroups + `; mkdir -p /run/w/docker; (dockerd --data-root /run/w/docker --exec-root /run/w/dockerx -H unix:///run/docker.sock -p /run/w/docker.pid --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs </dev/null >/run/w/docker.log 2>&1 &); for i in $(seq 100); do docker version >/dev/null 2>&1 && break; sleep 0.2; done; tar -C /run/w/box -c . | docker import - w`

const dockerEnd = "kill $(cat /run/w/docker.pid); for i in $(seq 50); do [ -e /run/w/docker.pid ] || break; sleep 0.2; done"

const zabbixSetup = `mkdir -p /run/w/zabbix /run/w/zdb/run /run/postgresql; chown zabbix /run/w/zabbix; chown -R postgres /run/w/zdb /run/postgresql; su -s /bin/sh postgres -c "/usr/lib/postgresql/15/bin/pg_ctl -D /run/w/zdb/data -o '--no-sync --auth=trust' initdb && /usr/lib/postgresql/15/bin/pg_ctl -D /run/w/zdb/data -w -o '-k /run/w/zdb/run -p 5997 -c fsync=off' -l /run/w/zdb/log start && createdb -h /run/w/zdb/run -p 5997 zabbix && cd /usr/share/zabbix-server-pgsql && zcat schema.sql.gz images.sql.gz data.sql.gz | psql -q -h /run/w/zdb/run -p 5997 zabbix" >/run/w/zdb.init 2>&1; printf 'LogType=file\nLogFile=/run/w/zabbix/log\nPidFile=/run/w/zabbix/pid\nSocketDir=/run/w/zabbix\nDBHost=127.0.0.1\nDBPort=5997\nDBName=zabbix\nDBUser=postgres\nListenIP=127.0.0.1\nCacheSize=32M\n' >/run/w/zabbix.conf`

// outOfReach are the agents that cannot start in a namespace nor in the laboratory, and why.
func outOfReach() map[string]string {
	reasons := map[string]string{
		"the hardware, or the driver of it that it asks, is not there":                      "ICP ServeRAID",
		"what it manages was given up and is in no distribution any more":                   "EvmsSCC Evmsd ManageVE pingd rkt scsi2reservation",
		"what it manages is not in Debian 12":                                               "WAS WAS6 ZFS asterisk clvm db2 eDir88 ids jboss jira minio mysql-proxy oraasm oracle oralsnr pound SAPDatabase SAPInstance sybaseASE vdo-vol vmware",
		"it talks to the interface of a cloud, with an account there":                       "aliyun-vpc-move-ip aws-vpc-move-ip aws-vpc-route53 awseip awsvip azure-events azure-events-az gcp-pd-move gcp-vpc-move-ip gcp-vpc-move-route gcp-vpc-move-vip ocivip openstack-cinder-volume openstack-floating-ip openstack-info openstack-virtual-ip",
		"the native agent serves instead: the script works with another cluster stack only": "lvmlockd",
		"it asks the program `search`, which Sphinx 2.2 has no more":                        "SphinxSearchDaemon",
		"it needs /proc/scsi/scsi, which the kernel of Debian 12 does not have":             "LinuxSCSI",
		"it needs a host that was booted with Xen":                                          "Xen",
		"it needs a peer that negotiates keys":                                              "ipsec",
	}
	out := map[string]string{}
	for why, names := range reasons {
		for n := range strings.FieldsSeq(names) {
			out[n] = why
		}
	}
	return out
}
