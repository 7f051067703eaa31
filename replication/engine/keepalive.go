package engine

import (
	"time"

	"gcrm/replication/wire"
)

// Heard tells the engine that the peer lives: a runner that answers pings itself does
// not hand them over.
func (e *Engine) Heard(now time.Duration) {
	e.now = now
	e.link.lastHeard = now
}

// ping asks the peer for a sign; done is called when it comes.
func (e *Engine) ping(done func()) {
	if !e.link.up || e.link.phase < phaseParams {
		return
	}
	e.link.pingDone = append(e.link.pingDone, done)
	if e.link.pingAt == 0 {
		e.sendPing()
	}
}

func (e *Engine) sendPing() {
	e.link.pingAt = max(e.now, 1)
	e.send(wire.Message{Command: wire.CmdPing})
}

func (e *Engine) pingAnswered() {
	l := &e.link
	if l.pingAt == 0 {
		return
	}
	l.pingAt = 0
	done := l.pingDone
	l.pingDone = nil
	for _, f := range done {
		f()
	}
}

// tickLink watches the peer.
func (e *Engine) tickLink() {
	l := &e.link
	if !l.up {
		return
	}
	if l.phase < phaseParams {
		if e.now-l.lastHeard > 4*e.cfg.PingTimeout {
			e.note("the peer does not go on with the handshake")
			e.dropLink(wire.NetworkFailure)
		}
		return
	}
	switch quiet := e.now - l.lastHeard; {
	case l.pingAt != 0 && e.now-l.pingAt > e.cfg.PingTimeout && quiet > e.cfg.PingTimeout:
		e.note("ping was not answered in time")
		e.dropLink(wire.NetworkFailure)
		return
	case l.pingAt == 0 && quiet > e.cfg.PingInterval:
		e.sendPing()
	}
	if e.cfg.KOCount == 0 {
		return
	}
	limit := time.Duration(e.cfg.KOCount) * e.cfg.Timeout
	late := false
	for _, o := range e.sending.log {
		late = late || o.net == partPending && !o.dropped && !o.held && e.now-o.sentAt > limit
	}
	for _, u := range e.sending.unanswered {
		late = late || e.now-u.at > limit
	}
	if late {
		e.note("the peer failed to finish a request in time")
		e.dropLink(wire.Timeout)
	}
}
