package ipaddr

import (
	"encoding/binary"
	"net"
	"net/netip"

	"gcrm/drivers/inetsum"
)

// Ethernet types and protocol numbers used here.
const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	icmpv6    = 58
)

var (
	broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodesMAC  = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
	allNodes     = netip.MustParseAddr("ff02::1")
)

func ethernet(dst, src net.HardwareAddr, kind uint16, payload []byte) []byte {
	b := make([]byte, 0, 14+len(payload))
	b = append(b, dst...)
	b = append(b, src...)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(b, payload...)
}

// arpOperation tells a question from an answer.
type arpOperation uint16

const (
	arpRequest arpOperation = 1
	arpReply   arpOperation = 2
)

// arp is an ARP packet for IPv4 over Ethernet.
type arp struct {
	op       arpOperation
	senderHW net.HardwareAddr
	senderIP netip.Addr
	targetHW net.HardwareAddr
	targetIP netip.Addr
}

func (p arp) marshal() []byte {
	b := make([]byte, 0, 28)
	b = binary.BigEndian.AppendUint16(b, 1)      // Ethernet
	b = binary.BigEndian.AppendUint16(b, 0x0800) // IPv4
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(p.op))
	b = append(b, p.senderHW...)
	b = append(b, p.senderIP.AsSlice()...)
	b = append(b, p.targetHW...)
	return append(b, p.targetIP.AsSlice()...)
}

// parseARP reads the payload of an ARP frame; ok is false for other hardware
// or protocols and for anything cut short.
func parseARP(b []byte) (p arp, ok bool) {
	if len(b) < 28 || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != 0x0800 || b[4] != 6 || b[5] != 4 {
		return arp{}, false
	}
	return arp{
		op:       arpOperation(binary.BigEndian.Uint16(b[6:])),
		senderHW: net.HardwareAddr(append([]byte(nil), b[8:14]...)),
		senderIP: netip.AddrFrom4([4]byte(b[14:18])),
		targetHW: net.HardwareAddr(append([]byte(nil), b[18:24]...)),
		targetIP: netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// gratuitousARP returns the frames by which a node says that the address is
// at its interface: some equipment learns from requests only, some from
// replies only. target is the hardware address in the packet, all ones by
// default.
func gratuitousARP(ip netip.Addr, mac, target net.HardwareAddr) [][]byte {
	ask := arp{op: arpRequest, senderHW: mac, senderIP: ip, targetHW: target, targetIP: ip}
	tell := arp{op: arpReply, senderHW: mac, senderIP: ip, targetHW: target, targetIP: ip}
	return [][]byte{
		ethernet(broadcastMAC, mac, etherARP, ask.marshal()),
		ethernet(broadcastMAC, mac, etherARP, tell.marshal()),
	}
}

// arpProbe asks who has an address without claiming one (RFC 5227).
func arpProbe(ip netip.Addr, mac net.HardwareAddr) []byte {
	p := arp{op: arpRequest, senderHW: mac, senderIP: netip.IPv4Unspecified(), targetHW: make(net.HardwareAddr, 6), targetIP: ip}
	return ethernet(broadcastMAC, mac, etherARP, p.marshal())
}

// neighbourAdvertisement is the frame of an unsolicited neighbour
// advertisement to all nodes with the override flag set (RFC 4861).
func neighbourAdvertisement(ip netip.Addr, mac net.HardwareAddr) []byte {
	body := []byte{136, 0, 0, 0, 0x20, 0, 0, 0} // type, code, checksum, override
	body = append(body, ip.AsSlice()...)
	body = append(body, 2, 1) // target link-layer address, one unit of 8 bytes
	body = append(body, mac...)
	binary.BigEndian.PutUint16(body[2:], inetsum.Transport(ip, allNodes, icmpv6, body))

	packet := []byte{0x60, 0, 0, 0}
	packet = binary.BigEndian.AppendUint16(packet, uint16(len(body)))
	packet = append(packet, icmpv6, 255) // hop limit 255, else it is ignored
	packet = append(packet, ip.AsSlice()...)
	packet = append(packet, allNodes.AsSlice()...)
	return ethernet(allNodesMAC, mac, etherIPv6, append(packet, body...))
}
