package transport

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ProtocolVersion is the version of hello and frames that this build speaks.
// A node accepts peers of the version before and after its own.
const ProtocolVersion = 1

const maxHello = 4 << 10

// Purpose says what a connection is for.
type Purpose string

const (
	purposeRaft Purpose = "raft"
	purposeRPC  Purpose = "rpc"
	purposeJoin Purpose = "join"
)

// Hello is what both ends of a connection say of themselves first.
type Hello struct {
	Version int
	Cluster string
	Node    string
	// ID is the peer's, from its certificate; empty in certificates of builds
	// that did not write it.
	ID          string `json:"-"`
	Incarnation uint64
	Epoch       uint64
	Purpose     Purpose
	// Build is the version of gcrm, for people.
	Build string `json:",omitempty"`
	// Refusal is set in an answer that ends the connection.
	Refusal *Refusal `json:",omitempty"`
}

// Refusal is why a node did not accept a connection.
type Refusal struct {
	Code string // one of the Refused constants
	Text string // for administrators
	// Epoch of the refusing node, if that is the reason.
	Epoch uint64 `json:",omitempty"`
}

// Reasons for a refusal.
const (
	RefusedVersion  = "version"
	RefusedCluster  = "cluster"
	RefusedEpoch    = "epoch"
	RefusedExpelled = "expelled"
	RefusedRemoved  = "removed"
)

func (r *Refusal) Error() string { return r.Text }

// ErrStranger is the error for a peer whose certificate does not fit what it
// says.
var ErrStranger = errors.New("the peer is not who it says it is")

func writeHello(w io.Writer, h Hello) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(body) > maxHello {
		return fmt.Errorf("hello of %d bytes is too long", len(body))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...))
	return err
}

func readHello(r io.Reader) (Hello, error) {
	var h Hello
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return h, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n > maxHello {
		return h, fmt.Errorf("hello of %d bytes is too long", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, err
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, fmt.Errorf("unreadable hello: %w", err)
	}
	return h, nil
}

// adjacent reports whether a protocol version is one that this build can speak
// to: its own, and those before and after.
func adjacent(version int) bool {
	return version >= 1 && version >= ProtocolVersion-1 && version <= ProtocolVersion+1
}

// judge decides whether a peer that said h may go on.
func (t *Transport) judge(h Hello) *Refusal {
	own := t.self("")
	switch {
	case !adjacent(h.Version):
		return &Refusal{Code: RefusedVersion, Text: fmt.Sprintf(
			"node %s (gcrm %s) speaks protocol version %d, node %s (gcrm %s) speaks %d; update the older one", h.Node, h.Build, h.Version, own.Node, own.Build, own.Version)}
	case h.Cluster != own.Cluster:
		return &Refusal{Code: RefusedCluster, Text: fmt.Sprintf(
			"node %s belongs to cluster %q, node %s to %q", h.Node, h.Cluster, own.Node, own.Cluster)}
	case h.Epoch < own.Epoch:
		return &Refusal{Code: RefusedEpoch, Epoch: own.Epoch, Text: fmt.Sprintf(
			"node %s is of electorate epoch %d, node %s of %d: the cluster went on without it and it has to join again",
			h.Node, h.Epoch, own.Node, own.Epoch)}
	}
	if t.cfg.Judge != nil {
		if r := t.cfg.Judge(h); r != nil {
			return r
		}
	}
	if t.cfg.Met != nil {
		t.cfg.Met(h)
	}
	return nil
}

// certifiedID is the node's id in the certificate that the peer has shown.
func certifiedID(conn *tls.Conn) string {
	return conn.ConnectionState().PeerCertificates[0].Subject.SerialNumber
}

// sayHello runs the client's half of the handshake.
func (t *Transport) sayHello(conn *tls.Conn, peer string, purpose Purpose) (Hello, error) {
	if err := writeHello(conn, t.self(purpose)); err != nil {
		return Hello{}, err
	}
	h, err := readHello(conn)
	if err != nil {
		return h, err
	}
	if h.Refusal != nil {
		if h.Refusal.Code == RefusedEpoch {
			t.sawEpoch(peer, h.Refusal.Epoch)
		} else if t.cfg.Refused != nil {
			go t.cfg.Refused(peer, h.Refusal)
		}
		return h, h.Refusal
	}
	if h.Node != peer {
		return h, fmt.Errorf("%w: asked for %s, reached %q", ErrStranger, peer, h.Node)
	}
	if h.Epoch > t.self("").Epoch {
		t.sawEpoch(peer, h.Epoch)
		return h, &Refusal{Code: RefusedEpoch, Epoch: h.Epoch, Text: fmt.Sprintf("node %s is of a newer electorate epoch (%d)", peer, h.Epoch)}
	}
	h.ID = certifiedID(conn)
	if r := t.judge(h); r != nil {
		return h, r
	}
	return h, nil
}

// hearHello runs the server's half; certified is the name in the peer's
// certificate.
func (t *Transport) hearHello(conn *tls.Conn, certified string) (Hello, error) {
	h, err := readHello(conn)
	if err != nil {
		return h, err
	}
	if h.Node != certified {
		return h, fmt.Errorf("%w: certificate of %q, hello of %q", ErrStranger, certified, h.Node)
	}
	h.ID = certifiedID(conn)
	own := t.self(h.Purpose)
	if r := t.judge(h); r != nil {
		own.Refusal = r
		return h, errors.Join(r, writeHello(conn, own))
	}
	if h.Epoch > own.Epoch {
		t.sawEpoch(h.Node, h.Epoch)
		return h, errors.Join(fmt.Errorf("node %s is of a newer electorate epoch (%d)", h.Node, h.Epoch), writeHello(conn, own))
	}
	return h, writeHello(conn, own)
}

func (t *Transport) sawEpoch(peer string, epoch uint64) {
	if t.cfg.NewerEpoch != nil && epoch > t.epoch.Load() {
		go t.cfg.NewerEpoch(peer, epoch)
	}
}
