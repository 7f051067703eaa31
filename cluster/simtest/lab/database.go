package lab

import (
	"os"
	"os/exec"
	"path/filepath"
)

// databaseUser is what the client of the command service needs of a data base, a statement
// on each line.
const databaseUser = "CREATE DATABASE IF NOT EXISTS test;\nCREATE OR REPLACE USER client@'%';\nCREATE OR REPLACE USER client@localhost;\n" +
	"GRANT ALL ON test.* TO client@'%';\nGRANT ALL ON test.* TO client@localhost;\n"

// databaseOptions make a small server.
const databaseOptions = `[mysqld]
user=root
datadir=%DATA
lc-messages-dir=/usr/share/mysql
pid-file=/run/mysqld.pid
socket=/run/mysqld.sock
bind-address=0.0.0.0
port=3306
skip-name-resolve
init-file=/root/mysql.init
log-error=/var/log/mysqld.log
innodb-log-file-size=4M
innodb-buffer-pool-size=24M
performance-schema=off
`

// databaseScript is an init script, as distributions had them.
const databaseScript = `#!/bin/sh
### BEGIN INIT INFO
# Provides: mysqld
# Default-Start:
# Default-Stop:
### END INIT INFO
pid=$(cat /run/mysqld.pid 2>/dev/null)
alive() { [ -n "$pid" ] && [ "$(cat /proc/$pid/comm 2>/dev/null)" = mariadbd ]; }
case $1 in
start) alive && exit 0
  setsid /usr/sbin/mariadbd --defaults-file=/etc/mysqld.cnf </dev/null >/dev/null 2>&1 &
  for i in $(seq 600); do pid=$(cat /run/mysqld.pid 2>/dev/null); alive && [ -S /run/mysqld.sock ] && exit 0; sleep 0.1; done; exit 1;;
stop) alive || exit 0; kill $pid; while alive; do sleep 0.1; done; rm -f /run/mysqld.pid; exit 0;;
status) alive && exit 0; [ -n "$pid" ] && exit 1; exit 3;;
*) exit 2;;
esac
`

// Database puts the host's MariaDB on machines, with an init script mysqld; its data are
// to be in a folder that it gets from the archive /root/mysql.tar of the machines. The
// test is skipped without it.
func (m *Machines) Database(folder string) {
	m.t.Helper()
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		m.t.Skip("SKIPPED: mariadbd is not installed (package mariadb-server)")
	}
	dir := m.t.TempDir()
	for _, argv := range [][]string{
		{"mariadb-install-db", "--no-defaults", "--datadir=" + filepath.Join(dir, "mysql"), "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M"},
		{"tar", "-C", dir, "-czf", filepath.Join(dir, "mysql.tar"), "mysql"},
		{"tar", "-C", "/usr/share", "-czf", filepath.Join(dir, "share.tar"), "mysql/english", "mysql/charsets"},
	} {
		if out, err := exec.CommandContext(m.ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			m.t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	for name, text := range map[string]string{"mysql.init": databaseUser, "mysqld.cnf": databaseOptions, "mysqld": databaseScript} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, n := range m.names {
		for _, f := range []string{"mysql.tar", "share.tar", "mysql.init", "mysqld.cnf", "mysqld"} {
			m.Copy(filepath.Join(dir, f), n+":/root/"+f)
		}
		m.Copy(server, n+":/usr/sbin/mariadbd")
		m.Run(n, "tar -C /usr/share -xzf /root/share.tar && sed 's|%DATA|"+folder+"|' /root/mysqld.cnf >/etc/mysqld.cnf && install -m 755 /root/mysqld /etc/init.d/mysqld && sync")
	}
}
