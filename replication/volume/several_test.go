package volume

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"gcrm/replication/wire"
)

// twins are two volumes on one connection, on two nodes; by volume, then by node.
type twins [2][2]*node

func newTwins(t *testing.T) *twins {
	addr := [2]netip.AddrPort{freePort(t), freePort(t)}
	var w twins
	for v := range w {
		for i := range w[v] {
			n := &node{t: t, path: newDisk(t, 32<<20)}
			n.set = pairSettings(t, i, n.path, addr)
			n.set.Engine.Volume, n.set.Engine.ALExtents = uint16(v), 7
			w[v][i] = n
		}
	}
	for i := range 2 {
		w.start(i)
		t.Cleanup(func() { w[0][i].Kill() })
	}
	return &w
}

func (w *twins) start(i int) {
	r := NewResource(w[0][i].set, w[1][i].set)
	for v, volume := range r.Volumes() {
		w[v][i].Volume = volume
		w[v][i].must(volume.Attach())
	}
	w[0][i].must(r.Connect(w[0][i].t.Context(), false))
}

func (w *twins) load(i int, seed uint64, stop <-chan struct{}) int {
	var wg sync.WaitGroup
	var count [2]int
	for v := range w {
		wg.Go(func() { count[v] = w[v][i].load(seed+uint64(v)<<32, stop) })
	}
	wg.Wait()
	return count[0] + count[1]
}

// TestTwoVolumesOnOneConnection: both are promoted, written, killed and taken over
// together, over one pair of sockets.
func TestTwoVolumesOnOneConnection(t *testing.T) {
	w := newTwins(t)
	for v := range w {
		for _, n := range w[v] {
			n.await("connection", func(s wire.State) bool { return s.Conn() == wire.Connected })
		}
	}
	w[0][0].must(w[0][0].PromoteAll(t.Context(), true))
	for v := range w {
		for _, n := range w[v] {
			n.await("resync", inSync)
		}
	}
	if err := w[1][1].Promote(t.Context(), false); err != wire.TwoPrimaries && err != wire.RefusedByPeer {
		t.Errorf("a second Primary: %v", err)
	}
	primary := 0
	for round := range 6 {
		stop := make(chan struct{})
		counted := make(chan int)
		from := primary
		go func() { counted <- w.load(from, uint64(round), stop) }()
		time.Sleep(200 * time.Millisecond)
		victim := round % 2
		if victim == primary {
			w[0][victim].Kill()
			close(stop)
			<-counted
			primary = 1 - victim
			w[0][primary].must(w[0][primary].PromoteAll(t.Context(), false))
			w.start(victim)
		} else {
			w[0][victim].Kill()
			w.start(victim)
			time.Sleep(100 * time.Millisecond)
			close(stop)
			t.Logf("round %d: %d writes", round, <-counted)
		}
		for v := range w {
			sameData(t, w[v])
		}
	}
	// With one volume Primary here, the peer cannot promote the other.
	w[1][primary].must(w[1][primary].Demote(t.Context()))
	if err := w[1][1-primary].Promote(t.Context(), false); err != wire.OtherVolumePrimary {
		t.Errorf("promoted beside the peer's other volume: %v", err)
	}
	w[0][primary].must(w[0][primary].DemoteAll(t.Context()))
	w[0][primary].must(w[0][primary].Disconnect(t.Context(), false))
	for v := range w {
		w[v][primary].await("end of the connection", func(s wire.State) bool { return s.Conn() == wire.StandAlone })
		w[v][1-primary].await("search for the peer", func(s wire.State) bool { return s.Conn() == wire.WFConnection })
	}
	w[0][primary].must(w[0][primary].Connect(t.Context(), false))
	for v := range w {
		sameData(t, w[v])
	}
	for i := range 2 {
		w[0][i].must(w[0][i].Close(t.Context()))
	}
}
