package embedded

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// BenchmarkCommitToStarted measures the time from a commit of so many
// primitives to the moment when the last of them is started, on three real
// nodes: probes everywhere, starts, results through consensus.
func BenchmarkCommitToStarted(b *testing.B) {
	for _, n := range []int{1, 10, 50, 200, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var used time.Duration // of processors
			for b.Loop() {
				b.StopTimer()
				c, err := Start(b.Context(), Config{Nodes: 3, StateDir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				h, err := c.Client(1)
				if err != nil {
					b.Fatal(err)
				}
				change, err := primitives(b.Context(), h, n)
				if err != nil {
					b.Fatal(err)
				}
				before := processorTime()
				b.StartTimer()
				if _, err := h.Apply(b.Context(), change); err != nil {
					b.Fatal(err)
				}
				for started := 0; started < n; {
					doc, err := h.CIB(b.Context(), false)
					if err != nil {
						b.Fatal(err)
					}
					if started = running(doc); started < n {
						time.Sleep(max(time.Millisecond, time.Duration(n)*time.Millisecond/5)) // looking costs as well
					}
				}
				b.StopTimer()
				used += processorTime() - before
				h.Close()
				c.Stop(context.Background())
				b.StartTimer()
			}
			b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N)/float64(n), "cpu-ms/resource")
		})
	}
}

// processorTime is what this process has used, user and system.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// primitives is a commit of n resources on a cluster without fencing.
func primitives(ctx context.Context, h client.Cluster, n int) (cib.Change, error) {
	doc, err := h.CIB(ctx, true)
	if err != nil {
		return cib.Change{}, err
	}
	conf := doc.Configuration().Clone()
	set := conf.Child("crm_config").Child("cluster_property_set")
	if set == nil {
		set = cib.NewElement("cluster_property_set", "id", "cib-bootstrap-options")
		conf.Child("crm_config").Add(set)
	}
	set.Add(cib.NewElement("nvpair", "id", "no-fencing", "name", "stonith-enabled", "value", "false"))
	for i := range n {
		conf.Child("resources").Add(cib.NewElement("primitive", "id", fmt.Sprintf("d%d", i+1),
			"class", "ocf", "provider", "heartbeat", "type", "Dummy"))
	}
	return cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}, nil
}

// running counts the resources whose last start succeeded.
func running(doc *cib.CIB) int {
	n := 0
	doc.Status().Walk(func(e *cib.Element) bool {
		if e.Name == "lrm_rsc_op" && e.Get("operation") == "start" && e.Get("rc-code") == "0" &&
			strings.HasSuffix(e.ID(), "_last_0") {
			n++
		}
		return true
	})
	return n
}

// BenchmarkGroupMoves measures what it costs to move a group of ten from one of
// two nodes to the other, one action after the other: processors, and entries of
// the log, for each of its twenty actions (without monitors).
func BenchmarkGroupMoves(b *testing.B) {
	const size = 10
	c, err := Start(b.Context(), Config{Nodes: 2, StateDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop(context.Background())
	h, err := c.Client(1)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	change := func(f func(conf *cib.Element)) {
		doc, err := h.CIB(b.Context(), true)
		if err != nil {
			b.Fatal(err)
		}
		conf := doc.Configuration().Clone()
		f(conf)
		if _, err := h.Apply(b.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}); err != nil {
			b.Fatal(err)
		}
	}
	wait := func(node string) {
		for {
			doc, err := h.CIB(b.Context(), false)
			if err != nil {
				b.Fatal(err)
			}
			there := 0
			for i := range size {
				if where(doc, fmt.Sprintf("d%d", i+1)) == node+" " {
					there++
				}
			}
			if there == size {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	change(func(conf *cib.Element) {
		g := cib.NewElement("group", "id", "g")
		for i := range size {
			p := primitive(fmt.Sprintf("d%d", i+1), "Dummy")
			p.Remove(p.Child("operations"))
			g.Add(p)
		}
		conf.Child("resources").Add(g)
		conf.Ensure("crm_config").Ensure("cluster_property_set").Add(cib.NewElement("nvpair", "id", "no-fencing", "name", "stonith-enabled", "value", "false"))
		conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "home", "rsc", "g", "node", "node1", "score", "100"))
	})
	wait("node1")
	entries := func() uint64 {
		s, _ := c.nodes()["node1"].Consensus().State()
		return s.Index
	}
	first, before, moves := entries(), processorTime(), 0
	for b.Loop() {
		to := []string{"node2", "node1"}[moves%2]
		moves++
		change(func(conf *cib.Element) { conf.Child("constraints").ChildByID("home").Set("node", to) })
		wait(to)
	}
	actions := float64(2 * size * moves)
	b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/actions, "cpu-ms/action")
	b.ReportMetric(float64(entries()-first)/actions, "entries/action")
}
