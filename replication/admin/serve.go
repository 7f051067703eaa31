package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/replication/engine"
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
}

// server is the process of a resource.
type server struct {
	o    ServeOptions
	r    *Resource
	v    *volume.Volume
	nbd  *nbd.Server
	log  func(string)
	quit chan struct{}
	once sync.Once

	mu       sync.Mutex // commands one at a time, but not events
	want     wanted
	taking   chan struct{} // closed when a takeover is over, nil without one
	takingMu sync.Mutex
	fuse     *fusefile.Server
	channel  *os.File
	device   string // the block device, empty without one
	kernel   *nbd.KernelDevice
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// Serve runs the process of a resource until it is told to stop. channel is that of a
// FUSE file, nil without one.
func Serve(ctx context.Context, o ServeOptions, channel *os.File) error {
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
	s := &server{o: o, r: r, quit: make(chan struct{}), channel: channel}
	s.log = func(text string) {
		fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format("15:04:05.000"), o.Resource, text)
	}
	protectFromMemoryPressure()
	set, err := r.Settings()
	if err != nil {
		return err
	}
	set.Log, set.Handler = s.log, s.handler
	for _, text := range r.Ignored {
		s.log("option without effect: " + text)
	}
	control, err := listenPrivate(o.Folder.Control(o.Resource))
	if err != nil {
		return err
	}
	defer control.Close()
	s.v = volume.New(set)
	defer s.v.Kill()
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
	go serveControl(control, s.answer)
	if err := s.restore(ctx); err != nil {
		s.log(err.Error())
	}
	go s.watchSize()
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
	before := s.want
	change(&s.want)
	if s.want == before {
		return
	}
	b, err := json.Marshal(s.want)
	if err == nil {
		tmp := s.o.Folder.State(s.o.Resource) + ".new"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, s.o.Folder.State(s.o.Resource))
		}
	}
	if err != nil {
		s.log("a successor of this process will not know what to do: " + err.Error())
	}
}

// takeoverWait is how long a successor looks for the peer before it goes on alone.
const takeoverWait = 15 * time.Second

// restore becomes what the process before this one was.
func (s *server) restore(ctx context.Context) error {
	defer func() {
		s.takingMu.Lock()
		if s.taking != nil {
			close(s.taking)
			s.taking = nil
		}
		s.takingMu.Unlock()
	}()
	if s.want.Attached {
		if err := s.v.Attach(); err != nil {
			return err
		}
	}
	if s.want.Connected {
		if err := s.v.Connect(ctx, false); err != nil {
			return err
		}
	}
	if !s.want.Primary {
		s.serveFile(false)
		return nil
	}
	if s.want.Connected {
		s.awaitPeer(ctx, takeoverWait)
	}
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.v.Promote(limit, false); err != nil {
		s.setWanted(func(w *wanted) { w.Primary = false })
		s.serveFile(false)
		if err := nbd.DropKernel(kernelName(s.o.Resource)); err != nil {
			s.log(err.Error())
		}
		return fmt.Errorf("was Primary before, but cannot be again: %w", err)
	}
	s.serveFile(true)
	if s.o.Device == "nbd" {
		return s.attachDevice()
	}
	return nil
}

// awaitPeer waits until the nodes have talked, or the time is over.
func (s *server) awaitPeer(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		c := s.v.Changed()
		if conn := s.v.State().Conn(); conn >= wire.Connected || conn == wire.StandAlone {
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

// exports gives the volume to NBD clients.
func (s *server) exports() []nbd.Export {
	return []nbd.Export{{Name: s.o.Resource, Description: fmt.Sprintf("volume %d of resource %s", s.r.Volume.Number, s.o.Resource), Device: (*patient)(s)}}
}

// patient is the volume for clients: one that comes during a takeover waits for its
// end.
type patient server

func (p *patient) Open() error {
	p.takingMu.Lock()
	taking := p.taking
	p.takingMu.Unlock()
	if taking != nil {
		select {
		case <-taking:
		case <-time.After(takeoverWait * 2):
		}
	}
	return p.v.Open()
}

func (p *patient) Release()                 { p.v.Release() }
func (p *patient) Size() uint64             { return p.v.Size() }
func (p *patient) Buffer(n int) []byte      { return p.v.Buffer(n) }
func (p *patient) Free(b []byte)            { p.v.Free(b) }
func (p *patient) Submit(r *volume.Request) { p.v.Submit(r) }

// listenNBD opens the sockets for clients.
func (s *server) listenNBD() (func(), error) {
	path := s.o.Folder.NBD(s.o.Resource)
	local, err := listenPrivate(path)
	if err != nil {
		return nil, err
	}
	go s.nbd.Serve(local)
	listeners := []net.Listener{local}
	if s.o.Listen != "" {
		remote := &nbd.Server{Exports: s.exports, Log: s.log}
		if s.o.CertFile != "" {
			if remote.TLS, err = serverTLS(s.o.CertFile, s.o.KeyFile, s.o.CAFile); err != nil {
				return nil, err
			}
			remote.RequireTLS = true
		}
		l, err := net.Listen("tcp", s.o.Listen)
		if err != nil {
			return nil, fmt.Errorf("NBD: %w", err)
		}
		go remote.Serve(l)
		listeners = append(listeners, l)
	}
	return func() {
		for _, l := range listeners {
			l.Close()
		}
	}, nil
}

func serverTLS(cert, key, ca string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TLS: no certificate in %s", ca)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// serveFile answers the FUSE file, if there is one; with resume also what a
// predecessor left unanswered.
func (s *server) serveFile(resume bool) {
	if s.channel == nil {
		return
	}
	s.fuse = fusefile.New(s.channel, (*patient)(s))
	mount := s.o.Folder.Mount(s.o.Resource)
	s.device = fusefile.FindLoop(mount)
	if resume || s.device != "" {
		if err := s.fuse.Resume(); err != nil {
			s.log(err.Error())
		}
	}
	go func() {
		if err := s.fuse.Serve(); err != nil {
			s.log(err.Error())
		}
	}()
}

// kernelName is how a successor finds the device of the kernel's NBD client.
func kernelName(resource string) string { return "gcrm:" + resource }

// attachKernel makes a device of the kernel's NBD client, or takes over what the process
// before this one left.
func (s *server) attachKernel() error {
	if s.kernel != nil {
		return nil
	}
	if err := s.v.Open(); err != nil {
		return err
	}
	k, err := s.nbd.AttachKernel(kernelName(s.o.Resource), (*patient)(s))
	if err != nil {
		s.v.Release()
		return err
	}
	s.kernel, s.device = k, k.Path
	s.log("block device " + k.Path)
	s.link(k.Path)
	return nil
}

// attachDevice makes the block device of a Primary.
func (s *server) attachDevice() error {
	if s.o.Device == "nbd" {
		return s.attachKernel()
	}
	if s.channel == nil || s.device != "" {
		return nil
	}
	loop, err := fusefile.AttachLoop(s.o.Folder.Mount(s.o.Resource))
	if err != nil {
		return err
	}
	s.device = loop
	s.log("block device " + loop)
	s.link(loop)
	return nil
}

// link gives the block device the names of the configuration.
func (s *server) link(target string) {
	for _, name := range s.names() {
		if st, err := os.Lstat(name); err == nil && st.Mode()&os.ModeSymlink == 0 {
			s.log(name + " is there already and stays as it is")
			continue
		}
		_ = os.MkdirAll(filepath.Dir(name), 0o755)
		_ = os.Remove(name)
		if err := os.Symlink(target, name); err != nil {
			s.log(err.Error())
		}
	}
}

// watchSize passes a new size on to the block device.
func (s *server) watchSize() {
	known := s.v.Size()
	for {
		c := s.v.Changed()
		if size := s.v.Size(); size != known {
			known = size
			s.mu.Lock()
			if s.kernel != nil {
				if err := s.kernel.Resize(); err != nil {
					s.log(err.Error())
				}
			}
			if s.fuse != nil {
				s.fuse.Grown()
				if s.device != "" {
					if err := fusefile.ResizeLoop(s.device, s.o.Folder.Mount(s.o.Resource)); err != nil {
						s.log(err.Error())
					}
				}
			}
			s.mu.Unlock()
		}
		select {
		case <-c:
		case <-s.quit:
			return
		}
	}
}

func (s *server) names() []string {
	out := []string{fmt.Sprintf("/dev/drbd/by-res/%s", s.o.Resource)}
	switch {
	case s.r.Volume.Device != "":
		out = append(out, s.r.Volume.Device)
	case s.r.Minor() >= 0:
		out = append(out, fmt.Sprintf("/dev/drbd%d", s.r.Minor()))
	}
	return out
}

func (s *server) detachDevice() error {
	if s.device == "" {
		return nil
	}
	if s.kernel != nil {
		if err := s.kernel.Detach(); err != nil {
			return err
		}
		s.kernel = nil
		s.v.Release()
	} else if err := fusefile.DetachLoop(s.device); err != nil {
		return err
	}
	for _, name := range s.names() {
		if to, err := os.Readlink(name); err == nil && to == s.device {
			_ = os.Remove(name)
		}
	}
	s.device = ""
	return nil
}

// status is the picture of the resource.
func (s *server) status() *Status {
	st := picture(s.v.Status())
	st.Resource, st.Volume, st.Minor = s.o.Resource, s.r.Volume.Number, s.r.Minor()
	st.Protocol = s.r.Net.Protocol.String()
	st.Ignored, st.PID, st.NBD = s.r.Ignored, os.Getpid(), s.o.Folder.NBD(s.o.Resource)
	s.takingMu.Lock()
	st.Takeover = s.taking != nil
	s.takingMu.Unlock()
	if s.channel != nil {
		st.File = s.o.Folder.Mount(s.o.Resource)
	}
	st.Device = s.device
	return &st
}

// answer does one command of a client.
func (s *server) answer(call Call, send func(Answer) bool) {
	if call.Command == "events" {
		s.events(send)
		return
	}
	a := Answer{}
	if call.Command != "status" {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		s.mu.Lock()
		err := s.do(ctx, call)
		s.mu.Unlock()
		if err != nil {
			a.Error, a.Code = explain(err)
		}
	}
	a.Status = s.status()
	send(a)
	if call.Command == "down" && a.Error == "" || call.Command == "stop" {
		s.once.Do(func() { close(s.quit) })
	}
}

// events sends the state at every change, and now and then during a resync.
func (s *server) events(send func(Answer) bool) {
	for {
		c := s.v.Changed()
		st := s.status()
		if !send(Answer{Status: st}) {
			return
		}
		wait := 10 * time.Second
		if st.Progress != nil {
			wait = 500 * time.Millisecond
		}
		select {
		case <-c:
		case <-time.After(wait):
		case <-s.quit:
			return
		}
	}
}

// do carries out a command.
func (s *server) do(ctx context.Context, call Call) error {
	v := s.v
	switch call.Command {
	case "attach":
		if err := v.Attach(); err != nil && !errors.Is(err, engine.ErrAttached) {
			return err
		}
		s.setWanted(func(w *wanted) { w.Attached = true })
	case "detach":
		if err := v.Detach(ctx); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Attached = false })
	case "connect":
		if err := v.Connect(ctx, call.Discard); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Connected = true })
	case "disconnect":
		if err := v.Disconnect(ctx, call.Force); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Connected = false })
	case "primary":
		if err := v.Promote(ctx, call.Force); err != nil {
			return err
		}
		s.setWanted(func(w *wanted) { w.Primary = true })
		return s.attachDevice()
	case "secondary":
		return s.demote(ctx)
	case "verify":
		return v.Verify(ctx)
	case "invalidate":
		return v.Invalidate(ctx, false)
	case "invalidate-remote":
		return v.Invalidate(ctx, true)
	case "outdate":
		return v.Outdate(ctx)
	case "resize":
		return v.Resize(ctx, engine.ResizeOptions{User: call.Sectors, Clean: call.Clean, Force: call.Force})
	case "suspend-io":
		return v.Suspend(ctx)
	case "resume-io":
		return v.Resume(ctx)
	case "down":
		return s.down(ctx)
	case "stop": // at once, as it is; a successor goes on
	default:
		return fmt.Errorf("unknown command %q", call.Command)
	}
	return nil
}

func (s *server) demote(ctx context.Context) error {
	if s.v.State().Role() != wire.Primary {
		return s.detachDevice()
	}
	loop := s.device
	if err := s.detachDevice(); err != nil {
		return err
	}
	// The kernel lets go of the file a moment after the loop device is gone.
	var err error
	for range 40 {
		if err = s.v.Demote(ctx); err != wire.DeviceInUse || loop == "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err == nil {
		s.setWanted(func(w *wanted) { w.Primary = false })
	}
	return err
}

// down ends everything in good order.
func (s *server) down(ctx context.Context) error {
	if err := s.demote(ctx); err != nil {
		return err
	}
	s.nbd.Disconnect()
	if s.v.State().Conn() >= wire.Connected {
		if err := s.v.Disconnect(ctx, false); err != nil {
			return err
		}
	}
	if err := s.v.Close(ctx); err != nil {
		return err
	}
	return os.Remove(s.state())
}

func (s *server) state() string {
	path := s.o.Folder.State(s.o.Resource)
	if _, err := os.Stat(path); err != nil {
		_ = os.WriteFile(path, nil, 0o600)
	}
	return path
}

// Exit codes of drbdadm and drbdsetup.
const (
	exitUsage    = 1
	exitFailed   = 10
	exitRefused  = 11
	exitNoData   = 17
	exitInternal = 20
)

// explain turns an error into words for the administrator and an exit code.
func explain(err error) (string, int) {
	var r wire.Result
	if !errors.As(err, &r) {
		return err.Error(), exitFailed
	}
	text := fmt.Sprintf("State change failed: (%d) %s", int32(r), r.String())
	if r == wire.NeedUpToDate {
		return text, exitNoData
	}
	return text, exitRefused
}
