package xvm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// Op is what is asked for.
type Op uint8

const (
	OpNull Op = iota
	OpOff
	OpReboot
	OpOn
	OpStatus
	OpDevStatus
	OpHostList
)

// Hash is a digest function of requests and of challenges.
type Hash uint8

const (
	HashNone Hash = iota
	HashSHA1
	HashSHA256
	HashSHA512
)

// ParseHash reads the name of a hash.
func ParseHash(s string) (Hash, error) {
	for i, n := range []string{"none", "sha1", "sha256", "sha512"} {
		if s == n {
			return Hash(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of none, sha1, sha256, sha512", s)
}

// sum is the digest of parts, padded with zeros.
func (h Hash) sum(parts ...[]byte) (d [64]byte) {
	all := bytes.Join(parts, nil)
	switch h {
	case HashSHA1:
		s := sha1.Sum(all)
		copy(d[:], s[:])
	case HashSHA256:
		s := sha256.Sum256(all)
		copy(d[:], s[:])
	case HashSHA512:
		d = sha512.Sum512(all)
	}
	return d
}

// Answers of a host.
const (
	answerOK     = 0
	answerFail   = 1
	answerOff    = 2
	answerDenied = 3
	answerList   = 253
)

const (
	packetSize = 176
	recordSize = 130
	keyLimit   = 4096
)

// request is the packet that asks.
type request struct {
	Op     Op
	Hash   Hash
	UUID   bool
	Domain string
	Addr   netip.Addr // where the answer is to go; invalid if the connection is there
	Port   uint16
	Random [6]byte
	Seq    uint32
}

// encode writes the packet with its digest.
func (r request) encode(key []byte) []byte {
	b := make([]byte, packetSize)
	b[0], b[1] = byte(r.Op), byte(r.Hash)
	if r.UUID {
		b[3] = 1
	}
	copy(b[4:67], r.Domain)
	if r.Addr.IsValid() {
		a := r.Addr.AsSlice()
		b[2] = byte(len(a))
		copy(b[68:96], a)
		family := uint32(2)
		if r.Addr.Is6() {
			family = 10
		}
		binary.LittleEndian.PutUint32(b[108:], family)
	}
	binary.LittleEndian.PutUint16(b[96:], r.Port)
	copy(b[98:104], r.Random[:])
	binary.LittleEndian.PutUint32(b[104:], r.Seq)
	if r.Hash != HashNone {
		d := r.Hash.sum(key, b)
		copy(b[112:], d[:])
	}
	return b
}

var errAuth = errors.New("the keys differ")

// decode reads a packet and checks its digest, which must be at least of the
// kind least.
func decode(b []byte, least Hash, key []byte) (request, error) {
	if len(b) != packetSize {
		return request{}, fmt.Errorf("a request of %d bytes", len(b))
	}
	r := request{Op: Op(b[0]), Hash: Hash(b[1]), UUID: b[3]&1 != 0, Port: binary.LittleEndian.Uint16(b[96:]), Seq: binary.LittleEndian.Uint32(b[104:])}
	r.Domain = cString(b[4:68])
	copy(r.Random[:], b[98:104])
	if n := int(b[2]); n == 4 || n == 16 {
		r.Addr, _ = netip.AddrFromSlice(b[68 : 68+n])
	}
	if r.Hash > HashSHA512 || r.Hash < least {
		return r, errors.New("the request is not authenticated as it must be")
	}
	if r.Hash != HashNone {
		clear := bytes.Clone(b)
		for i := 112; i < packetSize; i++ {
			clear[i] = 0
		}
		d := r.Hash.sum(key, clear)
		if subtle.ConstantTimeCompare(d[:], b[112:]) != 1 {
			return r, errAuth
		}
	}
	return r, nil
}

func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// challenge makes sure that the other side has the key.
func challenge(c io.ReadWriter, h Hash, key []byte) error {
	if h == HashNone {
		return nil
	}
	var ask, answer [64]byte
	rand.Read(ask[:])
	if _, err := c.Write(ask[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	want := h.sum(key, ask[:])
	if subtle.ConstantTimeCompare(want[:], answer[:]) != 1 {
		return errAuth
	}
	return nil
}

// respond answers the other side's challenge.
func respond(c io.ReadWriter, h Hash, key []byte) error {
	if h == HashNone {
		return nil
	}
	var ask [64]byte
	if _, err := io.ReadFull(c, ask[:]); err != nil {
		return err
	}
	d := h.sum(key, ask[:])
	_, err := c.Write(d[:])
	return err
}

// Domain is one virtual machine of a host.
type Domain struct {
	Name, UUID string
	On         bool
}

func encodeDomain(d Domain) []byte {
	b := make([]byte, recordSize)
	copy(b[:63], d.Name)
	copy(b[64:127], d.UUID)
	if d.On {
		b[128] = 1
	}
	return b
}

func readDomains(r io.Reader) ([]Domain, error) {
	var list []Domain
	b := make([]byte, recordSize)
	for len(list) < 65536 {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		d := Domain{cString(b[:64]), cString(b[64:128]), b[128] == 1}
		if d.Name == "" && d.UUID == "" {
			return list, nil
		}
		list = append(list, d)
	}
	return nil, errors.New("the list of virtual machines has no end")
}

// readKey reads a key file. A key that cannot be read is an error, unless
// nothing is to be authenticated.
func readKey(path string, hashes ...Hash) ([]byte, error) {
	needed := false
	for _, h := range hashes {
		needed = needed || h != HashNone
	}
	if !needed {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	key, err := io.ReadAll(io.LimitReader(f, keyLimit))
	if err == nil && len(key) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	return key, err
}
