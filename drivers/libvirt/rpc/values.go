package rpc

import (
	"encoding/hex"
	"fmt"
	"math"
)

// UUID identifies a domain across hosts.
type UUID [16]byte

func (u UUID) String() string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Domain names a virtual machine to a daemon, which goes by the UUID.
type Domain struct {
	Name string
	UUID UUID
	ID   int32 // -1 when it is not running
}

// Domain writes a domain.
func (e *Encoder) Domain(d Domain) {
	e.String(d.Name)
	e.Fixed(d.UUID[:])
	e.Int32(d.ID)
}

// Domain reads a domain.
func (d *Decoder) Domain() Domain {
	var v Domain
	v.Name = d.String()
	copy(v.UUID[:], d.Fixed(16))
	v.ID = d.Int32()
	return v
}

// Named is a network or storage pool.
type Named struct {
	Name string
	UUID UUID
}

// Named writes a network or storage pool.
func (e *Encoder) Named(n Named) {
	e.String(n.Name)
	e.Fixed(n.UUID[:])
}

// Named reads a network or storage pool.
func (d *Decoder) Named() Named {
	var v Named
	v.Name = d.String()
	copy(v.UUID[:], d.Fixed(16))
	return v
}

// Param is a typed parameter. Value is an int32, uint32, int64, uint64,
// float64, bool or string.
type Param struct {
	Field string
	Value any
}

const maxParams = 64

// Params writes a list of typed parameters; a value of another type is a
// mistake of the program and panics.
func (e *Encoder) Params(ps []Param) {
	e.Uint32(uint32(len(ps)))
	for _, p := range ps {
		e.String(p.Field)
		switch v := p.Value.(type) {
		case int32:
			e.Uint32(1)
			e.Int32(v)
		case uint32:
			e.Uint32(2)
			e.Uint32(v)
		case int64:
			e.Uint32(3)
			e.Uint64(uint64(v))
		case uint64:
			e.Uint32(4)
			e.Uint64(v)
		case float64:
			e.Uint32(5)
			e.Uint64(math.Float64bits(v))
		case bool:
			e.Uint32(6)
			e.Bool(v)
		case string:
			e.Uint32(7)
			e.String(v)
		default:
			panic(fmt.Sprintf("typed parameter %s of type %T", p.Field, p.Value))
		}
	}
}

// Params reads a list of typed parameters.
func (d *Decoder) Params() []Param {
	n := d.Count()
	var ps []Param
	for range n {
		p := Param{Field: d.String()}
		switch kind := d.Uint32(); kind {
		case 1:
			p.Value = d.Int32()
		case 2:
			p.Value = d.Uint32()
		case 3:
			p.Value = int64(d.Uint64())
		case 4:
			p.Value = d.Uint64()
		case 5:
			p.Value = d.Float64()
		case 6:
			p.Value = d.Bool()
		case 7:
			p.Value = d.String()
		default:
			if d.err == nil {
				d.err = fmt.Errorf("typed parameter %q has unknown type %d", p.Field, kind)
			}
		}
		if d.err != nil {
			return nil
		}
		ps = append(ps, p)
	}
	return ps
}

// Error is what a daemon answers instead of a result.
type Error struct {
	Code    Code
	Domain  int32 // the part of libvirt that reports
	Message string
	Level   int32
	// About is the virtual machine concerned, nil if none.
	About            *Domain
	Str1, Str2, Str3 string
	Int1, Int2       int32
	Net              *Named
}

func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = "no reason given"
	}
	return fmt.Sprintf("libvirt: %s (code %d)", text, e.Code)
}

// Code is the number of an error.
type Code int32

// Codes that decide something.
const (
	CodeInternal             Code = 1
	CodeNoSupport            Code = 3
	CodeNoConnect            Code = 5
	CodeInvalidArg           Code = 8
	CodeOperationFailed      Code = 9
	CodeXML                  Code = 27
	CodeOperationDenied      Code = 29
	CodeSystem               Code = 38
	CodeRPC                  Code = 39
	CodeNoDomain             Code = 42
	CodeNoNetwork            Code = 43
	CodeAuthFailed           Code = 45
	CodeNoPool               Code = 49
	CodeOperationInvalid     Code = 55
	CodeOperationTimeout     Code = 68
	CodeMigratePersistFailed Code = 69
	CodeOperationAborted     Code = 78
	CodeMigrateUnsafe        Code = 81
	CodeOperationUnsupported Code = 84
	CodeAgentUnresponsive    Code = 86
	CodeResourceBusy         Code = 87
	CodeAccessDenied         Code = 88
)

// Error writes the payload of an error reply.
func (e *Encoder) Error(v *Error) {
	e.Int32(int32(v.Code))
	e.Int32(v.Domain)
	e.Optional(&v.Message)
	e.Int32(v.Level)
	e.Bool(v.About != nil)
	if v.About != nil {
		e.Domain(*v.About)
	}
	for _, s := range []string{v.Str1, v.Str2, v.Str3} {
		if s == "" {
			e.Optional(nil)
		} else {
			e.Optional(&s)
		}
	}
	e.Int32(v.Int1)
	e.Int32(v.Int2)
	e.Bool(v.Net != nil)
	if v.Net != nil {
		e.Named(*v.Net)
	}
}

// Error reads the payload of an error reply.
func (d *Decoder) Error() *Error {
	text := func() string {
		if s := d.Optional(); s != nil {
			return *s
		}
		return ""
	}
	v := &Error{Code: Code(d.Int32()), Domain: d.Int32(), Message: text(), Level: d.Int32()}
	if d.Bool() {
		about := d.Domain()
		v.About = &about
	}
	v.Str1, v.Str2, v.Str3 = text(), text(), text()
	v.Int1, v.Int2 = d.Int32(), d.Int32()
	if d.Bool() {
		net := d.Named()
		v.Net = &net
	}
	return v
}

// State is what a domain does.
type State int32

// States of a domain.
const (
	NoState     State = 0
	Running     State = 1
	Blocked     State = 2
	Paused      State = 3
	InShutdown  State = 4
	ShutOff     State = 5
	Crashed     State = 6
	PMSuspended State = 7
)

// Reasons that change what a state means.
const (
	PausedMigration  int32 = 2
	PausedIOError    int32 = 5
	PausedCrashed    int32 = 10
	PausedStartingUp int32 = 11
	PausedPostcopy   int32 = 12
	PausedPostcopyF  int32 = 13
	ShutOffMigrated  int32 = 4
)

func (s State) String() string {
	names := [...]string{"no state", "running", "blocked", "paused", "in shutdown", "shut off", "crashed", "suspended by power management"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", int32(s))
	}
	return names[s]
}

// Info is what a domain was given and used.
type Info struct {
	State     State
	MaxMemory uint64 // KiB
	Memory    uint64 // KiB
	CPUs      uint32
	CPUTime   uint64 // ns
}

// Job is the progress of a migration or save.
type Job struct {
	Type                                            int32  // 0 none, 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 cancelled
	Elapsed, Remaining                              uint64 // ms
	DataTotal, DataProcessed, DataRemaining         uint64 // bytes, as all below
	MemoryTotal, MemoryProcessed, MemoryRemaining   uint64
	StorageTotal, StorageProcessed, StorageRemained uint64
}

func (j *Job) numbers() []*uint64 {
	return []*uint64{&j.Elapsed, &j.Remaining, &j.DataTotal, &j.DataProcessed, &j.DataRemaining,
		&j.MemoryTotal, &j.MemoryProcessed, &j.MemoryRemaining, &j.StorageTotal, &j.StorageProcessed, &j.StorageRemained}
}

// Job writes a job.
func (e *Encoder) Job(j Job) {
	e.Int32(j.Type)
	for _, n := range j.numbers() {
		e.Uint64(*n)
	}
}

// Job reads a job.
func (d *Decoder) Job() Job {
	j := Job{Type: d.Int32()}
	for _, n := range j.numbers() {
		*n = d.Uint64()
	}
	return j
}

// Lifecycle is the event that a domain's state changed.
type Lifecycle struct {
	Callback int32
	Domain   Domain
	Event    int32
	Detail   int32
}

// Kinds of lifecycle events.
const (
	EventDefined     int32 = 0
	EventUndefined   int32 = 1
	EventStarted     int32 = 2
	EventSuspended   int32 = 3
	EventResumed     int32 = 4
	EventStopped     int32 = 5
	EventShutdown    int32 = 6
	EventPMSuspended int32 = 7
	EventCrashed     int32 = 8
)

// Lifecycle writes a lifecycle event.
func (e *Encoder) Lifecycle(v Lifecycle) {
	e.Int32(v.Callback)
	e.Domain(v.Domain)
	e.Int32(v.Event)
	e.Int32(v.Detail)
}

// Lifecycle reads a lifecycle event.
func (d *Decoder) Lifecycle() Lifecycle {
	return Lifecycle{d.Int32(), d.Domain(), d.Int32(), d.Int32()}
}
