package netns

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
)

var (
	span = flag.Duration("faults", 20*time.Second, "for how long faults come")
	seed = flag.Uint64("seed", 1, "of their order")
)

// operation is one thing that a client did with the configuration: a read, or
// a change that is made if the version is still the one that was read.
type operation struct {
	write bool
	base  int64 // version that a change is based on
	value string
}

type outcome struct {
	done, unknown bool // of a change: it was made, or nobody knows
	version       int64
	value         string
}

type register struct {
	version int64
	value   string
}

// model is what the CIB promises: a register with compare-and-set.
func model(first register) porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, in, out any) []any {
			s, i, o := state.(register), in.(operation), out.(outcome)
			switch {
			case !i.write && s == (register{o.version, o.value}):
				return []any{s}
			case !i.write:
				return nil
			case o.unknown && s.version == i.base:
				return []any{s, register{s.version + 1, i.value}}
			case o.unknown:
				return []any{s}
			case o.done && s.version == i.base:
				return []any{register{o.version, i.value}}
			case o.done:
				return nil
			case s.version != i.base: // refused, as it should be
				return []any{s}
			}
			return nil
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(in, out any) string {
			return fmt.Sprintf("%+v -> %+v", in, out)
		},
	}).ToModel()
}

const valueID = "register-value"

func readRegister(doc *cib.CIB) register {
	r := register{version: doc.Version().Epoch}
	for s := range doc.Section("crm_config").Named("cluster_property_set") {
		if v, ok := cib.PairValue(s, "register"); ok {
			r.value = v
		}
	}
	return r
}

func setRegister(doc *cib.CIB, value string) cib.Change {
	conf := doc.Configuration().Clone()
	config := conf.Ensure("crm_config")
	for s := range config.Named("cluster_property_set") {
		if s.ID() == "register" {
			config.Remove(s)
			break
		}
	}
	s := cib.NewElement("cluster_property_set", "id", "register")
	s.Add(cib.NewElement("nvpair", "id", valueID, "name", "register", "value", value))
	config.Add(s)
	return cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}
}

// history is what all clients did.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
}

func (h *history) add(id int, in operation, call, ret time.Time, out outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	end := int64(ret.Sub(h.began))
	if out.unknown {
		end = 1 << 62 // it may come true at any later time
	}
	h.ops = append(h.ops, porcupine.Operation{ClientId: id, Input: in, Call: int64(call.Sub(h.began)), Output: out, Return: end})
}

// work reads and writes through one host until ctx ends.
func (h *history) work(ctx context.Context, id int, at *host) (reads, writes, unknown int) {
	c := at.client()
	defer func() { c.Close() }()
	for n := 0; ctx.Err() == nil; n++ {
		limited, cancel := context.WithTimeout(ctx, 3*time.Second)
		call := time.Now()
		doc, err := c.CIB(limited, true)
		if err == nil {
			r := readRegister(doc)
			h.add(id, operation{}, call, time.Now(), outcome{version: r.version, value: r.value})
			reads++
			value := fmt.Sprintf("%d-%d", id, n)
			in := operation{write: true, base: r.version, value: value}
			call = time.Now()
			v, err := c.Apply(limited, setRegister(doc, value))
			var ce *client.Error
			switch {
			case err == nil:
				writes++
				h.add(id, in, call, time.Now(), outcome{done: true, version: v.Epoch})
			case errors.As(err, &ce) && ce.Code == client.CodeConflict:
				h.add(id, in, call, time.Now(), outcome{})
			case errors.As(err, &ce) && ce.Code == client.CodeNoLeader:
				// Nothing was changed, which says nothing about the version.
			default:
				unknown++
				h.add(id, in, call, time.Now(), outcome{unknown: true})
			}
		}
		cancel()
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return reads, writes, unknown
}

// TestFaults has clients at work on all hosts while things go wrong.
func TestFaults(t *testing.T) {
	for _, nodes := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			l := newLab(t, nodes, time.Second)
			l.form(l.resources(true))
			l.wait(20*time.Second, "the resources run", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
			c := l.hosts[0].client()
			doc, err := c.CIB(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			first := readRegister(doc)
			h := &history{began: time.Now()}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			var mu sync.Mutex
			var reads, writes, unknown int
			for i, at := range l.hosts {
				wg.Go(func() {
					r, w, u := h.work(ctx, i, at)
					mu.Lock()
					defer mu.Unlock()
					reads, writes, unknown = reads+r, writes+w, unknown+u
				})
			}
			count := l.trouble(rand.New(rand.NewPCG(*seed, uint64(nodes))), *span/2)
			l.calm()
			l.settle(60*time.Second, nodes)
			l.wait(60*time.Second, "the resources run again", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
			time.Sleep(time.Second) // somebody reads in peace
			cancel()
			wg.Wait()
			for _, v := range l.violations() {
				t.Error(v)
			}
			result := porcupine.CheckOperationsTimeout(model(first), h.ops, 5*time.Minute)
			t.Logf("seed %d, %v: %v; %d reads, %d writes, %d of unknown outcome: %v", *seed, *span/2, count, reads, writes, unknown, result)
			if result == porcupine.Illegal {
				t.Error("what clients saw is not linearizable")
			}
			if writes == 0 {
				t.Error("nothing could be written at all")
			}
		})
	}
}

// trouble lets faults come for a time, and counts them.
func (l *lab) trouble(r *rand.Rand, span time.Duration) map[string]int {
	count := map[string]int{}
	note := func(what string, h *host) {
		count[what]++
		file{h.task}.journal("--- %s", what)
	}
	between := func(a, b float64) time.Duration { return time.Duration((a + (b-a)*r.Float64()) * float64(time.Second)) }
	for end := time.Now().Add(span); time.Now().Before(end); {
		h := l.hosts[r.IntN(len(l.hosts))]
		o := l.hosts[(r.IntN(len(l.hosts)-1)+1+indexOf(l.hosts, h))%len(l.hosts)]
		switch r.IntN(8) {
		case 0:
			note("killed", h)
			h.signal(unix.SIGKILL)
		case 1, 2:
			if lead := l.leader(); lead != nil && r.IntN(2) == 0 {
				h = lead
			}
			note("stopped for a while", h)
			h.signal(unix.SIGSTOP)
			time.Sleep(between(0.2, 4))
			h.signal(unix.SIGCONT)
		case 3:
			note("cut off", h)
			for _, p := range l.hosts {
				if p != h {
					l.cut(h, p)
					l.cut(p, h)
				}
			}
			time.Sleep(between(0.3, 4))
		case 4:
			note("cut one way", h)
			l.cut(h, o)
			time.Sleep(between(0.3, 4))
		case 5:
			note("flapping", h)
			for range 5 {
				l.cut(h, o)
				l.cut(o, h)
				time.Sleep(between(0.05, 0.6))
				l.heal(h)
				l.heal(o)
				time.Sleep(between(0.05, 0.4))
			}
		case 6:
			note("loses packets", h)
			l.lose(h, 0.05+0.25*r.Float64())
			time.Sleep(between(0.5, 4))
		case 7:
			note("power off", h)
			if err := switchOff(h.task); err != nil {
				l.Error(err)
			}
		}
		for _, p := range l.hosts {
			l.heal(p)
		}
		time.Sleep(between(0.2, 3))
	}
	return count
}

func indexOf(list []*host, h *host) int {
	for i := range list {
		if list[i] == h {
			return i
		}
	}
	return -1
}

func (l *lab) calm() {
	for _, h := range l.hosts {
		l.heal(h)
		h.signal(unix.SIGCONT)
	}
}

// A leader that is stopped while the others go on without it, and that then
// goes on, starts nothing: it finds itself expelled, stops what it runs, and
// comes back as another incarnation.
func TestPausedLeaderDoesNotAct(t *testing.T) {
	l := newLab(t, 3, time.Second)
	l.form(l.resources(false)) // nobody fences it: it has to behave by itself
	l.wait(20*time.Second, "the resources run", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
	lead := l.leader()
	if lead == nil {
		t.Fatal("nobody leads")
	}
	lead.signal(unix.SIGSTOP)
	l.wait(30*time.Second, "another one leads", func() bool {
		for _, h := range l.hosts {
			if h == lead {
				continue
			}
			if i, err := h.info(); err == nil && i.Quorate && i.Leader != lead.name && i.Leader != "" {
				return true
			}
		}
		return false
	})
	l.wait(20*time.Second, "the others run what it ran", func() bool {
		for _, id := range []string{"p0", "p1"} {
			elsewhere := false
			for _, on := range l.active(id) {
				elsewhere = elsewhere || on != lead.name
			}
			if !elsewhere {
				return false
			}
		}
		return true
	})
	lead.signal(unix.SIGCONT)
	l.wait(30*time.Second, "it has stopped what it ran", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
	l.settle(30*time.Second, 3)
	l.wait(20*time.Second, "the resources run once", func() bool { return len(l.active("p0")) == 1 && len(l.active("p1")) == 1 })
	// It may be given something to do again as the new incarnation, but what
	// another one runs it must leave alone.
	journal, _ := os.ReadFile(filepath.Join(l.root, "journal"))
	runs := map[string]map[string]bool{}
	for line := range strings.Lines(string(journal)) {
		w := strings.Fields(line) // time, process, node, what, resource
		if len(w) != 5 || w[3] != "start" && w[3] != "stop" {
			continue
		}
		node, id := strings.TrimSuffix(w[2], ":"), w[4]
		if runs[id] == nil {
			runs[id] = map[string]bool{}
		}
		if w[3] == "stop" {
			delete(runs[id], node)
			continue
		}
		if node == lead.name && len(runs[id]) > 0 {
			t.Errorf("the woken leader started what runs elsewhere: %s", line)
		}
		runs[id][node] = true
	}
	t.Logf("journal:\n%s", journal)
}
