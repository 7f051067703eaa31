package iscsi

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// iscsiadm stands in for the tool of that name, with its words and exit codes.
const iscsiadm = `#!/bin/sh
D=@DIR@
echo "iscsiadm $*" >> $D/log
[ -e $D/broken ] && { echo "iscsiadm: can not connect to iSCSI daemon (111)!" >&2; exit 20; }
case "$*" in
"-m session") [ -e $D/session ] || { echo "iscsiadm: No active sessions." >&2; exit 21; }
  echo "tcp: [2] 127.0.0.9:3260,1 iqn.2011-01.org.example:other (non-flash)"
  echo "tcp: [3] 127.0.0.1:3260,1 iqn.2011-01.org.example:t1 (non-flash)" ;;
"-m session -r 3 -P 1") cat << END
Target: iqn.2011-01.org.example:t1 (non-flash)
	Current Portal: 127.0.0.1:3260,1
	Persistent Portal: 127.0.0.1:3260,1
		iSCSI Connection State: $(cat $D/session)
		iSCSI Session State: LOGGED_IN
		Internal iscsid Session State: NO CHANGE
END
;;
"-m node -p "*" -l") echo "LOGGED IN" > $D/session; [ -e $D/noudev ] || : > "$D/ip-127.0.0.1:3260-iscsi-iqn.2011-01.org.example:t1-lun-1" ;;
"-m node "*) [ -e $D/record ] || { echo "iscsiadm: No records found" >&2; exit 21; } ;;
"-m discoverydb "*) cat $D/portals; : > $D/record ;;
"-m session -r 3 -u") rm -f $D/session $D/ip-* ;;
*) exit 7 ;;
esac
`

func initiator(t *testing.T, running bool) (string, agenttest.Subject) {
	dir := t.TempDir()
	for name, text := range map[string]string{"iscsiadm": strings.ReplaceAll(iscsiadm, "@DIR@", dir), "portals": "127.0.0.9:3260,1 iqn.2011-01.org.example:other\n127.0.0.1:3260,1 iqn.2011-01.org.example:t1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h := host{byPath: dir, conf: filepath.Join(dir, "iscsid.conf"), iscsid: func() bool { return running }, pause: 20 * time.Millisecond}
	n := name("iscsi")
	return dir, agenttest.Subject{Name: n, Agent: agents(h, []string{dir, "/usr/bin", "/bin"})[n], Resource: "p_iscsi", Node: agenttest.NewNode(t, "node1"),
		Params: map[string]string{"portal": "127.0.0.1", "target": "iqn.2011-01.org.example:t1"}}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInitiatorContract(t *testing.T) {
	dir, s := initiator(t, true)
	s.Break = func(*testing.T) { os.Remove(filepath.Join(dir, "session")) }
	agenttest.Contract(t, s)
}

func TestInitiatorCommands(t *testing.T) {
	dir, s := initiator(t, true)
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	raw, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, line := range []string{"iscsiadm -m discoverydb -p 127.0.0.1 -t sendtargets -D", "iscsiadm -m node -p 127.0.0.1:3260 -T iqn.2011-01.org.example:t1 -l", "iscsiadm -m session -r 3 -u"} {
		if !slices.Contains(strings.Split(string(raw), "\n"), line) {
			t.Errorf("%q was not called:\n%s", line, raw)
		}
	}
}

func TestInitiatorFailures(t *testing.T) {
	fails := func(t *testing.T, s agenttest.Subject, action string, rc drivers.RC, words string) {
		t.Helper()
		if res := s.Want(t, action, rc); !strings.Contains(res.Reason, words) {
			t.Errorf("%s: %q does not speak of %q", action, res.Reason, words)
		}
	}
	dir, s := initiator(t, true)
	put(t, dir, "portals", "127.0.0.9:3260,1 iqn.2011-01.org.example:other\n")
	fails(t, s, drivers.Start, drivers.GenericError, "has no target")
	put(t, dir, "portals", "10.0.0.1:3260,1 iqn.2011-01.org.example:t1\n10.0.0.2:3260,1 iqn.2011-01.org.example:t1\n")
	os.Remove(filepath.Join(dir, "record"))
	fails(t, s, drivers.Start, drivers.GenericError, "has the portals 10.0.0.1:3260, 10.0.0.2:3260")
	put(t, dir, "record", "")
	s.Want(t, drivers.Start, drivers.OK)
	put(t, dir, "session", "TRANSPORT WAIT")
	fails(t, s, drivers.Monitor, drivers.GenericError, "TRANSPORT WAIT")
	s.Params["try_recovery"] = "true"
	s.Meta = map[string]string{"interval": "120000"}
	time.AfterFunc(100*time.Millisecond, func() { _ = os.WriteFile(filepath.Join(dir, "session"), []byte("LOGGED IN"), 0o644) })
	s.Want(t, drivers.Monitor, drivers.OK)
	put(t, dir, "broken", "")
	fails(t, s, drivers.Monitor, drivers.GenericError, "can not connect to iSCSI daemon")
	fails(t, s, drivers.Stop, drivers.GenericError, "can not connect")
	os.Remove(filepath.Join(dir, "broken"))
	s.Want(t, drivers.Stop, drivers.OK)
	put(t, dir, "noudev", "")
	s.Timeout = 500 * time.Millisecond
	if res := s.Do(t.Context(), drivers.Start); res.Status != drivers.TimedOut || !strings.Contains(res.Reason, "udev has not shown") {
		t.Errorf("%+v", res)
	}
	s.Timeout = 0
	s.Params["udev"] = "no"
	s.Want(t, drivers.Start, drivers.OK)

	dir, s = initiator(t, false)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
	fails(t, s, drivers.Start, drivers.NotInstalled, "iscsid does not run")
	put(t, dir, "iscsid.conf", "iscsid.startup = /bin/systemctl start iscsid.socket\n")
	s.Want(t, drivers.Start, drivers.OK)
}

func TestSessionLines(t *testing.T) {
	got := parseSessions("tcp: [1] [fd01::1]:3260,1 iqn.a:b (non-flash)\niser: [12] 192.0.2.7:3261,257 iqn.a:c\nnonsense\n")
	want := []session{{"1", "[fd01::1]:3260", "iqn.a:b"}, {"12", "192.0.2.7:3261", "iqn.a:c"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, x := range []struct {
		address, asked string
		same           bool
	}{{"192.0.2.7:3260", "192.0.2.7", true}, {"192.0.2.7:3260", "192.0.2.7:3260", true}, {"192.0.2.70:3260", "192.0.2.7", false},
		{"192.0.2.7:3260", "192.0.2.7:3261", false}, {"[fd01::1]:3260", "fd01::1", true}, {"[fd01::1]:3260", "[fd01::1]", true}} {
		if samePortal(x.address, x.asked) != x.same {
			t.Errorf("%s and %s: %v", x.address, x.asked, !x.same)
		}
	}
}

// TestRealIscsiadm holds the words and the exit code that mean "no session"
// against the tool, where it is installed.
func TestRealIscsiadm(t *testing.T) {
	program, err := exec.LookPath("iscsiadm")
	if err != nil {
		t.Skip("open-iscsi is not installed")
	}
	if list, _ := filepath.Glob("/sys/class/iscsi_session/*"); len(list) > 0 || os.Geteuid() != 0 {
		t.Skip("this host has sessions, or the test no rights")
	}
	_, s := initiator(t, true)
	s.Params["iscsiadm"] = program
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
}
