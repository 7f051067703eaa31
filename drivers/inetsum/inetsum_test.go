package inetsum

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The first is the example of RFC 1071, section 3.
func TestKnownSums(t *testing.T) {
	for bytes, want := range map[string]uint16{
		"0001f203f4f5f6f7": ^uint16(0xddf2),
		"":                 0xffff,
		"01":               ^uint16(0x0100),
		"0001f2":           ^uint16(0xf201),
		"ffff01":           ^uint16(0x0100),
		"ffffff":           ^uint16(0xff00),
		// A header of IPv4 with its checksum.
		"4500003c1c4640004006b1e6ac100a63ac100a0c": 0,
	} {
		if got := Of(unhex(t, bytes)); got != want {
			t.Errorf("%s: %04x, not %04x", bytes, got, want)
		}
	}
}

// However a sequence is cut, also within a pair, its sum is the same.
func TestPartsFollowEachOther(t *testing.T) {
	all := unhex(t, "0001f203f4f5f6f7a9")
	want := Of(all)
	for i := range len(all) + 1 {
		for j := i; j <= len(all); j++ {
			if got := Of(all[:i], all[i:j], all[j:]); got != want {
				t.Errorf("cut at %d and %d: %04x, not %04x", i, j, got, want)
			}
		}
	}
}

// A receiver sums the pseudo header, as RFC 9293 and RFC 8200 have it, with a message
// that contains its checksum, and gets zero.
func TestReceiverGetsZero(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1", "198.51.100.77"}, {"2001:db8::1", "fe80::7:8"}} {
		from, to := netip.MustParseAddr(ends[0]), netip.MustParseAddr(ends[1])
		for length := 2; length < 8; length++ {
			const protocol = 17
			message := unhex(t, "0000c0ffee123456")[:length]
			binary.BigEndian.PutUint16(message, Transport(from, to, protocol, message))
			pseudo := append(from.AsSlice(), to.AsSlice()...)
			if from.Is4() {
				pseudo = append(pseudo, 0, protocol, 0, byte(length))
			} else {
				pseudo = append(pseudo, 0, 0, 0, byte(length), 0, 0, 0, protocol)
			}
			if got := Of(pseudo, message); got != 0 {
				t.Errorf("%s, %d bytes: %04x", from, length, got)
			}
		}
	}
}
