package locks

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/transport"
	"gcrm/drivers/dlm/lockspace"
	"gcrm/drivers/dlm/plock"
)

// meshes are ends of control processes without anything behind them.
type meshes struct {
	t         *testing.T
	authority *transport.Authority

	mu        sync.Mutex
	nodes     []client.LockNode
	addresses map[string]string
}

func newMeshes(t *testing.T) *meshes {
	a, err := transport.NewAuthority("c", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &meshes{t: t, authority: a, addresses: map[string]string{}}
}

func (x *meshes) find(number int, name string) (client.LockNode, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, n := range x.nodes {
		if name != "" && n.Name == name || name == "" && n.Number == number {
			return n, true
		}
	}
	return client.LockNode{}, false
}

// add starts the end of a node that has a certificate of the id.
func (x *meshes) add(name string, id int) *mesh {
	x.t.Helper()
	creds, err := x.authority.Issue(name, fmt.Sprint(id), time.Now())
	if err != nil {
		x.t.Fatal(err)
	}
	return x.addAs(name, id, creds)
}

func (x *meshes) addAs(name string, id int, creds transport.Credentials) *mesh {
	x.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	x.addresses[name] = l.Addr().String()
	x.mu.Unlock()
	m, err := newMesh(meshConfig{Self: lockspace.Life{Node: id, Boot: "b"}, Cluster: "c", Node: name, Credentials: creds, Listener: l, Find: x.find,
		Addresses: func(n client.LockNode) []string {
			x.mu.Lock()
			defer x.mu.Unlock()
			return []string{x.addresses[n.Name]}
		}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(m.close)
	return m
}

// mailbox is what a control process heard.
type mailbox struct {
	mu   sync.Mutex
	list []plock.Message
}

func (b *mailbox) put(_ string, m plock.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, m)
}

func (b *mailbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list)
}

func request(from, to int32) bundle {
	return bundle{time.Now().UnixNano(), 1, []letter{{"gfs", plock.Message{Kind: plock.Request, Generation: 1, From: from, To: to}}}}
}

// TestRemovedNode: the certificate of a node that was removed is refused though
// another node has its name now, and on connections from before, too.
func TestRemovedNode(t *testing.T) {
	x := newMeshes(t)
	x.nodes = []client.LockNode{{Name: "n1", Number: 1}, {Name: "n2", Number: 2}}
	var heard mailbox
	x.add("n1", 1).open(heard.put, func(string) {})
	old := x.add("n2", 2)
	old.open(func(string, plock.Message) {}, func(string) {})
	b := request(2, 1)
	if err := old.wire.Call(t.Context(), "n1", methodLetters, b, nil); err != nil || heard.count() != 1 {
		t.Fatalf("a member is not heard: %v", err)
	}
	x.mu.Lock()
	x.nodes[1].Number = 3 // removed, and another one joined by that name
	x.mu.Unlock()
	b = request(3, 1)
	if err := old.wire.Call(t.Context(), "n1", methodLetters, b, nil); err == nil || heard.count() != 1 {
		t.Errorf("a removed node is heard on its old connection (%v)", err)
	}
	old.wire.Disconnect("n1")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // until it has seen that its connection is gone
		err := old.wire.Call(t.Context(), "n1", methodLetters, request(3, 1), nil)
		var r *transport.Refusal
		if errors.As(err, &r) && r.Code == transport.RefusedRemoved {
			break
		}
		if err == nil || time.Now().After(end) {
			t.Fatalf("a removed node is not refused: %v", err)
		}
	}
	if heard.count() != 1 {
		t.Error("a removed node is heard")
	}
	young := x.add("n2", 3)
	young.open(func(string, plock.Message) {}, func(string) {})
	b = request(3, 1)
	if err := young.wire.Call(t.Context(), "n1", methodLetters, b, nil); err != nil || heard.count() != 2 {
		t.Errorf("the node that has its name is not heard: %v", err)
	}
}

// TestHostilePeers: who has no certificate, one of another cluster, or one that
// is not its own, changes nothing on the port of the control process, and costs
// bounded memory.
func TestHostilePeers(t *testing.T) {
	x := newMeshes(t)
	x.nodes = []client.LockNode{{Name: "n1", Number: 1}, {Name: "n2", Number: 2}}
	var heard mailbox
	lost := 0
	x.add("n1", 1).open(heard.put, func(string) { lost++ })
	good := x.add("n2", 2)
	good.open(func(string, plock.Message) {}, func(string) {})
	at := x.addresses["n1"]
	other := newMeshes(t)
	strange, err := other.authority.Issue("n2", "2", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	runtime.GC()
	var idle, busy runtime.MemStats
	runtime.ReadMemStats(&idle)
	goroutines := runtime.NumGoroutine()
	var attack sync.WaitGroup
	stranger := func(talk func(net.Conn)) {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Error(err)
			return
		}
		attack.Go(func() {
			defer c.Close()
			talk(c)
			c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			var timeout net.Error
			if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("a stranger's connection stays open")
			}
		})
	}
	for range 200 {
		stranger(func(net.Conn) {})
		garbage := noise(1 + rng.IntN(3000))
		stranger(func(c net.Conn) { _, _ = c.Write(garbage) })
	}
	hello := `{"Version":1,"Cluster":"c","Node":"n2","Incarnation":9999999999999999,"Epoch":1,"Purpose":"rpc"}`
	for _, cert := range []*tls.Certificate{nil, &strange.Certificate} {
		stranger(func(c net.Conn) {
			cfg := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
			if cert != nil {
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
			}
			s := tls.Client(c, cfg)
			s.SetDeadline(time.Now().Add(time.Minute))
			if s.Handshake() == nil {
				_, _ = s.Write(append([]byte{0, byte(len(hello))}, hello...))
				_, _ = s.Write(noise(4000))
			}
		})
	}
	runtime.GC()
	runtime.ReadMemStats(&busy)
	if grown := int64(busy.HeapAlloc) - int64(idle.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB more are in use under attack", grown>>20)
	}
	// A node of the cluster is heard meanwhile, but not in the name of others,
	// not twice, and nothing that cannot be read.
	call := func(b any) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return good.wire.Call(ctx, "n1", methodLetters, b, nil)
	}
	b := request(2, 1)
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // its turn comes among the strangers
		if err = call(b); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil || heard.count() != 1 {
		t.Errorf("a node is not heard under attack: %v", err)
	}
	if call(b) == nil {
		t.Error("the same letters came twice")
	}
	for i, bad := range []any{json.RawMessage(`{"Letters":[{"Message":{"From":"x"}}]}`), json.RawMessage(`[]`), request(1, 1), request(2, 3), request(7, 1)} {
		if err := call(bad); err == nil {
			t.Errorf("bad bundle %d was taken", i)
		}
	}
	if heard.count() != 1 || lost != 0 {
		t.Errorf("heard %d letters, lost %d", heard.count(), lost)
	}
	attack.Wait()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+40; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}

// Bundles of other control processes, which have a certificate.
func FuzzBundle(f *testing.F) {
	b, err := json.Marshal(request(2, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Session":-1,"Number":18446744073709551615,"Letters":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := &mesh{self: lockspace.Life{Node: 1}, opened: make(chan struct{}), last: map[string]bundle{},
			find: func(_ int, name string) (client.LockNode, bool) {
				return client.LockNode{Name: name, Number: 2}, name == "n2"
			}}
		m.open(func(_ string, l plock.Message) {
			if l.From != 2 || l.To != 1 {
				t.Errorf("%+v was let through", l)
			}
		}, func(string) {})
		for _, from := range []transport.Peer{{Name: "n2", ID: "2"}, {Name: "n2", ID: "1"}, {Name: "n3"}} {
			_, err := m.receive(t.Context(), from, in)
			if err == nil && (from.Name != "n2" || from.ID != "2") {
				t.Errorf("%+v was heard", from)
			}
		}
	})
}
