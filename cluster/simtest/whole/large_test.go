package whole

import (
	"flag"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var large = flag.Int("large", 0, "run TestLargeCluster with that many nodes")

// processor is the time that this process has used so far.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// third picks a third of the hosts, the one that leads among them.
func (w *world) third() []*host {
	var out []*host
	if l := w.leader(); l != nil {
		out = append(out, l)
	}
	for _, h := range slices.Backward(w.hosts) {
		if len(out) < len(w.hosts)/3 && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// TestLargeCluster has many nodes come up, lose a third of them at once, and
// recover; it reports what that costs.
func TestLargeCluster(t *testing.T) {
	if *large == 0 {
		t.Skip("SKIPPED: takes minutes; run with -large 64")
	}
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, plan{seed: 64, nodes: *large, resources: 20, detection: 2 * time.Second, log: 4})
		stage, used, datagrams, bytes := time.Now(), processor(), uint64(0), uint64(0)
		report := func(what string) {
			w.net.mu.Lock()
			d, b := w.net.datagrams-datagrams, w.net.bytes-bytes
			datagrams, bytes = w.net.datagrams, w.net.bytes
			w.net.mu.Unlock()
			span, cpu := time.Since(stage), processor()-used
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			n := float64(*large)
			t.Logf("%s: %v; per node: %.1f datagrams/s, %.0f bytes/s, %v of processor (%.1f%%), %d KiB of heap", what, span,
				float64(d)/n/span.Seconds(), float64(b)/n/span.Seconds(), time.Duration(float64(cpu)/n).Round(time.Microsecond),
				100*cpu.Seconds()/n/span.Seconds(), m.HeapAlloc>>10/uint64(*large))
			stage, used = time.Now(), processor()
		}
		if w.begin() {
			report("all joined, configured, at rest")
			time.Sleep(20 * time.Second)
			report("quiet")
			lost := w.third()
			for _, h := range lost {
				h.powerOff()
			}
			w.until(time.Minute, "another one leads", func() bool { l := w.leader(); return l != nil && !slices.Contains(lost, l) })
			report("a third was lost, the leader among them, and another one leads")
			w.until(5*time.Minute, "all that were lost are fenced", func() bool {
				for _, h := range lost {
					if w.timesFenced(h) == 0 {
						return false
					}
				}
				return true
			})
			report("all that were lost are fenced")
			w.rest(10 * time.Minute)
			report("all are back, everything at rest")
		}
		w.close()
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	if t.Failed() {
		t.Log(w.tail(100))
	}
}
