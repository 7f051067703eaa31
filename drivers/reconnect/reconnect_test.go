package reconnect

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// The tables are those of a little-endian machine.
func TestTablesOfTheKernel(t *testing.T) {
	dir := t.TempDir()
	four := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: C8C3A8C0:0801 83C3A8C0:02C3 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: C8C3A8C0:0801 84C3A8C0:02C3 06 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: C8C3A8C0:0016 83C3A8C0:02C4 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
   4: 0100007F:0801 0100007F:02C5 01 00000000:00000000 00:00000000 00000000     0        0 5 1 0 20 4 30 10 -1
`
	six := `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 000080FE00000000000000000100000A:0801 000080FE00000000000000000200000A:0300 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0000000000000000FFFF0000C8C3A8C0:0801 0000000000000000FFFF000085C3A8C0:02C3 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: nonsense:0801 0000000000000000FFFF000085C3A8C0:02C3 01
`
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "tcp"), []byte(four), 0o600), os.WriteFile(filepath.Join(dir, "tcp6"), []byte(six), 0o600)); err != nil {
		t.Fatal(err)
	}
	list, err := Established(dir, 2049)
	want := "192.168.195.200:2049 192.168.195.131:707\n192.168.195.200:2049 192.168.195.133:707\n[fe80::a00:1]:2049 [fe80::a00:2]:768\n"
	if got := Format(list); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got := Parse(want + "half a line\n192.0.2.1:1 [::1]:2\n"); !slices.Equal(got, list) {
		t.Errorf("read again: %v", got)
	}
	if err := os.Remove(filepath.Join(dir, "tcp6")); err != nil {
		t.Fatal(err)
	}
	if list, err = Established(dir, 22); err != nil || Format(list) != "192.168.195.200:22 192.168.195.131:708\n" {
		t.Errorf("%v %v", list, err)
	}
}

// cable is two network namespaces, of a server and of a client.
type cable struct {
	t              *testing.T
	server, client string
}

func newCable(t *testing.T) cable {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the ip command sets up the namespaces and is not here")
	}
	c := cable{t, fmt.Sprintf("gcrm-rs-%d", os.Getpid()), fmt.Sprintf("gcrm-rc-%d", os.Getpid())}
	for _, ns := range []string{c.server, c.client} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	c.ip("-n", c.server, "link", "add", "net0", "type", "veth", "peer", "name", "net0", "netns", c.client)
	for i, ns := range []string{c.server, c.client} {
		c.ip("-n", ns, "link", "set", "net0", "up")
		c.ip("-n", ns, "addr", "add", fmt.Sprintf("198.51.100.%d/24", i+1), "dev", "net0")
		c.ip("-n", ns, "addr", "add", fmt.Sprintf("fd00:77::%d/64", i+1), "dev", "net0", "nodad")
	}
	return c
}

func (c cable) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// in calls f on a thread of a namespace; sockets that it opens stay there.
func (c cable) in(name string, f func() error) {
	c.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		ns, err := netns.GetFromName(name)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
}

// TestClientNoticesAtOnce moves an address away from under a connection and back without
// it. The client waits for an answer: it would wait for ever.
func TestClientNoticesAtOnce(t *testing.T) {
	for name, prefix := range map[string]string{"IPv4": "198.51.100.77/24", "IPv6": "fd00:77::77/64"} {
		t.Run(name, func(t *testing.T) {
			c := newCable(t)
			address := netip.MustParsePrefix(prefix).Addr()
			add := []string{"-n", c.server, "addr", "add", prefix, "dev", "net0"}
			if address.Is6() {
				add = append(add, "nodad")
			}
			c.ip(add...)
			var listener *net.TCPListener
			var client, server *net.TCPConn
			c.in(c.server, func() (err error) {
				listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 0)))
				return err
			})
			defer listener.Close()
			c.in(c.client, func() error {
				// The neighbour may need a moment to answer.
				d := net.Dialer{Timeout: 20 * time.Second}
				conn, err := d.Dial("tcp", listener.Addr().String())
				if err == nil {
					client = conn.(*net.TCPConn)
				}
				return err
			})
			defer client.Close()
			server, err := listener.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
			var known []Connection
			c.in(c.server, func() (err error) {
				known, err = Established("/proc/thread-self/net", port)
				return err
			})
			if len(known) != 1 || known[0].Local.Addr() != address || known[0].Remote != client.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Fatalf("known connections: %v", known)
			}
			alive := func(when string) {
				t.Helper()
				if _, err := server.Write([]byte{1}); err != nil {
					t.Fatal(err)
				}
				_ = client.SetReadDeadline(time.Now().Add(20 * time.Second))
				if n, err := client.Read(make([]byte, 9)); n != 1 {
					t.Fatalf("%s: %d %v", when, n, err)
				}
			}
			alive("at first")
			c.in(c.server, func() error { return Provoke(known) })
			alive("provoked while the server knows the connection")

			c.ip("-n", c.server, "addr", "del", prefix, "dev", "net0")
			c.ip("-n", c.server, "link", "set", "net0", "down")
			_ = server.SetLinger(0) // the reset finds no way out
			server.Close()
			c.ip("-n", c.server, "link", "set", "net0", "up")
			c.ip(add...)
			wait := func(d time.Duration) error {
				_ = client.SetReadDeadline(time.Now().Add(d))
				_, err := client.Read(make([]byte, 9))
				return err
			}
			if err := wait(time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the client has noticed by itself: %v", err)
			}
			c.in(c.server, func() error { return Provoke(known) })
			if err := wait(20 * time.Second); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client: %v", err)
			}
		})
	}
}

func TestWhatCannotBeSentIsTold(t *testing.T) {
	c := newCable(t)
	none := Connection{netip.MustParseAddrPort("198.51.100.77:2049"), netip.MustParseAddrPort("203.0.113.9:700")}
	c.in(c.server, func() error {
		if err := Provoke([]Connection{none}); err == nil || !strings.Contains(err.Error(), "from 198.51.100.77:2049 to 203.0.113.9:700: ") {
			t.Errorf("without a route: %v", err)
		}
		return nil
	})
}
