package metadata

import (
	"encoding/binary"
	"math/bits"
)

// Bitmap records which blocks of 4 KiB differ from the peer's: bit n stands for the
// sectors 8n to 8n+7, 1 means out of sync. It remembers which of its pages on disk
// (4 KiB, 32768 bits) were changed. It is not safe for concurrent use.
type Bitmap struct {
	bits  uint64
	words []uint64
	set   uint64
	dirty []uint64 // one bit per page
}

const (
	wordBits = 64
	pageBits = BlockSize * 8
)

// NewBitmap makes a clear bitmap for a device of that many sectors.
func NewBitmap(sectors uint64) *Bitmap {
	n := (sectors + SectorsPerBit - 1) / SectorsPerBit
	pages := (n + pageBits - 1) / pageBits
	return &Bitmap{
		bits:  n,
		words: make([]uint64, (n+wordBits-1)/wordBits),
		dirty: make([]uint64, (pages+wordBits-1)/wordBits),
	}
}

// Len is the number of bits.
func (b *Bitmap) Len() uint64 { return b.bits }

// Count is the number of set bits.
func (b *Bitmap) Count() uint64 { return b.set }

// Words are the bits, 64 to a word, bit 0 first. The caller must not change them.
func (b *Bitmap) Words() []uint64 { return b.words }

// Test tells whether bit n is set.
func (b *Bitmap) Test(n uint64) bool {
	return n < b.bits && b.words[n/wordBits]>>(n%wordBits)&1 != 0
}

// SetRange sets the bits from first to before end and gives how many were clear.
func (b *Bitmap) SetRange(first, end uint64) uint64 { return b.change(first, end, true) }

// ClearRange clears the bits from first to before end and gives how many were set.
func (b *Bitmap) ClearRange(first, end uint64) uint64 { return b.change(first, end, false) }

func (b *Bitmap) change(first, end uint64, set bool) uint64 {
	end = min(end, b.bits)
	changed := uint64(0)
	for n := first; n < end; {
		w := n / wordBits
		stop := min(end, (w+1)*wordBits)
		mask := ^uint64(0) << (n % wordBits)
		if r := stop % wordBits; r != 0 {
			mask &= 1<<r - 1
		}
		old := b.words[w]
		if set {
			b.words[w] |= mask
		} else {
			b.words[w] &^= mask
		}
		if diff := old ^ b.words[w]; diff != 0 {
			changed += uint64(bits.OnesCount64(diff))
			b.touch(w)
		}
		n = stop
	}
	if set {
		b.set += changed
	} else {
		b.set -= changed
	}
	return changed
}

func (b *Bitmap) touch(word uint64) {
	page := word * wordBits / pageBits
	b.dirty[page/wordBits] |= 1 << (page % wordBits)
}

// SetAll sets every bit.
func (b *Bitmap) SetAll() { b.SetRange(0, b.bits) }

// ClearAll clears every bit.
func (b *Bitmap) ClearAll() { b.ClearRange(0, b.bits) }

// SetSectors marks every block that the sectors touch and gives how many bits are
// new.
func (b *Bitmap) SetSectors(sector, count uint64) uint64 {
	if count == 0 {
		return 0
	}
	return b.SetRange(sector/SectorsPerBit, (sector+count+SectorsPerBit-1)/SectorsPerBit)
}

// ClearSectors clears only blocks that the sectors cover completely. deviceSectors
// is the size of the device: its last block may be shorter than the others. It gives
// how many bits were set before.
func (b *Bitmap) ClearSectors(sector, count, deviceSectors uint64) uint64 {
	end := (sector + count) / SectorsPerBit
	if sector+count >= deviceSectors {
		end = b.bits
	}
	return b.ClearRange((sector+SectorsPerBit-1)/SectorsPerBit, end)
}

// AnySectors tells whether a block that the sectors touch is out of sync.
func (b *Bitmap) AnySectors(sector, count uint64) bool {
	if count == 0 {
		return false
	}
	n, ok := b.NextSet(sector / SectorsPerBit)
	return ok && n < (sector+count+SectorsPerBit-1)/SectorsPerBit
}

// NextSet finds the first set bit at or after n.
func (b *Bitmap) NextSet(n uint64) (uint64, bool) { return b.next(n, 0) }

// NextClear finds the first clear bit at or after n.
func (b *Bitmap) NextClear(n uint64) (uint64, bool) { return b.next(n, ^uint64(0)) }

func (b *Bitmap) next(n, invert uint64) (uint64, bool) {
	if n >= b.bits {
		return b.bits, false
	}
	w := n / wordBits
	word := (b.words[w] ^ invert) >> (n % wordBits) << (n % wordBits)
	for word == 0 {
		if w++; w == uint64(len(b.words)) {
			return b.bits, false
		}
		word = b.words[w] ^ invert
	}
	n = w*wordBits + uint64(bits.TrailingZeros64(word))
	return min(n, b.bits), n < b.bits
}

// CountRange counts the set bits from first to before end.
func (b *Bitmap) CountRange(first, end uint64) uint64 {
	end = min(end, b.bits)
	total := uint64(0)
	for n := first; n < end; {
		w := n / wordBits
		stop := min(end, (w+1)*wordBits)
		word := b.words[w] >> (n % wordBits)
		if width := stop - n; width < wordBits {
			word &= 1<<width - 1
		}
		total += uint64(bits.OnesCount64(word))
		n = stop
	}
	return total
}

// OrWord merges 64 bits from a peer into word number w. Words and bits beyond the
// end are ignored.
func (b *Bitmap) OrWord(w int, value uint64) {
	if w >= len(b.words) {
		return
	}
	if r := b.bits % wordBits; w == len(b.words)-1 && r != 0 {
		value &= 1<<r - 1
	}
	if diff := value &^ b.words[w]; diff != 0 {
		b.words[w] |= diff
		b.set += uint64(bits.OnesCount64(diff))
		b.touch(uint64(w))
	}
}

// Resize gives a bitmap for another size. Bits of new blocks are set when setNew is.
func (b *Bitmap) Resize(sectors uint64, setNew bool) *Bitmap {
	n := NewBitmap(sectors)
	copy(n.words, b.words)
	if r := n.bits % wordBits; r != 0 {
		n.words[len(n.words)-1] &= 1<<r - 1
	}
	for _, w := range n.words {
		n.set += uint64(bits.OnesCount64(w))
	}
	if setNew && n.bits > b.bits {
		n.SetRange(b.bits, n.bits)
	}
	for p := range n.Pages() {
		n.dirty[p/wordBits] |= 1 << (p % wordBits)
	}
	return n
}

// Pages is the number of pages of 4 KiB that the bitmap takes on disk.
func (b *Bitmap) Pages() int { return int((b.bits + pageBits - 1) / pageBits) }

// EncodePage writes a page as it stands on disk into dst of BlockSize bytes.
func (b *Bitmap) EncodePage(page int, dst []byte) {
	clear(dst[:BlockSize])
	first := page * pageBits / wordBits
	for i, w := range b.words[first:min(first+pageBits/wordBits, len(b.words))] {
		binary.LittleEndian.PutUint64(dst[8*i:], w)
	}
}

// decodePage replaces the bits of a page. Bits beyond the end are dropped.
func (b *Bitmap) decodePage(page int, src []byte) {
	first := page * pageBits / wordBits
	for i := first; i < min(first+pageBits/wordBits, len(b.words)); i++ {
		w := binary.LittleEndian.Uint64(src[8*(i-first):])
		if r := b.bits % wordBits; i == len(b.words)-1 && r != 0 {
			w &= 1<<r - 1
		}
		b.set += uint64(bits.OnesCount64(w)) - uint64(bits.OnesCount64(b.words[i]))
		b.words[i] = w
	}
}

// TakeDirty gives the numbers of the changed pages and takes them as written.
func (b *Bitmap) TakeDirty(pages []int) []int {
	for i, d := range b.dirty {
		for ; d != 0; d &= d - 1 {
			pages = append(pages, i*wordBits+bits.TrailingZeros64(d))
		}
		b.dirty[i] = 0
	}
	return pages
}

// TakeDirtyExtent is TakeDirty for the page that holds the bits of one extent of the
// activity log; it gives false when that page is unchanged.
func (b *Bitmap) TakeDirtyExtent(extent uint32) (page int, dirty bool) {
	page = int(uint64(extent) * BitsPerExtent / pageBits)
	if page >= b.Pages() || b.dirty[page/wordBits]>>(page%wordBits)&1 == 0 {
		return page, false
	}
	b.dirty[page/wordBits] &^= 1 << (page % wordBits)
	return page, true
}
