package admin

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"gcrm/replication/nbd"
	"gcrm/replication/volume"
)

// exports gives the volumes to NBD clients.
func (s *server) exports() []nbd.Export {
	var out []nbd.Export
	for _, v := range s.volumes {
		out = append(out, nbd.Export{Name: v.conf.Name(), Description: fmt.Sprintf("volume %d of resource %s", v.conf.Number(), s.o.Resource), Device: (*patient)(v)})
	}
	return out
}

// patient is a volume for clients: one that comes during a takeover waits for its
// end.
type patient served

func (p *patient) Open() error {
	p.s.takingMu.Lock()
	taking := p.s.taking
	p.s.takingMu.Unlock()
	if taking != nil {
		select {
		case <-taking:
		case <-time.After(takeoverWait * 2):
		}
	}
	return p.Volume.Open()
}

func (p *patient) Release()                 { p.Volume.Release() }
func (p *patient) Size() uint64             { return p.Volume.Size() }
func (p *patient) Buffer(n int) []byte      { return p.Volume.Buffer(n) }
func (p *patient) Free(b []byte)            { p.Volume.Free(b) }
func (p *patient) Submit(r *volume.Request) { p.Volume.Submit(r) }

// listenNBD opens the sockets for clients.
func (s *server) listenNBD() (func(), error) {
	path := s.o.Folder.NBD(s.o.Resource)
	local, err := listenPrivate(path)
	if err != nil {
		return nil, err
	}
	go s.nbd.Serve(local)
	listeners := []net.Listener{local}
	if s.o.Listen != "" {
		remote := &nbd.Server{Exports: s.exports, Log: s.log}
		if s.o.CertFile != "" {
			if remote.TLS, err = serverTLS(s.o.CertFile, s.o.KeyFile, s.o.CAFile); err != nil {
				return nil, err
			}
			remote.RequireTLS = true
		}
		l, err := net.Listen("tcp", s.o.Listen)
		if err != nil {
			return nil, fmt.Errorf("NBD: %w", err)
		}
		go remote.Serve(l)
		listeners = append(listeners, l)
	}
	return func() {
		for _, l := range listeners {
			l.Close()
		}
	}, nil
}

func serverTLS(cert, key, ca string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("TLS: no certificate in %s", ca)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}
