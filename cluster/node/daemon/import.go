package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"gcrm/cluster/node/corosync"
)

// importCommand is "gcrm cluster import corosync.conf": init with what the
// file says of this host, and what to type on the others.
func importCommand(_ context.Context, s Streams, args []string) error {
	f := flags(s, "cluster import")
	dry := f.Bool("dry-run", false, "show what would be done, and do nothing")
	name := f.String("name", "", "name of the cluster (default: the file's)")
	own := f.String("node", "", "which node of the file this host is (default: the one with an address of this host)")
	dir := stateDirFlag(f)
	words, err := parse(s, f, args, "FILE")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(words[0])
	if err != nil {
		return err
	}
	p, err := corosync.Read(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	me := thisNode(p, *own)
	cluster := cmp.Or(*name, p.Cluster)
	fmt.Fprintf(s.Out, "cluster %s, a crash is noticed within %v\n", cmp.Or(cluster, "(no name: give one with --name)"), p.Detection)
	for i, n := range p.Nodes {
		here := ""
		if i == me {
			here = ": this host"
		}
		fmt.Fprintf(s.Out, "  node %s at %s%s\n", cmp.Or(n.Name, "(name of the host)"), strings.Join(n.Addresses, " and "), here)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(s.Out, "  note: "+n)
	}
	switch {
	case me < 0 && *own != "":
		return fmt.Errorf("%s is no node of the file", *own)
	case *dry:
		return nil
	case me < 0:
		return errors.New("none of the nodes has an address of this host; say which one it is with --node NAME or --node ADDRESS")
	}
	n := p.Nodes[me]
	set, err := Init(InitOptions{StateDir: *dir, Cluster: cluster, Node: n.Name, Address: strings.Join(n.Addresses, ","), Detection: p.Detection.Round(time.Millisecond)})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "Cluster %s is made; its first node is %s. Start the daemon with 'gcrm cluster start' or 'gcrm daemon', then for every other host:\n", set.Cluster, set.Name)
	for i, other := range p.Nodes {
		if i == me {
			continue
		}
		node := ""
		if other.Name != "" {
			node = " --node " + other.Name
		}
		fmt.Fprintf(s.Out, "  here:            gcrm cluster token\n  on %-13s gcrm cluster join %s --token TOKEN%s --address %s\n", cmp.Or(other.Name, other.Addresses[0])+":", n.Addresses[0], node, strings.Join(other.Addresses, ","))
	}
	return nil
}

// thisNode finds the node of the file that this host is; -1 if none.
func thisNode(p *corosync.Plan, own string) int {
	local := map[string]bool{}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			host, _, _ := strings.Cut(a.String(), "/")
			local[host] = true
		}
	}
	host, _ := os.Hostname()
	for i, n := range p.Nodes {
		if own != "" {
			if n.Name == own || n.Addresses[0] == own {
				return i
			}
			continue
		}
		if local[n.Addresses[0]] || n.Addresses[0] == host || n.Name != "" && n.Name == host {
			return i
		}
	}
	return -1
}
