package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"gcrm/durable"
)

const (
	authorityLife = 20 * 365 * 24 * time.Hour
	nodeLife      = 365 * 24 * time.Hour
	renewBefore   = 60 * 24 * time.Hour
	// clockSlack is how far behind the clock of another node may be when it
	// is shown a fresh certificate.
	clockSlack = 24 * time.Hour
)

// Authority is the certificate authority of one cluster.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// trusted are other certificates that peers' may come from, while the
	// authority is replaced.
	trusted []*x509.Certificate
	// life is how long the certificates of nodes are good.
	life time.Duration
}

// Credentials are what one node needs to speak to the others.
type Credentials struct {
	Certificate tls.Certificate
	// Authority is the only root that peers' certificates may come from.
	Authority *x509.CertPool
}

// NewAuthority makes an authority for a cluster.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{cluster}, CommonName: "gcrm cluster authority"},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, key: key, life: nodeLife}, nil
}

// ParseAuthority reads what [Authority.Export] gave, and takes other
// certificates for as good.
func ParseAuthority(cert, key []byte, trusted ...[]byte) (*Authority, error) {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	any, err := x509.ParsePKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	k, ok := any.(*ecdsa.PrivateKey)
	if !ok || !k.PublicKey.Equal(c.PublicKey) {
		return nil, errors.New("the authority's key does not fit its certificate")
	}
	a := &Authority{cert: c, key: k, life: nodeLife}
	for _, der := range trusted {
		t, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		a.trusted = append(a.trusted, t)
	}
	return a, nil
}

// SetNodeLife changes how long certificates of nodes are good that are made
// from now on; they are renewed after five sixths of it.
func (a *Authority) SetNodeLife(d time.Duration) { a.life = d }

// Ends returns when the authority's own certificate ends.
func (a *Authority) Ends() time.Time { return a.cert.NotAfter }

// Certificates returns the authority's certificate and the others that are
// trusted, in DER.
func (a *Authority) Certificates() [][]byte {
	out := [][]byte{a.cert.Raw}
	for _, t := range a.trusted {
		out = append(out, t.Raw)
	}
	return out
}

// Due reports whether a node's certificate is to be renewed.
func Due(c Credentials, now time.Time) bool {
	leaf := c.Certificate.Leaf
	return !now.Before(leaf.NotAfter.Add(-min(renewBefore, leaf.NotAfter.Sub(leaf.NotBefore.Add(clockSlack))/6)))
}

// Fingerprint is the SHA-256 of the authority's certificate, as a join token
// carries it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Pool returns the pool that holds just this authority and what it trusts.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	for _, t := range a.trusted {
		p.AddCert(t)
	}
	return p
}

// Issue makes a new key and certificate for a node with an id.
func (a *Authority) Issue(node, id string, now time.Time) (Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, err
	}
	der, err := a.sign(node, id, &key.PublicKey, now)
	if err != nil {
		return Credentials{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf},
		Authority:   a.Pool(),
	}, nil
}

// Certify makes a certificate, in DER, for a node's public key in PKIX form.
func (a *Authority) Certify(node, id string, public []byte, now time.Time) ([]byte, error) {
	any, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the node's key is not of the kind this cluster uses")
	}
	return a.sign(node, id, key, now)
}

// sign writes the id into the certificate: since ids are not used again, it
// tells a removed node from another one that got its name.
func (a *Authority) sign(node, id string, pub *ecdsa.PublicKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: a.cert.Subject.Organization, CommonName: node, SerialNumber: id},
		DNSNames:     []string{serverName(node)},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(a.life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, pub, a.key)
}

// serverName is the DNS name in a node's certificate. Node names may hold
// characters and lengths that DNS names may not, hence the digest.
func serverName(node string) string {
	sum := sha256.Sum256([]byte(node))
	return hex.EncodeToString(sum[:16]) + ".node.gcrm.internal"
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}

const (
	authorityCertFile = "ca.pem"
	authorityKeyFile  = "ca.key"
	nodeCertFile      = "node.pem"
	nodeKeyFile       = "node.key"
	trustedFile       = "ca-trusted.pem"
)

// OpenAuthority loads the authority of dir and makes one if there is none.
func OpenAuthority(dir, cluster string, now time.Time) (*Authority, error) {
	cert, key, err := readPair(dir, authorityCertFile, authorityKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		a, err := NewAuthority(cluster, now)
		if err != nil {
			return nil, err
		}
		return a, writePair(dir, authorityCertFile, authorityKeyFile, a.cert.Raw, a.key)
	}
	if err != nil {
		return nil, err
	}
	if got := cert.Subject.Organization; len(got) != 1 || got[0] != cluster {
		return nil, fmt.Errorf("%s belongs to cluster %q, not %q", filepath.Join(dir, authorityCertFile), got, cluster)
	}
	a := &Authority{cert: cert, key: key, life: nodeLife}
	a.trusted, err = readTrusted(filepath.Join(dir, trustedFile))
	return a, err
}

// readTrusted reads the certificates in a file, none if it is not there.
func readTrusted(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// Store writes the authority to dir, for [OpenAuthority]. What is trusted
// besides comes first: a crash in between leaves more trust, not less.
func (a *Authority) Store(dir string) error {
	var blocks []*pem.Block
	add := func(c *x509.Certificate) {
		blocks = append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	for _, t := range a.trusted {
		add(t)
	}
	if old, err := readTrusted(filepath.Join(dir, authorityCertFile)); err == nil && len(old) > 0 && !old[0].Equal(a.cert) {
		// The certificate that is replaced next, and the one that comes.
		if err := writePEM(filepath.Join(dir, trustedFile), 0o644, append(blocks, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...); err != nil {
			return err
		}
		if err := writePair(dir, authorityCertFile, authorityKeyFile, a.cert.Raw, a.key); err != nil {
			return err
		}
	}
	return writePEM(filepath.Join(dir, trustedFile), 0o644, blocks...)
}

// Renew issues new credentials for a node and stores them in dir.
func (a *Authority) Renew(dir, node, id string, now time.Time) (Credentials, error) {
	c, err := a.Issue(node, id, now)
	if err != nil {
		return c, err
	}
	return c, writePair(dir, nodeCertFile, nodeKeyFile, c.Certificate.Certificate[0], c.Certificate.PrivateKey.(*ecdsa.PrivateKey))
}

// OpenCredentials loads the node's credentials from dir and issues new ones if
// there are none, they are another node's, or they end soon.
func (a *Authority) OpenCredentials(dir, node, id string, now time.Time) (Credentials, error) {
	cert, key, err := readPair(dir, nodeCertFile, nodeKeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, err
	}
	if err == nil && cert.Subject.CommonName == node && cert.Subject.SerialNumber == id {
		for _, issuer := range append([]*x509.Certificate{a.cert}, a.trusted...) {
			if cert.CheckSignatureFrom(issuer) != nil {
				continue
			}
			c := Credentials{
				Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw, issuer.Raw}, PrivateKey: key, Leaf: cert},
				Authority:   a.Pool(),
			}
			if !Due(c, now) {
				return c, nil
			}
		}
	}
	return a.Renew(dir, node, id, now)
}

// writePair stores a certificate with its key. The file of the key has the
// certificate too, so that a crash leaves either both old or both new; the
// other file is for people.
func writePair(dir, certFile, keyFile string, der []byte, key *ecdsa.PrivateKey) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := &pem.Block{Type: "CERTIFICATE", Bytes: der}
	if err := writePEM(filepath.Join(dir, keyFile), 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: k}, cert); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, certFile), 0o644, cert)
}

func writePEM(path string, mode fs.FileMode, blocks ...*pem.Block) error {
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	return durable.Write(path, text, mode)
}

func readPair(dir, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certDER, err := readPEM(filepath.Join(dir, keyFile), "CERTIFICATE")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // written by an older version
		certDER, err = readPEM(filepath.Join(dir, certFile), "CERTIFICATE")
	}
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, certFile), err)
	}
	keyDER, err := readPEM(filepath.Join(dir, keyFile), "PRIVATE KEY")
	if err != nil {
		return nil, nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, keyFile), err)
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s does not hold the key of %s", filepath.Join(dir, keyFile), certFile)
	}
	return cert, key, nil
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("%s holds no %s in PEM form", path, kind)
}
