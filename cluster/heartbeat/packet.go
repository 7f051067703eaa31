package heartbeat

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// packet is one heartbeat.
//
//	"gcHB", version (1), flags (1), link (1), 0, cluster (8, from its name),
//	incarnation (8), epoch (8), sequence (8), sent (8),
//	echo: incarnation (8), sent (8), held (8),
//	length and name of the sender, of the receiver, code (16)
//
// All numbers are big-endian; times are nanoseconds of the clock of whoever
// is named, since that node's machine was made.
type packet struct {
	from, to string
	link     uint8
	leaving  bool
	// level is the highest feature level of the sender's build; older ones
	// send 0.
	level       uint8
	incarnation uint64
	epoch       uint64
	seq         uint64
	sent        int64
	// echo is the last heartbeat that the sender got from the receiver over
	// this link: its incarnation, its sent, and for how long it was held.
	echoIncarnation uint64
	echoSent        int64
	echoHeld        int64
}

const (
	packetMagic   = "gcHB"
	packetVersion = 1
	packetFixed   = 4 + 4 + 8*8
	packetCode    = 16
	flagLeaving   = 1
	maxName       = 255
	// maxPacket is the longest possible datagram.
	maxPacket = packetFixed + 2*(1+maxName) + packetCode
)

var (
	errForeign   = errors.New("not a heartbeat of this cluster")
	errCode      = errors.New("heartbeat with a wrong code: another key, or a forgery")
	errMalformed = errors.New("malformed heartbeat")
)

func clusterTag(cluster string) uint64 {
	sum := sha256.Sum256([]byte("gcrm heartbeat " + cluster))
	return binary.BigEndian.Uint64(sum[:])
}

func code(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)[:packetCode]
}

func (p *packet) encode(tag uint64, key []byte) []byte {
	b := make([]byte, 0, packetFixed+2+len(p.from)+len(p.to)+packetCode)
	b = append(b, packetMagic...)
	var flags byte
	if p.leaving {
		flags |= flagLeaving
	}
	b = append(b, packetVersion, flags, p.link, p.level)
	for _, n := range []uint64{tag, p.incarnation, p.epoch, p.seq, uint64(p.sent), p.echoIncarnation, uint64(p.echoSent), uint64(p.echoHeld)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(append(b, byte(len(p.from))), p.from...)
	b = append(append(b, byte(len(p.to))), p.to...)
	return append(b, code(key, b)...)
}

// decode checks the code before it looks at anything but the cluster.
func decode(b []byte, tag uint64, keys [][]byte) (*packet, error) {
	if len(b) < packetFixed+2+packetCode || len(b) > maxPacket || string(b[:4]) != packetMagic {
		return nil, errForeign
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	if n(0) != tag {
		return nil, errForeign
	}
	body, mac := b[:len(b)-packetCode], b[len(b)-packetCode:]
	right := false
	for _, k := range keys {
		right = right || hmac.Equal(mac, code(k, body))
	}
	if !right {
		return nil, errCode
	}
	if b[4] != packetVersion {
		return nil, fmt.Errorf("heartbeat of protocol version %d; this node speaks %d", b[4], packetVersion)
	}
	p := &packet{leaving: b[5]&flagLeaving != 0, link: b[6], level: b[7], incarnation: n(1), epoch: n(2), seq: n(3), sent: int64(n(4)),
		echoIncarnation: n(5), echoSent: int64(n(6)), echoHeld: int64(n(7))}
	rest := body[packetFixed:]
	for _, name := range []*string{&p.from, &p.to} {
		if len(rest) < 1 || len(rest) < 1+int(rest[0]) {
			return nil, errMalformed
		}
		*name = string(rest[1 : 1+int(rest[0])])
		rest = rest[1+int(rest[0]):]
	}
	if len(rest) != 0 {
		return nil, errMalformed
	}
	return p, nil
}
