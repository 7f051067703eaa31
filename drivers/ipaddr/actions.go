package ipaddr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/icmp"
	"gcrm/drivers/native"
)

// reader reads the parameters of one of the two agents.
type reader func(*native.Call) (settings, error)

// view is what is known of the address on the host.
type view struct {
	here      *address  // the address where it belongs
	elsewhere []address // the same address on other interfaces
	where     place
	placed    error // why where is not complete
}

// look finds out where the address belongs and where it is. With no nic
// given, an address that is up anywhere is where it belongs: networks may
// have come and gone since it was added.
func look(h *host, s settings) (view, error) {
	var v view
	have, err := h.addresses(s.ip)
	if err != nil {
		return v, err
	}
	links, err := h.links()
	if err != nil {
		return v, err
	}
	routes, err := h.routes(s.ip)
	if err != nil {
		return v, err
	}
	v.where, v.placed = find(s.wish, links, routes)
	for _, a := range have {
		if a.prefix.Addr() != s.ip {
			continue
		}
		if s.lvs && a.nic == "lo" && v.where.nic != "lo" {
			continue // the host serves the address behind a balancer
		}
		if v.here == nil && (a.nic == v.where.nic || s.nic == "" && (v.placed != nil || !isAt(have, s.ip, v.where.nic))) {
			v.here = &a
			continue
		}
		v.elsewhere = append(v.elsewhere, a)
	}
	if s.numbered && v.placed == nil {
		if v.here != nil && v.here.label != "" {
			v.where.label = v.here.label
		} else {
			v.where.label = freeLabel(v.where.nic, have)
		}
	}
	return v, nil
}

func isAt(have []address, ip netip.Addr, nic string) bool {
	for _, a := range have {
		if a.prefix.Addr() == ip && a.nic == nic {
			return true
		}
	}
	return false
}

// wrong says in which way the address that is there is not as configured.
func (v view) wrong(s settings) string {
	a := v.here
	switch {
	case a == nil:
		return ""
	case s.bits >= 0 && a.prefix.Bits() != s.bits:
		return fmt.Sprintf("address %s on %s has prefix length %d instead of %d", s.ip, a.nic, a.prefix.Bits(), s.bits)
	case s.label != "" && a.label != a.nic+":"+s.label:
		return fmt.Sprintf("address %s on %s has label %q instead of %q", s.ip, a.nic, a.label, a.nic+":"+s.label)
	case a.failed:
		return fmt.Sprintf("address %s on %s is in use by another host (duplicate address detection failed)", s.ip, a.nic)
	}
	return ""
}

func monitor(read reader) native.Action {
	return func(ctx context.Context, c *native.Call) drivers.Result {
		s, err := read(c)
		if err != nil {
			return failure(err)
		}
		h, err := openHost(s.namespace)
		if err != nil {
			if c.Probe() {
				return notRunning(err)
			}
			return failure(err)
		}
		defer h.close()
		v, err := look(h, s)
		if err != nil {
			return failure(err)
		}
		if v.here == nil {
			return absent(c, s, v)
		}
		if why := v.wrong(s); why != "" {
			return native.Fail(drivers.GenericError, "%s", why)
		}
		if level, err := c.Level(); err != nil {
			return native.Fail(drivers.BadArgs, "%v", err)
		} else if level >= 10 && c.Agent.Type == "IPaddr" {
			return pinged(ctx, h, s.ip)
		}
		if s.refresh > 0 && !c.Probe() {
			again := announcement{count: s.refresh, interval: s.arp.interval, background: true, target: s.arp.target}
			if err := announce(ctx, c, h, place{ip: s.ip, nic: v.here.nic, bits: v.here.prefix.Bits()}, again); err != nil {
				return failure(err)
			}
		}
		return native.OK()
	}
}

func absent(c *native.Call, s settings, v view) drivers.Result {
	var pe *placeError
	if errors.As(v.placed, &pe) {
		if pe.rc == drivers.NotConfigured {
			return failure(v.placed)
		}
		return notRunning(v.placed)
	}
	if len(v.elsewhere) > 0 {
		why := fmt.Sprintf("address %s is on %s instead of %s", s.ip, v.elsewhere[0].nic, v.where.nic)
		if c.Probe() {
			return native.Fail(drivers.NotRunning, "%s", why)
		}
		return native.Fail(drivers.GenericError, "%s", why)
	}
	return native.NotRunning()
}

func notRunning(err error) drivers.Result { return native.Fail(drivers.NotRunning, "%v", err) }

// pinged is the deeper check of IPaddr: the address answers.
func pinged(ctx context.Context, h *host, ip netip.Addr) drivers.Result {
	var last error
	for range 10 {
		err := h.within(func() error {
			_, err := icmp.Echo(ctx, ip, time.Second)
			return err
		})
		if err == nil {
			return native.OK()
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return native.Fail(drivers.GenericError, "address %s is up but does not answer: %v", ip, last)
}

func start(read reader) native.Action {
	return func(ctx context.Context, c *native.Call) drivers.Result {
		s, err := read(c)
		if err != nil {
			return failure(err)
		}
		h, err := openHost(s.namespace)
		if err != nil {
			return failure(err)
		}
		defer h.close()
		v, err := look(h, s)
		if err != nil {
			return failure(err)
		}
		if v.here != nil && v.wrong(s) == "" {
			return native.OK()
		}
		if v.placed != nil {
			return failure(v.placed)
		}
		if len(v.elsewhere) > 0 {
			return native.Fail(drivers.GenericError, "address %s is already on %s; remove it there, or set nic=%s",
				s.ip, v.elsewhere[0].nic, v.elsewhere[0].nic)
		}
		if v.here != nil { // with another prefix or label: take it anew
			if res := removeAddress(c, h, *v.here); res.RC != drivers.OK {
				return res
			}
		}
		if s.detect && s.ip.Is4() {
			c.Waiting("an answer to ARP probes for %s", s.ip)
			switch owner, err := duplicate(ctx, h, v.where); {
			case err != nil:
				return failure(err)
			case owner != nil:
				return native.Fail(drivers.GenericError, "address %s is already in use by the host with hardware address %s on %s",
					s.ip, owner, v.where.nic)
			}
		}
		return bringUp(ctx, c, h, s, v.where)
	}
}

func bringUp(ctx context.Context, c *native.Call, h *host, s settings, p place) drivers.Result {
	if s.lvs {
		if res := leaveLoopback(c, h, s.ip); res.RC != drivers.OK {
			return res
		}
	}
	n := s.options
	n.place = p
	if err := c.Do(n.String(), func() error { return h.add(n) }); err != nil {
		return failure(err)
	}
	if i, err := h.nic(p.nic); err != nil {
		return failure(err)
	} else if !i.up {
		if err := c.Do("ip link set up dev "+p.nic, func() error { return h.up(p.nic) }); err != nil {
			return failure(err)
		}
	}
	if s.addressLabel != nil {
		err := c.Do(fmt.Sprintf("ip addrlabel add prefix %s label %d", s.ip, *s.addressLabel), func() error {
			return h.labelAddress(s.ip, *s.addressLabel, true)
		})
		if err != nil {
			return failure(err)
		}
	}
	if res := settled(ctx, c, h, p); res.RC != drivers.OK {
		return res
	}
	if err := announce(ctx, c, h, p, s.arp); err != nil {
		return failure(err)
	}
	if s.startScript != "" {
		return failure(c.Change(ctx, s.startScript, drivers.Start))
	}
	return native.OK()
}

func stop(read reader) native.Action {
	return func(ctx context.Context, c *native.Call) drivers.Result {
		s, err := read(c)
		if err != nil && !s.ip.IsValid() {
			return native.OK() // no address: none can have been added
		}
		h, err := openHost(s.namespace)
		if err != nil {
			var pe *placeError
			if errors.As(err, &pe) {
				return native.OK() // the namespace is gone, and the address with it
			}
			return failure(err)
		}
		defer h.close()
		v, err := look(h, s)
		if err != nil {
			return failure(err)
		}
		if v.here == nil {
			return native.OK()
		}
		if s.stopScript != "" {
			if err := c.Change(ctx, s.stopScript, drivers.Stop); err != nil {
				return failure(err)
			}
		}
		if res := removeAddress(c, h, *v.here); res.RC != drivers.OK {
			return res
		}
		if s.addressLabel != nil {
			err := c.Do(fmt.Sprintf("ip addrlabel del prefix %s label %d", s.ip, *s.addressLabel), func() error {
				return h.labelAddress(s.ip, *s.addressLabel, false)
			})
			if err != nil {
				return failure(err)
			}
		}
		if s.lvs {
			if res := returnToLoopback(c, h, s.ip); res.RC != drivers.OK {
				return res
			}
		}
		if s.flush {
			if err := c.Do("ip route flush cache", func() error { return h.flushRoutes(s.ip) }); err != nil {
				return failure(err)
			}
		}
		if c.Dry() {
			return native.OK()
		}
		if v, err = look(h, s); err != nil {
			return failure(err)
		} else if v.here != nil {
			return native.Fail(drivers.GenericError, "address %s is still on %s after it was removed", s.ip, v.here.nic)
		}
		return native.OK()
	}
}

func removeAddress(c *native.Call, h *host, a address) drivers.Result {
	return failure(c.Do(fmt.Sprintf("ip addr del %s dev %s", a.prefix, a.nic), func() error { return h.remove(a) }))
}

// leaveLoopback takes the address off the loopback interface, where hosts
// behind an LVS balancer have it, and records it to be put back by stop.
func leaveLoopback(c *native.Call, h *host, ip netip.Addr) drivers.Result {
	have, err := h.addresses(ip)
	if err != nil {
		return failure(err)
	}
	for _, a := range have {
		if a.prefix.Addr() != ip || a.nic != "lo" {
			continue
		}
		path, err := c.StateFile("loopback-" + c.Instance())
		if err == nil {
			err = c.WriteState(path, strings.TrimSpace(a.prefix.String()+" "+a.label)+"\n")
		}
		if err != nil {
			return failure(err)
		}
		return removeAddress(c, h, a)
	}
	return native.OK()
}

func returnToLoopback(c *native.Call, h *host, ip netip.Addr) drivers.Result {
	path, err := c.StateFile("loopback-" + c.Instance())
	if err != nil {
		return failure(err)
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return native.OK()
	}
	words := strings.Fields(string(raw))
	if err != nil || len(words) == 0 {
		return native.Fail(drivers.GenericError, "%s: cannot tell how address %s was on lo (%v)", path, ip, err)
	}
	prefix, err := netip.ParsePrefix(words[0])
	if err != nil {
		return native.Fail(drivers.GenericError, "%s: %v", path, err)
	}
	n := newAddress{place: place{ip: prefix.Addr(), nic: "lo", bits: prefix.Bits()}, preferred: forever}
	if len(words) > 1 {
		n.label = words[1]
	}
	if err := c.Do(n.String(), func() error { return h.add(n) }); err != nil {
		return failure(err)
	}
	return native.Failed(c.Remove(path))
}
