package volume

import (
	"runtime"
	"testing"
)

// TestSteadyStateAllocates next to nothing per write, on both nodes together.
func TestSteadyStateAllocates(t *testing.T) { onBoth(t, steadyStateAllocates) }

func steadyStateAllocates(t *testing.T, place func(s *Settings)) {
	pair := newPair(t, diskSize, func(i int, s *Settings) { place(s); s.Log = nil })
	firstSync(t, pair)
	done := make(chan error, 1)
	r := &Request{Kind: Write}
	r.Done = func(_ *Request, _ []byte, err error) { done <- err }
	write := func(n int) {
		for i := range n {
			r.Sector, r.Data = uint64(i%512)*8, pair[0].Buffer(4096)
			pair[0].Submit(r)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	write(500)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const count = 1000
	write(count)
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / count
	t.Logf("%.2f allocations for each write of 4 KiB on both nodes, %d bytes", each, (after.TotalAlloc-before.TotalAlloc)/count)
	// The clocks of the volumes and the collector are in it.
	if each > 4 {
		t.Errorf("%.1f allocations for each write", each)
	}
}
