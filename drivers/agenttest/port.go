package agenttest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Port is a TCP port of 127.0.0.1 that nobody uses. It lies below those that
// Linux gives to clients, so that it is free again when a server comes back.
func Port(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
