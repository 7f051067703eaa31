package transport

import (
	"errors"
	"net"
	"sync"
)

// Merge makes one listener of several, for a node with more than one network.
// Its address is that of the first.
func Merge(list ...net.Listener) net.Listener {
	if len(list) == 1 {
		return list[0]
	}
	m := &merged{list: list, conns: make(chan net.Conn), stop: make(chan struct{})}
	for _, l := range list {
		m.wg.Go(func() { m.accept(l) })
	}
	return m
}

type merged struct {
	list  []net.Listener
	conns chan net.Conn
	stop  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

func (m *merged) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case m.conns <- c:
		case <-m.stop:
			c.Close()
			return
		}
	}
}

func (m *merged) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.stop:
		return nil, net.ErrClosed
	}
}

func (m *merged) Addr() net.Addr { return m.list[0].Addr() }

func (m *merged) Close() error {
	var errs []error
	m.once.Do(func() {
		close(m.stop)
		for _, l := range m.list {
			errs = append(errs, l.Close())
		}
		m.wg.Wait()
	})
	return errors.Join(errs...)
}
