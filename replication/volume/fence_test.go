package volume

import (
	"bytes"
	"context"
	"testing"
	"time"

	"gcrm/replication/engine"
	"gcrm/replication/wire"
)

// handlerRun is a run of a handler that ends when the test says so.
type handlerRun struct {
	name string
	done chan int
}

const stonithed = 7 // what fence-peer ends with

// fencedPair is a Primary whose handlers that fence and unfence its peer are given to the test.
func fencedPair(t *testing.T) (pair [2]*node, runs chan handlerRun) {
	runs = make(chan handlerRun)
	pair = newPair(t, diskSize, func(i int, s *Settings) {
		s.Engine.Fencing = engine.FencingStonith
		if i == 1 {
			return
		}
		s.Handler = func(ctx context.Context, name string) int {
			if name != "fence-peer" && name != "unfence-peer" {
				return 0
			}
			run := handlerRun{name, make(chan int)}
			select {
			case runs <- run:
			case <-ctx.Done():
				return 1
			}
			select {
			case code := <-run.done:
				return code
			case <-ctx.Done():
				return 1
			}
		}
	})
	firstSync(t, pair)
	await(t, runs, "unfence-peer").done <- 0
	return pair, runs
}

// await gives the next run of a handler.
func await(t *testing.T, runs chan handlerRun, name string) handlerRun {
	t.Helper()
	select {
	case run := <-runs:
		if run.name != name {
			t.Fatalf("%s runs, not %s", run.name, name)
		}
		return run
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not run", name)
		return handlerRun{}
	}
}

// quiet tells that no handler begins for a while.
func quiet(t *testing.T, runs chan handlerRun, when string) {
	t.Helper()
	select {
	case run := <-runs:
		t.Fatalf("%s runs %s", run.name, when)
	case <-time.After(300 * time.Millisecond):
	}
}

// later writes a block beside the test.
func (n *node) later(sector uint64, b byte) chan error {
	done := make(chan error, 1)
	go func() { done <- n.write(sector, bytes.Repeat([]byte{b}, 4096)) }()
	return done
}

// TestFencesTakeTurns: nothing is written alone before the peer is fenced, and the handlers that fence and unfence it never
// run at once, whatever comes back or breaks meanwhile.
func TestFencesTakeTurns(t *testing.T) {
	pair, runs := fencedPair(t)
	a, b := pair[0], pair[1]

	b.Kill()
	fence := await(t, runs, "fence-peer")
	write := a.later(80, 1)
	select {
	case err := <-write:
		t.Fatalf("written while the peer is being fenced: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	b.back() // it was not that dead
	a.must(<-write)
	sameData(t, pair)
	quiet(t, runs, "while the peer is still being fenced")
	fence.done <- stonithed
	unfence := await(t, runs, "unfence-peer")

	b.Kill()
	a.await("loss of the peer", func(s wire.State) bool { return s.Conn() < wire.Connected })
	quiet(t, runs, "while the peer is being unfenced")
	unfence.done <- 0
	fence = await(t, runs, "fence-peer")
	write = a.later(88, 2)
	fence.done <- stonithed
	a.must(<-write)
	if s := a.State(); s.PeerDisk() != wire.Outdated {
		t.Errorf("after the fence %v", s)
	}
	b.back()
	sameData(t, pair)
	await(t, runs, "unfence-peer").done <- 0
	if got := b.sum(); got != a.sum() {
		t.Error("the disks differ")
	}
}
