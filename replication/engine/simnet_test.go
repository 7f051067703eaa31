package engine

import (
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// hangUp breaks the connection on both sides; the peer notices a little later.
func (n *simNode) hangUp() {
	w := n.w
	if n.conn == 0 {
		return
	}
	n.conn = 0
	peer := w.nodes[1-n.id]
	if peer.conn == 0 {
		return
	}
	gen, life := peer.conn, peer.life
	w.after(w.between(0, 3*time.Millisecond), func() {
		if peer.up && peer.life == life && peer.conn == gen && !w.cut {
			peer.conn = 0
			peer.act(func() { peer.r.ConnectionLost(peer.clock()) })
		}
	})
}

// dial connects the nodes when both want to.
func (w *world) dial() {
	a, b := w.nodes[0], w.nodes[1]
	if w.cut || !a.up || !b.up || !a.opening || !b.opening || a.conn != 0 || b.conn != 0 {
		return
	}
	w.conn++
	a.conn, b.conn = w.conn, w.conn
	a.opening, b.opening = false, false
	resolver := w.r.IntN(2)
	w.logf("connected, resolver %d", resolver)
	for i, n := range w.nodes {
		n.act(func() { n.r.ConnectionUp(n.clock(), i == resolver) })
	}
}

// transmit sends a message; each socket keeps its order, the two do not.
func (n *simNode) transmit(m wire.Message) {
	w := n.w
	gen, peer := n.conn, w.nodes[1-n.id]
	if gen == 0 {
		return
	}
	d := n.r.Dialect()
	if m.Command == wire.CmdFeatures {
		d = wire.Dialect{}
	}
	raw := d.Append(make([]byte, 0, len(m.Data)+128), &m) // the data may change after this
	if w.log != nil {
		w.logf("%d>%d %v vol=%d sec=%d size=%d id=%x n=%d %v", n.id, peer.id, m.Command, m.Volume, m.Sector, m.Size, m.ID, m.Number, m.State)
	}
	to := peer.copies[min(int(m.Volume), len(peer.copies)-1)].e.State().Conn()
	switch {
	case w.broken == "bits of a node that is ahead are lost" && m.Command == wire.CmdOutOfSync,
		w.broken == "blocks that come in a pause are lost" && m.Command == wire.CmdResyncReply && to == wire.PausedSyncT,
		w.broken == "only the newest protocol acknowledges" && (m.Command == wire.CmdWriteAck || m.Command == wire.CmdResyncWriteAck) && d.Version < 100:
		return
	}
	if w.broken == "identifiers are not compared" && m.Command == wire.CmdUUIDs && peer.copies[0].e.hasDisk {
		g := peer.copies[0].e.Generations()
		u := *m.UUIDs
		u.Current, u.Bitmap, u.History = g.Current, g.Bitmap, g.History
		m.UUIDs = &u
		raw = d.Append(raw[:0], &m)
	}
	if w.broken == "digests are not compared" && m.Command == wire.CmdVerifyReply {
		b := make([]byte, m.Size)
		_, _ = peer.copies[0].disk.ReadAt(b, int64(m.Sector*metadata.SectorSize))
		m.Digest = digestOf(w.cfg.VerifyAlg, b)
		raw = d.Append(raw[:0], &m)
	}
	if w.broken == "all messages about the first volume" {
		m.Volume = 0
		raw = d.Append(raw[:0], &m)
	}
	if w.dual != nil {
		w.conflictTold(&m)
		if w.broken != "" {
			w.breakConflict(&m)
			raw = d.Append(raw[:0], &m)
		}
	}
	ch := &peer.in[0]
	if m.Command.OnMeta() {
		ch = &peer.in[1]
	}
	if ch.gen != gen {
		*ch = channel{gen: gen}
	}
	ch.last = max(ch.last, w.now+w.between(50*time.Microsecond, 4*time.Millisecond))
	if w.broken == "messages out of order" && to >= wire.Connected {
		ch.last = w.now + w.between(50*time.Microsecond, 4*time.Millisecond)
	}
	life := peer.life
	w.after(ch.last-w.now, func() {
		if !peer.up || peer.life != life || peer.conn != gen || w.cut {
			return
		}
		h, err := d.DecodeHeader(raw)
		if err != nil {
			w.fail("header: %v", err)
			return
		}
		var got wire.Message
		if err := d.Decode(h, raw[d.HeaderSize():], &got); err != nil {
			w.fail("%v: %v", m.Command, err)
			return
		}
		if w.dual != nil {
			w.dual.answered(peer.id, &got)
		}
		if got.Command == wire.CmdWriteAck || got.Command == wire.CmdResyncWriteAck && got.ID != wire.SyncerID {
			for _, b := range w.blocks {
				if b.sector == got.Sector && b.volume == int(got.Volume) {
					b.history[len(b.history)-1].arrived = true
				}
			}
		}
		peer.act(func() {
			if peer.conn == gen {
				peer.r.Receive(peer.clock(), &got)
			}
		})
	})
}

// channel is one direction of one socket.
type channel struct {
	gen  int
	last time.Duration
}
