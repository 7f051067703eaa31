package volume

import (
	"context"

	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/peerlink"
	"gcrm/replication/wire"
)

// openConnection looks for the peer until it is found or given up.
func (r *Resource) openConnection() {
	if r.closed {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.dialing = cancel
	d := r.settings().Link
	d.Note = func(text string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.volumes[0].note(text)
	}
	r.wg.Go(func() {
		pair, err := d.Dial(ctx)
		if err != nil {
			return
		}
		l := peerlink.NewLink(pair, &r.pool, r.settings().Engine.Timeout)
		r.mu.Lock()
		if ctx.Err() != nil || r.link != nil || r.volumes[0].e.State().Conn() != wire.WFConnection {
			r.mu.Unlock()
			l.Close()
			return
		}
		r.dialing = nil
		r.link = l
		if r.settings().Engine.IntegrityAlg != "" {
			l.SetIntegrity(r.settings().Engine.IntegrityAlg)
		}
		r.r.ConnectionUp(r.now(), pair.Resolver)
		r.carryOut()
		r.mu.Unlock()
		l.Start((*receiver)(r))
	})
}

func (r *Resource) closeConnection() {
	if r.dialing != nil {
		r.dialing()
		r.dialing = nil
	}
	if r.link != nil {
		if r.closed {
			r.link.Abort()
		} else {
			r.link.Close()
		}
		r.link = nil
	}
	r.room.Broadcast()
}

// send queues a message for the peer.
func (v *Volume) send(f *engine.Effect) {
	if v.link == nil {
		return
	}
	if f.Msg.Command != wire.CmdFeatures {
		v.link.SetDialect(v.e.Dialect())
	}
	if n := len(f.Msg.Data); n > 0 && f.Msg.Command.HasBlock() {
		v.counters.Sent += uint64(n) / metadata.SectorSize
	}
	v.link.Send(&f.Msg)
}

// receiver is the resource as a link sees it.
type receiver Resource

// maxBacklog is how many messages may wait in the engine.
const maxBacklog = 1024

// of is the volume that a message is about, as far as counters are concerned.
func (r *Resource) of(m *wire.Message) *Volume {
	for _, v := range r.volumes {
		if v.set.Engine.Volume == m.Volume {
			return v
		}
	}
	return r.volumes[0]
}

func (rc *receiver) Data(l *peerlink.Link, m *wire.Message) {
	r := (*Resource)(rc)
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := max(r.settings().Engine.MaxBuffers, 256) * metadata.BlockSize
	for r.link == l && !r.closed && (r.r.Backlog() > maxBacklog || r.fromPeer > limit) {
		r.waiting++
		r.room.Wait()
		r.waiting--
	}
	if r.link != l || r.closed {
		return
	}
	v := r.of(m)
	if m.Command.HasBlock() {
		v.counters.Received += uint64(len(m.Data)) / metadata.SectorSize
	}
	if m.Command == wire.CmdSizes {
		// The volume may be about to grow: the disk below has, perhaps.
		if err := v.measure(); err != nil {
			v.note(err.Error())
		}
		if r.link != l {
			return
		}
	}
	r.r.Receive(r.now(), m)
	if r.link == l {
		l.SetDialect(r.r.Dialect())
	}
	r.carryOut()
}

func (rc *receiver) Meta(l *peerlink.Link, m *wire.Message) {
	r := (*Resource)(rc)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != l || r.closed {
		return
	}
	if m.Command == wire.CmdPing {
		r.r.Heard(r.now()) // answered already
		return
	}
	r.r.Receive(r.now(), m)
	r.carryOut()
}

func (rc *receiver) Broken(l *peerlink.Link, err error) {
	r := (*Resource)(rc)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != l || r.closed {
		return
	}
	r.volumes[0].note("connection lost: " + err.Error())
	r.r.ConnectionLost(r.now())
	r.carryOut()
}

var _ peerlink.Receiver = (*receiver)(nil)
