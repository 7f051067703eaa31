// Package plock is the table of POSIX locks of a lockspace, the same on all
// its members. The kernel hands every fcntl lock of a cluster file system to
// the control daemon; [Table] decides them, and [Channel] brings them into
// one order for all nodes.
//
// Both are pure: drivers/dlm reads and writes the device and the network.
package plock

import (
	"encoding/binary"
	"fmt"
)

// RecordSize is the length of what the kernel reads and writes.
const RecordSize = 64

// Op is what a record asks for.
type Op uint8

const (
	Lock   Op = 1
	Unlock Op = 2
	Get    Op = 3
)

// Record is struct dlm_plock_info of the kernel's misc device dlm_plock,
// version 1.2.0.
type Record struct {
	Op        Op
	Exclusive bool
	// Wait is a request that waits for its turn (F_SETLKW).
	Wait bool
	// Close is the unlock of everything when a file is closed; it gets no
	// answer.
	Close  bool
	PID    uint32
	Node   int32
	Result int32 // 0, 1 for a holder found by Get, or a negative errno
	Space  uint32
	Number uint64 // inode
	Start  uint64
	End    uint64 // inclusive
	Owner  uint64
}

const (
	versionMajor = 1
	versionMinor = 2
	flagClose    = 1
)

// Parse reads a record as the kernel of this machine writes it.
func Parse(b []byte) (Record, error) {
	if len(b) != RecordSize {
		return Record{}, fmt.Errorf("lock record has %d bytes, not %d", len(b), RecordSize)
	}
	n := binary.NativeEndian
	if v := n.Uint32(b); v != versionMajor {
		return Record{}, fmt.Errorf("lock record of version %d, not %d", v, versionMajor)
	}
	r := Record{Op: Op(b[12]), Exclusive: b[13] != 0, Wait: b[14] != 0, Close: b[15]&flagClose != 0,
		PID: n.Uint32(b[16:]), Node: int32(n.Uint32(b[20:])), Result: int32(n.Uint32(b[24:])), Space: n.Uint32(b[28:]),
		Number: n.Uint64(b[32:]), Start: n.Uint64(b[40:]), End: n.Uint64(b[48:]), Owner: n.Uint64(b[56:])}
	if r.Op < Lock || r.Op > Get {
		return r, fmt.Errorf("lock record asks for unknown operation %d", r.Op)
	}
	if r.Start > r.End {
		return r, fmt.Errorf("lock record from %d to %d", r.Start, r.End)
	}
	return r, nil
}

// Append adds the record as the kernel of this machine reads it.
func (r Record) Append(b []byte) []byte {
	n := binary.NativeEndian
	for _, v := range []uint32{versionMajor, versionMinor, 0} {
		b = n.AppendUint32(b, v)
	}
	b = append(b, byte(r.Op), bit(r.Exclusive), bit(r.Wait), bit(r.Close)*flagClose)
	for _, v := range []uint32{r.PID, uint32(r.Node), uint32(r.Result), r.Space} {
		b = n.AppendUint32(b, v)
	}
	for _, v := range []uint64{r.Number, r.Start, r.End, r.Owner} {
		b = n.AppendUint64(b, v)
	}
	return b
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
