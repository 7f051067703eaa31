package engine

import (
	"time"

	"gcrm/replication/wire"
)

// Resource is what the volumes of one connection share: the link, the epochs of
// writes, the command that waits for the peer, the fencing of the peer. An Engine
// embeds its Resource: the events of the connection may be given to any volume.
type Resource struct {
	now     time.Duration
	out     []Effect
	volumes []*Engine

	link      link
	epochs    epochs
	receiving receiveSide
	cmd       command
	fence     fenceRun
	// agreed: the peer's settings of the connection came and fit.
	agreed bool
	// away: the resource was put away; nothing begins any more.
	away bool
}

// NewResource makes the engines of a resource, without disks and connection,
// Secondary. The settings of the network must be the same for all volumes.
func NewResource(cfgs ...Config) *Resource {
	r := &Resource{}
	for i, cfg := range cfgs {
		e := &Engine{Resource: r, index: i, cfg: cfg, ops: map[uint64]*op{}}
		e.state = wire.State(0).WithRole(wire.Secondary).WithPeerDisk(wire.DUnknown)
		r.volumes = append(r.volumes, e)
	}
	return r
}

// New makes the engine of a resource with one volume.
func New(cfg Config) *Engine { return NewResource(cfg).volumes[0] }

// Volumes are the engines, in the order of NewResource; Effect.Volume counts them.
func (r *Resource) Volumes() []*Engine { return r.volumes }

// settings are those of the network, which all volumes have alike.
func (r *Resource) settings() *Config { return &r.volumes[0].cfg }

// Take gives the effects of all volumes since the last Take. The slice is valid until
// the next event.
func (r *Resource) Take() []Effect {
	out := r.out
	r.out = r.out[:0]
	return out
}

func (r *Resource) emit(f Effect) { r.out = append(r.out, f) }

func (r *Resource) note(text string) { r.emit(Effect{Kind: Note, Name: text}) }

func (r *Resource) reply(tag uint64, result wire.Result) {
	r.emit(Effect{Kind: Reply, Tag: tag, Result: result})
}

// tell queues a message about the connection.
func (r *Resource) tell(m wire.Message) {
	if !r.link.up {
		return
	}
	r.link.lastSent = r.now
	r.emit(Effect{Kind: Send, Msg: m})
}

// lowest is the least of the states of the connection: below Connected they are all
// alike.
func (r *Resource) lowest() wire.Conn {
	c := r.volumes[0].state.Conn()
	for _, e := range r.volumes[1:] {
		c = min(c, e.state.Conn())
	}
	return c
}

// connState moves all volumes to a state of the connection.
func (r *Resource) connState(c wire.Conn) {
	for _, e := range r.volumes {
		e.change(e.state.WithConn(c), hard)
	}
}

// any tells whether something holds for a volume.
func (r *Resource) any(is func(*Engine) bool) bool {
	for _, e := range r.volumes {
		if is(e) {
			return true
		}
	}
	return false
}

// Tick tells the time. Call it at least every 100 ms while connected.
func (r *Resource) Tick(now time.Duration) {
	r.now = now
	r.tickLink()
	r.tickCommand()
	for _, e := range r.volumes {
		e.tickDisk()
		e.tickCongestion()
		e.tickResync()
		e.tickVerify()
	}
}

// of finds the volume that a message is about; nil if the message is for none here.
func (r *Resource) of(m *wire.Message) *Engine {
	if r.link.dialect.Version < 100 || !m.Command.OfVolume() {
		return r.volumes[0]
	}
	for _, e := range r.volumes {
		if e.cfg.Volume == m.Volume {
			return e
		}
	}
	switch m.Command {
	case wire.CmdSyncParam89, wire.CmdSizes, wire.CmdUUIDs, wire.CmdState, wire.CmdDelayProbe, wire.CmdUnplug:
		// Settings of a volume that only the peer has.
	default:
		r.protocolError("a packet for another volume")
	}
	return nil
}
