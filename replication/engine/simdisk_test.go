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
	size    uint64 // bytes
	durable map[uint64][]byte
	cache   map[uint64][]byte
	lost    int // sectors lost in crashes
}

func newSimDisk(size uint64) *simDisk {
	return &simDisk{size: size, durable: map[uint64][]byte{}, cache: map[uint64][]byte{}}
}

var zeroSector = make([]byte, metadata.SectorSize)

func (d *simDisk) sector(n uint64) []byte {
	if s, ok := d.cache[n]; ok {
		return s
	}
	if s, ok := d.durable[n]; ok {
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
	for i := 0; i < len(b); i += metadata.SectorSize {
		d.cache[(uint64(off)+uint64(i))/metadata.SectorSize] = slices.Clone(b[i : i+metadata.SectorSize])
	}
	return len(b), nil
}

func (d *simDisk) Sync() error {
	for n, s := range d.cache {
		d.durable[n] = s
	}
	clear(d.cache)
	return nil
}

// crash keeps each sector of the cache with the given probability.
func (d *simDisk) crash(r *rand.Rand, keep float64) {
	var sectors []uint64
	for n := range d.cache {
		sectors = append(sectors, n)
	}
	slices.Sort(sectors)
	for _, n := range sectors {
		if r.Float64() < keep {
			d.durable[n] = d.cache[n]
		} else {
			d.lost++
		}
	}
	clear(d.cache)
}
