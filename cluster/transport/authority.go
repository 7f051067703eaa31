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
	return &Authority{cert: cert, key: key}, nil
}

// Fingerprint is the SHA-256 of the authority's certificate, as a join token
// carries it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Pool returns the pool that holds just this authority.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// Issue makes a new key and certificate for a node.
func (a *Authority) Issue(node string, now time.Time) (Credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Credentials{}, err
	}
	der, err := a.sign(node, &key.PublicKey, now)
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
func (a *Authority) Certify(node string, public []byte, now time.Time) ([]byte, error) {
	any, err := x509.ParsePKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	key, ok := any.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("the node's key is not of the kind this cluster uses")
	}
	return a.sign(node, key, now)
}

func (a *Authority) sign(node string, pub *ecdsa.PublicKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: a.cert.Subject.Organization, CommonName: node},
		DNSNames:     []string{serverName(node)},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(nodeLife),
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
	return &Authority{cert: cert, key: key}, nil
}

// OpenCredentials loads the node's credentials from dir and issues new ones if
// there are none, or they end within two months.
func (a *Authority) OpenCredentials(dir, node string, now time.Time) (Credentials, error) {
	cert, key, err := readPair(dir, nodeCertFile, nodeKeyFile)
	fresh := err == nil && cert.Subject.CommonName == node &&
		now.Before(cert.NotAfter.Add(-renewBefore)) && cert.CheckSignatureFrom(a.cert) == nil
	if fresh {
		return Credentials{
			Certificate: tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert},
			Authority:   a.Pool(),
		}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, err
	}
	c, err := a.Issue(node, now)
	if err != nil {
		return c, err
	}
	return c, writePair(dir, nodeCertFile, nodeKeyFile, c.Certificate.Certificate[0], c.Certificate.PrivateKey.(*ecdsa.PrivateKey))
}

// writePair stores the key first: a crash in between leaves no certificate
// without its key.
func writePair(dir, certFile, keyFile string, der []byte, key *ecdsa.PrivateKey) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, keyFile), "PRIVATE KEY", k, 0o600); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, certFile), "CERTIFICATE", der, 0o644)
}

func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readPair(dir, certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certDER, err := readPEM(filepath.Join(dir, certFile), "CERTIFICATE")
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
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no %s in PEM form", path, kind)
	}
	return block.Bytes, nil
}
