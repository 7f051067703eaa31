package volume

import (
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// RequestKind is what an application wants.
type RequestKind uint8

const (
	Read RequestKind = iota + 1
	Write
	Zero // with Discard the room may be given back
	Flush
)

// Request is one request of an application.
type Request struct {
	Kind    RequestKind
	Sector  uint64
	Size    uint32 // bytes, of Read and Zero
	Data    []byte // of Write: from Buffer, the volume's from Submit on
	FUA     bool
	Discard bool
	// Done is called once, with the volume locked. The data of a read is the
	// receiver's, to be given to Free.
	Done func(r *Request, data []byte, err error)
	// Owner is the caller's.
	Owner any
	tag   uint64
}

// Buffer gives memory for a write.
func (v *Volume) Buffer(n int) []byte { return v.pool.Get(n) }

// Free takes back memory of Buffer that was not submitted, or the data of a read.
func (v *Volume) Free(b []byte) {
	if b != nil {
		v.pool.Put(b)
	}
}

// MaxTransfer is the largest read or write, in bytes; MaxZero the largest Zero.
const (
	MaxTransfer = 1 << 20
	MaxZero     = 128 << 20
)

// Submit starts a request.
func (v *Volume) Submit(r *Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		r.Done(r, nil, ErrClosed)
		return
	}
	if n := len(v.free); n > 0 {
		r.tag, v.free = v.free[n-1], v.free[:n-1]
		v.slots[r.tag] = r
	} else {
		r.tag = uint64(len(v.slots))
		v.slots = append(v.slots, r)
	}
	now := v.now()
	switch r.Kind {
	case Read:
		v.e.Read(now, r.tag, r.Sector, r.Size)
	case Write:
		v.e.Write(now, r.tag, r.Sector, r.Data, r.FUA)
	case Zero:
		v.e.Zero(now, r.tag, r.Sector, r.Size, r.Discard)
	default:
		v.e.Flush(now, r.tag)
	}
	v.carryOut()
}

// complete ends a request.
func (v *Volume) complete(f *engine.Effect) {
	r := v.slots[f.Tag]
	v.slots[f.Tag] = nil
	v.free = append(v.free, f.Tag)
	if f.Data != nil {
		v.given = f.Data
	}
	if r.Kind == Write {
		if !f.Kept {
			v.releaseLater(r.Data)
		}
		r.Data = nil
	}
	r.Done(r, f.Data, f.Err)
}

// Open notes that an application has the volume open; it fails unless the node is
// Primary. A volume that is open is not demoted.
func (v *Volume) Open() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return ErrClosed
	}
	if v.e.State().Role() != wire.Primary {
		return engine.ErrNotPrimary
	}
	v.opens++
	v.e.Opened(true)
	return nil
}

// Release ends an Open.
func (v *Volume) Release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.opens--
	v.e.Opened(v.opens > 0)
}

// Size is the agreed size in bytes, 0 while it is unknown.
func (v *Volume) Size() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.e.Size() * metadata.SectorSize
}
