package consensus

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"gcrm/cib"
	"gcrm/drivers/dlm/lockspace"
)

// entryFormat is the first byte of a log entry; the rest is a JSON entry. A
// new kind of entry gets a new number, and is written only when every member
// can read it.
const entryFormat = 1

// entry is a command with the number of the request that it came with.
type entry struct {
	Request string
	Command Command
}

func encodeEntry(e entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(entryFormat)
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false) // XML would grow to twice its size
	err := j.Encode(e)
	return b.Bytes(), err
}

func decodeEntry(data []byte) (entry, error) {
	var e entry
	if len(data) == 0 {
		return e, errors.New("log entry is empty")
	}
	if data[0] != entryFormat {
		return e, fmt.Errorf("log entry is of format %d, which this version of gcrm does not know; update it", data[0])
	}
	err := json.Unmarshal(data[1:], &e)
	return e, err
}

// answersKept bounds the memory of answers. A request that is repeated after
// that many others would be applied again; callers give up long before.
const answersKept = 8192

// answer is what a request got, to be repeated if the request is.
type answer struct {
	Request string
	Index   uint64
	Version cib.Version
	Failure *failure `json:",omitempty"`
}

// failure is an error that survives the log, snapshots and the network.
type failure struct {
	Conflict *cib.ConflictError `json:",omitempty"`
	Text     string             `json:",omitempty"`
}

func newFailure(err error) *failure {
	var c *cib.ConflictError
	if errors.As(err, &c) {
		return &failure{Conflict: c}
	}
	return &failure{Text: err.Error()}
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	if f.Conflict != nil {
		return f.Conflict
	}
	return &RefusedError{f.Text}
}

// RefusedError is why the state machine refused a command, other than for a
// conflict. Sending the command again does not help.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// machine is the replicated state machine.
type machine struct {
	// fatal is called when an entry cannot be understood: going on would make
	// this replica differ from the others.
	fatal func(error)
	// level is the highest feature level of this build.
	level int
	// observe, if set, is called with every step, in order.
	observe func(Step)

	mu      sync.Mutex
	state   *State
	changed chan struct{} // closed when state is replaced

	// Only for the goroutine that applies. After broken, nothing more is applied:
	// raft goes on with the next entry, and the state would be another one than
	// that of the other nodes.
	broken  error
	answers map[string]int // request to position in ring
	ring    []answer
	next    int
}

func newMachine() *machine {
	return &machine{level: FeatureLevel, state: NewState(), changed: make(chan struct{}), answers: map[string]int{}, fatal: func(err error) { panic(err) }}
}

// current returns the state and a channel that is closed when there is a
// newer one.
func (m *machine) current() (*State, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.changed
}

// publish makes a state known; observers first, so that whoever learns of a
// commit can rely on the observer having been told.
func (m *machine) publish(s Step) {
	if m.observe != nil {
		m.observe(s)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s.State
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *machine) remember(a answer) {
	if a.Request == "" {
		return
	}
	if len(m.ring) < answersKept {
		m.answers[a.Request] = len(m.ring)
		m.ring = append(m.ring, a)
		return
	}
	delete(m.answers, m.ring[m.next].Request)
	m.ring[m.next] = a
	m.answers[a.Request] = m.next
	m.next = (m.next + 1) % answersKept
}

// stop is for what cannot be applied.
func (m *machine) stop(err error) answer {
	m.broken = err
	m.fatal(err)
	return answer{Failure: newFailure(err)}
}

// Apply implements raft.FSM; it returns an answer.
func (m *machine) Apply(l *raft.Log) any {
	if m.broken != nil {
		return answer{Failure: newFailure(m.broken)}
	}
	e, err := decodeEntry(l.Data)
	if err != nil {
		return m.stop(fmt.Errorf("log entry %d: %w", l.Index, err))
	}
	if i, ok := m.answers[e.Request]; ok {
		return m.ring[i]
	}
	state, _ := m.current()
	next, err := state.Apply(l.Index, e.Command)
	a := answer{Request: e.Request, Index: l.Index}
	if err != nil {
		a.Failure = newFailure(err)
		a.Version = state.CIB.Version()
		// The index moves on for those who wait for it.
		same := *state
		same.Index = l.Index
		m.remember(a)
		m.publish(Step{State: &same})
		return a
	}
	if next.Works() > m.level {
		return m.stop(&TooOldError{next.Works(), m.level})
	}
	a.Version = next.CIB.Version()
	m.remember(a)
	m.publish(Step{State: next, Command: &e.Command})
	return a
}

// Step is one step of the replicated state.
type Step struct {
	// State is the state after it.
	State *State
	// Command is what was applied; nil if the command was refused, or if the
	// whole state was replaced by a snapshot.
	Command  *Command
	Replaced bool
}

const imageFormat = 1

// image is the state machine in a snapshot: JSON in gzip.
type image struct {
	Format  int
	Index   uint64
	CIB     string
	Members []Member
	Epoch   uint64
	Growing bool `json:",omitempty"`
	Forced  []ForcedChange
	History []Revision
	Answers []answer // oldest first

	Invitations []Invitation
	LastID      int

	LastIncarnation uint64 `json:",omitempty"`

	Trial      *Trial `json:",omitempty"`
	Lockspaces lockspace.Table
	Fencings   []Fencing `json:",omitempty"`
	Keyring    *Keyring  `json:",omitempty"`
	Level      int       `json:",omitempty"`
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	state, _ := m.current()
	answers := make([]answer, 0, len(m.ring))
	answers = append(answers, m.ring[m.next:]...)
	answers = append(answers, m.ring[:m.next]...)
	return &frozen{state, answers}, nil
}

type frozen struct {
	state   *State
	answers []answer
}

// Persist implements raft.FSMSnapshot.
func (f *frozen) Persist(sink raft.SnapshotSink) error {
	z, err := gzip.NewWriterLevel(sink, gzip.BestSpeed)
	if err != nil {
		sink.Cancel()
		return err
	}
	s := f.state
	err = json.NewEncoder(z).Encode(image{Format: imageFormat, Index: s.Index, CIB: s.CIB.String(), Members: s.Members,
		Epoch: s.Epoch, Growing: s.Growing, Forced: s.Forced, History: s.History, Answers: f.answers, Invitations: s.Invitations, LastID: s.LastID, LastIncarnation: s.LastIncarnation, Trial: s.Trial, Keyring: s.Keyring, Level: s.Level, Lockspaces: s.Lockspaces, Fencings: s.Fencings})
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (f *frozen) Release() {}

// Restore implements raft.FSM.
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	if m.broken != nil {
		return m.broken // not an older one instead
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	var i image
	if err := json.NewDecoder(z).Decode(&i); err != nil {
		return err
	}
	if i.Format != imageFormat {
		return fmt.Errorf("snapshot is of format %d, which this version of gcrm does not know; update it", i.Format)
	}
	// It is the cluster's own document, however large it has grown.
	if i.Level > m.level {
		// Raft would ask for it for ever.
		err := &TooOldError{i.Level, m.level}
		m.stop(err)
		return err
	}
	c, err := cib.ParseWithin(i.CIB, cib.FileLimits)
	if err != nil {
		return err
	}
	m.answers, m.ring, m.next = map[string]int{}, nil, 0
	for _, a := range i.Answers {
		m.remember(a)
	}
	m.publish(Step{Replaced: true, State: &State{Index: i.Index, CIB: c, Members: i.Members,
		Epoch: i.Epoch, Growing: i.Growing, Forced: i.Forced, History: i.History, Invitations: i.Invitations, LastID: i.LastID, LastIncarnation: i.LastIncarnation, Trial: i.Trial, Keyring: i.Keyring, Level: i.Level, Lockspaces: i.Lockspaces, Fencings: i.Fencings}})
	return nil
}
