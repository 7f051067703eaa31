package engine

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// simClock is what all nodes of a schedule share: time, what will happen, and chance.
type simClock struct {
	t       testing.TB
	r       *rand.Rand
	now     time.Duration
	seq     int
	events  eventHeap
	log     *strings.Builder
	failed  string
	running *simTask
}

func newSimClock(t testing.TB, seed uint64, verbose bool) *simClock {
	c := &simClock{t: t, r: rand.New(rand.NewPCG(seed, 99))}
	if verbose {
		c.log = &strings.Builder{}
	}
	return c
}

// event is something that will happen.
type event struct {
	at  time.Duration
	seq int
	do  func()
}

type eventHeap []*event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(*event)) }
func (h *eventHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (c *simClock) after(d time.Duration, do func()) {
	c.seq++
	heap.Push(&c.events, &event{c.now + d, c.seq, do})
}

func (c *simClock) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(c.r.Int64N(int64(hi-lo)))
}

func (c *simClock) logf(format string, args ...any) {
	if c.log != nil {
		fmt.Fprintf(c.log, "%9.4f ", c.now.Seconds())
		fmt.Fprintf(c.log, format+"\n", args...)
	}
}

func (c *simClock) fail(format string, args ...any) {
	if c.failed == "" {
		c.failed = fmt.Sprintf("at %v: ", c.now) + fmt.Sprintf(format, args...)
		c.logf("FAILED: %s", c.failed)
	}
}

func (c *simClock) run(until time.Duration) {
	for c.failed == "" && len(c.events) > 0 && c.events[0].at <= until {
		ev := heap.Pop(&c.events).(*event)
		c.now = ev.at
		ev.do()
	}
	c.now = until
}
