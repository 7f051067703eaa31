package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gcrm/cluster/client"
)

// rehearseStaged shows, for every node, the commands and system calls that a
// commit would have it carry out.
func (s *Session) rehearseStaged(ctx context.Context, o *simulateOptions) error {
	r, ok := s.cluster.(client.Rehearser)
	if !ok {
		return errors.New("commands are told by the nodes of a running cluster, and there is none here")
	}
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	list, err := r.Rehearse(ctx, s.onImagined(doc, o))
	if err != nil {
		return err
	}
	if s.cfg.Format == "json" {
		return s.writeJSON(list)
	}
	s.printf("%s", rehearsalText(list))
	return nil
}

// rehearsalText numbers the actions in the order in which they could be
// carried out, and lists them by node.
func rehearsalText(list []client.Rehearsed) string {
	if len(list) == 0 {
		return "nothing would be carried out on any node\n"
	}
	var nodes []string
	for _, a := range list {
		if !slices.Contains(nodes, a.Node) {
			nodes = append(nodes, a.Node)
		}
	}
	slices.Sort(nodes)
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "On %s:\n", n)
		for i, a := range list {
			if a.Node != n {
				continue
			}
			fmt.Fprintf(&b, "  %d. %s %s (%s)\n", i+1, a.Action, a.Resource, a.Agent)
			for _, step := range a.Steps {
				fmt.Fprintf(&b, "       %s\n", strings.ReplaceAll(step, "\n", "\n         "))
			}
			switch {
			case a.Unclear != "":
				fmt.Fprintf(&b, "       (%s)\n", a.Unclear)
			case len(a.Steps) == 0:
				b.WriteString("       (nothing: the host is as wanted)\n")
			}
		}
	}
	b.WriteString("The numbers are the order in which the actions could follow each other.\n")
	return b.String()
}
