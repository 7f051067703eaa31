package simtest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"gcrm/cib"
)

// world is everything there is: one clock, one random generator, one queue of
// events.
type world struct {
	seed  uint64
	rng   *rand.Rand
	now   time.Time
	queue events
	count int // events ever queued

	nodes    []*node
	schedule planner

	// The replicated log: docs[i] is the document after log[:i].
	log       []cib.Change
	docs      []*cib.CIB
	term      uint64
	leader    *node // nil while there is none
	proposals []*proposal
	acked     int // commits that somebody was told of

	// active tells where each resource runs, as its agents see it.
	active map[string]map[string]bool
	busy   map[string]bool // "resource@node": an action runs
	// promoted tells where each promotable resource is promoted.
	promoted map[string]map[string]bool
	// shared are resources that may run on several nodes, promotable those
	// of which one may be promoted, dependent those that need another.
	shared, promotable, dependent map[string]bool
	group                         string

	// How bad things are.
	loss, duplication, delay float64
	faults                   bool
	failures                 float64 // of agent actions

	journal    []string
	violations []string
	stats      stats
}

type stats struct {
	actions, starts, commits, leaders, fences, crashes, isolations, restarts, deaths, refused, shutdowns int
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.queue, event{w.now.Add(d), w.count, do})
}

// run lets time pass until the end, or until stop says so.
func (w *world) run(span time.Duration, stop func() bool) bool {
	end := w.now.Add(span)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
		if len(w.violations) > 0 {
			return false
		}
		if stop != nil && stop() {
			return true
		}
	}
	w.now = end
	return false
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between draws a duration.
func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

func (w *world) note(format string, args ...any) {
	w.journal = append(w.journal, fmt.Sprintf("%9.3f ", w.now.Sub(epoch).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) violated(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
	w.note("VIOLATION: "+format, args...)
}

// lastLines is the end of the journal.
func (w *world) lastLines(n int) string {
	return strings.Join(w.journal[max(0, len(w.journal)-n):], "\n")
}

var epoch = time.Unix(1_700_000_000, 0)

// linked reports whether two nodes can talk.
func (w *world) linked(a, b *node) bool {
	return a == b && a.up || a.up && b.up && !a.isolated && !b.isolated
}

// send delivers a message, or loses, delays or doubles it.
func (w *world) send(from, to *node, deliver func()) {
	if from == to {
		boot := to.boot
		w.after(w.between(10*time.Microsecond, time.Millisecond), func() {
			if to.up && to.boot == boot {
				deliver()
			}
		})
		return
	}
	if !w.linked(from, to) {
		return
	}
	copies := 1
	if w.chance(w.loss) {
		copies = 0
	} else if w.chance(w.duplication) {
		copies = 2
	}
	for range copies {
		d := w.between(200*time.Microsecond, 5*time.Millisecond)
		if w.chance(w.delay) {
			d += w.between(0, 40*time.Second)
		}
		w.after(d, func() {
			if to.up && !to.isolated {
				deliver()
			}
		})
	}
}

const rpcLimit = 10 * time.Second

// rpc is a call to another node: serve runs there, then gets the answer or an
// error, once.
func (w *world) rpc(from, to *node, serve func(reply func(v any, err error)), then func(v any, err error)) {
	boot, over := from.boot, false
	finish := func(v any, err error) {
		if !over && from.up && from.boot == boot {
			over = true
			then(v, err)
		}
	}
	w.send(from, to, func() {
		serve(func(v any, err error) {
			w.send(to, from, func() { finish(v, err) })
		})
	})
	w.after(rpcLimit, func() { finish(nil, fmt.Errorf("no answer from %s within %s", to.name, rpcLimit)) })
}
