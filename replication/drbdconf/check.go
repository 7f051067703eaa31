package drbdconf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// check completes the model after the whole text is read: inheritance of volumes,
// stacking, references between resources, and what must be unique.
func (in *interpreter) check() {
	for _, r := range in.cfg.Resources {
		in.inheritVolumes(r)
	}
	for _, r := range in.cfg.Resources {
		for _, h := range r.Hosts {
			in.stack(r, h)
		}
	}
	used := uniqueness{in: in, used: map[string]use{}}
	for _, r := range in.cfg.Resources {
		for _, h := range r.Hosts {
			in.completeHost(r, h)
		}
		in.checkReferences(r)
		in.checkCombinations(r)
		used.resource(r)
	}
}

// inheritVolumes merges the volumes written in the resource into its hosts.
func (in *interpreter) inheritVolumes(r *Resource) {
	for _, h := range r.Hosts {
		if in.mixed(r, h) {
			return
		}
		if h.Kind == StackedHost {
			continue
		}
		for _, t := range r.Volumes {
			v := h.Volume(t.Number)
			if v == nil {
				c := *t
				c.DiskOptions, c.inherited = nil, t.DiskOptions
				h.Volumes = append(h.Volumes, &c)
				continue
			}
			v.inherited = t.DiskOptions
			if !v.HasMinor {
				v.Device, v.Minor, v.HasMinor = t.Device, t.Minor, t.HasMinor
			}
			v.Disk = cmp.Or(v.Disk, t.Disk)
			if v.MetaDisk == "" {
				v.MetaDisk, v.MetaIndex = t.MetaDisk, t.MetaIndex
			}
		}
		slices.SortStableFunc(h.Volumes, func(a, b *Volume) int { return cmp.Compare(a.Number, b.Number) })
	}
}

func (in *interpreter) mixed(r *Resource, h *Host) bool {
	all := slices.Concat(r.Volumes, h.Volumes)
	implicit := slices.IndexFunc(all, func(v *Volume) bool { return v.Implicit })
	explicit := slices.IndexFunc(all, func(v *Volume) bool { return !v.Implicit })
	if implicit < 0 || explicit < 0 {
		return false
	}
	in.p.errorf(all[implicit].Pos, 1, "put the statement into the volume section at "+where(all[explicit].Pos),
		"resource %s has volume sections and a volume without one", r.Name)
	return true
}

// stack fills what a stacked host takes from the resource below.
func (in *interpreter) stack(r *Resource, h *Host) {
	if h.Kind != StackedHost {
		return
	}
	lower := in.cfg.Resource(h.Lower)
	if lower == nil || lower == r {
		var names []string
		for _, other := range in.cfg.Resources {
			if other != r {
				names = append(names, other.Name)
			}
		}
		in.p.errorf(h.Pos, len("stacked-on-top-of"), didYouMean(h.Lower, names), "resource %s, below %s, is not defined", h.Lower, r.Name)
		return
	}
	for _, lh := range lower.Hosts {
		h.Names = append(h.Names, lh.Names...)
		if lh.Kind == StackedHost {
			in.p.errorf(h.Pos, 1, "", "resource %s is stacked itself, more than two levels are not possible", h.Lower)
		}
	}
	for _, v := range h.Volumes {
		if v.Disk != "" || v.MetaDisk != "" && v.MetaIndex != MetaInternal {
			in.p.errorf(v.Pos, 1, "the disk is the device of "+h.Lower+", its metadata is internal", "disk or meta-disk in a stacked host")
			continue
		}
		v.MetaDisk, v.MetaIndex = "internal", MetaInternal
		for _, lh := range lower.Hosts {
			if lv := lh.Volume(v.Number); lv != nil {
				v.Disk = lv.node()
				break
			}
		}
		if v.Disk == "" {
			in.p.errorf(v.Pos, 1, "", "resource %s below has no volume %d", h.Lower, v.Number)
		}
	}
}

// node is the device node, also of a volume that has only a minor number.
func (v *Volume) node() string {
	return cmp.Or(v.Device, fmt.Sprintf("/dev/drbd%d", v.Minor))
}

// completeHost finds what a host lacks.
func (in *interpreter) completeHost(r *Resource, h *Host) {
	in2 := func(missing string) {
		in.p.errorf(h.Pos, len(strings.Fields(h.title())[0]), "", "resource %s, %s: %s is missing", r.Name, h.title(), missing)
	}
	if h.Address.Port == 0 {
		in2("the address")
	}
	if len(h.Volumes) == 0 {
		in2("the volume (device, disk, meta-disk)")
	}
	for _, v := range h.Volumes {
		of := ""
		if !v.Implicit {
			of = fmt.Sprintf(" of volume %d", v.Number)
		}
		if !v.HasMinor {
			in2("the device" + of)
		}
		if v.Disk == "" && h.Kind != StackedHost {
			in2("the disk" + of)
		}
		if v.MetaDisk == "" {
			in2("the meta-disk" + of)
		}
	}
	if first := r.Hosts[0]; h != first && len(h.Volumes) > 0 {
		numbers := func(h *Host) string {
			var out []string
			for _, v := range h.Volumes {
				out = append(out, fmt.Sprint(v.Number))
			}
			return strings.Join(out, ", ")
		}
		if numbers(first) != numbers(h) {
			in.p.errorf(h.Pos, 1, "", "resource %s: %s has the volumes %s, %s has %s", r.Name, h.title(), numbers(h), first.title(), numbers(first))
		}
	}
}

// checkReferences resolves the names of hosts and resources in options.
func (in *interpreter) checkReferences(r *Resource) {
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, h.Names...)
	}
	for _, o := range r.Startup {
		if o.Name != "become-primary-on" || len(o.List) == 1 && o.List[0] == "both" {
			continue
		}
		for _, name := range o.List {
			if !slices.Contains(hosts, name) {
				in.p.errorf(o.Pos, len(o.Name), didYouMean(name, hosts), "become-primary-on: %s is not a host of resource %s", name, r.Name)
			}
		}
	}
	for _, o := range r.Net {
		if host, ok := strings.CutPrefix(o.Text, "discard-node-"); ok && o.Name == "after-sb-0pri" && !slices.Contains(hosts, host) {
			in.p.errorf(o.Pos, len(o.Name), didYouMean(host, hosts), "after-sb-0pri: %s is not a host of resource %s", host, r.Name)
		}
	}
	r.Disk = in.resyncAfter(r.Disk)
	for _, v := range r.Volumes {
		v.DiskOptions = in.resyncAfter(v.DiskOptions)
	}
	for _, h := range r.Hosts {
		for _, v := range h.Volumes {
			v.DiskOptions, v.inherited = in.resyncAfter(v.DiskOptions), in.resyncAfter(v.inherited)
		}
	}
}

// resyncAfter drops references to resources that do not exist, as drbdadm does.
func (in *interpreter) resyncAfter(opts Options) Options {
	return slices.DeleteFunc(slices.Clone(opts), func(o Option) bool {
		if o.Name != "resync-after" || in.cfg.resyncTarget(o.Text) != nil {
			return false
		}
		var names []string
		for _, r := range in.cfg.Resources {
			names = append(names, r.Name)
		}
		if !slices.ContainsFunc(in.p.warnings, func(w *Error) bool {
			return w.Line == o.Pos.Line && w.Column == o.Pos.Column && w.File == o.Pos.Filename
		}) {
			in.p.warnf(o.Pos, len(o.Name), didYouMean(o.Text, names), "resync-after: resource %s is not known, the option is ignored", o.Text)
		}
		return true
	})
}

// resyncTarget finds the resource that a resync-after value RESOURCE[/VOLUME] names.
func (c *Config) resyncTarget(value string) *Resource {
	name, _, _ := strings.Cut(value, "/")
	return c.Resource(name)
}

// checkCombinations warns about settings that the two nodes will not connect with.
func (in *interpreter) checkCombinations(r *Resource) {
	net := in.cfg.Net(r, nil)
	pos := func(name string, sets ...Options) lexer.Position {
		for _, s := range sets {
			if o, ok := s.Last(name); ok {
				return o.Pos
			}
		}
		return r.Pos
	}
	var common Sections
	if in.cfg.Common != nil {
		common = in.cfg.Common.Sections
	}
	if net.AllowTwoPrimaries && net.Protocol != ProtocolC {
		in.p.warnf(pos("allow-two-primaries", r.Net, common.Net), 1, "use protocol C", "resource %s: allow-two-primaries needs protocol C", r.Name)
	}
	if net.OnCongestion != "block" && net.Protocol != ProtocolA {
		in.p.warnf(pos("on-congestion", r.Net, common.Net), 1, "", "resource %s: on-congestion %s works with protocol A only", r.Name, net.OnCongestion)
	}
	if net.Timeout >= net.ConnectInterval || net.Timeout >= net.PingInterval {
		in.p.warnf(pos("timeout", r.Net, common.Net), 1, "", "resource %s: timeout (%v) should be less than connect-int (%v) and ping-int (%v)",
			r.Name, net.Timeout, net.ConnectInterval, net.PingInterval)
	}
	for _, h := range r.Hosts {
		for _, v := range h.Volumes {
			if net.Protocol == ProtocolA && in.cfg.Disk(r, v).Fencing == FencingStonith {
				in.p.warnf(pos("fencing", v.DiskOptions, r.Disk, common.Disk), 1, "use protocol B or C",
					"resource %s: fencing resource-and-stonith does not work with protocol A", r.Name)
				return
			}
		}
	}
}

// uniqueness finds two uses of one thing on one host.
type uniqueness struct {
	in   *interpreter
	used map[string]use
}

type use struct {
	pos  lexer.Position
	host *Host
}

func (u uniqueness) resource(r *Resource) {
	for _, h := range r.Hosts {
		names := h.Names
		if h.Kind == FloatingHost {
			names = []string{h.Address.String()}
		}
		for _, name := range names {
			for _, v := range h.Volumes {
				u.claim(name, h, v.Pos, "minor number", fmt.Sprint(v.Minor))
				if strings.HasPrefix(v.Device, "/dev/drbd_") {
					u.claim(name, h, v.Pos, "device", v.Device)
				}
				if h.Kind != StackedHost {
					u.claim(name, h, v.Pos, "disk", v.Disk)
				}
				switch v.MetaIndex {
				case MetaInternal:
				case MetaFlexible:
					u.claim(name, h, v.Pos, "meta-disk", v.MetaDisk)
				default:
					u.claim(name, h, v.Pos, "meta-disk", fmt.Sprintf("%s[%d]", v.MetaDisk, v.MetaIndex))
				}
			}
		}
		if ip := h.Address.IP; ip.IsValid() {
			scope := ""
			if ip.IsLoopback() || ip.IsLinkLocalUnicast() {
				scope = strings.Join(names, " ")
			}
			u.claim(scope, h, h.Address.Pos, "address", h.Address.String())
		}
	}
}

func (u uniqueness) claim(host string, h *Host, pos lexer.Position, what, value string) {
	key := host + "\x00" + what + "\x00" + value
	first, dup := u.used[key]
	if !dup {
		u.used[key] = use{pos, h}
		return
	}
	on := ""
	if host != "" {
		on = " on " + host
	}
	if first.host != h || what != "address" {
		u.in.p.errorf(pos, 1, "the first is at "+where(first.pos), "a second use of the %s %s%s", what, value, on)
	}
}
