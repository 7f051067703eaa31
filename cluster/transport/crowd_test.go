package transport

import (
	"fmt"
	"net"
	"testing"
)

func from(address string) net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(address), Port: 1234}
}

// One machine gets a quarter of the places, whatever addresses of its network
// it uses; the others still get in, and places are given back.
func TestCrowd(t *testing.T) {
	var c crowd
	var leave []func()
	fill := func(want int, address func(i int) string) {
		t.Helper()
		got := 0
		for i := range 2 * maxStrangers {
			if l, ok := c.enter(from(address(i))); ok {
				leave = append(leave, l)
				got++
			}
		}
		if got != want {
			t.Errorf("%d connections like %s were taken, not %d", got, address(0), want)
		}
	}
	fill(maxFromAddress, func(int) string { return "192.0.2.1" })
	fill(maxFromAddress, func(int) string { return "::ffff:198.51.100.7" })
	fill(0, func(int) string { return "198.51.100.7" })
	fill(maxFromAddress, func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) })
	fill(maxStrangers-3*maxFromAddress, func(int) string { return "127.0.0.1" })
	fill(0, func(i int) string { return fmt.Sprintf("203.0.113.%d", i) })
	for _, l := range leave {
		l()
	}
	if c.all != 0 || len(c.from) != 0 {
		t.Errorf("left behind: %d, %v", c.all, c.from)
	}
	leave = nil
	fill(maxFromAddress, func(int) string { return "192.0.2.1" })
	fill(maxStrangers-maxFromAddress, func(i int) string { return fmt.Sprintf("203.0.113.%d", i) })
}
