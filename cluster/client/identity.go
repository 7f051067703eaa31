package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// An identity file holds what an administrator needs to use a cluster's API
// from elsewhere: his private key, his certificate, and the certificates of
// the cluster's authority, all in PEM form.

// NewIdentityKey makes a private key; the public half is in PKIX form.
func NewIdentityKey() (key *ecdsa.PrivateKey, public []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return key, public, err
}

// EncodeIdentity makes the content of an identity file.
func EncodeIdentity(key *ecdsa.PrivateKey, a AdminCertAnswer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})...)
	for _, c := range a.Authorities {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return out, nil
}

// nodeSuffix ends the names in the certificates of nodes.
const nodeSuffix = ".node.gcrm.internal"

// DialTLS returns the cluster behind the port of a node, for the administrator
// with an identity file. Any node of the cluster that made the file will do.
func DialTLS(address, identityFile, program string) (*HTTP, error) {
	b, err := os.ReadFile(identityFile)
	if err != nil {
		return nil, fmt.Errorf("identity: %w; make one with 'gcrm cluster admin-cert USER' on a node", err)
	}
	cert, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, fmt.Errorf("identity file %s: %w", identityFile, err)
	}
	if left := time.Until(cert.Leaf.NotAfter); left <= 0 {
		return nil, fmt.Errorf("the certificate in %s ended at %s; make a new one with 'gcrm cluster admin-cert %s' on a node",
			identityFile, cert.Leaf.NotAfter.Format(time.RFC3339), cert.Leaf.Subject.CommonName)
	}
	roots := x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("identity file %s: %w", identityFile, err)
		}
		roots.AddCert(c)
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		NextProtos:   []string{"http/1.1"},
		// Nodes are known by their certificate, not by an address.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyNode(s, roots) },
	}
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: cfg}
	t := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		},
		MaxIdleConns:           8,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return New("https://gcrm", &http.Client{Transport: t}, program), nil
}

// verifyNode checks that the other end is a node of the cluster.
func verifyNode(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the other end has no certificate")
	}
	leaf := s.PeerCertificates[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return fmt.Errorf("this is not a node of the cluster that the identity is for: %w", err)
	}
	if len(leaf.DNSNames) != 1 || !strings.HasSuffix(leaf.DNSNames[0], nodeSuffix) {
		return errors.New("the other end is not a node")
	}
	return nil
}
