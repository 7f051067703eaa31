// Keys are agreed on without post-quantum safety: half the cost of a connection.

//go:debug randseednop=0
//go:debug tlsmlkem=0
package whole

import (
	"flag"
	"fmt"
	"log/slog"
	oldrand "math/rand"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	worlds     = flag.Int("worlds", 6, "how many random clusters to simulate")
	firstSeed  = flag.Uint64("first", 1, "the first of these seeds")
	oneSeed    = flag.Uint64("seed", 0, "simulate this cluster alone")
	traces     = flag.Bool("traces", false, "print a digest of what happened in each cluster")
	onlyFaults = flag.String("faults", "", "names of the only faults that come, with semicolons between")
	schedules  = flag.Int("schedules", 8, "fault schedules in the life of a cluster")
	totalFile  = flag.String("total", "", "add what happened to the counts in this file")
)

// draw makes up a world from a seed.
func draw(seed uint64) plan {
	p := plan{seed: seed, log: silent, nodes: []int{2, 3, 3, 3, 5}[seed%5], links: 1 + int(seed/5%2)}
	if p.nodes == 3 && seed%3 == 0 {
		p.witness = true
	}
	p.policy = []string{"", "freeze", "stop", "suicide", "demote", "ignore"}[seed/7%6]
	if seed/13%2 == 0 {
		p.properties = map[string]string{"stonith-action": "off"}
	}
	if seed/11%4 == 0 {
		p.level = 1
	}
	if p.nodes == 2 {
		p.delays = "node1:2s;node2:0s"
	}
	if *onlyFaults != "" {
		p.faults = strings.Split(*onlyFaults, ";")
	}
	return p
}

// live runs the life of one world and returns it. The garbage collector waits
// until it is over: it would stop goroutines at times of its own choosing, and
// what one world leaves is dead all at once.
func live(t *testing.T, p plan, count int) (result *world) {
	credentials.issue(5)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(4 << 30)) // but no machine shall starve
	//lint:ignore SA1019 nothing newer reaches the source that raft uses
	oldrand.Seed(int64(p.seed)) // raft's timeouts come from there
	cryptotest.SetGlobalRandom(t, p.seed)
	var w *world
	defer func() {
		// Raft forgets what it was just about to apply when it ends; who waits
		// for that in an ended node waits for ever.
		if r := recover(); r != nil && !(w != nil && w.closed() && strings.Contains(fmt.Sprint(r), "blocked goroutines remain")) {
			panic(r)
		}
		result = w
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, p)
		stop := make(chan struct{})
		w.wg.Go(func() { w.sabotage(stop) })
		if w.begin() {
			for i := range count {
				w.note("--- schedule %d", i+1)
				w.setQuiet(false)
				w.trouble()
				w.calm()
				w.setQuiet(true)
				w.stats.Schedules++
				if !w.rest(150 * w.detection) {
					break
				}
			}
		}
		close(stop)
		w.close()
	})
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > 512<<20 {
		runtime.GC()
	}
	return w
}

func (w *world) setQuiet(quiet bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quiet, w.lately = quiet, map[string]int{}
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// between draws a duration in units of the detection time.
func (w *world) between(a, b float64) time.Duration {
	return time.Duration((a + (b-a)*w.rng.Float64()) * float64(w.detection))
}

func (w *world) pick() *host { return w.hosts[w.rng.IntN(len(w.hosts))] }

func (w *world) pair() (a, b *host) {
	i := w.rng.IntN(len(w.hosts))
	j := (i + 1 + w.rng.IntN(len(w.hosts)-1)) % len(w.hosts)
	return w.hosts[i], w.hosts[j]
}

// sever cuts or mends both directions between two hosts.
func (w *world) sever(a, b *host, cut bool) {
	w.net.set(a.name, b.name, -1, cut)
	w.net.set(b.name, a.name, -1, cut)
	w.touch()
}

// trouble is one schedule of faults.
func (w *world) trouble() {
	end := time.Now().Add(w.between(2, 6))
	for range 1 + w.rng.IntN(4) {
		w.fault()
		time.Sleep(w.between(0, 1.5))
	}
	for time.Now().Before(end) {
		h, limit := w.pick(), w.between(0.5, 3)
		w.wg.Go(func() { w.mark(h, limit) })
		time.Sleep(w.between(0.1, 1))
	}
}

func TestSchedules(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if *oneSeed != 0 {
		p := draw(*oneSeed)
		p.log = slog.LevelDebug
		w := live(t, p, *schedules)
		t.Logf("%s\n%strace %016x", w.tail(1<<30), &w.stats, w.trace())
		for _, v := range w.violations {
			t.Error(v)
		}
		return
	}
	var total stats
	began := time.Now()
	for seed := *firstSeed; seed < *firstSeed+uint64(*worlds) && !t.Failed(); seed++ {
		before := processor()
		w := live(t, draw(seed), *schedules)
		w.stats.Clusters, w.stats.Processor = 1, processor()-before
		if *traces {
			fmt.Printf("seed %d trace %016x repeated %d\n", seed, w.trace(), w.stats.Repeated)
		}
		if len(w.violations) > 0 {
			w.stats.Bad = 1
			t.Errorf("seed %d: %v\n%s\nreplay: go run ./cluster/simtest/replay -seed %d -schedules %d", seed, w.violations, w.tail(1500), seed, *schedules)
		}
		total.add(w.stats)
	}
	// Not before: what is in memory is to be as if the world were run alone.
	if err := total.accumulate(*totalFile); err != nil {
		t.Error(err)
	}
	t.Logf("%d clusters in %v, %.1f ms of processor for a schedule\n%s", total.Clusters, time.Since(began).Round(time.Millisecond),
		total.Processor.Seconds()*1000/float64(total.Schedules), &total)
}
