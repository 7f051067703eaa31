package metadata

import (
	"fmt"
	"math"
)

// Placement says where the metadata of a volume lies.
type Placement int

// A placement of 0 or more is the number of a fixed slot of 128 MiB on a metadata
// device.
const (
	Flexible Placement = -2 // from the start of a metadata device of its own
	Internal Placement = -3 // at the end of the data device
)

func (p Placement) String() string {
	switch p {
	case Flexible:
		return "flex-external"
	case Internal:
		return "internal"
	}
	return fmt.Sprint(int(p))
}

const (
	slotSectors = 128 << 20 / SectorSize
	// maxSectors is the largest device the format is used for, 1 PiB.
	maxSectors = 1 << 41
	// Limits of the log ring, in blocks.
	minLogBlocks = 8
	maxLogBlocks = 1 << 22
	// minFlexibleBytes is the least size of a flexible metadata device.
	minFlexibleBytes = 1 << 20
)

// Layout is where the parts of the metadata of a device are, in sectors from the
// start of the device that holds them.
type Layout struct {
	Placement     Placement
	Superblock    uint64
	Log           uint64
	LogBlocks     uint32 // of 4 KiB
	LogStripes    uint32
	StripeBlocks  uint32
	Bitmap        uint64
	BitmapSectors uint64 // room for the bitmap
	MetaSectors   uint64 // the whole area
	// DataSectors is how much data the metadata has room for; for internal metadata
	// it is what is left of the device.
	DataSectors uint64
}

// BitmapBytes is the size on disk of the bitmap of a device of that many sectors.
func BitmapBytes(dataSectors uint64) uint64 { return bitmapSectors(dataSectors) * SectorSize }

// bitmapSectors rounds to blocks: one sector of bitmap covers 32768 sectors.
func bitmapSectors(dataSectors uint64) uint64 {
	const perBlock = 8 * BlockSize * SectorsPerBit
	return (dataSectors + perBlock - 1) / perBlock * sectorsPerBlock
}

// NewLayout plans the metadata on a device of size bytes. stripes and stripeBlocks
// describe the ring of the activity log; 1 and 8 are usual.
func NewLayout(p Placement, size uint64, stripes, stripeBlocks uint32) (Layout, error) {
	blocks := uint64(stripes) * uint64(stripeBlocks)
	if stripes == 0 || stripeBlocks == 0 || blocks < minLogBlocks || blocks > maxLogBlocks {
		return Layout{}, fmt.Errorf("activity log of %d stripes with %d blocks each: must have between %d and %d blocks", stripes, stripeBlocks, minLogBlocks, maxLogBlocks)
	}
	l := Layout{Placement: p, LogBlocks: uint32(blocks), LogStripes: stripes, StripeBlocks: stripeBlocks}
	logSectors := blocks * sectorsPerBlock
	sectors := size / SectorSize
	if sectors > maxSectors {
		return Layout{}, fmt.Errorf("device of %d bytes: larger than 1 PiB", size)
	}
	switch {
	case p == Internal:
		l.BitmapSectors = bitmapSectors(sectors)
		l.MetaSectors = l.BitmapSectors + logSectors + sectorsPerBlock
		if size < BlockSize || l.MetaSectors > size/BlockSize*sectorsPerBlock {
			return Layout{}, fmt.Errorf("device of %d bytes: too small for %d KiB of internal metadata", size, l.MetaSectors/2)
		}
		l.Superblock = (size/BlockSize - 1) * sectorsPerBlock
		l.Log = l.Superblock - logSectors
		l.Bitmap = l.Log - l.BitmapSectors
		l.DataSectors = l.Bitmap
	case p == Flexible:
		if size < minFlexibleBytes || sectors < 2*sectorsPerBlock+logSectors {
			return Layout{}, fmt.Errorf("metadata device of %d bytes: too small, at least %d KiB are needed", size, minFlexibleBytes>>10)
		}
		// The size must fit its field of 32 bits.
		l.MetaSectors = min(sectors, math.MaxUint32)
		l.Log = sectorsPerBlock
		l.Bitmap = l.Log + logSectors
		l.BitmapSectors = l.MetaSectors - l.Bitmap
		l.DataSectors = min(l.BitmapSectors*8*SectorSize*SectorsPerBit, maxSectors)
	case p >= 0:
		if stripes != 1 || stripeBlocks != 8 {
			return Layout{}, fmt.Errorf("metadata slot %d: the activity log of a slot has a fixed size of 1 stripe with 8 blocks", p)
		}
		l.Superblock = uint64(p) * slotSectors
		if sectors < l.Superblock+slotSectors {
			return Layout{}, fmt.Errorf("metadata device of %d bytes: slot %d ends at %d", size, p, (l.Superblock+slotSectors)*SectorSize)
		}
		l.MetaSectors = slotSectors
		l.Log = l.Superblock + sectorsPerBlock
		l.Bitmap = l.Log + logSectors
		l.BitmapSectors = slotSectors - sectorsPerBlock - logSectors
		l.DataSectors = l.BitmapSectors * 8 * SectorSize * SectorsPerBit
	default:
		return Layout{}, fmt.Errorf("unknown placement of metadata %d", int(p))
	}
	return l, nil
}

// superblockSector is where the super block lies on a device of size bytes.
func (p Placement) superblockSector(size uint64) (uint64, error) {
	sector := uint64(0)
	switch {
	case p == Internal:
		if size < BlockSize {
			return 0, fmt.Errorf("device of %d bytes: too small for metadata", size)
		}
		sector = (size/BlockSize - 1) * sectorsPerBlock
	case p >= 0:
		sector = uint64(p) * slotSectors
	case p != Flexible:
		return 0, fmt.Errorf("unknown placement of metadata %d", int(p))
	}
	if (sector+sectorsPerBlock)*SectorSize > size {
		return 0, fmt.Errorf("device of %d bytes: ends before the super block: %w", size, ErrNoMetadata)
	}
	return sector, nil
}

// layoutOf checks the positions in a super block that was found at sector of a
// device of size bytes, and gives the layout they describe.
func layoutOf(s *Superblock, p Placement, sector, size uint64) (Layout, error) {
	bad := func(format string, args ...any) (Layout, error) {
		return Layout{}, fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	stripes, stripeBlocks := s.stripes()
	blocks := uint64(stripes) * uint64(stripeBlocks)
	if stripes == 0 || stripeBlocks == 0 || blocks < minLogBlocks || blocks > maxLogBlocks {
		return bad("activity log of %d stripes with %d blocks", stripes, stripeBlocks)
	}
	if s.BytesPerBit != BlockSize {
		return bad("%d bytes per bit instead of %d", s.BytesPerBit, BlockSize)
	}
	logSectors := int64(blocks * sectorsPerBlock)
	logOff, bmOff, meta := int64(s.LogOffset), int64(s.BitmapOffset), int64(s.MetaSectors)
	l := Layout{
		Placement: p, Superblock: sector, MetaSectors: uint64(meta),
		LogBlocks: uint32(blocks), LogStripes: stripes, StripeBlocks: stripeBlocks,
	}
	if bmOff%sectorsPerBlock != 0 {
		return bad("bitmap offset %d is not a multiple of 4 KiB", bmOff)
	}
	if p == Internal {
		if logOff != -logSectors {
			return bad("activity log at offset %d instead of %d", logOff, -logSectors)
		}
		if bmOff > logOff || bmOff < -int64(sector) {
			return bad("bitmap at offset %d", bmOff)
		}
		l.BitmapSectors = uint64(logOff - bmOff)
		if uint64(meta) != l.BitmapSectors+uint64(logSectors)+sectorsPerBlock {
			return bad("size %d sectors does not match the offsets", meta)
		}
	} else {
		if logOff != sectorsPerBlock || bmOff != sectorsPerBlock+logSectors {
			return bad("activity log at offset %d, bitmap at offset %d", logOff, bmOff)
		}
		if p >= 0 && (meta != slotSectors || blocks != minLogBlocks) {
			return bad("slot with %d sectors and a log of %d blocks", meta, blocks)
		}
		if meta < bmOff || (sector+uint64(meta))*SectorSize > size {
			return bad("size %d sectors does not fit the device", meta)
		}
		l.BitmapSectors = uint64(meta - bmOff)
	}
	l.Log = uint64(int64(sector) + logOff)
	l.Bitmap = uint64(int64(sector) + bmOff)
	l.DataSectors = min(l.BitmapSectors*8*SectorSize*SectorsPerBit, maxSectors)
	if p == Internal {
		l.DataSectors = l.Bitmap
	}
	if bitmapSectors(s.AgreedSectors) > l.BitmapSectors || s.AgreedSectors > maxSectors {
		return bad("agreed size of %d sectors is larger than the bitmap has room for", s.AgreedSectors)
	}
	if p == Internal && s.AgreedSectors > l.Bitmap {
		return bad("agreed size of %d sectors reaches into the metadata", s.AgreedSectors)
	}
	return l, nil
}
