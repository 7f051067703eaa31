package promptio

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair gives the two ends of a connection.
func pair(t testing.TB, network string) (a, b net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestPassesEverything sends pieces of all sizes, more than fits on the way, against a reader that is slow.
func TestPassesEverything(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		a, b := pair(t, network)
		want := make([]byte, 20<<20)
		_, _ = rand.Read(want)
		go func() {
			w := Writer(a)
			if _, own := w.(*writer); !own {
				t.Error("the usual way")
			}
			for rest, n := want, 1; len(rest) > 0; n = n*3%2000000 + 1 {
				m := min(n, len(rest))
				if k, err := w.Write(rest[:m]); err != nil || k != m {
					t.Errorf("%d of %d: %v", k, m, err)
					break
				}
				rest = rest[m:]
			}
			a.Close()
		}()
		var got bytes.Buffer
		r, piece := Reader(b), make([]byte, 1500000)
		for i := 1; ; i = i*7%len(piece) + 1 {
			n, err := r.Read(piece[:i])
			got.Write(piece[:n])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes arrived of %d, or others", network, got.Len(), len(want))
		}
	}
}

// TestEnds: deadlines hold, and what is closed ends whoever waits.
func TestEnds(t *testing.T) {
	a, b := pair(t, "tcp")
	r, w := Reader(b), Writer(a)
	piece := make([]byte, 4096)
	if err := b.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(piece); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read with a deadline: %v", err)
	}
	_ = b.SetReadDeadline(time.Time{})
	_ = a.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	var err error
	for err == nil {
		_, err = w.Write(piece)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write with a deadline: %v", err)
	}
	_, d := pair(t, "tcp")
	ended := make(chan error, 1)
	go func() { _, err := Reader(d).Read(make([]byte, 10)); ended <- err }()
	time.Sleep(10 * time.Millisecond)
	d.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read of what is closed: %v", err)
	}
	c, gone := pair(t, "tcp")
	gone.Close()
	for err = nil; err == nil; {
		_, err = Writer(c).Write(piece)
	}
	if text := err.Error(); !strings.Contains(text, "broken pipe") && !strings.Contains(text, "reset") {
		t.Errorf("a write to a peer that is gone: %v", err)
	}
	if r := strings.NewReader("x"); Reader(r) != io.Reader(r) {
		t.Error("what has no descriptor is not read as usual")
	}
}

// BenchmarkTurn is a question and an answer of 64 bytes over a local socket, after each of which all goroutines
// wait, and how often a thread had to.
//
//	go test ./replication/promptio -run '^$' -bench Turn -count 6
func BenchmarkTurn(b *testing.B) {
	for _, prompt := range []bool{true, false} {
		name := map[bool]string{true: "prompt", false: "usual"}[prompt]
		b.Run(name, func(b *testing.B) {
			near, far := pair(b, "unix")
			ends := func(c net.Conn) (io.Reader, io.Writer) {
				if prompt {
					return Reader(c), Writer(c)
				}
				return c, c
			}
			go func() {
				r, w := ends(far)
				_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 64))
			}()
			r, w := ends(near)
			piece := make([]byte, 64)
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Write(piece); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(r, piece); err != nil {
					b.Fatal(err)
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "waits/op")
		})
	}
}
