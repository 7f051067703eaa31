package grammar

import (
	"fmt"
	"strings"
	"testing"

	"gcrm/cib"
)

// benchmarkText is a configuration of n primitives in groups of five, with
// constraints between the groups.
func benchmarkText(n int) string {
	var b strings.Builder
	b.WriteString("node n1\nnode n2\n")
	for i := range n {
		fmt.Fprintf(&b, "primitive p%d ocf:heartbeat:Dummy params state=\"/run/p %d\" fake=x%d meta priority=%d op monitor interval=10s timeout=20s op start timeout=60s interval=0s\n", i, i, i, i%10)
	}
	for i := 0; i+5 <= n; i += 5 {
		fmt.Fprintf(&b, "group g%d p%d p%d p%d p%d p%d meta target-role=Started\n", i/5, i, i+1, i+2, i+3, i+4)
		fmt.Fprintf(&b, "location l%d g%d rule 100: #uname eq n1 or defined pingd\n", i/5, i/5)
		if i > 0 {
			fmt.Fprintf(&b, "order o%d Mandatory: g%d g%d\n", i/5, i/5-1, i/5)
		}
	}
	b.WriteString("property stonith-enabled=false\n")
	return b.String()
}

var benchmarkSizes = []int{100, 1000, 10000}

func BenchmarkParse(b *testing.B) {
	for _, n := range benchmarkSizes {
		text := benchmarkText(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, errs := ParseAll(ReadText("bench", text), Text); errs != nil {
					b.Fatal(errs)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range benchmarkSizes {
		text := benchmarkText(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Load(NewEdit(cib.New(), nil), Update, "bench", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScript(b *testing.B) {
	for _, n := range benchmarkSizes {
		text := benchmarkText(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				e := NewEdit(cib.New(), nil)
				for _, l := range ReadScript("bench", text) {
					st, err := Parse(l, Command)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := e.Apply(st); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkPrint(b *testing.B) {
	for _, n := range benchmarkSizes {
		e := NewEdit(cib.New(), nil)
		if _, err := Load(e, Update, "bench", benchmarkText(n)); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				Print(e.CIB, PrintOptions{})
			}
		})
	}
}

func BenchmarkColdParser(b *testing.B) {
	for b.Loop() {
		parse := newParser[Primitive]()
		line := ReadCommand("", "primitive a Dummy")
		if _, err := parse(classify(findVerb("primitive"), line.Words[1:], line.end())); err != nil {
			b.Fatal(err)
		}
	}
}
