package nbd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/volume"
)

// memory is a device that lives in memory and answers from other goroutines.
type memory struct {
	pool   blockdev.Pool
	mu     sync.Mutex
	data   []byte
	opens  int
	refuse error
	fail   error
}

func newMemory(size int) *memory { return &memory{data: make([]byte, size)} }

func (m *memory) Open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse == nil {
		m.opens++
	}
	return m.refuse
}

func (m *memory) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opens--
}

func (m *memory) Size() uint64 { return uint64(len(m.data)) }

// all is the data as what was answered has left it.
func (m *memory) all() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data
}

func (m *memory) Buffer(n int) []byte { return m.pool.Get(n) }
func (m *memory) Free(b []byte) {
	if b != nil {
		m.pool.Put(b)
	}
}

func (m *memory) Submit(r *volume.Request) {
	go func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		var out []byte
		err := m.fail
		at := r.Sector * 512
		switch {
		case err != nil:
		case r.Kind == volume.Read:
			out = m.pool.Get(int(r.Size))
			copy(out, m.data[at:])
		case r.Kind == volume.Write:
			copy(m.data[at:], r.Data)
		case r.Kind == volume.Zero:
			clear(m.data[at : at+uint64(r.Size)])
		}
		if r.Kind == volume.Write {
			m.pool.Put(r.Data)
		}
		r.Done(r, out, err)
	}()
}

// serve starts a server on a unix socket.
func serve(t testing.TB, s *Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nbd")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() {
		l.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Close(ctx)
		if n := s.Clients(); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	})
	return path
}

func one(d Device) func() []Export {
	return func() []Export { return []Export{{Name: "r0", Description: "volume 0 of r0", Device: d}} }
}

// tool runs a program of another project against the server; without it the test is
// skipped.
func tool(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		t.Skipf("SKIPPED: %s is not installed (packages qemu-utils, libnbd-bin, fio)", argv[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = t.TempDir() // fio leaves a file about its verify
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustTool(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := tool(t, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

func TestQemuIO(t *testing.T) {
	m := newMemory(64 << 20)
	uri := "nbd+unix:///r0?socket=" + serve(t, &Server{Exports: one(m)})
	out := mustTool(t, "qemu-io", "-f", "raw", uri,
		"-c", "write -P 0xaa 0 3M", "-c", "write -f -P 0xbb 512 512", "-c", "read -P 0xbb 512 512", "-c", "read -P 0xaa 1k 1k",
		"-c", "write -z 1M 1M", "-c", "read -P 0 1M 1M", "-c", "discard 2M 64k", "-c", "read -P 0 2M 64k", "-c", "flush",
		"-c", "aio_write -P 1 32M 20M", "-c", "aio_flush", "-c", "read -P 1 32M 20M")
	if strings.Contains(out, "failed") || strings.Contains(out, "error") {
		t.Error(out)
	}
	if m.all()[0] != 0xaa || m.all()[600] != 0xbb || m.all()[40<<20] != 1 {
		t.Error("the data did not arrive")
	}
	if _, err := tool(t, "qemu-io", "-f", "raw", strings.Replace(uri, "/r0", "/r9", 1), "-c", "read 0 512"); err == nil {
		t.Error("an unknown export was opened")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opens != 0 {
		t.Errorf("%d opens are left", m.opens)
	}
}

func TestLibnbd(t *testing.T) {
	m := newMemory(16 << 20)
	uri := "nbd+unix:///r0?socket=" + serve(t, &Server{Exports: one(m)})
	out := mustTool(t, "nbdinfo", uri)
	for _, want := range []string{"export-size: 16777216", "can_multi_conn: true", "can_fua: true", "can_trim: true", "can_zero: true", "block_size_minimum: 512",
		"using structured packets", "description: volume 0 of r0"} {
		if !strings.Contains(out, want) {
			t.Errorf("nbdinfo does not say %q:\n%s", want, out)
		}
	}
	if out := mustTool(t, "nbdinfo", "--list", uri); !strings.Contains(out, `export="r0"`) {
		t.Error(out)
	}
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	want := make([]byte, 16<<20)
	rand.Read(want)
	if err := os.WriteFile(from, want, 0o600); err != nil {
		t.Fatal(err)
	}
	mustTool(t, "nbdcopy", "--flush", from, uri)
	mustTool(t, "nbdcopy", uri, to)
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) || !bytes.Equal(m.all(), want) {
		t.Errorf("copied through NBD the data differs (%v)", err)
	}
}

func TestFio(t *testing.T) {
	m := newMemory(32 << 20)
	uri := "nbd+unix:///r0?socket=" + serve(t, &Server{Exports: one(m)})
	out := mustTool(t, "fio", "--name=x", "--ioengine=nbd", "--uri="+uri, "--rw=randwrite", "--bsrange=4k-128k", "--iodepth=32", "--size=32M", "--io_size=64M",
		"--verify=crc32c", "--verify_fatal=1", "--fsync=64", "--randrepeat=0")
	if !strings.Contains(out, "err= 0") {
		t.Error(out)
	}
}

func TestRefusals(t *testing.T) {
	m := newMemory(1 << 20)
	m.refuse = errors.New("the volume is not Primary on this node")
	uri := "nbd+unix:///?socket=" + serve(t, &Server{Exports: one(m)})
	if out, err := tool(t, "qemu-io", "-f", "raw", uri, "-c", "read 0 512"); err == nil || !strings.Contains(out, "not Primary") {
		t.Errorf("%v: %s", err, out)
	}
	m = newMemory(1 << 20)
	m.fail = errors.New("broken")
	uri = "nbd+unix:///?socket=" + serve(t, &Server{Exports: one(m)})
	if out, err := tool(t, "qemu-io", "-f", "raw", uri, "-c", "read 0 512"); err == nil || !strings.Contains(out, "Input/output error") {
		t.Errorf("%v: %s", err, out)
	}
}

// certificate makes one that signs itself, for 127.0.0.1.
func certificate(t *testing.T, dir string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotAfter: time.Now().Add(time.Hour),
		NotBefore: time.Now().Add(-time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca-cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	m := newMemory(8 << 20)
	s := &Server{Exports: one(m), TLS: certificate(t, dir), RequireTLS: true}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { l.Close(); s.Close(context.Background()) })
	if out, err := tool(t, "nbdinfo", fmt.Sprintf("nbd://%s/r0", l.Addr())); err == nil {
		t.Errorf("a client without TLS was let in: %s", out)
	}
	port := l.Addr().(*net.TCPAddr).Port
	out := mustTool(t, "qemu-io", "--object", "tls-creds-x509,id=t,endpoint=client,dir="+dir, "--image-opts",
		fmt.Sprintf("driver=raw,file.driver=nbd,file.host=127.0.0.1,file.port=%d,file.export=r0,file.tls-creds=t", port),
		"-c", "write -P 5 0 4M", "-c", "read -P 5 0 4M")
	if strings.Contains(out, "failed") || m.all()[4<<20-1] != 5 {
		t.Error(out)
	}
}

// TestOldHandshake speaks as a client that knows only the export's name, and asks
// for what is not allowed.
func TestOldHandshake(t *testing.T) {
	m := newMemory(1 << 20)
	c, err := net.Dial("unix", serve(t, &Server{Exports: one(m)}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	read := func(n int) []byte {
		t.Helper()
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	read(18)
	b := be.AppendUint32(nil, flagFixedNewstyle)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint32(b, 77) // unknown
	b = be.AppendUint32(b, 3)
	b = append(b, "abc"...)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint32(b, optExportName)
	b = be.AppendUint32(b, 2)
	c.Write(append(b, "r0"...))
	if r := read(20); be.Uint32(r[12:]) != repErrUnsupported {
		t.Errorf("unknown option: % x", r)
	} else {
		read(int(be.Uint32(r[16:])))
	}
	if r := read(134); be.Uint64(r) != 1<<20 {
		t.Errorf("export: % x", r)
	}
	request := func(flags, kind uint16, offset uint64, length uint32, data []byte) uint32 {
		t.Helper()
		b := be.AppendUint32(nil, magicRequest)
		b = be.AppendUint16(b, flags)
		b = be.AppendUint16(b, kind)
		b = be.AppendUint64(b, 42)
		b = be.AppendUint64(b, offset)
		c.Write(append(be.AppendUint32(b, length), data...))
		r := read(16)
		if be.Uint32(r) != magicSimple || be.Uint64(r[8:]) != 42 {
			t.Fatalf("reply % x", r)
		}
		if kind == cmdRead && be.Uint32(r[4:]) == 0 {
			read(int(length))
		}
		return be.Uint32(r[4:])
	}
	block := bytes.Repeat([]byte{9}, 1024)
	for i, c := range []struct {
		flags, kind uint16
		offset      uint64
		length      uint32
		data        []byte
		want        uint32
	}{
		{0, cmdWrite, 512, 1024, block, 0},
		{cmdFUA, cmdWrite, 512, 1024, block, 0},
		{cmdFUA, cmdWriteZeroes, 0, 512, nil, 0},
		{0, cmdRead, 512, 512, nil, 0},
		{0, cmdRead, 1, 512, nil, errInvalid},
		{0, cmdRead, 1 << 20, 512, nil, errInvalid},
		{0, cmdRead, ^uint64(511), 1024, nil, errInvalid},
		{0, cmdWrite, 1<<20 - 512, 1024, block, errInvalid},
		{cmdDF, cmdRead, 0, 512, nil, errInvalid},
		{0, 99, 0, 0, nil, errInvalid},
		{0, cmdFlush, 0, 0, nil, 0},
		{0, cmdFlush, 512, 0, nil, errInvalid},
		{0, cmdTrim, 0, 1 << 20, nil, 0},
	} {
		if got := request(c.flags, c.kind, c.offset, c.length, c.data); got != c.want {
			t.Errorf("request %d: %d, want %d", i, got, c.want)
		}
	}
}

// FuzzServer lets a client send anything.
func FuzzServer(f *testing.F) {
	option := func(n uint32, data string) []byte {
		b := be.AppendUint64(nil, magicOption)
		b = be.AppendUint32(b, n)
		return append(be.AppendUint32(b, uint32(len(data))), data...)
	}
	request := func(kind uint16, offset uint64, length uint32, data string) []byte {
		b := be.AppendUint32(nil, magicRequest)
		b = be.AppendUint16(b, 0)
		b = be.AppendUint16(b, kind)
		b = be.AppendUint64(b, 7)
		b = be.AppendUint64(b, offset)
		return append(be.AppendUint32(b, length), data...)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	hello := be.AppendUint32(nil, 3)
	open := option(optGo, "\x00\x00\x00\x02r0\x00\x01\x00\x03")
	f.Add(join(hello, option(optExportName, "r0"), request(cmdRead, 0, 512, "")))
	f.Add(join(hello, option(optStructured, ""), open, request(cmdRead, 0, 1<<16, ""), request(cmdDisconnect, 0, 0, "")))
	f.Add(join(hello, open, request(cmdWrite, 512, 512, strings.Repeat("x", 512)), request(cmdTrim, 0, 4096, ""), request(cmdFlush, 0, 0, "")))
	f.Add(join(hello, option(optList, ""), option(optSetMeta, "abc"), option(optAbort, "")))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := newMemory(1 << 20)
		a, b := net.Pipe()
		done := make(chan struct{})
		s := &Server{Exports: one(m)}
		go func() { defer close(done); s.serve(b); b.Close() }()
		go io.Copy(io.Discard, a)
		a.SetDeadline(time.Now().Add(10 * time.Second))
		a.Write(in)
		a.Close()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the server hangs")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.opens != 0 {
			t.Fatalf("%d opens are left", m.opens)
		}
	})
}
