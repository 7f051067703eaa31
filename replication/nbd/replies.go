package nbd

import (
	"net"
	"sync"

	"gcrm/replication/promptio"
)

// replies writes answers; everything that is ready goes out in one call.
type replies struct {
	c      net.Conn
	dev    Device
	mu     sync.Mutex
	cond   sync.Cond
	ready  promptio.Batch
	spare  promptio.Batch
	closed bool
	ended  chan struct{}
}

// keptRoom is what a batch keeps for the next one, in bytes.
const keptRoom = 1 << 20

func newReplies(c net.Conn, dev Device) *replies {
	r := &replies{c: c, dev: dev, ended: make(chan struct{})}
	r.cond.L = &r.mu
	return r
}

func (r *replies) chunk(flags, kind uint16, cookie uint64, length uint32) {
	b := be.AppendUint32(r.ready.Bytes, magicStructured)
	b = be.AppendUint16(b, flags)
	b = be.AppendUint16(b, kind)
	b = be.AppendUint64(b, cookie)
	r.ready.Bytes = be.AppendUint32(b, length)
}

func (r *replies) simple(cookie uint64, code uint32) {
	b := be.AppendUint32(r.ready.Bytes, magicSimple)
	b = be.AppendUint32(b, code)
	r.ready.Bytes = be.AppendUint64(b, cookie)
}

func (r *replies) fail(structured bool, kind uint16, cookie uint64, code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if structured && kind == cmdRead {
		r.chunk(chunkDone, chunkError, cookie, 6)
		r.ready.Bytes = be.AppendUint16(be.AppendUint32(r.ready.Bytes, code), 0)
	} else {
		r.simple(cookie, code)
	}
	r.cond.Signal()
}

func (r *replies) succeed(structured bool, j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		r.free(j.data)
		return
	case j.kind != cmdRead || !structured:
		r.simple(j.cookie, 0)
	default:
		r.chunk(chunkDone, chunkOffsetData, j.cookie, 8+j.length)
		r.ready.Bytes = be.AppendUint64(r.ready.Bytes, j.offset)
	}
	if j.kind == cmdRead {
		for _, d := range j.data {
			if !r.ready.Block(d) {
				r.dev.Free(d)
			}
		}
	}
	r.cond.Signal()
}

// drop gives the data of a read back that failed in another part.
func (r *replies) drop(data [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free(data)
}

func (r *replies) free(data [][]byte) {
	for _, d := range data {
		r.dev.Free(d)
	}
}

func (r *replies) run() {
	defer close(r.ended)
	w := promptio.NewBatchWriter(r.c)
	for {
		r.mu.Lock()
		for len(r.ready.Bytes) == 0 && !r.closed {
			r.cond.Wait()
		}
		if len(r.ready.Bytes) == 0 {
			r.mu.Unlock()
			return
		}
		out := r.ready
		r.ready, r.spare = r.spare, promptio.Batch{}
		r.mu.Unlock()
		err := w.Write(&out)
		out.Reset(keptRoom, r.dev.Free)
		if err != nil {
			r.c.Close() // the reader finds out
			r.mu.Lock()
			r.closed = true
			r.ready.Reset(0, r.dev.Free)
			r.mu.Unlock()
			return
		}
		r.spare = out
	}
}

// close lets what is ready go out.
func (r *replies) close() {
	r.mu.Lock()
	r.closed = true
	r.cond.Signal()
	r.mu.Unlock()
	<-r.ended
}
