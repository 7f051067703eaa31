package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
)

const logMagic = 0x69cb65a2

const (
	// MaxUpdates is how many slots one transaction can change.
	MaxUpdates = 64
	// ContextSlots is how many slots each transaction repeats.
	ContextSlots = 919
	// NoExtent marks a free slot.
	NoExtent = 0xffffffff
)

// Types of log blocks.
const (
	logUpdate      = 0
	logInitialised = 0xffff
)

// Update puts an extent into a slot of the active set, or frees it (NoExtent).
type Update struct {
	Slot   uint16
	Extent uint32
}

// Transaction is one block of the activity log.
type Transaction struct {
	Number       uint32 // counts up and wraps; only the order matters
	Initialised  bool   // an empty block as written by apply-al
	Updates      []Update
	Size         uint16 // of the active set
	ContextStart uint16
	// Context are the extents of the slots from ContextStart on, at most ContextSlots.
	Context []uint32
}

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

// blockChecksum is CRC-32C as the kernel computes it: initial value 0 and no final
// inversion, over the block with its checksum field zero.
func blockChecksum(b []byte) uint32 {
	var zero [4]byte
	table := castagnoli()
	crc := crc32.Update(0xffffffff, table, b[:8])
	crc = crc32.Update(crc, table, zero[:])
	return ^crc32.Update(crc, table, b[12:BlockSize])
}

// Encode writes the transaction into a block of BlockSize bytes.
func (t *Transaction) Encode(b []byte) {
	b = b[:BlockSize]
	clear(b)
	be := binary.BigEndian
	be.PutUint32(b[0:], logMagic)
	if t.Initialised {
		be.PutUint16(b[12:], logInitialised)
		be.PutUint32(b[8:], blockChecksum(b))
		return
	}
	be.PutUint32(b[4:], t.Number)
	be.PutUint16(b[12:], logUpdate)
	be.PutUint16(b[14:], uint16(len(t.Updates)))
	be.PutUint16(b[16:], t.Size)
	be.PutUint16(b[18:], t.ContextStart)
	for i := range MaxUpdates {
		u := Update{0xffff, NoExtent}
		if i < len(t.Updates) {
			u = t.Updates[i]
		}
		be.PutUint16(b[36+2*i:], u.Slot)
		be.PutUint32(b[164+4*i:], u.Extent)
	}
	for i := range ContextSlots {
		extent := uint32(NoExtent)
		if i < len(t.Context) {
			extent = t.Context[i]
		}
		be.PutUint32(b[420+4*i:], extent)
	}
	be.PutUint32(b[8:], blockChecksum(b))
}

// errBadBlock is a log block that was torn or never written.
var errBadBlock = errors.New("invalid block of the activity log")

// DecodeTransaction reads one block of the log.
func DecodeTransaction(b []byte) (Transaction, error) {
	be := binary.BigEndian
	if len(b) < BlockSize || be.Uint32(b) != logMagic {
		return Transaction{}, fmt.Errorf("%w: no magic number", errBadBlock)
	}
	if be.Uint32(b[8:]) != blockChecksum(b) {
		return Transaction{}, fmt.Errorf("%w: wrong checksum", errBadBlock)
	}
	t := Transaction{Number: be.Uint32(b[4:]), Size: be.Uint16(b[16:]), ContextStart: be.Uint16(b[18:])}
	switch typ := be.Uint16(b[12:]); typ {
	case logInitialised:
		t.Initialised = true
		return t, nil
	case logUpdate:
	default:
		return t, fmt.Errorf("%w: unknown type %#x", errBadBlock, typ)
	}
	n := int(be.Uint16(b[14:]))
	if n > MaxUpdates {
		return t, fmt.Errorf("%w: %d updates", errBadBlock, n)
	}
	for i := range n {
		t.Updates = append(t.Updates, Update{be.Uint16(b[36+2*i:]), be.Uint32(b[164+4*i:])})
	}
	t.Context = make([]uint32, ContextSlots)
	for i := range t.Context {
		t.Context[i] = be.Uint32(b[420+4*i:])
	}
	return t, nil
}

// BlockOf gives the place in the ring, as a block number, of a transaction.
func (l *Layout) BlockOf(number uint32) uint32 {
	b := number % l.LogBlocks
	return b%l.LogStripes*l.StripeBlocks + b/l.LogStripes
}

// ReplayedLog is the outcome of reading the ring.
type ReplayedLog struct {
	Extents []uint32 // in the active set when the node stopped, ascending
	Valid   int      // blocks with a right checksum
	Invalid int      // torn or unreadable blocks; one is normal after a crash
	Updates int      // blocks that were written by a running node
	newest  int      // the block written last, when there are Updates
}

// ReplayLog computes the active set from the blocks of the ring. Blocks that are
// not valid are left out: since every slot is repeated within the ring, one lost
// block costs nothing.
func ReplayLog(ring [][]byte) ReplayedLog {
	var r ReplayedLog
	var trs []Transaction
	var last uint32
	for i, b := range ring {
		t, err := DecodeTransaction(b)
		if err != nil {
			r.Invalid++
			continue
		}
		r.Valid++
		if !t.Initialised {
			if r.Updates++; r.Updates == 1 || int32(t.Number-last) > 0 {
				last, r.newest = t.Number, i
			}
			trs = append(trs, t)
		}
	}
	slices.SortStableFunc(trs, func(a, b Transaction) int { return int(int32(a.Number - b.Number)) })
	slots := map[uint16]uint32{}
	put := func(slot uint16, extent uint32) {
		if extent == NoExtent {
			delete(slots, slot)
			return
		}
		slots[slot] = extent
	}
	for _, t := range trs {
		for i, extent := range t.Context {
			slot := int(t.ContextStart) + i
			if slot >= int(t.Size) {
				break
			}
			put(uint16(slot), extent)
		}
		for _, u := range t.Updates {
			put(u.Slot, u.Extent)
		}
	}
	for _, e := range slots {
		r.Extents = append(r.Extents, e)
	}
	slices.Sort(r.Extents)
	r.Extents = slices.Compact(r.Extents)
	return r
}
