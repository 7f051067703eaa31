package crmtools

import (
	"fmt"
)

func attributeOptions() []option {
	return []option{
		{"name", "n", hasArgument}, {"attr-name", "", hasArgument},
		{"query", "G", noArgument}, {"get-value", "", noArgument},
		{"update", "v", hasArgument}, {"attr-value", "", hasArgument},
		{"delete", "D", noArgument}, {"delete-attr", "", noArgument},
		{"node", "NU", hasArgument}, {"uname", "", hasArgument},
		{"lifetime", "l", hasArgument}, {"type", "t", hasArgument},
		{"set-name", "s", hasArgument}, {"id", "i", hasArgument},
		{"default", "d", hasArgument}, {"utilization", "z", noArgument},
		{"promotion", "p", mayHaveArgument}, {"quiet", "qQ", noArgument},
		{"verbose", "V", noArgument}, {"pattern", "P", hasArgument}, {"inhibit-policy-engine", "!", noArgument},
	}
}

// crmAttribute is crm_attribute.
func (c *command) crmAttribute(args []string) int {
	f, rest, err := parseFlags(args, attributeOptions())
	if err != nil {
		return c.fail(exitUsage, "%v", err)
	}
	if len(rest) > 0 {
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	}
	return c.attribute(f)
}

// crmMaster is crm_master: crm_attribute on the promotion score of the
// resource the environment names, for ever unless told otherwise.
func (c *command) crmMaster(args []string) int {
	options := append(attributeOptions(), option{"resource", "r", hasArgument})
	f, rest, err := parseFlags(args, options)
	if err != nil || len(rest) > 0 {
		if err == nil {
			err = fmt.Errorf("unexpected argument %q", rest[0])
		}
		return c.fail(exitError, "%v", err)
	}
	resource := c.env.Getenv("OCF_RESOURCE_INSTANCE")
	if f.has("resource") {
		resource = f["resource"]
	}
	if resource == "" {
		return c.fail(exitError, "it belongs into a resource agent: OCF_RESOURCE_INSTANCE is not set")
	}
	if !f.has("lifetime") {
		f["lifetime"] = "forever"
	}
	f["name"] = promotionAttribute(resource)
	return c.attribute(f)
}

// attribute carries out what the options of crm_attribute say.
func (c *command) attribute(f flags) int {
	for old, name := range map[string]string{"attr-name": "name", "get-value": "query", "attr-value": "update", "delete-attr": "delete", "uname": "node"} {
		if f.has(old) && !f.has(name) {
			f[name] = f[old]
		}
	}
	for _, name := range []string{"pattern", "id"} {
		if f.has(name) {
			return c.fail(exitUsage, "option --%s is not served to agents", name)
		}
	}
	if f.has("promotion") {
		resource := f["promotion"]
		if resource == "" {
			resource = c.env.Getenv("OCF_RESOURCE_INSTANCE")
		}
		if resource == "" {
			return c.fail(exitUsage, "-p/--promotion must be called from an OCF resource agent or with a resource ID specified")
		}
		f["name"] = promotionAttribute(resource)
		if !f.has("lifetime") {
			f["lifetime"] = "reboot"
		}
	}
	if f["name"] == "" {
		return c.fail(exitUsage, "must specify attribute name or pattern")
	}
	a := Attribute{Name: f["name"], Set: f["set-name"]}
	var err error
	if a.Section, err = section(f); err != nil {
		return c.fail(exitUsage, "%v", err)
	}
	if a.Section == Transient || a.Section == Permanent || a.Section == Utilization {
		if a.Node, err = c.node(f["node"]); err != nil {
			return c.failed(err)
		}
	}
	switch {
	case f.has("update"):
		value := f["update"]
		return c.apply(a, &value, 0)
	case f.has("delete"):
		return c.apply(a, nil, 0)
	}
	return c.query(a, f)
}

// section finds where the attribute lives from -t, -l, -N and -z.
func section(f flags) (Section, error) {
	switch f["lifetime"] {
	case "", "forever", "reboot":
	default:
		return 0, fmt.Errorf("unknown lifetime %q (reboot or forever)", f["lifetime"])
	}
	switch kind := f["type"]; kind {
	case "status":
		return Transient, nil
	case "nodes":
		if f.has("utilization") {
			return Utilization, nil
		}
		return Permanent, nil
	case "crm_config":
		return Properties, nil
	case "rsc_defaults":
		return RscDefaults, nil
	case "op_defaults":
		return OpDefaults, nil
	case "":
	default:
		return 0, fmt.Errorf("unknown section %q (nodes, status, crm_config, rsc_defaults, op_defaults)", kind)
	}
	switch {
	case f.has("utilization"):
		return Utilization, nil
	case f["lifetime"] == "reboot":
		return Transient, nil
	case f["lifetime"] == "forever" || f.has("node"):
		return Permanent, nil
	}
	return Properties, nil
}

// query prints the value, or exits with the code for nothing found.
func (c *command) query(a Attribute, f flags) int {
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	value, ok, err := b.Attribute(c.ctx, a)
	if err != nil {
		return c.failed(err)
	}
	if !ok {
		if !f.has("default") {
			return c.fail(exitNoSuch, "Error performing operation: No such device or address")
		}
		value = f["default"]
	}
	if f.has("quiet") {
		fmt.Fprintln(c.env.Stdout, value)
	} else {
		fmt.Fprintf(c.env.Stdout, "scope=%s  name=%s value=%s\n", a.Section, a.Name, value)
	}
	return exitOK
}
