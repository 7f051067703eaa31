package libvirt

import (
	"os"
	"sync"
	"testing"
	"time"

	"gcrm/drivers/libvirt/ticker"
)

// observer reads a guest's disk, and notes when it counted, by one clock wherever the guest
// runs.
type observer struct {
	mu      sync.Mutex
	count   ticker.Count
	changes []time.Time
}

func observe(t *testing.T, path string) *observer {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer file.Close()
		sector := make([]byte, ticker.Sector)
		for t.Context().Err() == nil {
			if _, err := file.ReadAt(sector, ticker.Sector); err == nil {
				// A damaged sector may be one half of a write.
				if c, err := ticker.ReadCount(sector); err == nil {
					o.see(c)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { <-ended })
	return o
}

func (o *observer) see(c ticker.Count) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c != o.count {
		o.count, o.changes = c, append(o.changes, time.Now())
	}
}

func (o *observer) last() ticker.Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

// gap is the longest time without a tick since a moment.
func (o *observer) gap(since time.Time) (longest time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := 1; i < len(o.changes); i++ {
		if o.changes[i].After(since) {
			longest = max(longest, o.changes[i].Sub(o.changes[i-1]))
		}
	}
	return longest
}
