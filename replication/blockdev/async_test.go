package blockdev

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// loopDevice makes a block device of a file.
func loopDevice(t testing.TB, file string, options ...string) string {
	t.Helper()
	out, err := exec.Command("losetup", slices.Concat(options, []string{"-f", "--show", file})...).Output()
	if err != nil {
		t.Skipf("SKIPPED: needs root and loop devices: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", loop).Run(); err != nil {
			t.Error(err)
		}
	})
	return loop
}

func asyncQueue(t testing.TB, size int64, device bool) (*Queue, string) {
	t.Helper()
	file := scratch(t, size)
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil { // with room for every block
		t.Fatal(err)
	}
	path := file
	if device {
		path = loopDevice(t, file)
	}
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	q := NewQueue(d, 4)
	if q.async == nil {
		t.Skip("SKIPPED: the kernel has no asynchronous I/O here")
	}
	t.Cleanup(func() { q.Close(time.Minute) })
	return q, file
}

// TestAsyncAgainstMemory has many operations of a block device under way, more than the kernel takes at
// once, and compares with memory; each place has one operation at a time.
func TestAsyncAgainstMemory(t *testing.T) {
	t.Run("block device", func(t *testing.T) { asyncAgainstMemory(t, true) })
	t.Run("file", func(t *testing.T) { asyncAgainstMemory(t, false) })
}

func asyncAgainstMemory(t *testing.T, device bool) {
	const places, size = 200, 16 << 10
	q, file := asyncQueue(t, places*size, device)
	var all sync.WaitGroup
	want := make([][]byte, places)
	for p := range places {
		want[p] = make([]byte, size)
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(p), 1))
			do := func(op Op) {
				done := make(chan error, 1)
				op.Done = func(_ *Op, err error) { done <- err }
				q.Submit(&op)
				if err := <-done; err != nil {
					t.Errorf("place %d: %v", p, err)
				}
			}
			for range 60 {
				n := (r.IntN(size/SectorSize) + 1) * SectorSize
				off := r.IntN((size-n)/SectorSize+1) * SectorSize
				b := q.dev.pool.Get(n)
				if r.IntN(4) == 0 {
					b = make([]byte, n+1)[1:] // a worker has to do it
				}
				at := int64(p*size + off)
				switch r.IntN(6) {
				case 0:
					do(Op{Kind: Flush})
				case 1:
					do(Op{Kind: Zero, Offset: at, Size: uint32(n), FUA: r.IntN(2) == 0})
					clear(want[p][off : off+n])
				case 2, 3:
					do(Op{Kind: Read, Offset: at, Data: b})
					if !bytes.Equal(b, want[p][off:off+n]) {
						t.Errorf("place %d: other data", p)
					}
				default:
					for i := range b {
						b[i] = byte(r.Uint32())
					}
					do(Op{Kind: Write, Offset: at, Data: b, FUA: r.IntN(3) == 0})
					copy(want[p][off:], b)
				}
				q.dev.pool.Put(b)
			}
			do(Op{Kind: Flush})
		})
	}
	all.Wait()
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, bytes.Join(want, nil)) {
		t.Errorf("the file below is different: %v", err)
	}
}

// TestAsyncErrors: what fails is told of the operation that it belongs to, in words with the device.
func TestAsyncErrors(t *testing.T) {
	q, file := asyncQueue(t, 1<<20, true)
	if err := os.Truncate(file, 512<<10); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, c := range []struct {
		off    int64
		failed bool
	}{{0, false}, {256 << 10, false}, {768 << 10, true}, {1 << 20, true}, {1<<20 - 4096, true}} {
		all.Add(1)
		op := Op{Kind: Read, Offset: c.off, Data: q.dev.pool.Get(8192)}
		op.Done = func(_ *Op, err error) {
			if err != nil != c.failed || err != nil && c.off == 768<<10 && !strings.Contains(err.Error(), q.dev.path) {
				t.Errorf("at %d: %v", c.off, err)
			}
			all.Done()
		}
		q.Submit(&op)
	}
	all.Wait()
}

// TestAsyncClose: a queue that is closed finishes what is under way, takes nothing more, and every operation
// is answered once.
func TestAsyncClose(t *testing.T) {
	for range 20 {
		q, _ := asyncQueue(t, 1<<20, true)
		var all sync.WaitGroup
		for i := range 300 {
			all.Add(1)
			op := Op{Kind: Write, Offset: int64(i%256) * 4096, Data: q.dev.pool.Get(4096), Done: func(*Op, error) { all.Done() }}
			if i%10 == 0 {
				op.Kind, op.Data, op.Offset = Flush, nil, 0
			}
			q.Submit(&op)
			if i == 200 {
				go q.Close(time.Minute)
			}
		}
		all.Wait()
		if !q.Close(time.Minute) {
			t.Fatal("operations are under way")
		}
	}
}

// BenchmarkQueue is one operation at a time, and sixteen, with and without a thread for each.
//
//	go test ./replication/blockdev -run '^$' -bench Queue -count 6
func BenchmarkQueue(b *testing.B) {
	for i := range 8 {
		kind, depth, on := []string{"kernel", "workers"}[i&1], []int{1, 16}[i>>1&1], []string{"device", "file"}[i>>2]
		b.Run(fmt.Sprintf("%s-%s-depth%d", on, kind, depth), func(b *testing.B) {
			q, _ := asyncQueue(b, 4<<20, on == "device")
			if kind == "workers" {
				q.fault = func(*Op) error { return nil }
			}
			free := make(chan *Op, depth)
			for i := range depth {
				free <- &Op{Kind: Write, Offset: int64(i) * 4096, Data: q.dev.pool.Get(4096), Done: func(op *Op, err error) {
					if err != nil {
						b.Error(err)
					}
					free <- op
				}}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				q.Submit(<-free)
			}
			for range depth {
				<-free
			}
		})
	}
}
