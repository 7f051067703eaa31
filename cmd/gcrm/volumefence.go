package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// Exit codes of a fence-peer handler, as DRBD takes them.
const (
	fencePeerOutdated    = 4
	fencePeerUnreachable = 5
	fenceFailed          = 1
)

// fenceID is the name of the constraint of crm-fence-peer.sh, so that either undoes
// what the other did.
func fenceID(resource, clone string) string {
	return "drbd-fence-by-handler-" + resource + "-" + clone
}

// volumeHandler is the program as a handler of the kernel's DRBD, which names the
// resource in the environment.
func volumeHandler(getenv func(string) string, unfence bool) int {
	resource := getenv("DRBD_RESOURCE")
	if resource == "" {
		fmt.Fprintln(os.Stderr, "gcrm: the environment has no DRBD_RESOURCE: this is a handler of DRBD, to be named in the section handlers of a resource")
		return fenceFailed
	}
	return volumeFence(context.Background(), resource, unfence)
}

// volumeFence does the work of crm-fence-peer.sh and crm-unfence-peer.sh in the
// cluster of this host: a constraint that lets only this node be promoted.
func volumeFence(ctx context.Context, resource string, unfence bool) int {
	c, err := client.Dial(socketPath(""), "gcrm volume")
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: fence-peer: %v\n", resource, err)
		return fenceFailed
	}
	defer c.Close()
	code, err := fenceByConstraint(ctx, c, resource, unfence)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: fence-peer: %v\n", resource, err)
	}
	return code
}

// fenceByConstraint sets or removes the constraint and gives the exit code of the
// handler.
func fenceByConstraint(ctx context.Context, c client.Cluster, resource string, unfence bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		doc, err := c.CIB(ctx, false)
		if err != nil {
			return fenceFailed, err
		}
		clone := promotableOf(doc, resource)
		if clone == "" {
			return fenceFailed, fmt.Errorf("no promotable clone in the CIB has drbd_resource=%s", resource)
		}
		info, err := c.Info(ctx)
		if err != nil {
			return fenceFailed, err
		}
		id := fenceID(resource, clone)
		next := doc.Clone()
		constraints := next.EnsureSection("constraints")
		old := constraints.ChildByID(id)
		code := fencePeerUnreachable
		switch {
		case unfence && old == nil:
			return 0, nil
		case unfence:
			constraints.Remove(old)
			code = 0
		default:
			code = peerFate(info)
			want := fenceConstraint(id, resource, clone, info.Node)
			if old != nil {
				if !old.Equal(want) {
					return fenceFailed, fmt.Errorf("constraint %s lets another node be promoted: this node is the one that is fenced", id)
				}
				return fencePeerOutdated, nil
			}
			constraints.Add(want)
		}
		_, err = c.Apply(ctx, cib.Change{Origin: cib.Origin{Client: "gcrm volume"}, Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: next.Configuration().String()}})
		if err == nil {
			return code, nil
		}
		// Somebody else committed meanwhile, or there is no quorum yet: a two-node
		// cluster has it again once the peer is fenced.
		if ctx.Err() != nil {
			return fenceFailed, fmt.Errorf("the constraint could not be committed: %w", err)
		}
		if !errors.Is(err, cib.ErrConflict) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// promotableOf finds the promotable clone whose primitive has the DRBD resource.
func promotableOf(doc *cib.CIB, resource string) string {
	found := ""
	doc.Section("resources").Walk(func(e *cib.Element) bool {
		if e.Name != "clone" && e.Name != "master" {
			return true
		}
		e.Walk(func(p *cib.Element) bool {
			if p.Name == "nvpair" && p.Get("name") == "drbd_resource" && p.Get("value") == resource {
				found = e.ID()
			}
			return true
		})
		return true
	})
	return found
}

// fenceConstraint is what crm-fence-peer.sh writes.
func fenceConstraint(id, resource, clone, node string) *cib.Element {
	rule := "drbd-fence-by-handler-" + resource + "-rule-" + clone
	expr := "drbd-fence-by-handler-" + resource + "-expr-" + clone
	return cib.NewElement("rsc_location", "id", id, "rsc", clone).Add(
		cib.NewElement("rule", "role", "Promoted", "score", "-INFINITY", "id", rule).Add(
			cib.NewElement("expression", "attribute", "#uname", "operation", "ne", "value", node, "id", expr)))
}

// peerFate is what the cluster knows of the other nodes: one that is there cannot be
// promoted once the constraint is committed; the others are gone, and cannot be when
// they return.
func peerFate(info *client.Info) int {
	for _, m := range info.Members {
		if m.Name == info.Node {
			continue
		}
		if m.Online {
			return fencePeerOutdated
		}
	}
	return fencePeerUnreachable
}
