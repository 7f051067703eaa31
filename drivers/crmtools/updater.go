package crmtools

import (
	"fmt"
	"time"

	"gcrm/drivers/meta"
)

// attrdUpdater is attrd_updater: transient attributes of nodes. Private ones, which
// Pacemaker keeps out of the CIB, are kept like the others: whoever asks for them gets
// them, and a rule would see them too.
func (c *command) attrdUpdater(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"name", "n", hasArgument}, {"update", "Uv", hasArgument}, {"update-both", "B", hasArgument},
		{"update-delay", "Y", noArgument}, {"query", "Q", noArgument}, {"delete", "D", noArgument}, {"refresh", "R", noArgument},
		{"delay", "d", hasArgument}, {"set", "sS", hasArgument}, {"node", "N", hasArgument}, {"all", "A", noArgument},
		{"private", "p", noArgument}, {"lifetime", "l", hasArgument}, {"quiet", "q", noArgument}, {"verbose", "V", noArgument},
		{"wait", "W", hasArgument},
	})
	switch {
	case err != nil:
		return c.fail(exitUsage, "%v", err)
	case len(rest) > 0:
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	case f.has("refresh"):
		return exitOK // nothing is held back that could be sent again
	case f["name"] == "":
		return c.fail(exitUsage, "option --name is needed")
	}
	var delay time.Duration
	if f.has("delay") {
		if delay, err = meta.ParseTime(f["delay"]); err != nil {
			return c.fail(exitUsage, "--delay: %v", err)
		}
	}
	a := Attribute{Section: Transient, Name: f["name"], Set: f["set"]}
	if !f.has("all") || !f.has("query") {
		if a.Node, err = c.node(f["node"]); err != nil {
			return c.failed(err)
		}
	}
	switch {
	case f.has("query"):
		return c.queryUpdater(a, f.has("all"))
	case f.has("delete"):
		return c.apply(a, nil, delay)
	case f.has("update-both"):
		value := f["update-both"]
		return c.apply(a, &value, delay)
	case f.has("update"):
		value := f["update"]
		return c.apply(a, &value, delay)
	case f.has("update-delay"):
		return exitOK // a delay belongs to each update here, not to the attribute
	}
	return c.fail(exitUsage, "one of --update, --update-both, --query, --delete is needed")
}

func (c *command) queryUpdater(a Attribute, all bool) int {
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	names := []string{a.Node}
	if all {
		nodes, err := b.Nodes(c.ctx)
		if err != nil {
			return c.failed(err)
		}
		names = nil
		for _, n := range nodes {
			names = append(names, n.Name)
		}
	}
	found := false
	for _, name := range names {
		a.Node = name
		value, ok, err := b.Attribute(c.ctx, a)
		if err != nil {
			return c.failed(err)
		}
		if ok {
			found = true
			fmt.Fprintf(c.env.Stdout, "name=%q host=%q value=%q\n", a.Name, name, value)
		}
	}
	if !found {
		return c.fail(exitNoSuch, "Could not query value of %s: attribute does not exist", a.Name)
	}
	return exitOK
}
