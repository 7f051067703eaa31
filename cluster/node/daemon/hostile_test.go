package daemon

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/node"
	"gcrm/cluster/transport"
)

// hostile is somebody who can reach every port of a cluster and has no key.
type hostile struct {
	t       *testing.T
	rng     *rand.Rand
	address string // of a node
	socket  string
	// certified is a node's certificate of another cluster of the same name.
	certified *tls.Certificate
	wg        sync.WaitGroup
}

// noise is what is sent instead of what is expected.
func (x *hostile) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(x.rng.Uint32())
	}
	return b
}

// ends reads until the other side is done, which it has to be in time.
func (x *hostile) ends(c net.Conn, what string) {
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
		x.t.Errorf("%s: the connection is still open after %v", what, patience)
	}
	c.Close()
}

func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return io.EOF
}

// open connects to the node's port; every connection ends by the node's doing.
func (x *hostile) open(what string, talk func(c net.Conn)) {
	c, err := net.Dial("tcp", x.address)
	if err != nil {
		x.t.Errorf("%s: %v", what, err)
		return
	}
	x.wg.Go(func() {
		talk(c)
		x.ends(c, what)
	})
}

// shielded does the same behind a TLS handshake.
func (x *hostile) shielded(what string, cert *tls.Certificate, protocols []string, talk func(c net.Conn)) {
	x.open(what, func(c net.Conn) {
		cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: protocols}
		if cert != nil {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		s := tls.Client(c, cfg)
		s.SetDeadline(time.Now().Add(patience))
		if s.Handshake() == nil {
			talk(s)
			s.SetReadDeadline(time.Now().Add(patience))
			_, _ = io.Copy(io.Discard, s)
		}
	})
}

// framed is a message of the node's protocol.
func framed(body string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...)
}

func (x *hostile) attackPort() {
	for range 3 * 64 { // more than may be in the middle of a handshake
		x.open("silence", func(net.Conn) {})
	}
	for range 8 {
		garbage := x.noise(1 + x.rng.IntN(4000))
		x.open("garbage", func(c net.Conn) { c.Write(garbage) })
		x.open("drops", func(c net.Conn) {
			for _, b := range []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3} { // the beginning of a handshake
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	hello := func(purpose string) []byte {
		return framed(fmt.Sprintf(`{"Version":1,"Cluster":"c","Node":"n2","Incarnation":99999999999,"Epoch":99999999,"Purpose":%q}`, purpose))
	}
	for _, purpose := range []string{"raft", "rpc", "join", "other"} {
		long := append([]byte{1, 1}, x.noise(40)...)
		x.shielded("no certificate, "+purpose, nil, nil, func(c net.Conn) { c.Write(hello(purpose)); c.Write(long) })
		x.shielded("a strange certificate, "+purpose, x.certified, nil, func(c net.Conn) { c.Write(hello(purpose)); c.Write(long) })
	}
	x.shielded("a long hello", nil, nil, func(c net.Conn) { c.Write([]byte{0xff, 0xff}); c.Write(make([]byte, 1<<16)) })
	x.shielded("a join that never ends", nil, nil, func(c net.Conn) {
		c.Write(hello("join"))
		// A frame that claims 4 GiB.
		c.Write([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
		c.Write(make([]byte, 1<<20))
	})
	x.shielded("the API without a certificate", nil, []string{"http/1.1"}, func(c net.Conn) { io.WriteString(c, "GET /v1/cib HTTP/1.1\r\nHost: x\r\n\r\n") })
	x.shielded("the API with a strange certificate", x.certified, []string{"http/1.1"}, func(c net.Conn) { io.WriteString(c, "GET /v1/cib HTTP/1.1\r\nHost: x\r\n\r\n") })
}

func (x *hostile) attackSocket() {
	for _, text := range []string{"\x00\x01\x02", "GET / HTTP/9.9\r\n\r\n", "POST " + client.PathApply + " HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
		"GET /" + strings.Repeat("a", 1<<20), "POST " + client.PathApply + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "PUT " + client.PathCIB + " HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := net.Dial("unix", x.socket)
		if err != nil {
			x.t.Error(err)
			return
		}
		x.wg.Go(func() {
			defer c.Close()
			_, _ = io.WriteString(c, text) // it may be refused in the middle
			c.SetReadDeadline(time.Now().Add(2 * time.Second))
			answer, _ := io.ReadAll(c)
			if bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) {
				x.t.Errorf("%.60q was answered by %.60q", text, answer)
			}
		})
	}
}

func (x *hostile) attackHeartbeat(cluster string, timing heartbeat.Timing) {
	c, err := net.Dial("udp", x.address)
	if err != nil {
		x.t.Error(err)
		return
	}
	defer c.Close()
	forger := heartbeat.New(heartbeat.Config{Cluster: cluster, Node: "n2", Incarnation: 1 << 62, Keys: [][]byte{[]byte("a key that nobody has")}, Timing: timing}, time.Now())
	forger.SetPeers([]heartbeat.Peer{{Name: "n1", Links: 1}})
	for range 3000 {
		_, _ = c.Write(x.noise(1 + x.rng.IntN(1500)))
	}
	for i := range 50 {
		forger.Tick(time.Now().Add(time.Duration(i) * timing.Interval))
		list, _ := forger.Output()
		for _, d := range list {
			_, _ = c.Write(d.Data)
		}
	}
}

// heartbeats records what a host hears on its UDP port, and where it came from.
func heartbeats(t *testing.T, address string, span time.Duration) [][]byte {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, unix.ETH_P_IP>>8 /* in network order */)
	if err != nil {
		t.Logf("SKIPPED: replays, since packets cannot be listened to here: %v", err)
		return nil
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000}); err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	buf := make([]byte, 1<<16)
	for end := time.Now().Add(span); time.Now().Before(end); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || n < 28 || buf[9] != unix.IPPROTO_UDP {
			continue
		}
		header := int(buf[0]&15) * 4
		if fmt.Sprint(binary.BigEndian.Uint16(buf[header+2:])) == port {
			out = append(out, slices.Clone(buf[header+8:n]))
		}
	}
	return out
}

// Who has no key changes nothing, on no port, however much is sent: the cluster
// works meanwhile, what is open is bounded and ends, and recorded heartbeats
// keep no dead node alive.
func TestHostilePeers(t *testing.T) {
	t.Parallel() // it waits more than it works
	hosts := cluster(t, 2, nil)
	c := hosts[0].client()
	edit(t, c, func(conf *cib.Element) {
		setProperty(conf, "stonith-enabled", "false")
		setProperty(conf, "no-quorum-policy", "ignore")
	})
	before, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := (&node.Keystore{Dir: t.TempDir(), Cluster: "c", Node: "n2", ID: "2"}).Load(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	timing, err := heartbeat.Derive(hosts[0].detection, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &hostile{t: t, rng: rand.New(rand.NewPCG(1, 2)), address: hostAddress(t, hosts[0]), socket: hosts[0].socket(), certified: &keys.Credentials.Certificate}
	recorded := heartbeats(t, x.address, 2*time.Second)

	var idle, busy runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&idle)
	goroutines := runtime.NumGoroutine()
	x.attackPort()
	x.attackSocket()
	x.attackHeartbeat("c", timing)
	for _, d := range recorded {
		if u, err := net.Dial("udp", x.address); err == nil {
			_, _ = u.Write(d)
			u.Close()
		}
	}
	for _, secret := range []string{"", "guess"} {
		// Joins with tokens that nobody gave out.
		token := node.Token{Secret: secret, Fingerprint: keys.Authority.Fingerprint()}
		if _, err := transport.Join(t.Context(), x.address, token.Fingerprint, "n3", node.JoinRequest{Secret: secret, Name: "n3", Addresses: []string{"127.0.0.1:1"}, Time: time.Now()}); err == nil {
			t.Error("somebody joined without a token")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&busy)
	if grown := int64(busy.HeapAlloc) - int64(idle.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB more are in use under attack", grown>>20)
	}
	wait(t, "a change is committed under attack", func() error {
		_, err := c.Apply(t.Context(), markAttribute("attacked"))
		return err
	})
	x.wg.Wait()
	after, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Members) != 2 || fmt.Sprint(sinces(before)) != fmt.Sprint(sinces(after)) {
		t.Errorf("members were %+v, are %+v", before.Members, after.Members)
	}
	wait(t, "everything that was opened is closed", func() error {
		if n := runtime.NumGoroutine(); n > goroutines+400 {
			return fmt.Errorf("%d goroutines, %d before", n, goroutines)
		}
		return nil
	})

	// Recorded heartbeats of a node that is dead.
	if len(recorded) == 0 {
		return
	}
	u, err := net.Dial("udp", x.address)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	hosts[1].crash()
	wait(t, "the crash is noticed while its heartbeats are replayed", func() error {
		for _, d := range recorded {
			_, _ = u.Write(d)
		}
		i, err := c.Info(t.Context())
		if err == nil && slices.ContainsFunc(i.Members, func(m client.Member) bool { return m.Name == "n2" && m.Online }) {
			err = errors.New("n2 counts as online")
		}
		return err
	})
}

func sinces(i *client.Info) (out []string) {
	for _, m := range i.Members {
		out = append(out, m.Name, m.Since.String())
	}
	return out
}
