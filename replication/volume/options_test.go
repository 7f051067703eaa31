package volume

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/wire"
)

// TestOldProtocols: the nodes agree on the older version, whose packets are smaller; a
// block of 1 MiB goes in pieces, there and, for a node without a disk, back.
func TestOldProtocols(t *testing.T) {
	for _, version := range []int{86, 90, 94, 95, 99, 100} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			pair := newPair(t, diskSize, func(i int, s *Settings) {
				s.Engine.Protocol = engine.ProtocolA + uint32(version)%3
				if i == 1 {
					s.Engine.MaxVersion = version
				}
			})
			firstSync(t, pair)
			stop := make(chan struct{})
			time.AfterFunc(300*time.Millisecond, func() { close(stop) })
			pair[0].load(uint64(version), stop)
			big := bytes.Repeat([]byte("gcrm and its peer"), 1<<16)[:1<<20]
			pair[0].must(pair[0].write(4096, big))
			for _, r := range []Request{{Kind: Zero, Sector: 8192, Size: 1 << 19}, {Kind: Zero, Sector: 10240, Size: 4096, Discard: true}, {Kind: Flush}} {
				pair[0].must(pair[0].call(r).err)
			}
			sameData(t, pair)
			pair[0].must(pair[0].Detach(t.Context()))
			if got := pair[0].read(4096, 1<<20); !bytes.Equal(got, big) {
				t.Error("the peer's data is not what was written")
			}
			pair[0].must(pair[0].Attach())
			sameData(t, pair)
			pair[0].must(pair[0].DemoteAll(t.Context()))
			pair[1].must(pair[1].Disconnect(t.Context(), false))
			pair[1].must(pair[1].Connect(t.Context(), false))
			sameData(t, pair)
			pair[0].mu.Lock()
			defer pair[0].mu.Unlock()
			if v := pair[0].r.Dialect().Version; v != version {
				t.Errorf("protocol %d", v)
			}
		})
	}
}

// TestDiskThatDoesNotAnswer is given up after disk-timeout; the data comes from the peer,
// and the disk is not taken back before it has ended what it was doing.
func TestDiskThatDoesNotAnswer(t *testing.T) {
	var hang atomic.Pointer[chan struct{}]
	pair := newPair(t, diskSize, func(i int, s *Settings) {
		if i == 0 {
			s.Engine.DiskTimeout = 5 * time.Second // a busy machine is slow, too
			s.Fault = func(op *blockdev.Op) error {
				if c := hang.Load(); c != nil && op.Kind != blockdev.Flush {
					<-*c
				}
				return nil
			}
		}
	})
	firstSync(t, pair)
	pair[0].must(pair[0].write(80, bytes.Repeat([]byte{7}, 4096)))
	c := make(chan struct{})
	hang.Store(&c)
	pair[0].must(pair[0].write(88, bytes.Repeat([]byte{8}, 4096)))
	pair[0].await("end of the disk", func(s wire.State) bool { return s.Disk() == wire.Diskless && s.PeerDisk() == wire.UpToDate })
	if got := pair[0].read(80, 4096); got[0] != 7 {
		t.Errorf("read %d from the peer", got[0])
	}
	if err := pair[0].Attach(); err != ErrStuck {
		t.Errorf("a disk that is still busy was attached: %v", err)
	}
	hang.Store(nil)
	close(c)
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := pair[0].Attach()
		if err == nil {
			break
		}
		if err != ErrStuck || time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	sameData(t, pair)
}

// TestPullAhead: a Primary under protocol A goes on without its peer when the network
// cannot follow, and brings it in sync when it can.
func TestPullAhead(t *testing.T) {
	pair := newPair(t, diskSize, func(i int, s *Settings) {
		s.Engine.Protocol, s.Engine.OnCongestion, s.Engine.CongestionFill = engine.ProtocolA, engine.CongestionPullAhead, 256
	})
	firstSync(t, pair)
	behind := make(chan struct{})
	go func() {
		defer close(behind)
		pair[1].await("pulling ahead", func(s wire.State) bool { return s.Conn() == wire.Behind })
	}()
	stop := make(chan struct{})
	go func() { <-behind; close(stop) }()
	pair[0].load(3, stop)
	<-behind
	sameData(t, pair)
}

// TestPause: nothing is resynced while either node pauses.
func TestPause(t *testing.T) {
	pair := newPair(t, diskSize, nil)
	firstSync(t, pair)
	pair[1].must(pair[1].PauseSync(t.Context()))
	// The answer to the next request comes on the other socket and may overtake this.
	pair[0].await("news of the pause", func(s wire.State) bool { return s&wire.PausedByPeer != 0 })
	pair[0].must(pair[0].Invalidate(t.Context(), true))
	pair[0].await("paused source", func(s wire.State) bool { return s.Conn() == wire.PausedSyncS })
	pair[1].await("paused target", func(s wire.State) bool { return s.Conn() == wire.PausedSyncT })
	left := pair[1].Status().OutOfSync
	pair[0].must(pair[0].write(80, bytes.Repeat([]byte{9}, 4096)))
	time.Sleep(300 * time.Millisecond)
	if now := pair[1].Status().OutOfSync; now+64 < left || !pair[1].KeepsOthersWaiting() {
		t.Errorf("%d of %d sectors are left during the pause", now, left)
	}
	pair[1].must(pair[1].ResumeSync(t.Context()))
	sameData(t, pair)
}
