package ipaddr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is the network stack of one namespace.
type host struct {
	handle    *netlink.Handle
	namespace string // empty for the daemon's own
}

// openHost opens the stack of a named namespace (below /run/netns).
func openHost(namespace string) (*host, error) {
	h := &host{namespace: namespace}
	if namespace == "" {
		var err error
		h.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return h, err
	}
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		return nil, nowhere("there is no network namespace %s: %v", namespace, err)
	}
	defer ns.Close()
	h.handle, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	return h, nil
}

func (h *host) close() { h.handle.Close() }

// within calls f on a thread that is in the namespace, for what netlink
// cannot do: sockets opened by f stay there.
func (h *host) within(f func() error) error {
	if h.namespace == "" {
		return f()
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	ns, err := netns.GetFromName(h.namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", h.namespace, err)
	}
	err = f()
	if back := netns.Set(home); back == nil {
		runtime.UnlockOSThread()
	} // else the thread stays locked and ends with its goroutine
	return err
}

func (h *host) links() ([]string, error) {
	links, err := h.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []string
	for _, l := range links {
		out = append(out, l.Attrs().Name)
	}
	return out, nil
}

// routes lists the directly connected networks of one family.
func (h *host) routes(ip netip.Addr) ([]route, error) {
	names := map[int]string{}
	links, err := h.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	list, err := h.handle.RouteListFiltered(family(ip), &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []route
	for _, r := range list {
		if r.Dst == nil || r.Gw != nil || len(r.MultiPath) > 0 || r.Type != unix.RTN_UNICAST ||
			ip.Is4() && r.Scope != unix.RT_SCOPE_LINK {
			continue
		}
		network, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if !ok || names[r.LinkIndex] == "" {
			continue
		}
		network = network.Unmap()
		if network.IsLinkLocalUnicast() && network.Is6() {
			continue // every interface has it: it says nothing
		}
		out = append(out, route{netip.PrefixFrom(network, bits), names[r.LinkIndex], r.Priority})
	}
	return out, nil
}

// addresses lists the addresses of the family of ip.
func (h *host) addresses(ip netip.Addr) ([]address, error) {
	list, err := h.handle.AddrList(nil, family(ip))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	names := map[int]string{}
	var out []address
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		name, known := names[a.LinkIndex]
		if !known {
			if l, err := h.handle.LinkByIndex(a.LinkIndex); err == nil {
				name = l.Attrs().Name
			}
			names[a.LinkIndex] = name
		}
		bits, _ := a.Mask.Size()
		out = append(out, address{prefix: netip.PrefixFrom(ip.Unmap(), bits), nic: name, label: a.Label,
			tentative: a.Flags&unix.IFA_F_TENTATIVE != 0, failed: a.Flags&unix.IFA_F_DADFAILED != 0})
	}
	return out, nil
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// forever is the lifetime of an address that does not expire.
const forever = 0xffffffff

// newAddress says how an address is to be added.
type newAddress struct {
	place
	noDAD, noPrefixRoute bool
	preferred            uint32 // seconds, or forever
}

// String is the ip command that does the same.
func (n newAddress) String() string {
	s := fmt.Sprintf("ip addr add %s/%d dev %s", n.ip, n.bits, n.nic)
	if n.broadcast.IsValid() {
		s += " brd " + n.broadcast.String()
	}
	if n.label != "" {
		s += " label " + n.label
	}
	if n.noDAD {
		s += " nodad"
	}
	if n.noPrefixRoute {
		s += " noprefixroute"
	}
	if n.preferred != forever {
		s += fmt.Sprintf(" preferred_lft %d", n.preferred)
	}
	return s
}

func (h *host) add(n newAddress) error {
	link, err := h.handle.LinkByName(n.nic)
	if err != nil {
		return err
	}
	a := &netlink.Addr{IPNet: ipnet(n.ip, n.bits), Label: n.label, Broadcast: net.IPv4zero}
	if n.broadcast.IsValid() {
		a.Broadcast = n.broadcast.AsSlice()
	}
	if n.noDAD {
		a.Flags |= unix.IFA_F_NODAD
	}
	if n.noPrefixRoute {
		a.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if n.preferred != forever {
		a.ValidLft, a.PreferedLft = forever, int(n.preferred)
	}
	if n.ip.IsLoopback() {
		a.Scope = unix.RT_SCOPE_HOST
	}
	return h.handle.AddrAdd(link, a)
}

// remove deletes an address; one that is gone already is fine.
func (h *host) remove(a address) error {
	link, err := h.handle.LinkByName(a.nic)
	if err != nil {
		return err
	}
	err = h.handle.AddrDel(link, &netlink.Addr{IPNet: ipnet(a.prefix.Addr(), a.prefix.Bits()), Broadcast: net.IPv4zero})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func ipnet(ip netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}
}

// nic is an interface as far as announcing an address needs it.
type nic struct {
	index    int
	name     string
	mac      net.HardwareAddr
	up       bool
	silent   bool // knows no ARP and no neighbours: loopback, tunnels
	ethernet bool
}

func (h *host) nic(name string) (nic, error) {
	l, err := h.handle.LinkByName(name)
	if err != nil {
		return nic{}, fmt.Errorf("interface %s: %w", name, err)
	}
	at := l.Attrs()
	return nic{index: at.Index, name: name, mac: at.HardwareAddr, up: at.Flags&net.FlagUp != 0,
		silent:   at.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0,
		ethernet: at.EncapType == "ether" && len(at.HardwareAddr) == 6}, nil
}

func (h *host) up(name string) error {
	l, err := h.handle.LinkByName(name)
	if err != nil {
		return err
	}
	return h.handle.LinkSetUp(l)
}

// flushRoutes drops what the kernel remembers of paths to other hosts.
func (h *host) flushRoutes(ip netip.Addr) error {
	path := "/proc/sys/net/ipv4/route/flush"
	if ip.Is6() {
		path = "/proc/sys/net/ipv6/route/flush"
	}
	return h.within(func() error { return os.WriteFile(path, []byte("1\n"), 0o200) })
}

// labelAddress sets or removes the label of an IPv6 prefix that source
// address selection goes by (RFC 6724).
func (h *host) labelAddress(ip netip.Addr, label uint32, add bool) error {
	return h.within(func() error {
		kind, flags := unix.RTM_NEWADDRLABEL, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL
		if !add {
			kind, flags = unix.RTM_DELADDRLABEL, unix.NLM_F_ACK
		}
		req := nl.NewNetlinkRequest(kind, flags)
		req.AddData(&addressLabel{bits: 128})
		req.AddData(nl.NewRtAttr(1, ip.AsSlice())) // IFAL_ADDRESS
		req.AddData(nl.NewRtAttr(2, binary.NativeEndian.AppendUint32(nil, label)))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		if add && errors.Is(err, unix.EEXIST) || !add && errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	})
}

// addressLabel is struct ifaddrlblmsg.
type addressLabel struct{ bits byte }

func (*addressLabel) Len() int            { return 12 }
func (m *addressLabel) Serialize() []byte { return []byte{unix.AF_INET6, 0, m.bits, 11: 0} }

// packets opens a socket for frames of one Ethernet type on an interface.
func (h *host) packets(n nic, kind uint16) (fd int, err error) {
	err = h.within(func() error {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(swap(kind)))
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(kind), Ifindex: n.index}); err != nil {
			unix.Close(fd)
			return fmt.Errorf("packet socket on %s: %w", n.name, err)
		}
		return nil
	})
	return fd, err
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// setPatience bounds how long a read on the socket waits.
func setPatience(fd int, d time.Duration) error {
	tv := unix.NsecToTimeval(max(d, time.Millisecond).Nanoseconds())
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}
