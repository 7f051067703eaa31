package volume

import (
	"bytes"
	"os"
	"testing"
	"time"

	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// grown waits until both nodes have a size and are in sync with it.
func grown(t *testing.T, pair [2]*node, size uint64) {
	t.Helper()
	for i, n := range pair {
		limit := time.Now().Add(20 * time.Second)
		for n.Size() != size || n.Status().OutOfSync != 0 || !inSync(n.State()) {
			if time.Now().After(limit) {
				t.Fatalf("node %d: %d bytes, want %d; %d sectors out of sync, %v: %s", i, n.Size(), size, n.Status().OutOfSync, n.State(), n.Status().Note)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func layoutFor(t *testing.T, bytes uint64) metadata.Layout {
	t.Helper()
	l, err := metadata.NewLayout(metadata.Internal, bytes, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestResize grows a volume that is in use, from either node; what is new is alike on
// both, and the metadata are at the new end.
func TestResize(t *testing.T) {
	for _, initiator := range []int{0, 1} {
		pair := newPair(t, diskSize, nil)
		firstSync(t, pair)
		stop, done := make(chan struct{}), make(chan int)
		go func() { done <- pair[0].load(7, stop) }()
		for i, n := range pair {
			f, err := os.OpenFile(n.path, os.O_WRONLY, 0)
			n.must(err)
			// What the new room holds is not alike.
			if _, err := f.WriteAt(bytes.Repeat([]byte{byte(200 + i)}, diskSize), diskSize); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		before := pair[1].Status().Counters.Received
		pair[initiator].must(pair[initiator].Resize(t.Context(), engine.ResizeOptions{}))
		want := layoutFor(t, 2*diskSize)
		grown(t, pair, want.DataSectors*metadata.SectorSize)
		close(stop)
		t.Logf("%d writes meanwhile, %d KiB received", <-done, (pair[1].Status().Counters.Received-before)/2)
		pair[0].must(pair[0].write(want.DataSectors-8, bytes.Repeat([]byte{9}, 4096)))
		sameData(t, pair)
		// The new metadata carry the volume through a crash of the Primary.
		pair[0].must(pair[0].write(8, bytes.Repeat([]byte{5}, 4096)))
		pair[0].Kill()
		pair[0].reboot()
		for _, n := range pair {
			n.await("connection", inSync)
		}
		sameData(t, pair)
		if got := pair[0].Size(); got != want.DataSectors*metadata.SectorSize {
			t.Errorf("%d bytes after the crash", got)
		}
	}
}

// TestResizeChoices: without a resync, to a given size, smaller again, and what is
// refused.
func TestResizeChoices(t *testing.T) {
	pair := newPair(t, diskSize, nil)
	firstSync(t, pair)
	old := pair[0].Size()
	for _, n := range pair {
		n.must(os.Truncate(n.path, 2*diskSize))
	}
	received := pair[1].Status().Counters.Received
	pair[0].must(pair[0].Resize(t.Context(), engine.ResizeOptions{User: old/512 + 2048, Clean: true}))
	grown(t, pair, old+1<<20)
	if n := pair[1].Status().Counters.Received - received; n != 0 {
		t.Errorf("%d sectors were synced in spite of assume-clean", n)
	}
	pair[0].must(pair[0].Resize(t.Context(), engine.ResizeOptions{User: old / 512}))
	grown(t, pair, old)
	if err := pair[0].Resize(t.Context(), engine.ResizeOptions{User: 1 << 30}); err == nil {
		t.Error("a volume became larger than its disk")
	}
	sizeKept(t, pair, old)
	pair[0].must(pair[0].Disconnect(t.Context(), false))
	if err := pair[0].Resize(t.Context(), engine.ResizeOptions{}); err != wire.NeedConnection {
		t.Errorf("resize without a peer: %v", err)
	}
	sizeKept(t, pair, old)
}

func sizeKept(t *testing.T, pair [2]*node, size uint64) {
	t.Helper()
	for i, n := range pair {
		if n.Size() != size {
			t.Errorf("node %d has %d bytes instead of %d", i, n.Size(), size)
		}
	}
}
