package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/peerlink"
	"gcrm/replication/wire"
)

// node is one of two volumes that replicate to each other over loopback.
type node struct {
	t    testing.TB
	set  Settings
	path string
	*Volume
}

const diskSize = 16 << 20

// freePort finds a port on loopback.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// newPair makes two volumes that are attached and connecting.
func newPair(t testing.TB, size int64, tune func(i int, s *Settings)) [2]*node {
	t.Helper()
	addr := [2]netip.AddrPort{freePort(t), freePort(t)}
	var pair [2]*node
	for i := range pair {
		path := newDisk(t, size)
		n := &node{t: t, path: path}
		n.set = pairSettings(t, i, path, addr)
		if tune != nil {
			tune(i, &n.set)
		}
		n.Volume = New(n.set)
		pair[i] = n
		t.Cleanup(func() { n.Kill() })
	}
	for _, n := range pair {
		n.must(n.Attach())
		n.must(n.Connect(t.Context(), false))
	}
	return pair
}

// newDisk makes a file with fresh metadata.
func newDisk(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	dev, err := blockdev.Open(path, blockdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := metadata.Create(dev, dev.Size(), metadata.Internal, metadata.CreateOptions{DeviceUUID: rand.Uint64()}); err != nil {
		t.Fatal(err)
	}
	dev.Close()
	return path
}

// onLoop puts the disk of a pair's node on a block device, where requests go to the kernel without a thread for each.
func onLoop(t testing.TB, s *Settings) {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", s.Disk.Path).Output()
	if err != nil {
		t.Skipf("SKIPPED: needs root and loop devices: %v", err)
	}
	s.Disk.Path = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", s.Disk.Path).Run(); err != nil {
			t.Error(err)
		}
	})
}

// onBoth runs a test with disks that are files, and with block devices.
func onBoth(t *testing.T, test func(t *testing.T, place func(s *Settings))) {
	t.Run("files", func(t *testing.T) { test(t, func(*Settings) {}) })
	t.Run("block devices", func(t *testing.T) { test(t, func(s *Settings) { onLoop(t, s) }) })
}

func pairSettings(t testing.TB, i int, path string, addr [2]netip.AddrPort) Settings {
	set := Settings{
		Resource: "r0", Engine: engine.Defaults(),
		Disk: DiskSettings{Path: path, Placement: metadata.Internal},
		Link: peerlink.Dialer{Local: addr[i], Peer: addr[1-i], Interval: time.Second, PingTimeout: 500 * time.Millisecond, Check: 50 * time.Millisecond},
	}
	set.Engine.Rand = rand.Uint64
	set.Engine.ResyncRate, set.Engine.PlanAhead, set.Engine.MinRate = 200<<10, 0, 0
	set.Engine.PingTimeout = 3 * time.Second // this machine may be busy
	if testing.Verbose() {
		set.Log = func(text string) { t.Logf("%d: %s", i, text) }
	}
	return set
}

func (n *node) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// await waits for a state.
func (n *node) await(what string, ok func(wire.State) bool) {
	n.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		c := n.Changed()
		s := n.State()
		if ok(s) {
			return
		}
		select {
		case <-c:
		case <-time.After(time.Second):
		case <-limit:
			n.t.Fatalf("no %s: %v, %s", what, n.State(), n.Status().Note)
		}
	}
}

func inSync(s wire.State) bool {
	return s.Conn() == wire.Connected && s.Disk() == wire.UpToDate && s.PeerDisk() == wire.UpToDate
}

// firstSync makes node 0 Primary by force and waits until both are in sync.
func firstSync(t testing.TB, pair [2]*node) {
	t.Helper()
	for _, n := range pair {
		n.await("connection", func(s wire.State) bool { return s.Conn() == wire.Connected })
	}
	pair[0].must(pair[0].Promote(t.Context(), true))
	for _, n := range pair {
		n.await("resync", inSync)
	}
}

// result is what a request ended with.
type result struct {
	data []byte
	err  error
}

// call does a request and waits for it.
func (n *node) call(r Request) result {
	done := make(chan result, 1)
	r.Done = func(r *Request, data []byte, err error) { done <- result{data, err} }
	n.Submit(&r)
	select {
	case out := <-done:
		return out
	case <-time.After(20 * time.Second):
		n.t.Errorf("request %d at %d does not end: %v", r.Kind, r.Sector, n.State())
		return result{nil, errors.New("hangs")}
	}
}

func (n *node) write(sector uint64, data []byte) error {
	b := n.Buffer(len(data))
	copy(b, data)
	return n.call(Request{Kind: Write, Sector: sector, Data: b}).err
}

func (n *node) read(sector uint64, size int) []byte {
	n.t.Helper()
	r := n.call(Request{Kind: Read, Sector: sector, Size: uint32(size)})
	n.must(r.err)
	out := bytes.Clone(r.data)
	n.Free(r.data)
	return out
}

// sum is a checksum of the data on the disk.
func (n *node) sum() [32]byte {
	n.t.Helper()
	raw, err := os.ReadFile(n.path)
	n.must(err)
	l, err := metadata.NewLayout(metadata.Internal, uint64(len(raw)), 1, 8)
	n.must(err)
	return sha256.Sum256(raw[:l.DataSectors*metadata.SectorSize])
}

// sameData compares the disks once nothing is under way.
func sameData(t testing.TB, pair [2]*node) {
	t.Helper()
	for _, n := range pair {
		n.await("sync", inSync)
	}
	limit := time.Now().Add(10 * time.Second)
	for pair[0].sum() != pair[1].sum() {
		if time.Now().After(limit) {
			t.Fatal("the disks differ")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for i, n := range pair {
		if o := n.Status().OutOfSync; o != 0 {
			t.Errorf("node %d: %d sectors out of sync", i, o)
		}
	}
}

// reboot kills a node and starts it again.
func (n *node) reboot() {
	n.t.Helper()
	n.Kill()
	n.back()
}

// back starts a node that was killed.
func (n *node) back() {
	n.t.Helper()
	n.Volume = New(n.set)
	n.must(n.Attach())
	n.must(n.Connect(n.t.Context(), false))
}

// load writes random blocks until stop is closed; it gives how many were written.
func (n *node) load(seed uint64, stop <-chan struct{}) int {
	count := 0
	var wg sync.WaitGroup
	var mu sync.Mutex
	size := n.Size()
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				blocks := r.IntN(16) + 1
				b := make([]byte, blocks*4096)
				binary.LittleEndian.PutUint64(b, r.Uint64())
				at := r.Uint64N(size/4096-uint64(blocks)) * 8
				if n.write(at, b) != nil {
					return
				}
				mu.Lock()
				count++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return count
}

func TestFullSyncWritesAndReads(t *testing.T) {
	for _, protocol := range []uint32{engine.ProtocolA, engine.ProtocolB, engine.ProtocolC} {
		t.Run(fmt.Sprint("protocol", protocol), func(t *testing.T) {
			pair := newPair(t, diskSize, func(i int, s *Settings) {
				s.Engine.Protocol = protocol
				if protocol == engine.ProtocolC {
					s.Engine.IntegrityAlg, s.Engine.CramHMACAlg, s.Engine.SharedSecret = "crc32c", "sha256", "a secret"
				}
			})
			if err := pair[0].write(0, make([]byte, 512)); err != engine.ErrNotPrimary {
				t.Fatalf("write on a Secondary: %v", err)
			}
			firstSync(t, pair)
			stop := make(chan struct{})
			time.AfterFunc(500*time.Millisecond, func() { close(stop) })
			count := pair[0].load(1, stop)
			big := bytes.Repeat([]byte("gcrm"), 1<<18)
			pair[0].must(pair[0].write(4096, big))
			if got := pair[0].read(4096, 1<<20); !bytes.Equal(got, big) {
				t.Error("read something else than was written")
			}
			for _, r := range []Request{{Kind: Zero, Sector: 4096, Size: 1 << 19}, {Kind: Zero, Sector: 6144, Size: 4096, Discard: true}, {Kind: Flush}} {
				pair[0].must(pair[0].call(r).err)
			}
			if got := pair[0].read(4096, 4096); !bytes.Equal(got, make([]byte, 4096)) {
				t.Error("zeroes are not zero")
			}
			sameData(t, pair)
			t.Logf("%d writes, %+v", count, pair[0].Status().Counters)
			if err := pair[0].call(Request{Kind: Read, Sector: pair[0].Size()/512 - 1, Size: 1024}).err; err != engine.ErrRange {
				t.Errorf("read beyond the end: %v", err)
			}
		})
	}
}

// TestKillUnderLoad stops either node in the middle of writes and compares the disks
// after each resync, which must be of the dirty parts only.
func TestKillUnderLoad(t *testing.T) { onBoth(t, killUnderLoad) }

func killUnderLoad(t *testing.T, place func(s *Settings)) {
	pair := newPair(t, 64<<20, func(i int, s *Settings) { place(s); s.Engine.ALExtents = 7 })
	firstSync(t, pair)
	full := pair[1].Status().Counters.Received
	for round := range 6 {
		victim := pair[round%2]
		stop := make(chan struct{})
		counted := make(chan int)
		go func() { counted <- pair[0].load(uint64(round), stop) }()
		time.Sleep(200 * time.Millisecond)
		if victim == pair[0] {
			victim.Kill()
			close(stop)
			<-counted
			before := pair[1].Status().Counters.Received
			victim.reboot()
			victim.await("resync", inSync)
			// Seven extents of the activity log are 28 of 64 MiB.
			if got := victim.Status().Counters.Received + pair[1].Status().Counters.Received - before; got > full*6/10 {
				t.Errorf("round %d: %d sectors over the network, a full sync takes %d", round, got, full)
			}
			victim.must(victim.Promote(t.Context(), false))
		} else {
			victim.reboot()
			time.Sleep(100 * time.Millisecond)
			close(stop)
			t.Logf("round %d: %d writes", round, <-counted)
		}
		sameData(t, pair)
	}
}

func TestDisklessPrimaryGoesOnByItsPeer(t *testing.T) {
	var bad sync.Map
	pair := newPair(t, diskSize, func(i int, s *Settings) {
		s.Fault = func(op *blockdev.Op) error {
			if _, broken := bad.Load(i); broken && op.Kind != blockdev.Flush {
				return errors.New("broken disk")
			}
			return nil
		}
	})
	firstSync(t, pair)
	pair[0].must(pair[0].write(80, bytes.Repeat([]byte{7}, 4096)))
	bad.Store(0, true)
	if got := pair[0].read(80, 4096); got[0] != 7 {
		t.Errorf("read %d after the disk failed", got[0])
	}
	pair[0].must(pair[0].write(88, bytes.Repeat([]byte{8}, 4096)))
	pair[0].await("diskless", func(s wire.State) bool { return s.Disk() == wire.Diskless })
	if got := pair[0].read(80, 8192); got[0] != 7 || got[4096] != 8 {
		t.Errorf("read %d %d from the peer", got[0], got[4096])
	}
	bad.Delete(0)
	time.Sleep(100 * time.Millisecond)
	pair[0].must(pair[0].Attach())
	sameData(t, pair)
	if got := pair[0].read(88, 4096); got[0] != 8 {
		t.Errorf("read %d after the disk came back", got[0])
	}
}

// TestErrorsArePassedOn keeps a disk with a bad place (on-io-error pass_on): the
// application sees nothing as long as the peer has the data, and the next resync
// repairs what can be repaired.
func TestErrorsArePassedOn(t *testing.T) {
	var bad atomic.Int32 // node + 1 whose blocks 100 to 102 fail
	pair := newPair(t, diskSize, func(i int, s *Settings) {
		s.Engine.OnIOError = engine.IOErrorPassOn
		s.Fault = func(op *blockdev.Op) error {
			if int(bad.Load()) == i+1 && op.Kind != blockdev.Flush && op.Offset < 103*4096 && op.Offset+int64(max(len(op.Data), int(op.Size))) > 100*4096 {
				return errors.New("bad place")
			}
			return nil
		}
	})
	firstSync(t, pair)
	pair[0].must(pair[0].write(800, bytes.Repeat([]byte{1}, 8192)))
	for i, n := range pair {
		bad.Store(int32(i) + 1)
		fill := byte(10 + i)
		pair[0].must(pair[0].write(800, bytes.Repeat([]byte{fill}, 8192)))
		pair[0].must(pair[0].write(1600, bytes.Repeat([]byte{fill}, 4096)))
		n.await("a disk that is not good", func(s wire.State) bool { return s.Disk() == wire.Inconsistent })
		if got := pair[0].read(800, 8192); got[0] != fill || got[8191] != fill {
			t.Errorf("node %d has a bad disk: read %d", i, got[0])
		}
		if got := pair[0].read(1600, 4096); got[0] != fill {
			t.Errorf("node %d has a bad disk: read %d elsewhere", i, got[0])
		}
		bad.Store(0)
		n.must(n.Disconnect(t.Context(), true))
		n.must(n.Connect(t.Context(), false))
		sameData(t, pair)
	}
	// Alone there is nobody to help.
	pair[1].Kill()
	pair[0].await("the loss of the peer", func(s wire.State) bool { return s.Conn() < wire.Connected })
	bad.Store(1)
	if r := pair[0].call(Request{Kind: Read, Sector: 800, Size: 4096}); r.err != engine.ErrIO {
		t.Errorf("a read of a bad place gave %v", r.err)
	}
}

func TestVerifyFindsWhatDiffers(t *testing.T) {
	pair := newPair(t, diskSize, func(i int, s *Settings) { s.Engine.VerifyAlg = "sha1" })
	firstSync(t, pair)
	// Somebody writes past DRBD.
	f, err := os.OpenFile(pair[1].path, os.O_WRONLY, 0)
	pair[1].must(err)
	_, err = f.WriteAt([]byte("not what was written"), 40960)
	pair[1].must(err)
	f.Close()
	pair[0].must(pair[0].Verify(t.Context()))
	pair[0].await("end of verify", func(s wire.State) bool { return s.Conn() == wire.Connected })
	for i, n := range pair {
		n.await("end of verify", func(s wire.State) bool { return s.Conn() == wire.Connected })
		if o := n.Status().OutOfSync; o != 8 {
			t.Errorf("node %d: %d sectors out of sync, want 8", i, o)
		}
	}
	pair[1].must(pair[1].Disconnect(t.Context(), false))
	pair[1].must(pair[1].Connect(t.Context(), false))
	sameData(t, pair)
}

func TestCloseLeavesCleanMetadata(t *testing.T) {
	pair := newPair(t, diskSize, nil)
	firstSync(t, pair)
	pair[0].must(pair[0].write(8, bytes.Repeat([]byte{1}, 512)))
	// As the kernel, a node takes for out of sync what the peer may not have on
	// its disk when they part.
	pair[0].must(pair[0].call(Request{Kind: Flush}).err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := pair[0].Close(ctx); err != wire.DeviceInUse {
		t.Fatalf("a Primary was closed: %v", err)
	}
	pair[0].must(pair[0].Demote(ctx))
	for _, n := range pair {
		n.must(n.Disconnect(ctx, false))
		n.must(n.Close(ctx))
		dev, err := blockdev.Open(n.path, blockdev.Options{ReadOnly: true})
		n.must(err)
		a, err := metadata.Open(dev, dev.Size(), metadata.Internal)
		n.must(err)
		if !a.Super.Clean() {
			t.Error("metadata is not clean")
		}
		dev.Close()
	}
	for _, n := range pair {
		n.reboot()
	}
	sameData(t, pair)
	if r := pair[1].Status().Counters.Received; r != 0 {
		t.Errorf("%d sectors were synced after a clean shutdown", r)
	}
}

// TestChecksumResync sends only what differs over the network.
func TestChecksumResync(t *testing.T) {
	pair := newPair(t, diskSize, func(i int, s *Settings) { s.Engine.CsumsAlg, s.Engine.ReadBalancing = "sha1", engine.ReadRoundRobin })
	firstSync(t, pair)
	for i := range uint64(100) {
		pair[0].must(pair[0].write(i*64, bytes.Repeat([]byte{byte(i)}, 4096)))
	}
	before := pair[1].Status().Counters.Received
	pair[1].must(pair[1].Invalidate(t.Context(), false))
	sameData(t, pair)
	if got := pair[1].Status().Counters.Received - before; got != 0 {
		t.Errorf("%d sectors over the network for equal disks", got)
	}
	pair[1].must(pair[1].Disconnect(t.Context(), false))
	pair[0].must(pair[0].write(800, bytes.Repeat([]byte{77}, 8192)))
	pair[1].must(pair[1].Connect(t.Context(), false))
	sameData(t, pair)
	// Reads take turns: both nodes must have given the same.
	read := pair[1].Status().Counters.Read
	for range 10 {
		if b := pair[0].read(800, 8192); b[0] != 77 || b[8191] != 77 {
			t.Errorf("read %d", b[0])
		}
	}
	if pair[1].Status().Counters.Read-read != 5*16 {
		t.Errorf("%d sectors were read on the peer, want half of all", pair[1].Status().Counters.Read-read)
	}
}

// TestThinResync neither sends nor stores areas of zeroes.
func TestThinResync(t *testing.T) {
	pair := newPair(t, diskSize, func(i int, s *Settings) { s.Engine.DiscardGranularity = 64 << 10 })
	firstSync(t, pair)
	for i := range uint64(8) {
		pair[0].must(pair[0].write(i*4096, bytes.Repeat([]byte{byte(i + 1)}, 4096)))
	}
	sameData(t, pair)
	f, err := os.OpenFile(pair[1].path, os.O_WRONLY, 0)
	pair[1].must(err)
	if _, err := f.WriteAt(bytes.Repeat([]byte("garbage!"), diskSize/16), 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	before := pair[1].Status().Counters.Received
	pair[1].must(pair[1].Invalidate(t.Context(), false))
	sameData(t, pair)
	// Eight areas, and the end of the volume, which is no whole one.
	if got := (pair[1].Status().Counters.Received - before) / 2; got < 8*64 || got > 10*64 {
		t.Errorf("%d KiB were received for eight areas of 64 KiB that are not zero", got)
	}
	st, err := os.Stat(pair[1].path)
	pair[1].must(err)
	if kib := st.Sys().(*syscall.Stat_t).Blocks / 2; kib > 2048 {
		t.Errorf("the disk of the target takes %d KiB", kib)
	}
}
