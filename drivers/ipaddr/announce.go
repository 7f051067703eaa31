package ipaddr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// announcement is how often neighbours are told where an address is.
type announcement struct {
	count      int
	interval   time.Duration
	background bool
	target     net.HardwareAddr // in ARP packets
}

// announce tells the neighbours that the address is here: gratuitous ARP, or
// unsolicited neighbour advertisements. In the background only the first
// round is waited for, so that a wrong interface is still an error.
func announce(ctx context.Context, c *native.Call, h *host, p place, a announcement) error {
	n, err := h.nic(p.nic)
	if err != nil || n.silent || !n.ethernet || a.count <= 0 {
		return err
	}
	kind, what := uint16(etherARP), "gratuitous ARP"
	frames := gratuitousARP4(p.ip, n.mac, a.target)
	if p.ip.Is6() {
		kind, what = etherIPv6, "unsolicited neighbour advertisement"
		frames = [][]byte{neighbourAdvertisement(p.ip, n.mac)}
	}
	return c.Do(fmt.Sprintf("send %d × %s for %s on %s every %v", a.count, what, p.ip, p.nic, a.interval), func() error {
		fd, err := h.packets(n, kind)
		if err != nil {
			return err
		}
		send := func() error {
			for _, f := range frames {
				if err := unix.Send(fd, f, 0); err != nil {
					return err
				}
			}
			return nil
		}
		if err := send(); err != nil {
			unix.Close(fd)
			return err
		}
		if a.background {
			// Beyond the action: nothing keeps these apart from a stop that
			// comes meanwhile but a look at the address before each round.
			go func() {
				defer unix.Close(fd)
				repeat(context.WithoutCancel(ctx), a, func() error {
					if !stillHere(h.namespace, p) {
						return errors.New("the address has been removed")
					}
					return send()
				})
			}()
			return nil
		}
		defer unix.Close(fd)
		return repeat(ctx, a, send)
	})
}

// gratuitousARP4 is gratuitousARP for IPv4 and nothing for IPv6.
func gratuitousARP4(ip netip.Addr, mac, target net.HardwareAddr) [][]byte {
	if !ip.Is4() {
		return nil
	}
	if target == nil {
		target = broadcastMAC
	}
	return gratuitousARP(ip, mac, target)
}

func repeat(ctx context.Context, a announcement, send func() error) error {
	for range a.count - 1 {
		if err := native.Sleep(ctx, a.interval); err != nil {
			return err
		}
		if err := send(); err != nil {
			return err
		}
	}
	return nil
}

func stillHere(namespace string, p place) bool {
	h, err := openHost(namespace)
	if err != nil {
		return false
	}
	defer h.close()
	have, err := h.addresses(p.ip)
	if err != nil {
		return false
	}
	for _, a := range have {
		if a.prefix.Addr() == p.ip && a.nic == p.nic {
			return true
		}
	}
	return false
}

// Duplicate detection before an IPv4 address is added.
const (
	probeCount = 2
	probeWait  = 1500 * time.Millisecond // per probe
)

// duplicate asks the network for the address and returns the hardware address
// of who answers, nil if nobody does.
func duplicate(ctx context.Context, h *host, p place) (net.HardwareAddr, error) {
	n, err := h.nic(p.nic)
	if err != nil || n.silent || !n.ethernet {
		return nil, err
	}
	fd, err := h.packets(n, etherARP)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 256)
	for range probeCount {
		if err := unix.Send(fd, arpProbe(p.ip, n.mac), 0); err != nil {
			return nil, fmt.Errorf("send ARP probe on %s: %w", p.nic, err)
		}
		for end := time.Now().Add(probeWait); time.Now().Before(end); {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := setPatience(fd, min(time.Until(end), 100*time.Millisecond)); err != nil {
				return nil, err
			}
			k, _, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("receive ARP on %s: %w", p.nic, err)
			}
			if k < 14 {
				continue
			}
			if m, ok := parseARP(buf[14:k]); ok && m.senderIP == p.ip && m.senderHW.String() != n.mac.String() {
				return m.senderHW, nil
			}
		}
	}
	return nil, nil
}

// tentativeLimit is how long duplicate detection of IPv6 may take.
const tentativeLimit = 10 * time.Second

// settled waits until the kernel has finished duplicate address detection of
// a new IPv6 address. If somebody else has the address it is removed again.
func settled(ctx context.Context, c *native.Call, h *host, p place) drivers.Result {
	if !p.ip.Is6() || c.Dry() {
		return native.OK()
	}
	c.Waiting("duplicate address detection of %s", p.ip)
	limit, cancel := context.WithTimeout(ctx, tentativeLimit)
	defer cancel()
	var last address
	err := c.Poll(limit, 50*time.Millisecond, func() bool {
		have, err := h.addresses(p.ip)
		if err != nil {
			return false
		}
		for _, a := range have {
			if a.prefix.Addr() == p.ip && a.nic == p.nic {
				last = a
				return a.failed || !a.tentative
			}
		}
		return false
	})
	if err == nil && !last.failed {
		return native.OK()
	}
	removal := c.Do(fmt.Sprintf("ip addr del %s/%d dev %s", p.ip, p.bits, p.nic), func() error {
		return h.remove(address{prefix: netip.PrefixFrom(p.ip, p.bits), nic: p.nic})
	})
	if removal != nil {
		return native.Failed(removal)
	}
	if last.failed {
		return native.Fail(drivers.GenericError, "address %s is already in use by another host on %s", p.ip, p.nic)
	}
	return native.Fail(drivers.GenericError, "duplicate address detection of %s on %s did not finish within %v (is the interface connected?)",
		p.ip, p.nic, tentativeLimit)
}
