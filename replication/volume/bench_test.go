package volume

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRequests measures requests of applications on two nodes in this process, over
// loopback, on files and on block devices (loop), by what both nodes together cost: processor time and how often a
// thread had to wait. Both are steadier than the time that passes on a busy machine.
//
//	go test ./replication/volume -run '^$' -bench Requests -count 6
func BenchmarkRequests(b *testing.B) {
	for _, c := range []struct {
		kind  RequestKind
		size  uint32
		depth int
	}{{Write, 4096, 1}, {Write, 4096, 16}, {Write, 1 << 20, 4}, {Read, 4096, 1}, {Read, 1 << 20, 4}} {
		for _, device := range []bool{false, true} {
			name := map[RequestKind]string{Write: "write", Read: "read"}[c.kind]
			on := map[bool]string{false: "file", true: "device"}[device]
			b.Run(fmt.Sprintf("%s-%dKiB-depth%d-%s", name, c.size>>10, c.depth, on), func(b *testing.B) {
				pair := newPair(b, diskSize, func(_ int, s *Settings) {
					if s.Log = nil; device {
						onLoop(b, s)
					}
				})
				firstSync(b, pair)
				v, free := pair[0], make(chan *Request, c.depth)
				done := func(r *Request, data []byte, err error) {
					if err != nil {
						b.Error(err)
					}
					if r.Kind == Read {
						v.Free(data)
					}
					free <- r
				}
				for range c.depth {
					free <- &Request{Kind: c.kind, Size: c.size, Done: done}
				}
				places := uint64(diskSize/2) / uint64(c.size)
				one := func(i int) {
					r := <-free
					r.Sector = uint64(i) % places * uint64(c.size) / 512
					if c.kind == Write {
						r.Data = v.Buffer(int(c.size))
					}
					v.Submit(r)
				}
				for i := range 100 {
					one(i)
				}
				var before, after syscall.Rusage
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					one(i)
				}
				for range c.depth {
					<-free
				}
				b.StopTimer()
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
				cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
				b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op")
				b.ReportMetric(float64(after.Nvcsw-before.Nvcsw)/float64(b.N), "waits/op")
			})
		}
	}
}
