package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/durable"
	"gcrm/replication/fusefile"
	"gcrm/replication/nbd"
	"gcrm/replication/volume"
	"gcrm/replication/wire"
)

// ServeOptions are the choices of "gcrm volume serve".
type ServeOptions struct {
	Config   string // path of the configuration, empty for the usual ones
	Node     string // name of this node, empty for the host's
	Folder   Folder
	Resource string
	Idle     bool   // neither attach nor connect without being told
	Listen   string // address for NBD over TCP, empty for none
	CertFile string // TLS of that
	KeyFile  string
	CAFile   string // clients must have a certificate of it
	Device   string // none; loop: a block device on a FUSE file; nbd: one of the kernel's NBD client
	// Fence does the work of crm-fence-peer.sh and crm-unfence-peer.sh in the
	// cluster of gcrm; nil leaves it to the scripts.
	Fence func(ctx context.Context, resource string, unfence bool) int
}

// wanted is what a process was told to be. A successor in the same boot becomes that
// again.
type wanted struct {
	Boot      string `json:"boot"`
	Attached  bool   `json:"attached"`
	Connected bool   `json:"connected"`
	Primary   bool   `json:"primary"`
	// Volumes of several that are an exception.
	Detached  []int `json:"detached,omitempty"`
	Secondary []int `json:"secondary,omitempty"`
}

// except notes whether a volume is an exception.
func except(list []int, number int, is bool) []int {
	list = slices.DeleteFunc(slices.Clone(list), func(n int) bool { return n == number })
	if is {
		list = append(list, number)
	}
	return list
}

// server is the process of a resource.
type server struct {
	o   ServeOptions
	r   *Resource
	v   *volume.Resource
	nbd *nbd.Server
	// volumes are in the order of the configuration.
	volumes []*served
	log     func(string)
	quit    chan struct{}
	once    sync.Once

	mu       sync.Mutex // commands one at a time, but not events
	wantMu   sync.Mutex // not mu, which a command holds while it waits for the end of a takeover
	want     wanted
	taking   chan struct{} // closed when a takeover is over, nil without one
	takingMu sync.Mutex
}

// served is a volume with what its users have of it.
type served struct {
	*volume.Volume
	s       *server
	conf    *Volume
	fuse    *fusefile.Server
	channel *os.File
	device  devicePath
	kernel  *nbd.KernelDevice
}

// devicePath is the block device, empty without one. Commands change it while events show it.
type devicePath struct{ p atomic.Pointer[string] }

func (d *devicePath) set(path string) { d.p.Store(&path) }

func (d *devicePath) get() string {
	if p := d.p.Load(); p != nil {
		return *p
	}
	return ""
}

// each does something with volumes, one after the other, and goes on after an error.
func each(list []*served, do func(*served) error) error {
	var all error
	for _, v := range list {
		if err := do(v); err != nil {
			if len(v.s.volumes) == 1 {
				return err
			}
			all = errors.Join(all, fmt.Errorf("volume %d: %w", v.conf.Number(), err))
		}
	}
	return all
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// Serve runs the process of a resource until it is told to stop. channels are those of
// the FUSE files, one for each volume; nil without.
func Serve(ctx context.Context, o ServeOptions, channels []*os.File) error {
	node, err := ThisNode(o.Node)
	if err != nil {
		return err
	}
	conf, err := LoadConfig(o.Config)
	if err != nil {
		return err
	}
	r, err := Find(conf, o.Resource, node)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(o.Folder), 0o755); err != nil {
		return err
	}
	s := &server{o: o, r: r, quit: make(chan struct{})}
	s.log = func(text string) {
		fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format("15:04:05.000"), o.Resource, text)
	}
	protectFromMemoryPressure()
	set, err := r.Settings()
	if err != nil {
		return err
	}
	for i := range set {
		set[i].Log = s.log
		set[i].Handler = func(ctx context.Context, name string) int {
			about := r.Volumes[i : i+1]
			if name == "fence-peer" || name == "unfence-peer" {
				about = r.Volumes
			}
			return s.handler(ctx, name, about)
		}
	}
	for _, text := range r.Ignored {
		s.log("option without effect: " + text)
	}
	control, err := listenPrivate(o.Folder.Control(o.Resource))
	if err != nil {
		return err
	}
	defer control.Close()
	s.v = volume.NewResource(set...)
	defer s.v.Kill()
	for i, v := range s.v.Volumes() {
		one := &served{Volume: v, s: s, conf: r.Volumes[i]}
		if i < len(channels) {
			one.channel = channels[i]
		}
		s.volumes = append(s.volumes, one)
	}
	s.readWanted()
	s.nbd = &nbd.Server{Exports: s.exports, Log: s.log}
	stopNBD, err := s.listenNBD()
	if err != nil {
		return err
	}
	defer stopNBD()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	if s.want.Primary {
		s.taking = make(chan struct{})
	}
	was := s.want // commands change it from here on
	go serveControl(control, s.answer)
	if err := s.restore(ctx, was); err != nil {
		s.log(err.Error())
	}
	go s.watchSize()
	s.followOthers(ctx)
	select {
	case <-s.quit:
	case <-ctx.Done():
	case sig := <-signals:
		s.log("ended by " + sig.String())
	}
	return nil
}

// protectFromMemoryPressure keeps the process that writes dirty pages out from
// waiting for memory, as far as the host allows it.
func protectFromMemoryPressure() {
	_ = unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
}

func (s *server) readWanted() {
	s.want.Boot = bootID()
	b, err := os.ReadFile(s.o.Folder.State(s.o.Resource))
	if err != nil {
		s.want.Attached, s.want.Connected = !s.o.Idle, !s.o.Idle
		return
	}
	var old wanted
	if json.Unmarshal(b, &old) == nil && old.Boot == s.want.Boot {
		s.want = old
		return
	}
	// A node that booted since decides nothing by itself.
	s.want.Attached, s.want.Connected = !s.o.Idle, !s.o.Idle
}

// setWanted notes what a command made of the resource.
func (s *server) setWanted(change func(*wanted)) {
	s.wantMu.Lock()
	defer s.wantMu.Unlock()
	before, _ := json.Marshal(s.want)
	change(&s.want)
	b, err := json.Marshal(s.want)
	if bytes.Equal(before, b) {
		return
	}
	if err == nil {
		err = durable.Write(s.o.Folder.State(s.o.Resource), b, 0o600)
	}
	if err != nil {
		s.log("a successor of this process will not know what to do: " + err.Error())
	}
}

// takeoverWait is how long a successor looks for the peer before it goes on alone.
const takeoverWait = 15 * time.Second

// restore becomes what the process before this one was.
func (s *server) restore(ctx context.Context, was wanted) error {
	defer func() {
		s.takingMu.Lock()
		if s.taking != nil {
			close(s.taking)
			s.taking = nil
		}
		s.takingMu.Unlock()
	}()
	if was.Attached {
		err := each(s.volumes, func(v *served) error {
			if slices.Contains(was.Detached, v.conf.Number()) {
				return nil
			}
			return v.Attach()
		})
		if err != nil {
			return err
		}
	}
	if was.Connected {
		if err := s.v.Connect(ctx, false); err != nil {
			return err
		}
	}
	if !was.Primary {
		for _, v := range s.volumes {
			v.serveFile(false)
		}
		return nil
	}
	if was.Connected {
		s.awaitPeer(ctx, takeoverWait)
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	failed := each(s.volumes, func(v *served) error {
		if slices.Contains(was.Secondary, v.conf.Number()) {
			return nil
		}
		return v.Promote(limit, false)
	})
	if failed != nil && len(s.volumes) > 1 {
		// All or none: half a resource is of use to nobody.
		failed = errors.Join(failed, s.v.DemoteAll(limit))
	}
	if failed != nil {
		s.setWanted(func(w *wanted) { w.Primary = false })
	}
	err := each(s.volumes, func(v *served) error {
		primary := v.State().Role() == wire.Primary
		v.serveFile(primary)
		switch {
		case !primary:
			return nbd.DropKernel(kernelName(v.conf.Name()))
		case s.o.Device == "nbd":
			return v.attachDevice()
		}
		return nil
	})
	if failed != nil {
		return errors.Join(fmt.Errorf("was Primary before, but cannot be again: %w", failed), err)
	}
	return err
}

// awaitPeer waits until the nodes have talked, or the time is over.
func (s *server) awaitPeer(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		c := s.v.Changed()
		if !slices.ContainsFunc(s.volumes, func(v *served) bool {
			conn := v.State().Conn()
			return conn < wire.Connected && conn != wire.StandAlone
		}) {
			return
		}
		select {
		case <-c:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
