package icmp

import (
	"errors"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"gcrm/drivers/inetsum"
)

func TestEchoOverLoopback(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "::1"} {
		d, err := Echo(t.Context(), netip.MustParseAddr(a), time.Second)
		if errors.Is(err, fs.ErrPermission) {
			t.Skip(err)
		}
		if err != nil || d <= 0 || d > time.Second {
			t.Errorf("%s: %v, %v", a, d, err)
		}
	}
}

func TestOnlyTheOwnReplyCounts(t *testing.T) {
	to := netip.MustParseAddr("192.0.2.9")
	b := request(to, 7, 9)
	if inetsum.Of(b) != 0 {
		t.Error("the checksum over a message with its checksum is not 0")
	}
	if isReply(to, b, 7, 9, false) {
		t.Error("a request counts as a reply")
	}
	b[0] = 0
	header := append([]byte{0x45, 19: 0}, b...)
	for _, c := range []struct {
		b       []byte
		id, seq uint16
		raw     bool
		want    bool
	}{{b, 7, 9, false, true}, {b, 1, 9, false, true}, {b, 7, 8, false, false},
		{header, 7, 9, true, true}, {header, 6, 9, true, false}, {header[:21], 7, 9, true, false}, {nil, 7, 9, true, false}} {
		if got := isReply(to, c.b, c.id, c.seq, c.raw); got != c.want {
			t.Errorf("%v %d %d raw %v: %v", c.b, c.id, c.seq, c.raw, got)
		}
	}
}

// Anybody can send replies.
func FuzzReply(f *testing.F) {
	four, six := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	f.Add(request(four, 7, 9), true)
	f.Add(append([]byte{0x4f, 19: 0}, request(four, 7, 9)...), true)
	f.Add([]byte{129, 0, 0, 0, 0, 7, 0, 9}, false)
	f.Fuzz(func(t *testing.T, b []byte, raw bool) {
		for _, a := range []netip.Addr{four, six} {
			if isReply(a, b, 7, 9, raw) && len(b) < 8 {
				t.Errorf("%x is taken for a reply", b)
			}
		}
	})
}
