package transport

import (
	"net"
	"net/netip"
	"sync"
)

// Bounds of connections whose handshake is not over: of all of them, and of
// those from one address, so that one machine cannot keep the others out.
const (
	maxStrangers   = 64
	maxFromAddress = maxStrangers / 4
)

// crowd counts the connections whose handshake is not over.
type crowd struct {
	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// enter takes a connection in until leave is called; false if there are too
// many.
func (c *crowd) enter(addr net.Addr) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from := origin(addr)
	if c.all >= maxStrangers || from.IsValid() && c.from[from] >= maxFromAddress {
		return nil, false
	}
	c.all++
	if from.IsValid() {
		if c.from == nil {
			c.from = map[netip.Prefix]int{}
		}
		c.from[from]++
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if from.IsValid() {
			if c.from[from]--; c.from[from] == 0 {
				delete(c.from, from)
			}
		}
	}, true
}

// origin is whom an address belongs to: one machine, or in IPv6 one network of
// 64 bits, in which a machine can have as many addresses as it likes. It is not
// valid for this machine itself, on which several nodes may run.
func origin(addr net.Addr) netip.Prefix {
	t, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	a := t.AddrPort().Addr().Unmap()
	if !a.IsValid() || a.IsLoopback() {
		return netip.Prefix{}
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
