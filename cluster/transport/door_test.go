package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// identity makes the credentials of an administrator.
func (p *pair) identity(t *testing.T, user string, life time.Duration, now time.Time) tls.Certificate {
	t.Helper()
	key, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := p.authority.CertifyAdministrator(user, public, life, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Certificates of nodes open the way to nodes, those of administrators the way
// to the API, and neither the other one.
func TestDoor(t *testing.T) {
	p := newPair(t)
	a := p.start(t, "a", nil)
	b := p.start(t, "b", nil)
	b.Handle("echo", echo)
	door := a.Door()
	defer door.Close()
	go func() {
		for {
			c, err := door.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello "+c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName)
			c.Close()
		}
	}()
	ask := func(cert tls.Certificate, protocol string) string {
		t.Helper()
		raw, err := net.Dial("tcp", p.addrs["a"])
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(5 * time.Second))
		cfg := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: p.authority.Pool(), ServerName: serverName("a")}
		if protocol != "" {
			cfg.NextProtos = []string{protocol}
		}
		got, _ := io.ReadAll(tls.Client(raw, cfg))
		return string(got)
	}
	now := time.Now()
	anna := p.identity(t, "anna", time.Hour, now)
	node, err := p.authority.Issue("b", "2", now)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(anna, apiProtocol); got != "hello anna" {
		t.Errorf("an administrator got %q", got)
	}
	if got := ask(node.Certificate, apiProtocol); got != "" {
		t.Errorf("a node got %q of the API", got)
	}
	if got := ask(p.identity(t, "anna", time.Hour, now.Add(-2*time.Hour)), apiProtocol); got != "" {
		t.Errorf("an expired certificate got %q", got)
	}
	// An administrator whose name is a node's is not that node.
	creds := p.start(t, "c", func(c *Config) {
		c.Credentials.Certificate = p.identity(t, "c", time.Hour, now)
	})
	if err := creds.Call(t.Context(), "b", "echo", "x", new(json.RawMessage)); err == nil {
		t.Error("an administrator's certificate passed for a node's")
	}
	if _, err := p.authority.CertifyAdministrator("anna", []byte("x"), time.Hour, now); err == nil {
		t.Error("a key that is none was certified")
	}
	_, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.authority.CertifyAdministrator("anna", public, 10*MaxAdministratorLife, now); err == nil {
		t.Error("a certificate for ever was made")
	}
	if err := door.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if got := ask(anna, apiProtocol); got != "" {
		t.Errorf("a closed door gave %q", got)
	}
}
