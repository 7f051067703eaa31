package consensus

import (
	"errors"
	"fmt"
)

// Keyring are the cluster's secrets while and after they are replaced: the
// keys of its authority and of its heartbeats. They are in the log, which lies
// beside the files that hold them anyway, so that a node that was away finds
// them when it comes back.
//
// A replacement has three steps, and each begins when every member has done the
// one before, so that at no time two nodes disagree about what is good:
type Keyring struct {
	Generation uint64 // raised by every step
	Step       KeyStep
	// Authorities and Heartbeats: the first one signs, all are accepted.
	Authorities []AuthorityKey
	Heartbeats  [][]byte
}

// KeyStep is how far a replacement has come.
type KeyStep string

const (
	// KeysSpread: everybody accepts the new keys, the old ones sign.
	KeysSpread KeyStep = "spread"
	// KeysUse: everybody signs with the new keys, the old ones are accepted.
	KeysUse KeyStep = "use"
	// KeysDone: the old keys are gone.
	KeysDone KeyStep = "done"
)

// AuthorityKey is an authority in DER.
type AuthorityKey struct{ Cert, Key []byte }

// ErrRotating is why keys are not replaced.
var ErrRotating = errors.New("the keys are being replaced already; see 'gcrm cluster health' for what it waits")

// Begin returns the first step from these keys to new ones; an authority of nil
// stays. k is not changed.
func (k Keyring) Begin(authority *AuthorityKey, heartbeat []byte) Keyring {
	next := Keyring{Generation: k.Generation + 1, Step: KeysSpread, Authorities: k.Authorities[:1:1], Heartbeats: append(k.Heartbeats[:1:1], heartbeat)}
	if authority != nil {
		next.Authorities = append(next.Authorities, *authority)
	}
	return next
}

// Next returns the step after this one, false after the last.
func (k Keyring) Next() (Keyring, bool) {
	next := Keyring{Generation: k.Generation + 1}
	last := len(k.Authorities) - 1
	switch k.Step {
	case KeysSpread:
		next.Step = KeysUse
		next.Heartbeats = [][]byte{k.Heartbeats[1], k.Heartbeats[0]}
		next.Authorities = []AuthorityKey{k.Authorities[last]}
		if last > 0 {
			next.Authorities = append(next.Authorities, k.Authorities[0])
		}
	case KeysUse:
		next.Step, next.Heartbeats, next.Authorities = KeysDone, k.Heartbeats[:1:1], k.Authorities[:1:1]
	default:
		return k, false
	}
	return next, true
}

// accepts checks that a keyring follows on this state's.
func (s *State) accepts(k *Keyring) error {
	now := Keyring{Step: KeysDone}
	if s.Keyring != nil {
		now = *s.Keyring
	}
	switch {
	case len(k.Authorities) == 0 || len(k.Heartbeats) == 0:
		return errors.New("the keyring is empty")
	case k.Step == KeysSpread && now.Step != KeysDone:
		return ErrRotating
	case k.Generation != now.Generation+1:
		return fmt.Errorf("generation %d of the keys does not follow on %d", k.Generation, now.Generation)
	}
	return nil
}
