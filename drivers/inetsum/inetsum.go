// Package inetsum computes the Internet checksum (RFC 1071).
package inetsum

import (
	"encoding/binary"
	"net/netip"
)

// Of is the checksum of parts that follow each other, where an odd last byte counts as
// if a zero came after it. Over bytes that contain their own checksum it is zero.
func Of(parts ...[]byte) uint16 {
	var sum uint64 // no packet is long enough to fill it
	high := true   // whether the next byte is the first of its pair
	for _, part := range parts {
		for _, b := range part {
			if high {
				sum += uint64(b) << 8
			} else {
				sum += uint64(b)
			}
			high = !high
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// Transport is the checksum of a message of TCP, UDP or ICMPv6 whose own checksum field
// is zero: it covers the addresses and the protocol's number, too (the pseudo header).
func Transport(from, to netip.Addr, protocol byte, message []byte) uint16 {
	rest := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	return Of(from.AsSlice(), to.AsSlice(), append(rest, 0, 0, 0, protocol), message)
}
