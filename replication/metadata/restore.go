package metadata

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Dumped is the content of a metadata dump.
type Dumped struct {
	Super Superblock // only the fields a dump has
	// Words are the bits of the bitmap, 64 to a word.
	Words []uint64
}

// maxRun bounds "N times" in a dump by the bitmap of the largest device.
const maxRun = maxSectors / SectorsPerBit / wordBits

// ParseDump reads what Dump, or drbdmeta dump-md, wrote. A dump of unclean metadata
// is refused with ErrUnclean.
func ParseDump(r io.Reader) (*Dumped, error) {
	t := &dumpTokens{r: bufio.NewReader(r), line: 1}
	d := &Dumped{}
	if err := t.words(`version`, `"v08"`, ";"); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for {
		key := t.next()
		switch {
		case key == "":
			if t.err != nil {
				return nil, fmt.Errorf("metadata dump: %w", t.err)
			}
			for _, need := range []string{"uuid", "la-size-sect", "bm-byte-per-bit", "bm"} {
				if !seen[need] {
					return nil, fmt.Errorf("metadata dump: line %d: the dump ends without %s", t.line, need)
				}
			}
			return d, nil
		case key == uncleanMark:
			return nil, fmt.Errorf("metadata dump: %w", ErrUnclean)
		case seen[key]:
			return nil, t.errorf("%s occurs twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "uuid":
			err = d.parseUUID(t)
		case "bm":
			err = d.parseBitmap(t)
		case "la-size-sect":
			d.Super.AgreedSectors, err = t.number(maxSectors, ";")
		case "device-uuid":
			d.Super.DeviceUUID, err = t.number(1<<64-1, ";")
		case "bm-byte-per-bit":
			err = t.number32(&d.Super.BytesPerBit)
		case "la-peer-max-bio-size":
			err = t.number32(&d.Super.PeerMaxBioSize)
		case "al-stripes":
			err = t.number32(&d.Super.LogStripes)
		case "al-stripe-size-4k":
			err = t.number32(&d.Super.LogStripeBlocks)
		default:
			err = t.errorf("unexpected %q", key)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (d *Dumped) parseUUID(t *dumpTokens) error {
	if err := t.words("{"); err != nil {
		return err
	}
	u := &d.Super.UUID
	for _, to := range []*uint64{&u.Current, &u.Bitmap, &u.History[0], &u.History[1]} {
		v, err := t.number(1<<64-1, ";")
		if err != nil {
			return err
		}
		*to = v
	}
	if err := t.words("flags"); err != nil {
		return err
	}
	v, err := t.number(1<<32-1, ";")
	if err != nil {
		return err
	}
	d.Super.Flags = Flags(v)
	return t.words("}")
}

func (d *Dumped) parseBitmap(t *dumpTokens) error {
	if err := t.words("{"); err != nil {
		return err
	}
	for {
		tok := t.next()
		if tok == "}" {
			return nil
		}
		v, err := t.parse(tok, 1<<64-1)
		if err != nil {
			return err
		}
		count := uint64(1)
		end := t.next()
		if end == "times" {
			if count = v; count > maxRun {
				return t.errorf("a run of %d words is longer than any bitmap", count)
			}
			if v, err = t.number(1<<64-1, ";"); err != nil {
				return err
			}
		} else if end != ";" {
			return t.errorf("expected ';' after %s, found %q", tok, end)
		}
		// The size came before the bitmap, so that a run cannot ask for more memory
		// than the device is worth.
		if want := BitmapBytes(d.Super.AgreedSectors) / 8; uint64(len(d.Words))+count > want {
			return t.errorf("the bitmap is longer than the %d words of la-size-sect", want)
		}
		for range count {
			d.Words = append(d.Words, v)
		}
	}
}

// Restore writes a dump over the metadata of a device of size bytes. Identity of
// the data, flags, agreed size and bitmap are the dump's; the layout is that of
// NewLayout. A dump of drbdmeta carries no flags: the data is Inconsistent then,
// and the next attach needs a full resync.
func Restore(dev Device, size uint64, p Placement, d *Dumped) (*Area, error) {
	if d.Super.BytesPerBit != BlockSize {
		return nil, fmt.Errorf("restore metadata: %d bytes per bit instead of %d", d.Super.BytesPerBit, BlockSize)
	}
	stripes, blocks := d.Super.stripes()
	l, err := NewLayout(p, size, stripes, blocks)
	if err != nil {
		return nil, fmt.Errorf("restore metadata: %w", err)
	}
	if BitmapBytes(d.Super.AgreedSectors) > l.BitmapSectors*SectorSize || p == Internal && d.Super.AgreedSectors > l.DataSectors {
		return nil, fmt.Errorf("restore metadata: the dump is of %d sectors, the device has room for %d", d.Super.AgreedSectors, l.DataSectors)
	}
	a, err := Create(dev, size, p, CreateOptions{LogStripes: stripes, LogStripeBlocks: blocks})
	if err != nil {
		return nil, fmt.Errorf("restore metadata: %w", err)
	}
	b := NewBitmap(d.Super.AgreedSectors)
	for i, w := range d.Words {
		b.OrWord(i, w)
	}
	pages := make([]int, b.Pages())
	for i := range pages {
		pages[i] = i
	}
	if err := a.WritePages(b, pages); err != nil {
		return nil, fmt.Errorf("restore metadata: %w", err)
	}
	s := a.Super
	s.UUID, s.DeviceUUID, s.AgreedSectors = d.Super.UUID, d.Super.DeviceUUID, d.Super.AgreedSectors
	s.PeerMaxBioSize = d.Super.PeerMaxBioSize
	s.Flags = d.Super.Flags | FlagLogClean
	if err := a.WriteSuperblock(s); err != nil {
		return nil, fmt.Errorf("restore metadata: %w", err)
	}
	return a, nil
}

// dumpTokens splits a dump into words, operators and comments (dropped).
type dumpTokens struct {
	r    *bufio.Reader
	line int
	err  error
}

func (t *dumpTokens) errorf(format string, args ...any) error {
	return fmt.Errorf("metadata dump: line %d: %s", t.line, fmt.Sprintf(format, args...))
}

// next gives the next word or operator, "" at the end or after an error.
func (t *dumpTokens) next() string {
	var word strings.Builder
	for t.err == nil {
		c, err := t.r.ReadByte()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.err = err
			}
			break
		}
		switch c {
		case '\n', ' ', '\t', '\r':
			if word.Len() > 0 {
				_ = t.r.UnreadByte()
				return word.String()
			}
			if c == '\n' {
				t.line++
			}
		case '{', '}', ';':
			if word.Len() > 0 {
				_ = t.r.UnreadByte()
				return word.String()
			}
			return string(c)
		case '#':
			if _, err := t.r.ReadString('\n'); err == nil {
				t.line++
			}
		default:
			if word.Len() >= 256 {
				t.err = t.errorf("overlong word")
				return ""
			}
			word.WriteByte(c)
		}
	}
	return word.String()
}

func (t *dumpTokens) words(want ...string) error {
	for _, w := range want {
		if got := t.next(); got != w {
			return t.errorf("expected %s, found %q", w, got)
		}
	}
	return nil
}

func (t *dumpTokens) parse(tok string, limit uint64) (uint64, error) {
	v, err := strconv.ParseUint(tok, 0, 64)
	if err != nil || v > limit {
		return 0, t.errorf("%q is not a number up to %d", tok, limit)
	}
	return v, nil
}

func (t *dumpTokens) number(limit uint64, end string) (uint64, error) {
	v, err := t.parse(t.next(), limit)
	if err != nil {
		return 0, err
	}
	return v, t.words(end)
}

func (t *dumpTokens) number32(to *uint32) error {
	v, err := t.number(1<<32-1, ";")
	*to = uint32(v)
	return err
}
