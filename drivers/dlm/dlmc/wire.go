// Package dlmc answers the programs that ask dlm_controld, the control daemon
// of another cluster stack, how the lock manager does: dlm_tool, and the agents
// and daemons that call it or use its library.
package dlmc

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"syscall"

	"gcrm/drivers/dlm"
	"gcrm/drivers/dlm/lockspace"
)

const (
	magic   = 0xD13CD13C
	version = 0x00010001

	headerSize = 96
	nameSize   = 64
)

// Commands of a request.
const (
	cmdDumpDebug      = 1
	cmdDumpPlocks     = 2
	cmdLockspaceInfo  = 3
	cmdNodeInfo       = 4
	cmdLockspaces     = 5
	cmdLockspaceNodes = 6
	cmdDumpStatus     = 13
	cmdDumpConfig     = 14
)

// Options of cmdLockspaceNodes.
const (
	nodesAll = 1 + iota
	nodesMembers
	nodesNext
)

// header begins every request and answer.
type header struct {
	Command, Option uint32
	Length          uint32 // of header and what follows
	Data, Flags     int32
	Name            string
}

func readHeader(r io.Reader) (header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, err
	}
	n := binary.NativeEndian
	if n.Uint32(b[0:]) != magic || n.Uint32(b[4:])>>16 != version>>16 {
		return header{}, fmt.Errorf("a request of another protocol (magic %x, version %x)", n.Uint32(b[0:]), n.Uint32(b[4:]))
	}
	name, _, _ := strings.Cut(string(b[32:]), "\x00")
	return header{Command: n.Uint32(b[8:]), Option: n.Uint32(b[12:]), Length: n.Uint32(b[16:]), Data: int32(n.Uint32(b[20:])), Flags: int32(n.Uint32(b[24:])), Name: name}, nil
}

// append adds the header of an answer with its body.
func (h header) append(b, body []byte) []byte {
	n := binary.NativeEndian
	for _, v := range []uint32{magic, version, h.Command, h.Option, uint32(headerSize + len(body)), uint32(h.Data), uint32(h.Flags), 0} {
		b = n.AppendUint32(b, v)
	}
	return append(append(b, padded(h.Name, nameSize)...), body...)
}

// room tells whether one more fits what was asked for; 0 asks for all.
func (h header) room(count int32) bool { return h.Data <= 0 || count < h.Data }

func padded(s string, size int) []byte {
	b := make([]byte, size)
	copy(b, s)
	return b
}

// What a change waits for.
const (
	waitNothing = 0
	waitQuorum  = 2
	waitFencing = 3
)

// Flags of a lockspace.
const (
	flagJoining = 1 << iota
	flagLeaving
	flagStopped
)

// Flags of a node.
const (
	nodeMember    = 1
	nodeStart     = 2
	nodeNeedFence = 16
)

// lockspaceSize is that of a lockspace in an answer, nodeSize that of a node.
const (
	lockspaceSize = 140
	nodeSize      = 40
)

// change appends a change of the members.
func change(b []byte, members, lost int, condition, messages int32, generation uint64) []byte {
	n := binary.NativeEndian
	for _, v := range []int32{int32(members), 0, 0, int32(lost), condition, messages} {
		b = n.AppendUint32(b, uint32(v))
	}
	b = n.AppendUint32(b, uint32(generation))
	return n.AppendUint32(b, uint32(generation))
}

// appendLockspace writes a lockspace of this node. One that runs has its
// members as the previous change, one that does not as the next.
func appendLockspace(b []byte, s dlm.SpaceReport) []byte {
	var prev, next []byte
	var flags uint32
	if s.Joining {
		flags |= flagJoining
	}
	if s.Leaving {
		flags |= flagLeaving
	}
	if !s.Active {
		flags |= flagStopped
	}
	unstopped := int32(0)
	for _, m := range append(s.Members[:len(s.Members):len(s.Members)], s.Space.Leaving...) {
		if !m.Stopped {
			unstopped++
		}
	}
	if s.Running {
		prev = change(nil, len(s.Members), 0, waitNothing, 0, s.Generation)
		next = change(nil, 0, 0, 0, 0, 0)
	} else {
		prev = change(nil, 0, 0, 0, 0, 0)
		condition := unstopped
		switch {
		case len(s.Lost) > 0:
			condition = waitFencing
		case s.Waits != "" && unstopped == 0:
			condition = waitQuorum
		}
		next = change(nil, len(s.Members), len(s.Lost), condition, unstopped, s.Generation)
	}
	b = append(append(b, prev...), next...)
	n := binary.NativeEndian
	b = n.AppendUint32(b, flags)
	b = n.AppendUint32(b, s.ID)
	b = append(b, padded(s.Name, nameSize+1)...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// appendNode writes a node of a lockspace.
func appendNode(b []byte, node int, flags uint32, generation uint64) []byte {
	n := binary.NativeEndian
	for _, v := range []uint32{uint32(node), flags, uint32(generation), 0, 0, 0} {
		b = n.AppendUint32(b, v)
	}
	return append(b, make([]byte, 16)...)
}

// answer is the whole answer to a request.
func answer(h header, r dlm.Report, debug string) []byte {
	switch h.Command {
	case cmdLockspaces:
		var body []byte
		count := int32(0)
		for _, s := range r.Spaces {
			if s.Here && h.room(count) {
				body = appendLockspace(body, s)
				count++
			}
		}
		h.Data = count
		return h.append(nil, body)
	case cmdLockspaceInfo, cmdLockspaceNodes, cmdNodeInfo, cmdDumpPlocks:
		s, ok := find(r, h.Name)
		if !ok {
			h.Data = -int32(syscall.ENOENT)
			return h.append(nil, nil)
		}
		return about(h, s)
	case cmdDumpStatus:
		return states(r)
	case cmdDumpDebug:
		h.Data = int32(len(debug))
		return h.append(nil, []byte(debug))
	case cmdDumpConfig:
		text := "cluster_name=" + r.Cluster + "\nenable_fencing=1\nenable_quorum_lockspace=1\nenable_plock=1\n"
		h.Data = int32(len(text))
		return h.append(nil, []byte(text))
	}
	h.Data = -int32(syscall.EOPNOTSUPP)
	return h.append(nil, nil)
}

func find(r dlm.Report, name string) (dlm.SpaceReport, bool) {
	for _, s := range r.Spaces {
		if s.Name == name && s.Here {
			return s, true
		}
	}
	return dlm.SpaceReport{}, false
}

// about answers a request about one lockspace.
func about(h header, s dlm.SpaceReport) []byte {
	switch h.Command {
	case cmdLockspaceInfo:
		h.Data = 0
		return h.append(nil, appendLockspace(nil, s))
	case cmdDumpPlocks:
		text := plocks(s)
		h.Data = int32(len(text))
		return h.append(nil, []byte(text))
	case cmdNodeInfo:
		wanted := int(h.Data)
		for _, n := range nodes(s, nodesAll) {
			if n.node == wanted {
				h.Data = 0
				return h.append(nil, appendNode(nil, n.node, n.flags, s.Generation))
			}
		}
		h.Data = -int32(syscall.ENOENT)
		return h.append(nil, nil)
	}
	var body []byte
	count := int32(0)
	for _, n := range nodes(s, int(h.Option)) {
		if h.room(count) {
			body = appendNode(body, n.node, n.flags, s.Generation)
			count++
		}
	}
	h.Data = count
	return h.append(nil, body)
}

type flagged struct {
	node  int
	flags uint32
}

// nodes are those of a lockspace that an option asks for.
func nodes(s dlm.SpaceReport, option int) (out []flagged) {
	if option == nodesNext && s.Running || option == nodesMembers && !s.Running {
		return nil
	}
	add := func(list []lockspace.Member, flags uint32) {
		for _, m := range list {
			out = append(out, flagged{m.Node, flags})
		}
	}
	add(s.Members, nodeMember|nodeStart)
	if option == nodesAll {
		add(s.Space.Leaving, 0)
		add(s.Lost, nodeNeedFence)
	}
	return out
}

// plocks is the table of POSIX locks as dlm_tool shows it.
func plocks(s dlm.SpaceReport) string {
	var b strings.Builder
	kind := map[bool]string{true: "WR", false: "RD"}
	for _, f := range s.Files {
		for _, l := range f.Held {
			fmt.Fprintf(&b, "%d %s %d-%d nodeid %d pid %d owner %x rown 0\n", f.Number, kind[l.Exclusive], l.Start, l.End, l.Node, l.PID, l.Owner)
		}
		for _, l := range f.Waiting {
			fmt.Fprintf(&b, "%d %s %d-%d nodeid %d pid %d owner %x rown 0 WAITING\n", f.Number, kind[l.Exclusive], l.Start, l.End, l.Node, l.PID, l.Owner)
		}
	}
	return b.String()
}

// Kinds of a state record.
const (
	stateDaemon     = 1
	stateDaemonNode = 2
)

// states is the answer to cmdDumpStatus: records without a header.
func states(r dlm.Report) []byte {
	quorum, fencing := 0, 0
	if r.Quorate {
		quorum = 1
	}
	lost := map[int]bool{}
	for _, s := range r.Spaces {
		for _, m := range s.Lost {
			lost[m.Node] = true
			fencing = 1
		}
	}
	b := record(nil, stateDaemon, r.Self.Node, fmt.Sprintf(
		"member_count=%d joined_count=%d remove_count=0 failed_count=%d cluster_name=%s quorate=%d cluster_ringid=0 daemon_ringid=0 fence_pid=0 fence_in_progress_unknown=0 zombie_count=0 monotime=0 stateful_merge_wait=0 fencing_pending=%d",
		len(r.Nodes), len(r.Nodes), len(lost), r.Cluster, quorum, fencing))
	for _, n := range r.Nodes {
		b = record(b, stateDaemonNode, n.Node, "member=1 killed=0 left_reason=none need_fencing=0 delay_fencing=0 daemon_add_time=0 daemon_rem_time=0 fail_walltime=0 fail_monotime=0 fence_walltime=0")
	}
	for _, node := range r.Missing() {
		need := 0
		if lost[node] {
			need = 1
		}
		b = record(b, stateDaemonNode, node, fmt.Sprintf("member=0 killed=0 left_reason=failed need_fencing=%d delay_fencing=0 daemon_add_time=0 daemon_rem_time=0 fail_walltime=0 fail_monotime=0 fence_walltime=0", need))
	}
	return b
}

func record(b []byte, kind, node int, text string) []byte {
	n := binary.NativeEndian
	for _, v := range []uint32{uint32(kind), 0, uint32(node), 0, 0, uint32(len(text) + 1), 0} {
		b = n.AppendUint32(b, v)
	}
	return append(append(b, text...), 0)
}
