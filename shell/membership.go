package shell

import (
	"context"
	"strconv"
	"time"

	"gcrm/cluster/client"
)

// membershipLevel stands where older clusters have corosync: who is in the
// cluster, and over which links the nodes hear each other.
func membershipLevel() *Level {
	return &Level{
		Name:    "membership",
		Aliases: []string{"corosync"},
		Help:    "Look at members, votes and links.",
		Long: "The daemon has its own failure detection, so there is no corosync.conf to edit; nodes are\n" +
			"added and removed with cluster join and cluster remove.",
		Verbs: []*Verb{
			{Name: "status", Help: "Show members, leader and quorum.", Example: "status", Live: true, run: runClusterStatus},
			{Name: "show", Help: "List the members with their votes.", Example: "show", Live: true, run: runMembers},
			{Name: "links", Aliases: []string{"link"}, Help: "Show the links of this node to the others.", Example: "links", Live: true, run: runLinks},
		},
	}
}

func runMembers(ctx context.Context, s *Session, c *call) error {
	info, err := s.cluster.Info(ctx)
	if err != nil {
		return err
	}
	t := newTable("Node", "Id", "Online", "Vote", "Since")
	for _, m := range info.Members {
		since := "-"
		if !m.Since.IsZero() {
			since = m.Since.Local().Format(time.DateTime)
		}
		t.row(m.Name, m.ID, yesNo(m.Online), yesNo(m.Voter), since)
	}
	return s.writeTable(t)
}

func yesNo(b bool) string { return ifText(b, "yes", "no") }

func runLinks(ctx context.Context, s *Session, c *call) error {
	l, ok := s.cluster.(client.Linker)
	if !ok {
		return problemf("%s: %s has no links", c.path, s.source())
	}
	list, err := l.Links(ctx)
	if err != nil {
		return err
	}
	t := newTable("Peer", "Address", "Up", "Heard", "Hears", "Loss", "Round trip")
	for _, k := range list {
		t.row(k.Peer, k.Address, yesNo(k.Up), yesNo(k.Heard), yesNo(k.Hears), strconv.FormatFloat(100*k.Loss, 'f', 0, 64)+"%",
			(time.Duration(k.RoundTrip) * time.Microsecond).String())
	}
	return s.writeTable(t)
}
