package engine

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"

	"gcrm/replication/metadata"
)

// simDisk is a disk with a volatile cache: what was written and not flushed may be
// lost in a crash, sector by sector.
type simDisk struct {
	size    uint64 // bytes
	durable sectors
	cache   sectors
	dirty   []uint64 // sectors in cache, each once
	lost    int      // sectors lost in crashes
	fuse    fuse
	synced  func() // called when everything is durable
}

// simStore is what a node has as its disk: a disk, or the device of a resource below.
type simStore interface {
	metadata.Device
	bytes() uint64
	// content is what would be read now.
	content() *simDisk
	crash(r *rand.Rand, keep float64)
}

func (d *simDisk) bytes() uint64     { return d.size }
func (d *simDisk) content() *simDisk { return d }

// sectors are the contents of a device; most of it is never written.
type sectors []*[run][]byte

const run = 128

func newSectors(n uint64) sectors { return make(sectors, (n+run-1)/run) }

// at gives nil for a sector that was not written.
func (s sectors) at(n uint64) []byte {
	if r := s[n/run]; r != nil {
		return r[n%run]
	}
	return nil
}

func (s sectors) set(n uint64, b []byte) {
	r := s[n/run]
	if r == nil {
		if b == nil {
			return
		}
		r = new([run][]byte)
		s[n/run] = r
	}
	r[n%run] = b
}

func newSimDisk(size uint64) *simDisk {
	n := size / metadata.SectorSize
	return &simDisk{size: size, durable: newSectors(n), cache: newSectors(n)}
}

var zeroSector = make([]byte, metadata.SectorSize)

func (d *simDisk) sector(n uint64) []byte {
	if s := d.cache.at(n); s != nil {
		return s
	}
	if s := d.durable.at(n); s != nil {
		return s
	}
	return zeroSector
}

// differs finds a sector before end that is not alike on two disks.
func (d *simDisk) differs(o *simDisk, end uint64) (uint64, bool) {
	for n := uint64(0); n < end; n++ {
		if i := n / run; n%run == 0 && d.durable[i] == nil && d.cache[i] == nil && o.durable[i] == nil && o.cache[i] == nil {
			n += run - 1
			continue
		}
		if !bytes.Equal(d.sector(n), o.sector(n)) {
			return n, true
		}
	}
	return 0, false
}

func (d *simDisk) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || uint64(off)+uint64(len(b)) > d.size {
		return 0, io.EOF
	}
	for i := 0; i < len(b); i += metadata.SectorSize {
		copy(b[i:], d.sector((uint64(off)+uint64(i))/metadata.SectorSize))
	}
	return len(b), nil
}

func (d *simDisk) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 || uint64(off)+uint64(len(b)) > d.size || len(b)%metadata.SectorSize != 0 {
		return 0, errors.New("write outside of the disk")
	}
	if err := d.fuse.burn(); err != nil {
		return 0, err
	}
	own := slices.Clone(b)
	for i := 0; i < len(b); i += metadata.SectorSize {
		n := (uint64(off) + uint64(i)) / metadata.SectorSize
		if d.cache.at(n) == nil {
			d.dirty = append(d.dirty, n)
		}
		d.cache.set(n, own[i:i+metadata.SectorSize])
	}
	return len(b), nil
}

func (d *simDisk) Sync() error {
	if err := d.fuse.burn(); err != nil {
		return err
	}
	for _, n := range d.dirty {
		d.durable.set(n, d.cache.at(n))
		d.cache.set(n, nil)
	}
	d.dirty = d.dirty[:0]
	if d.synced != nil {
		d.synced()
	}
	return nil
}

// crash keeps each sector of the cache with the given probability.
func (d *simDisk) crash(r *rand.Rand, keep float64) {
	slices.Sort(d.dirty)
	for _, n := range d.dirty {
		if r.Float64() < keep {
			d.durable.set(n, d.cache.at(n))
		} else {
			d.lost++
		}
		d.cache.set(n, nil)
	}
	d.dirty = d.dirty[:0]
}

// lose drops everything that is not durable.
func (d *simDisk) lose() {
	for _, n := range d.dirty {
		d.cache.set(n, nil)
	}
	d.dirty = d.dirty[:0]
}
