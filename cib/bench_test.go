package cib

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// All of this is linear in the size of the document: bytes and allocations per
// primitive stay the same from 100 to 10,000 primitives, and processor time but
// for what caches do, which at 10,000 doubles it where two documents are walked
// at once. Measured on an EPYC, in µs per primitive: parse 1.4, encode 2, verify
// 7, diff 1 to 2.5, patch 1 to 2.7, merge 8 to 16, commit 2 to 2.5, delete 3.

// benchmarkSizes runs a benchmark for clusters of three sizes. It reports the
// processor time for each primitive, which other load changes less than it
// changes the time that passes.
func benchmarkSizes(b *testing.B, f func(b *testing.B, c *CIB, text string)) {
	for _, n := range []int{100, 1000, 10000} {
		c := randomCIB(rand.New(rand.NewPCG(uint64(n), 3)), n)
		text := c.String()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime()
			f(b, c, text)
			b.ReportMetric(float64((processorTime()-before).Nanoseconds())/1000/float64(b.N)/float64(n), "cpu-µs/primitive")
		})
	}
}

// processorTime is what this process has used, user and system, with the
// collection of garbage.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkParse(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := Parse(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			_ = c.String()
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		for b.Loop() {
			Verify(c, someAgents, VerifyOptions{})
		}
	})
}

func BenchmarkDiff(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		next := c.Clone()
		scramble(rand.New(rand.NewPCG(1, 1)), next, 10)
		for b.Loop() {
			Diff(c, next)
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		next := c.Clone()
		scramble(rand.New(rand.NewPCG(1, 1)), next, 10)
		for b.Loop() {
			MakePatch(c, next)
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		mine, theirs := c.Clone(), c.Clone()
		mine.Section("resources").Children[3].Set("description", "x")
		theirs.Section("resources").Children[4].Set("description", "x")
		for b.Loop() {
			if _, conflicts := Merge(c, mine, theirs); len(conflicts) > 0 {
				b.Fatal(conflicts)
			}
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		change := Change{Configuration: &ConfigurationChange{Base: c.Version(), XML: c.Configuration().String()}}
		for b.Loop() {
			if _, err := c.Apply(change); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDelete(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		var ids []string
		for e := range c.Section("resources").Elements() {
			ids = append(ids, e.ID())
		}
		for b.Loop() {
			b.StopTimer()
			work := c.Clone()
			b.StartTimer()
			if _, err := Delete(work, ids[:len(ids)/2]...); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkResult applies one result of an operation on one of three nodes, the
// most frequent change of all. It takes 7 µs for every 1,000 resources, since
// the list of a node's resources is copied.
func BenchmarkResult(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, c *CIB, text string) {
		result := func(i int) Change {
			return Change{Status: &StatusChange{Edits: []StatusEdit{{Operation: &OperationEdit{
				Node: fmt.Sprint(1 + i%3), Resource: fmt.Sprintf("p%d", i), Class: "ocf", Provider: "pacemaker", Type: "Dummy",
				Attributes: []Attr{{"id", fmt.Sprintf("p%d_last_0", i)}, {"operation", "start"}, {"call-id", "1"}, {"rc-code", "0"}, {"op-status", "0"}}}}}}}
		}
		n := len(c.Section("resources").Children)
		for i := range n {
			var err error
			if c, err = c.Apply(result(i)); err != nil {
				b.Fatal(err)
			}
		}
		i := 0
		for b.Loop() {
			next, err := c.Apply(result(i % n))
			if err != nil {
				b.Fatal(err)
			}
			c, i = next, i+7
		}
	})
}
