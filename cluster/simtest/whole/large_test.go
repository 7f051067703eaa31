package whole

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var large = flag.Int("large", 0, "nodes of TestLargeCluster; 9 if 0")

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

// figures measures what stages of a world's life cost.
type figures struct {
	w                        *world
	began                    time.Time
	used                     time.Duration
	datagrams, writes, bytes uint64
	table                    strings.Builder
}

func (w *world) measure() *figures {
	f := &figures{w: w}
	fmt.Fprintf(&f.table, "%-50s %9s | per node: %11s %8s %8s %9s %9s\n", "stage", "took", "datagrams/s", "writes/s", "kB/s", "processor", "live heap")
	f.again()
	return f
}

// again begins a stage.
func (f *figures) again() {
	f.w.net.mu.Lock()
	f.datagrams, f.writes, f.bytes = f.w.net.datagrams, f.w.net.writes, f.w.net.bytes
	f.w.net.mu.Unlock()
	f.began, f.used = time.Now(), processor()
}

// stage ends one, and begins the next.
func (f *figures) stage(name string) {
	span, used := time.Since(f.began), processor()-f.used
	f.w.net.mu.Lock()
	datagrams, writes, bytes := f.w.net.datagrams-f.datagrams, f.w.net.writes-f.writes, f.w.net.bytes-f.bytes
	f.w.net.mu.Unlock()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	n := float64(len(f.w.hosts))
	span = max(span, time.Millisecond) // what had happened before
	each := func(v uint64) float64 { return float64(v) / n / span.Seconds() }
	fmt.Fprintf(&f.table, "%-50s %9v | %21.1f %8.1f %8.1f %8.2f%% %6.1f MB\n", name, span.Round(10*time.Millisecond),
		each(datagrams), each(writes), each(bytes)/1000, 100*used.Seconds()/n/span.Seconds(), float64(m.HeapAlloc)/n/1e6)
	f.again()
}

// TestLargeCluster has many nodes come up, lose a third of them at once, the
// leader among them, and recover with all of them back; it prints what that
// costs. The processor's time has that of the simulated network in it.
func TestLargeCluster(t *testing.T) {
	size := *large
	if size == 0 {
		size = 9
	}
	var w *world
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, plan{seed: 64, nodes: size, resources: 20, detection: 2 * time.Second, log: silent})
		f := w.measure()
		if w.begin() {
			f.stage("all joined, configured, 20 resources run")
			time.Sleep(20 * time.Second)
			f.stage("quiet")
			lost := w.third()
			for _, h := range lost {
				h.powerOff()
			}
			w.until(time.Minute, "another one leads", func() bool { l := w.leader(); return l != nil && !slices.Contains(lost, l) })
			f.stage("a third is lost with the leader; another one leads")
			w.until(5*time.Minute, "all that were lost are fenced", func() bool {
				return !slices.ContainsFunc(lost, func(h *host) bool { return w.timesFenced(h) == 0 })
			})
			f.stage("all that were lost are fenced, and boot")
			w.until(5*time.Minute, "everything runs", func() bool {
				for i := range w.plan.resources {
					if w.owner(resourceName(i)) == nil {
						return false
					}
				}
				return true
			})
			f.stage("everything that they ran runs again")
			w.rest(10 * time.Minute)
			f.stage("all are back as voters, everything at rest")
			for _, h := range lost {
				if k := w.timesFenced(h); k != 1 {
					w.violated("%s was fenced %d times", h.name, k)
				}
			}
			time.Sleep(20 * time.Second)
			f.stage("quiet")
		}
		t.Logf("%d nodes, detection %v\n%s", size, w.detection, &f.table)
		w.close()
	})
	for _, v := range w.violations {
		t.Error(v)
	}
	if t.Failed() {
		t.Log(w.tail(100))
	}
}
