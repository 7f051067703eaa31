// Package kernel is the way to the kernel's distributed lock manager: its
// files in configfs and sysfs, its uevents and its devices. It decides
// nothing; drivers/dlm calls it.
//
// The order of writes is the kernel's demand, see fs/dlm/config.c and
// fs/dlm/lockspace.c.
package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gcrm/drivers/dlm/lockspace"
)

// Files are configfs and sysfs. Paths begin at the root of the host.
type Files interface {
	Mkdir(path string) error
	Rmdir(path string) error
	// Write writes all of data with one system call.
	Write(path string, data []byte) error
	Read(path string) (string, error)
	// List returns the names in a folder; a folder that is not there is
	// empty.
	List(path string) ([]string, error)
}

const (
	configRoot  = "/sys/kernel/config/dlm"
	clusterRoot = configRoot + "/cluster"
	commRoot    = clusterRoot + "/comms/"
	spaceRoot   = clusterRoot + "/spaces/"
	sysRoot     = "/sys/kernel/dlm"
)

// Kernel is the lock manager of this host.
type Kernel struct {
	files Files
	comms map[int]string // boot id of the node that an address was set for
}

// New returns the lock manager behind the files.
func New(files Files) *Kernel { return &Kernel{files: files, comms: map[int]string{}} }

// Settings are those of the whole lock manager.
type Settings struct {
	// Cluster is the name that lock tables of file systems begin with.
	Cluster string
	// SCTP takes the place of TCP, for nodes with several networks.
	SCTP bool
	Port int // 0 is the kernel's own, 21064
}

// Node is one node as the lock manager reaches it.
type Node struct {
	lockspace.Life
	Addresses []netip.Addr
	Local     bool
}

// ErrUncontrolled says that the kernel has lockspaces from before: their
// control was lost, and only a restart of the host gets it back.
var ErrUncontrolled = errors.New("the kernel has lockspaces without control")

// Lockspaces lists those the kernel has, or is asked for.
func (k *Kernel) Lockspaces() ([]string, error) { return k.files.List(sysRoot) }

// Prepare clears what an earlier control daemon left and sets the lock
// manager up. After it come the monitor device, the uevents, and the nodes.
func (k *Kernel) Prepare(s Settings) error {
	left, err := k.Lockspaces()
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s; this node has to be restarted", ErrUncontrolled, strings.Join(left, ", "))
	}
	if err := k.Clear(); err != nil {
		return err
	}
	if err := k.files.Mkdir(clusterRoot); err != nil {
		return fmt.Errorf("%w (is the module dlm loaded, and configfs mounted?)", err)
	}
	protocol := "0"
	if s.SCTP {
		protocol = "1"
	}
	values := [][2]string{{"cluster_name", s.Cluster}, {"recover_callbacks", "1"}, {"protocol", protocol}}
	if s.Port != 0 {
		values = append(values, [2]string{"tcp_port", strconv.Itoa(s.Port)})
	}
	for _, v := range values {
		if err := k.files.Write(clusterRoot+"/"+v[0], []byte(v[1])); err != nil {
			return err
		}
	}
	return nil
}

// Clear removes all configuration. The kernel refuses it while lockspaces run.
func (k *Kernel) Clear() error {
	spaces, err := k.files.List(spaceRoot)
	if err != nil {
		return err
	}
	for _, s := range spaces {
		if err := k.forget(s); err != nil {
			return err
		}
	}
	nodes, err := k.files.List(commRoot)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := k.files.Rmdir(commRoot + n); err != nil {
			return err
		}
	}
	clear(k.comms)
	if there, err := k.files.List(configRoot); err != nil || !slices.Contains(there, "cluster") {
		return err
	}
	return k.files.Rmdir(clusterRoot)
}

// SetNode tells the kernel of a node, or that it has been started again since.
// This node's own comes last of all: from then on lockspaces can be made.
func (k *Kernel) SetNode(n Node) error {
	if boot, ok := k.comms[n.Node]; ok {
		if boot == n.Boot {
			return nil
		}
		if err := k.RemoveNode(n.Node); err != nil {
			return err
		}
	}
	if len(n.Addresses) == 0 {
		return fmt.Errorf("node %d has no address for the lock manager", n.Node)
	}
	dir := commRoot + strconv.Itoa(n.Node)
	if err := k.files.Mkdir(dir); err != nil {
		return err
	}
	if err := k.files.Write(dir+"/nodeid", []byte(strconv.Itoa(n.Node))); err != nil {
		return err
	}
	for _, a := range n.Addresses[:min(len(n.Addresses), maxAddresses)] {
		if err := k.files.Write(dir+"/addr", sockaddr(a)); err != nil {
			return fmt.Errorf("address %s of node %d: %w", a, n.Node, err)
		}
	}
	if n.Local {
		if err := k.files.Write(dir+"/local", []byte("1")); err != nil {
			return err
		}
	}
	k.comms[n.Node] = n.Boot
	return nil
}

// Nodes are those that the kernel was told of, this one too.
func (k *Kernel) Nodes() []int { return slices.Sorted(maps.Keys(k.comms)) }

// maxAddresses is how many the kernel takes for a node.
const maxAddresses = 3

// RemoveNode lets the kernel forget a node and its connection.
func (k *Kernel) RemoveNode(node int) error {
	if _, ok := k.comms[node]; !ok {
		return nil
	}
	if err := k.files.Rmdir(commRoot + strconv.Itoa(node)); err != nil {
		return err
	}
	delete(k.comms, node)
	return nil
}

// sockaddr is struct sockaddr_storage of the host.
func sockaddr(a netip.Addr) []byte {
	b := make([]byte, 128)
	if a = a.Unmap(); a.Is4() {
		binary.NativeEndian.PutUint16(b, 2) // AF_INET
		ip := a.As4()
		copy(b[4:], ip[:])
		return b
	}
	binary.NativeEndian.PutUint16(b, 10) // AF_INET6
	ip := a.As16()
	copy(b[8:], ip[:])
	if zone, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		binary.NativeEndian.PutUint32(b[24:], uint32(zone))
	}
	return b
}

// Stop stops a lockspace; when it returns, no thread is inside it.
func (k *Kernel) Stop(space string) error {
	return k.files.Write(sysRoot+"/"+space+"/control", []byte("0"))
}

// Start gives a stopped lockspace its members and lets it recover, which goes
// on after the return; see Recovered. renewed are members that were started
// again since the last time; joining answers the kernel's wish to join.
func (k *Kernel) Start(space string, members []lockspace.Member, renewed []int, joining bool) error {
	sys := sysRoot + "/" + space
	if joining {
		if err := k.files.Write(sys+"/id", []byte(strconv.FormatUint(uint64(lockspace.ID(space)), 10))); err != nil {
			return err
		}
		if err := k.files.Mkdir(spaceRoot + space); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	dir := spaceRoot + space + "/nodes/"
	have, err := k.files.List(dir)
	if err != nil {
		return err
	}
	for _, name := range have {
		node, err := strconv.Atoi(name)
		if err == nil && !slices.Contains(renewed, node) && slices.ContainsFunc(members, func(m lockspace.Member) bool { return m.Node == node }) {
			continue
		}
		if err := k.files.Rmdir(dir + name); err != nil {
			return err
		}
	}
	for _, m := range members {
		name := strconv.Itoa(m.Node)
		if slices.Contains(have, name) && !slices.Contains(renewed, m.Node) {
			continue
		}
		if boot, ok := k.comms[m.Node]; !ok || boot != m.Boot {
			return fmt.Errorf("lockspace %s: the kernel does not know node %d in its present life", space, m.Node)
		}
		if err := k.files.Mkdir(dir + name); err != nil {
			return err
		}
		if err := k.files.Write(dir+name+"/nodeid", []byte(name)); err != nil {
			return err
		}
	}
	if err := k.files.Write(sys+"/control", []byte("1")); err != nil {
		return err
	}
	if joining {
		return k.files.Write(sys+"/event_done", []byte("0"))
	}
	return nil
}

// Recovered tells whether a started lockspace has recovered on this node; if
// not, waits is the node it waits for, 0 for none.
func (k *Kernel) Recovered(space string) (done bool, waits int, err error) {
	text, err := k.files.Read(sysRoot + "/" + space + "/recover_status")
	if err != nil {
		return false, 0, err
	}
	status, err := strconv.ParseUint(strings.TrimSpace(text), 16, 32)
	if err != nil {
		return false, 0, fmt.Errorf("recover_status of lockspace %s: %w", space, err)
	}
	const recovered = 0x40
	if status&recovered != 0 {
		return true, 0, nil
	}
	if text, err = k.files.Read(sysRoot + "/" + space + "/recover_nodeid"); err == nil {
		waits, _ = strconv.Atoi(strings.TrimSpace(text))
	}
	return false, max(waits, 0), nil
}

// Release lets the kernel's leave of a stopped lockspace succeed.
func (k *Kernel) Release(space string) error {
	if err := k.forget(space); err != nil {
		return err
	}
	return k.files.Write(sysRoot+"/"+space+"/event_done", []byte("0"))
}

// forget removes the configuration of a lockspace.
func (k *Kernel) forget(space string) error {
	there, err := k.files.List(spaceRoot)
	if err != nil || !slices.Contains(there, space) {
		return err
	}
	nodes, err := k.files.List(spaceRoot + space + "/nodes/")
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if err := k.files.Rmdir(spaceRoot + space + "/nodes/" + n); err != nil {
			return err
		}
	}
	return k.files.Rmdir(spaceRoot + space)
}
