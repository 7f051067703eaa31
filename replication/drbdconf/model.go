package drbdconf

import (
	"net/netip"
	"slices"

	"github.com/alecthomas/participle/v2/lexer"
)

// Config is a loaded configuration: every file and include taken together.
type Config struct {
	Path      string // the file that was loaded
	Global    Global
	Common    *Common     // nil when no common section was written
	Resources []*Resource // in the order of the text
	Warnings  []*Error    // old spellings, things drbdadm ignores
}

// Global holds the options of drbdadm itself.
type Global struct {
	Pos                   lexer.Position
	Written               bool
	DisableIPVerification bool
	UdevAlwaysUseVNR      bool
	MinorCount            int // 0 when not written
	DialogRefresh         int // seconds between redraws of the wait dialog
	UsageCount            string
	CmdTimeoutShort       int // seconds
	CmdTimeoutMedium      int
	CmdTimeoutLong        int
}

// Sections are the option sections that common, resources and hosts have.
type Sections struct {
	Options, Net, Disk, Startup, Proxy, Handlers Options
	// ProxyPlugin are the lines of proxy's plugin section, nil when there is none.
	ProxyPlugin []string
}

// Common holds defaults for all resources.
type Common struct {
	Pos lexer.Position
	Sections
}

// Resource is one replicated set of volumes.
type Resource struct {
	Name string
	Pos  lexer.Position // of the statement; dump prints file and line
	Sections
	Volumes  []*Volume // written in the resource itself, inherited by the hosts
	Hosts    []*Host
	IgnoreOn []string
}

// HostKind tells how a host section names its node.
type HostKind int

const (
	// NamedHost is `on NAME`.
	NamedHost HostKind = iota
	// FloatingHost is `floating ADDRESS`: the node that has the address.
	FloatingHost
	// StackedHost is `stacked-on-top-of RESOURCE`: any node of that resource that is Primary.
	StackedHost
)

// Host is one side of a resource.
type Host struct {
	Kind    HostKind
	Pos     lexer.Position
	Names   []string // node names; for a stacked host those of the lower resource
	Lower   string   // resource below, for a stacked host
	Address Address
	// AlternateLink is a second path that is accepted and printed; nil if not written.
	AlternateLink *Address
	Options       Options
	Volumes       []*Volume // complete: inherited and own values, ascending numbers
	Proxy         *ProxyHost
}

// ProxyHost is the proxy section of a host.
type ProxyHost struct {
	Pos             lexer.Position
	Names           []string
	Inside, Outside Address
	Options         Options
	Plugin          []string
}

// Volume is one device of a resource on one host.
type Volume struct {
	Number    int
	Implicit  bool // statements directly in the host or resource: volume 0
	Pos       lexer.Position
	Device    string // device node; empty when only a minor is given
	Minor     int
	HasMinor  bool
	Disk      string // backing device
	MetaDisk  string // "internal" or a device
	MetaIndex MetaIndex
	// DiskOptions are those of the volume itself, on top of the resource's.
	DiskOptions Options
	// inherited are disk options of the volume statement in the resource; dump does
	// not show them in the hosts, but they apply.
	inherited Options
}

// MetaIndex says where in the metadata device the metadata lies: MetaInternal,
// MetaFlexible, or the number of a fixed slot of 128 MiB.
type MetaIndex int

const (
	MetaFlexible MetaIndex = -2
	MetaInternal MetaIndex = -3
)

// Address is where a host listens.
type Address struct {
	Family string // ipv4, ipv6, ssocks, sdp
	Host   string // as written, IPv6 without brackets
	IP     netip.Addr
	Port   int
	Pos    lexer.Position
}

// Resource finds a resource by name, nil if there is none.
func (c *Config) Resource(name string) *Resource {
	if i := slices.IndexFunc(c.Resources, func(r *Resource) bool { return r.Name == name }); i >= 0 {
		return c.Resources[i]
	}
	return nil
}

// Node is what distinguishes this machine: its name (uname -n) and addresses.
type Node struct {
	Name      string
	Addresses []netip.Addr
}

// Has tells whether the host section describes the node.
func (h *Host) Has(n Node) bool {
	if h.Kind == FloatingHost {
		return slices.Contains(n.Addresses, h.Address.IP.WithZone(""))
	}
	return slices.Contains(h.Names, n.Name)
}

// Local finds the section of the node. A nil result means that the resource is
// not for this node, which is not an error.
func (r *Resource) Local(n Node) *Host {
	if slices.Contains(r.IgnoreOn, n.Name) {
		return nil
	}
	if i := slices.IndexFunc(r.Hosts, func(h *Host) bool { return h.Has(n) }); i >= 0 {
		return r.Hosts[i]
	}
	return nil
}

// Peers are the sections other than local, in the order of the text.
func (r *Resource) Peers(local *Host) []*Host {
	var out []*Host
	for _, h := range r.Hosts {
		if h != local {
			out = append(out, h)
		}
	}
	return out
}

// Volume finds a volume of the host by number, nil if there is none.
func (h *Host) Volume(number int) *Volume {
	if i := slices.IndexFunc(h.Volumes, func(v *Volume) bool { return v.Number == number }); i >= 0 {
		return h.Volumes[i]
	}
	return nil
}
