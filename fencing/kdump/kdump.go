// Package kdump is fence_kdump: it waits for the messages that the crash kernel
// of a node sends while it writes a dump. A message is proof that the node's
// own kernel is gone; silence says nothing, since nodes die in other ways.
package kdump

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"gcrm/fencing"
)

const (
	magic       = 0x1B302A40
	version     = 1
	defaultPort = "7410"
)

// Method is fence_kdump.
type Method struct {
	fencing.Description
	// Cmdline is the file with the parameters of the running kernel.
	Cmdline string
	// Resolve finds the addresses of a node.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	ports map[string]*listener
}

// New returns the method.
func New() *Method {
	return &Method{Cmdline: "/proc/cmdline", ports: map[string]*listener{},
		Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		Description: fencing.Description{Name: "fence_kdump", Short: "nodes that write a crash dump",
			Long: "Succeeds when the crash kernel of the node (fence_kdump_send of kexec-tools) tells that it runs. Needs a second fencing level " +
				"with a device that switches the power off, for nodes that die without a dump.",
			Actions: []string{fencing.Off, fencing.Monitor, fencing.Validate},
			Params: []fencing.Param{
				{Name: "nodename", Short: "names or addresses of the node, separated by commas; the cluster gives it"},
				{Name: "ipport", Type: "integer", Default: defaultPort, Short: "UDP port of the messages"},
				{Name: "family", Type: "select", Values: []string{"auto", "ipv4", "ipv6"}, Default: "auto", Short: "kind of addresses"},
				{Name: "timeout", Type: "second", Default: "60", Short: "how long to wait for a message"},
			}}}
}

// Proves implements [fencing.Judge].
func (m *Method) Proves() fencing.Proves { return fencing.Sometimes }

// Do implements [fencing.Method].
func (m *Method) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	switch c.Action {
	case fencing.Monitor, fencing.Validate:
		text, err := os.ReadFile(m.Cmdline)
		if err != nil {
			return fencing.OutcomeOf(ctx, err)
		}
		if c.Action == fencing.Monitor && !strings.Contains(" "+string(text), " crashkernel=") {
			return fencing.Fail("add crashkernel=256M to the kernel's command line, and configure kdump", "this node has no crash kernel")
		}
		return fencing.Outcome{}
	case fencing.Off:
		return m.wait(ctx, c)
	}
	return fencing.Fail("", "fence_kdump cannot do %s", c.Action)
}

func (m *Method) wait(ctx context.Context, c fencing.Call) fencing.Outcome {
	ctx, cancel := context.WithTimeout(ctx, c.Duration(time.Minute, "timeout"))
	defer cancel()
	wanted := map[netip.Addr]bool{}
	var failed error
	for name := range strings.SplitSeq(c.Param("nodename", c.Target), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if a, err := netip.ParseAddr(name); err == nil {
			wanted[a.Unmap()] = true
			continue
		}
		addrs, err := m.Resolve(ctx, name)
		if err != nil {
			failed = err
		}
		for _, a := range addrs {
			wanted[a.Unmap().WithZone("")] = true
		}
	}
	if len(wanted) == 0 {
		return fencing.Fail("set nodename to the addresses of the node", "no address of the node is known: %v", errors.Join(failed))
	}
	messages, stop, err := m.subscribe(c.Param("ipport", defaultPort), c.Param("family", "auto"))
	if err != nil {
		return fencing.Fail("another program has the port: set ipport on both sides", "no messages can be received: %v", err)
	}
	defer stop()
	for {
		select {
		case from := <-messages:
			if wanted[from] {
				return fencing.Outcome{Text: fmt.Sprintf("the crash kernel of the node sent a message from %s", from)}
			}
		case <-ctx.Done():
			return fencing.Fail("a node without power or in a hang sends none: have another level behind this one; if it did crash, check fence_kdump_nodes in its kdump.conf and that the firewall lets the port in",
				"no crash kernel sent a message")
		}
	}
}

// valid reports whether a packet is a message, in either byte order.
func valid(b []byte) bool {
	if len(b) != 8 {
		return false
	}
	for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if o.Uint32(b) == magic && o.Uint32(b[4:]) == version {
			return true
		}
	}
	return false
}

// listener is one port, shared by all who wait.
type listener struct {
	conn *net.UDPConn
	subs map[chan netip.Addr]bool
}

func (m *Method) subscribe(port, family string) (<-chan netip.Addr, func(), error) {
	network := map[string]string{"ipv4": "udp4", "ipv6": "udp6"}[family]
	if network == "" {
		network = "udp"
	}
	key := network + ":" + port
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.ports[key]
	if l == nil {
		addr, err := net.ResolveUDPAddr(network, ":"+port)
		if err != nil {
			return nil, nil, err
		}
		conn, err := net.ListenUDP(network, addr)
		if err != nil {
			return nil, nil, err
		}
		l = &listener{conn, map[chan netip.Addr]bool{}}
		m.ports[key] = l
		go m.read(l)
	}
	ch := make(chan netip.Addr, 16)
	l.subs[ch] = true
	return ch, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(l.subs, ch)
		if len(l.subs) == 0 {
			l.conn.Close()
			if m.ports[key] == l {
				delete(m.ports, key)
			}
		}
	}, nil
}

func (m *Method) read(l *listener) {
	b := make([]byte, 64)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !valid(b[:n]) {
			continue
		}
		m.mu.Lock()
		for ch := range l.subs {
			select {
			case ch <- from.Addr().Unmap().WithZone(""):
			default: // its reader has enough to look at; the sender repeats
			}
		}
		m.mu.Unlock()
	}
}
