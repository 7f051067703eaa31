// Package reconnect has the TCP clients of a service that was moved to another host
// connect again at once.
//
// A client does not notice that its server's address has moved: what it sends is lost
// while nobody has the address, and it tries again after times that double, so that a
// service which was away for seven seconds is found after thirteen. Who knows the
// client's connection can send it a segment that does not belong there ([Provoke]). It
// answers with what it expects instead, the host that has the address now knows nothing
// of such a connection and resets it, and the client connects anew.
package reconnect

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Connection is one of TCP, seen from the server.
type Connection struct {
	Local, Remote netip.AddrPort
}

// Compare orders connections by their addresses.
func (c Connection) Compare(o Connection) int {
	if n := c.Local.Compare(o.Local); n != 0 {
		return n
	}
	return c.Remote.Compare(o.Remote)
}

// Established lists the connections of other hosts to a port of this one, in order.
// tables is the folder of the kernel's tables, /proc/net.
func Established(tables string, port uint16) ([]Connection, error) {
	var out []Connection
	for _, family := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile(tables + "/" + family)
		if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(raw)) {
			c, ok := parseRow(line)
			if ok && c.Local.Port() == port && !c.Remote.Addr().IsLoopback() && c.Remote.Addr() != c.Local.Addr() {
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, Connection.Compare)
	return slices.Compact(out), nil
}

// stateEstablished is that state in the kernel's table.
const stateEstablished = "01"

// parseRow reads a row of the kernel's table; false for other rows than of established
// connections.
func parseRow(line string) (Connection, bool) {
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != stateEstablished {
		return Connection{}, false
	}
	local, ok1 := parseEnd(f[1])
	remote, ok2 := parseEnd(f[2])
	return Connection{local, remote}, ok1 && ok2
}

// parseEnd reads an address and port: groups of four bytes as this machine's numbers.
func parseEnd(s string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(address)
	if !ok || err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

// Format writes connections as text, one per line: local and remote end.
func Format(list []Connection) string {
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%s %s\n", c.Local, c.Remote)
	}
	return b.String()
}

// Parse reads what [Format] wrote. Lines that are nothing of the kind are left out: a
// connection that is not known costs its client some seconds, no more.
func Parse(text string) []Connection {
	var out []Connection
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		local, err1 := netip.ParseAddrPort(f[0])
		remote, err2 := netip.ParseAddrPort(f[1])
		if err1 == nil && err2 == nil && local.Addr().Is4() == remote.Addr().Is4() {
			out = append(out, Connection{local, remote})
		}
	}
	return out
}
