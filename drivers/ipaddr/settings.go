package ipaddr

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

// settings are the parameters of either agent in one form.
type settings struct {
	wish
	namespace    string
	numbered     bool // label NIC:N as IPaddr makes it
	lvs          bool
	addressLabel *uint32
	arp          announcement
	refresh      int // gratuitous ARPs sent by a recurring monitor
	detect       bool
	flush        bool
	options      newAddress // flags only
	startScript  string
	stopScript   string
}

// settings2 reads the parameters of IPaddr2.
func settings2(c *native.Call) (settings, error) {
	v := c.Params
	s, err := common(c)
	if err != nil {
		return s, err
	}
	s.namespace = v.String("network_namespace")
	clones := c.MetaInt("clone_max", 1)
	unique := v.Bool("unique_clone_address")
	switch {
	case v.String("mac") != "":
		return s, misconfigured("mac: an address shared by hardware multicast (cluster IP) is not supported; remove the parameter")
	case unique && !c.MetaTrue("globally_unique"):
		return s, misconfigured("unique_clone_address needs the clone's meta attribute globally-unique=true")
	case clones > 1 && !unique && c.MetaTrue("globally_unique"):
		return s, misconfigured("a cloned address that shares load (cluster IP, clusterip_hash) is not supported: use unique_clone_address=true, or no clone")
	case s.lvs && clones > 1:
		return s, misconfigured("lvs_support does not go with a clone")
	case s.lvs && s.ip.Is6():
		return s, misconfigured("lvs_support is for IPv4 only")
	}
	if unique {
		if s.ip, err = numberedAddress(s.ip, c.MetaInt("clone", 0)); err != nil {
			return s, err
		}
	}
	if v.Bool("lvs_ipv6_addrlabel") {
		if s.ip.Is4() {
			return s, misconfigured("lvs_ipv6_addrlabel is for IPv6 only")
		}
		n := v.Int("lvs_ipv6_addrlabel_value")
		if n < 0 {
			return s, misconfigured("lvs_ipv6_addrlabel_value %d is negative", n)
		}
		label := uint32(n)
		s.addressLabel = &label
	}
	if err := sender(v); err != nil {
		return s, err
	}
	for _, name := range []string{"run_arping", "nodad", "noprefixroute"} {
		if _, ok := meta.ParseBool(v.String(name)); !ok && v.String(name) != "" {
			return s, misconfigured("parameter %s: %q is not true or false", name, v.String(name))
		}
	}
	s.arp = announcement{count: v.Int("arp_count"), interval: time.Duration(v.Int("arp_interval")) * time.Millisecond,
		background: s.ip.Is4()}
	if text := v.String("arp_bg"); text != "" {
		bg, ok := meta.ParseBool(text)
		if !ok {
			return s, misconfigured("parameter arp_bg: %q is not true or false", text)
		}
		s.arp.background = bg
	}
	if s.arp.count < 0 || s.arp.interval < 0 {
		return s, misconfigured("arp_count and arp_interval must not be negative")
	}
	s.refresh = v.Int("arp_count_refresh")
	s.detect = v.Bool("run_arping")
	s.flush = v.Bool("flush_routes")
	s.options.noDAD, s.options.noPrefixRoute = v.Bool("nodad"), v.Bool("noprefixroute")
	s.options.preferred = forever
	if text := v.String("preferred_lft"); text != "" && text != "forever" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return s, misconfigured("preferred_lft %q is neither forever nor a number of seconds", text)
		}
		if s.ip.Is4() {
			return s, misconfigured("preferred_lft is for IPv6 only")
		}
		s.options.preferred = uint32(n)
	}
	return s, nil
}

// sender refuses what speaks to the external programs the script uses.
func sender(v meta.Values) error {
	switch name := v.String("arp_sender"); name {
	case "", "send_arp", "arping":
	default:
		return misconfigured("arp_sender %s is not supported: the built-in sender serves Ethernet; leave the parameter out", name)
	}
	if v.String("send_arp_opts") != "" {
		return misconfigured("send_arp_opts are options of an external program that the built-in agent does not use; use arp_count, arp_interval and arp_bg")
	}
	return nil
}

// numberedAddress adds the number of a clone instance to the last octet.
func numberedAddress(ip netip.Addr, n int) (netip.Addr, error) {
	raw := ip.AsSlice()
	last := int(raw[len(raw)-1]) + n
	if last > 255 {
		return ip, misconfigured("unique_clone_address: %s plus %d leaves the range of the last octet", ip, n)
	}
	raw[len(raw)-1] = byte(last)
	out, _ := netip.AddrFromSlice(raw)
	return out, nil
}

// settings1 reads the parameters of IPaddr.
func settings1(c *native.Call) (settings, error) {
	v := c.Params
	s, err := common(c)
	if err != nil {
		return s, err
	}
	if !s.ip.Is4() {
		return s, misconfigured("ip %s: IPaddr takes IPv4 addresses only; use IPaddr2", s.ip)
	}
	s.numbered = s.label == ""
	target, err := hex.DecodeString(v.String("ARP_NETMASK"))
	if err != nil || len(target) != 6 {
		return s, misconfigured("ARP_NETMASK %q is not six bytes in hexadecimal", v.String("ARP_NETMASK"))
	}
	s.arp = announcement{count: v.Int("ARP_REPEAT"), interval: time.Duration(v.Int("ARP_INTERVAL_MS")) * time.Millisecond,
		background: v.Bool("ARP_BACKGROUND"), target: net.HardwareAddr(target)}
	if s.arp.count < 0 || s.arp.interval < 0 {
		return s, misconfigured("ARP_REPEAT and ARP_INTERVAL_MS must not be negative")
	}
	s.options.preferred = forever
	s.startScript, s.stopScript = v.String("local_start_script"), v.String("local_stop_script")
	return s, nil
}

// common reads what both agents have.
func common(c *native.Call) (settings, error) {
	v := c.Params
	var s settings
	ip, err := netip.ParseAddr(strings.TrimSpace(v.String("ip")))
	if err != nil || ip.Zone() != "" {
		return s, misconfigured("ip %q is not an IP address", v.String("ip"))
	}
	s.ip = ip.Unmap()
	s.broadcast, s.label = v.String("broadcast"), v.String("iflabel")
	if v.Set("nic") {
		// NIC:LABEL is an old way to give both.
		nic, label, both := strings.Cut(v.String("nic"), ":")
		s.nic = nic
		if both && s.label == "" && c.Agent.Type != "IPaddr" {
			s.label = label
		}
	}
	s.lvs = v.Bool("lvs_support")
	mask := v.String("cidr_netmask")
	if mask == "" {
		mask = v.String("netmask")
	}
	s.bits, err = parseMask(mask, s.ip)
	return s, err
}

// failure turns an error of this package into a result.
func failure(err error) drivers.Result {
	var p *placeError
	if errors.As(err, &p) {
		return native.Fail(p.rc, "%s", p.why)
	}
	return native.Failed(err)
}
