package admin

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"gcrm/replication/drbdconf"
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/peerlink"
	"gcrm/replication/volume"
)

// Resource is a resource as this node sees it.
type Resource struct {
	Conf    *drbdconf.Config
	Res     *drbdconf.Resource
	Local   *drbdconf.Host
	Peer    *drbdconf.Host
	Net     drbdconf.Net
	Volumes []*Volume
	Ignored []string // options without effect here
}

// Volume is one volume of a resource as this node sees it.
type Volume struct {
	Resource *Resource
	Conf     *drbdconf.Volume
	Disk     drbdconf.Disk
}

// Number is that of the configuration and of the wire.
func (v *Volume) Number() int { return v.Conf.Number }

// Name is how the volume is called where several resources meet: RES, or RES/NUMBER in a
// resource with several volumes.
func (v *Volume) Name() string {
	if len(v.Resource.Volumes) == 1 {
		return v.Resource.Res.Name
	}
	return fmt.Sprintf("%s/%d", v.Resource.Res.Name, v.Number())
}

// Volume finds a volume by its number, nil if there is none.
func (r *Resource) Volume(number int) *Volume {
	if i := slices.IndexFunc(r.Volumes, func(v *Volume) bool { return v.Number() == number }); i >= 0 {
		return r.Volumes[i]
	}
	return nil
}

// ThisNode is the node's name and addresses. name overrides the host's.
func ThisNode(name string) (drbdconf.Node, error) {
	n := drbdconf.Node{Name: cmp.Or(name, os.Getenv("__DRBD_NODE__"))}
	if n.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return n, err
		}
		n.Name = host
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return n, err
	}
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(p.IP); ok {
				n.Addresses = append(n.Addresses, ip.Unmap())
			}
		}
	}
	return n, nil
}

// LoadConfig loads the given file, or the first of the usual ones.
func LoadConfig(path string) (*drbdconf.Config, error) {
	files := drbdconf.DefaultFiles()
	if path != "" {
		files = []string{path}
	}
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			return drbdconf.Load(drbdconf.OS(), f)
		}
	}
	return nil, fmt.Errorf("no configuration: none of %v exists", files)
}

// Find looks a resource up for a node.
func Find(c *drbdconf.Config, name string, node drbdconf.Node) (*Resource, error) {
	r := &Resource{Conf: c, Res: c.Resource(name)}
	if r.Res == nil {
		return nil, fmt.Errorf("resource %s is not in %s", name, c.Path)
	}
	if r.Local = r.Res.Local(node); r.Local == nil {
		return nil, fmt.Errorf("resource %s is not for this node: no section \"on %s\" in %s", name, node.Name, c.Path)
	}
	peers := r.Res.Peers(r.Local)
	if len(peers) != 1 {
		return nil, fmt.Errorf("resource %s has %d other nodes; exactly one is possible", name, len(peers))
	}
	r.Peer = peers[0]
	if r.Local.Proxy != nil || r.Peer.Proxy != nil {
		return nil, fmt.Errorf("resource %s uses DRBD Proxy, which the native core cannot do", name)
	}
	for _, a := range []drbdconf.Address{r.Local.Address, r.Peer.Address} {
		if a.Family != "ipv4" && a.Family != "ipv6" {
			return nil, fmt.Errorf("resource %s: address family %s is not possible without the kernel", name, a.Family)
		}
	}
	r.Net = c.Net(r.Res, r.Local)
	for _, v := range r.Local.Volumes {
		if r.Stacked() {
			var err error
			if v, err = onTopOf(c, r.Local.Lower, v, node); err != nil {
				return nil, fmt.Errorf("resource %s: %w", name, err)
			}
		}
		r.Volumes = append(r.Volumes, &Volume{Resource: r, Conf: v, Disk: c.Disk(r.Res, v)})
	}
	r.Ignored = r.withoutEffect()
	return r, nil
}

// Stacked tells whether the resource lies on the device of another one of this node. It
// runs where that one is Primary, with a block device.
func (r *Resource) Stacked() bool { return r.Local.Kind == drbdconf.StackedHost }

// onTopOf is a volume whose disk is the device that the resource below has on this node.
func onTopOf(c *drbdconf.Config, lower string, v *drbdconf.Volume, node drbdconf.Node) (*drbdconf.Volume, error) {
	below, err := Find(c, lower, node)
	if err != nil {
		return nil, err
	}
	disk := below.Volume(v.Number)
	if disk == nil {
		return nil, fmt.Errorf("resource %s below has no volume %d", lower, v.Number)
	}
	own := *v
	own.Disk = disk.Device()
	return &own, nil
}

// withoutEffect names the options that are set and do nothing here.
func (r *Resource) withoutEffect() []string {
	var out []string
	say := func(is bool, text string) {
		if is {
			out = append(out, text)
		}
	}
	n := r.Net
	for _, v := range r.Volumes {
		d, at := v.Disk, ""
		if len(r.Volumes) > 1 {
			at = fmt.Sprintf("volume %d: ", v.Number())
		}
		say(!d.Drain && d.Flushes, at+"disk-drain no: the end of an epoch waits for its writes all the same")
		say(d.ReadBalancing == "when-congested-remote", at+"read-balancing when-congested-remote: reads are local")
		say(d.RSDiscardGranularity != 0 && discardGranularity(d.RSDiscardGranularity) == 0,
			at+"rs-discard-granularity: has to be a multiple of 4096 up to 1M; a resync sends zeroes as data")
		say(d.MaxBioBvecs != 0, at+"max-bio-bvecs: about the kernel's requests")
	}
	say(n.OnCongestion != "block" && n.CongestionFill == 0 && n.CongestionExtents == 0, "on-congestion without congestion-fill and congestion-extents")
	return out
}

// Minor is the minor number of the device, -1 without one.
func (v *Volume) Minor() int {
	if v.Conf.HasMinor {
		return v.Conf.Minor
	}
	return -1
}

// nodes are the device nodes that the configuration gives the volume.
func (v *Volume) nodes() []string {
	switch {
	case v.Conf.Device != "":
		return []string{v.Conf.Device}
	case v.Minor() >= 0:
		return []string{fmt.Sprintf("/dev/drbd%d", v.Minor())}
	}
	return nil
}

// Device is the device node of the configuration.
func (v *Volume) Device() string { return append(v.nodes(), "")[0] }

// Placement says where the metadata lies.
func (v *Volume) Placement() (path string, p metadata.Placement) {
	switch v.Conf.MetaIndex {
	case drbdconf.MetaInternal:
		return v.Conf.Disk, metadata.Internal
	case drbdconf.MetaFlexible:
		return v.Conf.MetaDisk, metadata.Flexible
	}
	return v.Conf.MetaDisk, metadata.Placement(v.Conf.MetaIndex)
}

func readBalancing(word string) engine.ReadBalancing {
	words := []string{"prefer-local", "prefer-remote", "round-robin", "least-pending", "when-congested-remote",
		"32K-striping", "64K-striping", "128K-striping", "256K-striping", "512K-striping", "1M-striping"}
	return engine.ReadBalancing(max(0, slices.Index(words, word)))
}

// discardGranularity is the area of a thin resync in bytes, 0 if it is not possible.
func discardGranularity(n int) uint32 {
	if n%metadata.BlockSize != 0 || n > 1<<20 {
		return 0
	}
	return uint32(n)
}

// random is unpredictable, as identifiers and challenges must be.
func random() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// Settings are what the volumes are run with.
func (r *Resource) Settings() ([]volume.Settings, error) {
	var out []volume.Settings
	for _, v := range r.Volumes {
		s, err := v.settings()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name(), err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (v *Volume) settings() (volume.Settings, error) {
	r, d := v.Resource, v.Disk
	n := r.Net
	if n.AllowTwoPrimaries && n.Protocol != drbdconf.ProtocolC {
		return volume.Settings{}, errors.New("allow-two-primaries needs protocol C")
	}
	if d.Fencing == drbdconf.FencingStonith && n.Protocol == drbdconf.ProtocolA {
		return volume.Settings{}, errors.New("fencing resource-and-stonith excludes protocol A")
	}
	if n.OnCongestion != "block" && n.Protocol != drbdconf.ProtocolA {
		return volume.Settings{}, fmt.Errorf("on-congestion %s needs protocol A", n.OnCongestion)
	}
	known := []string{"", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "crc32c"}
	for option, alg := range map[string]string{"cram-hmac-alg": n.CramHMACAlg, "verify-alg": n.VerifyAlg, "csums-alg": n.CsumsAlg, "data-integrity-alg": n.DataIntegrityAlg} {
		if !slices.Contains(known, alg) {
			return volume.Settings{}, fmt.Errorf("%s %s: unknown algorithm; possible are %v", option, alg, known[1:])
		}
	}
	local := netip.AddrPortFrom(r.Local.Address.IP, uint16(r.Local.Address.Port))
	peer := netip.AddrPortFrom(r.Peer.Address.IP, uint16(r.Peer.Address.Port))
	metaPath, placement := v.Placement()
	s := volume.Settings{
		Resource: r.Res.Name,
		Engine: engine.Config{
			Volume: uint16(v.Number()), Protocol: uint32(n.Protocol),
			AfterSB:    [3]uint32{uint32(n.AfterSB0), uint32(n.AfterSB1), uint32(n.AfterSB2)},
			RRConflict: uint32(n.RRConflict), AlwaysASBP: n.AlwaysASBP, TwoPrimaries: n.AllowTwoPrimaries,
			Fencing:       map[drbdconf.Fencing]engine.FencingPolicy{drbdconf.FencingResource: engine.FencingResourceOnly, drbdconf.FencingStonith: engine.FencingStonith}[d.Fencing],
			OnIOError:     map[drbdconf.IOErrorPolicy]engine.IOErrorPolicy{drbdconf.PassOn: engine.IOErrorPassOn, drbdconf.CallLocalIOError: engine.IOErrorCall}[d.OnIOError],
			SuspendNoData: r.Conf.ResourceOptions(r.Res, r.Local).SuspendIfInaccessible,
			CramHMACAlg:   n.CramHMACAlg, SharedSecret: n.SharedSecret, VerifyAlg: n.VerifyAlg, CsumsAlg: n.CsumsAlg, IntegrityAlg: n.DataIntegrityAlg,
			CsumsAfterCrashOnly: n.CsumsAfterCrashOnly, ReadBalancing: readBalancing(d.ReadBalancing),
			UserSize: d.Size, ALExtents: d.ALExtents, NoALUpdates: !d.ALUpdates, MaxEpochSize: n.MaxEpochSize, MaxBuffers: n.MaxBuffers,
			UseRLE: n.UseRLE, NoFlushes: !d.Flushes, Timeout: n.Timeout, PingInterval: n.PingInterval, PingTimeout: n.PingTimeout, KOCount: n.KOCount,
			ResyncRate: d.ResyncRate, PlanAhead: d.PlanAhead, DelayTarget: d.DelayTarget, FillTarget: d.FillTarget, MaxRate: d.MaxRate, MinRate: d.MinRate,
			DiskTimeout:        d.DiskTimeout,
			DiscardGranularity: discardGranularity(d.RSDiscardGranularity),
			OnCongestion:       map[string]engine.CongestionPolicy{"pull-ahead": engine.CongestionPullAhead, "disconnect": engine.CongestionDisconnect}[n.OnCongestion],
			CongestionFill:     uint64(n.CongestionFill), CongestionExtents: n.CongestionExtents,
			BeforeTarget: r.Conf.Handler(r.Res, "before-resync-target") != "", BeforeSource: r.Conf.Handler(r.Res, "before-resync-source") != "",
			Rand: random,
		},
		Disk: volume.DiskSettings{Path: v.Conf.Disk, MetaPath: metaPath, Placement: placement, NoFlush: !d.Flushes, NoMetaFlush: !d.MDFlushes},
		Link: peerlink.Dialer{Local: local, Peer: peer, Interval: n.ConnectInterval, PingTimeout: n.PingTimeout, Check: n.SocketCheckTimeout,
			SendBuffer: n.SendBuffer, ReceiveBuffer: n.ReceiveBuffer},
	}
	return s, nil
}
