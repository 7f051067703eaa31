package drbd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/native"
)

// drbdadm and drbdsetup stand in for the tools of that name: they keep one
// resource in files, and tell of it in the words that the real events2 was
// recorded with. Exit codes and messages are those of drbd-utils.
const drbdadm = `#!/bin/sh
D=@DIR@
echo "drbdadm $*" >> $D/log
[ "$1" = -c ] && shift 2
[ "$1" = --peer ] && shift 2
case "$1" in
sh-mod-parms) echo minor_count=32; exit 0 ;;
esac
[ "$2" = r0 ] || [ "$3" = r0 ] || case "$2" in r0:*) ;; *) echo "'$2' not defined in your config (for this host)." >&2; exit 1 ;; esac
[ -e $D/unlisted ] && { echo "'r0' not defined in your config (for this host)." >&2; exit 1; }
case "$1" in
sh-dev) echo $D/drbd0 ;;
dump) cat $D/dump ;;
check-resize) ;;
new-resource) [ -e $D/role ] && exit 10; echo Secondary > $D/role ;;
new-minor) echo Diskless > $D/disk; : > $D/drbd0 ;;
attach) [ -e $D/badmeta ] && { echo "No valid meta data found" >&2; exit 1; }; echo UpToDate > $D/disk ;;
adjust) [ -e $D/badmeta ] && { echo "No valid meta data found" >&2; exit 1; }; echo UpToDate > $D/disk
  [ "$2" = --skip-net ] || [ -e $D/alone ] || echo "Connected Secondary UpToDate" > $D/peer ;;
primary) [ -e $D/nodata ] && { echo "0: State change failed: (-2) Need access to UpToDate data" >&2; exit 17; }
  [ -e $D/held ] && { echo "0: State change failed: (-1) Multiple primaries not allowed by config" >&2; exit 11; }
  echo Primary > $D/role ;;
secondary) [ -e $D/open ] && { echo "0: State change failed: (-12) Device is held open by someone" >&2; exit 11; }; echo Secondary > $D/role ;;
down) [ -e $D/role ] && [ "$(cat $D/role)" = Primary ] && { echo "State change failed: (-12) Device is held open by someone" >&2; exit 11; }
  rm -f $D/role $D/disk $D/peer $D/drbd0 ;;
outdate) echo Outdated > $D/disk ;;
unfence-peer) echo "unfence with $OCF_RESKEY_unfence_extra_args" >> $D/log ;;
*) echo "Unknown command '$1'" >&2; exit 1 ;;
esac
`

const drbdsetup = `#!/bin/sh
D=@DIR@
case "$1" in
down) echo "drbdsetup $*" >> $D/log; rm -f $D/role $D/disk $D/peer $D/drbd0; exit 0 ;;
events2) ;;
*) exit 20 ;;
esac
[ -e $D/broken ] && { echo "Could not connect to 'drbd' generic netlink family" >&2; exit 20; }
[ -e $D/role ] || { echo "$3: No such resource" >&2; exit 10; }
echo "exists resource name:r0 role:$(cat $D/role) suspended:no write-ordering:flush"
if [ -e $D/peer ]; then read C R P < $D/peer
  echo "exists connection name:r0 peer-node-id:0 conn-name:peer connection:$C role:$R congested:no"; fi
[ -e $D/disk ] && echo "exists device name:r0 volume:0 minor:0 disk:$(cat $D/disk) size:524236 read:0 written:0"
[ -e $D/peer ] && echo "exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:$P resync-suspended:no"
echo "exists -"
`

type world struct {
	dir string
	t   *testing.T
}

func setUp(t *testing.T, moduleVersion string) (world, agenttest.Subject) {
	w := world{t.TempDir(), t}
	for name, text := range map[string]string{"drbdadm": drbdadm, "drbdsetup": drbdsetup,
		"modprobe": "#!/bin/sh\necho \"modprobe $*\" >> @DIR@/log\n[ -e @DIR@/nomodule ] && { echo 'FATAL: Module drbd not found.' >&2; exit 1; }\necho 'version: " + moduleVersion + " (api:1/proto:86-101)' > @DIR@/proc\n",
		"modinfo":  "#!/bin/sh\n[ -e @DIR@/nomodule ] && exit 1\necho " + moduleVersion + "\n"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(strings.ReplaceAll(text, "@DIR@", w.dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.put("drbd.conf", "")
	w.put("dump", recorded(t, "dump-r0.txt"))
	h := host{proc: filepath.Join(w.dir, "proc"), pause: 20 * time.Millisecond, patience: 100 * time.Millisecond}
	name := drivers.Name{Class: "ocf", Provider: "linbit", Type: "drbd"}
	return w, agenttest.Subject{Name: name, Agent: agent(h, []string{w.dir, "/usr/bin", "/bin"}), Resource: "p_drbd", Promotable: true,
		Params: map[string]string{"drbd_resource": "r0", "drbdconf": filepath.Join(w.dir, "drbd.conf"), "wfc_timeout": "1"},
		Meta:   map[string]string{"notify": "true", "clone_max": "2", "clone_node_max": "1", "promoted_max": "1"}, Node: agenttest.NewNode(t, "node1")}
}

func (w world) put(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) drop(names ...string) {
	for _, n := range names {
		os.Remove(filepath.Join(w.dir, n))
	}
}

func (w world) log() string {
	raw, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	return strings.ReplaceAll(string(raw), "-c "+w.dir+"/drbd.conf ", "")
}

func wantScore(t *testing.T, s agenttest.Subject, want string) {
	t.Helper()
	got := "none"
	if v, ok := s.Node.Cluster.(*agenttest.Cluster).Score("p_drbd"); ok {
		got = strconv.Itoa(v)
	}
	if got != want {
		t.Errorf("promotion score %s, want %s", got, want)
	}
}

// leaderless is a cluster that answers no change.
type leaderless struct{ *agenttest.Cluster }

func (leaderless) SetPromotionScore(ctx context.Context, _ string, _ *int) error {
	<-ctx.Done()
	return fmt.Errorf("the cluster has no leader: %w", ctx.Err())
}

// A node that lost its quorum, or comes back from a loss, stops what it has without a
// leader. What is down must not count as impossible to stop.
func TestStopNeedsNoLeader(t *testing.T) {
	_, s := setUp(t, "8.4.11")
	s.Want(t, drivers.Start, drivers.OK)
	s.Node.Cluster = leaderless{s.Node.Cluster.(*agenttest.Cluster)}
	s.Timeout = time.Minute
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
}

func TestContract(t *testing.T) {
	for _, v := range []string{"8.4.11", "9.2.5"} {
		t.Run(v, func(t *testing.T) {
			w, s := setUp(t, v)
			s.Break = func(*testing.T) { w.drop("role", "disk", "peer", "drbd0") }
			agenttest.Contract(t, s)
		})
	}
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	_, s := setUp(t, "8.4.11")
	// The script calls a list of options boolean, and has one core only.
	agenttest.SameAsScript(t, s.Name, s.Agent, []string{"core"}, []string{"unfence_extra_args"})
}

func TestCommandsOfALife(t *testing.T) {
	w, s := setUp(t, "8.4.11")
	s.Meta["notify_start_uname"] = "node1 node2"
	s.Want(t, drivers.Start, drivers.OK)
	wantScore(t, s, "10000")
	s.Want(t, drivers.Promote, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	wantScore(t, s, "none")
	var changes []string
	for line := range strings.Lines(w.log()) {
		if f := strings.TrimSpace(line); !strings.Contains(f, " sh-") {
			changes = append(changes, f)
		}
	}
	want := []string{"modprobe -s drbd minor_count=32", "drbdadm check-resize r0", "drbdadm new-resource r0", "drbdadm new-minor r0", "drbdadm attach r0",
		"drbdadm --peer node2 adjust r0", "drbdadm primary r0", "drbdadm secondary r0", "drbdadm down r0"}
	if !slices.Equal(changes, want) {
		t.Errorf("commands:\n%q\nwant:\n%q", changes, want)
	}

	w, s = setUp(t, "9.2.5")
	s.Meta["notify_promoted_uname"] = "node2"
	s.Want(t, drivers.Start, drivers.OK)
	if log := w.log(); !strings.Contains(log, "adjust --skip-net r0\ndrbdadm adjust r0:node2\ndrbdadm adjust r0\n") || strings.Contains(log, "attach") {
		t.Errorf("version 9:\n%s", log)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	w, s := setUp(t, "8.4.11")
	steps, res := s.Agent.(*native.Agent).DryRun(t.Context(), s.Request(drivers.Start))
	if res.RC != drivers.OK || len(steps) < 6 || !strings.HasPrefix(steps[0], "modprobe") || !strings.Contains(steps[len(steps)-1], "adjust r0") {
		t.Errorf("%+v %q", res, steps)
	}
	if log := w.log(); strings.Contains(log, "new-resource") || strings.Contains(log, "modprobe") {
		t.Errorf("the dry run ran:\n%s", log)
	}
}

func TestScoresFollowTheState(t *testing.T) {
	w, s := setUp(t, "8.4.11")
	if s.Want(t, drivers.Monitor, drivers.NotRunning); w.log() != "" {
		t.Errorf("a probe without the module did something: %s", w.log())
	}
	w.put("alone", "")
	s.Want(t, drivers.Start, drivers.OK) // its peer does not come
	wantScore(t, s, "1000")
	for _, x := range []struct{ disk, peer, score string }{
		{"UpToDate", "Connected Secondary UpToDate", "10000"}, {"Inconsistent", "Connected Primary UpToDate", "10"},
		{"Inconsistent", "Connecting Unknown DUnknown", "none"}, {"UpToDate", "Connecting Unknown DUnknown", "1000"},
		{"Negotiating", "Connecting Unknown DUnknown", "1000"}, {"Consistent", "Connecting Unknown DUnknown", "none"},
	} {
		w.put("disk", x.disk)
		w.put("peer", x.peer)
		s.Want(t, drivers.Monitor, drivers.OK)
		wantScore(t, s, x.score)
	}
	w.put("disk", "UpToDate")
	w.put("peer", "Connected Primary UpToDate")
	s.Params["remove_master_score_if_peer_primary"] = "true"
	s.Want(t, drivers.Monitor, drivers.OK)
	wantScore(t, s, "none")
	w.put("role", "Primary")
	w.put("peer", "Connected Secondary UpToDate")
	s.Params["unfence_if_all_uptodate"] = "true"
	s.Want(t, drivers.Monitor, drivers.RunningPromoted)
	wantScore(t, s, "10000")
	if !strings.Contains(w.log(), "unfence with --quiet --flock-required") {
		t.Error("the unfence handler was not called with its arguments")
	}
	w.put("broken", "")
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "generic netlink") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Stop, drivers.GenericError) // what cannot be seen is not known to be down
}

func TestNotify(t *testing.T) {
	w, s := setUp(t, "8.4.11")
	s.Want(t, drivers.Start, drivers.OK)
	w.drop("peer")
	s.Meta["notify_type"], s.Meta["notify_operation"], s.Meta["notify_start_uname"] = "pre", "start", "node2"
	s.Want(t, drivers.Notify, drivers.OK)
	if log := w.log(); !strings.HasSuffix(log, "drbdadm --peer node2 adjust r0\n") {
		t.Errorf("before the start of a peer:\n%s", log)
	}
	// The peer is gone but promoted: this node's data is older.
	w.put("peer", "Connecting Unknown DUnknown")
	s.Meta["notify_type"], s.Meta["notify_operation"], s.Meta["notify_master_uname"] = "post", "promote", "node2"
	s.Want(t, drivers.Notify, drivers.OK)
	wantScore(t, s, "1000")
	s.Params["stop_outdates_secondary"] = "true"
	s.Want(t, drivers.Notify, drivers.OK)
	wantScore(t, s, "none")
	if disk, _ := os.ReadFile(filepath.Join(w.dir, "disk")); strings.TrimSpace(string(disk)) != "Outdated" {
		t.Errorf("disk %s", disk)
	}
	// A stop outdates only below a promoted node that stays.
	s.Meta["notify_stop_uname"] = "node1 node2"
	s.Want(t, drivers.Stop, drivers.OK)
	if strings.Contains(w.log(), "down r0\ndrbdadm outdate") {
		t.Error("outdated although the promoted node stops, too")
	}
	s.Want(t, drivers.Start, drivers.OK)
	s.Meta["notify_stop_uname"] = "node1"
	s.Want(t, drivers.Stop, drivers.OK)
	if !strings.Contains(w.log(), "down r0\ndrbdadm outdate") {
		t.Error("not outdated although another node stays promoted")
	}
}

func TestFailures(t *testing.T) {
	fails := func(t *testing.T, s agenttest.Subject, action string, rc drivers.RC, words string) {
		t.Helper()
		if res := s.Want(t, action, rc); !strings.Contains(res.Reason, words) {
			t.Errorf("%s: %q does not speak of %q", action, res.Reason, words)
		}
	}
	w, s := setUp(t, "8.4.11")
	fails(t, s, drivers.Promote, drivers.GenericError, "is not started")
	s.Want(t, drivers.Demote, drivers.NotRunning)
	w.put("badmeta", "")
	fails(t, s, drivers.Start, drivers.GenericError, "No valid meta data found")
	s.Want(t, drivers.Monitor, drivers.NotRunning) // what is left is not running
	s.Want(t, drivers.Stop, drivers.OK)
	w.drop("badmeta")
	s.Want(t, drivers.Start, drivers.OK)
	w.put("nodata", "")
	fails(t, s, drivers.Promote, drivers.GenericError, "no access to data that is up to date")
	w.drop("nodata")
	w.put("held", "")
	w.put("peer", "Connected Primary UpToDate")
	s.Params["fail_promote_early_if_peer_primary"] = "true"
	fails(t, s, drivers.Promote, drivers.GenericError, "a peer of DRBD resource r0 is Primary")
	wantScore(t, s, "none")
	w.drop("held")
	s.Want(t, drivers.Promote, drivers.OK)
	w.put("open", "")
	s.Timeout = time.Second
	for _, action := range []string{drivers.Demote, drivers.Stop} {
		if res := s.Do(t.Context(), action); res.Status != drivers.TimedOut || !strings.Contains(res.Reason, "has its device open") || !strings.Contains(res.Reason, "held open by someone") {
			t.Errorf("%s while in use: %+v", action, res)
		}
	}
	s.Timeout = 0
	s.Want(t, drivers.Monitor, drivers.RunningPromoted)
	w.drop("open")
	s.Want(t, drivers.Demote, drivers.OK)
	// A configuration that has lost the resource must not keep it from stopping.
	w.put("unlisted", "")
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	if !strings.Contains(w.log(), "drbdsetup down r0") {
		t.Error("the kernel was not told directly")
	}
	fails(t, s, drivers.Start, drivers.NotInstalled, "not defined in your config")
	w.drop("unlisted", "proc")
	w.put("nomodule", "")
	fails(t, s, drivers.Start, drivers.NotInstalled, "no DRBD module")
}

func TestConfigurationRefused(t *testing.T) {
	for _, x := range []struct {
		param, meta, value string
		rc                 drivers.RC
		words              string
	}{
		{"drbd_resource", "", "r0;reboot", drivers.NotConfigured, "may only have letters"},
		{"adjust_master_score", "", "4 3 2 1", drivers.NotConfigured, "must ascend"},
		{"require_drbd_module_version_ge", "", "9", drivers.NotConfigured, "not a version"},
		{"require_drbd_module_version_ge", "", "9.0.16", drivers.NotInstalled, "asks for 9.0.16 or later"},
		{"require_drbd_module_version_lt", "", "8.4.0", drivers.NotInstalled, "before 8.4.0"},
		{"remove_master_score_if_peer_primary", "", "unexpected", drivers.NotConfigured, "not served"},
		{"drbdconf", "", "/no/such/drbd.conf", drivers.NotInstalled, "no such file"},
		{"", "notify", "false", drivers.NotConfigured, "notify=true"},
		{"", "clone_max", "3", drivers.NotConfigured, "two nodes at most"},
		{"", "clone_node_max", "2", drivers.NotConfigured, "once on a node"},
		{"", "promoted_max", "3", drivers.NotConfigured, "at most two Primaries"},
	} {
		_, s := setUp(t, "8.4.11")
		if x.param != "" {
			s.Params[x.param] = x.value
		} else {
			s.Meta[x.meta] = x.value
		}
		if res := s.Want(t, drivers.Start, x.rc); !strings.Contains(res.Reason, x.words) {
			t.Errorf("%s%s=%s: %s", x.param, x.meta, x.value, res.Reason)
		}
		s.Want(t, drivers.Stop, drivers.OK)
	}
	w, s := setUp(t, "8.4.11")
	s.Meta["promoted_max"] = "2"
	s.Want(t, drivers.Start, drivers.OK) // the recorded configuration allows two
	s.Want(t, drivers.Stop, drivers.OK)
	w.put("dump", strings.Replace(recorded(t, "dump-r0.txt"), "allow-two-primaries yes", "allow-two-primaries no", 1))
	if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, "allow-two-primaries") {
		t.Error(res.Reason)
	}
}

// TestConfigurationReadByTheRealTool lets the drbdadm of drbd-utils, where it
// is installed, answer what the agent asks of it.
func TestConfigurationReadByTheRealTool(t *testing.T) {
	real, err := exec.LookPath("drbdadm")
	if err != nil {
		t.Skip("drbd-utils is not installed")
	}
	self, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	w, s := setUp(t, "8.4.11")
	w.drop("drbdadm")
	if err := os.Symlink(real, filepath.Join(w.dir, "drbdadm")); err != nil {
		t.Fatal(err)
	}
	w.put("drbd.conf", "resource r0 { device /dev/drbd0; disk /dev/vdb; meta-disk internal; net { allow-two-primaries yes; }\n"+
		"on "+self+" { address 127.0.0.1:7788; } on other { address 127.0.0.2:7788; } }\n")
	s.Meta["promoted_max"] = "2"
	s.Want(t, drivers.Validate, drivers.OK)
	s.Params["drbd_resource"] = "r1"
	if res := s.Want(t, drivers.Validate, drivers.NotInstalled); !strings.Contains(res.Reason, "r1") {
		t.Error(res.Reason)
	}
}
