package fencing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gcrm/cib"
)

// Method talks to one kind of fence device. Implementations are safe for
// concurrent use and keep no state that matters: any node may call them at any
// time, also twice for the same purpose.
type Method interface {
	// Metadata is the agent's description in XML (fence agent API).
	Metadata(ctx context.Context) (string, error)
	// Do carries out one action and returns when it is over or ctx is done;
	// by then all that it started is gone. "off" of a node that is off and
	// "on" of one that is on succeed. What it writes into the outcome is for
	// people, and has no secrets.
	Do(ctx context.Context, call Call) Outcome
}

// Call is one action on a device.
type Call struct {
	Device string // id in the configuration
	Agent  string
	Action string
	Target string // name of the node; empty if none is concerned
	// Plug is what the device calls the target.
	Plug   string
	Params map[string]string
	// Self is the node that executes.
	Self string
}

// Param returns the first parameter of several spellings that is given and not
// empty, or else the default, which comes last.
func (c Call) Param(names ...string) string {
	for _, n := range names[:len(names)-1] {
		if v := c.Params[n]; v != "" {
			return v
		}
	}
	return names[len(names)-1]
}

// Duration is Param for a time in seconds; a value that is none gives the
// default.
func (c Call) Duration(def time.Duration, names ...string) time.Duration {
	v := c.Param(append(names, "")...)
	if v == "" {
		return def
	}
	d, err := cib.ParseDuration(v)
	if err != nil {
		return def
	}
	return d
}

// String leaves the parameters out, since some are secret.
func (c Call) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Device, c.Action, c.Target))
}

// Judge is implemented by methods that know what their success proves.
type Judge interface{ Proves() Proves }

// Secret reports whether the value of a parameter must never be shown.
func Secret(param string) bool {
	param = strings.ToLower(param)
	switch param {
	case "community", "snmp_community", "kg", "hexadecimal_kg", "auth_key", "token", "api_key", "apikey", "secret":
		return true
	}
	return (strings.Contains(param, "passw") || strings.Contains(param, "token") || strings.Contains(param, "secret")) &&
		!strings.HasSuffix(param, "_script") && !strings.HasSuffix(param, "_file")
}

// Shown returns parameters as they may be shown: secrets are replaced.
func Shown(params map[string]string) map[string]string {
	p := maps.Clone(params)
	for k := range p {
		if Secret(k) {
			p[k] = "******"
		}
	}
	return p
}

// Registry finds the method for an agent's name: a native one, or else the
// program of that name. It remembers what agents say about themselves and is a
// [cib.MetadataSource] for the class "stonith".
type Registry struct {
	native   map[string]Method
	external func(name string) (Method, error)
	names    func() []string

	mu   sync.Mutex
	meta map[string]*cib.AgentMeta
}

// NewRegistry makes a registry. external finds programs and lists their names;
// both may be nil.
func NewRegistry(native map[string]Method, external func(name string) (Method, error), names func() []string) *Registry {
	return &Registry{native: native, external: external, names: names, meta: map[string]*cib.AgentMeta{}}
}

// Method returns the method for an agent.
func (r *Registry) Method(agent string) (Method, error) {
	if m, ok := r.native[agent]; ok {
		return m, nil
	}
	if r.external == nil {
		return nil, fmt.Errorf("fence agent %s: %w", agent, cib.ErrNoAgent)
	}
	return r.external(agent)
}

// Native reports whether an agent is served without a program.
func (r *Registry) Native(agent string) bool { return r.native[agent] != nil }

// Proves is for [Sources].
func (r *Registry) Proves(agent string) (Proves, bool) {
	if j, ok := r.native[agent].(Judge); ok {
		return j.Proves(), true
	}
	return Always, false
}

// Agents implements [cib.MetadataSource].
func (r *Registry) Agents() []cib.AgentName {
	names := slices.Collect(maps.Keys(r.native))
	if r.names != nil {
		names = append(names, r.names()...)
	}
	slices.Sort(names)
	var out []cib.AgentName
	for _, n := range slices.Compact(names) {
		out = append(out, cib.AgentName{Class: "stonith", Type: n})
	}
	return out
}

// Metadata implements [cib.MetadataSource].
func (r *Registry) Metadata(n cib.AgentName) (*cib.AgentMeta, error) {
	if n.Class != "stonith" {
		return nil, fmt.Errorf("%s: %w", n, cib.ErrNoAgent)
	}
	r.mu.Lock()
	m, ok := r.meta[n.Type]
	r.mu.Unlock()
	if ok {
		return m, nil
	}
	method, err := r.Method(n.Type)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	text, err := method.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("fence agent %s: %w", n.Type, err)
	}
	if m, err = cib.ParseAgentMeta(text); err != nil {
		return nil, fmt.Errorf("fence agent %s: %w", n.Type, err)
	}
	r.mu.Lock()
	r.meta[n.Type] = m
	r.mu.Unlock()
	return m, nil
}

// Redact replaces secrets among params wherever they occur in a text.
func Redact(text string, params map[string]string) string {
	for k, v := range params {
		if Secret(k) && len(v) > 2 {
			text = strings.ReplaceAll(text, v, "******")
		}
	}
	return text
}
