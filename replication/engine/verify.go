package engine

import (
	"bytes"
	"slices"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// verifyRun is an online verify that this node started: it asks for the digest of
// every block of the peer and compares.
type verifyRun struct {
	running bool
	sector  uint64 // next to be asked for
	found   uint64 // blocks that differ
	failed  uint64 // blocks that could not be read
	next    time.Duration
	finish  bool
	// left are the blocks whose result the responder awaits, once begun.
	begun bool
	left  uint64
}

func knownHash(alg string) bool {
	_, ok := wire.NewHash(alg)
	return ok
}

func digestOf(alg string, data []byte) []byte {
	h, ok := wire.NewHash(alg)
	if !ok {
		return nil
	}
	d := h()
	d.Write(data)
	return d.Sum(nil)
}

// Verify compares the data of both nodes while they are in use. Differing blocks are
// marked on both; a reconnect brings them in sync.
func (e *Engine) Verify(now time.Duration, tag uint64) {
	e.now = now
	if !e.begin(e, tag) {
		return
	}
	if r := e.compared(wire.VerifyS); !r.OK() {
		e.finishCommand(r)
		return
	}
	e.request(wire.MaskConn, wire.State(0).WithConn(wire.VerifyS))
	e.tickVerify()
}

// tickVerify asks for the next blocks.
func (e *Engine) tickVerify() {
	v := &e.verify
	if !v.running || e.state.Conn() != wire.VerifyS || e.now < v.next {
		return
	}
	v.next = e.now + stepTime
	budget := max(e.cfg.ResyncRate*2/10, metadata.SectorsPerBit)
	for left := int64(budget); left > 0 && v.sector < e.size; left -= metadata.SectorsPerBit {
		n := min(metadata.SectorsPerBit, e.size-v.sector)
		o := e.newOp(resyncFetch, v.sector, uint32(n)*metadata.SectorSize)
		if e.fetchBlocked(o) {
			e.free(o)
			break
		}
		// Own writes stay away from the block until it is compared.
		o.id = wire.SyncerID
		e.activate(o)
		e.resync.fetching += n
		v.sector += n
		e.send(wire.Message{Command: wire.CmdVerifyRequest, Sector: o.sector, ID: wire.SyncerID, Size: o.size})
	}
	e.maybeFinishVerify()
}

// receiveCompare reads a block to tell its digest (verify) or to compare it with the
// peer's (checksum-based resync).
func (e *Engine) receiveCompare(m *wire.Message) {
	alg := e.cfg.VerifyAlg
	if m.Command == wire.CmdChecksumRequest {
		alg, e.unbegun = e.cfg.CsumsAlg, false
	}
	o := e.newOp(verifyRead, m.Sector, m.Size)
	o.id = m.ID
	switch {
	case !e.inside(m) || !knownHash(alg):
		e.protocolError("a request for a digest that is not possible")
		return
	case !e.hasDisk || e.state.Disk() != wire.UpToDate:
		e.answerWrite(o, wire.CmdNegResyncReply)
		e.free(o)
		return
	}
	if m.Command == wire.CmdVerifyRequest {
		if v := &e.verify; !v.begun {
			v.begun, v.left = true, (e.size-min(e.size, m.Sector)+metadata.SectorsPerBit-1)/metadata.SectorsPerBit
		}
		e.verify.sector = o.end()
	}
	if m.Command == wire.CmdChecksumRequest {
		o.kind, o.digest = resyncRead, bytes.Clone(m.Digest)
	}
	e.enqueue(o)
}

// verifyArrived has the peer's digest of a block; now the own one is computed.
func (e *Engine) verifyArrived(m *wire.Message) {
	asked := slices.ContainsFunc(e.active, func(a *op) bool {
		return a.kind == resyncFetch && a.sector == m.Sector && a.size == m.Size
	})
	if !e.verify.running || !asked {
		e.protocolError("an unexpected digest")
		return
	}
	// The request stays among the active operations until the blocks are compared:
	// no own write gets in between.
	o := e.newOp(verifyRead, m.Sector, m.Size)
	o.digest = bytes.Clone(m.Digest)
	e.enqueue(o)
}

// verifyReadDone is the own block of a verify.
func (e *Engine) verifyReadDone(o *op, data []byte, err error) {
	e.deactivate(o)
	defer e.free(o)
	if err != nil {
		defer e.ioError(o)
	}
	if o.dropped {
		return
	}
	if o.digest == nil {
		digest := digestOf(e.cfg.VerifyAlg, data)
		if err != nil {
			clear(digest)
		}
		e.send(wire.Message{Command: wire.CmdVerifyReply, Sector: o.sector, ID: o.id, Size: o.size, Digest: digest})
		return
	}
	if !e.fetched(o.sector, o.size) {
		return // the verify is over
	}
	result := uint64(wire.VerifyInSync)
	if err != nil || !bytes.Equal(digestOf(e.cfg.VerifyAlg, data), o.digest) {
		result = wire.VerifyOutOfSync
		e.verify.found++
		if e.hasDisk {
			e.differs(o.sector, o.sectors())
		}
	}
	e.send(wire.Message{Command: wire.CmdVerifyResult, Sector: o.sector, ID: result, Size: o.size})
	e.maybeFinishVerify()
}

// verifyAnswered is the initiator's word on a block.
func (e *Engine) verifyAnswered(m *wire.Message) {
	defer e.countVerified(m)
	if m.ID == wire.VerifyOutOfSync && e.hasDisk && e.inside(m) {
		e.differs(m.Sector, uint64(m.Size)/metadata.SectorSize)
	}
}

// maybeFinishVerify ends a verify when every block is compared.
func (e *Engine) maybeFinishVerify() {
	v := &e.verify
	if !v.running || v.finish || v.sector < e.size || e.resync.fetching > 0 {
		return
	}
	v.finish = true
	e.ping(func() {
		if e.state.Conn() != wire.VerifyS {
			return
		}
		found := e.verify.found
		e.verify = verifyRun{}
		e.note("online verify done")
		e.change(e.state.WithConn(wire.Connected), hard)
		e.persist()
		e.sendState()
		if found > 0 {
			e.emit(Effect{Kind: RunHandler, Name: "out-of-sync"})
		}
	})
}

// countVerified ends the responder's part with the last result: not every protocol
// says that the verify is over.
func (e *Engine) countVerified(m *wire.Message) {
	v := &e.verify
	if !v.begun || e.state.Conn() != wire.VerifyT {
		return
	}
	v.left -= min(v.left, (uint64(m.Size)+metadata.BlockSize-1)/metadata.BlockSize)
	if v.left == 0 {
		e.note("online verify done")
		e.change(e.state.WithConn(wire.Connected), hard)
	}
}
