package nbd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/replication/volume"
)

// ErrNoKernelClient says that the kernel has no NBD driver.
var ErrNoKernelClient = errors.New("the kernel has no NBD driver here (modprobe nbd)")

const (
	// kernelTimeout is after what time the kernel gives a request to another
	// connection: what a dead process had taken is repeated then.
	kernelTimeout = 10 * time.Second
	// kernelPatience is how long the device waits for a successor before its users get
	// errors.
	kernelPatience = 10 * time.Minute
	// kernelRequest is the largest request, in KiB. The kernel's own limit is an eighth of that.
	kernelRequest = volume.MaxTransfer >> 10
	// kernelBuffer is how many bytes the connection holds in each direction: some large
	// requests.
	kernelBuffer = 4 << 20
)

// KernelDevice is a block device of the kernel's NBD driver whose requests a Server
// answers. It outlives the process: a successor finds it by its name and goes on.
type KernelDevice struct {
	// Path is that of the device, /dev/nbdN.
	Path string

	s     *Server
	dev   Device
	index uint32
	name  string

	mu   sync.Mutex
	over bool
	conn net.Conn
}

// AttachKernel makes a block device of an open Device. name identifies it for a
// successor, which takes it over by the same call. block is the size of the
// logical blocks, in bytes.
func (s *Server) AttachKernel(name string, dev Device, block uint32) (*KernelDevice, error) {
	k := &KernelDevice{s: s, dev: dev, name: name, Path: FindKernel(name)}
	if !KernelClient() {
		return nil, ErrNoKernelClient
	}
	var err error
	if k.Path != "" {
		// What a dead process left.
		if _, err = fmt.Sscanf(k.Path, "/dev/nbd%d", &k.index); err == nil {
			k.conn, err = k.connect(genlReconfigure, k.again())
		}
	} else {
		a := attribute64(nil, attrSize, dev.Size())
		a = attribute64(a, attrBlockSize, uint64(block))
		a = attribute64(a, attrTimeout, uint64(kernelTimeout.Seconds()))
		a = attribute64(a, attrDeadTimeout, uint64(kernelPatience.Seconds()))
		a = attribute64(a, attrServerFlags, transHasFlags|transFlush|transFUA|transTrim|transWriteZeroes)
		a = attribute(a, attrBackend, append([]byte(name), 0))
		k.conn, err = k.connect(genlConnect, a)
		k.Path = fmt.Sprintf("/dev/nbd%d", k.index)
	}
	if err != nil {
		return nil, fmt.Errorf("NBD device: %w", err)
	}
	// Only a wish: with less, large requests come in more pieces.
	_ = os.WriteFile(filepath.Join("/sys/block", filepath.Base(k.Path), "queue/max_sectors_kb"), strconv.AppendUint(nil, kernelRequest, 10), 0o644)
	go k.run(k.conn)
	return k, nil
}

// run answers the kernel, on a new connection when it gave one up: it does when I/O is
// frozen for longer than it waits, and repeats the requests.
func (k *KernelDevice) run(conn net.Conn) {
	for {
		k.s.transmit(conn, k.dev)
		for {
			if k.ended() {
				return
			}
			next, err := k.connect(genlReconfigure, k.again())
			if err == nil {
				conn = next
				break
			}
			k.s.log(fmt.Sprintf("%s: no new connection to the kernel: %v", k.Path, err))
			time.Sleep(time.Second)
		}
		k.mu.Lock()
		k.conn = conn
		if k.over {
			conn.Close()
		}
		k.mu.Unlock()
		k.s.log(k.Path + ": a new connection to the kernel, which had given the last one up")
	}
}

// again names the device and whose it is, without which the kernel changes nothing.
func (k *KernelDevice) again() []byte {
	return attribute(attribute32(nil, attrIndex, k.index), attrBackend, append([]byte(k.name), 0))
}

func (k *KernelDevice) ended() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over
}

// connect gives the kernel one end of a connection; the other is ours.
func (k *KernelDevice) connect(command uint8, attrs []byte) (net.Conn, error) {
	g, family, err := openNBD()
	if err != nil {
		return nil, err
	}
	defer g.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pair[0]) // the kernel has its own reference
	for _, end := range pair {
		// Only a wish: with less, a large request takes several turns of both sides.
		_ = unix.SetsockoptInt(end, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, kernelBuffer)
	}
	own := os.NewFile(uintptr(pair[1]), "nbd")
	conn, err := net.FileConn(own)
	own.Close()
	if err != nil {
		return nil, err
	}
	item := attribute(nil, attrSockItem|unix.NLA_F_NESTED, attribute32(nil, attrSockFD, uint32(pair[0])))
	err = g.call(family, command, attribute(attrs, attrSockets|unix.NLA_F_NESTED, item), func(attrs []byte) {
		attributes(attrs, func(kind uint16, value []byte) {
			if kind == attrIndex && len(value) >= 4 {
				k.index = native.Uint32(value)
			}
		})
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// openNBD begins a conversation with the driver.
func openNBD() (*generic, uint16, error) {
	g, err := openGeneric()
	if err != nil {
		return nil, 0, err
	}
	family, err := g.family("nbd")
	if err != nil {
		g.close()
		return nil, 0, ErrNoKernelClient
	}
	return g, family, nil
}

// transmit answers a client that needs no handshake.
func (s *Server) transmit(c net.Conn, dev Device) {
	if !s.enter(c) {
		c.Close()
		return
	}
	defer s.leave(c)
	newSession(c, dev, false).run()
}

// Detach takes the device away unless it is in use.
func (k *KernelDevice) Detach() error {
	f, err := os.OpenFile(k.Path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: the device is in use", k.Path)
	}
	if err == nil {
		f.Close()
	}
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	g, family, err := openNBD()
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.call(family, genlDisconnect, attribute32(nil, attrIndex, k.index), func([]byte) {}); err != nil {
		return fmt.Errorf("%s: %w", k.Path, err)
	}
	k.mu.Lock()
	k.conn.Close()
	k.mu.Unlock()
	return nil
}

// Resize tells the kernel the size that the volume has now.
func (k *KernelDevice) Resize() error {
	g, family, err := openNBD()
	if err != nil {
		return err
	}
	defer g.close()
	a := attribute64(k.again(), attrSize, k.dev.Size())
	if err := g.call(family, genlReconfigure, a, func([]byte) {}); err != nil {
		return fmt.Errorf("%s: new size: %w", k.Path, err)
	}
	return nil
}

// DropKernel takes the device of a dead process away; its users get errors. That there
// is none is fine.
func DropKernel(name string) error {
	path := FindKernel(name)
	if path == "" {
		return nil
	}
	var index uint32
	if _, err := fmt.Sscanf(path, "/dev/nbd%d", &index); err != nil {
		return err
	}
	g, family, err := openNBD()
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.call(family, genlDisconnect, attribute32(nil, attrIndex, index), func([]byte) {}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// KernelClient tells whether the kernel has the driver.
func KernelClient() bool {
	_, err := os.Stat("/sys/module/nbd")
	return err == nil
}

// FindKernel gives the device of a name, empty without one.
func FindKernel(name string) string {
	files, _ := filepath.Glob("/sys/block/nbd*/backend")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(f))
		}
	}
	return ""
}
