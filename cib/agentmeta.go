package cib

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrNoAgent is what a [MetadataSource] returns, wrapped, for an agent that is
// not installed. Any other error means the agent is there and does not tell.
var ErrNoAgent = errors.New("no such agent")

// MetadataSource knows the agents of a host or a cluster. It must be safe for
// concurrent use, and should remember what it was asked before.
type MetadataSource interface {
	// Metadata returns the description of an agent. The result is shared
	// and must not be changed. (nil, nil) means that agents of the class
	// have no description, as systemd units.
	Metadata(AgentName) (*AgentMeta, error)
	// Agents lists all known agents in any order, for suggestions.
	Agents() []AgentName
}

// Text is a text in several languages, by language code.
type Text map[string]string

// In returns the text in a language, or else in English, or else any.
func (t Text) In(lang string) string {
	for _, l := range []string{lang, "en", ""} {
		if s, ok := t[l]; ok {
			return s
		}
	}
	for _, l := range slices.Sorted(maps.Keys(t)) {
		return t[l]
	}
	return ""
}

// AgentMeta is what an agent says about itself.
type AgentMeta struct {
	Name, Version string
	Short, Long   Text
	Params        []ParamMeta // in the agent's order
	Actions       []ActionMeta

	params map[string]int
}

// ParamMeta describes a parameter.
type ParamMeta struct {
	Name       string
	Type       string // string, integer, boolean, time, select, ...
	Default    string
	HasDefault bool
	Required   bool
	// Unique parameters must differ between resources of the agent.
	// UniqueGroup names those that must differ together; it is empty for a
	// parameter that is unique by itself.
	Unique      bool
	UniqueGroup string
	Reloadable  bool
	Deprecated  bool
	// ReplacedBy are the names to use instead of a deprecated one.
	ReplacedBy  []string
	Values      []ParamValue // of type select
	Short, Long Text
}

// ParamValue is one of the values of an enumeration.
type ParamValue struct {
	Value string
	Short Text
}

// ActionMeta describes an action; zero durations are not told.
type ActionMeta struct {
	Name       string
	Role       string
	Interval   time.Duration
	Timeout    time.Duration
	StartDelay time.Duration
	Depth      string // OCF_CHECK_LEVEL
	Automatic  bool   // fence agents: "on" runs by itself (unfencing)
	OnTarget   bool   // fence agents: runs on the node concerned
}

// Param returns a parameter by name, or nil.
func (m *AgentMeta) Param(name string) *ParamMeta {
	if m == nil {
		return nil
	}
	if i, ok := m.params[name]; ok {
		return &m.Params[i]
	}
	return nil
}

// Action returns the first description of an action, or nil. For a monitor
// with a role, one described for that role (in either vocabulary) is
// preferred.
func (m *AgentMeta) Action(name, role string) *ActionMeta {
	if m == nil {
		return nil
	}
	var found *ActionMeta
	for i := range m.Actions {
		a := &m.Actions[i]
		if a.Name != name {
			continue
		}
		if found == nil || a.Role != "" && modernRole(a.Role) == modernRole(role) && modernRole(found.Role) != modernRole(role) {
			found = a
		}
	}
	return found
}

// modernRole translates the older names of roles and makes the first letter
// a capital one.
func modernRole(role string) string {
	switch strings.ToLower(role) {
	case "master", "promoted":
		return "Promoted"
	case "slave", "unpromoted":
		return "Unpromoted"
	case "started":
		return "Started"
	case "stopped":
		return "Stopped"
	}
	return role
}

// Promotable reports whether the agent has the promoted role.
func (m *AgentMeta) Promotable() bool {
	return m.Action("promote", "") != nil && m.Action("demote", "") != nil
}

// agentMetaLimits bound what an agent may print.
var agentMetaLimits = Limits{Bytes: 4 << 20, Depth: 16, Nodes: 100000, Attrs: 64}

// ParseAgentMeta reads the meta-data of a resource agent or a fence agent. A
// document type without declarations of its own, as agents have it, is
// skipped; bytes that are not UTF-8 are replaced.
func ParseAgentMeta(text string) (*AgentMeta, error) {
	text, err := stripDoctype(strings.ToValidUTF8(text, "\ufffd"))
	if err != nil {
		return nil, err
	}
	root, err := ParseElement(text, agentMetaLimits)
	if err != nil {
		return nil, fmt.Errorf("agent meta-data: %w", err)
	}
	if root.Name != "resource-agent" {
		return nil, fmt.Errorf("agent meta-data: the root element is <%s>, not <resource-agent>", root.Name)
	}
	m := &AgentMeta{Name: root.Get("name"), Version: root.Get("version"), params: map[string]int{}}
	if v := root.Child("version"); v != nil && m.Version == "" {
		m.Version = strings.TrimSpace(v.Text)
	}
	m.Short, m.Long = textOf(root, "shortdesc"), textOf(root, "longdesc")
	if len(m.Short) == 0 && root.Has("shortdesc") {
		m.Short = Text{"en": root.Get("shortdesc")}
	}
	obsolete := map[string][]string{} // old name to those that say they obsolete it
	for e := range root.Child("parameters").Named("parameter") {
		p := parseParam(e)
		if p.Name == "" {
			continue
		}
		if old := e.Get("obsoletes"); old != "" {
			obsolete[old] = append(obsolete[old], p.Name)
		}
		if i, ok := m.params[p.Name]; ok {
			m.Params[i] = p
			continue
		}
		m.params[p.Name] = len(m.Params)
		m.Params = append(m.Params, p)
	}
	for old, by := range obsolete {
		if p := m.Param(old); p != nil {
			p.Deprecated, p.ReplacedBy = true, append(p.ReplacedBy, by...)
		}
	}
	for e := range root.Child("actions").Named("action") {
		m.Actions = append(m.Actions, parseAction(e))
	}
	return m, nil
}

// stripDoctype cuts a document type without an internal subset.
func stripDoctype(text string) (string, error) {
	i := strings.Index(text, "<!DOCTYPE")
	if i < 0 {
		return text, nil
	}
	if root := strings.Index(text, "<resource-agent"); root >= 0 && root < i {
		return text, nil // not a document type: let the parser complain
	}
	n := strings.IndexByte(text[i:], '>')
	if n < 0 || strings.Contains(text[i:i+n], "[") {
		return "", errors.New("agent meta-data: a document type with declarations is not accepted")
	}
	return text[:i] + text[i+n+1:], nil
}

func textOf(e *Element, name string) Text {
	var t Text
	for d := range e.Named(name) {
		if s := strings.TrimSpace(d.Text); s != "" {
			if t == nil {
				t = Text{}
			}
			t[d.Get("lang")] = s
		}
	}
	return t
}

func parseParam(e *Element) ParamMeta {
	p := ParamMeta{Name: e.Get("name"), Type: "string",
		Required: IsTrue(e.Get("required")), Unique: IsTrue(e.Get("unique")), UniqueGroup: e.Get("unique-group"),
		Reloadable: IsTrue(e.Get("reloadable")), Deprecated: IsTrue(e.Get("deprecated")),
		Short: textOf(e, "shortdesc"), Long: textOf(e, "longdesc")}
	p.Unique = p.Unique || p.UniqueGroup != ""
	if d := e.Child("deprecated"); d != nil {
		p.Deprecated = true
		for r := range d.Named("replaced-with") {
			p.ReplacedBy = append(p.ReplacedBy, r.Get("name"))
		}
	}
	if c := e.Child("content"); c != nil {
		if t := c.Get("type"); t != "" {
			p.Type = t
		}
		p.Default, p.HasDefault = c.Lookup("default")
		for o := range c.Named("option") {
			v := ParamValue{Value: o.Get("value"), Short: textOf(o, "shortdesc")}
			if v.Value == "" {
				v.Value = strings.TrimSpace(o.Text)
			}
			p.Values = append(p.Values, v)
		}
	}
	return p
}

func parseAction(e *Element) ActionMeta {
	duration := func(name string) time.Duration {
		d, err := ParseDuration(e.Get(name))
		if err != nil {
			return 0
		}
		return d
	}
	return ActionMeta{Name: e.Get("name"), Role: e.Get("role"), Depth: e.Get("depth"),
		Interval: duration("interval"), Timeout: duration("timeout"), StartDelay: duration("start-delay"),
		Automatic: IsTrue(e.Get("automatic")), OnTarget: IsTrue(e.Get("on_target"))}
}
