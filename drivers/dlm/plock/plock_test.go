package plock

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var (
	runs      = flag.Int("plock.runs", 1500, "number of random runs")
	firstSeed = flag.Uint64("plock.seed", 1, "seed of the first run")
)

// TestRecord holds the encoding against the layout of the kernel's structure.
func TestRecord(t *testing.T) {
	r := Record{Op: Lock, Exclusive: true, Wait: true, PID: 0x11223344, Node: 2, Result: -11, Space: 0x4104eefa,
		Number: 0x1234, Start: 5, End: math.MaxInt64, Owner: 0xffff888012345678}
	const little = "010000000200000000000000" + "01010100" + "44332211" + "02000000" + "f5ffffff" + "faee0441" +
		"3412000000000000" + "0500000000000000" + "ffffffffffffff7f" + "785634128088ffff"
	b := r.Append(nil)
	if got := hex.EncodeToString(b); got != little && b[0] == 1 {
		t.Errorf("%s\n%s", got, little)
	}
	if back, err := Parse(b); err != nil || back != r {
		t.Errorf("%+v %v", back, err)
	}
	for name, bad := range map[string][]byte{"short": b[:63], "version": append([]byte{9}, b[1:]...), "operation": edit(b, 12, 9), "range": edit(b, 47, 0xff)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func edit(b []byte, at int, to byte) []byte {
	c := slices.Clone(b)
	c[at] = to
	return c
}

func FuzzParse(f *testing.F) {
	f.Add(Record{Op: Get, Number: 3, End: 9}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Parse(b); err == nil {
			if again, err := Parse(r.Append(nil)); err != nil || again != r {
				t.Errorf("%+v %+v %v", r, again, err)
			}
		}
	})
}

// bytewise is a file with a lock on every byte, for comparison.
type bytewise struct {
	holders [16]map[string]bool // owner to exclusive
	waiting []Record
}

func owner(r Record) string { return fmt.Sprint(r.Node, " ", r.Owner) }

func (m *bytewise) free(r Record) bool {
	for i := r.Start; i <= r.End; i++ {
		for o, exclusive := range m.holders[i] {
			if o != owner(r) && (exclusive || r.Exclusive) {
				return false
			}
		}
	}
	return true
}

func (m *bytewise) set(r Record) {
	for i := r.Start; i <= r.End; i++ {
		if m.holders[i] == nil {
			m.holders[i] = map[string]bool{}
		}
		m.holders[i][owner(r)] = r.Exclusive
	}
}

func (m *bytewise) apply(r Record) (out []string) {
	say := func(r Record, result int32) {
		if !r.Close {
			out = append(out, fmt.Sprint(owner(r), " ", r.Op, " ", r.PID, " ", result))
		}
	}
	switch r.Op {
	case Lock:
		switch {
		case m.free(r):
			m.set(r)
			say(r, 0)
		case r.Wait:
			m.waiting = append(m.waiting, r)
		default:
			say(r, again)
		}
	case Unlock:
		for i := r.Start; i <= r.End; i++ {
			delete(m.holders[i], owner(r))
		}
		if r.Close {
			m.waiting = slices.DeleteFunc(m.waiting, func(w Record) bool { return owner(w) == owner(r) })
		}
		say(r, 0)
	}
	for granted := true; granted; {
		granted = false
		for i, w := range m.waiting {
			if m.free(w) {
				m.set(w)
				m.waiting = slices.Delete(m.waiting, i, i+1)
				say(w, 0)
				granted = true
				break
			}
		}
	}
	return out
}

func randomRecord(rng *rand.Rand, pid uint32) Record {
	r := Record{Op: Lock, PID: pid, Node: 1 + rng.Int32N(3), Owner: rng.Uint64N(2), Number: 7, Start: rng.Uint64N(16)}
	r.End = r.Start + rng.Uint64N(16-r.Start)
	switch rng.IntN(8) {
	case 0, 1, 2:
		r.Op = Unlock
	case 3:
		r.Op, r.Close, r.Start, r.End = Unlock, true, 0, 15
	default:
		r.Exclusive, r.Wait = rng.IntN(2) == 0, rng.IntN(2) == 0
	}
	return r
}

func TestTableAgainstBytes(t *testing.T) {
	for i := range *runs {
		seed := *firstSeed + uint64(i)
		rng := rand.New(rand.NewPCG(seed, 1))
		table, model := NewTable(), &bytewise{}
		for n := range uint32(60) {
			r := randomRecord(rng, n)
			var got []string
			for _, a := range table.Apply(r) {
				if a.Op == Unlock && a.Result == noEntry {
					a.Result = 0
				}
				got = append(got, fmt.Sprint(owner(a), " ", a.Op, " ", a.PID, " ", a.Result))
			}
			if want := model.apply(r); !slices.Equal(got, want) {
				t.Fatalf("seed %d, record %d %+v: %q, want %q", seed, n, r, got, want)
			}
			held, waiting := table.Locks(7)
			if waiting != len(model.waiting) {
				t.Fatalf("seed %d, record %d: %d wait, want %d", seed, n, waiting, len(model.waiting))
			}
			for i := range uint64(16) {
				now := map[string]bool{}
				for _, h := range held {
					if h.Start <= i && i <= h.End {
						now[fmt.Sprint(h.Node, " ", h.Owner)] = h.Exclusive
					}
				}
				if len(now)+len(model.holders[i]) > 0 && !reflect.DeepEqual(now, model.holders[i]) {
					t.Fatalf("seed %d, record %d, byte %d: %v, want %v", seed, n, i, now, model.holders[i])
				}
			}
		}
	}
}

func TestGet(t *testing.T) {
	table := NewTable()
	ask := Record{Op: Get, Node: 2, Owner: 5, Number: 3, Start: 4, End: 8, Exclusive: true}
	if a := table.Apply(ask); len(a) != 1 || a[0].Result != noEntry {
		t.Errorf("%+v", a)
	}
	table.Apply(Record{Op: Lock, Node: 1, Owner: 9, PID: 77, Number: 3, Start: 0, End: 5})
	want := Record{Op: Get, Node: 1, Owner: 5, PID: 77, Number: 3, Start: 0, End: 5, Result: conflicts}
	if a := table.Apply(ask); len(a) != 1 || a[0] != want {
		t.Errorf("%+v", a)
	}
	ask.Exclusive = false
	if a := table.Apply(ask); len(a) != 1 || a[0].Result != 0 {
		t.Errorf("%+v", a)
	}
}

// TestWholeRange: to the end of the file, which is the largest number.
func TestWholeRange(t *testing.T) {
	table := NewTable()
	all := Record{Op: Lock, Node: 1, Owner: 1, Number: 1, End: math.MaxUint64, Exclusive: true}
	table.Apply(all)
	table.Apply(Record{Op: Unlock, Node: 1, Owner: 1, Number: 1, Start: 10, End: 19})
	table.Apply(Record{Op: Lock, Node: 1, Owner: 1, Number: 1, Start: 10, End: 19, Exclusive: true})
	if held, _ := table.Locks(1); len(held) != 1 || held[0].Start != 0 || held[0].End != math.MaxUint64 {
		t.Errorf("%+v", held)
	}
}

// peer is a member in the simulation of channels.
type peer struct {
	id      int32
	channel *Channel
	in      bool // in the lockspace
	asked   []Record
	answers map[uint32]Record
	order   []uint32 // answers to requests that do not wait, as they came
	behind  bool     // has not yet begun the generation
}

// mesh is several of them with the connections between them.
type mesh struct {
	rng   *rand.Rand
	peers []*peer
	wires map[[2]int32][]Message
	gen   uint64
	who   []int32
	pid   uint32
	steps map[uint64]Step // what is at each place of the order
	wrong string
}

func (m *mesh) take(p *peer, out []Output) {
	for _, o := range out {
		if o.Message != nil {
			k := [2]int32{o.Message.From, o.Message.To}
			m.wires[k] = append(m.wires[k], *o.Message)
			continue
		}
		a := *o.Answer
		if _, twice := p.answers[a.PID]; twice && a.Op != Get {
			m.wrong = fmt.Sprintf("node %d: request %d is answered twice", p.id, a.PID)
		}
		p.answers[a.PID] = a
		if !a.Wait {
			p.order = append(p.order, a.PID)
		}
	}
	for _, s := range p.channel.log {
		if old, ok := m.steps[s.Position]; ok && !reflect.DeepEqual(old, s) && p.in {
			// A place may be given again if nobody alive knows of the first.
			for _, q := range m.peers {
				if q.in && q != p && q.channel.position >= s.Position && slices.ContainsFunc(q.channel.log, func(x Step) bool { return x.Position == s.Position && !reflect.DeepEqual(x, s) }) {
					m.wrong = fmt.Sprintf("nodes %d and %d differ at %d: %+v", p.id, q.id, s.Position, s)
				}
			}
		}
		m.steps[s.Position] = s
	}
}

func (m *mesh) step() {
	p := m.peers[m.rng.IntN(len(m.peers))]
	switch n := m.rng.IntN(100); {
	case n < 25 && p.in:
		m.pid++
		r := randomRecord(m.rng, m.pid)
		r.Node = 0
		p.asked = append(p.asked, r)
		m.take(p, p.channel.Request(r))
	case n < 90:
		m.deliver(p)
	case n < 94 && p.behind:
		p.behind = false
		m.take(p, p.channel.Begin(m.gen, m.who))
	case n < 96:
		m.change(p)
	}
}

func (m *mesh) deliver(p *peer) {
	from := m.peers[m.rng.IntN(len(m.peers))]
	k := [2]int32{from.id, p.id}
	if len(m.wires[k]) == 0 || !p.in {
		return
	}
	msg := m.wires[k][0]
	m.wires[k] = m.wires[k][1:]
	m.take(p, p.channel.Receive(msg))
}

// change lets a node in or takes it out, at once and without a word.
func (m *mesh) change(p *peer) {
	if p.in && len(m.who) == 1 {
		return
	}
	p.in = !p.in
	if p.in {
		*p = peer{id: p.id, in: true, channel: NewChannel(p.id), answers: map[uint32]Record{}}
	}
	m.gen++
	m.who = nil
	for _, q := range m.peers {
		if q.in {
			m.who = append(m.who, q.id)
			q.behind = true
		}
	}
	// What is on the way from or to a node that is gone is lost; the rest may
	// still arrive.
	for k := range m.wires {
		if k[0] == p.id || k[1] == p.id {
			delete(m.wires, k)
		}
	}
}

func (m *mesh) settle() {
	for _, p := range m.peers {
		if p.in && p.behind {
			p.behind = false
			m.take(p, p.channel.Begin(m.gen, m.who))
		}
	}
	for busy := true; busy; {
		busy = false
		for k, list := range m.wires {
			if len(list) > 0 {
				busy = true
				m.wires[k] = list[1:]
				if p := m.peers[k[1]-1]; p.in {
					m.take(p, p.channel.Receive(list[0]))
				}
			}
		}
	}
}

// verify compares all members with each other and with what was asked.
func (m *mesh) verify() {
	var first *peer
	for _, p := range m.peers {
		if !p.in {
			continue
		}
		if first == nil {
			first = p
		}
		if !p.channel.synced || p.channel.position != first.channel.position || !reflect.DeepEqual(p.channel.table, first.channel.table) {
			m.wrong = fmt.Sprintf("nodes %d and %d end with different tables (at %d and %d)", first.id, p.id, first.channel.position, p.channel.position)
			return
		}
		var inOrder []uint32
		dropped := map[uint64]bool{}
		for _, r := range slices.Backward(p.asked) {
			_, answered := p.answers[r.PID]
			_, waits := p.channel.table.files[r.Number]
			if waits {
				waits = slices.ContainsFunc(p.channel.table.files[r.Number].waiting, func(w Record) bool { return w.PID == r.PID && w.Node == p.id })
			}
			if r.Close {
				dropped[r.Owner] = true // what waited for this owner gets no answer
			}
			if !answered && !waits && !r.Close && !(r.Wait && dropped[r.Owner]) {
				m.wrong = fmt.Sprintf("node %d: request %d got no answer: %+v", p.id, r.PID, r)
			}
			if !r.Wait && !r.Close {
				inOrder = append(inOrder, r.PID)
			}
		}
		slices.Reverse(inOrder)
		if !slices.Equal(inOrder, p.order) {
			m.wrong = fmt.Sprintf("node %d: answers in another order than the requests: %v, %v", p.id, p.order, inOrder)
		}
	}
}

func TestChannelsUnderChange(t *testing.T) {
	for i := range *runs {
		seed := *firstSeed + uint64(i)
		m := &mesh{rng: rand.New(rand.NewPCG(seed, 2)), wires: map[[2]int32][]Message{}, steps: map[uint64]Step{}}
		for id := range int32(4) {
			m.peers = append(m.peers, &peer{id: id + 1})
		}
		m.change(m.peers[m.rng.IntN(4)])
		for range 100 + m.rng.IntN(500) {
			if m.step(); m.wrong != "" {
				break
			}
		}
		if m.wrong == "" {
			m.settle()
		}
		if m.wrong == "" {
			m.verify()
		}
		if m.wrong != "" {
			t.Fatalf("seed %d (again with -plock.seed %d -plock.runs 1): %s", seed, seed, strings.TrimSpace(m.wrong))
		}
	}
}
