package dlm

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gcrm/drivers/dlm/lockspace"
)

var (
	schedules = flag.Int("dlm.schedules", 3000, "number of simulated schedules")
	firstSeed = flag.Uint64("dlm.seed", 1, "seed of the first schedule")
)

// module is what the kernel of a node does with one lockspace.
type module struct {
	there      bool // it has the lockspace or waits for its join
	joined     bool // its join was answered
	running    bool
	generation uint64
	members    []lockspace.Member
	recovering bool
}

// host is one machine.
type host struct {
	id     int
	boot   int
	power  bool
	cut    bool // off the network: neither log nor proposals pass
	missed bool // the membership lost it in this life
	engine *Engine
	seen   int // steps of the log its daemon knows
	kernel map[string]*module
	// heard holds what its engine was not yet told because it is busy.
	wanted map[string]bool // lockspaces that programs on it have in use
}

func (h *host) life() lockspace.Life {
	return lockspace.Life{Node: h.id, Boot: fmt.Sprintf("%d.%d", h.id, h.boot)}
}

// breakage names a fault that is built in on purpose.
type breakage string

const (
	sound       breakage = ""
	noStop      breakage = "members say stopped without stopping"
	noBarrier   breakage = "a generation runs when the first has stopped"
	noFencing   breakage = "a lost node counts as down at once"
	staleCounts breakage = "what was said of an earlier generation counts"
	thaw        breakage = "what stopped by itself starts by itself"
)

// world is a cluster under simulation.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	broken breakage
	hosts  []*host
	log    []lockspace.Table // the state after each step
	stand  map[int]lockspace.Standing
	mail   []lockspace.Entry // proposals on their way
	fence  map[int]bool      // fencings under way
	trace  []string
	wrong  string
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) standing(node int) lockspace.Standing {
	if s := w.stand[node]; s != lockspace.Missing || w.broken != noFencing {
		return s
	}
	return lockspace.Down
}

func (w *world) table() lockspace.Table { return w.log[len(w.log)-1] }

func (w *world) append(t lockspace.Table) { w.log = append(w.log, t) }

// apply puts an entry into the log.
func (w *world) apply(e lockspace.Entry) {
	t := w.table()
	if s, ok := t.Space(e.Space); ok && w.broken == staleCounts && e.Kind == lockspace.Stopped {
		e.Generation = s.Generation
	}
	next, err := t.Apply(e, w.standing)
	if w.broken == noBarrier && e.Kind == lockspace.Stopped && err == nil {
		for i := range next.Spaces {
			if s := &next.Spaces[i]; s.Name == e.Space && len(s.Lost) == 0 {
				s.Running = true
			}
		}
	}
	w.note("log %d: %s %s %s %d: %v", len(w.log), e.Kind, e.Boot, e.Space, e.Generation, err)
	w.append(next)
}

func (w *world) settle(node int, s lockspace.Standing) {
	w.stand[node] = s
	if s == lockspace.Missing {
		w.hosts[node-1].missed = true
	}
	w.note("log %d: node %d is %v", len(w.log), node, s)
	w.append(w.table().Settle(w.standing))
}

// do carries out what an engine wants.
func (w *world) do(h *host, actions []Action) {
	for _, a := range actions {
		k := h.kernel[a.Space]
		switch a.Verb {
		case Propose:
			if w.broken == thaw && a.Entry.Kind == lockspace.Halted {
				s, _ := w.table().Space(a.Entry.Space)
				w.do(h, []Action{{Verb: Start, Space: s.Name, Generation: a.Entry.Generation, Members: s.Members}})
				continue
			}
			w.mail = append(w.mail, a.Entry)
		case Stop:
			if w.broken != noStop {
				k.running, k.recovering = false, false
			}
			w.note("node %d stops %s", h.id, a.Space)
		case Start:
			w.note("node %d starts %s generation %d with %d members", h.id, a.Space, a.Generation, len(a.Members))
			w.check(h, a)
			k.running, k.recovering, k.generation, k.members = true, true, a.Generation, a.Members
			if a.Joining {
				k.joined = true
			}
		case Release:
			w.note("node %d releases %s", h.id, a.Space)
			delete(h.kernel, a.Space)
		case Fence:
			w.note("node %d asks to be fenced: %s", h.id, a.Why)
			if !h.missed {
				w.wrong = fmt.Sprintf("node %d asks to be fenced without need: %s", h.id, a.Why)
			}
			w.fence[h.id] = true
		}
	}
}

// check holds a start against the truth about all other machines.
func (w *world) check(h *host, a Action) {
	if k := h.kernel[a.Space]; k.running || k.generation == a.Generation {
		w.wrong = fmt.Sprintf("node %d starts generation %d of %s; its kernel ran %d already (still: %v)", h.id, a.Generation, a.Space, k.generation, k.running)
	}
	for _, o := range w.hosts {
		if k := o.kernel[a.Space]; o != h && o.power && k != nil && k.running && k.generation != a.Generation {
			w.wrong = fmt.Sprintf("node %d starts generation %d of %s while node %d runs %d", h.id, a.Generation, a.Space, o.id, k.generation)
		}
	}
}

func newWorld(t *testing.T, seed uint64, nodes int, b breakage) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), broken: b, log: []lockspace.Table{{}}, stand: map[int]lockspace.Standing{}, fence: map[int]bool{}}
	for id := range nodes {
		h := &host{id: id + 1}
		w.hosts = append(w.hosts, h)
		w.boot(h)
	}
	return w
}

// boot switches a machine on; it is a member again once the cluster says so.
func (w *world) boot(h *host) {
	h.boot++
	h.power, h.cut, h.missed, h.seen = true, false, false, 0
	h.kernel, h.wanted = map[string]*module{}, map[string]bool{}
	h.engine = New(h.life())
	w.note("node %d boots (%s)", h.id, h.life().Boot)
	w.settle(h.id, lockspace.Present)
	h.seen = len(w.log) // a daemon knows the state when it begins
	w.do(h, h.engine.Agreed(w.table()))
}

func (w *world) off(h *host) {
	h.power = false
	h.kernel = map[string]*module{}
	w.note("node %d is off", h.id)
}

var names = []string{"gfs", "lvm_vg0"}

// step does one random thing.
func (w *world) step() {
	h := w.hosts[w.rng.IntN(len(w.hosts))]
	name := names[w.rng.IntN(len(names))]
	live := h.power && !h.cut
	switch n := w.rng.IntN(100); {
	case n < 30: // the log reaches a node
		w.deliver(h)
	case n < 60: // a proposal arrives, is doubled, delayed or lost
		w.post()
	case n < 72: // a kernel ends its recovery
		w.recover(h, name)
	case n < 78 && live: // a program uses a lockspace
		if h.kernel[name] == nil {
			h.kernel[name] = &module{there: true}
			h.wanted[name] = true
			w.note("node %d: %s online", h.id, name)
			w.do(h, h.engine.Online(name))
		}
	case n < 82 && live: // or does not any more
		if k := h.kernel[name]; k != nil && k.joined && k.running && h.wanted[name] {
			h.wanted[name] = false
			w.note("node %d: %s offline", h.id, name)
			w.do(h, h.engine.Offline(name))
		}
	case n < 84 && live:
		w.note("node %d loses quorum", h.id)
		w.do(h, h.engine.Quorum(false))
	case n < 88 && live:
		w.do(h, h.engine.Quorum(true))
		w.do(h, h.engine.Retry())
	case n < 89 && h.power:
		w.off(h)
	case n < 91 && live:
		h.cut = true
		w.note("node %d is cut off", h.id)
	case n < 93: // the membership notices
		if (!h.power || h.cut) && w.stand[h.id] == lockspace.Present {
			w.settle(h.id, lockspace.Missing)
		}
	case n < 95: // a cut heals before it was noticed, or after
		if h.cut && h.power {
			h.cut = false
			w.note("node %d is back", h.id)
			if w.stand[h.id] == lockspace.Missing {
				w.settle(h.id, lockspace.Present) // in a new incarnation, the kernel as it was
			}
		}
	default: // fencing
		w.fencing()
	}
}

func (w *world) deliver(h *host) {
	if h.power && !h.cut && h.seen < len(w.log) {
		t := w.log[h.seen]
		h.seen++
		w.do(h, h.engine.Agreed(t))
	}
}

func (w *world) post() {
	if len(w.mail) == 0 {
		return
	}
	i := w.rng.IntN(len(w.mail))
	e := w.mail[i]
	switch w.rng.IntN(8) {
	case 0: // lost
		w.mail = slices.Delete(w.mail, i, i+1)
		return
	case 1: // and comes once more
	default:
		w.mail = slices.Delete(w.mail, i, i+1)
	}
	w.apply(e)
}

func (w *world) recover(h *host, name string) {
	k := h.kernel[name]
	if !h.power || k == nil || !k.running || !k.recovering {
		return
	}
	for _, m := range k.members { // it waits for all of them
		o := w.hosts[m.Node-1]
		if ok := o.kernel[name]; !o.power || o.cut != h.cut || ok == nil || !ok.running || ok.generation != k.generation {
			return
		}
	}
	k.recovering = false
	w.do(h, h.engine.Recovered(name, k.generation))
}

// fencing is decided by the cluster for missing nodes and at a node's wish;
// it takes the power first and is recorded later.
func (w *world) fencing() {
	for _, h := range w.hosts {
		if w.stand[h.id] == lockspace.Missing || slices.Contains(w.table().Condemned(), h.id) {
			w.fence[h.id] = true
		}
		if !w.fence[h.id] || w.rng.IntN(3) > 0 {
			continue
		}
		if h.power {
			w.off(h)
			return
		}
		if w.stand[h.id] == lockspace.Present {
			w.settle(h.id, lockspace.Missing)
			return
		}
		delete(w.fence, h.id)
		w.settle(h.id, lockspace.Down)
		w.boot(h)
		return
	}
}

// heal lets everything that is under way come to its end.
func (w *world) heal() {
	for _, h := range w.hosts {
		if h.power && h.cut && w.stand[h.id] == lockspace.Present {
			h.cut = false
		}
	}
	for range 400 {
		for _, h := range w.hosts {
			if !h.power || h.cut {
				if w.stand[h.id] == lockspace.Present {
					w.settle(h.id, lockspace.Missing)
				}
			}
		}
		w.fencing()
		for len(w.mail) > 0 && w.wrong == "" {
			e := w.mail[0]
			w.mail = w.mail[1:]
			w.apply(e)
		}
		for _, h := range w.hosts {
			for h.power && !h.cut && h.seen < len(w.log) && w.wrong == "" {
				w.deliver(h)
			}
			for _, n := range names {
				w.recover(h, n)
			}
			if h.power && !h.cut {
				w.do(h, h.engine.Quorum(true))
				w.do(h, h.engine.Retry())
			}
		}
	}
}

// rest checks that everybody has what he wants in the end.
func (w *world) rest() {
	for _, h := range w.hosts {
		for _, n := range names {
			k, s := h.kernel[n], lockspace.Space{}
			if found, ok := w.table().Space(n); ok {
				s = found
			}
			_, member := s.Member(h.id)
			switch want := h.wanted[n]; {
			case !h.power || h.cut:
				w.wrong = fmt.Sprintf("node %d did not come back", h.id)
			case want != member:
				w.wrong = fmt.Sprintf("node %d wants %s: %v, and is a member: %v", h.id, n, want, member)
			case want && (k == nil || !k.running || k.recovering || k.generation != s.Generation):
				w.wrong = fmt.Sprintf("node %d does not run generation %d of %s: %+v", h.id, s.Generation, n, k)
			case !want && k != nil:
				w.wrong = fmt.Sprintf("node %d still has %s", h.id, n)
			}
			if why := s.Waits(func(n int) string { return fmt.Sprint(n) }); s.Name != "" && why != "" {
				w.wrong = n + ": " + why
			}
		}
	}
}

// play runs one schedule and returns what went wrong.
func play(t *testing.T, seed uint64, b breakage) (*world, string) {
	w := newWorld(t, seed, 2+int(seed%3), b)
	for range 60 + w.rng.IntN(300) {
		if w.step(); w.wrong != "" {
			return w, w.wrong
		}
	}
	if w.heal(); w.wrong == "" {
		w.rest()
	}
	return w, w.wrong
}

func TestSchedules(t *testing.T) {
	for i := range *schedules {
		seed := *firstSeed + uint64(i)
		if w, wrong := play(t, seed, sound); wrong != "" {
			tail := w.trace[max(0, len(w.trace)-60):]
			t.Fatalf("seed %d (again with -dlm.seed %d -dlm.schedules 1): %s\n%s", seed, seed, wrong, strings.Join(tail, "\n"))
		}
	}
}

// TestBrokenBuildsAreCaught proves that the schedules can fail.
func TestBrokenBuildsAreCaught(t *testing.T) {
	for _, b := range []breakage{noStop, noBarrier, noFencing, staleCounts, thaw} {
		caught := false
		for seed := uint64(1); seed < 20000 && !caught; seed++ {
			_, wrong := play(t, seed, b)
			if caught = wrong != ""; caught {
				t.Logf("%s: seed %d: %s", b, seed, wrong)
			}
		}
		if !caught {
			t.Errorf("not caught: %s", b)
		}
	}
}
