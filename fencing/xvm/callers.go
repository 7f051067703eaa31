package xvm

import (
	"net"
	"slices"
	"sync"
)

// maxCallers bounds who may be about to log in. Who has waited longest makes
// room for the next: a host logs in at once.
const maxCallers = 64

// callers are those who connect to the port to which the host connects back,
// which anybody can. The first one with the key is the host.
type callers struct {
	listener net.Listener
	host     chan net.Conn // has room for one

	mu    sync.Mutex
	over  bool
	known []net.Conn // that have not logged in, the oldest first
	err   error      // why the last one was turned away
}

func (c *client) receive(l net.Listener) *callers {
	w := &callers{listener: l, host: make(chan net.Conn, 1)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			if !w.enter(conn) {
				conn.Close()
				return
			}
			go func() { w.settle(conn, c.login(conn)) }()
		}
	}()
	return w
}

func (w *callers) enter(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	if len(w.known) == maxCallers {
		w.known[0].Close()
		w.known = slices.Delete(w.known, 0, 1)
	}
	w.known = append(w.known, conn)
	return true
}

// settle takes one that logged in, or could not.
func (w *callers) settle(conn net.Conn, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = slices.DeleteFunc(w.known, func(o net.Conn) bool { return o == conn })
	if err != nil || w.over {
		conn.Close()
		if !w.over {
			w.err = err
		}
		return
	}
	w.over = true
	w.dismiss()
	w.host <- conn
}

// dismiss turns all others away; the lock is held.
func (w *callers) dismiss() {
	w.listener.Close()
	for _, o := range w.known {
		o.Close()
	}
	w.known = nil
}

// end closes everything but a host that was taken.
func (w *callers) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.dismiss()
	select {
	case conn := <-w.host:
		conn.Close()
	default:
	}
}

// refused is why somebody was turned away, nil if nobody was.
func (w *callers) refused() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
