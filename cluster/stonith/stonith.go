// Package stonith serves the class stonith of a registry of agents: fence
// devices as resources. A device that is started on a node is one that the node
// is known to reach; its monitor asks the device. Fencing itself does not go
// through here, any node may use a device that is configured.
package stonith

import (
	"context"
	"errors"
	"time"

	"gcrm/cib"
	"gcrm/drivers"
	"gcrm/fencing"
)

// Class is that of fence devices.
const Class = "stonith"

// Asker asks a device of the configuration whether it works from this node.
type Asker interface {
	Ask(ctx context.Context, device string, timeout time.Duration) fencing.Outcome
}

// Finder finds fence agents, native ones and programs.
type Finder struct {
	Registry *fencing.Registry
	// Asker, if it is nil, lets devices start and stop without being asked:
	// the nodes are switched by something else (the embedded cluster).
	Asker Asker
}

var _ drivers.Finder = Finder{}

// Find implements drivers.Finder.
func (f Finder) Find(name drivers.Name) (drivers.Agent, drivers.Source, error) {
	m, err := f.Registry.Method(name.Type)
	if err != nil {
		if errors.Is(err, cib.ErrNoAgent) {
			return nil, drivers.Source{}, &drivers.NotFoundError{Name: name, Places: []string{"/usr/sbin/" + name.Type, "a built-in fence agent of that name"}}
		}
		return nil, drivers.Source{}, err
	}
	source := drivers.Source{Kind: "native"}
	if p, ok := m.(interface{ Program() string }); ok {
		source = drivers.Source{Kind: "fence-agent", Path: p.Program()}
	}
	return device{m, f.Asker}, source, nil
}

// Providers implements drivers.Finder; the class has none.
func (Finder) Providers() []string { return nil }

// Types implements drivers.Finder.
func (f Finder) Types(string) []string {
	var out []string
	for _, n := range f.Registry.Agents() {
		out = append(out, n.Type)
	}
	return out
}

// device is the agent of one kind of devices.
type device struct {
	method fencing.Method
	asker  Asker
}

// Metadata implements drivers.Agent.
func (d device) Metadata(ctx context.Context) (string, error) { return d.method.Metadata(ctx) }

// Run implements drivers.Agent. Nothing runs on the node for a device: to start
// it is to find out that it is reached, and a probe finds nothing.
func (d device) Run(ctx context.Context, r drivers.Request) drivers.Result {
	switch r.Action {
	case drivers.Stop:
		return drivers.Result{}
	case drivers.Monitor:
		if r.Interval == 0 {
			return drivers.Result{RC: drivers.NotRunning}
		}
	case drivers.Start:
	default:
		return drivers.Result{RC: drivers.Unimplemented, Status: drivers.NotSupported, Reason: "fence devices do not have the action " + r.Action}
	}
	if d.asker == nil {
		return drivers.Result{}
	}
	o := d.asker.Ask(ctx, r.Resource, r.Timeout)
	switch o.Code {
	case fencing.Succeeded:
		return drivers.Result{Output: o.Text}
	case fencing.TimedOut:
		return drivers.Result{RC: drivers.GenericError, Status: drivers.TimedOut, Reason: reason(o)}
	}
	return drivers.Result{RC: drivers.GenericError, Status: drivers.Done, Reason: reason(o)}
}

func reason(o fencing.Outcome) string {
	if o.Hint == "" {
		return o.Text
	}
	return o.Text + " (" + o.Hint + ")"
}
