package consensus

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/drivers/dlm/lockspace"
)

// State is what the cluster agreed on after one log entry. It is immutable.
type State struct {
	// Index is the raft index of the last command in it.
	Index uint64
	CIB   *cib.CIB
	// Members are sorted by name.
	Members []Member
	// Level is the feature level that the cluster works at; see FeatureLevel.
	Level int
	// Epoch of the electorate: 1 at first, raised by every forced change.
	Epoch uint64
	// Growing is set before two voters become three, and all voters know it
	// before they do: from then on changes may be committed without one of
	// the two, which therefore must not go on alone.
	Growing bool
	// Forced are the forced changes of the electorate, oldest first.
	Forced []ForcedChange
	// History are the last versions of the configuration, oldest first.
	History []Revision
	// Trial is the commit that waits for its confirmation, or nil.
	Trial *Trial
	// Keyring is nil as long as the keys are those that the cluster was made
	// with.
	Keyring *Keyring
	// Invitations are the join tokens that are out.
	Invitations []Invitation
	// Lockspaces is what the nodes agree on about the kernel's lock manager.
	Lockspaces lockspace.Table
	// Fencings are those under way, and those by which nodes are down.
	Fencings []Fencing
	// LastID is the highest node id that was ever given out: ids are not
	// used again.
	LastID int
	// LastIncarnation is the highest incarnation that a member ever had. A machine
	// that joins under the name of one that was removed begins above it: its
	// heartbeats would be taken for late ones if its clock is behind.
	LastIncarnation uint64
}

// Invitation is a join token: it is good for one node.
type Invitation struct {
	Hash    string // of the secret; the secret itself is nowhere
	Expires time.Time
}

// Admission takes a node in that presents a token.
type Admission struct {
	Hash string
	// At is the time on the clock of the leader.
	At time.Time
	// Member is the new one; its ID is given by the state machine.
	Member Member
}

// MemberState is where a member is in its life.
type MemberState string

const (
	// Joining members are known but not yet seen.
	Joining MemberState = "joining"
	// Online members exchange heartbeats.
	Online MemberState = "online"
	// Lost members stopped to, without leaving; they may still run resources.
	Lost MemberState = "lost"
	// Left members left cleanly.
	Left MemberState = "left"
	// Down members were lost and are known not to run anything: fenced, or
	// assumed so where the administrator switched fencing off.
	Down MemberState = "down"
)

// Member is one node of the committed membership.
type Member struct {
	Name, ID string
	// Incarnation grows with every start of the node's daemon.
	Incarnation uint64
	State       MemberState
	// Since is when the State began, on the clock of the leader.
	Since time.Time
	// Addresses are where the node listens for other nodes: host:port.
	Addresses []string `json:",omitempty"`
	// Expelled is the last incarnation that was lost: it and older ones
	// never come back.
	Expelled uint64 `json:",omitempty"`
	// Witness members vote and run no resources.
	Witness bool `json:",omitempty"`
	// Reason says why the member is in its State, for people.
	Reason string `json:",omitempty"`
	// Level is the highest feature level of its build, as last seen.
	Level int `json:",omitempty"`
	// Leftover are the resources that earlier incarnations left running, by the
	// history that was forgotten when this one came in. Until they are probed
	// nobody knows whether they still do.
	Leftover []string `json:",omitempty"`
}

// Member returns the member with the name.
func (s *State) Member(name string) (Member, bool) {
	i, ok := slices.BinarySearchFunc(s.Members, name, func(m Member, n string) int { return strings.Compare(m.Name, n) })
	if !ok {
		return Member{}, false
	}
	return s.Members[i], true
}

// Removed reports whether a node with a name and an id was a member and is not
// any more. Ids are given out in order and never again, so that no list of the
// removed ones is needed; an id beyond LastID is one of a node that joined
// later than this State. An empty id (see [transport.Hello]) is not judged.
func (s *State) Removed(name, id string) bool {
	if m, ok := s.Member(name); ok && m.ID == id {
		return false
	}
	n, err := strconv.Atoi(id)
	return err == nil && n <= s.LastID
}

// Revision is one version of the configuration in the history.
type Revision struct {
	Version cib.Version
	Origin  cib.Origin
	Schema  string `json:",omitempty"`
	// Confirmed is who confirmed it, if it was on trial.
	Confirmed *cib.Origin `json:",omitempty"`
	// Size is the length of the XML, Packed its deflated form.
	Size   int
	Packed []byte
}

// packers are used again: each has a megabyte of tables.
var packers = sync.Pool{New: func() any {
	z, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return z
}}

// newRevision packs a configuration element.
func newRevision(v cib.Version, by cib.Origin, schema, xml string) Revision {
	var b bytes.Buffer
	z := packers.Get().(*flate.Writer)
	defer packers.Put(z)
	z.Reset(&b)
	_, err := z.Write([]byte(xml))
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err) // writing to memory does not fail
	}
	return Revision{Version: v, Origin: by, Schema: schema, Size: len(xml), Packed: b.Bytes()}
}

// XML returns the configuration element.
func (r *Revision) XML() (string, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(r.Packed)), int64(r.Size)+1))
	if err == nil && len(b) != r.Size {
		err = errors.New("wrong length")
	}
	if err != nil {
		return "", fmt.Errorf("remembered version %v is damaged: %w", r.Version, err)
	}
	return string(b), nil
}

// ForcedChange records that the electorate was changed without its majority.
type ForcedChange struct {
	Epoch   uint64
	By      string   // node
	Removed []string // nodes that lost their vote
	// Proof says why the removed nodes cannot be active: device, time and
	// read-back of the fencing, or the words of the administrator.
	Proof string
	Time  time.Time
}

// Command is one log entry: a change of the document, of the membership, or
// both at once.
type Command struct {
	Change *cib.Change `json:",omitempty"`
	// Members replace the members of the same name.
	Members []Member `json:",omitempty"`
	// Forget are names of members to be removed.
	Forget []string      `json:",omitempty"`
	Forced *ForcedChange `json:",omitempty"`
	// Growing sets State.Growing.
	Growing *bool       `json:",omitempty"`
	Invite  *Invitation `json:",omitempty"`
	Admit   *Admission  `json:",omitempty"`
	// Verdict ends a trial; Change takes it back if it is not kept.
	Verdict *Verdict `json:",omitempty"`
	// Lockspace is what a node says of a lockspace.
	Lockspace *lockspace.Entry `json:",omitempty"`
	Keyring   *Keyring         `json:",omitempty"`
	// Fencing is what a node says of one.
	Fencing *Fencing `json:",omitempty"`
	// Level raises the feature level.
	Level int `json:",omitempty"`
}

// Result is the outcome of a command.
type Result struct {
	Version cib.Version
	// Index is the raft index of the command.
	Index uint64
}

const (
	historyCount = 100
	historyBytes = 64 << 20 // before packing
)

// NewState is the state of a new cluster.
func NewState() *State {
	c := cib.New()
	return &State{CIB: c, Epoch: 1}
}

// Apply returns the state after a command, or the reason why it is refused,
// which leaves the state as it was. It is a pure function.
func (s *State) Apply(index uint64, cmd Command) (*State, error) {
	next := *s
	next.Index = index
	if cmd.Change == nil && len(cmd.Members) == 0 && len(cmd.Forget) == 0 && cmd.Forced == nil && cmd.Growing == nil && cmd.Invite == nil && cmd.Admit == nil && cmd.Verdict == nil && cmd.Keyring == nil && cmd.Level == 0 && cmd.Lockspace == nil && cmd.Fencing == nil {
		return nil, fmt.Errorf("the command changes nothing")
	}
	if err := s.levelled(&cmd); err != nil {
		return nil, err
	}
	next.Level = max(s.Level, cmd.Level)
	if k := cmd.Keyring; k != nil {
		if err := s.accepts(k); err != nil {
			return nil, err
		}
		next.Keyring = k
	}
	if err := s.tryable(cmd); err != nil {
		return nil, err
	}
	if cmd.Change != nil {
		c, err := s.CIB.Apply(*cmd.Change)
		if err != nil {
			return nil, err
		}
		next.CIB = c
		if conf := cmd.Change.Configuration; conf != nil {
			next.History = remember(s.History, newRevision(c.Version(), cmd.Change.Origin, conf.Schema, conf.XML))
		}
	}
	next.try(s, cmd)
	members := cmd.Members
	if cmd.Growing != nil {
		next.Growing = *cmd.Growing
	}
	if inv := cmd.Invite; inv != nil {
		next.Invitations = append(slices.DeleteFunc(slices.Clone(s.Invitations), func(i Invitation) bool { return i.Hash == inv.Hash }), *inv)
		if len(next.Invitations) > maxInvitations {
			next.Invitations = next.Invitations[1:]
		}
	}
	if a := cmd.Admit; a != nil {
		m, err := next.admit(a)
		if err != nil {
			return nil, err
		}
		members = append(slices.Clone(members), m)
	}
	if len(members) > 0 || len(cmd.Forget) > 0 {
		next.Members = slices.Clone(s.Members)
		for _, m := range members {
			if n, err := strconv.Atoi(m.ID); err == nil {
				next.LastID = max(next.LastID, n)
			}
			next.LastIncarnation = max(next.LastIncarnation, m.Incarnation, m.Expelled)
			if m.Name == "" {
				return nil, fmt.Errorf("a member has no name")
			}
			i, found := slices.BinarySearchFunc(next.Members, m.Name, func(m Member, n string) int { return strings.Compare(m.Name, n) })
			if found {
				m.Expelled = max(m.Expelled, next.Members[i].Expelled)
				next.Members[i] = m
			} else {
				next.Members = slices.Insert(next.Members, i, m)
			}
		}
		next.Members = slices.DeleteFunc(next.Members, func(m Member) bool { return slices.Contains(cmd.Forget, m.Name) })
	}
	if err := next.lock(s, cmd.Lockspace); err != nil {
		return nil, err
	}
	if err := next.fence(s, cmd.Fencing); err != nil {
		return nil, err
	}
	if f := cmd.Forced; f != nil {
		if f.Epoch <= s.Epoch {
			return nil, fmt.Errorf("epoch %d is not newer than %d", f.Epoch, s.Epoch)
		}
		next.Epoch = f.Epoch
		next.Forced = append(slices.Clone(s.Forced), *f)
	}
	return &next, nil
}

// maxInvitations bounds the tokens that are out at the same time.
const maxInvitations = 64

// admit checks a token, uses it up, and returns the new member.
func (s *State) admit(a *Admission) (Member, error) {
	i := slices.IndexFunc(s.Invitations, func(v Invitation) bool { return v.Hash == a.Hash })
	if i < 0 {
		return Member{}, fmt.Errorf("the token is not known or was used already; make a new one with 'gcrm cluster token'")
	}
	if a.At.After(s.Invitations[i].Expires) {
		return Member{}, fmt.Errorf("the token expired at %s; make a new one with 'gcrm cluster token'", s.Invitations[i].Expires.Format(time.RFC3339))
	}
	m := a.Member
	for _, other := range s.Members {
		if strings.EqualFold(other.Name, m.Name) {
			return Member{}, fmt.Errorf("the cluster has a node %s already; choose another name, or remove that one first", other.Name)
		}
		for _, addr := range m.Addresses {
			if slices.Contains(other.Addresses, addr) {
				return Member{}, fmt.Errorf("node %s has the address %s already", other.Name, addr)
			}
		}
	}
	s.Invitations = slices.Delete(slices.Clone(s.Invitations), i, i+1)
	m.ID = strconv.Itoa(s.LastID + 1)
	m.State = Joining
	return m, nil
}

// Admissible tells why an admission would be refused, nil if it would not.
func (s *State) Admissible(a *Admission) error {
	probe := *s
	_, err := probe.admit(a)
	return err
}

// remember appends a revision and drops the oldest ones beyond the bounds.
func remember(history []Revision, r Revision) []Revision {
	all := append(slices.Clone(history), r)
	size := 0
	for i := len(all) - 1; i >= 0; i-- {
		size += all[i].Size
		if n := len(all) - i; n > 1 && (n > historyCount || size > historyBytes) {
			return slices.Clone(all[i+1:])
		}
	}
	return all
}
