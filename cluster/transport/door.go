package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// apiProtocol is what administrators' programs ask for on the node's port
// (ALPN), to get the API instead of another node.
const apiProtocol = "http/1.1"

// administratorUnit marks the certificates of administrators. Those of nodes
// have the name of a node instead, so that neither can pass for the other.
const administratorUnit = "gcrm administrator"

// MaxAdministratorLife bounds how long an administrator's certificate is good.
const MaxAdministratorLife = 2 * 365 * 24 * time.Hour

// CertifyAdministrator makes a certificate, in DER, with which a user may use
// the API from elsewhere, for his public key in PKIX form.
func (a *Authority) CertifyAdministrator(user string, public []byte, life time.Duration, now time.Time) ([]byte, error) {
	if user == "" || len(user) > 64 {
		return nil, errors.New("an administrator's certificate needs the name of a user")
	}
	if life <= 0 || life > MaxAdministratorLife {
		return nil, fmt.Errorf("an administrator's certificate is good for at most %d days", MaxAdministratorLife/(24*time.Hour))
	}
	any, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the key is not of the kind this cluster uses (ECDSA P-256)")
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: a.cert.Subject.Organization, OrganizationalUnit: []string{administratorUnit}, CommonName: user},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, key, a.key)
}

// letIn hands the connection of an administrator over to the API.
func (t *Transport) letIn(conn *tls.Conn, leaf *x509.Certificate) error {
	if u := leaf.Subject.OrganizationalUnit; len(u) != 1 || u[0] != administratorUnit {
		return fmt.Errorf("%w: this certificate is not an administrator's", ErrStranger)
	}
	d := t.door.Load()
	if d == nil {
		return errors.New("the API is not served on this port")
	}
	conn.SetDeadline(time.Time{})
	select {
	case d.conns <- conn:
		return nil
	case <-d.closed:
	case <-t.ctx.Done():
	}
	return ErrClosed
}

// door is the listener of administrators' connections.
type door struct {
	t      *Transport
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Door returns the listener of connections for the API: TLS, with verified
// certificates of administrators. Before it is called there are none.
func (t *Transport) Door() net.Listener {
	d := &door{t: t, conns: make(chan net.Conn), closed: make(chan struct{})}
	t.door.Store(d)
	return d
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
	case <-d.t.ctx.Done():
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener; the port itself stays open.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return d.t.Addr() }
