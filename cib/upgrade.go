package cib

import (
	"fmt"
	"slices"
	"strings"
)

// Upgrade rewrites a configuration of an older schema so that it means the
// same under [DefaultSchema], and declares that: names that were spelled in
// other ways, defaults that were cluster properties, access control as it was
// before 2.0, requirements of operations that are now ones of resources. What
// no longer has any effect is left out. The notes tell what was done, by
// object.
//
// c is changed in place. A configuration of that schema or a newer one is left
// alone; one without a schema that is known is an error. The result may still
// have problems that it had before: see [CheckSchema].
func Upgrade(c *CIB) ([]EditNote, error) {
	target, _ := parseSchemaVersion(strings.TrimPrefix(DefaultSchema, "pacemaker-"))
	from, ok := parseSchemaVersion(strings.TrimPrefix(c.Schema(), "pacemaker-"))
	if !ok || !strings.HasPrefix(c.Schema(), "pacemaker-") || from < oldestSchema {
		return nil, fmt.Errorf("schema %q cannot be upgraded; set validate-with by hand to the oldest schema that fits (pacemaker-1.0 or newer)", c.Schema())
	}
	if from >= target {
		return nil, nil
	}
	u := &upgrader{cib: c, ids: NewIndex(c)}
	if from < 2000 {
		u.accessControl()
	}
	if from < 3000 {
		u.properties()
		u.nodes()
		u.resources()
		u.colocations()
	}
	c.Root.Set("validate-with", DefaultSchema)
	u.note("cib", "", "schema %s became %s", from, DefaultSchema)
	return u.notes, nil
}

type upgrader struct {
	cib   *CIB
	ids   *Index
	fresh map[string]bool // ids given away since
	notes []EditNote
}

func (u *upgrader) note(element, id, format string, a ...any) {
	u.notes = append(u.notes, EditNote{Element: element, ID: id, Text: fmt.Sprintf(format, a...)})
}

// newID returns an unused id like the one wished for.
func (u *upgrader) newID(wish string) string {
	if u.fresh == nil {
		u.fresh = map[string]bool{}
	}
	id := wish
	for i := 0; u.ids.Element(id) != nil || u.fresh[id]; i++ {
		id = fmt.Sprintf("%s-%d", wish, i)
	}
	u.fresh[id] = true
	return id
}

// upgradedName says what became of an option.
type upgradedName struct {
	name    string // "" if it was dropped
	section string // where it went, if it is no cluster property any more
	only    string // it is kept only with this value...
	value   string // ...which became this one
}

// upgradedProperties are cluster properties that 3.0 spells differently or
// does not know.
var upgradedProperties = map[string]upgradedName{
	"cluster_recheck_interval":            {name: "cluster-recheck-interval"},
	"dc_deadtime":                         {name: "dc-deadtime"},
	"default-action-timeout":              {name: "timeout", section: "op_defaults"},
	"default_action_timeout":              {name: "timeout", section: "op_defaults"},
	"default-migration-threshold":         {},
	"default_migration_threshold":         {},
	"default-resource-stickiness":         {name: "resource-stickiness", section: "rsc_defaults"},
	"default_resource_stickiness":         {name: "resource-stickiness", section: "rsc_defaults"},
	"default-resource-failure-stickiness": {name: "migration-threshold", section: "rsc_defaults", only: "-INFINITY", value: "1"},
	"default_resource_failure_stickiness": {name: "migration-threshold", section: "rsc_defaults", only: "-INFINITY", value: "1"},
	"election_timeout":                    {name: "election-timeout"},
	"expected-quorum-votes":               {},
	"is-managed-default":                  {name: "is-managed", section: "rsc_defaults"},
	"is_managed_default":                  {name: "is-managed", section: "rsc_defaults"},
	"no_quorum_policy":                    {name: "no-quorum-policy"},
	"notification-agent":                  {},
	"notification-recipient":              {},
	"remove_after_stop":                   {name: "remove-after-stop"},
	"shutdown_escalation":                 {name: "shutdown-escalation"},
	"startup_fencing":                     {name: "startup-fencing"},
	"stonith_action":                      {name: "stonith-action"},
	"stonith_enabled":                     {name: "stonith-enabled"},
	"stop_orphan_actions":                 {name: "stop-orphan-actions"},
	"stop_orphan_resources":               {name: "stop-orphan-resources"},
	"symmetric_cluster":                   {name: "symmetric-cluster"},
	"transition_idle_timeout":             {name: "cluster-delay"},
}

func (u *upgrader) properties() {
	for set := range u.cib.Section("crm_config").Named("cluster_property_set") {
		set.Children = slices.DeleteFunc(set.Children, func(p *Element) bool {
			if p.Name != "nvpair" {
				return false
			}
			name, value := p.Get("name"), p.Get("value")
			if name == "cluster-infrastructure" && outdatedInfrastructure(value) {
				u.note(set.Name, set.ID(), "%s=%s was dropped: it is of no significance", name, value)
				return true
			}
			to, ok := upgradedProperties[name]
			switch {
			case !ok:
				return false
			case to.name == "" || to.only != "" && value != to.only:
				u.note(set.Name, set.ID(), "%s was dropped: it has no effect any more", name)
				return true
			}
			if to.value != "" {
				p.Set("value", to.value)
			}
			p.Set("name", to.name)
			if to.section == "" {
				if _, taken := pairNamed(set, to.name, p); taken {
					u.note(set.Name, set.ID(), "%s was dropped: %s is set as well", name, to.name)
					return true
				}
				u.note(set.Name, set.ID(), "%s is called %s now", name, to.name)
				return false
			}
			defaults := u.cib.Configuration().Ensure(to.section)
			id := map[string]string{"rsc_defaults": "rsc-options", "op_defaults": "op-options"}[to.section]
			if u.moveInto(defaults, id, p) {
				u.note(set.Name, set.ID(), "%s became %s in %s", name, to.name, to.section)
			} else {
				u.note(set.Name, set.ID(), "%s was dropped: %s in %s says otherwise", name, to.name, to.section)
			}
			return true
		})
	}
}

func outdatedInfrastructure(v string) bool {
	switch v {
	case "heartbeat", "openais", "classic openais", "classic openais (with plugin)", "cman":
		return true
	}
	return false
}

// pairNamed finds another nvpair with a name in a set.
func pairNamed(set *Element, name string, but *Element) (*Element, bool) {
	for p := range set.Named("nvpair") {
		if p != but && p.Get("name") == name {
			return p, true
		}
	}
	return nil, false
}

// moveInto puts an nvpair into the meta_attributes below parent that hold
// always, unless one of them has the option already; id is that of a new set.
func (u *upgrader) moveInto(parent *Element, id string, p *Element) bool {
	var into *Element
	for set := range parent.Named("meta_attributes") {
		if set.Child("rule") != nil || set.Has("id-ref") {
			continue
		}
		if _, taken := pairNamed(set, p.Get("name"), p); taken {
			return false
		}
		if into == nil {
			into = set
		}
	}
	if into == nil {
		into = NewElement("meta_attributes", "id", u.newID(id))
		parent.Add(into)
	}
	into.Add(p)
	return true
}

func (u *upgrader) nodes() {
	for n := range u.cib.Section("nodes").Named("node") {
		if n.Get("type") == "normal" {
			n.Set("type", "member")
		}
	}
}

// upgradedFencing are parameters of fence devices that 3.0 spells differently.
var upgradedFencing = map[string]string{
	"pcmk_list_cmd": "pcmk_list_action", "pcmk_monitor_cmd": "pcmk_monitor_action", "pcmk_off_cmd": "pcmk_off_action",
	"pcmk_on_cmd": "pcmk_on_action", "pcmk_reboot_cmd": "pcmk_reboot_action", "pcmk_status_cmd": "pcmk_status_action",
}

func (u *upgrader) resources() {
	u.cib.Section("resources").Walk(func(e *Element) bool {
		if e.Name == "primitive" || e.Name == "template" {
			for set := range e.Named("instance_attributes") {
				u.parameters(e, set)
			}
			for set := range e.Named("meta_attributes") {
				u.metaAttributes(e, set)
			}
			for ops := range e.Named("operations") {
				for op := range ops.Named("op") {
					u.operation(e, op)
				}
			}
			return false
		}
		return true
	})
}

func (u *upgrader) parameters(e, set *Element) {
	set.Children = slices.DeleteFunc(set.Children, func(p *Element) bool {
		name := p.Get("name")
		if to, ok := upgradedFencing[name]; ok && p.Name == "nvpair" {
			p.Set("name", to)
			u.note(e.Name, e.ID(), "parameter %s is called %s now", name, to)
		}
		if name != "pcmk_arg_map" || p.Name != "nvpair" {
			return false
		}
		// Of a list of pairs, only the argument that names the node has a
		// successor.
		if port, ok := strings.CutPrefix(p.Get("value"), "port:"); ok {
			p.Set("name", "pcmk_host_argument")
			p.Set("value", port)
			u.note(e.Name, e.ID(), "parameter %s became pcmk_host_argument=%s", name, port)
			return false
		}
		u.note(e.Name, e.ID(), "parameter %s was dropped: it has no effect any more", name)
		return true
	})
}

func (u *upgrader) metaAttributes(e, set *Element) {
	set.Children = slices.DeleteFunc(set.Children, func(p *Element) bool {
		if p.Name != "nvpair" {
			return false
		}
		to, value := "", ""
		switch name := p.Get("name"); name {
		case "isolation", "isolation-host", "isolation-instance", "isolation-wrapper":
			// Without its isolation it must not run.
			to, value = "target-role", "Stopped"
		case "resource-failure-stickiness", "resource_failure_stickiness":
			if p.Get("value") == "-INFINITY" {
				to, value = "migration-threshold", "1"
			}
		default:
			return false
		}
		old := p.Get("name")
		if to == "" {
			u.note(e.Name, e.ID(), "%s was dropped: it has no effect any more", old)
			return true
		}
		if other, taken := pairNamed(set, to, p); taken {
			if to == "target-role" {
				other.Set("value", value)
			}
			u.note(e.Name, e.ID(), "%s was dropped: %s is %s", old, to, other.Get("value"))
			return true
		}
		p.Set("name", to)
		p.Set("value", value)
		u.note(e.Name, e.ID(), "%s became %s=%s", old, to, value)
		return false
	})
}

// operation moves requirements of operations to the resource, and settings of
// the operation among its parameters to its meta attributes.
func (u *upgrader) operation(rsc, op *Element) {
	name := op.Get("name")
	counts := name == "start" || name == "promote"
	require := func(p *Element) {
		if counts && u.moveInto(rsc, rsc.ID()+"-meta_attributes", p) {
			u.note(rsc.Name, rsc.ID(), "requires=%s of operation %s is one of the resource now", p.Get("value"), name)
		} else {
			u.note(rsc.Name, rsc.ID(), "requires of operation %s was dropped", name)
		}
	}
	if v, ok := op.Lookup("requires"); ok {
		op.Unset("requires")
		require(NewElement("nvpair", "id", u.newID(op.ID()+"-requires"), "name", "requires", "value", v))
	}
	var toMeta []*Element
	for _, set := range slices.Clone(op.Children) {
		if set.Name != "meta_attributes" && set.Name != "instance_attributes" {
			continue
		}
		before := len(set.Children)
		set.Children = slices.DeleteFunc(set.Children, func(p *Element) bool {
			if p.Name != "nvpair" {
				return false
			}
			switch p.Get("name") {
			case "requires":
				require(p)
				return true
			case "interval-origin", "start-delay", "enabled", "on-fail", "record-pending", "role", "timeout":
				if set.Name == "instance_attributes" {
					toMeta = append(toMeta, p)
					return true
				}
			}
			return false
		})
		if before > 0 && len(set.Children) == 0 && !u.referenced(set) {
			op.Remove(set)
		}
	}
	for _, p := range toMeta {
		// An attribute of the operation itself has always come first.
		if !op.Has(p.Get("name")) && u.moveInto(op, op.ID()+"-meta_attributes", p) {
			u.note(rsc.Name, rsc.ID(), "parameter %s of operation %s is a meta attribute now", p.Get("name"), name)
		} else {
			u.note(rsc.Name, rsc.ID(), "parameter %s of operation %s was dropped: it is set already", p.Get("name"), name)
		}
	}
}

func (u *upgrader) referenced(e *Element) bool { return len(u.ids.References(e.ID())) > 0 }

func (u *upgrader) colocations() {
	for e := range u.cib.Section("constraints").Named("rsc_colocation") {
		for _, a := range []string{"score-attribute", "score-attribute-mangle"} {
			if e.Has(a) {
				e.Unset(a)
				u.note(e.Name, e.ID(), "%s was dropped: it never had an effect", a)
			}
		}
	}
}

// accessControl turns users with rules of their own into users with a role.
func (u *upgrader) accessControl() {
	acls := u.cib.Section("acls")
	if acls == nil {
		return
	}
	var out []*Element
	for _, e := range acls.Children {
		out = append(out, e)
		switch e.Name {
		case "acl_role":
			u.permissions(e)
		case "acl_user":
			e.Name = "acl_target"
			u.note(e.Name, e.ID(), "the user is an ACL target now")
			for r := range e.Named("role_ref") {
				r.Name = "role"
			}
			role := &Element{Name: "acl_role"}
			e.Children = slices.DeleteFunc(e.Children, func(p *Element) bool {
				own := p.Name == "read" || p.Name == "write" || p.Name == "deny"
				if own {
					role.Add(p)
				}
				return own
			})
			if len(role.Children) == 0 {
				continue
			}
			role.Set("id", u.newID("auto-"+e.ID()))
			u.permissions(role)
			e.Add(NewElement("role", "id", role.ID()))
			out = append(out, role)
			u.note(role.Name, role.ID(), "it has the rules that user %s had", e.ID())
		}
	}
	acls.Children = out
}

func (u *upgrader) permissions(role *Element) {
	for p := range role.Elements() {
		if p.Name != "read" && p.Name != "write" && p.Name != "deny" {
			continue
		}
		n := NewElement("acl_permission", "id", p.ID(), "kind", p.Name)
		attribute := p.Get("attribute")
		switch {
		case p.Has("ref"):
			n.Set("reference", p.Get("ref"))
			if attribute != "" {
				u.note(role.Name, role.ID(), "the attribute %s of rule %s was dropped: it is about the whole object now", attribute, p.ID())
			}
		case p.Has("tag"):
			n.Set("object-type", p.Get("tag"))
			if attribute != "" {
				n.Set("attribute", attribute)
			}
		case attribute != "":
			n.Set("xpath", p.Get("xpath")+"[@"+attribute+"]")
		default:
			n.Set("xpath", p.Get("xpath"))
		}
		*p = *n
	}
}
