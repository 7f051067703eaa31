package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/executor/operation"
)

// question is a verb that is put to the daemon of a node.
type question struct {
	name  string
	words []string            // that are no flags
	flags func(*flag.FlagSet) // its own, if any
	ask   func(ctx context.Context, s Streams, c *client.HTTP, words []string) error
}

func (q question) run(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster "+q.name)
	socket := socketFlag(f)
	if q.flags != nil {
		q.flags(f)
	}
	words, err := parse(s, f, args, q.words...)
	if err != nil {
		return err
	}
	c, err := client.Dial(*socket, "gcrm cluster")
	if err != nil {
		return err
	}
	defer c.Close()
	return q.ask(ctx, s, c, words)
}

func tokenVerb() question {
	var life *time.Duration
	return question{name: "token", flags: func(f *flag.FlagSet) {
		life = f.Duration("for", 30*time.Minute, "how long the token is good")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, _ []string) error {
		token, err := c.Token(ctx, *life)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.Out, token)
		return nil
	}}
}

func stopVerb() question {
	return question{name: "stop", ask: func(ctx context.Context, s Streams, c *client.HTTP, _ []string) error {
		if running, err := leftRunning(ctx, c); err == nil && len(running) > 0 {
			fmt.Fprintf(s.Err, "warning: in maintenance nothing is stopped or moved: %s goes on running here.\n"+
				"Before maintenance ends, start the daemon again: otherwise this node is fenced before others may start that.\n", strings.Join(running, ", "))
		}
		if err := c.StopNode(ctx); err != nil {
			return err
		}
		fmt.Fprintln(s.Out, "waiting for resources to be moved away")
		for {
			if _, err := c.Info(ctx); err != nil {
				return ctx.Err()
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}}
}

// leftRunning are the resources of the daemon's node that a stop leaves running,
// since it or the cluster is in maintenance.
func leftRunning(ctx context.Context, c *client.HTTP) ([]string, error) {
	doc, err := c.CIB(ctx, true)
	if err != nil {
		return nil, err
	}
	i, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	n, ok := doc.Node(i.Node)
	if !ok {
		return nil, nil
	}
	all, _ := doc.Property("maintenance-mode")
	here, _ := cib.SetValue(n.Element, "instance_attributes", "maintenance")
	if !cib.IsTrue(here) && !cib.IsTrue(all) {
		return nil, nil
	}
	return operation.Active(doc, n.ID), nil
}

func auditVerb() question {
	var last *int
	var raw *bool
	return question{name: "audit", flags: func(f *flag.FlagSet) {
		last = f.Int("last", 50, "how many entries to show at most")
		raw = f.Bool("json", false, "one JSON object a line")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, _ []string) error {
		list, err := c.Audit(ctx, *last)
		if err != nil {
			return err
		}
		if *raw {
			enc := json.NewEncoder(s.Out)
			for _, e := range list {
				if err := enc.Encode(e); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "WHEN\tWHO\tFROM\tWHAT\tRESULT")
		for _, e := range list {
			result := e.Result
			if e.Error != "" {
				result += ": " + e.Error
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.DateTime), e.User, strings.TrimSpace(e.Via+" "+e.From), e.What, result)
		}
		return w.Flush()
	}}
}

func adminCertVerb() question {
	var days *int
	var out *string
	return question{name: "admin-cert", words: []string{"USER"}, flags: func(f *flag.FlagSet) {
		days = f.Int("days", 90, "how long the certificate is good")
		out = f.String("out", "", "file to write (default: USER.pem)")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, words []string) error {
		key, public, err := client.NewIdentityKey()
		if err != nil {
			return err
		}
		a, err := c.AdminCert(ctx, client.AdminCertRequest{User: words[0], Key: public, Seconds: int64(*days) * 24 * 3600})
		if err != nil {
			return err
		}
		b, err := client.EncodeIdentity(key, a)
		if err != nil {
			return err
		}
		path := *out
		if path == "" {
			path = words[0] + ".pem"
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "%s is the identity of %s for %d days; keep it secret. Use it with: gcrm --host ADDRESS --identity %s\n", path, words[0], *days, path)
		return nil
	}}
}

func rotateVerb() question {
	var authority *bool
	return question{name: "rotate", flags: func(f *flag.FlagSet) {
		authority = f.Bool("authority", false, "replace the cluster's authority too; identities of administrators have to be made anew")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, _ []string) error {
		if err := c.Rotate(ctx, *authority); err != nil {
			return err
		}
		for told := ""; ; {
			i, err := c.Info(ctx)
			if err != nil {
				return err
			}
			if i.Security.Replacing == "" {
				fmt.Fprintln(s.Out, "all nodes use the new keys, and the old ones are gone")
				return nil
			}
			text := i.Security.Replacing
			if len(i.Security.Waits) > 0 {
				text += "; it waits for " + strings.Join(i.Security.Waits, ", ") + " to come back (or be removed)"
			}
			if text != told {
				fmt.Fprintln(s.Out, text)
				told = text
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return errors.New("the replacement goes on without this command; see 'gcrm cluster health'")
			}
		}
	}}
}

func removeVerb() question {
	return question{name: "remove", words: []string{"NODE"}, ask: func(ctx context.Context, s Streams, c *client.HTTP, words []string) error {
		if err := c.RemoveNode(ctx, words[0]); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, `Node %s is removed: it has no vote, and its certificate is refused by all nodes from now on.
Its machine still has copies of the cluster's keys. Empty its state folder; if it is not in your hands, replace them
with 'gcrm cluster rotate --authority'.
`, words[0])
		return nil
	}}
}

func forceVerb() question {
	var sure *bool
	return question{name: "force-alone", words: []string{"NODE"}, flags: func(f *flag.FlagSet) {
		sure = f.Bool("i-verified-it-is-down", false, "you have seen that the other node is off")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, words []string) error {
		said := ""
		if *sure {
			said = "i verified it is down"
		}
		if err := c.ForceAlone(ctx, words[0], said); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "This node goes on without %s.\n", words[0])
		return nil
	}}
}
