package lab

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Successes are the times at which a client of a service was served.
type Successes struct {
	mu   sync.Mutex
	all  []time.Time
	said []string
}

// read takes what the client prints (see the command service), until it ends.
func (s *Successes) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		at, said, _ := strings.Cut(lines.Text(), " ")
		nanos, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.all, s.said = append(s.all, time.Unix(0, nanos)), append(s.said, said)
		s.mu.Unlock()
	}
}

// ParseSuccesses reads what a client printed.
func ParseSuccesses(text string) *Successes {
	s := &Successes{}
	s.read(strings.NewReader(text))
	return s
}

// Count is how many there are, and what the client printed with the last one.
func (s *Successes) Count() (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return 0, ""
	}
	return len(s.all), s.said[len(s.said)-1]
}

// Since counts those after a moment.
func (s *Successes) Since(t time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) - s.after(t)
}

func (s *Successes) after(t time.Time) int {
	i, _ := slices.BinarySearchFunc(s.all, t, time.Time.Compare)
	return i
}

// Gap is the longest time without one since a moment: the last one before it counts.
func (s *Successes) Gap(since time.Time) (longest time.Duration, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := max(1, s.after(since)); i < len(s.all); i++ {
		if d := s.all[i].Sub(s.all[i-1]); d > longest {
			longest, from = d, s.all[i-1]
		}
	}
	return longest, from
}

// Ask starts a client of an address with a port on the host, in the laboratory's network,
// where no machine's failure touches it. It ends with the test.
func (m *Machines) Ask(program, address string) *Successes {
	m.t.Helper()
	s := &Successes{}
	c := m.Command("net", "--", program, "ask", address)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the laboratory's program waits for its child
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); s.read(out) }()
	m.t.Cleanup(func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL); <-read; _ = c.Wait() })
	return s
}

// Gaps are the times without service of several rounds, by kind of failure and stack.
type Gaps struct {
	kinds, stacks []string
	of            map[[2]string][]time.Duration
}

// Note adds one.
func (g *Gaps) Note(kind, stack string, d time.Duration) {
	if g.of == nil {
		g.of = map[[2]string][]time.Duration{}
	}
	if !slices.Contains(g.kinds, kind) {
		g.kinds = append(g.kinds, kind)
	}
	if !slices.Contains(g.stacks, stack) {
		g.stacks = append(g.stacks, stack)
	}
	key := [2]string{kind, stack}
	g.of[key] = append(g.of[key], d)
}

// Median is that of a kind and stack, 0 if there is none.
func (g *Gaps) Median(kind, stack string) time.Duration {
	all := slices.Sorted(slices.Values(g.of[[2]string{kind, stack}]))
	if len(all) == 0 {
		return 0
	}
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// String is the table of all, with medians and what share the first stack's is of the
// others'.
func (g *Gaps) String() string {
	var b strings.Builder
	for _, kind := range g.kinds {
		for i, stack := range g.stacks {
			fmt.Fprintf(&b, "%-10s %-10s median %6.2fs of", kind, stack, g.Median(kind, stack).Seconds())
			for _, d := range g.of[[2]string{kind, stack}] {
				fmt.Fprintf(&b, " %.2f", d.Seconds())
			}
			if m := g.Median(kind, stack); i > 0 && m > 0 {
				fmt.Fprintf(&b, "; %s has %.2f of it", g.stacks[0], g.Median(kind, g.stacks[0]).Seconds()/m.Seconds())
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Check fails the test if the first stack's medians are more than one in so many of the
// second's, where both were measured.
func (g *Gaps) Check(t *testing.T, first, second string, parts int) {
	t.Helper()
	for _, kind := range g.kinds {
		if a, b := g.Median(kind, first), g.Median(kind, second); a > 0 && b > 0 && a*time.Duration(parts) > b {
			t.Errorf("%s: %s takes %.2f s, more than 1/%d of the %.2f s of %s", kind, first, a.Seconds(), parts, b.Seconds(), second)
		}
	}
}
