package metadata

import (
	"fmt"
	"strings"
)

// GI is the line that `drbdmeta get-gi` prints: four identifiers and seven flags.
func (s *Superblock) GI() string {
	bit := func(f Flags) int {
		if s.Flags&f != 0 {
			return 1
		}
		return 0
	}
	return fmt.Sprintf("%016X:%016X:%016X:%016X:%d:%d:%d:%d:%d:%d:%d",
		s.UUID.Current, s.UUID.Bitmap, s.UUID.History[0], s.UUID.History[1],
		bit(FlagConsistent), bit(FlagWasUpToDate), bit(FlagPrimary), bit(FlagConnected),
		bit(FlagFullSync), bit(FlagPeerOutdated), bit(FlagCrashedPrimary))
}

const giHead = `
       +--<  Current data generation UUID  >-
       |               +--<  Bitmap's base data generation UUID  >-
       |               |                 +--<  younger history UUID  >-
       |               |                 |         +-<  older history  >-
       V               V                 V         V
`

const giFlags = `                                                                    ^ ^ ^ ^ ^ ^ ^
                                      -<  Data consistency flag  >--+ | | | | | |
                             -<  Data was/is currently up-to-date  >--+ | | | | |
                                  -<  Node was/is currently primary  >--+ | | | |
                                  -<  Node was/is currently connected  >--+ | | |
         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |
                        -<  The peer's disk was out-dated or inconsistent  >--+ |
      -<  This node was a crashed primary, and has not seen its peer since   >--+
`

// ShowGI is the explained form, as `drbdmeta show-gi` prints it.
func (s *Superblock) ShowGI() string {
	var b strings.Builder
	b.WriteString(giHead + s.GI() + "\n" + giFlags)
	has := func(f Flags, yes, no string) string {
		if s.Flags&f != 0 {
			return yes
		}
		return no
	}
	disk := "Inconsistent"
	if s.Flags&FlagConsistent != 0 {
		disk = has(FlagWasUpToDate, "UpToDate", "Outdated")
	}
	fmt.Fprintf(&b, "\nflags: %s%s, %s, %s%s%s\n",
		has(FlagCrashedPrimary, "crashed ", ""), has(FlagPrimary, "Primary", "Secondary"),
		has(FlagConnected, "Connected", "StandAlone"), disk,
		has(FlagFullSync, ", need full sync", ""), has(FlagPeerOutdated, ", peer Outdated", ""))
	state := "clean"
	if s.Flags&FlagLogClean == 0 {
		state = "need apply-al"
	}
	fmt.Fprintf(&b, "meta-data: %s\n", state)
	if n := s.AgreedSectors; n == 0 {
		b.WriteString("zero size device -- never seen peer yet?\n")
	} else {
		fmt.Fprintf(&b, "last agreed size: %s (%d sectors)\n", sizeText(n), n)
		fmt.Fprintf(&b, "last agreed max bio size: %d Byte\n", s.PeerMaxBioSize)
	}
	return b.String()
}

// sizeText rounds a size as drbdmeta does, to the largest unit of at least one.
func sizeText(sectors uint64) string {
	kib := sectors / 2
	for _, unit := range []string{"KB", "MB", "GB"} {
		if kib < 10000 {
			return fmt.Sprintf("%d %s", kib, unit)
		}
		kib = (kib + 512) / 1024
	}
	return fmt.Sprintf("%d TB", kib)
}
