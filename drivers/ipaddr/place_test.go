package ipaddr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/inetsum"
)

func TestFind(t *testing.T) {
	links := []string{"lo", "eth0", "eth1", "averylongname15"}
	net := func(s, nic string, metric int) route { return route{netip.MustParsePrefix(s), nic, metric} }
	routes := []route{
		net("10.0.0.0/8", "eth0", 0), net("10.1.0.0/16", "eth1", 100), net("10.1.0.0/16", "eth0", 200),
		net("192.168.1.0/24", "averylongname15", 0), net("fd00:1::/64", "eth1", 256), net("0.0.0.0/0", "eth0", 0),
	}
	for _, c := range []struct {
		ip, nic string
		bits    int
		label   string
		brd     string
		want    string // place, or part of the error
		rc      drivers.RC
	}{
		{"10.1.2.3", "", -1, "", "", "10.1.2.3/16 on eth1 brd 10.1.255.255", 0},
		{"10.1.2.3", "eth0", -1, "", "", "10.1.2.3/16 on eth0 brd 10.1.255.255", 0},
		{"10.2.2.3", "", 24, "", "", "10.2.2.3/24 on eth0 brd 10.2.2.255", 0},
		{"10.2.2.3", "", 32, "", "", "10.2.2.3/32 on eth0", 0},
		{"10.2.2.3", "", 24, "web", "-", "10.2.2.3/24 on eth0 brd 10.2.2.0 label eth0:web", 0},
		{"10.2.2.3", "", -1, "", "10.9.9.9", "10.2.2.3/8 on eth0 brd 10.9.9.9", 0},
		{"172.16.0.1", "eth1", 12, "", "", "172.16.0.1/12 on eth1 brd 172.31.255.255", 0},
		{"fd00:1::7", "", -1, "", "", "fd00:1::7/64 on eth1", 0},
		{"172.16.0.1", "", -1, "", "", "no connected network has address 172.16.0.1", drivers.NotInstalled},
		{"172.16.0.1", "eth1", -1, "", "", "set cidr_netmask", drivers.NotConfigured},
		{"10.1.2.3", "eth7", -1, "", "", "there is no interface eth7 (there are lo, eth0", drivers.NotInstalled},
		{"192.168.1.9", "", -1, "a", "", "longer than 15", drivers.NotConfigured},
		{"fd00:1::7", "", -1, "a", "", "no labels", drivers.NotConfigured},
		{"10.1.2.3", "", -1, "", "x", "not an IPv4 address", drivers.NotConfigured},
	} {
		p, err := find(wish{ip: netip.MustParseAddr(c.ip), nic: c.nic, bits: c.bits, label: c.label, broadcast: c.brd}, links, routes)
		got := p.String()
		if p.broadcast.IsValid() {
			got += " brd " + p.broadcast.String()
		}
		if p.label != "" {
			got += " label " + p.label
		}
		if c.rc == 0 && (err != nil || got != c.want) {
			t.Errorf("%s on %q: %s, %v; want %s", c.ip, c.nic, got, err, c.want)
		}
		var pe *placeError
		if c.rc != 0 && (!errors.As(err, &pe) || pe.rc != c.rc || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %q: %v; want %v %s", c.ip, c.nic, err, c.rc, c.want)
		}
	}
}

func TestParseMask(t *testing.T) {
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		s    string
		ip   netip.Addr
		want int
		ok   bool
	}{{"24", four, 24, true}, {"255.255.240.0", four, 20, true}, {"", four, -1, true}, {"64", six, 64, true}, {"0", four, 0, true},
		{"33", four, 0, false}, {"255.0.255.0", four, 0, false}, {"129", six, 0, false}, {"255.255.0.0", six, 0, false}, {"x", four, 0, false}} {
		got, err := parseMask(c.s, c.ip)
		if got != c.want && c.ok || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v", c.s, got, err)
		}
	}
}

func TestFrames(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	frames := gratuitousARP(netip.MustParseAddr("192.0.2.9"), mac, broadcastMAC)
	for i, want := range []string{
		"ffffffffffff" + "020000000009" + "0806" + "0001" + "0800" + "06" + "04" + "0001" + "020000000009" + "c0000209" + "ffffffffffff" + "c0000209",
		"ffffffffffff" + "020000000009" + "0806" + "0001" + "0800" + "06" + "04" + "0002" + "020000000009" + "c0000209" + "ffffffffffff" + "c0000209",
	} {
		if got := fmt.Sprintf("%x", frames[i]); got != want {
			t.Errorf("frame %d:\n%s\n%s", i, got, want)
		}
	}
	p, ok := parseARP(frames[1][14:])
	if !ok || p.op != arpReply || p.senderIP.String() != "192.0.2.9" || p.senderHW.String() != mac.String() {
		t.Errorf("%+v", p)
	}
	if _, ok := parseARP(frames[1][14:40]); ok {
		t.Error("a short packet was read")
	}
	na := neighbourAdvertisement(netip.MustParseAddr("fd00::9"), mac)
	if len(na) != 14+40+32 || na[14+7] != 255 || na[14+40] != 136 || na[14+40+4] != 0x20 {
		t.Errorf("%x", na)
	}
	if got := inetsum.Transport(netip.MustParseAddr("fd00::9"), allNodes, icmpv6, na[54:]); got != 0 {
		t.Errorf("the checksum over a message with its checksum is %x: %x", got, na)
	}
}

func FuzzParseARP(f *testing.F) {
	f.Add(arpProbe(netip.MustParseAddr("10.0.0.1"), net.HardwareAddr{1, 2, 3, 4, 5, 6})[14:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := parseARP(b); ok && (!p.senderIP.Is4() || len(p.senderHW) != 6) {
			t.Errorf("%+v", p)
		}
	})
}
