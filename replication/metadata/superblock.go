package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// SectorSize is the unit of sizes and offsets, in bytes.
const SectorSize = 512

// BlockSize is the unit of alignment and of atomic writes, in bytes.
const BlockSize = 4096

const (
	sectorsPerBlock = BlockSize / SectorSize
	// SectorsPerBit is what one bit of the bitmap stands for.
	SectorsPerBit = sectorsPerBlock
	// ExtentSectors is the size of an extent of the activity log.
	ExtentSectors = 4 << 20 / SectorSize
	// BitsPerExtent is an extent in bits of the bitmap.
	BitsPerExtent = ExtentSectors / SectorsPerBit
)

// Magic numbers of the super block.
const (
	Magic07      = 0x8374026a
	MagicClean   = 0x8374026b // v08 as drbdmeta writes it
	MagicUnclean = 0x8374026c // v08 as kernel 8.4 writes it while attached
	Magic09      = 0x8374026d
)

// Flags are the metadata flags of the super block.
type Flags uint32

const (
	// FlagConsistent: the disk is better than Inconsistent.
	FlagConsistent Flags = 1 << iota
	// FlagPrimary: the node is Primary; found at attach it means a crash.
	FlagPrimary
	// FlagConnected: the peer is there.
	FlagConnected
	// FlagFullSync: all bits are about to be set.
	FlagFullSync
	// FlagWasUpToDate: the disk is better than Outdated.
	FlagWasUpToDate
	// FlagPeerOutdated: the peer's disk is known to be Outdated or Inconsistent.
	FlagPeerOutdated
	// FlagCrashedPrimary: was a crashed Primary and has not been in sync with the peer since.
	FlagCrashedPrimary
	// FlagLogClean: the activity log needs no replay.
	FlagLogClean
	// FlagLogDisabled: writes were not logged, a crash of a Primary dirties everything.
	FlagLogDisabled
)

// Superblock is the 4 KiB block that describes the metadata. Fields are as on disk.
type Superblock struct {
	AgreedSectors   uint64 // size last agreed with the peer; 0: never agreed
	UUID            Generations
	DeviceUUID      uint64 // identifies this metadata
	Flags           Flags
	Magic           uint32
	MetaSectors     uint32 // size of the whole area
	LogOffset       int32  // sectors, relative to the super block
	LogExtents      uint32 // size of the active set
	BitmapOffset    int32  // sectors, relative to the super block
	BytesPerBit     uint32 // always 4096
	PeerMaxBioSize  uint32 // bytes
	LogStripes      uint32 // 0 together with LogStripeBlocks: the fixed old layout
	LogStripeBlocks uint32 // blocks of 4 KiB per stripe
}

// Errors that say which kind of metadata, or none, is on the device.
var (
	ErrNoMetadata  = errors.New("no DRBD metadata found")
	ErrWrongFormat = errors.New("metadata of another format")
	ErrUnclean     = errors.New("metadata is unclean, the activity log has to be applied first")
	ErrCorrupt     = errors.New("metadata is damaged")
)

// Encode gives the block as it stands on the disk.
func (s *Superblock) Encode() []byte {
	b := make([]byte, BlockSize)
	be := binary.BigEndian
	be.PutUint64(b[0:], s.AgreedSectors)
	be.PutUint64(b[8:], s.UUID.Current)
	be.PutUint64(b[16:], s.UUID.Bitmap)
	be.PutUint64(b[24:], s.UUID.History[0])
	be.PutUint64(b[32:], s.UUID.History[1])
	be.PutUint64(b[40:], s.DeviceUUID)
	be.PutUint32(b[56:], uint32(s.Flags))
	be.PutUint32(b[60:], s.Magic)
	be.PutUint32(b[64:], s.MetaSectors)
	be.PutUint32(b[68:], uint32(s.LogOffset))
	be.PutUint32(b[72:], s.LogExtents)
	be.PutUint32(b[76:], uint32(s.BitmapOffset))
	be.PutUint32(b[80:], s.BytesPerBit)
	be.PutUint32(b[84:], s.PeerMaxBioSize)
	be.PutUint32(b[88:], s.LogStripes)
	be.PutUint32(b[92:], s.LogStripeBlocks)
	return b
}

// DecodeSuperblock reads a block. It refuses blocks that are no v08 super block,
// with ErrNoMetadata or ErrWrongFormat; positions are checked by Layout.check.
func DecodeSuperblock(b []byte) (Superblock, error) {
	if len(b) < BlockSize {
		return Superblock{}, fmt.Errorf("super block of %d bytes: %w", len(b), ErrNoMetadata)
	}
	be := binary.BigEndian
	s := Superblock{
		AgreedSectors: be.Uint64(b[0:]),
		UUID: Generations{
			Current: be.Uint64(b[8:]), Bitmap: be.Uint64(b[16:]),
			History: [2]uint64{be.Uint64(b[24:]), be.Uint64(b[32:])},
		},
		DeviceUUID:      be.Uint64(b[40:]),
		Flags:           Flags(be.Uint32(b[56:])),
		Magic:           be.Uint32(b[60:]),
		MetaSectors:     be.Uint32(b[64:]),
		LogOffset:       int32(be.Uint32(b[68:])),
		LogExtents:      be.Uint32(b[72:]),
		BitmapOffset:    int32(be.Uint32(b[76:])),
		BytesPerBit:     be.Uint32(b[80:]),
		PeerMaxBioSize:  be.Uint32(b[84:]),
		LogStripes:      be.Uint32(b[88:]),
		LogStripeBlocks: be.Uint32(b[92:]),
	}
	switch s.Magic {
	case MagicClean, MagicUnclean:
		return s, nil
	case Magic07:
		return s, fmt.Errorf("%w: v07 of DRBD 0.7", ErrWrongFormat)
	case Magic09:
		return s, fmt.Errorf("%w: v09 of DRBD 9", ErrWrongFormat)
	}
	return s, ErrNoMetadata
}

// Clean tells whether the device may be attached without ApplyLog.
func (s *Superblock) Clean() bool { return s.Magic == MagicClean && s.Flags&FlagLogClean != 0 }

// stripes gives the layout of the log ring, with the old fixed one made explicit.
func (s *Superblock) stripes() (stripes, blocks uint32) {
	if s.LogStripes == 0 && s.LogStripeBlocks == 0 {
		return 1, 8
	}
	return s.LogStripes, s.LogStripeBlocks
}

// DiskState is what the flags say about the data, before any peer is asked.
type DiskState int

const (
	Inconsistent DiskState = iota
	Outdated
	Consistent
	UpToDate
)

func (d DiskState) String() string {
	return [...]string{"Inconsistent", "Outdated", "Consistent", "UpToDate"}[d]
}

// DiskState tells the state of an unattached disk. It is UpToDate only when the peer
// is known to be outdated; otherwise the peer might have newer data.
func (s *Superblock) DiskState() DiskState {
	switch {
	case s.Flags&FlagConsistent == 0:
		return Inconsistent
	case s.Flags&FlagWasUpToDate == 0:
		return Outdated
	case s.Flags&FlagPeerOutdated != 0:
		return UpToDate
	}
	return Consistent
}

// CrashedPrimary tells whether the node was Primary when it stopped, or was so
// earlier and has not been in sync with the peer since.
func (s *Superblock) CrashedPrimary() bool { return s.Flags&(FlagPrimary|FlagCrashedPrimary) != 0 }

// Outdate marks the data as older than the peer's. It gives false, and does nothing,
// when the data is not even consistent.
func (s *Superblock) Outdate() bool {
	if s.Flags&FlagConsistent == 0 {
		return false
	}
	s.Flags &^= FlagWasUpToDate
	return true
}

// Invalidate marks the data as useless: the next attach sets all bits.
func (s *Superblock) Invalidate() {
	s.Flags &^= FlagConsistent | FlagWasUpToDate
	s.Flags |= FlagFullSync
}
