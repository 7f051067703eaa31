package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// RunnerConfig is what a runner needs besides its machine.
type RunnerConfig struct {
	Machine Config
	// Links are the node's sockets, one for each network; the runner owns
	// them from now on.
	Links []PacketConn
	// Resolve gives the address of a peer on a link.
	Resolve func(peer string, link int) (netip.AddrPort, bool)
	// Events is called for every event, one at a time; it must be quick.
	Events func(Event)
	// Cut, if set, tells whether traffic with a peer is to be lost; for
	// tests of partitions.
	Cut func(peer string, link int) bool
	Log *slog.Logger
}

// PacketConn is a socket of one network; *net.UDPConn is one.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (n int, err error)
	Close() error
}

// Runner runs a machine on real sockets.
type Runner struct {
	cfg    RunnerConfig
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	machine *Machine
	urgent  bool // the links are real
	queue   []Event
	wake    chan struct{}
	warned  map[string]bool
}

// Start begins to send and to listen.
func Start(cfg RunnerConfig) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Runner{cfg: cfg, cancel: cancel, machine: New(cfg.Machine, time.Now()), wake: make(chan struct{}, 1), warned: map[string]bool{}}
	for i, c := range cfg.Links {
		// What arrives while this process does not run must not be lost.
		if u, ok := c.(*net.UDPConn); ok {
			u.SetReadBuffer(1 << 20)
			r.urgent = true
		}
		r.wg.Go(func() { r.listen(i, c) })
	}
	r.wg.Go(func() { r.tick(ctx) })
	r.wg.Go(func() { r.tell(ctx) })
	return r
}

// Stop ends the runner at once, without a farewell.
func (r *Runner) Stop() {
	r.cancel()
	for _, c := range r.cfg.Links {
		c.Close()
	}
	r.wg.Wait()
}

// Leave tells all peers that this node leaves; a few datagrams, since any of
// them may be lost.
func (r *Runner) Leave() {
	for range 3 {
		r.step(func(m *Machine) { m.Leave(time.Now()) })
		time.Sleep(2 * time.Millisecond)
	}
}

// SetPeers replaces the list of peers.
func (r *Runner) SetPeers(list []Peer) {
	r.step(func(m *Machine) { m.SetPeers(list); m.Tick(time.Now()) })
}

// SetEpoch sets the epoch that heartbeats carry.
func (r *Runner) SetEpoch(epoch uint64) { r.step(func(m *Machine) { m.SetEpoch(epoch) }) }

// SetKeys replaces the keys: the first one signs, all are accepted.
func (r *Runner) SetKeys(keys [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Machine.Keys = keys
	r.machine.SetKeys(keys)
}

// Up reports whether a peer is up, and its last known incarnation.
func (r *Runner) Up(peer string) (incarnation uint64, up bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Up(peer)
}

// Links returns the health of all links.
func (r *Runner) Links() []LinkHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Links()
}

// step does something to the machine and carries out what follows. Datagrams
// are sent under the lock: sending to a UDP socket does not wait.
func (r *Runner) step(f func(*Machine)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.machine)
	out, events := r.machine.Output()
	for _, d := range out {
		if r.cfg.Cut != nil && r.cfg.Cut(d.Peer, d.Link) {
			continue
		}
		if to, ok := r.cfg.Resolve(d.Peer, d.Link); ok && d.Link < len(r.cfg.Links) {
			// A peer that cannot be reached is noticed by its silence.
			_, _ = r.cfg.Links[d.Link].WriteToUDPAddrPort(d.Data, to)
		}
	}
	if len(events) > 0 {
		r.queue = append(r.queue, events...)
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Runner) tick(ctx context.Context) {
	if r.urgent {
		if err := hasten(); err != nil {
			r.cfg.Log.Info("heartbeats have no priority over other processes; a host that is busy for long may look dead to the others", "err", err)
		}
	}
	t := time.NewTicker(r.cfg.Machine.Timing.Interval / 2)
	defer t.Stop()
	r.step(func(m *Machine) { m.Tick(time.Now()) })
	for {
		select {
		case <-t.C:
			for i, c := range r.cfg.Links {
				r.drain(i, c)
			}
			r.step(func(m *Machine) { m.Tick(time.Now()) })
		case <-ctx.Done():
			return
		}
	}
}

// drain takes in what has arrived and not been read yet. On a busy machine the
// readers may be late; silence must not be judged before they had their turn.
func (r *Runner) drain(i int, c PacketConn) {
	u, ok := c.(*net.UDPConn)
	if !ok {
		return
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, maxPacket+1)
	for {
		n := -1
		err := raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT) })
		if err != nil || n < 0 {
			return
		}
		r.receive(i, buf[:n], "")
	}
}

func (r *Runner) listen(i int, c PacketConn) {
	buf := make([]byte, maxPacket+1)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP answer to something sent earlier
		}
		r.receive(i, buf[:n], from.String())
	}
}

// receive gives a datagram to the machine.
func (r *Runner) receive(i int, data []byte, from string) {
	if r.cfg.Cut != nil {
		r.mu.Lock()
		keys := r.cfg.Machine.Keys
		r.mu.Unlock()
		if p, err := decode(data, clusterTag(r.cfg.Machine.Cluster), keys); err == nil && r.cfg.Cut(p.from, i) {
			return
		}
	}
	r.step(func(m *Machine) {
		if err := m.Receive(time.Now(), i, data); err != nil && !r.warned[err.Error()] && len(r.warned) < 64 {
			r.warned[err.Error()] = true
			r.cfg.Log.Warn("heartbeat ignored (told once)", "from", from, "err", err)
		}
	})
}

// tell hands out events outside of the lock.
func (r *Runner) tell(ctx context.Context) {
	for {
		select {
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		q := r.queue
		r.queue = nil
		r.mu.Unlock()
		for _, e := range q {
			r.cfg.Log.Debug("heartbeat", "event", e.String())
			r.cfg.Events(e)
		}
	}
}
