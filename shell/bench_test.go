package shell

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// manyPrimitives is a script that defines n primitives and commits them.
func manyPrimitives(n int) string {
	var b strings.Builder
	b.WriteString("configure\nproperty stonith-enabled=false\n")
	for i := range n {
		fmt.Fprintf(&b, "primitive p%d ocf:heartbeat:Dummy params ip=%d state=/run/p%d op monitor interval=10s timeout=21s\n", i, i, i)
	}
	b.WriteString("commit\n")
	return b.String()
}

// BenchmarkScript loads, verifies and commits; the time must grow linearly.
func BenchmarkScript(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		text := manyPrimitives(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				c, err := OpenFile(filepath.Join(dir, fmt.Sprint(i)), fakeAgents{})
				if err != nil {
					b.Fatal(err)
				}
				s := NewSession(Config{Cluster: c, Offline: true, Source: "x", Err: io.Discard})
				if !s.RunScript(b.Context(), "bench", text) {
					b.Fatal("the script fails")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/primitive")
		})
	}
}

// BenchmarkShow prints a configuration.
func BenchmarkShow(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newSession(b, manyPrimitives(n))
			s.msg.out = io.Discard
			src := &sourceLine{line: readTestLine("configure show")}
			for b.Loop() {
				if !s.run(b.Context(), src) {
					b.Fatal("show fails")
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/primitive")
		})
	}
}

// BenchmarkComplete completes the parameters of an agent in a large
// configuration: what a person waits for after TAB.
func BenchmarkComplete(b *testing.B) {
	s := newSession(b, manyPrimitives(1000))
	line := "configure colocation c inf: p1 p"
	for b.Loop() {
		if len(s.Complete(b.Context(), line, len(line))) == 0 {
			b.Fatal("nothing is offered")
		}
	}
}
