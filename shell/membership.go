package shell

import (
	"cmp"
	"context"
	"fmt"
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
			{Name: "links", Aliases: []string{"link"}, Help: linksHelp, Example: "links", Live: true, run: runLinks},
		},
	}
}

const linksHelp = "Show the links between the nodes, each as the node at its end sees it."

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
	mesh, err := s.mesh(ctx)
	if err != nil {
		return err
	}
	if mesh == nil {
		return problemf("%s: %s has no links", c.path, s.source())
	}
	t := newTable("From", "To", "Address", "Up", "Heard", "Hears", "Loss", "Round trip", "Remark")
	for _, n := range mesh {
		if n.Error != "" {
			t.row(n.Node, "-", "-", "-", "-", "-", "-", "-", n.Error)
		}
		for _, k := range n.Links {
			t.row(n.Node, k.Peer, k.Address, yesNo(k.Up), yesNo(k.Heard), yesNo(k.Hears), strconv.FormatFloat(100*k.Loss, 'f', 0, 64)+"%",
				(time.Duration(k.RoundTrip) * time.Microsecond).String(), linkRemark(k))
		}
	}
	return s.writeTable(t)
}

func linkRemark(k client.Link) string {
	switch {
	case k.Up:
		return ""
	case k.Hears:
		return "one way: not heard there"
	case k.Heard:
		return "one way: not heard here"
	}
	return "down"
}

// mesh are the links of all nodes; nil where there are none.
func (s *Session) mesh(ctx context.Context) ([]client.NodeLinks, error) {
	l, ok := s.cluster.(client.Linker)
	if !ok {
		return nil, nil
	}
	return l.Mesh(ctx)
}

func runClusterStatus(ctx context.Context, s *Session, c *call) error {
	info, err := s.cluster.Info(ctx)
	if err != nil {
		return err
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(infoJSON(info))
	}
	quorum := s.color.good("with quorum")
	if !info.Quorate {
		quorum = s.color.bad("WITHOUT quorum")
	}
	s.printf("Cluster %s, seen from %s: %s, leader %s, CIB %s\n", dash(info.ClusterName), info.Node, quorum, cmp.Or(info.Leader, "none"), info.Version)
	if t := info.Timing; t.Detection > 0 {
		preset := ""
		if t.Preset != "" {
			preset = " (preset " + t.Preset + ")"
		}
		s.printf("Timeouts%s: detection %v, fencing %v; heartbeats every %v, election %v, answers %v, failing disk %v, nodes never seen %v\n",
			preset, t.Detection, t.Fencing, t.Heartbeat, t.Election, t.Answer, t.Disk, t.JoinPatience)
	}
	if t := info.Transition; t.Idle {
		s.printf("Transition %d: done, nothing left to do\n", t.Number)
	} else {
		s.printf("Transition %d: %d of %d actions done\n", t.Number, t.Done, t.Total)
		for _, r := range t.Running {
			s.printf("  running: %s\n", r)
		}
	}
	if t := trialLine(info.Trial); t != "" {
		s.printf("%s\n", s.color.warn("Unconfirmed: "+t))
	}
	tab := newTable("Node", "Id", "State", "Vote", "Since", "Version")
	for _, m := range info.Members {
		state := s.color.good("online")
		if !m.Online {
			state = s.color.bad("OFFLINE")
		}
		since := "-"
		if !m.Since.IsZero() {
			since = m.Since.Local().Format(time.DateTime)
		}
		tab.row(m.Name, m.ID, state, yesNo(m.Voter), since, dash(m.Build))
	}
	return tab.render(s.msg.out, s.color)
}

// infoJSON is what cluster status says to programs.
func infoJSON(info *client.Info) any {
	type member struct {
		Name    string    `json:"name"`
		ID      string    `json:"id"`
		Online  bool      `json:"online"`
		Voter   bool      `json:"voter"`
		Since   time.Time `json:"since,omitzero"`
		Version string    `json:"version,omitempty"`
	}
	type transition struct {
		Number  int      `json:"number"`
		Idle    bool     `json:"idle"`
		Done    int      `json:"done"`
		Total   int      `json:"total"`
		Running []string `json:"running"`
	}
	out := struct {
		Cluster    string     `json:"cluster"`
		Node       string     `json:"node"`
		Leader     string     `json:"leader"`
		Quorate    bool       `json:"quorate"`
		Version    string     `json:"version"`
		Members    []member   `json:"members"`
		Transition transition `json:"transition"`
	}{info.ClusterName, info.Node, info.Leader, info.Quorate, info.Version.String(), []member{},
		transition{info.Transition.Number, info.Transition.Idle, info.Transition.Done, info.Transition.Total, append([]string{}, info.Transition.Running...)}}
	for _, m := range info.Members {
		out.Members = append(out.Members, member{m.Name, m.ID, m.Online, m.Voter, m.Since, m.Build})
	}
	return out
}

// runClusterHealth tells all that is wrong: with the cluster as a whole, its
// links, nodes and resources.
func runClusterHealth(ctx context.Context, s *Session, c *call) error {
	v, _, err := s.observe(ctx)
	if err != nil {
		return err
	}
	problems, advice := []string{}, []string{}
	away := map[string]bool{} // told already
	if !s.cfg.Offline {
		info, err := s.cluster.Info(ctx)
		if err != nil {
			return err
		}
		mesh, err := s.mesh(ctx)
		if err != nil {
			problems = append(problems, "the links are not known: "+err.Error())
		}
		problems = append(problems, info.Problems(mesh, s.cfg.Now())...)
		advice = append(advice, info.Advice()...)
		for _, m := range info.Members {
			away[m.Name] = !m.Online
		}
	}
	for i := range v.Nodes {
		if text, _ := nodeStatus(&v.Nodes[i]); text != "online" && !(text == "OFFLINE" && away[v.Nodes[i].Name]) {
			problems = append(problems, fmt.Sprintf("node %s: %s", v.Nodes[i].Name, text))
		}
	}
	for i := range v.Resources {
		problems = append(problems, notRunning(&v.Resources[i], v)...)
	}
	if s.cfg.Format == "json" {
		if err := s.writeJSON(map[string]any{"healthy": len(problems) == 0, "problems": problems, "advice": advice}); err != nil {
			return err
		}
	} else {
		for _, p := range problems {
			s.msg.error("%s", p)
		}
		for _, a := range advice {
			s.msg.info("%s", a)
		}
		if len(problems) == 0 {
			s.printf("%s\n", s.color.good("everything that should run runs"))
		}
	}
	if len(problems) > 0 {
		return errReported
	}
	return nil
}
