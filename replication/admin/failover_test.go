package admin

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/replication/fusefile"
)

var (
	killCount = flag.Int("kills", 3, "how many Primaries TestFileSystemSurvivesItsPrimary kills")
	killSeed  = flag.Uint64("killseed", 0, "seed of the times of the kills, 0 for a random one")
)

// TestFileSystemSurvivesItsPrimary has ext4 on the block device of a Primary (FUSE
// and loop), writes with fsync, kills the Primary, promotes the other node and looks
// whether everything is there that fsync had confirmed. The killed node comes back
// and is the next one to take over. Now and then only the process is killed, which
// nobody may notice.
func TestFileSystemSurvivesItsPrimary(t *testing.T) {
	for _, dev := range []string{"/dev/fuse", "/dev/loop-control"} {
		if f, err := os.OpenFile(dev, os.O_RDWR, 0); err != nil {
			t.Skipf("SKIPPED: no %s here: %v", dev, err)
		} else {
			f.Close()
		}
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("SKIPPED: mkfs.ext4 is not installed (package e2fsprogs)")
	}
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (repeat with -killseed)", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	s := newSite(t, 64, "net { ping-timeout 30; } disk { resync-rate 400M; c-plan-ahead 0; c-min-rate 0; }")
	s.firstSync("--device", "loop")
	shell(t, "mkfs.ext4", "-q", "-b", "1024", s.status(0).Device) // blocks as small as a kernel's DRBD takes
	room, mnt := newRoom(t, s.dir), ""
	primary, confirmed := 0, 0
	mount := func() string {
		st := s.status(primary)
		if st.Device == "" {
			t.Fatalf("no block device: %+v", st)
		}
		mnt = room.mount(st.Device)
		return st.Device
	}
	for round := range *killCount {
		device := mount()
		if found := lastRecord(t, mnt); found < confirmed {
			t.Fatalf("round %d: %d records, %d were confirmed by fsync", round, found, confirmed)
		}
		stop, ended := make(chan struct{}), make(chan int, 1)
		go write(mnt, confirmed, stop, ended)
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			kill(s.status(primary).PID) // the process alone: its successor goes on
			time.Sleep(time.Second)
			select {
			case n := <-ended:
				t.Fatalf("round %d: the writer saw an error after record %d, although only the process died", round, n)
			default:
			}
		}
		time.Sleep(time.Duration(100+r.IntN(700)) * time.Millisecond)
		s.killNode(primary)
		close(stop)
		confirmed = <-ended
		// What a dead node does not do any more.
		room.powerOff()
		if err := fusefile.AbandonLoop(device); err != nil {
			t.Fatal(err)
		}
		dead := primary
		primary = 1 - primary
		s.ok(primary, "primary", "r0")
		device = mount()
		found := lastRecord(t, mnt)
		t.Logf("round %d: %d confirmed, %d found on %s", round, confirmed, found, nodes[primary])
		if found < confirmed {
			t.Fatalf("round %d: %d records on the other node, %d were confirmed by fsync", round, found, confirmed)
		}
		room.unmount()
		shell(t, "e2fsck", "-fn", device)
		s.ok(dead, "up", "--device", "loop", "r0")
		s.ok(dead, "wait-connect", "--timeout", "60s", "r0")
		s.ok(dead, "wait-sync", "--timeout", "60s", "r0")
		s.ok(primary, "wait-sync", "--timeout", "60s", "r0")
	}
	s.ok(primary, "down", "r0")
	s.ok(1-primary, "down", "r0")
	for i := range nodes {
		if loop := fusefile.FindLoop(s.folder(i).Mount("r0")); loop != "" {
			t.Errorf("%s is left", loop)
		}
	}
}

// room is a mount namespace: a file system mounted in there is not kept alive by other
// programs that happen to copy the host's namespace.
type room struct {
	t      *testing.T
	mnt    string
	holder *exec.Cmd
}

func newRoom(t *testing.T, dir string) *room {
	t.Helper()
	m := &room{t: t, mnt: filepath.Join(dir, "mnt")}
	if err := os.Mkdir(m.mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	m.enter()
	t.Cleanup(m.powerOff)
	return m
}

func (m *room) enter() {
	m.t.Helper()
	m.holder = exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep infinity")
	ready, err := m.holder.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.holder.Start(); err != nil {
		m.t.Skipf("SKIPPED: no mount namespaces here: %v", err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		m.t.Fatalf("unshare: %v", err)
	}
}

// into is what runs a command in the room.
func (m *room) into() []string {
	return []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", m.holder.Process.Pid), "--"}
}

// mount gives the path by which everybody reaches the file system.
func (m *room) mount(device string) string {
	m.t.Helper()
	if m.holder == nil {
		m.enter()
	}
	shell(m.t, append(m.into(), "mount", "-t", "ext4", device, m.mnt)...)
	return fmt.Sprintf("/proc/%d/root%s", m.holder.Process.Pid, m.mnt)
}

func (m *room) unmount() {
	m.t.Helper()
	shell(m.t, append(m.into(), "umount", m.mnt)...)
}

// powerOff ends the room with all that is mounted.
func (m *room) powerOff() {
	if m.holder == nil {
		return
	}
	_ = m.holder.Process.Kill()
	_ = m.holder.Wait()
	m.holder = nil
}

func shell(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

// write appends records, each confirmed by fsync, until it fails or is stopped.
func write(mnt string, from int, stop <-chan struct{}, ended chan<- int) {
	n := from
	defer func() { ended <- n }()
	f, err := os.OpenFile(filepath.Join(mnt, "journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := fmt.Fprintf(f, "%d %s\n", n+1, strings.Repeat("x", (n*37)%3000)); err != nil {
			return
		}
		if f.Sync() != nil {
			return
		}
		n++
	}
}

// lastRecord reads the journal: records without a gap. The last line may be torn.
func lastRecord(t *testing.T, mnt string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(mnt, "journal"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(b), "\n")
	last := 0
	for _, l := range lines {
		if !strings.HasSuffix(l, "\n") {
			break
		}
		head, _, _ := strings.Cut(l, " ")
		n, err := strconv.Atoi(head)
		if err != nil || n != last+1 && n > last {
			t.Fatalf("after record %d comes %q", last, l[:min(len(l), 20)])
		}
		last = max(last, n)
	}
	return last
}
