package fencing

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// Configuration is what a CIB says about fencing. It is not changed after
// [Unpack] made it.
type Configuration struct {
	// Version is that of the CIB.
	Version cib.Version
	// Devices are by id; Order is that of the document.
	Devices map[string]*Device
	Order   []string
	// Timeout holds for actions without one of their own (stonith-timeout).
	Timeout time.Duration
	// Action is stonith-action.
	Action string
	// MaxAttempts is stonith-max-attempts.
	MaxAttempts int
	// WatchdogTimeout is stonith-watchdog-timeout; negative stands for twice
	// what the nodes' watchdogs have.
	WatchdogTimeout time.Duration
	// Concurrent is concurrent-fencing.
	Concurrent bool

	watchdog   *Device // explicit stonith:fence_watchdog
	levels     []Level
	attributes map[string]map[string]string // of nodes, by name in lower case
}

// Nodes lists the names of the nodes, as the document spells them.
func (c *Configuration) Nodes() []string {
	var out []string
	for _, a := range c.attributes {
		out = append(out, a["#uname"])
	}
	slices.Sort(out)
	return out
}

// Watchdog is how long a node that is lost is given to be reset by its watchdog;
// zero if that is not relied on. armed are the watchdogs that nodes have, by name
// in lower case.
func (c *Configuration) Watchdog(node string, armed map[string]time.Duration) time.Duration {
	op := &operation{conf: c, target: node, m: &Machine{armed: armed}}
	return op.watchdogTime()
}

// Sources is what unpacking needs to know beyond the document; all may be nil.
type Sources struct {
	// Agents tells what fence agents say about themselves (class "stonith").
	Agents cib.MetadataSource
	// Allowed tells whether a node may execute a device by its placement.
	// If nil, location constraints without rules are looked at.
	Allowed func(device, node string) bool
	// Rule evaluates a rule of a parameter set. If nil, sets with rules do
	// not count.
	Rule func(rule *cib.Element) bool
	// Proves tells what the success of an agent proves. If nil, or for what
	// it does not know, it is the judgement on the well-known agents.
	Proves func(agent string) (Proves, bool)
}

// Unpack reads devices, levels and properties. What is wrong with them is
// told, and the rest is used.
func Unpack(doc *cib.CIB, s Sources) (*Configuration, []cib.Problem) {
	u := &unpacker{doc: doc, src: s, index: cib.NewIndex(doc), conf: &Configuration{
		Version: doc.Version(), Devices: map[string]*Device{}, Timeout: time.Minute, Action: Reboot, MaxAttempts: 10,
		Concurrent: true, attributes: map[string]map[string]string{}}}
	u.properties()
	u.nodes()
	for e := range doc.Primitives() {
		if a := u.index.Agent(e); a.Class == "stonith" {
			u.device(e, a.Type)
		}
	}
	u.bans()
	for e := range doc.Section("fencing-topology").Named("fencing-level") {
		l, err := parseLevel(e)
		if err != nil {
			u.problem(cib.Error, e.ID(), err.Error(), "")
			continue
		}
		u.conf.levels = append(u.conf.levels, l)
	}
	return u.conf, u.problems
}

type unpacker struct {
	doc      *cib.CIB
	src      Sources
	index    *cib.Index
	conf     *Configuration
	problems []cib.Problem
}

func (u *unpacker) problem(s cib.Severity, object, text, hint string) {
	u.problems = append(u.problems, cib.Problem{Severity: s, Object: object, Text: text, Hint: hint})
}

func (u *unpacker) properties() {
	c := u.conf
	duration := func(to *time.Duration, names ...string) {
		v, ok := u.doc.Property(names...)
		if !ok {
			return
		}
		sign := time.Duration(1)
		if strings.HasPrefix(v, "-") {
			v, sign = v[1:], -1
		}
		d, err := cib.ParseDuration(v)
		if err != nil {
			u.problem(cib.Error, names[0], err.Error(), "")
			return
		}
		*to = sign * d
	}
	duration(&c.Timeout, "stonith-timeout", "fencing-timeout")
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	duration(&c.WatchdogTimeout, "stonith-watchdog-timeout", "fencing-watchdog-timeout")
	if v, ok := u.doc.Property("stonith-action", "fencing-action"); ok {
		if v == "poweroff" {
			v = Off
		}
		c.Action = v
	}
	if v, ok := u.doc.Property("stonith-max-attempts", "fencing-max-attempts"); ok {
		if n, err := cib.ParseScore(v); err == nil && n > 0 {
			c.MaxAttempts = n
		}
	}
	if v, ok := u.doc.Property("concurrent-fencing"); ok {
		c.Concurrent = cib.IsTrue(v)
	}
}

func (u *unpacker) nodes() {
	for _, n := range u.doc.Nodes() {
		attrs := map[string]string{}
		put := func(parent *cib.Element) {
			for _, set := range slices.Backward(cib.OrderedSets(parent, "instance_attributes")) {
				for p := range set.Named("nvpair") {
					attrs[p.Get("name")] = p.Get("value")
				}
			}
		}
		put(n.Element)
		if st := u.doc.NodeState(n.ID); st != nil {
			if t := st.Child("transient_attributes"); t != nil {
				put(t)
			}
		}
		attrs["#uname"], attrs["#id"] = n.Uname, n.ID
		u.conf.attributes[strings.ToLower(n.Uname)] = attrs
	}
}

// values collects name and value of the sets of a primitive, those of its
// template behind its own.
func (u *unpacker) values(e *cib.Element, set string) map[string]string {
	v := map[string]string{}
	from := []*cib.Element{e}
	if t := u.index.Template(e); t != nil {
		from = append(from, t)
	}
	for _, parent := range from {
		for _, ref := range cib.OrderedSets(parent, set) {
			s := u.index.Resolve(ref)
			if s == nil {
				continue
			}
			if r := s.Child("rule"); r != nil && (u.src.Rule == nil || !u.src.Rule(r)) {
				continue
			}
			for p := range s.Named("nvpair") {
				pair := u.index.Resolve(p)
				if pair == nil {
					continue
				}
				name := pair.Get("name")
				if n, ok := p.Lookup("name"); ok {
					name = n
				}
				if _, taken := v[name]; !taken && pair.Has("value") {
					v[name] = pair.Get("value")
				}
			}
		}
	}
	return v
}

// meta adds to a resource's own meta attributes those of what it is in, and
// the defaults.
func (u *unpacker) meta(e *cib.Element) map[string]string {
	m := u.values(e, "meta_attributes")
	for x, ok := u.index.Lookup(e.ID()); ok && x.Parent != nil && cib.IsResource(x.Parent.Name); x, ok = u.index.Lookup(x.Parent.ID()) {
		for k, v := range u.values(x.Parent, "meta_attributes") {
			if _, taken := m[k]; !taken {
				m[k] = v
			}
		}
	}
	if d := u.doc.Section("rsc_defaults"); d != nil {
		for k, v := range u.values(d, "meta_attributes") {
			if _, taken := m[k]; !taken {
				m[k] = v
			}
		}
	}
	return m
}

func (u *unpacker) device(e *cib.Element, agent string) {
	params, meta := u.values(e, "instance_attributes"), u.meta(e)
	d := &Device{ID: e.ID(), Agent: agent, Params: map[string]string{}, Limit: 1, Commands: map[string]Command{},
		Banned: map[string]bool{}}
	if u.src.Agents != nil {
		m, err := u.src.Agents.Metadata(cib.AgentName{Class: "stonith", Type: agent})
		if err != nil {
			u.problem(cib.Warning, d.ID, "the fence agent "+agent+" does not tell what it can do: "+err.Error(),
				"install it on every node that is to use the device")
		}
		d.Meta = m
	}
	d.Disabled = strings.EqualFold(meta["target-role"], "stopped")
	d.Priority, _ = cib.ParseScore(cmp.Or(meta["priority"], params["priority"], "0"))
	d.Proves = provesByName(agent)
	if u.src.Proves != nil {
		if p, ok := u.src.Proves(agent); ok {
			d.Proves = p
		}
	}
	on := d.Meta.Action(On, "")
	d.declared = slices.Contains(strings.Fields(cmp.Or(params["provides"], meta["provides"])), "unfencing")
	d.Unfences = d.declared || on != nil && on.Automatic
	for _, name := range slices.Sorted(maps.Keys(params)) {
		v := params[name]
		switch {
		case strings.HasPrefix(name, "pcmk_"):
			u.pcmk(d, strings.TrimPrefix(name, "pcmk_"), v)
		case name == "priority" && d.Meta.Param(name) == nil, name == "provides", name == "stonith-timeout",
			name == "crm_feature_set", strings.HasPrefix(name, "CRM_meta_"):
		case name == "action" || name == "option":
			u.problem(cib.Warning, d.ID, "the parameter "+name+" of a fence device is ignored", "use pcmk_off_action and the like")
		default:
			d.Params[name] = v
		}
	}
	u.complete(d, params)
	d.Verified = started(u.doc, []string{d.ID})[d.ID]
	if agent == "fence_watchdog" {
		u.conf.watchdog = d
		return
	}
	u.conf.Devices[d.ID] = d
	u.conf.Order = append(u.conf.Order, d.ID)
}

// pcmk reads one parameter with the prefix left off.
func (u *unpacker) pcmk(d *Device, name, v string) {
	var err error
	switch name {
	case "host_argument":
		if v != "none" {
			d.Argument = v
		}
	case "host_map":
		d.Map, err = ParseHostMap(v)
	case "host_list":
		d.List = ParseHostList(v)
	case "host_check":
		switch d.Check, d.CheckGiven = HostCheck(v), true; d.Check {
		case StaticList, DynamicList, ByStatus, NoCheck:
		default:
			u.problem(cib.Error, d.ID, "pcmk_host_check is "+strconv.Quote(v), "use static-list, dynamic-list, status or none")
			d.Check, d.CheckGiven = "", false
		}
	case "delay_base":
		d.DelayBase, d.DelayBases, err = parseDelayBase(v)
	case "delay_max":
		d.DelayMax, err = cib.ParseDuration(v)
	case "action_limit":
		d.Limit, err = strconv.Atoi(v)
		if d.Limit == 0 || err != nil {
			d.Limit = 1
		}
	default:
		action, what, ok := cutLast(name, "_")
		c := d.Commands[action]
		switch {
		case ok && what == "action":
			c.Action = v
		case ok && what == "timeout":
			c.Timeout, err = cib.ParseDuration(v)
		case ok && what == "retries":
			c.Retries, err = strconv.Atoi(v)
		default:
			u.problem(cib.Warning, d.ID, "the parameter pcmk_"+name+" is not known and has no effect", "")
			return
		}
		d.Commands[action] = c
	}
	if err != nil {
		u.problem(cib.Error, d.ID, "pcmk_"+name+": "+err.Error(), "")
	}
}

// complete fills in what follows from the rest.
func (u *unpacker) complete(d *Device, params map[string]string) {
	if _, given := params["pcmk_host_argument"]; !given {
		switch {
		case d.Meta.Param("plug") != nil:
			d.Argument = "plug"
		case d.Meta.Param("port") != nil:
			d.Argument = "port"
		case d.Meta == nil:
			d.Argument = "port"
		}
	}
	if !d.CheckGiven {
		switch {
		case len(d.Map) > 0 || len(d.List) > 0:
			d.Check = StaticList
		case d.Meta != nil && d.HasAction(List):
			d.Check = DynamicList
		case d.Meta != nil && d.HasAction(Status):
			d.Check = ByStatus
		default:
			d.Check = NoCheck
		}
	}
	if d.Check == StaticList && len(d.Map) == 0 && len(d.List) == 0 {
		u.problem(cib.Warning, d.ID, "the device fences no node: pcmk_host_check is static-list, and there is no list",
			"add pcmk_host_list or pcmk_host_map")
	}
	for _, node := range slices.Sorted(maps.Keys(d.Map)) {
		if _, known := u.conf.attributes[node]; !known && len(u.conf.attributes) > 0 {
			u.problem(cib.Warning, d.ID, "pcmk_host_map names "+node+", which is not a node of the cluster", "")
		}
	}
	for _, node := range d.List {
		if _, known := u.conf.attributes[node]; !known && len(u.conf.attributes) > 0 && len(d.Map) == 0 {
			u.problem(cib.Warning, d.ID, "pcmk_host_list names "+node+", which is not a node of the cluster", "list names of nodes; what the device calls them belongs into pcmk_host_map")
		}
	}
	d.Split = d.rebootsInHalves() && d.HasAction(On) && d.HasAction(Off) && d.HasAction(Status) && !d.Unfences
}

// started looks at the history for the nodes, in lower case, where devices are
// started.
func started(doc *cib.CIB, devices []string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, id := range devices {
		out[id] = map[string]bool{}
	}
	for _, n := range doc.Nodes() {
		st := doc.NodeState(n.ID)
		if st == nil {
			continue
		}
		for r := range st.Child("lrm").Child("lrm_resources").Named("lrm_resource") {
			id, _, _ := strings.Cut(r.ID(), ":")
			if out[id] == nil {
				continue
			}
			last, ok := -1, false
			for e := range r.Named("lrm_rsc_op") {
				call, err := strconv.Atoi(e.Get("call-id"))
				if err != nil || call <= last {
					continue
				}
				switch e.Get("operation") {
				case "start", "monitor":
					last, ok = call, e.Get("rc-code") == "0"
				case "stop":
					last, ok = call, false
				}
			}
			if ok {
				out[id][strings.ToLower(n.Uname)] = true
			}
		}
	}
	return out
}

// bans finds the nodes that must not execute a device.
func (u *unpacker) bans() {
	for _, d := range u.conf.Devices {
		for _, n := range u.doc.Nodes() {
			if u.src.Allowed != nil {
				d.Banned[strings.ToLower(n.Uname)] = !u.src.Allowed(d.ID, n.Uname)
			} else if u.score(d.ID, n.Uname) <= -cib.Infinity {
				d.Banned[strings.ToLower(n.Uname)] = true
			}
		}
	}
}

// score adds the constraints without rules that place a device, or what it is
// in, on a node.
func (u *unpacker) score(device, node string) int {
	ids := map[string]bool{}
	for x, ok := u.index.Lookup(device); ok && cib.IsResource(x.Element.Name); x, ok = u.index.Lookup(x.Parent.ID()) {
		ids[x.Element.ID()] = true
	}
	total := 0
	for c := range u.doc.Section("constraints").Named("rsc_location") {
		if !strings.EqualFold(c.Get("node"), node) || !ids[c.Get("rsc")] {
			continue
		}
		if s, err := cib.ParseScore(c.Get("score")); err == nil {
			total = cib.AddScores(total, s)
		}
	}
	return total
}

// provesByName judges well-known agents.
func provesByName(agent string) Proves {
	switch agent {
	case "fence_kdump":
		return Sometimes
	case "fence_sbd", "external/sbd":
		return Reports
	case "fence_null", "null", "fence_ssh", "ssh", "external/ssh", "suicide", "fence_dummy", "fence_heuristics_ping", "fence_watchdog":
		return Never
	}
	return Always
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
