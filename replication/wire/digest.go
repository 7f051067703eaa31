package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/crc32"
)

// hashes by the names the kernel has for them.
var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	"crc32c": newCRC32C,
}

// NewHash gives the hash of an algorithm name (verify-alg, csums-alg,
// data-integrity-alg, cram-hmac-alg), with the byte order of the kernel. It gives
// false for a name that is not known here.
func NewHash(name string) (func() hash.Hash, bool) {
	h, ok := hashes[name]
	return h, ok
}

// ChallengeLen is the length of the challenge this package's users send; a peer may
// send up to MaxChallengeLen bytes.
const (
	ChallengeLen    = 64
	MaxChallengeLen = 128
)

// AuthResponse is the answer to a challenge: a keyed hash of it. It gives false for
// an unknown algorithm.
func AuthResponse(alg, secret string, challenge []byte) ([]byte, bool) {
	h, ok := hashes[alg]
	if !ok || alg == "crc32c" {
		return nil, false
	}
	mac := hmac.New(h, []byte(secret))
	mac.Write(challenge)
	return mac.Sum(nil), true
}

// AuthMatches compares two answers without telling by its duration where they differ.
func AuthMatches(a, b []byte) bool { return hmac.Equal(a, b) }

// crc32cHash is CRC-32C whose sum comes least significant byte first.
type crc32cHash struct{ hash.Hash32 }

func newCRC32C() hash.Hash { return crc32cHash{crc32.New(crc32.MakeTable(crc32.Castagnoli))} }

func (c crc32cHash) Sum(b []byte) []byte {
	s := c.Sum32()
	return append(b, byte(s), byte(s>>8), byte(s>>16), byte(s>>24))
}
