package methodtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Relay passes connections on to a device, and can be cut like a cable.
type Relay struct {
	// Addr is where it listens: an address of loopback, or a path.
	Addr string

	listener net.Listener
	mu       sync.Mutex
	left     int // connections until it is cut; negative is any number
	cut      bool
	open     map[net.Conn]bool
}

// NewRelay stands in front of a device on loopback ("tcp") or at a path ("unix").
func NewRelay(t *testing.T, network, device string) *Relay {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Addr: l.Addr().String(), listener: l, left: -1, open: map[net.Conn]bool{}}
	t.Cleanup(r.Cut)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial(network, device)
			if err != nil {
				c.Close()
				continue
			}
			last := r.took(c, d)
			go func() { _, _ = io.Copy(d, c); d.Close() }()
			go func() {
				_, _ = io.Copy(c, d)
				c.Close()
				if last {
					r.Cut()
				}
			}()
		}
	}()
	return r
}

// took notes a connection, and reports whether it is the last one.
func (r *Relay) took(ends ...net.Conn) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range ends {
		r.open[c] = true
		if r.cut {
			c.Close()
		}
	}
	if r.left > 0 {
		r.left--
	}
	return r.left == 0
}

// CutAfter cuts it when so many more connections have ended.
func (r *Relay) CutAfter(connections int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = connections
}

// Cut ends all connections; new ones are refused.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	r.listener.Close()
	for c := range r.open {
		c.Close()
	}
}

// Silent is a device at loopback that takes connections and does not answer, or
// says only what is given.
func Silent(t *testing.T, network, says string) string {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			_, _ = io.WriteString(c, says)
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return l.Addr().String()
}

// SilentPacket is Silent for packets of UDP: it answers each with what is given,
// or not at all.
func SilentPacket(t *testing.T, says []byte) (port int) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			_, from, err := c.ReadFromUDP(b)
			if err != nil {
				return
			}
			if len(says) > 0 {
				_, _ = c.WriteToUDP(says, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// Until repeats a question until it is answered with yes, for a device that
// takes its time to start.
func Until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !yes(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within half a minute: %s", what)
		}
	}
}

// UntilBound waits until a program that was just started has a port of UDP.
func UntilBound(t *testing.T, port int) {
	t.Helper()
	Until(t, fmt.Sprintf("a program has the UDP port %d", port), func() bool {
		for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
			b, err := os.ReadFile(table)
			if err == nil && strings.Contains(string(b), fmt.Sprintf(":%04X ", port)) {
				return true
			}
		}
		return false
	})
}

// UntilListening waits until a program that was just started takes connections.
func UntilListening(t *testing.T, addr string) {
	t.Helper()
	Until(t, "a program listens at "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
