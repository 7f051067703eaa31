package nbd

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gcrm/replication/volume"
)

// lent is a device whose reads give memory that is there already: what is measured is
// the server alone.
type lent struct {
	*memory
	block []byte
}

func (d *lent) Free([]byte) {}
func (d *lent) Submit(r *volume.Request) {
	if r.Kind == volume.Write {
		d.memory.Free(r.Data)
	}
	r.Done(r, d.block[:r.Size], nil)
}

// BenchmarkSession answers a client on a local socket in this process. Processor time and
// the number of times a thread had to wait are those of both sides.
//
//	go test ./replication/nbd -run '^$' -bench Session -count 6
func BenchmarkSession(b *testing.B) {
	for _, c := range []struct {
		kind  uint16
		size  int
		depth int
	}{{cmdRead, 4 << 10, 1}, {cmdRead, 4 << 10, 16}, {cmdRead, 1 << 20, 4}, {cmdWrite, 4 << 10, 16}, {cmdWrite, 1 << 20, 4}} {
		name := map[uint16]string{cmdRead: "read", cmdWrite: "write"}[c.kind]
		b.Run(fmt.Sprintf("%s-%dKiB-depth%d", name, c.size>>10, c.depth), func(b *testing.B) {
			l, err := net.Listen("unix", filepath.Join(b.TempDir(), "s"))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			near, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			far, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			d := &lent{newMemory(64 << 20), make([]byte, 1<<20)}
			ended := make(chan struct{})
			go func() { newSession(far, d, false).run(); close(ended) }()
			head := be.AppendUint32(nil, magicRequest)
			head = be.AppendUint16(head, 0)
			head = be.AppendUint16(head, c.kind)
			head = be.AppendUint64(head, 7)
			head = be.AppendUint64(head, 0)
			head = be.AppendUint32(head, uint32(c.size))
			answer := 16
			if c.kind == cmdWrite {
				head = append(head, make([]byte, c.size)...)
			} else {
				answer += c.size
			}
			tokens, failed := make(chan struct{}, c.depth), make(chan error, 1)
			in := make([]byte, answer)
			go func() {
				for {
					if _, err := io.ReadFull(near, in); err != nil {
						failed <- err
						return
					}
					<-tokens
				}
			}()
			one := func() {
				tokens <- struct{}{}
				if _, err := near.Write(head); err != nil {
					b.Fatal(err)
				}
			}
			for range 50 {
				one()
			}
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				one()
			}
			for range c.depth {
				tokens <- struct{}{} // all are answered
			}
			b.StopTimer()
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "waits/op")
			near.Close()
			<-ended
			<-failed
			_ = os.Remove(l.Addr().String())
		})
	}
}
