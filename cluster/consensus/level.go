package consensus

import (
	"fmt"
	"strings"
)

// Feature levels make rolling upgrades safe. The replicated state machine has to
// do the same on every node, so what older builds do not know must not be in
// the log while one of them may read it. Every build knows all levels up to
// FeatureLevel. The cluster works at the level that its oldest member knows;
// once all of them know a higher one, the leader commits that, and from then on
// older builds are refused. It never goes down again.
//
//	1  the CIB, the membership, join tokens
//	2  commits on trial, replaced keys, lockspaces
//	3  fencings
const FeatureLevel = 3

// LevelFencings is the level from which on fencings are agreed on.
const LevelFencings = 3

// baseLevel is where every cluster begins.
const baseLevel = 1

// level is what a command needs.
func (c *Command) level() int {
	switch {
	case c.Fencing != nil:
		return LevelFencings
	case c.Verdict != nil, c.Keyring != nil, c.Lockspace != nil,
		c.Change != nil && c.Change.Configuration != nil && c.Change.Configuration.Confirm > 0:
		return 2
	}
	return baseLevel
}

// Works returns the level that the cluster works at.
func (s *State) Works() int { return max(s.Level, baseLevel) }

// known is the level of a member, as it said itself.
func (m *Member) known() int { return max(m.Level, baseLevel) }

// Behind lists the members that keep the cluster below a level.
func (s *State) Behind(level int) []string {
	var out []string
	for _, m := range s.Members {
		if m.known() < level {
			out = append(out, m.Name)
		}
	}
	return out
}

// Raise returns the level that all of some members know, if it is higher than
// the one the cluster works at; 0 otherwise.
func (s *State) Raise(members []Member) int {
	least := 0
	for _, m := range members {
		if least == 0 || m.known() < least {
			least = m.known()
		}
	}
	if least > s.Works() {
		return least
	}
	return 0
}

// levelled refuses commands that older members would not understand.
func (s *State) levelled(cmd *Command) error {
	if need := cmd.level(); need > s.Works() {
		who := s.Behind(need)
		if len(who) == 0 {
			return fmt.Errorf("the cluster has not yet agreed on feature level %d; try again in a moment", need)
		}
		return fmt.Errorf("this needs a newer gcrm on every node (feature level %d): update %s first", need, strings.Join(who, ", "))
	}
	return nil
}

// TooOldError is why a build cannot be part of a cluster.
type TooOldError struct{ Cluster, Build int }

func (e *TooOldError) Error() string {
	return fmt.Sprintf("the cluster works at feature level %d, and this build of gcrm knows %d at most: install the version of gcrm that the other nodes have", e.Cluster, e.Build)
}
