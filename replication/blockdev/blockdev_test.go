package blockdev

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

func scratch(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPoolGivesAlignedBuffersAndUsesThemAgain(t *testing.T) {
	var p Pool
	for _, n := range []int{1, 512, 4096, 4097, 65536, 1 << 20} {
		b := p.Get(n)
		if len(b) != n || !isAligned(b) {
			t.Errorf("Get(%d): length %d, aligned %v", n, len(b), isAligned(b))
		}
		p.Put(b)
		if c := p.Get(n); &c[0] != &b[0] {
			t.Errorf("Get(%d) after Put gave another buffer", n)
		}
	}
	p.Put(make([]byte, 5000)) // foreign
	if b := p.Get(4097); !isAligned(b) {
		t.Error("a foreign buffer came back")
	}
	if big := p.Get(3 << 20); len(big) != 3<<20 || !isAligned(big) {
		t.Error("large buffer")
	}
}

// TestAgainstMemory does random operations on a file and in memory.
func TestAgainstMemory(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		const size = 4 << 20
		d, err := Open(scratch(t, size), Options{Buffered: buffered})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		t.Logf("direct %v, unit %d", d.Direct(), d.unit)
		r := rand.New(rand.NewPCG(1, 2))
		want := make([]byte, size)
		for i := range 400 {
			n := (r.IntN(64) + 1) * 512
			off := r.IntN((size-n)/512) * 512
			b := make([]byte, n+1)[r.IntN(2):][:n] // aligned by chance only
			for j := range b {
				b[j] = byte(r.Uint32())
			}
			var err error
			switch r.IntN(5) {
			case 0:
				err = d.WriteDurable(b, int64(off))
			case 1:
				clear(b)
				err = d.Zero(int64(off), uint32(n), i%2 == 0)
			case 2:
				a := d.pool.Get(n)
				copy(a, b)
				_, err = d.WriteAt(a, int64(off))
				d.pool.Put(a)
			default:
				_, err = d.WriteAt(b, int64(off))
			}
			if err != nil {
				t.Fatal(err)
			}
			copy(want[off:], b)
			got := make([]byte, n)
			if _, err := d.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, want[off:off+n]) {
				t.Fatalf("operation %d at %d+%d: %v", i, off, n, err)
			}
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("whole device: %v", err)
		}
	}
}

func TestOneWriterAtATime(t *testing.T) {
	path := scratch(t, 1<<20)
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrBusy) {
		t.Errorf("second writer: %v", err)
	}
	look, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Errorf("a reader is kept out: %v", err)
	} else {
		look.Close()
	}
	d.Close()
	if d, err = Open(path, Options{}); err != nil {
		t.Fatalf("after the first writer: %v", err)
	}
	d.Close()
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a directory was opened")
	}
}

func TestQueueReportsEveryOperation(t *testing.T) {
	d, err := Open(scratch(t, 4<<20), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	q := NewQueue(d, 4)
	bad := errors.New("broken")
	q.Inject(func(op *Op) error {
		if op.Kind == Write && op.Offset == 8192 {
			return bad
		}
		return nil
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	results := map[uint64]error{}
	submit := func(op Op) {
		wg.Add(1)
		op.Done = func(op *Op, err error) {
			mu.Lock()
			results[op.Tag] = err
			mu.Unlock()
			wg.Done()
		}
		q.Submit(&op)
	}
	for i := range uint64(64) {
		submit(Op{Kind: Write, Offset: int64(i) * 4096, Data: bytes.Repeat([]byte{byte(i)}, 4096), Tag: i, FUA: i%8 == 0})
		submit(Op{Kind: Flush, Tag: 1000 + i})
	}
	wg.Wait()
	for i := range uint64(64) {
		if want := i == 2; errors.Is(results[i], bad) != want || results[1000+i] != nil {
			t.Errorf("write %d: %v, flush %v", i, results[i], results[1000+i])
		}
	}
	b := make([]byte, 4096)
	submit(Op{Kind: Read, Offset: 7 * 4096, Data: b, Tag: 5000})
	wg.Wait()
	if b[0] != 7 || results[5000] != nil {
		t.Errorf("read %d, %v", b[0], results[5000])
	}
	q.Close(time.Minute)
	submit(Op{Kind: Flush, Tag: 6000})
	submit(Op{Kind: Write, Data: b, Tag: 6001})
	wg.Wait()
	if !errors.Is(results[6000], ErrClosed) || !errors.Is(results[6001], ErrClosed) {
		t.Errorf("after Close: %v, %v", results[6000], results[6001])
	}
}

func TestLogicalBlock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := LogicalBlock(file); n != 512 {
		t.Errorf("a file has blocks of %d", n)
	}
	if n := LogicalBlock(file + ".none"); n != 512 {
		t.Errorf("what is not there has blocks of %d", n)
	}
	for _, want := range []uint32{512, 4096} {
		loop := loopDevice(t, file, "--sector-size", strconv.Itoa(int(want)))
		if n := LogicalBlock(loop); n != want {
			t.Errorf("a disk with blocks of %d has %d", want, n)
		}
	}
}
