package fencing

import (
	"maps"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

// WatchdogDevice is the name of the implicit device that stands for the
// watchdogs of lost nodes.
const WatchdogDevice = "watchdog"

// Actions of fence agents.
const (
	Off      = "off"
	On       = "on"
	Reboot   = "reboot"
	Status   = "status"
	Monitor  = "monitor"
	List     = "list"
	Validate = "validate-all"
)

// HostCheck is the way to find out which nodes a device can fence.
type HostCheck string

const (
	StaticList  HostCheck = "static-list"  // those in pcmk_host_list and pcmk_host_map
	DynamicList HostCheck = "dynamic-list" // those the agent lists
	ByStatus    HostCheck = "status"       // those whose status the agent can tell
	NoCheck     HostCheck = "none"         // all
)

// Proves says what the success of a method is worth.
type Proves uint8

const (
	// Always: success means that the node was off.
	Always Proves = iota
	// Sometimes: success is proof, but of many dead nodes it cannot have one.
	Sometimes
	// Never: success proves nothing.
	Never
	// Reports: success means that the node is down by then, but there is no
	// power that could be read.
	Reports
)

// Device is a fence device of the configuration.
type Device struct {
	ID, Agent string
	// Params are what the agent gets; pcmk_* and what belongs to the cluster
	// is taken out.
	Params   map[string]string
	Priority int

	Check      HostCheck
	CheckGiven bool              // pcmk_host_check was configured
	Map        map[string]string // pcmk_host_map: node in lower case to plugs
	List       []string          // pcmk_host_list, in lower case
	// Argument is the parameter that takes the plug; empty if none does.
	Argument string

	DelayBase, DelayMax time.Duration
	DelayBases          map[string]time.Duration // by target in lower case
	// Limit is how many actions may run at once; negative is any number.
	Limit    int
	Commands map[string]Command // by action

	// Meta is what the agent says about itself; nil if it is not known.
	Meta *cib.AgentMeta
	// Unfences devices are asked to switch a node on before it works.
	Unfences bool
	declared bool // the configuration says so (provides=unfencing)
	Proves   Proves
	// Remote power: a reboot is done as off, read back, on.
	Split bool

	// Disabled devices (target-role=Stopped) are not used.
	Disabled bool
	// Banned nodes must not execute the device, by its location constraints.
	Banned map[string]bool
	// Verified nodes are those where the device is started: it is known that
	// they reach it.
	Verified map[string]bool
}

// Command is what the configuration says about one action of a device.
type Command struct {
	Action  string        // to run instead; empty is the action itself
	Timeout time.Duration // zero if not configured
	Retries int           // attempts; zero if not configured
}

// Plug is what the device calls a node.
func (d *Device) Plug(node string) string {
	if p, ok := d.Map[strings.ToLower(node)]; ok {
		return p
	}
	return node
}

// Names reports whether the lists of the configuration name a node, for devices
// whose check is by list.
func (d *Device) Names(node string) bool { return d.static(node) }

// HasAction reports whether the agent knows an action. An agent that does not
// tell is taken to know all.
func (d *Device) HasAction(name string) bool {
	return d.Meta == nil || len(d.Meta.Actions) == 0 || d.Meta.Action(name, "") != nil
}

// static reports whether the lists of the configuration name a node.
func (d *Device) static(node string) bool {
	node = strings.ToLower(node)
	_, mapped := d.Map[node]
	return mapped || slices.Contains(d.List, node)
}

// delay is the random share included; draw returns a number in [0, n).
func (d *Device) delay(target string, draw func(n int64) int64) time.Duration {
	base := d.DelayBase
	if b, ok := d.DelayBases[strings.ToLower(target)]; ok {
		base = b
	}
	if d.DelayMax <= 0 {
		return base
	}
	base = min(base, d.DelayMax)
	if span := d.DelayMax - base; span > 0 {
		base += time.Duration(draw(int64(span/time.Millisecond)+1)) * time.Millisecond
	}
	return base
}

// Arguments are the parameters of one call of the agent, without the action.
// A parameter that takes the plug keeps what was configured for it, unless
// that is the word "dynamic".
func (d *Device) Arguments(target string) map[string]string {
	p := maps.Clone(d.Params)
	if p == nil {
		p = map[string]string{}
	}
	if target == "" {
		return p
	}
	p["nodename"] = target
	if d.Argument != "" {
		if v, given := p[d.Argument]; !given || v == "dynamic" {
			p[d.Argument] = d.Plug(target)
		}
	}
	return p
}

// command returns the agent's word for an action.
func (d *Device) command(action string) string {
	if a := d.Commands[action].Action; a != "" {
		return a
	}
	return action
}

// timeout is that of one series of attempts; actions are looked up in the
// order given, and def holds if none has one.
func (d *Device) timeout(def time.Duration, actions ...string) time.Duration {
	for _, a := range actions {
		if t := d.Commands[a].Timeout; t > 0 {
			return t
		}
	}
	return def
}

func (d *Device) attempts(action string) int {
	if n := d.Commands[action].Retries; n > 0 {
		return n
	}
	return 2
}

// rebootGiven reports whether the configuration says what a reboot is.
func (d *Device) rebootGiven() bool { return d.Commands[Reboot].Action != "" }

// staysOff reports whether the device does not switch nodes on again after a
// reboot that was done as off and on.
func (d *Device) staysOff() bool {
	if d.Commands[Reboot].Action == Off {
		return true
	}
	a := d.Meta.Action(On, "")
	return a != nil && (a.Automatic || a.OnTarget) || !d.HasAction(On)
}

// rebootsInHalves reports whether the agent does a reboot as off and on: those
// of the fencing library do, which have a power_timeout, unless their method
// is another.
func (d *Device) rebootsInHalves() bool {
	p := d.Meta.Param("method")
	if p == nil {
		return d.Meta.Param("power_timeout") != nil
	}
	if m := d.Params["method"]; m != "" {
		return m == "onoff"
	}
	return p.Default == "onoff"
}
