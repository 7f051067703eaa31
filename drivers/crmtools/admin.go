package crmtools

import (
	"context"
	"fmt"
	"strings"
)

// cibAdmin is cibadmin as agents use it: to read. --local, --sync-call and
// --force say how a request travels: here every node answers from its own
// copy at once.
func (c *command) cibAdmin(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"query", "Q", noArgument}, {"scope", "o", hasArgument}, {"xpath", "A", hasArgument}, {"no-children", "n", noArgument},
		{"local", "l", noArgument}, {"sync-call", "s", noArgument}, {"force", "f", noArgument}, {"verbose", "V", noArgument},
	})
	switch {
	case err != nil:
		return c.fail(exitUsage, "%v (agents are served --query; to change the configuration use the shell)", err)
	case len(rest) > 0:
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	case !f.has("query"):
		return c.fail(exitUsage, "only --query is served; to change the configuration use the shell")
	}
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	found, err := b.Query(c.ctx, Query{Section: f["scope"], XPath: f["xpath"], Bare: f.has("no-children")})
	switch {
	case err != nil:
		return c.failed(err)
	case len(found) == 0:
		return c.fail(exitNoSuch, "Call cib_query failed (-6): No such device or address")
	}
	// Several elements come in one document.
	if len(found) > 1 {
		found = append(append([]string{"<xpath-query>\n"}, found...), "</xpath-query>\n")
	}
	for _, text := range found {
		fmt.Fprintln(c.env.Stdout, strings.TrimRight(text, "\n"))
	}
	return exitOK
}

// stonithAdmin is stonith_admin as agents use it: to have a node fenced. --tag
// names who asks, which the audit log knows from the socket.
func (c *command) stonithAdmin(args []string) int {
	f, rest, err := parseFlags(args, []option{
		{"reboot", "B", hasArgument}, {"fence", "F", hasArgument}, {"tag", "T", hasArgument}, {"timeout", "t", hasArgument},
		{"quiet", "q", noArgument}, {"verbose", "V", noArgument},
	})
	switch {
	case err != nil:
		return c.fail(exitUsage, "%v (agents are served --reboot and --fence; the shell has the rest)", err)
	case len(rest) > 0:
		return c.fail(exitUsage, "unexpected argument %q", rest[0])
	case f.has("reboot") == f.has("fence"):
		return c.fail(exitUsage, "one of --reboot NODE and --fence NODE is needed")
	}
	action, node := "reboot", f["reboot"]
	if f.has("fence") {
		action, node = "off", f["fence"]
	}
	b, err := c.backend()
	if err != nil {
		return c.failed(err)
	}
	ctx := c.ctx
	if f.has("timeout") {
		d, err := interval(f["timeout"])
		if err != nil {
			return c.fail(exitUsage, "timeout: %v", err)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), d)
		defer cancel()
	}
	if err := b.Fence(ctx, node, action); err != nil {
		return c.failed(err)
	}
	return exitOK
}
