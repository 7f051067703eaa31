package client

import (
	"context"
	"sync"
)

// mailbox lets a slow reader miss intermediate events, but never the last, nor
// one about the connection.
type mailbox struct {
	mu      sync.Mutex
	queue   []Event
	closed  bool
	arrived chan struct{}
}

func newMailbox() *mailbox { return &mailbox{arrived: make(chan struct{}, 1)} }

func (m *mailbox) put(e Event) {
	m.mu.Lock()
	if n := len(m.queue); n > 0 && e.Connection == "" && m.queue[n-1].Connection == "" {
		// The newer one replaces the older; what it leaves out stays.
		if e.Info == nil {
			e.Info = m.queue[n-1].Info
		}
		m.queue[n-1] = e
	} else {
		m.queue = append(m.queue, e)
	}
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) wake() {
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.wake()
}

// deliver returns the channel that the events come out of.
func (m *mailbox) deliver(ctx context.Context) <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		for {
			m.mu.Lock()
			var e Event
			have := len(m.queue) > 0
			if have {
				e = m.queue[0]
				m.queue = m.queue[1:]
			}
			closed := m.closed
			m.mu.Unlock()
			switch {
			case have:
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case closed:
				return
			default:
				select {
				case <-m.arrived:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}
