package crmtools

import (
	"fmt"
	"strings"

	"gcrm/drivers"
)

// crmNode is crm_node.
func (c *command) crmNode(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"name", "n", noArgument}, {"cluster-id", "i", noArgument}, {"list", "l", noArgument}, {"partition", "p", noArgument},
		{"quorum", "q", noArgument}, {"name-for-id", "N", hasArgument}, {"quiet", "Q", noArgument}, {"verbose", "V", noArgument},
	}, "name", "cluster-id", "list", "partition", "quorum", "name-for-id")
	if err != nil {
		return c.fail(exitUsage, "%v", err)
	}
	if len(rest) > 0 {
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	}
	out := c.env.Stdout
	if f.has("name") {
		// crm_node -n answers also when the daemon does not.
		if name := c.env.Getenv(drivers.EnvNode); name != "" {
			fmt.Fprintln(out, name)
			return exitOK
		}
	}
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	switch {
	case f.has("quorum"):
		quorate, err := b.Quorate(c.ctx)
		if err != nil {
			return c.failed(err)
		}
		if quorate {
			fmt.Fprintln(out, 1)
		} else {
			fmt.Fprintln(out, 0)
		}
		return exitOK
	case f.has("name"), f.has("cluster-id"):
		n, err := b.LocalNode(c.ctx)
		if err != nil {
			return c.failed(err)
		}
		if f.has("name") {
			fmt.Fprintln(out, n.Name)
		} else {
			fmt.Fprintln(out, n.ID)
		}
		return exitOK
	}
	nodes, err := b.Nodes(c.ctx)
	if err != nil {
		return c.failed(err)
	}
	switch {
	case f.has("list"):
		for _, n := range nodes {
			state := "lost"
			if n.Online {
				state = "member"
			}
			fmt.Fprintln(out, n.ID, n.Name, state)
		}
	case f.has("partition"):
		var here []string
		for _, n := range nodes {
			if n.Online {
				here = append(here, n.Name)
			}
		}
		fmt.Fprintln(out, strings.Join(here, " "), "")
	case f.has("name-for-id"):
		for _, n := range nodes {
			if n.ID == f["name-for-id"] {
				fmt.Fprintln(out, n.Name)
				return exitOK
			}
		}
		return c.fail(exitNoSuch, "no node has the id %s", f["name-for-id"])
	default:
		return c.fail(exitUsage, "one of -n, -i, -l, -p, -q, -N is needed")
	}
	return exitOK
}
