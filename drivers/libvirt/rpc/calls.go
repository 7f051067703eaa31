package rpc

import (
	"context"
	"errors"
	"fmt"
)

// Procedures of the remote program.
const (
	ProcConnectOpen         = 1
	ProcConnectClose        = 2
	ProcConnectType         = 3
	ProcConnectHostname     = 59
	ProcSupportsFeature     = 60
	ProcAuthList            = 66
	ProcConnectURI          = 110
	ProcLibVersion          = 157
	ProcCreateXML           = 10
	ProcXMLDesc             = 14
	ProcInfo                = 16
	ProcLookupByName        = 23
	ProcLookupByUUID        = 24
	ProcResume              = 28
	ProcSuspend             = 34
	ProcNetworkCreate       = 39
	ProcNetworkLookup       = 46
	ProcRestore             = 54
	ProcSave                = 55
	ProcPoolCreate          = 78
	ProcPoolRefresh         = 83
	ProcPoolLookup          = 84
	ProcFromNative          = 135
	ProcIsActive            = 150
	ProcIsPersistent        = 151
	ProcNetworkIsActive     = 152
	ProcPoolIsActive        = 154
	ProcJobInfo             = 163
	ProcAbortJob            = 164
	ProcMigrateMaxDowntime  = 166
	ProcCreateWithFlags     = 196
	ProcMigrateMaxSpeed     = 207
	ProcState               = 212
	ProcUndefineFlags       = 231
	ProcDestroyFlags        = 234
	ProcShutdownFlags       = 258
	ProcListAllDomains      = 273
	ProcMigratePerform      = 305
	ProcSubscribe           = 316
	ProcUnsubscribe         = 317
	ProcDefineXMLFlags      = 350
	procEventLifecycle      = 318
	ProcEventLifecycle      = procEventLifecycle
	FeatureMigrationP2P     = 4
	FeatureKeepalive        = 10
	FeatureMigrationParams  = 13
	FeatureEventCallback    = 14
	eventIDLifecycle        = 0
	authNone, authSASL      = 0, 1
	authPolkit              = 2
	needResults, flagsNone  = 1, 0
	listActive, listDefined = 1, 2
)

// Flags of Shutdown.
const (
	ShutdownACPI     uint32 = 1
	ShutdownAgent    uint32 = 2
	ShutdownInitctl  uint32 = 4
	ShutdownSignal   uint32 = 8
	ShutdownParavirt uint32 = 16
)

// Flags of Undefine.
const (
	UndefineManagedSave uint32 = 1
	UndefineSnapshots   uint32 = 2
	UndefineKeepNVRAM   uint32 = 8
)

// Flags of Migrate.
const (
	MigrateLive             uint32 = 0x1
	MigratePeer2Peer        uint32 = 0x2
	MigrateTunnelled        uint32 = 0x4
	MigratePersistDest      uint32 = 0x8
	MigrateUndefineSource   uint32 = 0x10
	MigratePaused           uint32 = 0x20
	MigrateNonSharedDisk    uint32 = 0x40
	MigrateNonSharedInc     uint32 = 0x80
	MigrateChangeProtection uint32 = 0x100
	MigrateUnsafe           uint32 = 0x200
	MigrateCompressed       uint32 = 0x800
	MigrateAbortOnError     uint32 = 0x1000
	MigrateAutoConverge     uint32 = 0x2000
	MigrateRDMAPinAll       uint32 = 0x4000
	MigratePostcopy         uint32 = 0x8000
	MigrateTLS              uint32 = 0x10000
	MigrateParallel         uint32 = 0x20000
)

// XMLInactive asks XMLDesc for the definition instead of the running state;
// XMLSecure for passwords in it too, XMLMigratable for a form that can be
// started again.
const (
	XMLSecure     uint32 = 1
	XMLInactive   uint32 = 2
	XMLMigratable uint32 = 8
)

// call makes a call whose arguments build writes and whose reply parse reads;
// either may be nil.
func (c *Conn) call(ctx context.Context, procedure uint32, build func(*Encoder), parse func(*Decoder)) error {
	var e Encoder
	if build != nil {
		build(&e)
	}
	payload, err := c.Invoke(ctx, procedure, e.Bytes())
	if err != nil || parse == nil {
		return err
	}
	d := NewDecoder(payload)
	parse(d)
	if d.Err() != nil {
		return fmt.Errorf("reply of the libvirt daemon to procedure %d: %w", procedure, d.Err())
	}
	return nil
}

// Open logs in and opens a hypervisor; an empty uri lets the daemon choose.
func (c *Conn) Open(ctx context.Context, uri string) error {
	var kinds []uint32
	err := c.call(ctx, ProcAuthList, nil, func(d *Decoder) {
		for range d.Count() {
			kinds = append(kinds, d.Uint32())
		}
	})
	if err != nil {
		return err
	}
	for _, k := range kinds {
		switch k {
		case authNone:
		case authSASL:
			return errors.New("the libvirt daemon asks for SASL: use ssh or tls, or set auth_tcp = \"none\" on a network of its own")
		case authPolkit:
			return errors.New("the libvirt daemon asks for polkit: run as root, or join the group libvirt")
		default:
			return fmt.Errorf("the libvirt daemon asks for login of unknown kind %d", k)
		}
	}
	// Asking for it starts the daemon's own keepalive.
	if _, err := c.Supports(ctx, FeatureKeepalive); err != nil {
		return err
	}
	return c.call(ctx, ProcConnectOpen, func(e *Encoder) {
		if uri == "" {
			e.Optional(nil)
		} else {
			e.Optional(&uri)
		}
		e.Uint32(flagsNone)
	}, nil)
}

// Supports asks for a feature of the daemon and its hypervisor.
func (c *Conn) Supports(ctx context.Context, feature int32) (yes bool, err error) {
	err = c.call(ctx, ProcSupportsFeature, func(e *Encoder) { e.Int32(feature) }, func(d *Decoder) { yes = d.Int32() == 1 })
	return yes, err
}

func (c *Conn) text(ctx context.Context, procedure uint32) (s string, err error) {
	err = c.call(ctx, procedure, nil, func(d *Decoder) { s = d.String() })
	return s, err
}

// Type is the hypervisor: QEMU, Xen, LXC, TEST.
func (c *Conn) Type(ctx context.Context) (string, error) { return c.text(ctx, ProcConnectType) }

// Hostname is the host's name as the daemon knows it.
func (c *Conn) Hostname(ctx context.Context) (string, error) { return c.text(ctx, ProcConnectHostname) }

// URI is the hypervisor's canonical URI.
func (c *Conn) URI(ctx context.Context) (string, error) { return c.text(ctx, ProcConnectURI) }

// LibVersion is libvirt's version, major*1000000 + minor*1000 + release.
func (c *Conn) LibVersion(ctx context.Context) (v uint64, err error) {
	err = c.call(ctx, ProcLibVersion, nil, func(d *Decoder) { v = d.Uint64() })
	return v, err
}

// Domains lists running and defined domains.
func (c *Conn) Domains(ctx context.Context) (out []Domain, err error) {
	err = c.call(ctx, ProcListAllDomains, func(e *Encoder) {
		e.Int32(needResults)
		e.Uint32(listActive | listDefined)
	}, func(d *Decoder) {
		for range d.Count() {
			out = append(out, d.Domain())
		}
	})
	return out, err
}

func (c *Conn) domain(ctx context.Context, procedure uint32, build func(*Encoder)) (dom Domain, err error) {
	err = c.call(ctx, procedure, build, func(d *Decoder) { dom = d.Domain() })
	return dom, err
}

// LookupByName finds a domain; see IsNoDomain.
func (c *Conn) LookupByName(ctx context.Context, name string) (Domain, error) {
	return c.domain(ctx, ProcLookupByName, func(e *Encoder) { e.String(name) })
}

// LookupByUUID finds a domain; see IsNoDomain.
func (c *Conn) LookupByUUID(ctx context.Context, id UUID) (Domain, error) {
	return c.domain(ctx, ProcLookupByUUID, func(e *Encoder) { e.Fixed(id[:]) })
}

// FromNative turns a hypervisor's own configuration, of a format such as
// "xen-xl", into libvirt's XML.
func (c *Conn) FromNative(ctx context.Context, format, config string) (s string, err error) {
	err = c.call(ctx, ProcFromNative, func(e *Encoder) { e.String(format); e.String(config); e.Uint32(flagsNone) },
		func(d *Decoder) { s = d.String() })
	return s, err
}

// CreateXML starts a transient domain: it is gone when it stops.
func (c *Conn) CreateXML(ctx context.Context, xml string) (Domain, error) {
	return c.domain(ctx, ProcCreateXML, func(e *Encoder) { e.String(xml); e.Uint32(flagsNone) })
}

// DefineXML makes a persistent definition.
func (c *Conn) DefineXML(ctx context.Context, xml string) (Domain, error) {
	return c.domain(ctx, ProcDefineXMLFlags, func(e *Encoder) { e.String(xml); e.Uint32(flagsNone) })
}

// Create starts a defined domain; the domain returned has the new id.
func (c *Conn) Create(ctx context.Context, dom Domain) (Domain, error) {
	return c.domain(ctx, ProcCreateWithFlags, func(e *Encoder) { e.Domain(dom); e.Uint32(flagsNone) })
}

func (c *Conn) flagged(ctx context.Context, procedure uint32, dom Domain, flags uint32) error {
	return c.call(ctx, procedure, func(e *Encoder) { e.Domain(dom); e.Uint32(flags) }, nil)
}

// Undefine removes the definition; a running domain becomes transient.
func (c *Conn) Undefine(ctx context.Context, dom Domain, flags uint32) error {
	return c.flagged(ctx, ProcUndefineFlags, dom, flags)
}

// Shutdown asks the guest to power off and does not wait for it.
func (c *Conn) Shutdown(ctx context.Context, dom Domain, flags uint32) error {
	return c.flagged(ctx, ProcShutdownFlags, dom, flags)
}

// Destroy ends the domain at once; it is over when this returns without error.
func (c *Conn) Destroy(ctx context.Context, dom Domain) error {
	return c.flagged(ctx, ProcDestroyFlags, dom, flagsNone)
}

// Suspend pauses a domain.
func (c *Conn) Suspend(ctx context.Context, dom Domain) error {
	return c.call(ctx, ProcSuspend, func(e *Encoder) { e.Domain(dom) }, nil)
}

// Resume lets a paused domain run.
func (c *Conn) Resume(ctx context.Context, dom Domain) error {
	return c.call(ctx, ProcResume, func(e *Encoder) { e.Domain(dom) }, nil)
}

// State tells what a domain does, and why, as libvirt numbers reasons.
func (c *Conn) State(ctx context.Context, dom Domain) (state State, reason int32, err error) {
	err = c.call(ctx, ProcState, func(e *Encoder) { e.Domain(dom); e.Uint32(flagsNone) },
		func(d *Decoder) { state, reason = State(d.Int32()), d.Int32() })
	return state, reason, err
}

// Info tells memory and processors of a domain.
func (c *Conn) Info(ctx context.Context, dom Domain) (v Info, err error) {
	err = c.call(ctx, ProcInfo, func(e *Encoder) { e.Domain(dom) }, func(d *Decoder) {
		v = Info{State(d.Int32()), d.Uint64(), d.Uint64(), d.Uint32(), d.Uint64()}
	})
	return v, err
}

// XMLDesc returns the description of a domain.
func (c *Conn) XMLDesc(ctx context.Context, dom Domain, flags uint32) (s string, err error) {
	err = c.call(ctx, ProcXMLDesc, func(e *Encoder) { e.Domain(dom); e.Uint32(flags) }, func(d *Decoder) { s = d.String() })
	return s, err
}

func (c *Conn) yes(ctx context.Context, procedure uint32, build func(*Encoder)) (yes bool, err error) {
	err = c.call(ctx, procedure, build, func(d *Decoder) { yes = d.Int32() == 1 })
	return yes, err
}

// IsActive tells whether a domain has a process.
func (c *Conn) IsActive(ctx context.Context, dom Domain) (bool, error) {
	return c.yes(ctx, ProcIsActive, func(e *Encoder) { e.Domain(dom) })
}

// IsPersistent tells whether a domain has a definition.
func (c *Conn) IsPersistent(ctx context.Context, dom Domain) (bool, error) {
	return c.yes(ctx, ProcIsPersistent, func(e *Encoder) { e.Domain(dom) })
}

// Save writes the memory of a domain to a file of the host and ends it.
func (c *Conn) Save(ctx context.Context, dom Domain, path string) error {
	return c.call(ctx, ProcSave, func(e *Encoder) { e.Domain(dom); e.String(path) }, nil)
}

// Restore starts a domain from such a file.
func (c *Conn) Restore(ctx context.Context, path string) error {
	return c.call(ctx, ProcRestore, func(e *Encoder) { e.String(path) }, nil)
}

// JobInfo tells the progress of a migration or save.
func (c *Conn) JobInfo(ctx context.Context, dom Domain) (j Job, err error) {
	err = c.call(ctx, ProcJobInfo, func(e *Encoder) { e.Domain(dom) }, func(d *Decoder) { j = d.Job() })
	return j, err
}

// AbortJob ends the migration or save under way.
func (c *Conn) AbortJob(ctx context.Context, dom Domain) error {
	return c.call(ctx, ProcAbortJob, func(e *Encoder) { e.Domain(dom) }, nil)
}

// SetMigrateDowntime bounds the last pause of a migration, in ms.
func (c *Conn) SetMigrateDowntime(ctx context.Context, dom Domain, ms uint64) error {
	return c.call(ctx, ProcMigrateMaxDowntime, func(e *Encoder) { e.Domain(dom); e.Uint64(ms); e.Uint32(flagsNone) }, nil)
}

// SetMigrateSpeed bounds migrations of the domain, in MiB/s.
func (c *Conn) SetMigrateSpeed(ctx context.Context, dom Domain, mibs uint64) error {
	return c.call(ctx, ProcMigrateMaxSpeed, func(e *Encoder) { e.Domain(dom); e.Uint64(mibs); e.Uint32(flagsNone) }, nil)
}

// Migration is what a migration is asked to do.
type Migration struct {
	Domain Domain
	// To is the destination's daemon, as the source host reaches it.
	To     string
	Params []Param
	Flags  uint32
}

// Append writes the arguments of the call.
func (m Migration) Append(e *Encoder) {
	e.Domain(m.Domain)
	e.Optional(&m.To)
	e.Params(m.Params)
	e.Opaque(nil)
	e.Uint32(m.Flags)
}

// Migration reads the arguments of the call.
func (d *Decoder) Migration() Migration {
	m := Migration{Domain: d.Domain()}
	if to := d.Optional(); to != nil {
		m.To = *to
	}
	m.Params = d.Params()
	d.Opaque()
	m.Flags = d.Uint32()
	return m
}

// Migrate lets this daemon move a domain to another one, and returns when the
// migration is over. When ctx is done or the connection breaks, it goes on:
// use AbortJob.
func (c *Conn) Migrate(ctx context.Context, m Migration) error {
	if len(m.Params) > maxParams {
		return fmt.Errorf("migration of %s: %d parameters, libvirt takes %d", m.Domain.Name, len(m.Params), maxParams)
	}
	return c.call(ctx, ProcMigratePerform, m.Append, nil)
}

// SubscribeLifecycle asks for events of all domains, or of one; they come
// through Events. Returned is the number for Unsubscribe.
func (c *Conn) SubscribeLifecycle(ctx context.Context, dom *Domain) (callback int32, err error) {
	err = c.call(ctx, ProcSubscribe, func(e *Encoder) {
		e.Int32(eventIDLifecycle)
		e.Bool(dom != nil)
		if dom != nil {
			e.Domain(*dom)
		}
	}, func(d *Decoder) { callback = d.Int32() })
	return callback, err
}

// Unsubscribe ends a subscription.
func (c *Conn) Unsubscribe(ctx context.Context, callback int32) error {
	return c.call(ctx, ProcUnsubscribe, func(e *Encoder) { e.Int32(callback) }, nil)
}

// StartPool starts a storage pool that is not active, and refreshes it.
func (c *Conn) StartPool(ctx context.Context, name string) error {
	var pool Named
	if err := c.call(ctx, ProcPoolLookup, func(e *Encoder) { e.String(name) }, func(d *Decoder) { pool = d.Named() }); err != nil {
		return err
	}
	active, err := c.yes(ctx, ProcPoolIsActive, func(e *Encoder) { e.Named(pool) })
	if err != nil {
		return err
	}
	procedure := uint32(ProcPoolCreate)
	if active {
		procedure = ProcPoolRefresh
	}
	return c.call(ctx, procedure, func(e *Encoder) { e.Named(pool); e.Uint32(flagsNone) }, nil)
}

// StartNetwork starts a virtual network that is not active.
func (c *Conn) StartNetwork(ctx context.Context, name string) error {
	var network Named
	if err := c.call(ctx, ProcNetworkLookup, func(e *Encoder) { e.String(name) }, func(d *Decoder) { network = d.Named() }); err != nil {
		return err
	}
	active, err := c.yes(ctx, ProcNetworkIsActive, func(e *Encoder) { e.Named(network) })
	if err != nil || active {
		return err
	}
	return c.call(ctx, ProcNetworkCreate, func(e *Encoder) { e.Named(network) }, nil)
}
