package node

import (
	"time"

	"gcrm/cib"
	"gcrm/cluster/api"
	"gcrm/scheduler"
)

var _ api.Observer = (*backend)(nil)

// Observe implements api.Observer.
func (b *backend) Observe(doc *cib.CIB) (api.Status, error) { return observe(doc, time.Now()) }

// observe flattens what the scheduler sees in a document. What is inside of
// bundles is left out.
func observe(doc *cib.CIB, now time.Time) (api.Status, error) {
	seen, err := scheduler.Observe(doc, scheduler.Options{Now: now})
	if err != nil {
		return api.Status{}, err
	}
	var out api.Status
	for _, n := range seen.Nodes {
		out.Nodes = append(out.Nodes, api.NodeStatus{ID: n.ID, Name: n.Name, Kind: n.Kind, Online: n.Online, Standby: n.Standby,
			StandbyOnFail: n.StandbyOnFail, Maintenance: n.Maintenance, Pending: n.Pending, Unclean: n.Unclean, Shutdown: n.Shutdown, DC: n.DC})
	}
	var visit func(list []scheduler.ResourceState, group, clone string)
	visit = func(list []scheduler.ResourceState, group, clone string) {
		for _, r := range list {
			switch r.Kind {
			case "primitive":
				nodes := r.Nodes
				if len(nodes) == 0 {
					nodes = []string{""}
				}
				for _, n := range nodes {
					out.Resources = append(out.Resources, api.ResourceStatus{ID: r.ID, Node: n, Role: r.Role, Agent: r.Agent, Group: group, Clone: clone,
						Managed: r.Managed, Active: r.Active, Orphaned: r.Removed, Blocked: r.Blocked, Failed: r.Failed, FailureIgnored: r.FailureIgnored})
				}
			case "group":
				visit(r.Members, r.ID, clone)
			case "clone":
				visit(r.Members, group, r.ID)
			}
		}
	}
	visit(seen.Resources, "", "")
	return out, nil
}
