package metadata

import (
	"errors"
	"fmt"
	"io"
)

// Device holds metadata. Writes need only be durable after Sync. Both are called
// from one goroutine at a time.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Area is the metadata on a device.
type Area struct {
	Dev    Device
	Layout Layout
	// Super is the super block as last read or written.
	Super Superblock
}

// CreateOptions are the choices of create-md.
type CreateOptions struct {
	LogStripes      uint32 // 0 means 1
	LogStripeBlocks uint32 // of 4 KiB; 0 means 8
	PeerMaxBioSize  uint32
	DeviceUUID      uint64 // random; 0 leaves it unset as drbdmeta create-md does
}

// defaultLogExtents is what create-md notes as size of the active set; the node
// that attaches the device writes its own.
const defaultLogExtents = 257

// Create writes new metadata to a device of size bytes: no data yet (generation
// JustCreated), an empty log, a clear bitmap. What was in the metadata area is lost,
// the data area is not touched.
func Create(dev Device, size uint64, p Placement, o CreateOptions) (*Area, error) {
	if o.LogStripes == 0 {
		o.LogStripes = 1
	}
	if o.LogStripeBlocks == 0 {
		o.LogStripeBlocks = minLogBlocks
	}
	l, err := NewLayout(p, size, o.LogStripes, o.LogStripeBlocks)
	if err != nil {
		return nil, fmt.Errorf("create metadata: %w", err)
	}
	a := &Area{Dev: dev, Layout: l, Super: Superblock{
		UUID: Generations{Current: JustCreated}, DeviceUUID: o.DeviceUUID,
		Flags: FlagLogClean, Magic: MagicClean, MetaSectors: uint32(l.MetaSectors),
		LogOffset:    int32(int64(l.Log) - int64(l.Superblock)),
		BitmapOffset: int32(int64(l.Bitmap) - int64(l.Superblock)),
		LogExtents:   defaultLogExtents, BytesPerBit: BlockSize, PeerMaxBioSize: o.PeerMaxBioSize,
		LogStripes: l.LogStripes, LogStripeBlocks: l.StripeBlocks,
	}}
	if err := a.clearBitmap(size); err != nil {
		return nil, fmt.Errorf("create metadata: %w", err)
	}
	if err := a.initLog(); err != nil {
		return nil, fmt.Errorf("create metadata: %w", err)
	}
	if err := a.WriteSuperblock(a.Super); err != nil {
		return nil, fmt.Errorf("create metadata: %w", err)
	}
	return a, nil
}

// Open finds the metadata on a device of size bytes and checks it. The error wraps
// ErrNoMetadata, ErrWrongFormat or ErrCorrupt. Unclean metadata opens; see
// Superblock.Clean.
func Open(dev Device, size uint64, p Placement) (*Area, error) {
	sector, err := p.superblockSector(size)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	block := make([]byte, BlockSize)
	if _, err := dev.ReadAt(block, int64(sector*SectorSize)); err != nil {
		return nil, fmt.Errorf("open metadata: super block: %w", err)
	}
	s, err := DecodeSuperblock(block)
	if err != nil {
		return nil, fmt.Errorf("open metadata: sector %d: %w", sector, err)
	}
	l, err := layoutOf(&s, p, sector, size)
	if err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	return &Area{Dev: dev, Layout: l, Super: s}, nil
}

// WriteSuperblock writes the super block and waits until it is durable.
func (a *Area) WriteSuperblock(s Superblock) error {
	if err := a.write(s.Encode(), a.Layout.Superblock); err != nil {
		return fmt.Errorf("super block: %w", err)
	}
	if err := a.Dev.Sync(); err != nil {
		return fmt.Errorf("super block: %w", err)
	}
	a.Super = s
	return nil
}

func (a *Area) write(b []byte, sector uint64) error {
	_, err := a.Dev.WriteAt(b, int64(sector*SectorSize))
	return err
}

// clearBitmap zeroes as much of the bitmap as a data device of that many bytes would
// need. For external metadata that is a guess, drbdmeta's: before the bitmap is used
// the first attach sets all its bits.
func (a *Area) clearBitmap(size uint64) error {
	left := min(a.Layout.BitmapSectors, bitmapSectors(size/SectorSize)) * SectorSize
	at := int64(a.Layout.Bitmap * SectorSize)
	zero := make([]byte, min(1<<20, left))
	for left > 0 {
		n := min(uint64(len(zero)), left)
		if _, err := a.Dev.WriteAt(zero[:n], at); err != nil {
			return fmt.Errorf("bitmap: %w", err)
		}
		left -= n
		at += int64(n)
	}
	return nil
}

// initLog writes the whole ring empty. It is durable after the next Sync.
func (a *Area) initLog() error {
	for i := range int(a.Layout.LogBlocks) {
		if err := a.initLogBlock(i); err != nil {
			return err
		}
	}
	return nil
}

func (a *Area) initLogBlock(i int) error {
	block := make([]byte, BlockSize)
	(&Transaction{Initialised: true}).Encode(block)
	if err := a.write(block, a.Layout.Log+uint64(i)*sectorsPerBlock); err != nil {
		return fmt.Errorf("activity log, block %d: %w", i, err)
	}
	return nil
}

// emptyLog empties the log of a crashed Primary, whose extents are in the bitmap. A crash
// meanwhile may tear every block that is being written, and a log of which nothing is left
// would be taken for a lost one: the newest block goes last, when all others are durable.
func (a *Area) emptyLog(r ReplayedLog) error {
	if r.Updates == 0 {
		return a.initLog()
	}
	for i := range int(a.Layout.LogBlocks) {
		if i == r.newest {
			continue
		}
		if err := a.initLogBlock(i); err != nil {
			return err
		}
	}
	if err := a.Dev.Sync(); err != nil {
		return err
	}
	return a.initLogBlock(r.newest)
}

// WriteLog writes one transaction and waits until it is durable.
func (a *Area) WriteLog(t Transaction) error {
	block := make([]byte, BlockSize)
	t.Encode(block)
	sector := a.Layout.Log + uint64(a.Layout.BlockOf(t.Number))*sectorsPerBlock
	if err := a.write(block, sector); err != nil {
		return fmt.Errorf("activity log, transaction %d: %w", t.Number, err)
	}
	if err := a.Dev.Sync(); err != nil {
		return fmt.Errorf("activity log, transaction %d: %w", t.Number, err)
	}
	return nil
}

// ReadLog reads the ring. Blocks that cannot be read count as invalid.
func (a *Area) ReadLog() ReplayedLog {
	ring := make([][]byte, a.Layout.LogBlocks)
	for i := range ring {
		b := make([]byte, BlockSize)
		if _, err := a.Dev.ReadAt(b, int64((a.Layout.Log+uint64(i)*sectorsPerBlock)*SectorSize)); err == nil {
			ring[i] = b
		}
	}
	return ReplayLog(ring)
}

// ReadBitmap reads the bitmap for the agreed size; it is empty when no size was
// ever agreed.
func (a *Area) ReadBitmap() (*Bitmap, error) {
	b := NewBitmap(a.Super.AgreedSectors)
	const chunk = 256 // pages
	buf := make([]byte, min(chunk, b.Pages())*BlockSize)
	for first := 0; first < b.Pages(); first += chunk {
		n := min(chunk, b.Pages()-first)
		off := int64(a.Layout.Bitmap*SectorSize) + int64(first)*BlockSize
		if _, err := a.Dev.ReadAt(buf[:n*BlockSize], off); err != nil {
			return nil, fmt.Errorf("read bitmap, page %d: %w", first, err)
		}
		for i := range n {
			b.decodePage(first+i, buf[i*BlockSize:])
		}
	}
	return b, nil
}

// WriteBitmap writes the changed pages of b and waits until they are durable. When
// it fails, the pages count as changed again.
func (a *Area) WriteBitmap(b *Bitmap) error {
	pages := b.TakeDirty(nil)
	if len(pages) == 0 {
		return nil
	}
	err := a.WritePages(b, pages)
	if err == nil {
		if err = a.Dev.Sync(); err != nil {
			err = fmt.Errorf("write bitmap: %w", err)
		}
	}
	if err != nil {
		for _, p := range pages {
			b.dirty[p/wordBits] |= 1 << (p % wordBits)
		}
	}
	return err
}

// WritePages writes pages of b. They are durable after the next Sync.
func (a *Area) WritePages(b *Bitmap, pages []int) error {
	block := make([]byte, BlockSize)
	for _, p := range pages {
		if uint64(p+1)*sectorsPerBlock > a.Layout.BitmapSectors {
			return fmt.Errorf("write bitmap: page %d is beyond the %d sectors of the bitmap", p, a.Layout.BitmapSectors)
		}
		b.EncodePage(p, block)
		if err := a.write(block, a.Layout.Bitmap+uint64(p)*sectorsPerBlock); err != nil {
			return fmt.Errorf("write bitmap, page %d: %w", p, err)
		}
	}
	return nil
}

// ErrLogLost says that a crashed Primary left no readable activity log: nobody knows
// which blocks differ from the peer's. Invalidate the device, or set all bits.
var ErrLogLost = errors.New("the activity log of a crashed primary is not readable")

// Applied is what ApplyLog did.
type Applied struct {
	AlreadyClean bool
	// CrashedPrimary tells that the node stopped as Primary.
	CrashedPrimary bool
	Log            ReplayedLog
	// NewBits is how many blocks were marked because of the log.
	NewBits uint64
}

// ApplyLog makes unclean metadata clean as drbdmeta apply-al does. If the node was
// Primary, every extent of its active set is marked out of sync; then the log is
// emptied and the super block says clean. The primary flag stays, an attach needs to
// know of the crash.
func (a *Area) ApplyLog() (Applied, error) {
	r := Applied{CrashedPrimary: a.Super.Flags&FlagPrimary != 0}
	if a.Super.Clean() {
		r.AlreadyClean = true
		return r, nil
	}
	r.Log = a.ReadLog()
	if r.CrashedPrimary && a.Super.Flags&FlagLogDisabled == 0 {
		// One torn block is what a crash leaves. More, without any block to tell what
		// was going on, and the log is no help.
		if r.Log.Valid == 0 || r.Log.Updates == 0 && r.Log.Invalid > 1 {
			return r, fmt.Errorf("apply activity log: %w (%d of %d blocks valid)", ErrLogLost, r.Log.Valid, a.Layout.LogBlocks)
		}
		b, err := a.ReadBitmap()
		if err != nil {
			return r, fmt.Errorf("apply activity log: %w", err)
		}
		for _, e := range r.Log.Extents {
			r.NewBits += b.SetRange(uint64(e)*BitsPerExtent, (uint64(e)+1)*BitsPerExtent)
		}
		if err := a.WriteBitmap(b); err != nil {
			return r, fmt.Errorf("apply activity log: %w", err)
		}
		if r.NewBits == 0 {
			// A process that was killed here may have written them, and not waited.
			if err := a.Dev.Sync(); err != nil {
				return r, fmt.Errorf("apply activity log: %w", err)
			}
		}
	}
	if err := a.emptyLog(r.Log); err != nil {
		return r, fmt.Errorf("apply activity log: %w", err)
	}
	if err := a.Dev.Sync(); err != nil {
		return r, fmt.Errorf("apply activity log: %w", err)
	}
	s := a.Super
	s.Flags |= FlagLogClean
	s.Magic = MagicClean
	if err := a.WriteSuperblock(s); err != nil {
		return r, fmt.Errorf("apply activity log: %w", err)
	}
	return r, nil
}

// ErrPrimary refuses to call the metadata of a Primary clean.
var ErrPrimary = errors.New("the metadata says that the node is Primary")

// Seal makes the metadata of a node that stopped as Secondary clean: an empty log,
// the clean magic. The log has to be emptied, since whoever attaches the device next
// counts transactions from 0 again, and old ones would look newer.
func (a *Area) Seal() error {
	if a.Super.Flags&FlagPrimary != 0 {
		return fmt.Errorf("seal metadata: %w", ErrPrimary)
	}
	if err := a.initLog(); err != nil {
		return fmt.Errorf("seal metadata: %w", err)
	}
	if err := a.Dev.Sync(); err != nil {
		return fmt.Errorf("seal metadata: %w", err)
	}
	s := a.Super
	s.Flags |= FlagLogClean
	s.Magic = MagicClean
	if err := a.WriteSuperblock(s); err != nil {
		return fmt.Errorf("seal metadata: %w", err)
	}
	return nil
}

// Wipe overwrites the super block, so that the device has no metadata any more.
func (a *Area) Wipe() error {
	if err := a.write(make([]byte, BlockSize), a.Layout.Superblock); err != nil {
		return fmt.Errorf("wipe metadata: %w", err)
	}
	return a.Dev.Sync()
}
