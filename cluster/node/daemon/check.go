package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/node/check"
)

// checkCommand is "gcrm cluster check": whether this host is ready to be a node.
func checkCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster check")
	fix := f.Bool("fix", false, "set right what can be set right")
	name := f.String("node", "", "name of this node (default: the host's)")
	address := f.String("address", "", "address where the other nodes reach this one (default: the host's first)")
	dir, socket := stateDirFlag(f), socketFlag(f)
	features, err := parseAny(s, f, args)
	if err != nil {
		return err
	}
	plan, err := checkPlan(ctx, *dir, *socket, *name, *address)
	if err != nil {
		return err
	}
	host := check.This{}
	list, err := check.Run(ctx, host, plan, features...)
	if err != nil {
		return err
	}
	if *fix {
		if err := check.Fix(ctx, host, list, func(c string) { fmt.Fprintln(s.Out, "# "+c) }); err != nil {
			return err
		}
		if list, err = check.Run(ctx, host, plan, features...); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Check, f.Text)
		if f.Status < check.Warning {
			continue
		}
		for _, r := range f.Remedy {
			fmt.Fprintf(w, "\t\t  # %s\n", strings.Join(r, " "))
		}
		if f.Hint != "" {
			fmt.Fprintf(w, "\t\t  %s\n", f.Hint)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if check.Worst(list) == check.Failure {
		return errors.New("this host is not ready")
	}
	return nil
}

// checkPlan says what to check: a host that is a node already is known.
func checkPlan(ctx context.Context, dir, socket, name, address string) (check.Plan, error) {
	p := check.Plan{StateDir: dir}
	if s, err := Load(dir); err == nil {
		p.Node, p.Addresses = s.Name, s.Addresses
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if c, err := client.Dial(socket, "gcrm cluster"); err == nil {
			defer c.Close()
			if doc, err := c.CIB(ctx, false); err == nil {
				p.Running, p.Managed, p.Groups = true, managedServices(doc), volumeGroups(doc)
			}
		}
		return p, nil
	}
	s, err := describe(name, address)
	if err != nil {
		return p, err
	}
	p.Node, p.Addresses = s.Name, s.Addresses
	return p, nil
}

// managedServices are the system services that the cluster starts.
func managedServices(doc *cib.CIB) []string {
	var out []string
	for e := range doc.Primitives() {
		if a := cib.AgentOf(e); a.Class == "systemd" || a.Class == "service" {
			out = append(out, a.Type)
		}
	}
	return out
}

// volumeGroups are those that the cluster activates.
func volumeGroups(doc *cib.CIB) []string {
	var out []string
	for e := range doc.Primitives() {
		name := map[string]string{"LVM": "volgrpname", "LVM-activate": "vgname"}[cib.AgentOf(e).Type]
		if name == "" {
			continue
		}
		for set := range e.Named("instance_attributes") {
			if v, ok := cib.PairValue(set, name); ok && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}
