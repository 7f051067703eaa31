package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
)

func runRaClasses(ctx context.Context, s *Session, c *call) error {
	k := s.agents(ctx)
	if s.cfg.Format == "json" {
		type class struct {
			Name      string   `json:"name"`
			Providers []string `json:"providers,omitempty"`
		}
		var out []class
		for _, name := range k.list("", "") {
			cl := class{Name: name}
			if name == "ocf" {
				cl.Providers = k.Providers("")
			}
			out = append(out, cl)
		}
		return s.writeJSON(out)
	}
	for _, name := range k.list("", "") {
		if name == "ocf" {
			name += " / " + strings.Join(k.Providers(""), " ")
		}
		s.printf("%s\n", name)
	}
	return nil
}

func runRaList(ctx context.Context, s *Session, c *call) error {
	k := s.agents(ctx)
	class, provider := c.arg(0), c.arg(1)
	if !slices.Contains(k.list("", ""), class) {
		p := problemf("class %s does not exist", class).at(c.at(0))
		if near := nearest(class, k.list("", "")); near != "" {
			return p.hinting("did you mean %s?", near)
		}
		return p.hinting("there are %s", strings.Join(k.list("", ""), ", "))
	}
	if provider != "" && class == "ocf" && !slices.Contains(k.Providers(""), provider) {
		return problemf("there is no provider %s of class ocf", provider).at(c.at(1)).
			hinting("there are %s", strings.Join(k.Providers(""), ", "))
	}
	types := k.list(class, provider)
	if s.cfg.Format == "json" {
		return s.writeJSON(append([]string{}, types...))
	}
	s.columns(types)
	return nil
}

func runRaProviders(ctx context.Context, s *Session, c *call) error {
	providers := s.agents(ctx).Providers(c.arg(0))
	if s.cfg.Format == "json" {
		return s.writeJSON(append([]string{}, providers...))
	}
	if len(providers) == 0 {
		return problemf("nobody provides %s", c.arg(0)).at(c.at(0))
	}
	s.printf("%s\n", strings.Join(providers, " "))
	return nil
}

func runRaInfo(ctx context.Context, s *Session, c *call) error {
	typed := c.arg(0)
	switch len(c.words) { // the old form is TYPE CLASS [PROVIDER]
	case 2:
		typed = c.arg(1) + ":" + c.arg(0)
	case 3:
		typed = c.arg(1) + ":" + c.arg(2) + ":" + c.arg(0)
	}
	name, ok := s.agentOf(ctx, typed)
	if !ok {
		return problemf("%q is no agent name", typed).at(c.at(0)).hinting("write class:provider:type, as ocf:heartbeat:IPaddr2")
	}
	a := s.agents(ctx).answer(name)
	if a.err != nil {
		p := problemf("%s", strings.TrimPrefix(a.err.Error(), cib.ErrNoAgent.Error()+": ")).at(c.at(0))
		if noAgent(a.err) {
			if near := s.nearAgent(ctx, name); near != "" && !strings.Contains(p.text, "did you mean") {
				p.hinting("did you mean %s?", near)
			}
		}
		return p
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(agentJSON(name, a))
	}
	return s.page(s.agentText(name, a))
}

// nearAgent returns the agent most like a name that does not exist.
func (s *Session) nearAgent(ctx context.Context, name cib.AgentName) string {
	var names []string
	for _, n := range s.agents(ctx).Agents() {
		names = append(names, n.String())
	}
	return nearest(name.String(), names)
}

// agentText describes an agent for people.
func (s *Session) agentText(name cib.AgentName, a *metaAnswer) string {
	var b strings.Builder
	if a.meta == nil {
		fmt.Fprintf(&b, "%s\n\nServed by: %s\n\nAgents of this class do not describe themselves.\n", s.color.bold(name.String()), a.source)
		return b.String()
	}
	m := a.meta
	fmt.Fprintf(&b, "%s (%s)\n\n", m.Short.In("en"), s.color.bold(name.String()))
	fmt.Fprintf(&b, "Served by: %s\n", a.source)
	if long := strings.TrimSpace(m.Long.In("en")); long != "" {
		b.WriteString("\n" + long + "\n")
	}
	if len(m.Params) > 0 {
		b.WriteString("\nParameters (*: required, []: default):\n")
	}
	params := slices.Clone(m.Params)
	slices.SortStableFunc(params, func(x, y cib.ParamMeta) int { return boolRank(y.Required) - boolRank(x.Required) })
	for i := range params {
		p := &params[i]
		b.WriteString("\n" + s.color.attrName(p.Name))
		if p.Required {
			b.WriteString("*")
		}
		fmt.Fprintf(&b, " (%s", paramType(p))
		if p.HasDefault && p.Default != "" {
			fmt.Fprintf(&b, ", [%s]", p.Default)
		}
		fmt.Fprintf(&b, "): %s\n", oneLine(p.Short.In("en")))
		if p.Deprecated {
			b.WriteString("    Deprecated")
			if len(p.ReplacedBy) > 0 {
				b.WriteString("; use " + strings.Join(p.ReplacedBy, " or "))
			}
			b.WriteString("\n")
		}
		for line := range strings.SplitSeq(strings.TrimSpace(p.Long.In("en")), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				b.WriteString("    " + line + "\n")
			}
		}
		for _, v := range p.Values {
			fmt.Fprintf(&b, "    %s  %s\n", v.Value, oneLine(v.Short.In("en")))
		}
	}
	if name.Class == "stonith" {
		b.WriteString("\nParameters of every fence device:\n\n")
		for _, p := range cib.FencingParams() {
			fmt.Fprintf(&b, "    %s: %s\n", s.color.attrName(p.Name), p.Short.In("en"))
		}
	}
	if len(m.Actions) > 0 {
		b.WriteString("\nOperations and what the agent advises:\n\n")
		for _, act := range m.Actions {
			fmt.Fprintf(&b, "    %s", s.color.keyword(act.Name))
			for _, kv := range [][2]string{{"role", act.Role}, {"interval", seconds(act.Interval)}, {"timeout", seconds(act.Timeout)}, {"OCF_CHECK_LEVEL", act.Depth}} {
				if kv[1] != "" && !(kv[0] == "OCF_CHECK_LEVEL" && kv[1] == "0") {
					fmt.Fprintf(&b, " %s=%s", kv[0], kv[1])
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func paramType(p *cib.ParamMeta) string {
	if p.Unique {
		return p.Type + ", unique"
	}
	return p.Type
}

func seconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return cib.FormatDuration(d)
}

// oneLine joins a text to one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func agentJSON(name cib.AgentName, a *metaAnswer) any {
	type param struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Default  string `json:"default,omitempty"`
		Required bool   `json:"required"`
		Unique   bool   `json:"unique"`
		Short    string `json:"short,omitempty"`
	}
	type action struct {
		Name     string `json:"name"`
		Role     string `json:"role,omitempty"`
		Interval string `json:"interval,omitempty"`
		Timeout  string `json:"timeout,omitempty"`
	}
	out := struct {
		Agent    string   `json:"agent"`
		ServedBy string   `json:"served_by"`
		Short    string   `json:"short,omitempty"`
		Params   []param  `json:"parameters"`
		Actions  []action `json:"actions"`
	}{Agent: name.String(), ServedBy: a.source, Params: []param{}, Actions: []action{}}
	if a.meta == nil {
		return out
	}
	out.Short = oneLine(a.meta.Short.In("en"))
	for i := range a.meta.Params {
		p := &a.meta.Params[i]
		out.Params = append(out.Params, param{p.Name, p.Type, p.Default, p.Required, p.Unique, oneLine(p.Short.In("en"))})
	}
	for _, act := range a.meta.Actions {
		out.Actions = append(out.Actions, action{act.Name, act.Role, seconds(act.Interval), seconds(act.Timeout)})
	}
	return out
}
