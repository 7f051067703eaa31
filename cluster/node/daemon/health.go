package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gcrm/cluster/client"
)

func healthVerb() question {
	return question{name: "health", ask: func(ctx context.Context, s Streams, c *client.HTTP, _ []string) error {
		i, err := c.Info(ctx)
		if err != nil {
			return err
		}
		links, err := c.Links(ctx)
		if err != nil {
			return err
		}
		problems := 0
		tell := func(format string, args ...any) {
			problems++
			fmt.Fprintf(s.Out, format+"\n", args...)
		}
		if !i.Quorate {
			tell("%s has no quorum: nothing can be changed or started", i.Node)
		}
		for _, l := range i.Locks {
			tell("%s", l)
		}
		if k := i.Security; k.Replacing != "" && len(k.Waits) > 0 {
			tell("the replacement of keys waits for %s to come back, or be removed", strings.Join(k.Waits, ", "))
		}
		if left := time.Until(i.Security.CertificateEnds); left < 0 && !i.Security.CertificateEnds.IsZero() {
			tell("the certificate of this node ended at %s: is its clock right?", i.Security.CertificateEnds.Format(time.DateTime))
		}
		switch d := i.Disk; {
		case d.Failing != "":
			tell("%s cannot store its state since %s (%s): it loses its vote, stops what it runs, and is fenced if that takes too long; free space in %s, or replace the disk",
				i.Node, d.Since.Local().Format(time.DateTime), d.Failing, d.Path)
		case d.Low():
			tell("only %d MiB are free in %s: a node that cannot write its log has no vote", d.Free>>20, d.Path)
		}
		if len(i.Behind) > 0 {
			tell("an older gcrm on %s keeps the cluster at feature level %d: update it", strings.Join(i.Behind, ", "), i.Level)
		}
		voters := 0
		for _, m := range i.Members {
			if m.Voter {
				voters++
			}
			if !m.Online {
				tell("node %s is offline since %s", m.Name, m.Since.Format(time.DateTime))
			} else if !m.Voter {
				tell("node %s has no vote (yet)", m.Name)
			}
		}
		for _, l := range links {
			switch {
			case l.Up && l.Loss > 0.05:
				tell("link to %s (%s) loses %.0f%% of the heartbeats", l.Peer, l.Address, 100*l.Loss)
			case l.Hears && !l.Heard:
				tell("link to %s (%s) works one way only: this node hears it, but is not heard", l.Peer, l.Address)
			}
		}
		if voters == 2 {
			tell("there are two voters: each can go on without the other only after fencing it; a witness would help")
		}
		if problems == 0 {
			fmt.Fprintln(s.Out, "all is well")
			return nil
		}
		return fmt.Errorf("%d problems", problems)
	}}
}
