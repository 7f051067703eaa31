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
	bytes  []byte
	blocks []block
	spare  []byte
	blanks []block
	closed bool
	ended  chan struct{}
}

// block is data that goes out after the first at bytes.
type block struct {
	at   int
	data []byte
}

// copied is the largest block that is copied behind its header.
const copied = 8 << 10

func newReplies(c net.Conn, dev Device) *replies {
	r := &replies{c: c, dev: dev, ended: make(chan struct{})}
	r.cond.L = &r.mu
	return r
}

func (r *replies) chunk(flags, kind uint16, cookie uint64, length uint32) {
	r.bytes = be.AppendUint32(r.bytes, magicStructured)
	r.bytes = be.AppendUint16(r.bytes, flags)
	r.bytes = be.AppendUint16(r.bytes, kind)
	r.bytes = be.AppendUint64(r.bytes, cookie)
	r.bytes = be.AppendUint32(r.bytes, length)
}

func (r *replies) simple(cookie uint64, code uint32) {
	r.bytes = be.AppendUint32(r.bytes, magicSimple)
	r.bytes = be.AppendUint32(r.bytes, code)
	r.bytes = be.AppendUint64(r.bytes, cookie)
}

func (r *replies) fail(structured bool, kind uint16, cookie uint64, code uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if structured && kind == cmdRead {
		r.chunk(chunkDone, chunkError, cookie, 6)
		r.bytes = be.AppendUint32(r.bytes, code)
		r.bytes = be.AppendUint16(r.bytes, 0)
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
		r.bytes = be.AppendUint64(r.bytes, j.offset)
	}
	if j.kind == cmdRead {
		for _, d := range j.data {
			if len(d) <= copied {
				r.bytes = append(r.bytes, d...)
				r.dev.Free(d)
				continue
			}
			r.blocks = append(r.blocks, block{len(r.bytes), d})
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
	var vector net.Buffers
	prompt := promptio.Writer(r.c)
	for {
		r.mu.Lock()
		for len(r.bytes) == 0 && !r.closed {
			r.cond.Wait()
		}
		if len(r.bytes) == 0 {
			r.mu.Unlock()
			return
		}
		out, blocks := r.bytes, r.blocks
		r.bytes, r.blocks = r.spare[:0], r.blanks[:0]
		r.spare, r.blanks = nil, nil
		r.mu.Unlock()
		var err error
		if len(blocks) == 0 {
			_, err = prompt.Write(out)
		} else {
			vector = interleave(vector[:0], out, blocks)
			v := vector
			_, err = v.WriteTo(r.c)
		}
		for i, b := range blocks {
			r.dev.Free(b.data)
			blocks[i] = block{}
		}
		if err != nil {
			r.c.Close() // the reader finds out
			r.mu.Lock()
			r.closed = true
			for _, b := range r.blocks {
				r.dev.Free(b.data)
			}
			r.bytes, r.blocks = nil, nil
			r.mu.Unlock()
			return
		}
		if cap(out) <= 1<<20 {
			r.spare, r.blanks = out[:0], blocks[:0]
		}
	}
}

// interleave lists bytes with the blocks at their places.
func interleave(list net.Buffers, out []byte, blocks []block) net.Buffers {
	from := 0
	for _, b := range blocks {
		list = append(list, out[from:b.at], b.data)
		from = b.at
	}
	if from < len(out) {
		list = append(list, out[from:])
	}
	return list
}

// close lets what is ready go out.
func (r *replies) close() {
	r.mu.Lock()
	r.closed = true
	r.cond.Signal()
	r.mu.Unlock()
	<-r.ended
}
