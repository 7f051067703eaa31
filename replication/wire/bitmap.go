package wire

import (
	"encoding/binary"
	"math/bits"
)

// Bits is the sender's view of a bitmap: bit 0 of word 0 first.
type Bits struct {
	Words []uint64
	Len   uint64 // bits
}

// BitmapCursor walks through a bitmap that is sent or received in pieces.
type BitmapCursor struct {
	Bit  uint64 // the next bit to be sent or received
	Bits uint64 // of the whole bitmap
	// Done: everything was covered and, for plain pieces, the empty one has come.
	Done bool
}

// NewBitmapCursor starts at the first bit.
func NewBitmapCursor(bits uint64) BitmapCursor { return BitmapCursor{Bits: bits} }

// chunkWords is how many words of 64 bits a plain piece carries.
func (d Dialect) chunkWords() uint64 { return uint64(4096-d.HeaderSize()) / 8 }

// packedRoom is how many bytes of payload a packed piece may have.
func (d Dialect) packedRoom() int { return 4096 - d.HeaderSize() }

// NextPiece fills m with the next piece of a bitmap to send, with its data appended
// to buf, and advances the cursor. Packed pieces are used when rle is set and they
// are smaller than the plain bits they cover; they need protocol 90.
func (d Dialect) NextPiece(c *BitmapCursor, b Bits, rle bool, buf []byte, m *Message) []byte {
	start := len(buf)
	if rle && d.Version >= 90 && c.Bit < c.Bits {
		var next, codeBits uint64
		buf, next, codeBits = appendPacked(buf, b, c.Bit, d.packedRoom())
		if codeBits <= next-c.Bit {
			m.Command, m.Data = CmdPackedBitmap, buf[start:]
			c.Bit, c.Done = next, next == c.Bits
			return buf
		}
		buf = buf[:start]
	}
	first := c.Bit / 64
	end := min(first+d.chunkWords(), (c.Bits+63)/64)
	if c.Bit >= c.Bits {
		first = end // the empty piece at the end
	}
	for _, w := range b.Words[first:end] {
		buf = binary.LittleEndian.AppendUint64(buf, w)
	}
	m.Command, m.Data = CmdBitmap, buf[start:]
	c.Done = first == end
	c.Bit = min(end*64, c.Bits)
	return buf
}

// TakePiece reads a received piece. Runs of set bits go to set, words of plain
// pieces to word (index and value, to be merged).
func (d Dialect) TakePiece(c *BitmapCursor, m *Message, set func(first, end uint64), word func(index int, value uint64)) error {
	if c.Done {
		return protocolError("%v after the end of the bitmap", m.Command)
	}
	if m.Command == CmdPackedBitmap {
		next, err := takePacked(m.Data, c.Bit, c.Bits, set)
		if err != nil {
			return err
		}
		c.Bit, c.Done = next, next == c.Bits
		return nil
	}
	first := c.Bit / 64
	end := min(first+d.chunkWords(), (c.Bits+63)/64)
	if c.Bit >= c.Bits {
		first = end
	}
	if uint64(len(m.Data)) != 8*(end-first) {
		return protocolError("BITMAP with %d bytes instead of %d", len(m.Data), 8*(end-first))
	}
	for i := first; i < end; i++ {
		word(int(i), binary.LittleEndian.Uint64(m.Data[8*(i-first):]))
	}
	c.Done = first == end
	c.Bit = min(end*64, c.Bits)
	return nil
}

// codingLevel is one class of run lengths: the code word has total bits, the lowest
// of them are the prefix.
type codingLevel struct {
	total, prefix uint8
	value         uint64
	first         uint64 // shortest run of the level
}

var codingLevels = [...]codingLevel{
	{2, 1, 0x00, 1}, {3, 2, 0x01, 3}, {5, 3, 0x03, 5}, {7, 4, 0x07, 9}, {10, 5, 0x0f, 17}, {14, 6, 0x1f, 49},
	{21, 8, 0x3f, 305}, {29, 8, 0x7f, 8497}, {42, 8, 0xbf, 2105649}, {64, 8, 0xff, 17181974833},
}

// encodingRLE is the number of the only packing in use.
const encodingRLE = 2

// appendPacked adds one packed piece that begins at bit from, of at most room bytes,
// and gives the bit after it and the length of the code in bits.
func appendPacked(dst []byte, b Bits, from uint64, room int) ([]byte, uint64, uint64) {
	start := len(dst)
	set := b.test(from)
	head := byte(encodingRLE)
	if set {
		head |= 0x80
	}
	dst = append(dst, head)
	used := uint64(0) // bits of the code so far
	limit := uint64(room-1) * 8
	for from < b.Len {
		end := b.runEnd(from, set)
		level := len(codingLevels) - 1
		for codingLevels[level].first > end-from {
			level--
		}
		l := codingLevels[level]
		if used+uint64(l.total) > limit {
			break
		}
		dst = appendBits(dst, start+1, used, (end-from-l.first)<<l.prefix|l.value, l.total)
		used += uint64(l.total)
		from, set = end, !set
	}
	dst[start] |= byte((8-used%8)%8) << 4
	return dst, from, used
}

func (b Bits) test(n uint64) bool { return n < b.Len && b.Words[n/64]>>(n%64)&1 != 0 }

// runEnd is the first bit after from that differs from set.
func (b Bits) runEnd(from uint64, set bool) uint64 {
	invert := uint64(0)
	if set {
		invert = ^uint64(0)
	}
	for w := from / 64; w < (b.Len+63)/64; w++ {
		word := b.Words[w] ^ invert
		if w == from/64 {
			word = word >> (from % 64) << (from % 64)
		}
		if word != 0 {
			return min(b.Len, w*64+uint64(bits.TrailingZeros64(word)))
		}
	}
	return b.Len
}

// appendBits writes n bits of v, lowest first, at bit position used of the code that
// begins at dst[base].
func appendBits(dst []byte, base int, used, v uint64, n uint8) []byte {
	for n > 0 {
		i := base + int(used/8)
		if i == len(dst) {
			dst = append(dst, 0)
		}
		shift := uint8(used % 8)
		take := min(8-shift, n)
		dst[i] |= byte(v&(1<<take-1)) << shift
		v >>= take
		used += uint64(take)
		n -= take
	}
	return dst
}

// takePacked reads a packed piece that begins at bit from.
func takePacked(p []byte, from, length uint64, set func(first, end uint64)) (uint64, error) {
	if len(p) < 2 {
		return from, protocolError("COMPRESSED_BITMAP with %d bytes", len(p))
	}
	if p[0]&0x0f != encodingRLE {
		return from, protocolError("COMPRESSED_BITMAP with the unknown encoding %d", p[0]&0x0f)
	}
	on := p[0]&0x80 != 0
	code := bitReader{b: p[1:], end: uint64(len(p)-1)*8 - uint64(p[0]>>4&7)}
	for code.at < code.end {
		run, ok := code.run()
		if !ok || run > length-from {
			return from, protocolError("COMPRESSED_BITMAP leaves its %d bits at bit %d", length, from)
		}
		if on {
			set(from, from+run)
		}
		from, on = from+run, !on
	}
	return from, nil
}

type bitReader struct {
	b       []byte
	at, end uint64
}

// peek gives up to 64 bits at the cursor, lowest first; bits beyond the end are 0.
func (r *bitReader) peek() uint64 {
	v := uint64(0)
	i, shift := r.at/8, r.at%8
	for n := uint64(0); n < 9 && i+n < uint64(len(r.b)); n++ {
		by := uint64(r.b[i+n])
		if pos := int(8*n) - int(shift); pos >= 0 {
			if pos < 64 {
				v |= by << pos
			}
		} else {
			v |= by >> -pos
		}
	}
	return v
}

func (r *bitReader) run() (uint64, bool) {
	v := r.peek()
	for _, l := range codingLevels {
		if v&(1<<l.prefix-1) != l.value {
			continue
		}
		if r.at+uint64(l.total) > r.end {
			return 0, false
		}
		r.at += uint64(l.total)
		if l.total < 64 {
			v &= 1<<l.total - 1
		}
		return v>>l.prefix + l.first, true
	}
	return 0, false
}
