package ipaddr

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"gcrm/drivers"
)

// address is one address of the host.
type address struct {
	prefix    netip.Prefix // the address with its prefix length
	nic       string
	label     string
	tentative bool
	failed    bool // duplicate address detection found another owner
}

// route is one route of the main table to a directly connected network.
type route struct {
	network netip.Prefix
	nic     string
	metric  int
}

// place is where an address belongs: what the parameters say, completed from
// the connected networks.
type place struct {
	ip        netip.Addr
	nic       string
	bits      int
	broadcast netip.Addr // invalid for none
	label     string     // full label, empty for none
}

func (p place) String() string { return fmt.Sprintf("%s/%d on %s", p.ip, p.bits, p.nic) }

// wish is what the parameters say about the place; zero values are open.
type wish struct {
	ip        netip.Addr
	nic       string
	bits      int // -1 if open
	broadcast string
	label     string // without the interface
}

// placeError carries the exit code along with the reason.
type placeError struct {
	rc  drivers.RC
	why string
}

func (e *placeError) Error() string { return e.why }

func misconfigured(format string, args ...any) error {
	return &placeError{drivers.NotConfigured, fmt.Sprintf(format, args...)}
}

func nowhere(format string, args ...any) error {
	return &placeError{drivers.NotInstalled, fmt.Sprintf(format, args...)}
}

// find completes a wish: without an interface it takes that of the most
// specific connected network with the address in it, the lowest metric first
// among equals; without a prefix length that of the network.
func find(w wish, links []string, routes []route) (place, error) {
	p := place{ip: w.ip, nic: w.nic, bits: w.bits}
	if w.nic != "" && !has(links, w.nic) {
		return p, nowhere("there is no interface %s (there are %s)", w.nic, strings.Join(links, ", "))
	}
	if w.nic == "" || w.bits < 0 {
		best, ok := connected(w.ip, w.nic, routes)
		switch {
		case ok:
			if p.nic == "" {
				p.nic = best.nic
			}
			if p.bits < 0 {
				p.bits = best.network.Bits()
			}
		case w.nic == "":
			return p, nowhere("no connected network has address %s: set nic, or give the host an address in that network", w.ip)
		default:
			return p, misconfigured("no network connected to %s has address %s: set cidr_netmask", w.nic, w.ip)
		}
	}
	if w.label != "" {
		if w.ip.Is6() {
			return p, misconfigured("iflabel %s: IPv6 addresses have no labels", w.label)
		}
		p.label = p.nic + ":" + w.label
		if len(p.label) > 15 {
			return p, misconfigured("interface label %s is longer than 15 characters", p.label)
		}
	}
	var err error
	p.broadcast, err = broadcastOf(w, p.bits)
	return p, err
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func connected(ip netip.Addr, nic string, routes []route) (best route, ok bool) {
	for _, r := range routes {
		if !r.network.Contains(ip) || r.network.Bits() == 0 || nic != "" && r.nic != nic {
			continue
		}
		if !ok || r.network.Bits() > best.network.Bits() ||
			r.network.Bits() == best.network.Bits() && r.metric < best.metric {
			best, ok = r, true
		}
	}
	return best, ok
}

// broadcastOf is the broadcast address: as given, "+" and "-" for all host
// bits one or zero, and all ones by default.
func broadcastOf(w wish, bits int) (netip.Addr, error) {
	if w.ip.Is6() {
		if w.broadcast != "" {
			return netip.Addr{}, misconfigured("broadcast %s: IPv6 has no broadcast addresses", w.broadcast)
		}
		return netip.Addr{}, nil
	}
	switch w.broadcast {
	case "", "+":
		if w.broadcast == "" && bits > 30 {
			return netip.Addr{}, nil
		}
		raw := w.ip.As4()
		for i := range 32 - bits {
			raw[3-i/8] |= 1 << (i % 8)
		}
		return netip.AddrFrom4(raw), nil
	case "-":
		return netip.PrefixFrom(w.ip, bits).Masked().Addr(), nil
	}
	b, err := netip.ParseAddr(w.broadcast)
	if err != nil || !b.Is4() {
		return netip.Addr{}, misconfigured("broadcast %q is not an IPv4 address", w.broadcast)
	}
	return b, nil
}

// parseMask reads a prefix length or a dotted mask; empty gives -1.
func parseMask(s string, ip netip.Addr) (int, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > ip.BitLen() {
			return 0, misconfigured("cidr_netmask %d is not between 0 and %d", n, ip.BitLen())
		}
		return n, nil
	}
	if m := net.ParseIP(s).To4(); m != nil && ip.Is4() {
		if ones, total := net.IPMask(m).Size(); total == 32 {
			return ones, nil
		}
	}
	return 0, misconfigured("cidr_netmask %q is neither a prefix length nor a netmask", s)
}

// freeLabel is the first label NIC:N that no address has.
func freeLabel(nic string, have []address) string {
	for n := 0; ; n++ {
		label := nic + ":" + strconv.Itoa(n)
		taken := false
		for _, a := range have {
			taken = taken || a.label == label
		}
		if !taken {
			return label
		}
	}
}
