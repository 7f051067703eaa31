package drivers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gcrm/suggest"
)

// Finder finds the agents of one class on this host (ocf scripts, systemd
// units, init scripts). It looks afresh at every call, so an agent installed
// later is found without a restart.
type Finder interface {
	// Find returns the agent of that name; if there is none, the error is a
	// *NotFoundError that names every place looked in.
	Find(name Name) (Agent, Source, error)
	// Providers lists the providers that have at least one agent, sorted;
	// empty for a class without providers.
	Providers() []string
	// Types lists the agent types of a provider, of all providers if it is
	// empty, sorted and without repetition.
	Types(provider string) []string
}

// Preference says which implementation serves a name that has both a script
// on the host and a native agent.
type Preference int

const (
	// PreferScript takes the script if it exists and is executable.
	PreferScript Preference = iota
	// PreferNative takes the native agent wherever there is one.
	PreferNative
)

func (p Preference) String() string {
	if p == PreferNative {
		return "native"
	}
	return "script"
}

// Preferences are the choices of a whole node. The zero value prefers
// scripts everywhere.
type Preferences struct {
	Default Preference
	Agents  map[Name]Preference
}

// For returns the preference for one agent.
func (p Preferences) For(n Name) Preference {
	if v, ok := p.Agents[n]; ok {
		return v
	}
	return p.Default
}

// ParsePreferences reads a list such as "native,ocf:heartbeat:IPaddr2=script":
// words separated by commas or blanks, a bare word being the default.
func ParsePreferences(s string) (Preferences, error) {
	p := Preferences{Agents: map[Name]Preference{}}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, choice, one := strings.Cut(word, "=")
		if !one {
			choice = name
		}
		var pref Preference
		switch choice {
		case "script":
			pref = PreferScript
		case "native":
			pref = PreferNative
		default:
			return Preferences{}, fmt.Errorf("agent preference %q: %q is neither script nor native", word, choice)
		}
		if !one {
			p.Default = pref
			continue
		}
		n, err := ParseName(name)
		if err != nil {
			return Preferences{}, fmt.Errorf("agent preference %q: %w", word, err)
		}
		p.Agents[n] = pref
	}
	return p, nil
}

// NotFoundError says that nothing serves an agent name on this host.
type NotFoundError struct {
	Name   Name
	Places []string // where it was looked for, as full paths or phrases
	Hint   string   // nearest existing name, or empty
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("agent %s is not installed", e.Name)
	if len(e.Places) > 0 {
		s += ": looked for " + strings.Join(e.Places, ", ")
	}
	if e.Hint != "" {
		s += " (did you mean " + e.Hint + "?)"
	}
	return s
}

// UnusableError says that an agent exists but cannot be run as it is.
type UnusableError struct {
	Name Name
	Path string
	Why  string
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("agent %s: %s %s", e.Name, e.Path, e.Why)
}

// Registry finds the agent for a name on one host. It is built once
// (package drivers/all) and is safe for concurrent use.
type Registry struct {
	natives map[Name]Agent
	finders map[string]Finder
	prefs   Preferences
}

// NewRegistry returns a registry over native agents and the finders of
// classes. Class service is served by the lsb and systemd finders and needs
// none of its own.
func NewRegistry(natives map[Name]Agent, finders map[string]Finder, prefs Preferences) *Registry {
	return &Registry{natives: maps.Clone(natives), finders: maps.Clone(finders), prefs: prefs}
}

// With returns a registry that has one more class, or another finder for one.
func (r *Registry) With(class string, f Finder) *Registry {
	finders := maps.Clone(r.finders)
	if finders == nil {
		finders = map[string]Finder{}
	}
	finders[class] = f
	return &Registry{natives: r.natives, finders: finders, prefs: r.prefs}
}

// Lookup returns the agent for a full name and what serves it.
//
// If both a script and a native agent exist the preferences decide; a script
// that is there but not executable yields to the native agent. The error is a
// *NotFoundError or *UnusableError.
func (r *Registry) Lookup(name Name) (Agent, Source, error) {
	if name.Class == "service" {
		return r.lookupService(name)
	}
	native, hasNative := r.natives[name]
	if hasNative && r.prefs.For(name) == PreferNative {
		return native, Source{Kind: "native"}, nil
	}
	finder, ok := r.finders[name.Class]
	if !ok && !hasNative {
		return nil, Source{}, &NotFoundError{Name: name, Places: []string{
			fmt.Sprintf("class %s, which is none of %s", name.Class, strings.Join(r.Classes(), ", "))}}
	}
	var err error
	if ok {
		var agent Agent
		var src Source
		if agent, src, err = finder.Find(name); err == nil {
			return agent, src, nil
		}
	}
	if hasNative {
		return native, Source{Kind: "native"}, nil
	}
	var missing *NotFoundError
	if errors.As(err, &missing) {
		e := *missing
		e.Places = append(slices.Clone(e.Places), "a built-in agent of that name")
		e.Hint = r.nearest(name)
		return nil, Source{}, &e
	}
	return nil, Source{}, err
}

// lookupService tries the init scripts and then the units, the order in which
// class service is defined.
func (r *Registry) lookupService(name Name) (Agent, Source, error) {
	missing := &NotFoundError{Name: name}
	for _, class := range []string{"lsb", "systemd"} {
		finder, ok := r.finders[class]
		if !ok {
			continue
		}
		agent, src, err := finder.Find(Name{Class: class, Type: name.Type})
		if err == nil {
			return agent, src, nil
		}
		var none *NotFoundError
		if !errors.As(err, &none) {
			return nil, Source{}, err
		}
		missing.Places = append(missing.Places, none.Places...)
	}
	return nil, Source{}, missing
}

// Classes lists the classes that can be asked for, sorted.
func (r *Registry) Classes() []string {
	set := map[string]bool{}
	for n := range r.natives {
		set[n.Class] = true
	}
	for c := range r.finders {
		set[c] = true
	}
	if set["lsb"] || set["systemd"] {
		set["service"] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// List lists the agent types of a class, sorted. For class ocf an empty
// provider means all of them.
func (r *Registry) List(class, provider string) []string {
	set := map[string]bool{}
	add := func(types []string) {
		for _, t := range types {
			set[t] = true
		}
	}
	if class == "service" {
		for _, c := range []string{"lsb", "systemd"} {
			if f, ok := r.finders[c]; ok {
				add(f.Types(""))
			}
		}
		return slices.Sorted(maps.Keys(set))
	}
	for n := range r.natives {
		if n.Class == class && (provider == "" || n.Provider == provider) {
			set[n.Type] = true
		}
	}
	if f, ok := r.finders[class]; ok {
		add(f.Types(provider))
	}
	return slices.Sorted(maps.Keys(set))
}

// Providers lists the ocf providers that have an agent of that type, all
// providers if typ is empty, sorted.
func (r *Registry) Providers(typ string) []string {
	set := map[string]bool{}
	for n := range r.natives {
		if n.Provider != "" && (typ == "" || n.Type == typ) {
			set[n.Provider] = true
		}
	}
	for _, f := range r.finders {
		for _, p := range f.Providers() {
			if typ == "" || slices.Contains(f.Types(p), typ) {
				set[p] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Native returns the built-in agent of a name whatever the preferences say.
func (r *Registry) Native(name Name) (Agent, bool) {
	a, ok := r.natives[name]
	return a, ok
}

// nearest finds an existing name that the caller may have meant: the same
// type under another provider, another case, or at most two slips away.
func (r *Registry) nearest(name Name) string {
	for _, p := range r.Providers(name.Type) {
		if p != name.Provider {
			return Name{name.Class, p, name.Type}.String()
		}
	}
	best := suggest.Nearest(name.Type, slices.Values(r.List(name.Class, name.Provider)), 2)
	if best == "" {
		return ""
	}
	return Name{name.Class, name.Provider, best}.String()
}
