package engine

// beforeLoss marks what the peer may not have, while the old state is still known.
func (e *Engine) beforeLoss() {
	if !e.hasDisk {
		return
	}
	for _, o := range e.sending.log {
		if o.kind == appWrite && !o.dropped {
			e.bitmap.SetSectors(o.sector, o.sectors())
		}
	}
}

// afterLoss ends the peer's half of all requests once the new state is known.
func (e *Engine) afterLoss() {
	s := &e.sending
	log := s.log
	s.log = nil
	s.unanswered, s.inEpoch, s.closed = nil, 0, false
	for _, o := range log {
		o.dropped = true
		switch {
		case o.kind == appRead:
			if o.held {
				s.log = append(s.log, o)
				continue
			}
			o.inLog, o.net, o.restarted = false, partNone, !e.hasDisk
			e.runRead(o)
		case o.held:
			s.log = append(s.log, o)
		default:
			o.inLog = false
			wasPending := o.net == partPending
			if wasPending {
				o.net = partFailed
			}
			switch {
			case o.local == partPending: // settled by DiskDone
			case wasPending:
				e.settleWrite(o)
			default:
				// Answered, but its epoch is not confirmed: the peer may lose it.
				o.net = partFailed
				e.retire(o)
			}
		}
	}
	for _, f := range append([]*op(nil), s.flushes...) {
		e.settleFlush(f)
	}
	e.dropPeerWork()
	e.pump()
}

// releaseHeld completes what a suspension held back, once it is over.
func (e *Engine) releaseHeld() {
	if e.state&anySuspended != 0 {
		return
	}
	s := &e.sending
	log := s.log
	s.log = nil
	var again []*op
	for _, o := range log {
		if !o.held {
			s.log = append(s.log, o)
			continue
		}
		again = append(again, o)
	}
	for _, o := range again {
		o.held, o.inLog = false, false
		switch {
		case o.kind == appRead:
			e.runRead(o)
		case o.local == partOK || o.net == partOK:
			e.complete(o, nil, nil)
			e.retire(o)
		default:
			e.complete(o, nil, ErrIO)
			e.retire(o)
		}
	}
	for _, f := range append([]*op(nil), s.flushes...) {
		e.settleFlush(f)
	}
	e.pump()
}
