package volume

import (
	"context"

	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/peerlink"
	"gcrm/replication/wire"
)

// openConnection looks for the peer until it is found or given up.
func (v *Volume) openConnection() {
	if v.closed {
		return
	}
	ctx, cancel := context.WithCancel(v.ctx)
	v.dialing = cancel
	d := v.set.Link
	d.Note = func(text string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.note(text)
	}
	v.wg.Go(func() {
		pair, err := d.Dial(ctx)
		if err != nil {
			return
		}
		l := peerlink.NewLink(pair, &v.pool, v.set.Engine.Timeout)
		v.mu.Lock()
		if ctx.Err() != nil || v.link != nil || v.e.State().Conn() != wire.WFConnection {
			v.mu.Unlock()
			l.Close()
			return
		}
		v.dialing = nil
		v.link = l
		if v.set.Engine.IntegrityAlg != "" {
			l.SetIntegrity(v.set.Engine.IntegrityAlg)
		}
		v.e.ConnectionUp(v.now(), pair.Resolver)
		v.carryOut()
		v.mu.Unlock()
		l.Start((*receiver)(v))
	})
}

func (v *Volume) closeConnection() {
	if v.dialing != nil {
		v.dialing()
		v.dialing = nil
	}
	if v.link != nil {
		if v.closed {
			v.link.Abort()
		} else {
			v.link.Close()
		}
		v.link = nil
	}
	v.room.Broadcast()
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

// receiver is the volume as a link sees it.
type receiver Volume

// maxBacklog is how many messages may wait in the engine.
const maxBacklog = 1024

func (r *receiver) Data(l *peerlink.Link, m *wire.Message) {
	v := (*Volume)(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	limit := max(v.set.Engine.MaxBuffers, 256) * metadata.BlockSize
	for v.link == l && !v.closed && (v.e.Backlog() > maxBacklog || v.fromPeer > limit) {
		v.waiting++
		v.room.Wait()
		v.waiting--
	}
	if v.link != l || v.closed {
		return
	}
	if m.Command.HasBlock() {
		v.counters.Received += uint64(len(m.Data)) / metadata.SectorSize
	}
	if m.Command == wire.CmdSizes {
		// The volume may be about to grow: the disk below has, perhaps.
		if err := v.measure(); err != nil {
			v.note(err.Error())
		}
		if v.link != l {
			return
		}
	}
	v.e.Receive(v.now(), m)
	if v.link == l {
		l.SetDialect(v.e.Dialect())
	}
	v.carryOut()
}

func (r *receiver) Meta(l *peerlink.Link, m *wire.Message) {
	v := (*Volume)(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.link != l || v.closed {
		return
	}
	if m.Command == wire.CmdPing {
		v.e.Heard(v.now()) // answered already
		return
	}
	v.e.Receive(v.now(), m)
	v.carryOut()
}

func (r *receiver) Broken(l *peerlink.Link, err error) {
	v := (*Volume)(r)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.link != l || v.closed {
		return
	}
	v.note("connection lost: " + err.Error())
	v.e.ConnectionLost(v.now())
	v.carryOut()
}

var _ peerlink.Receiver = (*receiver)(nil)
