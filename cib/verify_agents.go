package cib

import (
	"cmp"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
)

// agentChecker compares resources with what their agents say.
type agentChecker struct {
	*verifier
	source  MetadataSource
	opts    VerifyOptions
	known   map[AgentName]*AgentMeta // nil: not installed, or no description
	unique  map[string]string        // agent, parameter and value to the resource that has it
	opsTime time.Duration            // timeout of op_defaults, 0 if there is none
}

func (v *verifier) agents(source MetadataSource, opts VerifyOptions) {
	k := &agentChecker{verifier: v, source: source, opts: opts,
		known: map[AgentName]*AgentMeta{}, unique: map[string]string{}}
	if t, ok := SetValue(v.cib.Section("op_defaults"), "meta_attributes", "timeout"); ok {
		k.opsTime, _ = ParseDuration(t)
	}
	for t := range v.cib.Section("resources").Named("template") {
		k.meta(AgentOf(t), t.ID())
	}
	for _, r := range v.resources {
		if r.Name != "primitive" || r.agent.Type == "" {
			continue
		}
		m := k.meta(r.agent, r.id)
		ops := k.operations(r.Element)
		k.monitors(r, m, ops)
		if m == nil {
			continue
		}
		k.parameters(r, m)
		k.uniqueness(r, m)
		for _, op := range ops {
			k.operation(r, m, op)
		}
		k.promotion(r, m)
	}
}

// meta returns the description of an agent, or nil. The first resource of an
// agent that is not there gets the blame.
func (k *agentChecker) meta(name AgentName, object string) *AgentMeta {
	if m, asked := k.known[name]; asked {
		return m
	}
	m, err := k.source.Metadata(name)
	switch {
	case errors.Is(err, ErrNoAgent):
		if !k.opts.IgnoreMissingAgents {
			k.add(Warning, object, cmp.Or(k.suggestAgent(name), "install it on the nodes"), "agent %v is not installed here", name)
		}
	case err != nil:
		k.add(Warning, object, "its parameters cannot be checked", "agent %v does not describe itself: %v", name, err)
	}
	if err != nil {
		m = nil
	}
	k.known[name] = m
	return m
}

func (k *agentChecker) suggestAgent(name AgentName) string {
	agents := k.source.Agents()
	for _, a := range agents {
		if a.Class == name.Class && a.Type == name.Type && a != name {
			return "did you mean " + a.String() + "?"
		}
	}
	return didYouMean(name.String(), func(yield func(string) bool) {
		for _, a := range agents {
			if !yield(a.String()) {
				return
			}
		}
	})
}

// suppliedByFencing are parameters that the cluster passes to fence agents
// itself, whatever these say.
func suppliedByFencing(name string) bool {
	return name == "action" || name == "port" || name == "plug" || name == "nodename" || name == "option"
}

// commonParameter reports parameters that resources may have beyond those of
// their agents.
func commonParameter(class, name string) bool {
	if class == "stonith" { // package fencing checks them
		return strings.HasPrefix(name, "pcmk_") || name == "provides" || name == "stonith-timeout" || name == "priority"
	}
	return name == "trace_ra" || name == "trace_dir" || name == "trace_file"
}

func (k *agentChecker) parameters(r *resourceInfo, m *AgentMeta) {
	for set := range k.sets(r.Element, "instance_attributes") {
		for p := range set.Named("nvpair") {
			name, value := k.pair(p)
			if name == "" || name == "OCF_CHECK_LEVEL" || commonParameter(r.agent.Class, name) {
				continue
			}
			d := m.Param(name)
			if d == nil {
				k.demandForce(r.id, didYouMean(name, paramNames(m)), "parameter %q is not known to %v", name, r.agent)
				continue
			}
			if d.Deprecated {
				hint := ""
				if len(d.ReplacedBy) > 0 {
					hint = "use " + strings.Join(d.ReplacedBy, " or ")
				}
				k.add(Info, r.id, hint, "parameter %q is deprecated", name)
			}
			if text, ok := k.mistyped(d, value); !ok && value != SecretMarker {
				k.add(Warning, r.id, "", "parameter %s=%q is not %s", name, value, text)
			}
		}
	}
	for i := range m.Params {
		p := &m.Params[i]
		if _, given := r.params[p.Name]; given || !p.Required || p.Deprecated ||
			r.agent.Class == "stonith" && suppliedByFencing(p.Name) || k.olderNameGiven(m, p.Name, r.params) {
			continue
		}
		hint := p.Short.In("en")
		if hint == "" {
			hint = "set it with params " + p.Name + "=..."
		}
		k.demandForce(r.id, hint, "required parameter %q of %v is not set", p.Name, r.agent)
	}
}

// olderNameGiven reports whether a deprecated parameter stands in for one.
func (k *agentChecker) olderNameGiven(m *AgentMeta, name string, given map[string]string) bool {
	for i := range m.Params {
		if p := &m.Params[i]; p.Deprecated && slices.Contains(p.ReplacedBy, name) {
			if _, ok := given[p.Name]; ok {
				return true
			}
		}
	}
	return false
}

func paramNames(m *AgentMeta) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range m.Params {
			if !yield(m.Params[i].Name) {
				return
			}
		}
	}
}

func (k *agentChecker) mistyped(p *ParamMeta, value string) (want string, ok bool) {
	switch p.Type {
	case "integer":
		return describeType("integer", nil), value == "" || isInteger(value)
	case "boolean":
		_, ok := ParseBool(value)
		return describeType("boolean", nil), ok || value == ""
	case "select":
		if len(p.Values) == 0 {
			return "", true
		}
		var words []string
		for _, v := range p.Values {
			if v.Value == value {
				return "", true
			}
			words = append(words, v.Value)
		}
		return describeType("select", words), false
	}
	return "", true
}

// uniqueness finds resources that share what must differ between them.
func (k *agentChecker) uniqueness(r *resourceInfo, m *AgentMeta) {
	groups := map[string][]string{}
	var order []string
	for i := range m.Params {
		p := &m.Params[i]
		value, given := r.params[p.Name]
		if !p.Unique || !given || value == "" {
			continue
		}
		key := cmp.Or(p.UniqueGroup, p.Name)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], p.Name+"="+value)
	}
	for _, g := range order {
		what := strings.Join(groups[g], " ")
		key := r.agent.String() + "\x00" + g + "\x00" + what
		if other, taken := k.unique[key]; taken {
			k.add(Warning, r.id, "give it another value", "%s must be unique, but %s has the same", what, other)
			continue
		}
		k.unique[key] = r.id
	}
}

// operations lists the op elements that count for a primitive: its own, then
// those of its template that it does not replace (same name and interval).
func (k *agentChecker) operations(e *Element) []*Element {
	var out []*Element
	collect := func(from *Element) {
		for block := range from.Named("operations") {
			if block = k.index.Resolve(block); block == nil {
				continue
			}
			out = slices.AppendSeq(out, block.Named("op"))
		}
	}
	collect(e)
	own := len(out)
	if t := k.index.Template(e); t != nil {
		collect(t)
		kept := out[:own]
		for _, op := range out[own:] {
			if !slices.ContainsFunc(out[:own], func(o *Element) bool {
				return o.Get("name") == op.Get("name") && o.Get("interval") == op.Get("interval")
			}) {
				kept = append(kept, op)
			}
		}
		out = kept
	}
	return out
}

// monitors checks what needs no description: recurring monitors.
func (k *agentChecker) monitors(r *resourceInfo, m *AgentMeta, ops []*Element) {
	seen := map[string]bool{}
	recurring, promoted := 0, 0
	for _, op := range ops {
		name := op.Get("name")
		interval, err := ParseDuration(cmp.Or(op.Get("interval"), "0"))
		if err != nil {
			k.add(Warning, r.id, "it counts as 0", "interval %q of %s is not a time", op.Get("interval"), name)
		}
		if t := op.Get("timeout"); t != "" {
			if _, err := ParseDuration(t); err != nil {
				k.add(Warning, r.id, "the default applies instead", "timeout %q of %s is not a time", t, name)
			}
		}
		key := name + " " + interval.String()
		if seen[key] {
			k.add(Warning, r.id, "change one of the intervals",
				"interval in %s must be unique, %s is given twice: neither would run", name, FormatDuration(interval))
		}
		seen[key] = true
		switch {
		case name == "monitor" && interval > 0:
			if enabled, ok := ParseBool(op.Get("enabled")); ok && !enabled {
				continue
			}
			recurring++
			if modernRole(op.Get("role")) == "Promoted" {
				promoted++
			}
		case name == "monitor":
			k.add(Warning, r.id, "set an interval, as interval=10s", "a monitor without an interval does not recur")
		case (name == "start" || name == "stop" || name == "promote" || name == "demote") && interval > 0:
			k.add(Warning, r.id, "remove the interval", "%s does not recur, its interval must be 0", name)
		}
	}
	if recurring == 0 {
		s := Warning
		if r.agent.Class == "stonith" {
			s = Info
		}
		hint := "add op monitor interval=10s"
		if a := m.Action("monitor", ""); a != nil && a.Interval > 0 {
			hint = "add op monitor interval=" + FormatDuration(a.Interval)
			if a.Timeout > 0 {
				hint += " timeout=" + FormatDuration(a.Timeout)
			}
		}
		k.add(s, r.id, hint, "no monitor is configured, its failures will not be noticed")
	} else if promoted == 0 && k.promotable(r) {
		k.add(Info, r.id, "add op monitor role=Promoted with an interval of its own",
			"no monitor for the promoted role is configured")
	}
}

// operation compares an op with the agent's advice.
func (k *agentChecker) operation(r *resourceInfo, m *AgentMeta, op *Element) {
	name := op.Get("name")
	a := m.Action(name, op.Get("role"))
	if a == nil {
		switch name {
		case "monitor", "start", "stop", "on", "off", "reboot", "status", "list", "notify", "migrate_to", "migrate_from", "reload", "reload-agent", "promote", "demote", "validate-all":
			if len(m.Actions) > 0 && r.agent.Class != "stonith" {
				k.add(Warning, r.id, "", "%v does not know the action %s", r.agent, name)
			}
		default:
			if len(m.Actions) > 0 {
				k.add(Error, r.id, didYouMean(name, func(yield func(string) bool) {
					for _, a := range m.Actions {
						if !yield(a.Name) {
							return
						}
					}
				}), "%v has no action %q", r.agent, name)
			}
		}
		return
	}
	given := op.Get("timeout")
	if given == "" || a.Timeout == 0 {
		return
	}
	if t, err := ParseDuration(given); err == nil && t > 0 && t < a.Timeout {
		k.add(Warning, r.id, "", "specified timeout %s for %s is smaller than the advised %s", given, name, FormatDuration(a.Timeout))
	}
}

// promotion compares the agent's roles with where the resource stands.
func (k *agentChecker) promotion(r *resourceInfo, m *AgentMeta) {
	switch {
	case m.Promotable() && !k.promotable(r) && needsPromotion(r.agent):
		k.add(Warning, r.id, "put it into a clone with promotable=true",
			"%v is made to be promoted, but it is not in a promotable clone", r.agent)
	case m.Promotable() && !k.promotable(r) && r.clone != nil && r.clone.Name == "clone":
		k.add(Info, r.clone.id, "set meta promotable=true if it should be promoted",
			"%v can be promoted, but the clone is not promotable", r.agent)
	case !m.Promotable() && k.promotable(r) && r.group == nil && len(m.Actions) > 0:
		k.demandForce(r.top.id, "remove promotable=true", "%v cannot be promoted", r.agent)
	}
}

// needsPromotion reports agents that are of no use without the promoted role.
func needsPromotion(a AgentName) bool {
	return a.Type == "drbd" || a.Type == "Stateful" || a.Type == "DRBD"
}
