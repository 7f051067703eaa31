package whole

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/node"
	"gcrm/cluster/transport"
	"gcrm/drivers"
	"gcrm/fencing"
	"gcrm/scheduler"
)

// plan says what a world is like.
type plan struct {
	seed    uint64
	nodes   int
	witness bool // the last node is one
	links   int  // networks; 0 means 1
	// unfenced switches fencing off; policy is no-quorum-policy.
	unfenced   bool
	policy     string
	properties map[string]string
	// delays is pcmk_delay_base of the device, by node.
	delays    string
	resources int // primitives that may run once; 0 means 2
	detection time.Duration
	broken    breakage
	// faults, if given, are the names of the only kinds that come.
	faults []string
	// level is the feature level of all builds at first; the newest if 0.
	level int
	// olderNodes, the first ones, know one feature level less than the newest.
	olderNodes int
	log        slog.Level // of the journal
}

// world is one cluster in its bubble.
type world struct {
	*testing.T
	plan
	net   *network
	hosts []*host
	began time.Time

	mu     sync.Mutex
	rng    *rand.Rand // of the schedule: used by one goroutine only
	agents *rand.Rand
	// active tells where each resource really runs; busy which action does.
	active map[string]map[string]bool
	busy   map[string]string
	// entries is what the replicas applied, by index.
	entries map[uint64]string
	// ended is the index of the entry by which an incarnation was lost or left.
	ended map[incarnation]uint64
	// membersFrom is the first entry by which an id was a member, removedAt that
	// by which it was none any more.
	membersFrom, removedAt map[string]uint64
	// cue, if it is not nil, is closed when the switch may answer.
	cue chan struct{}
	// promised are configurations that were acknowledged, by marker.
	promised []string
	marker   int
	fenced   map[string]int // power-offs by the device, by host
	shot     map[string]int // the number of the life that the last one ended
	// switching is how the power switch fails; see switchDelay.
	switching   deviceMode
	switchDelay time.Duration
	lying       bool
	lies        int                   // how many there were
	stopFails   map[string]bool       // "resource@host"
	agentFaults map[string]agentFault // "resource action@host"
	slow        time.Duration
	changedAt   time.Time // when somebody last lost or got somebody else
	journal     []string
	violations  []string
	untidy      bool // there is or was something to be undone
	// quiet is set while nothing is made to go wrong; lately counts fencings since.
	quiet  bool
	lately map[string]int
	stats  stats
	digest digest
	wg     sync.WaitGroup
}

// host is a machine.
type host struct {
	w       *world
	name    string
	number  int
	witness bool
	disk    *disk
	skew    atomic.Int64 // of its clock, in nanoseconds
	level   atomic.Int64 // feature level of its build

	// Guarded by the network's lock.
	id    string
	on    bool
	life  *life
	lives int
	// away hosts are not started: they are being replaced.
	away bool
	// joined and epoch are what a host was told when it joined.
	joined []node.Seed
	epoch  uint64
	since  consensus.Place // of the log, when it joined
	past   uint64          // the highest incarnation then
	hangs  time.Time       // until when
}

// life is one start of a host's daemon.
type life struct {
	host    *host
	number  int
	sockets []*socket
	port    *port
	conns   map[*conn]bool
	dead    bool          // guarded by the network's lock
	over    chan struct{} // closed when it is dead
	once    sync.Once
	applied bool // of the disk's last write
	// quorate is set once this life was a member: it may fence from then on.
	quorate atomic.Bool

	mu   sync.Mutex
	node *node.Node
}

// authority signs for all worlds, which begin at the same time.
var authority = sync.OnceValue(func() *transport.Authority {
	a, err := transport.NewAuthority("whole", bubbleBegins)
	if err != nil {
		panic(err)
	}
	return a
})

var bubbleBegins = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

type issued struct {
	mu   sync.Mutex
	cred map[string]transport.Credentials
}

func (i *issued) of(name, id string) transport.Credentials {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := name + " " + id
	c, ok := i.cred[key]
	if !ok {
		var err error
		if c, err = authority().Issue(name, id, bubbleBegins); err != nil {
			panic(err)
		}
		i.cred[key] = c
	}
	return c
}

// maxID is the highest id that nodes of a random world are likely to get.
const maxID = 24

// issue makes the credentials of nodes before a world needs them, so that the
// first one does what all do.
func (i *issued) issue(nodes int) {
	for n := range nodes {
		for id := range maxID {
			i.of(nodeName(n), fmt.Sprint(id+1))
		}
	}
}

var credentials = &issued{cred: map[string]transport.Credentials{}}

func nodeName(i int) string { return fmt.Sprintf("node%d", i+1) }

// newWorld makes the hosts; none is on.
func newWorld(t *testing.T, p plan) *world {
	if p.links == 0 {
		p.links = 1
	}
	if p.resources == 0 {
		p.resources = 2
	}
	if p.detection == 0 {
		p.detection = time.Second
	}
	w := &world{T: t, plan: p, net: newNetwork(p.seed), began: time.Now(), rng: rand.New(rand.NewPCG(p.seed, 1)), agents: rand.New(rand.NewPCG(p.seed, 2)),
		ended: map[incarnation]uint64{}, membersFrom: map[string]uint64{}, removedAt: map[string]uint64{},
		active: map[string]map[string]bool{}, busy: map[string]string{}, entries: map[uint64]string{}, fenced: map[string]int{}, shot: map[string]int{},
		stopFails: map[string]bool{}, agentFaults: map[string]agentFault{}}
	for i := range p.nodes {
		h := &host{w: w, name: nodeName(i), id: fmt.Sprint(i + 1), number: i + 1,
			witness: p.witness && i == p.nodes-1, disk: newDisk(rand.New(rand.NewPCG(p.seed, uint64(100+i))))}
		h.level.Store(int64(cmp.Or(p.level, consensus.FeatureLevel)))
		if i < p.olderNodes {
			h.level.Store(consensus.FeatureLevel - 1)
		}
		w.hosts = append(w.hosts, h)
		w.net.hosts[h.name] = h
	}
	w.breakThings()
	return w
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(format, args...)
}

func (w *world) noteLocked(format string, args ...any) {
	line := w.line(fmt.Sprintf(format, args...))
	w.digest.add(line)
	w.journal = append(w.journal, line)
}

func (w *world) line(text string) string {
	return fmt.Sprintf("%9.3f %s", time.Since(w.began).Seconds(), text)
}

func (w *world) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violatedLocked(format, args...)
}

func (w *world) violatedLocked(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
	w.noteLocked("VIOLATION: "+format, args...)
}

func (w *world) bad() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

func (w *world) tail(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.journal[max(0, len(w.journal)-n):], "\n")
}

// silent is a level that no node logs at.
const silent = slog.LevelError + 4

// journaler makes the journal the log of all nodes.
type journaler struct {
	w     *world
	attrs []slog.Attr
	level slog.Level
}

func (j journaler) Enabled(_ context.Context, l slog.Level) bool { return l >= j.level }
func (j journaler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s %s", r.Level, r.Message)
	for _, a := range j.attrs {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&b, " %s=%v", a.Key, a.Value); return true })
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	j.w.journal = append(j.w.journal, j.w.line(b.String()))
	return nil
}
func (j journaler) WithAttrs(a []slog.Attr) slog.Handler {
	j.attrs = append(slices.Clone(j.attrs), a...)
	return j
}
func (j journaler) WithGroup(string) slog.Handler { return j }

// boot switches a host on, or starts its daemon again.
func (h *host) boot() {
	w := h.w
	w.net.mu.Lock()
	if h.away || h.life != nil && !h.life.dead {
		w.net.mu.Unlock()
		return
	}
	h.on = true
	h.lives++
	l := &life{host: h, number: h.lives, conns: map[*conn]bool{}, over: make(chan struct{})}
	for i := range w.links {
		l.sockets = append(l.sockets, newSocket(l, i))
	}
	l.port = newPort(l)
	h.life = l
	w.net.mu.Unlock()
	w.touch()
	w.note("%s: daemon %d starts", h.name, l.number)
	w.wg.Go(func() {
		n, err := node.Start(w.config(l))
		if err != nil {
			l.port.Close()
			select {
			case <-l.over: // power or daemon went away meanwhile
			default:
				h.disk.mu.Lock()
				full := h.disk.full
				h.disk.mu.Unlock()
				if !full && !errors.Is(err, syscall.ENOSPC) {
					w.violated("%s does not start: %v", h.name, err)
				}
				l.end(false)
				h.later(time.Second, l)
			}
			return
		}
		l.mu.Lock()
		l.node = n
		l.mu.Unlock()
		select {
		case <-l.over:
			n.Crash()
		default:
		}
	})
}

func (w *world) seeds() []node.Seed {
	var out []node.Seed
	for _, h := range w.hosts {
		s := node.Seed{Name: h.name, ID: fmt.Sprint(h.number), Witness: h.witness}
		for l := range w.links {
			s.Addresses = append(s.Addresses, address(h.number, l).String())
		}
		out = append(out, s)
	}
	return out
}

func (w *world) config(l *life) node.Config {
	h := l.host
	s := &storage{disk: h.disk, life: l}
	var links []heartbeat.PacketConn
	for _, k := range l.sockets {
		links = append(links, k)
	}
	logger := slog.New(journaler{w: w, level: w.log})
	w.net.mu.Lock()
	id, seeds, epoch, since, past := h.id, h.joined, h.epoch, h.since, h.past
	w.net.mu.Unlock()
	founds := seeds == nil
	if founds {
		seeds = w.seeds()
	}
	return node.Config{Cluster: "whole", Name: h.name, ID: id, StateDir: "/nonexistent", NoAPI: true, Storage: s, Files: s,
		Seeds: seeds, Bootstrap: founds, Epoch: epoch, Since: since, Past: past, Level: int(h.level.Load()), Clock: h.clock, Detection: w.detection, JoinPatience: 5 * w.detection,
		Credentials: credentials.of(h.name, id), HeartbeatKeys: [][]byte{[]byte("a key for simulations of clusters")},
		Listener: l.port, Links: links, Dial: l.dial,
		Locate: func(name string) []netip.AddrPort {
			for _, o := range w.hosts {
				if o.name == name {
					var out []netip.AddrPort
					for i := range w.links {
						out = append(out, address(o.number, i))
					}
					return out
				}
			}
			return nil
		},
		Agents: drivers.NewRegistry(map[drivers.Name]drivers.Agent{
			{Class: "ocf", Provider: "sim", Type: "Once"}: &once{l},
			{Class: "stonith", Type: "fence_sim"}:         idle{},
		}, nil, drivers.Preferences{Default: drivers.PreferNative}),
		Schedule: w.schedule,
		Fencing:  fencing.NewRegistry(map[string]fencing.Method{"fence_sim": &device{l}}, nil, nil),
		Observe:  func(s consensus.Step) { w.observed(l, s) },
		Expelled: func(why string) {
			w.note("%s: expelled: %s", h.name, why)
			w.mu.Lock()
			w.stats.Expulsions++
			w.mu.Unlock()
			w.wg.Go(func() { l.end(false); h.later(200*time.Millisecond, l) })
		},
		Leave: func() { w.wg.Go(func() { w.leave(l) }) },
		Fatal: func(err error) {
			w.note("%s: daemon %d gives up: %v", h.name, l.number, err)
			w.wg.Go(func() { l.end(false); h.later(time.Second, l) })
		},
		Log: logger}
}

// schedule is the real scheduler, unless it was broken.
func (w *world) schedule(doc *cib.CIB, o scheduler.Options) (*scheduler.Plan, error) {
	return w.brokenSchedule(doc, o)
}

// end is the death of a daemon, with or without the power of its host.
func (l *life) end(power bool) {
	w := l.host.w
	w.net.mu.Lock()
	already := l.dead
	if power {
		l.host.on = false
	}
	w.net.mu.Unlock()
	w.touch()
	if power {
		l.host.disk.crash()
		w.mu.Lock()
		for _, on := range w.active {
			delete(on, l.host.name)
		}
		w.mu.Unlock()
	}
	if already {
		return
	}
	l.once.Do(func() {
		w.net.sever(l, !power)
		close(l.over)
		w.mu.Lock()
		for k := range w.busy {
			if strings.HasSuffix(k, "@"+l.host.name) {
				delete(w.busy, k)
			}
		}
		w.mu.Unlock()
		l.mu.Lock()
		n := l.node
		l.mu.Unlock()
		if n != nil {
			w.wg.Go(n.Crash)
		}
	})
}

// leave ends a daemon in order.
func (w *world) leave(l *life) {
	l.mu.Lock()
	n := l.node
	l.mu.Unlock()
	if n != nil {
		n.Stop()
		w.note("%s: daemon %d has left", l.host.name, l.number)
	}
	l.end(false)
}

// stop ends a daemon as an administrator does: resources are moved away first.
func (w *world) stop(l *life, limit time.Duration) {
	l.mu.Lock()
	n := l.node
	l.mu.Unlock()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		select {
		case <-l.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := n.Evacuate(ctx, l.host.name); err != nil {
		w.note("%s: daemon %d ends without having moved everything away: %v", l.host.name, l.number, err)
		l.end(false)
		return
	}
	w.leave(l)
}

// later starts the daemon again, unless another one runs by then or the power
// is gone.
func (h *host) later(d time.Duration, after *life) {
	time.Sleep(d)
	h.w.net.mu.Lock()
	ok := h.on && h.life == after
	h.w.net.mu.Unlock()
	if ok && !h.w.closed() {
		h.boot()
	}
}

// powerOff takes the power from a host.
func (h *host) powerOff() {
	h.w.net.mu.Lock()
	l, on := h.life, h.on
	h.on = false
	h.w.net.mu.Unlock()
	if l != nil && on {
		l.end(true)
	}
}

// kill kills the daemon alone.
func (h *host) kill() *life {
	l := h.current()
	if l != nil {
		l.end(false)
	}
	return l
}

// current is the life that is not over.
func (h *host) current() *life {
	h.w.net.mu.Lock()
	defer h.w.net.mu.Unlock()
	if h.life == nil || h.life.dead {
		return nil
	}
	return h.life
}

// running is the node of a host, if it is up.
func (h *host) running() *node.Node {
	l := h.current()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node
}

func (h *host) powered() bool {
	h.w.net.mu.Lock()
	defer h.w.net.mu.Unlock()
	return h.on
}

// touch remembers that who can talk to whom has changed.
func (w *world) touch() {
	w.mu.Lock()
	w.changedAt = time.Now()
	w.mu.Unlock()
}

func (w *world) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.busy == nil
}

// close ends everything that is left of a world.
func (w *world) close() {
	w.net.mu.Lock()
	datagrams := w.net.datagrams
	w.net.mu.Unlock()
	w.mu.Lock()
	w.stats.Simulated = time.Since(w.began)
	w.stats.Datagrams = datagrams
	w.busy = nil
	w.mu.Unlock()
	for range 2 { // who was just starting has to end too
		for _, h := range w.hosts {
			h.powerOff()
		}
		time.Sleep(time.Minute)
	}
	w.wg.Wait()
}

// observed checks that all replicas apply the same: the first rule.
func (w *world) observed(l *life, s consensus.Step) {
	select {
	case <-l.over:
		return // what the dead think
	default:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v := s.State.CIB.Version().String()
	l.sees(s.State)
	if s.Command != nil && s.Command.Forced != nil {
		w.stats.Forced++
		w.noteLocked("%s: epoch %d, forced: %s", l.host.name, s.State.Epoch, s.Command.Forced.Proof)
	}
	if was, ok := w.entries[s.State.Index]; ok && was != v && !w.divergence() {
		w.violatedLocked("entry %d is version %s on %s, and was %s elsewhere", s.State.Index, v, l.host.name, was)
	}
	w.entries[s.State.Index] = v
	w.returnsLocked(l, s.State)
	w.forgottenLocked(l, s.State)
}

// sees notes whether this life is a member.
func (l *life) sees(s *consensus.State) {
	l.mu.Lock()
	n := l.node
	l.mu.Unlock()
	if n == nil || l.quorate.Load() {
		return
	}
	if m, ok := s.Member(l.host.name); ok && m.State == consensus.Online && m.Incarnation == n.Incarnation() {
		l.quorate.Store(true)
	}
}

// clock is what the host's clock shows.
func (h *host) clock() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }

// divergence tells that the configuration allows two histories.
func (w *world) divergence() bool { return w.unfenced && w.policy == "ignore" }

// leader is the node that leads and knows everything.
func (w *world) leader() *host {
	for _, h := range w.hosts {
		if n := h.running(); n != nil {
			if l, _ := n.Consensus().Leadership(); l.Self {
				return h
			}
		}
	}
	return nil
}
