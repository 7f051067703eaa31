package scheduler

import (
	"slices"

	"gcrm/cib"
)

// Phase 4, rsc_ticket: what depends on tickets. Before: resources and their
// status. After: what lacks its ticket is banned, blocked or fenced.

func (e *engine) unpackTicket(el *cib.Element) {
	id := el.Get("ticket")
	if id == "" {
		return
	}
	t := e.ticketNamed(id)
	if sets := e.resourceSets(el); len(sets) > 0 {
		for _, s := range sets {
			for _, r := range s.members {
				e.newTicket(el, r, t, s.el.Get("role"))
			}
		}
		return
	}
	name := el.Get("rsc")
	if r := e.constraintTarget(name); r != nil {
		e.newTicket(el, r, t, el.Get("rsc-role"))
		return
	}
	ids, _, ok := e.expandRef(name)
	if !ok {
		e.fault(el.ID(), "resource "+name+" does not exist")
		return
	}
	for _, x := range ids {
		if r := e.constraintTarget(x); r != nil {
			e.newTicket(el, r, t, el.Get("rsc-role"))
		}
	}
}

func (e *engine) newTicket(el *cib.Element, r *resource, t *ticket, roleText string) {
	c := &ticketConstraint{id: el.ID(), ticket: t, rsc: r}
	if role, ok := parseRole(roleText); ok && role != roleStarted {
		c.role = role
	}
	switch el.Get("loss-policy") {
	case "fence":
		c.policy = lossFence
		if !e.opt.fencing {
			c.policy = lossStop
		}
	case "freeze":
		c.policy = lossFreeze
	case "demote":
		c.policy = lossDemote
	case "stop":
		c.policy = lossStop
	default:
		if c.role == rolePromoted {
			c.policy = lossDemote
		}
	}
	r.tickets = append(r.tickets, c)
	if !t.granted || t.standby {
		e.ticketLost(r, c)
	}
}

// ticketLost applies a ticket that is not there to r.
func (e *engine) ticketLost(r *resource, c *ticketConstraint) {
	if c.ticket.granted && !c.ticket.standby {
		return
	}
	if len(r.children) > 0 {
		for _, m := range r.children {
			e.ticketLost(m, c)
		}
		return
	}
	if len(r.runningOn) > 0 && !c.ticket.granted {
		switch c.policy {
		case lossStop:
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
		case lossDemote:
			if c.role != rolePromoted {
				e.ban(r, nil, cause{by: ByTicket, tkt: c})
			}
		case lossFence:
			if !ticketRoleMatches(r, c) {
				return
			}
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
			for _, n := range slices.Clone(r.runningOn) {
				e.fenceNode(n, "deadman ticket was lost", false)
			}
		case lossFreeze:
			if !ticketRoleMatches(r, c) {
				return
			}
			if len(r.runningOn) > 0 {
				r.managed, r.blocked = false, true
			}
		}
		return
	}
	if !c.ticket.granted {
		if c.role != rolePromoted || c.policy == lossStop {
			e.ban(r, nil, cause{by: ByTicket, tkt: c})
		}
		return
	}
	// standby
	if c.role != rolePromoted || c.policy == lossStop {
		e.ban(r, nil, cause{by: ByTicket, tkt: c})
	}
}

func ticketRoleMatches(r *resource, c *ticketConstraint) bool {
	if c.role == roleUnknown || c.role == r.role {
		return true
	}
	return c.role == roleUnpromoted && r.role == roleStarted
}
