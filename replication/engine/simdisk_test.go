package engine

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"

	"gcrm/replication/metadata"
)

// simDisk is a disk with a volatile cache: what was written and not flushed may be
// lost in a crash, sector by sector.
type simDisk struct {
	size    uint64   // bytes
	durable [][]byte // by sector, nil for zeroes
	cache   [][]byte
	dirty   []uint64 // sectors in cache, each once
	lost    int      // sectors lost in crashes
}

func newSimDisk(size uint64) *simDisk {
	n := size / metadata.SectorSize
	return &simDisk{size: size, durable: make([][]byte, n), cache: make([][]byte, n)}
}

var zeroSector = make([]byte, metadata.SectorSize)

func (d *simDisk) sector(n uint64) []byte {
	if s := d.cache[n]; s != nil {
		return s
	}
	if s := d.durable[n]; s != nil {
		return s
	}
	return zeroSector
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
	own := slices.Clone(b)
	for i := 0; i < len(b); i += metadata.SectorSize {
		n := (uint64(off) + uint64(i)) / metadata.SectorSize
		if d.cache[n] == nil {
			d.dirty = append(d.dirty, n)
		}
		d.cache[n] = own[i : i+metadata.SectorSize]
	}
	return len(b), nil
}

func (d *simDisk) Sync() error {
	for _, n := range d.dirty {
		d.durable[n], d.cache[n] = d.cache[n], nil
	}
	d.dirty = d.dirty[:0]
	return nil
}

// crash keeps each sector of the cache with the given probability.
func (d *simDisk) crash(r *rand.Rand, keep float64) {
	slices.Sort(d.dirty)
	for _, n := range d.dirty {
		if r.Float64() < keep {
			d.durable[n] = d.cache[n]
		} else {
			d.lost++
		}
		d.cache[n] = nil
	}
	d.dirty = d.dirty[:0]
}

// lose drops everything that is not durable.
func (d *simDisk) lose() {
	for _, n := range d.dirty {
		d.cache[n] = nil
	}
	d.dirty = d.dirty[:0]
}
