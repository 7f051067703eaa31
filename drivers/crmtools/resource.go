package crmtools

import "fmt"

// crmResource is crm_resource as agents use it: to read and write parameters,
// meta and utilization attributes of resources, and to ask where one runs.
func (c *command) crmResource(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"resource", "r", hasArgument}, {"get-parameter", "g", hasArgument}, {"set-parameter", "p", hasArgument},
		{"parameter-value", "v", hasArgument}, {"delete-parameter", "d", hasArgument}, {"set-name", "s", hasArgument},
		{"meta", "m", noArgument}, {"utilization", "z", noArgument}, {"locate", "W", noArgument},
		{"quiet", "Q", noArgument}, {"verbose", "V", noArgument},
	})
	switch {
	case err != nil:
		return c.fail(exitUsage, "%v (agents are served -g, -p, -d and -W; the shell has the rest)", err)
	case len(rest) > 0:
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	}
	if f["resource"] == "" {
		f["resource"] = c.env.Getenv("OCF_RESOURCE_INSTANCE")
	}
	if f["resource"] == "" {
		return c.fail(exitUsage, "must supply a resource id with -r")
	}
	a := Attribute{Section: ResourceParameters, Resource: f["resource"], Set: f["set-name"]}
	switch {
	case f.has("meta") && f.has("utilization"):
		return c.fail(exitUsage, "--meta and --utilization exclude each other")
	case f.has("meta"):
		a.Section = ResourceMeta
	case f.has("utilization"):
		a.Section = ResourceUtilization
	}
	switch {
	case f.has("locate"):
		return c.locate(f["resource"], f.has("quiet"))
	case f.has("get-parameter"):
		a.Name = f["get-parameter"]
		return c.parameter(a)
	case f.has("set-parameter"):
		if !f.has("parameter-value") {
			return c.fail(exitUsage, "--set-parameter needs the value by --parameter-value")
		}
		a.Name = f["set-parameter"]
		value := f["parameter-value"]
		return c.apply(a, &value, 0)
	case f.has("delete-parameter"):
		a.Name = f["delete-parameter"]
		return c.apply(a, nil, 0)
	}
	return c.fail(exitUsage, "one of --get-parameter, --set-parameter, --delete-parameter, --locate is needed")
}

// parameter prints a value; one that is not set is told and no failure.
func (c *command) parameter(a Attribute) int {
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	value, ok, err := b.Attribute(c.ctx, a)
	switch {
	case err != nil:
		return c.failed(err)
	case !ok:
		fmt.Fprintf(c.env.Stderr, "Attribute '%s' not found for '%s'\n", a.Name, a.Resource)
		return exitOK
	}
	fmt.Fprintln(c.env.Stdout, value)
	return exitOK
}

// locate says where a resource is active. The word for the promoted role is
// the one that scripts look for.
func (c *command) locate(resource string, quiet bool) int {
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	places, err := b.Located(c.ctx, resource)
	if err != nil {
		return c.failed(err)
	}
	for _, p := range places {
		role := ""
		if p.Promoted {
			role = "Master"
		}
		if quiet {
			fmt.Fprintln(c.env.Stdout, p.Node)
		} else {
			fmt.Fprintf(c.env.Stdout, "resource %s is running on: %s %s\n", resource, p.Node, role)
		}
	}
	if len(places) == 0 && !quiet {
		fmt.Fprintf(c.env.Stderr, "resource %s is NOT running\n", resource)
	}
	return exitOK
}
