package shell

import (
	"fmt"
	"strings"
)

// diffOp is one line of an edit script.
type diffOp struct {
	kind byte // ' ', '-' or '+'
	text string
	a, b int // line numbers from 0 on either side
}

// diffLines returns a shortest edit script between two texts by Myers'
// algorithm: its time grows with the length of the texts times the number of
// differences.
func diffLines(a, b []string) []diffOp {
	lead := 0
	for lead < len(a) && lead < len(b) && a[lead] == b[lead] {
		lead++
	}
	trail := 0
	for trail < len(a)-lead && trail < len(b)-lead && a[len(a)-1-trail] == b[len(b)-1-trail] {
		trail++
	}
	var ops []diffOp
	for i := range lead {
		ops = append(ops, diffOp{' ', a[i], i, i})
	}
	ops = append(ops, middle(a[lead:len(a)-trail], b[lead:len(b)-trail], lead)...)
	for i := range trail {
		ops = append(ops, diffOp{' ', a[len(a)-trail+i], len(a) - trail + i, len(b) - trail + i})
	}
	return ops
}

// maxTrace bounds the memory of the exact algorithm; beyond it everything in
// between counts as replaced.
const maxTrace = 4000

func middle(a, b []string, offset int) []diffOp {
	n, m := len(a), len(b)
	limit := n + m
	v := make([]int, 2*limit+2)
	var trace [][]int
	found := -1
	for d := 0; d <= limit && d <= maxTrace; d++ {
		trace = append(trace, append([]int(nil), v[limit-d:limit+d+2]...))
		for k := -d; k <= d; k += 2 {
			var x int
			if k == -d || k != d && v[limit+k-1] < v[limit+k+1] {
				x = v[limit+k+1]
			} else {
				x = v[limit+k-1] + 1
			}
			y := x - k
			for x < n && y < m && a[x] == b[y] {
				x++
				y++
			}
			v[limit+k] = x
			if x >= n && y >= m {
				found = d
				break
			}
		}
		if found >= 0 {
			break
		}
	}
	var ops []diffOp
	if found < 0 {
		for i, t := range a {
			ops = append(ops, diffOp{'-', t, offset + i, offset})
		}
		for j, t := range b {
			ops = append(ops, diffOp{'+', t, offset + n, offset + j})
		}
		return ops
	}
	x, y := n, m
	for d := found; d >= 0; d-- {
		at := func(k int) int { return trace[d][k+d] } // v before round d
		k := x - y
		var pk int
		if k == -d || k != d && at(k-1) < at(k+1) {
			pk = k + 1
		} else {
			pk = k - 1
		}
		px := 0
		if d > 0 {
			px = at(pk)
		}
		py := px - pk
		if d == 0 {
			px, py = 0, 0
		}
		for x > px && y > py {
			x--
			y--
			ops = append(ops, diffOp{' ', a[x], offset + x, offset + y})
		}
		if d > 0 {
			if x == px {
				y--
				ops = append(ops, diffOp{'+', b[y], offset + x, offset + y})
			} else {
				x--
				ops = append(ops, diffOp{'-', a[x], offset + x, offset + y})
			}
		}
	}
	for i, j := 0, len(ops)-1; i < j; i, j = i+1, j-1 {
		ops[i], ops[j] = ops[j], ops[i]
	}
	return ops
}

// unifiedDiff writes the differences of two texts in the unified format with
// three lines of context, without file names; empty if there are none.
func unifiedDiff(before, after string, color palette) string {
	const context = 3
	split := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	}
	ops := diffLines(split(before), split(after))
	var out strings.Builder
	for i := 0; i < len(ops); {
		if ops[i].kind == ' ' {
			i++
			continue
		}
		start := max(0, i-context)
		end, quiet := i, 0
		for j := i; j < len(ops) && quiet <= 2*context; j++ {
			if ops[j].kind == ' ' {
				quiet++
			} else {
				quiet, end = 0, j
			}
		}
		stop := min(len(ops), end+1+context)
		na, nb := 0, 0
		for _, o := range ops[start:stop] {
			if o.kind != '+' {
				na++
			}
			if o.kind != '-' {
				nb++
			}
		}
		out.WriteString(color.reference(fmt.Sprintf("@@ -%s +%s @@", span(ops[start].a, na), span(ops[start].b, nb))))
		out.WriteString("\n\n")
		for _, o := range ops[start:stop] {
			line := string(o.kind) + o.text
			switch o.kind {
			case '+':
				line = color.good(line)
			case '-':
				line = color.bad(line)
			}
			out.WriteString(line + "\n")
		}
		i = stop
	}
	return out.String()
}

func span(start, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", start)
	case 1:
		return fmt.Sprint(start + 1)
	}
	return fmt.Sprintf("%d,%d", start+1, n)
}
