package engine

import (
	"time"

	"gcrm/replication/wire"
)

// Heard tells the engine that the peer lives: a runner that answers pings itself does
// not hand them over.
func (r *Resource) Heard(now time.Duration) {
	r.now = now
	r.link.lastHeard = now
}

// ping asks the peer for a sign that it has everything that went out before; done is called when it comes. A ping that is
// under way says nothing of what went out after it: done waits for the next one.
func (r *Resource) ping(done func()) {
	l := &r.link
	if !l.up || l.phase < phaseParams {
		return
	}
	if l.pingAt != 0 {
		l.pingNext = append(l.pingNext, done)
		return
	}
	l.pingDone = append(l.pingDone, done)
	r.sendPing()
}

func (r *Resource) sendPing() {
	r.link.pingAt = max(r.now, 1)
	r.tell(wire.Message{Command: wire.CmdPing})
}

func (r *Resource) pingAnswered() {
	l := &r.link
	if l.pingAt == 0 {
		return
	}
	l.pingAt = 0
	done := l.pingDone
	if l.pingDone, l.pingNext = l.pingNext, nil; len(l.pingDone) > 0 {
		r.sendPing()
	}
	for _, f := range done {
		f()
	}
}

// tickLink watches the peer.
func (r *Resource) tickLink() {
	l := &r.link
	if !l.up {
		return
	}
	if l.phase < phaseParams {
		if r.now-l.lastHeard > 4*r.settings().PingTimeout {
			r.note("the peer does not go on with the handshake")
			r.dropLink(wire.NetworkFailure)
		}
		return
	}
	switch quiet := r.now - l.lastHeard; {
	case l.pingAt != 0 && r.now-l.pingAt > r.settings().PingTimeout && quiet > r.settings().PingTimeout:
		r.note("ping was not answered in time")
		r.dropLink(wire.NetworkFailure)
		return
	case l.pingAt == 0 && quiet > r.settings().PingInterval:
		r.sendPing()
	}
	if r.settings().KOCount == 0 {
		return
	}
	limit := time.Duration(r.settings().KOCount) * r.settings().Timeout
	late := false
	for _, e := range r.volumes {
		for _, o := range e.sending.log {
			late = late || o.net == partPending && !o.dropped && !o.held && r.now-o.sentAt > limit
		}
	}
	for _, u := range r.epochs.unanswered {
		late = late || r.now-u.at > limit
	}
	if late {
		r.note("the peer failed to finish a request in time")
		r.dropLink(wire.Timeout)
	}
}
