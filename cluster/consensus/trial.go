package consensus

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gcrm/cib"
)

// Trial is a commit that the cluster takes back unless it is confirmed.
//
// While one is on trial, every other commit of a user is refused: it could not
// be said any more what to go back to. What the cluster itself enters (nodes
// that join or are removed) goes on, and outlives the trial.
type Trial struct {
	// Version is the one that the commit produced, Origin who made it.
	Version cib.Version
	Origin  cib.Origin
	// Limit is how long it may wait, Until when that is over on the clock of
	// the node that accepted it.
	Limit time.Duration
	Until time.Time
	// Before and After are the configurations before and after it.
	Before, After Revision
}

// Verdict ends the trial of a version.
type Verdict struct {
	Version cib.Version
	Keep    bool
	By      cib.Origin
}

// MembershipClient is the origin of what the cluster itself enters into the
// configuration.
const MembershipClient = "membership"

// ErrNoTrial is why a verdict is refused.
var ErrNoTrial = errors.New("no commit waits for confirmation; it was confirmed or taken back already")

// Error texts name the commit and what to do.
func (t *Trial) blocks() error {
	return fmt.Errorf("version %d.%d by %s on %s waits for its confirmation until %s, and nothing else is committed before: confirm it with 'commit confirmed' or take it back with 'commit abandon', then commit again",
		t.Version.AdminEpoch, t.Version.Epoch, t.Origin.User, t.Origin.Node, t.Until.Format(time.DateTime))
}

// tryable checks a command against the trial under way.
func (s *State) tryable(cmd Command) error {
	conf := cmd.Change != nil && cmd.Change.Configuration != nil
	if v := cmd.Verdict; v != nil {
		switch {
		case s.Trial == nil || !s.Trial.Version.SameConfiguration(v.Version):
			return ErrNoTrial
		case v.Keep == conf:
			return errors.New("a trial is either kept as it is or taken back by a change")
		}
		return nil
	}
	if s.Trial != nil && conf && cmd.Change.Origin.Client != MembershipClient {
		return s.Trial.blocks()
	}
	return nil
}

// try keeps account of the trial after a command was applied to the state
// before.
func (s *State) try(before *State, cmd Command) {
	if v := cmd.Verdict; v != nil {
		s.Trial = nil
		if v.Keep {
			s.History = slices.Clone(before.History)
			for i := range s.History {
				if s.History[i].Version.SameConfiguration(v.Version) {
					by := v.By
					s.History[i].Confirmed = &by
				}
			}
		}
		return
	}
	if cmd.Change == nil || cmd.Change.Configuration == nil || cmd.Change.Configuration.Confirm <= 0 {
		return
	}
	by, limit := cmd.Change.Origin, cmd.Change.Configuration.Confirm
	s.Trial = &Trial{Version: s.CIB.Version(), Origin: by, Limit: limit, Until: by.Time.Add(limit),
		Before: newRevision(before.CIB.Version(), cib.Origin{}, before.CIB.Schema(), before.CIB.Configuration().String()),
		After:  newRevision(s.CIB.Version(), by, s.CIB.Schema(), s.CIB.Configuration().String())}
}

// TakeBack returns the command that undoes the commit on trial and nothing
// else: what the cluster entered meanwhile stays. It has to be applied to the
// state that it was made from, or conflicts.
func (s *State) TakeBack(by cib.Origin) (Command, error) {
	t := s.Trial
	if t == nil {
		return Command{}, ErrNoTrial
	}
	before, err := t.Before.document()
	if err != nil {
		return Command{}, err
	}
	after, err := t.After.document()
	if err != nil {
		return Command{}, err
	}
	// Where the cluster and the commit changed the same, the cluster's own
	// entry stays.
	merged, _ := cib.Merge(after, before, s.CIB)
	change := cib.Change{Origin: by, Configuration: &cib.ConfigurationChange{Base: s.CIB.Version(), XML: merged.Configuration().String()}}
	if merged.Schema() != s.CIB.Schema() {
		change.Configuration.Schema = merged.Schema()
	}
	return Command{Change: &change, Verdict: &Verdict{Version: t.Version, By: by}}, nil
}

// document returns a remembered configuration as a CIB.
func (r *Revision) document() (*cib.CIB, error) {
	xml, err := r.XML()
	if err != nil {
		return nil, err
	}
	conf, err := cib.ParseElement(xml, cib.DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("remembered version %v: %w", r.Version, err)
	}
	root := cib.NewElement("cib", "validate-with", r.Schema).Add(conf, cib.NewElement("status"))
	return cib.FromElement(root)
}
