package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pair is a cluster of transports that know each other's addresses.
type pair struct {
	authority *Authority
	addrs     map[string]string
}

func newPair(t *testing.T) *pair {
	a, err := NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &pair{authority: a, addrs: map[string]string{}}
}

func (p *pair) start(t *testing.T, node string, change func(*Config)) *Transport {
	t.Helper()
	creds, err := p.authority.Issue(node, "7", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addrs[node] = l.Addr().String()
	cfg := Config{Cluster: "test", Node: node, Incarnation: 1, Epoch: 1, Credentials: creds, Listener: l,
		Resolve:          func(n string) []string { return []string{p.addrs[n]} },
		HandshakeTimeout: 2 * time.Second, MaxFrame: 1 << 20}
	if change != nil {
		change(&cfg)
	}
	tr, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

type codedError struct{}

func (codedError) Error() string   { return "it conflicts" }
func (codedError) RPCCode() string { return "conflict" }

func echo(ctx context.Context, from Peer, body json.RawMessage) (any, error) {
	var s string
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, err
	}
	switch s {
	case "conflict":
		return nil, codedError{}
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return from.Name + ":" + s, nil
}

func TestCall(t *testing.T) {
	p := newPair(t)
	a, b := p.start(t, "a", nil), p.start(t, "b", nil)
	b.Handle("echo", echo)
	var got string
	if err := a.Call(t.Context(), "b", "echo", "hello", &got); err != nil || got != "a:hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	err := a.Call(t.Context(), "b", "echo", "conflict", &got)
	var re *RemoteError
	if !errors.As(err, &re) || re.Code != "conflict" || errors.Is(err, ErrUnavailable) {
		t.Errorf("remote error: %#v", err)
	}
	if err := a.Call(t.Context(), "b", "nothing", "x", nil); !errors.As(err, &re) || re.Code != "unknown-method" {
		t.Errorf("unknown method: %v", err)
	}
	if err := a.Call(t.Context(), "b", "echo", strings.Repeat("x", 1<<20), nil); err == nil {
		t.Error("a request beyond the bound was sent")
	}
	// One that waits does not hold up another, and ends with its context.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- a.Call(ctx, "b", "echo", "wait", nil) }()
	if err := a.Call(t.Context(), "b", "echo", "again", &got); err != nil || got != "a:again" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-waited; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting call: %v", err)
	}
	// A lost peer is an unavailable one, and reachable again later.
	b.Close()
	if err := a.Call(t.Context(), "b", "echo", "x", nil); !errors.Is(err, ErrUnavailable) {
		t.Errorf("lost peer: %v", err)
	}
	b = p.start(t, "b", nil)
	b.Handle("echo", echo)
	if err := a.Call(t.Context(), "b", "echo", "back", &got); err != nil || got != "a:back" {
		t.Errorf("returned peer: %q, %v", got, err)
	}
}

func TestStreams(t *testing.T) {
	p := newPair(t)
	a, b := p.start(t, "a", nil), p.start(t, "b", nil)
	out, err := a.Streams().Dial(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Streams().Accept()
	if err != nil {
		t.Fatal(err)
	}
	out.Write([]byte("x"))
	var buf [1]byte
	if _, err := in.Read(buf[:]); err != nil || buf[0] != 'x' {
		t.Fatalf("%q %v", buf, err)
	}
	a.Disconnect("b")
	if _, err := in.Read(buf[:]); err == nil {
		t.Error("the stream outlived Disconnect")
	}
}

func TestBar(t *testing.T) {
	p := newPair(t)
	a, b := p.start(t, "a", nil), p.start(t, "b", nil)
	a.Handle("echo", echo)
	b.Handle("echo", echo)
	call := func(from *Transport, to string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var got string
		return from.Call(ctx, to, "echo", "x", &got)
	}
	if err := errors.Join(call(a, "b"), call(b, "a")); err != nil {
		t.Fatal(err)
	}
	first, second := a.Bar("b"), a.Bar("b")
	first()
	first() // lifts only once
	if call(a, "b") == nil || call(b, "a") == nil {
		t.Error("a barred peer is heard or hears")
	}
	second()
	if err := errors.Join(call(a, "b"), call(b, "a")); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	p := newPair(t)
	var told atomic.Uint64
	b := p.start(t, "b", func(c *Config) {
		c.Epoch = 3
		c.Judge = func(h Hello) *Refusal {
			if h.Node == "expelled" {
				return &Refusal{Code: RefusedExpelled, Text: "expelled"}
			}
			return nil
		}
	})
	b.Handle("echo", echo)
	stranger, err := NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Issue("a", "1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, node, code string
		change           func(*Config)
	}{
		{"older epoch", "a", RefusedEpoch, func(c *Config) {
			c.Epoch = 2
			c.NewerEpoch = func(peer string, e uint64) { told.Store(e) }
		}},
		{"newer epoch", "a", RefusedEpoch, func(c *Config) { c.Epoch = 4 }},
		{"other cluster", "a", RefusedCluster, func(c *Config) { c.Epoch = 3; c.Cluster = "other" }},
		{"expelled", "expelled", RefusedExpelled, func(c *Config) { c.Epoch = 3 }},
		{"foreign certificate", "a", "", func(c *Config) { c.Epoch = 3; c.Credentials = foreign }},
		{"another's name", "a", "", func(c *Config) { c.Epoch = 3; c.Node = "c" }},
		{"cut", "a", "", func(c *Config) { c.Epoch = 3; c.Cut = func(n string) bool { return n == "b" } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := p.start(t, c.node, c.change)
			err := a.Call(t.Context(), "b", "echo", "x", nil)
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			var r *Refusal
			if errors.As(err, &r) != (c.code != "") || (r != nil && r.Code != c.code) {
				t.Errorf("got %v, want refusal %q", err, c.code)
			}
		})
	}
	for deadline := time.Now().Add(time.Second); told.Load() != 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if told.Load() != 3 {
		t.Error("the older node was not told of epoch 3")
	}
	// A connection does not survive the raising of the epoch.
	d := p.start(t, "d", func(c *Config) { c.Epoch = 3 })
	if err := d.Call(t.Context(), "b", "echo", "x", nil); err != nil {
		t.Fatal(err)
	}
	b.SetEpoch(5)
	if err := d.Call(t.Context(), "b", "echo", "x", nil); err == nil {
		t.Error("a peer of an older epoch was answered")
	}
}

// Garbage on the port neither crashes the transport nor blocks others.
func TestGarbage(t *testing.T) {
	p := newPair(t)
	a, b := p.start(t, "a", nil), p.start(t, "b", func(c *Config) { c.HandshakeTimeout = 300 * time.Millisecond })
	b.Handle("echo", echo)
	for range 2 * maxStrangers {
		c, err := net.Dial("tcp", p.addrs["b"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write(bytes.Repeat([]byte{0x16, 3, 3}, 100))
	}
	deadline := time.Now().Add(3 * time.Second)
	for {
		err := a.Call(t.Context(), "b", "echo", "x", nil)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func FuzzFrame(f *testing.F) {
	var b bytes.Buffer
	writeFrame(&b, frame{kindRequest, 7, []byte("\x04echo\"x\"")})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		fr, err := readFrame(r, 1<<16)
		if err != nil {
			return
		}
		var out bytes.Buffer
		writeFrame(&out, fr)
		if !bytes.Equal(out.Bytes(), in[:out.Len()]) {
			t.Fatalf("round trip: %q %q", in, out.Bytes())
		}
		readHello(bytes.NewReader(in))
	})
}

func TestAuthorityOnDisk(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	a, err := OpenAuthority(dir, "c", now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir, "c", now)
	if err != nil || again.Fingerprint() != a.Fingerprint() {
		t.Fatalf("authority was not kept: %v", err)
	}
	if _, err := OpenAuthority(dir, "other", now); err == nil {
		t.Error("another cluster's authority was accepted")
	}
	one, err := a.OpenCredentials(dir, "n", "1", now)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := a.OpenCredentials(dir, "n", "1", now)
	if !bytes.Equal(one.Certificate.Certificate[0], two.Certificate.Certificate[0]) {
		t.Error("a valid certificate was replaced")
	}
	three, err := a.OpenCredentials(dir, "n", "1", now.Add(nodeLife-renewBefore+time.Hour))
	if err != nil || bytes.Equal(one.Certificate.Certificate[0], three.Certificate.Certificate[0]) {
		t.Errorf("a certificate about to end was kept: %v", err)
	}
}
