package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// probe asks a service again and again, as a client would.
type probe struct {
	name string
	ask  func(ctx context.Context) error
}

// probeTimeout is how long a client waits, probePause how long between two
// questions.
const (
	probeTimeout = time.Second
	probePause   = 50 * time.Millisecond
)

// newProbe reads what is to be asked: http(s)://..., ADDRESS:PORT, or the path
// of a folder or file.
func newProbe(service string) (*probe, error) {
	p := &probe{name: service}
	switch {
	case strings.HasPrefix(service, "http://"), strings.HasPrefix(service, "https://"):
		if _, err := url.Parse(service); err != nil {
			return nil, fmt.Errorf("service %s: %w", service, err)
		}
		// Each question is a new client's: a kept connection may outlive an
		// address that moved.
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		p.ask = func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, service, nil)
			if err != nil {
				return err
			}
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
				return err
			}
			if resp.StatusCode >= 400 {
				return fmt.Errorf("HTTP status %d", resp.StatusCode)
			}
			return nil
		}
	case strings.HasPrefix(service, "/"):
		p.ask = func(context.Context) error { return writeThere(service) }
	default:
		if _, _, err := net.SplitHostPort(service); err != nil {
			return nil, fmt.Errorf("service %s is neither a URL, nor ADDRESS:PORT, nor a path", service)
		}
		p.ask = func(ctx context.Context) error {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", service)
			if err != nil {
				return err
			}
			return c.Close()
		}
	}
	return p, nil
}

// writeThere proves that a path can be used: a folder by writing and removing
// a file, a file by reading it.
func writeThere(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = f.Read(make([]byte, 1))
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return errors.Join(err, f.Close())
	}
	name := filepath.Join(path, fmt.Sprintf(".gcrm-drill-%d", os.Getpid()))
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString("drill\n")
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
}

// try asks once, in bounded time also where the question cannot be broken off.
func (p *probe) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.ask(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gauge adds up outages of one service: from the last good answer before to the
// first one after.
type gauge struct {
	out      Outage
	lastGood time.Time
	bad      bool
}

func (g *gauge) note(good bool, now time.Time) {
	if good {
		if g.bad {
			d := now.Sub(g.lastGood)
			g.out.Away += d
			g.out.Longest = max(g.out.Longest, d)
			g.out.Times++
		}
		g.bad, g.lastGood = false, now
		return
	}
	g.bad = true
}

func (g *gauge) result(now time.Time) Outage {
	o := g.out
	if g.bad {
		d := now.Sub(g.lastGood)
		o.Away, o.Longest, o.Times, o.Still = o.Away+d, max(o.Longest, d), o.Times+1, true
	}
	return o
}

// watchServices begins to probe; stop ends it and gives the result. A service
// that does not answer before the drill is a mistake in the question.
func (d *drill) watchServices(ctx context.Context, probes []*probe) (stop func() []Outage, err error) {
	for _, p := range probes {
		if err := p.try(ctx); err != nil {
			return nil, fmt.Errorf("service %s does not answer before the drill: %w", p.name, err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	gauges := make([]gauge, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		gauges[i] = gauge{out: Outage{Name: p.name}, lastGood: d.Now()}
		wg.Go(func() {
			for ctx.Err() == nil {
				err := p.try(ctx)
				if ctx.Err() != nil {
					return
				}
				gauges[i].note(err == nil, d.Now())
				select {
				case <-time.After(probePause):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() []Outage {
		cancel()
		wg.Wait()
		out := []Outage{}
		for i := range gauges {
			out = append(out, gauges[i].result(d.Now()))
		}
		return out
	}, nil
}
