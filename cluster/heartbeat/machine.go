package heartbeat

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// Config is what a machine is made of.
type Config struct {
	Cluster, Node string
	// Incarnation of this node; it grows with every start.
	Incarnation uint64
	// Keys authenticate heartbeats: the first one signs, all are accepted.
	Keys   [][]byte
	Timing Timing
	// Level is the highest feature level of this build, which heartbeats carry.
	Level uint8
}

// Peer is another node and the number of links to it.
type Peer struct {
	Name  string
	Links int
}

// EventKind is what happened to a peer.
type EventKind int

const (
	// PeerUp: heartbeats go both ways. A peer that was up and comes up again
	// with a higher incarnation was restarted.
	PeerUp EventKind = iota + 1
	// PeerDown: they did not for Timing.DeadAfter, or the peer said that it
	// leaves.
	PeerDown
	// LinkUp and LinkDown concern one link only.
	LinkUp
	LinkDown
	// NewerEpoch: the peer is of a newer epoch of the electorate.
	NewerEpoch
)

func (k EventKind) String() string {
	return [...]string{"", "peer up", "peer down", "link up", "link down", "newer epoch"}[k]
}

// Event is something about a peer that others need to know.
type Event struct {
	Kind        EventKind
	Peer        string
	Incarnation uint64
	Link        int
	Epoch       uint64
	// Level is the peer's feature level, with PeerUp.
	Level uint8
	// Left is set when the peer announced that it leaves.
	Left bool
	// Reason is for people.
	Reason string
}

func (e Event) String() string {
	s := fmt.Sprintf("%v %s", e.Kind, e.Peer)
	if e.Kind == LinkUp || e.Kind == LinkDown {
		s += fmt.Sprintf(" link %d", e.Link)
	}
	if e.Incarnation != 0 {
		s += fmt.Sprintf(" incarnation %d", e.Incarnation)
	}
	if e.Kind == NewerEpoch {
		s += fmt.Sprintf(" epoch %d", e.Epoch)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Datagram is to be sent to a peer over a link.
type Datagram struct {
	Peer string
	Link int
	Data []byte
}

// LinkHealth is what is known of one link to a peer.
type LinkHealth struct {
	Peer string
	Link int
	// Hears: the peer's heartbeats arrive here. Heard: ours arrive there.
	Hears, Heard bool
	// Loss is the share of the peer's last 64 heartbeats that did not arrive.
	Loss float64
	// RoundTrip is the last measured time there and back.
	RoundTrip time.Duration
}

// Machine watches the peers of one node. See the package comment.
type Machine struct {
	cfg     Config
	tag     uint64
	start   time.Time
	now     time.Time
	ticked  time.Time
	sent    time.Time
	epoch   uint64
	leaving bool
	peers   map[string]*peer
	out     []Datagram
	events  []Event
	// refused counts datagrams that were not listened to, by reason.
	refused map[string]uint64
}

type peer struct {
	name        string
	incarnation uint64
	up          bool
	// told is the incarnation that was last told to be up. After a restart
	// the new one has until grace to come up.
	told      uint64
	level     uint8
	epoch     uint64
	grace     time.Time
	links     []*link
	toldEpoch uint64
}

type link struct {
	up bool
	// out is the number of the last heartbeat sent.
	out uint64
	// heard is when the last heartbeat came, acked when the last of ours was
	// sent that the peer is known to have.
	heard, acked time.Time
	seq          uint64
	window       uint64 // bit i: heartbeat seq-i arrived
	expected     int    // bits of window that count
	lastSent     int64  // of the peer's clock
	roundTrip    time.Duration
	replied      time.Time
}

// New returns the machine of a node that knows no peers.
func New(cfg Config, now time.Time) *Machine {
	return &Machine{cfg: cfg, tag: clusterTag(cfg.Cluster), start: now, now: now, ticked: now, peers: map[string]*peer{}, refused: map[string]uint64{}}
}

// SetPeers replaces the list of peers; those that stay keep their state.
func (m *Machine) SetPeers(list []Peer) {
	old := m.peers
	m.peers = map[string]*peer{}
	for _, p := range list {
		if p.Name == m.cfg.Node {
			continue
		}
		q := old[p.Name]
		if q == nil {
			q = &peer{name: p.Name}
		}
		for len(q.links) < p.Links {
			q.links = append(q.links, &link{})
		}
		q.links = q.links[:p.Links]
		m.peers[p.Name] = q
	}
	m.sent = time.Time{} // greet new ones at once
}

// SetEpoch sets the epoch of the electorate that heartbeats carry.
func (m *Machine) SetEpoch(epoch uint64) { m.epoch = max(m.epoch, epoch) }

// Leave makes all heartbeats from now on say that the node leaves.
func (m *Machine) Leave(now time.Time) {
	m.now, m.leaving = now, true
	m.beat()
}

// Output returns what is to be sent and told since the last call.
func (m *Machine) Output() ([]Datagram, []Event) {
	d, e := m.out, m.events
	m.out, m.events = nil, nil
	return d, e
}

// Tick lets time pass. It is to be called every Interval/2.
func (m *Machine) Tick(now time.Time) {
	if gap := now.Sub(m.ticked); gap > 2*m.cfg.Timing.Interval {
		// This process did not run; the others may have sent all the while.
		for _, p := range m.peers {
			for _, l := range p.links {
				for _, t := range []*time.Time{&l.heard, &l.acked} {
					if !t.IsZero() && t.Before(m.ticked) {
						*t = t.Add(gap)
					}
				}
			}
		}
	}
	m.now, m.ticked = now, now
	if now.Sub(m.sent) >= m.cfg.Timing.Interval-m.cfg.Timing.Interval/8 {
		m.beat()
	}
	for _, p := range m.sorted() {
		m.judge(p)
	}
}

// beat sends a heartbeat over every link.
func (m *Machine) beat() {
	m.sent = m.now
	for _, p := range m.sorted() {
		for i := range p.links {
			m.send(p, i)
		}
	}
}

func (m *Machine) sorted() []*peer {
	list := make([]*peer, 0, len(m.peers))
	for _, p := range m.peers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *peer) int { return cmp.Compare(a.name, b.name) })
	return list
}

func (m *Machine) since(t time.Time) int64 { return int64(t.Sub(m.start)) }

func (m *Machine) send(p *peer, i int) {
	l := p.links[i]
	l.out++
	k := packet{from: m.cfg.Node, to: p.name, link: uint8(i), leaving: m.leaving, level: m.cfg.Level, incarnation: m.cfg.Incarnation, epoch: m.epoch,
		seq: l.out, sent: m.since(m.now)}
	if !l.heard.IsZero() {
		k.echoIncarnation, k.echoSent, k.echoHeld = p.incarnation, l.lastSent, int64(m.now.Sub(l.heard))
	}
	m.out = append(m.out, Datagram{p.name, i, k.encode(m.tag, m.cfg.Keys[0])})
}

// SetKeys replaces the keys: the first one signs, all are accepted.
func (m *Machine) SetKeys(keys [][]byte) { m.cfg.Keys = keys }

// Receive takes in a datagram that came over a link. The error says why it was
// not listened to.
func (m *Machine) Receive(now time.Time, over int, data []byte) error {
	m.now = now
	err := m.receive(over, data)
	if err != nil {
		m.refused[err.Error()]++
	}
	return err
}

func (m *Machine) receive(over int, data []byte) error {
	k, err := decode(data, m.tag, m.cfg.Keys)
	if err != nil {
		return err
	}
	p := m.peers[k.from]
	switch {
	case k.to != m.cfg.Node:
		return fmt.Errorf("heartbeat is meant for another node")
	case p == nil:
		return fmt.Errorf("heartbeat of a node that is no member")
	case int(k.link) != over || over >= len(p.links):
		return fmt.Errorf("heartbeat came over another link than it was sent over")
	case k.incarnation < p.incarnation:
		return fmt.Errorf("heartbeat of an earlier incarnation")
	}
	if k.incarnation > p.incarnation {
		// One that was up stays so for a while: it is told to be up again, as
		// the new incarnation, once traffic goes both ways.
		p.incarnation, p.grace = k.incarnation, m.now.Add(m.cfg.Timing.DeadAfter)
		for i := range p.links {
			if p.links[i].up {
				m.linkDown(p, i, "the node was restarted")
			}
			p.links[i] = &link{out: p.links[i].out}
		}
	}
	l := p.links[over]
	if k.seq <= l.seq {
		return fmt.Errorf("heartbeat came twice or late")
	}
	l.count(k.seq)
	l.heard, l.lastSent = m.now, k.sent
	p.level, p.epoch = k.level, k.epoch
	greet := k.echoIncarnation != m.cfg.Incarnation
	if !greet {
		// The peer cannot have what was not sent yet.
		if at := m.start.Add(time.Duration(k.echoSent)); k.echoSent >= 0 && !at.After(m.now) {
			if at.After(l.acked) {
				l.acked = at
			}
			if rtt := m.now.Sub(at) - time.Duration(k.echoHeld); rtt >= 0 {
				l.roundTrip = rtt
			}
		}
	}
	if k.epoch > m.epoch && k.epoch > p.toldEpoch {
		p.toldEpoch = k.epoch
		m.event(Event{Kind: NewerEpoch, Peer: p.name, Incarnation: p.incarnation, Epoch: k.epoch})
	}
	if k.leaving {
		if p.up {
			m.down(p, "the node left", true)
		}
		// What is left of it does not bring it up again.
		for i, l := range p.links {
			if l.up {
				m.linkDown(p, i, "the node left")
			}
			l.heard, l.acked = time.Time{}, time.Time{}
		}
		return nil
	}
	// A peer that does not know this incarnation yet is answered at once, and
	// so is one that has just come, so that nobody waits for an interval.
	if (greet || !p.up) && m.now.Sub(l.replied) >= m.cfg.Timing.Interval/4 {
		l.replied = m.now
		m.send(p, over)
	}
	m.judge(p)
	return nil
}

// count enters a heartbeat into the window of the last 64.
func (l *link) count(seq uint64) {
	if l.seq == 0 {
		l.window, l.expected = 1, 1
	} else if step := seq - l.seq; step >= 64 {
		l.window, l.expected = 1, 64
	} else {
		l.window = l.window<<step | 1
		l.expected = min(64, l.expected+int(step))
	}
	l.seq = seq
}

// judge compares what is known of a peer with what was last told.
func (m *Machine) judge(p *peer) {
	alive, oneWay := false, false
	recent := 5 * m.cfg.Timing.Interval / 2
	for i, l := range p.links {
		hears, heard := m.fresh(l.heard, m.cfg.Timing.DeadAfter), m.fresh(l.acked, m.cfg.Timing.DeadAfter)
		alive = alive || hears && heard
		oneWay = oneWay || m.fresh(l.heard, recent)
		up := m.fresh(l.heard, m.cfg.Timing.LinkDeadAfter) && m.fresh(l.acked, m.cfg.Timing.LinkDeadAfter)
		switch {
		case up && !l.up:
			l.up = true
			m.event(Event{Kind: LinkUp, Peer: p.name, Link: i})
		case !up && l.up:
			why := "nothing arrives"
			if m.fresh(l.heard, recent) {
				why = "our heartbeats do not arrive there"
			}
			m.linkDown(p, i, why)
		}
	}
	// A peer of an older epoch is about to throw its log away and start again as
	// another incarnation; it does not come in before.
	current := p.epoch >= m.epoch
	switch {
	case alive && current && (!p.up || p.told != p.incarnation):
		p.up, p.told = true, p.incarnation
		m.event(Event{Kind: PeerUp, Peer: p.name, Incarnation: p.incarnation, Level: p.level})
	case p.up && (!alive || !current && p.told != p.incarnation) && !(p.told != p.incarnation && m.now.Before(p.grace)):
		why := fmt.Sprintf("silent for %v", m.cfg.Timing.DeadAfter)
		if oneWay {
			why = fmt.Sprintf("heartbeats go one way only for %v", m.cfg.Timing.DeadAfter)
		}
		if alive {
			why = "it stays in an older epoch of the electorate"
		}
		m.down(p, why, false)
	}
}

func (m *Machine) fresh(t time.Time, limit time.Duration) bool {
	return !t.IsZero() && m.now.Sub(t) < limit
}

func (m *Machine) down(p *peer, why string, left bool) {
	p.up = false
	m.event(Event{Kind: PeerDown, Peer: p.name, Incarnation: p.told, Left: left, Reason: why})
}

func (m *Machine) linkDown(p *peer, i int, why string) {
	p.links[i].up = false
	m.event(Event{Kind: LinkDown, Peer: p.name, Link: i, Reason: why})
}

func (m *Machine) event(e Event) { m.events = append(m.events, e) }

// Up reports whether a peer is up, and its last known incarnation.
func (m *Machine) Up(name string) (incarnation uint64, up bool) {
	p := m.peers[name]
	if p == nil {
		return 0, false
	}
	return p.incarnation, p.up
}

// Links returns the health of all links, in the order of peers and links.
func (m *Machine) Links() []LinkHealth {
	var out []LinkHealth
	for _, p := range m.sorted() {
		for i, l := range p.links {
			h := LinkHealth{Peer: p.name, Link: i, RoundTrip: l.roundTrip,
				Hears: m.fresh(l.heard, m.cfg.Timing.LinkDeadAfter), Heard: m.fresh(l.acked, m.cfg.Timing.LinkDeadAfter)}
			if l.expected > 0 {
				h.Loss = 1 - float64(bits.OnesCount64(l.window))/float64(l.expected)
			}
			out = append(out, h)
		}
	}
	return out
}

// Refused counts the datagrams that were not listened to, by reason.
func (m *Machine) Refused() map[string]uint64 { return m.refused }
