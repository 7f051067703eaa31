package metadata

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// DumpOptions are what the head of a dump says, and how it treats the flags.
type DumpOptions struct {
	Time time.Time
	Host string // node name
	// Command is the command line to show, for example
	// "drbdmeta 0 v08 /dev/vdb internal dump-md".
	Command string
	// RealFlags prints the metadata flags. drbdmeta prints 0 for every v08 device, so
	// that restoring its dump makes the data Inconsistent; without RealFlags the dump
	// is the same as drbdmeta's.
	RealFlags bool
	// Unclean allows the dump of unclean metadata, with a warning inside.
	Unclean bool
}

// Dump writes the metadata as text, as `drbdmeta dump-md` does. Unclean metadata is
// refused with ErrUnclean unless the options allow it.
func (a *Area) Dump(w io.Writer, o DumpOptions) error {
	s := a.Super
	if !s.Clean() && !o.Unclean {
		return fmt.Errorf("dump metadata: %w", ErrUnclean)
	}
	bm, err := a.ReadBitmap()
	if err != nil {
		return fmt.Errorf("dump metadata: %w", err)
	}
	b := bufio.NewWriter(w)
	p := func(format string, args ...any) { fmt.Fprintf(b, format, args...) }
	p("# DRBD meta data dump\n# %s [%d]\n# %s> %s\n#\n\nversion \"v08\";\n\n",
		o.Time.Format("2006-01-02 15:04:05 -0700"), o.Time.Unix(), o.Host, o.Command)
	if !s.Clean() {
		p("%s\n# You should \"apply-al\" first, if you plan to restore this.\n\n", uncleanMark)
	}
	p("# md_size_sect %d\n", s.MetaSectors)
	p("# md_offset %d\n# al_offset %d\n# bm_offset %d\n\n",
		a.Layout.Superblock*SectorSize, a.Layout.Log*SectorSize, a.Layout.Bitmap*SectorSize)
	flags := Flags(0)
	if o.RealFlags {
		flags = s.Flags
	}
	p("uuid {\n    0x%016X; 0x%016X; 0x%016X; 0x%016X;\n    flags 0x%08X;\n}\n",
		s.UUID.Current, s.UUID.Bitmap, s.UUID.History[0], s.UUID.History[1], uint32(flags))
	stripes, blocks := s.stripes()
	p("# al-extents %d;\nla-size-sect %d;\nbm-byte-per-bit %d;\ndevice-uuid 0x%016X;\nla-peer-max-bio-size %d;\n",
		s.LogExtents, s.AgreedSectors, s.BytesPerBit, s.DeviceUUID, s.PeerMaxBioSize)
	p("al-stripes %d;\nal-stripe-size-4k %d;\n# bm-bytes %d;\nbm {\n", stripes, blocks, BitmapBytes(s.AgreedSectors))
	words := make([]uint64, BitmapBytes(s.AgreedSectors)/8)
	copy(words, bm.Words())
	dumpWords(b, words)
	p("}\n# bits-set %d;\n", bm.Count())
	return b.Flush()
}

const uncleanMark = "This_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap."

// dumpWords prints four words to a line, or a run of equal words.
func dumpWords(b *bufio.Writer, words []uint64) {
	const perLine, perMark, kibPerWord = 4, 32, 256
	for i := 0; i < len(words); {
		if i%perMark == 0 {
			fmt.Fprintf(b, "   # at %dkB\n", i*kibPerWord)
		}
		run := 1
		for i+run < len(words) && words[i+run] == words[i] {
			run++
		}
		if run = run / perLine * perLine; run > perLine {
			fmt.Fprintf(b, "    %d times 0x%016X;\n", run, words[i])
			i += run
			continue
		}
		b.WriteString("   ")
		for _, w := range words[i:min(i+perLine, len(words))] {
			fmt.Fprintf(b, " 0x%016X;", w)
		}
		b.WriteByte('\n')
		i += perLine
	}
}
