package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gcrm/cluster/consensus"
	"gcrm/cluster/heartbeat"
	"gcrm/cluster/node"
	"gcrm/cluster/transport"
	"gcrm/durable"
)

// DefaultStateDir is where a host's node keeps its state, DefaultRunDir what
// lives as long as the boot, DefaultPort the port of nodes (TCP and UDP).
const (
	DefaultStateDir = "/var/lib/gcrm"
	DefaultRunDir   = "/run/gcrm"
	DefaultPort     = 7488
)

const (
	settingsFile   = "node.json"
	settingsFormat = 1
	pkiDir         = "pki"
	keyFile        = "heartbeat.key"
)

// Settings are what a node knows of itself before it knows its cluster.
type Settings struct {
	Format  int
	Cluster string
	Name    string
	ID      string
	// Addresses are where the node listens and where others find it, with
	// port, one for each network.
	Addresses []string
	// First is set on the node that the cluster was made on.
	First bool `json:",omitempty"`
	// Seeds are the nodes that were there when this one joined.
	Seeds []node.Seed
	Epoch uint64 `json:",omitempty"`
	// Since is where the cluster's log was then.
	Since consensus.Place `json:",omitzero"`
	// Past is the highest incarnation that any node had then.
	Past uint64 `json:",omitempty"`
	// DetectionMilliseconds is how long a crash may go unnoticed,
	// FencingMilliseconds how long a fencing may take (a minute if 0).
	DetectionMilliseconds int64
	FencingMilliseconds   int64 `json:",omitempty"`
	Witness               bool  `json:",omitempty"`
}

// InitOptions say what cluster to make.
type InitOptions struct {
	StateDir string // DefaultStateDir if empty
	Cluster  string
	Node     string // the host's name if empty
	// Address with or without a port, several for several networks
	// (separated by commas); the host's first address if empty.
	Address string
	// Preset names one of heartbeat.Presets, the first one if it is empty;
	// Detection and Fencing go before it.
	Preset             string
	Detection, Fencing time.Duration
}

// Init makes a new cluster of one node in a state folder that has none.
func Init(o InitOptions) (*Settings, error) {
	s, dir, err := settle(o.StateDir, o.Node, o.Address)
	if err != nil {
		return nil, err
	}
	if o.Cluster == "" {
		return nil, errors.New("the cluster needs a name: cluster init --name NAME")
	}
	preset := heartbeat.Presets()[0]
	if o.Preset != "" {
		if preset, err = heartbeat.PresetNamed(o.Preset); err != nil {
			return nil, err
		}
	}
	timing, err := heartbeat.Derive(cmp.Or(o.Detection, preset.Detection), cmp.Or(o.Fencing, preset.Fencing))
	if err != nil {
		return nil, err
	}
	s.Cluster, s.ID, s.First = o.Cluster, "1", true
	s.DetectionMilliseconds, s.FencingMilliseconds = timing.Detection.Milliseconds(), timing.Fencing.Milliseconds()
	s.Seeds = []node.Seed{{Name: s.Name, ID: s.ID, Addresses: s.Addresses}}
	if _, err := (&node.Keystore{Dir: filepath.Join(dir, pkiDir), Cluster: s.Cluster, Node: s.Name, ID: s.ID}).Load(time.Now()); err != nil {
		return nil, err
	}
	return s, s.save(dir)
}

// JoinOptions say which cluster to join.
type JoinOptions struct {
	StateDir, Node, Address string // as in InitOptions
	// Contact is the address of a node of the cluster, with or without port.
	Contact string
	Token   string
	Witness bool
	// Build names the version of gcrm, Level is what it knows, as in Options.
	Build string
	Level int
	// Tell, if set, is called with what is not quite right.
	Tell func(string)
}

// Join makes this host a node of an existing cluster; its daemon has to be
// started afterwards.
func Join(ctx context.Context, o JoinOptions) (*Settings, error) {
	s, dir, err := settle(o.StateDir, o.Node, o.Address)
	if err != nil {
		return nil, err
	}
	token, err := node.ParseToken(o.Token)
	if err != nil {
		return nil, err
	}
	contact, err := withPort(o.Contact)
	if err != nil {
		return nil, err
	}
	if err := portsAreFree(s.Addresses); err != nil {
		return nil, err
	}
	key, public, err := transport.NewKey()
	if err != nil {
		return nil, err
	}
	request := node.JoinRequest{Secret: token.Secret, Name: s.Name, Addresses: s.Addresses, Witness: o.Witness, Key: public,
		Time: time.Now(), Build: o.Build, Level: cmp.Or(o.Level, consensus.FeatureLevel)}
	if err := o.probe(ctx, contact, token.Fingerprint, request); err != nil {
		return nil, fmt.Errorf("joining through %s: %w", contact, err)
	}
	request.Time = time.Now()
	raw, err := transport.Join(ctx, contact, token.Fingerprint, s.Name, request)
	if err != nil {
		return nil, fmt.Errorf("joining through %s: %w", contact, err)
	}
	var a node.JoinAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("joining through %s: unreadable answer: %w", contact, err)
	}
	pki := filepath.Join(dir, pkiDir)
	if err := transport.Adopt(pki, a.AuthorityCert, a.AuthorityKey, a.Certificate, key); err != nil {
		return nil, err
	}
	if err := node.StoreKey(filepath.Join(pki, keyFile), a.HeartbeatKey); err != nil {
		return nil, err
	}
	s.Cluster, s.ID, s.Epoch, s.Since, s.Past, s.Witness = a.Cluster, a.ID, a.Epoch, a.Since, a.Past, o.Witness
	s.DetectionMilliseconds, s.FencingMilliseconds = a.DetectionInMilliseconds, a.FencingInMilliseconds
	for _, m := range a.Members {
		s.Seeds = append(s.Seeds, seedOf(m))
	}
	return s, s.save(dir)
}

func seedOf(m consensus.Member) node.Seed {
	return node.Seed{Name: m.Name, ID: m.ID, Addresses: m.Addresses, Witness: m.Witness}
}

// settle checks what init and join have in common.
func settle(dir, name, address string) (*Settings, string, error) {
	if dir == "" {
		dir = DefaultStateDir
	}
	if _, err := os.Stat(filepath.Join(dir, settingsFile)); err == nil {
		return nil, "", fmt.Errorf("%s holds a node already; remove the node from its cluster and the folder from this host first", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	s, err := describe(name, address)
	return s, dir, err
}

// describe says what the node of this host is to be.
func describe(name, address string) (*Settings, error) {
	if name == "" {
		h, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		name, _, _ = strings.Cut(h, ".")
	}
	if err := node.ValidName(name); err != nil {
		return nil, err
	}
	if address == "" {
		a, err := ownAddress()
		if err != nil {
			return nil, err
		}
		address = a
	}
	s := &Settings{Format: settingsFormat, Name: name}
	for a := range strings.SplitSeq(address, ",") {
		full, err := withPort(strings.TrimSpace(a))
		if err != nil {
			return nil, err
		}
		s.Addresses = append(s.Addresses, full)
	}
	if len(s.Addresses) > maxLinks {
		return nil, fmt.Errorf("a node has at most %d addresses", maxLinks)
	}
	return s, nil
}

// ownAddress is the first global address of the host.
func ownAddress() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr().String(), nil
		}
	}
	return "", errors.New("this host has no address that others could reach; give one with --address")
}

// withPort completes and resolves an address.
func withPort(a string) (string, error) {
	if p, err := netip.ParseAddrPort(a); err == nil {
		return p.String(), nil
	}
	if ip, err := netip.ParseAddr(a); err == nil {
		return netip.AddrPortFrom(ip, DefaultPort).String(), nil
	}
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		host, port = a, strconv.Itoa(DefaultPort)
	}
	u, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", fmt.Errorf("address %q: %w", a, err)
	}
	return u.AddrPort().String(), nil
}

// portsAreFree tells early what would keep the daemon from starting.
func portsAreFree(addresses []string) error {
	l, links, err := listen(addresses)
	if err != nil {
		return err
	}
	err = l.Close()
	for _, u := range links {
		err = errors.Join(err, u.Close())
	}
	return err
}

// maxLinks is how many networks a node can have.
const maxLinks = 8

func listen(addresses []string) (net.Listener, []heartbeat.PacketConn, error) {
	var tcp []net.Listener
	var udp []heartbeat.PacketConn
	for _, a := range addresses {
		l, u, err := listenOn(a)
		if err != nil {
			for i := range tcp {
				tcp[i].Close()
				udp[i].Close()
			}
			return nil, nil, err
		}
		tcp, udp = append(tcp, l), append(udp, u)
	}
	return transport.Merge(tcp...), udp, nil
}

func listenOn(address string) (net.Listener, *net.UDPConn, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("TCP port of the node: %w; choose another with --address ADDR:PORT, or end what uses it", err)
	}
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	u, err := net.ListenUDP("udp", a)
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("UDP port of the node: %w; choose another with --address ADDR:PORT, or end what uses it", err)
	}
	return l, u, nil
}

func (s *Settings) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(dir, settingsFile), append(b, '\n'), 0o644)
}

// Load reads the settings of a state folder.
func Load(dir string) (*Settings, error) {
	path := filepath.Join(dir, settingsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no node; make a cluster with 'gcrm cluster init --name NAME', or join one with 'gcrm cluster join ADDRESS --token TOKEN'", dir)
	}
	if err != nil {
		return nil, err
	}
	s := &Settings{}
	if err := json.Unmarshal(b, s); err != nil || s.Format != settingsFormat || s.Name == "" || s.Cluster == "" {
		return nil, fmt.Errorf("%s is damaged or of another version of gcrm", path)
	}
	return s, nil
}
