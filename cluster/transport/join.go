package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// maxJoin bounds what is said when a node joins.
const maxJoin = 64 << 10

// meet talks to somebody without a certificate, who may ask to become a
// member and nothing else. Whether that is granted is the business of
// Config.Join, which checks a token.
func (t *Transport) meet(conn *tls.Conn) error {
	h, err := readHello(conn)
	if err != nil {
		return err
	}
	own := t.self(purposeJoin)
	switch {
	case h.Purpose != purposeJoin:
		own.Refusal = &Refusal{Code: RefusedExpelled, Text: "this port is for members of the cluster"}
	case !adjacent(h.Version):
		own.Refusal = &Refusal{Code: RefusedVersion, Text: fmt.Sprintf(
			"protocol version %d cannot join; this cluster speaks %d: install the same version of gcrm on both", h.Version, ProtocolVersion)}
	case t.cfg.Join == nil:
		own.Refusal = &Refusal{Code: RefusedCluster, Text: "node " + t.cfg.Node + " takes nobody in"}
	}
	if err := writeHello(conn, own); err != nil {
		return err
	}
	if own.Refusal != nil {
		return own.Refusal
	}
	f, err := readFrame(conn, maxJoin)
	if err != nil {
		return err
	}
	// The answer waits for consensus, which may take longer than a handshake.
	conn.SetDeadline(time.Now().Add(6 * t.cfg.HandshakeTimeout))
	ctx, cancel := context.WithTimeout(t.ctx, 5*t.cfg.HandshakeTimeout)
	defer cancel()
	answer, err := t.cfg.Join(ctx, f.body)
	if err != nil {
		b, _ := json.Marshal(remoteError(err))
		return errors.Join(err, writeFrame(conn, frame{kindFailure, f.id, b}))
	}
	return writeFrame(conn, frame{kindAnswer, f.id, answer})
}

// Join asks the node at an address to take this one in. The address is trusted
// only if it proves to belong to the authority with the fingerprint.
func Join(ctx context.Context, addr, fingerprint, node string, request any) (json.RawMessage, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; is the daemon running there, and the port open in the firewall?", err)
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13,
		// There is no pool of roots yet: the fingerprint stands for it.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verifyFingerprint(s, fingerprint) },
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	if err := writeHello(conn, Hello{Version: ProtocolVersion, Node: node, Purpose: purposeJoin}); err != nil {
		return nil, err
	}
	h, err := readHello(conn)
	if err != nil {
		return nil, err
	}
	if h.Refusal != nil {
		return nil, h.Refusal
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(conn, frame{kindRequest, 1, body}); err != nil {
		return nil, err
	}
	f, err := readFrame(conn, maxJoin)
	if err != nil {
		return nil, err
	}
	if f.kind == kindFailure {
		re := &RemoteError{}
		if err := json.Unmarshal(f.body, re); err != nil {
			return nil, err
		}
		return nil, re
	}
	return f.body, nil
}

func verifyFingerprint(s tls.ConnectionState, fingerprint string) error {
	for _, c := range s.PeerCertificates[1:] {
		sum := sha256.Sum256(c.Raw)
		if hex.EncodeToString(sum[:]) != fingerprint {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err
	}
	return errors.New("the node there does not belong to the cluster that gave out the token")
}

// NewKey makes the key pair of a node that is to join; the public half is in
// PKIX form.
func NewKey() (key *ecdsa.PrivateKey, public []byte, err error) {
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return key, public, err
}

// Export gives the authority away, to a node that was taken in.
func (a *Authority) Export() (cert, key []byte, err error) {
	key, err = x509.MarshalPKCS8PrivateKey(a.key)
	return a.cert.Raw, key, err
}

// Adopt stores an authority and the credentials that a cluster gave to this
// node, if they fit together.
func Adopt(dir string, authorityCert, authorityKey, nodeCert []byte, key *ecdsa.PrivateKey) error {
	ca, err := x509.ParseCertificate(authorityCert)
	if err != nil {
		return err
	}
	any, err := x509.ParsePKCS8PrivateKey(authorityKey)
	if err != nil {
		return err
	}
	caKey, ok := any.(*ecdsa.PrivateKey)
	if !ok || !caKey.PublicKey.Equal(ca.PublicKey) {
		return errors.New("the authority's key does not fit its certificate")
	}
	leaf, err := x509.ParseCertificate(nodeCert)
	if err != nil {
		return err
	}
	if err := leaf.CheckSignatureFrom(ca); err != nil || !key.PublicKey.Equal(leaf.PublicKey) {
		return errors.Join(err, errors.New("the node's certificate does not fit"))
	}
	if err := writePair(dir, authorityCertFile, authorityKeyFile, authorityCert, caKey); err != nil {
		return err
	}
	return writePair(dir, nodeCertFile, nodeKeyFile, nodeCert, key)
}
