package client

import (
	"fmt"
	"strings"
	"time"
)

// Problems tells in words what a node finds wrong with itself, the cluster and
// its links, worst first; nothing if all is well. Resources are not looked at.
func (i *Info) Problems(mesh []NodeLinks, now time.Time) []string {
	var out []string
	tell := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if i.Leader == "" {
		tell("there is no leader")
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
	if end := i.Security.CertificateEnds; !end.IsZero() && end.Before(now) {
		tell("the certificate of this node ended at %s: is its clock right?", end.Format(time.DateTime))
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
	offline := map[string]bool{}
	for _, m := range i.Members {
		switch {
		case !m.Online:
			offline[m.Name] = true
			tell("node %s is offline since %s", m.Name, m.Since.Local().Format(time.DateTime))
		case !m.Voter:
			tell("node %s has no vote (yet)", m.Name)
		}
	}
	for _, n := range mesh {
		if n.Error != "" && !offline[n.Node] {
			tell("%s does not tell of its links: %s", n.Node, n.Error)
		}
		for _, l := range n.Links {
			switch {
			case offline[l.Peer]:
			case l.Hears && !l.Heard:
				tell("the link from %s to %s (%s) works one way only: %s hears it, but is not heard", n.Node, l.Peer, l.Address, n.Node)
			case !l.Hears && !l.Heard:
				tell("the link from %s to %s (%s) is down", n.Node, l.Peer, l.Address)
			case l.Up && l.Loss > lossy:
				tell("the link from %s to %s (%s) loses %.0f%% of the heartbeats", n.Node, l.Peer, l.Address, 100*l.Loss)
			}
		}
	}
	return out
}

// lossy is the share of lost heartbeats from which a link is not well.
const lossy = 0.05

// Advice tells what is not wrong but could be better.
func (i *Info) Advice() []string {
	voters := 0
	for _, m := range i.Members {
		if m.Voter {
			voters++
		}
	}
	if voters == 2 {
		return []string{"there are two voters: each can go on without the other only after fencing it; a witness would help"}
	}
	return nil
}
