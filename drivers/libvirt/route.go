package libvirt

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"gcrm/drivers/libvirt/rpc"
)

// route is how a domain gets to another node.
type route struct {
	node       string // the other node
	hypervisor string // URI here
	transport  string
	user       string
	suffix     string
	remote     string // given URI of the other daemon, with %n
	data       string // given URI for the memory, with %n
	port       int    // in the migration network
}

// host is the other node's name in the migration network: the suffix goes
// behind the first label.
func (r route) host() string {
	label, rest, dotted := strings.Cut(r.node, ".")
	if dotted {
		return label + r.suffix + "." + rest
	}
	return r.node + r.suffix
}

// daemon is the URI of the other node's daemon as this host reaches it.
func (r route) daemon() (string, error) {
	if r.remote != "" {
		return strings.ReplaceAll(r.remote, "%n", r.node), nil
	}
	u, err := url.Parse(r.hypervisor)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("hypervisor %q is no URI such as qemu:///system", r.hypervisor)
	}
	driver, _, _ := strings.Cut(u.Scheme, "+")
	u.Scheme = driver
	if r.transport != "" {
		u.Scheme += "+" + r.transport
	}
	u.Host, u.RawQuery = r.host(), ""
	if r.user != "" {
		u.User = url.User(r.user)
	}
	return u.String(), nil
}

// memory is where the memory is sent; empty lets the other daemon choose.
func (r route) memory() string {
	switch {
	case r.data != "":
		return strings.ReplaceAll(r.data, "%n", r.node)
	case r.suffix == "":
		return ""
	case strings.HasPrefix(r.hypervisor, "xen"):
		return r.host()
	case r.port > 0:
		return fmt.Sprintf("tcp://%s:%d", r.host(), r.port)
	}
	return "tcp://" + r.host()
}

// order is what migrate_options ask of a migration.
type order struct {
	flags  uint32
	params []rpc.Param
}

// parseOptions reads options as virsh's migrate takes them. Those that virsh
// carries out itself have no counterpart in a migration between daemons and
// are refused rather than passed over.
func parseOptions(words []string) (order, error) {
	o := order{flags: rpc.MigrateLive | rpc.MigratePeer2Peer}
	flags := map[string]uint32{"--live": 0, "--p2p": 0, "--verbose": 0, "--tunnelled": rpc.MigrateTunnelled,
		"--persistent": rpc.MigratePersistDest, "--undefinesource": rpc.MigrateUndefineSource, "--suspend": rpc.MigratePaused,
		"--copy-storage-all": rpc.MigrateNonSharedDisk, "--copy-storage-inc": rpc.MigrateNonSharedInc,
		"--change-protection": rpc.MigrateChangeProtection, "--unsafe": rpc.MigrateUnsafe, "--compressed": rpc.MigrateCompressed,
		"--abort-on-error": rpc.MigrateAbortOnError, "--auto-converge": rpc.MigrateAutoConverge, "--rdma-pin-all": rpc.MigrateRDMAPinAll,
		"--postcopy": rpc.MigratePostcopy, "--tls": rpc.MigrateTLS, "--parallel": rpc.MigrateParallel}
	texts := map[string]string{"--migrateuri": "migrate_uri", "--listen-address": "listen_address",
		"--graphicsuri": "graphics_uri", "--disks-uri": "disks_uri", "--tls-destination": "tls.destination", "--comp-methods": "compression", "--migrate-disks": "migrate_disks"}
	numbers := map[string]string{"--bandwidth": "bandwidth", "--postcopy-bandwidth": "bandwidth.postcopy", "--comp-xbzrle-cache": "compression.xbzrle.cache"}
	small := map[string]string{"--disks-port": "disks_port", "--parallel-connections": "parallel.connections", "--auto-converge-initial": "auto_converge.initial",
		"--auto-converge-increment": "auto_converge.increment", "--comp-mt-level": "compression.mt.level", "--comp-mt-threads": "compression.mt.threads", "--comp-mt-dthreads": "compression.mt.dthreads"}
	for i := 0; i < len(words); i++ {
		name, value, given := strings.Cut(words[i], "=")
		if f, ok := flags[name]; ok && !given {
			o.flags |= f
			continue
		}
		text, isText := texts[name]
		number, isNumber := numbers[name]
		short, isSmall := small[name]
		if !isText && !isNumber && !isSmall {
			return o, fmt.Errorf("migrate_options: %s is not an option of a migration between two libvirt daemons", words[i])
		}
		if !given {
			if i++; i == len(words) {
				return o, fmt.Errorf("migrate_options: %s needs a value", name)
			}
			value = words[i]
		}
		switch {
		case name == "--comp-methods" || name == "--migrate-disks":
			for v := range strings.SplitSeq(value, ",") {
				o.params = append(o.params, rpc.Param{Field: text, Value: v})
			}
		case isText:
			o.params = append(o.params, rpc.Param{Field: text, Value: value})
		default:
			bits := 64
			if isSmall {
				bits = 31
			}
			n, err := strconv.ParseUint(value, 10, bits)
			if err != nil {
				return o, fmt.Errorf("migrate_options: %s: %q is not a number", name, value)
			}
			if isSmall {
				o.params = append(o.params, rpc.Param{Field: short, Value: int32(n)})
			} else {
				o.params = append(o.params, rpc.Param{Field: number, Value: n})
			}
		}
	}
	return o, nil
}

// param returns the text parameter of that name.
func (o order) param(name string) string {
	for _, p := range o.params {
		if s, ok := p.Value.(string); ok && p.Field == name {
			return s
		}
	}
	return ""
}

// shutdownFlags reads a list of ways of shutdown.
func shutdownFlags(mode string) (uint32, error) {
	known := map[string]uint32{"acpi": rpc.ShutdownACPI, "agent": rpc.ShutdownAgent, "initctl": rpc.ShutdownInitctl,
		"signal": rpc.ShutdownSignal, "paravirt": rpc.ShutdownParavirt}
	var flags uint32
	for w := range strings.SplitSeq(mode, ",") {
		if w = strings.TrimSpace(w); w == "" {
			continue
		}
		f, ok := known[w]
		if !ok {
			return 0, fmt.Errorf("shutdown_mode: %q is none of acpi, agent, initctl, signal, paravirt", w)
		}
		flags |= f
	}
	return flags, nil
}
