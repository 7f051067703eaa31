package scheduler

// Phase 10: actions behind remote connections. Before: resource actions of
// all nodes. After: actions on remote and guest nodes wait for, or imply,
// what their connection and launcher do; nodes whose connection is lost for
// good are fenced.

type connState uint8

const (
	connUnknown connState = iota
	connAlive
	connResting
	connFailed
	connStopped
)

// shutdownRequested reports that an administrator asked the node to leave.
func shutdownRequested(n *node) bool {
	v, ok := n.attrs["shutdown"]
	return ok && v != "0"
}

// connectionState is what can be said of the connection to a remote node.
func (e *engine) connectionState(n *node) connState {
	c := n.connection
	if c == nil {
		return connUnknown
	}
	current := e.currentNode(c)
	if c.nextRole == roleStopped || c.assigned == nil {
		// the connection resource is not going to run anywhere
		if current != nil && current.unclean {
			return connFailed
		}
		if c.failed {
			if c.nextRole == roleStopped && c.reconnectInterval > 0 && n.remoteWasFenced && !shutdownRequested(n) {
				// waits to be reconnected
				return connUnknown
			}
			return connFailed
		}
		return connStopped
	}
	if current == nil {
		// not running yet, but will
		return connUnknown
	}
	if current.unclean || !current.online {
		// the connection is moved away from a dead host
		return connResting
	}
	if len(c.runningOn) > 1 && c.partialSource != nil && c.partialTarget != nil {
		return connResting
	}
	return connAlive
}

func (e *engine) orderRemoteActions() {
	if !e.haveRemote && !e.haveGuests {
		return
	}
	for i := len(e.actions) - 1; i >= 0; i-- {
		a := e.actions[i]
		if a.rsc == nil {
			continue
		}
		// clearing a connection's failure comes before its start
		if a.task == taskClearFailcount && a.rsc.isRemoteConn {
			for _, s := range a.rsc.actionsByKey[opKey(a.rsc.id, taskStart, 0)] {
				e.orderActions(a, s, oOrdered)
			}
			continue
		}
		n := a.node
		if n == nil || !n.remote || n.connection == nil || a.is(fPseudo) {
			continue
		}
		if a.task == taskStart {
			// the stop elsewhere waits until the new place can be reached
			for _, s := range a.rsc.actionsByKey[opKey(a.rsc.id, taskStop, 0)] {
				if s.node != n {
					e.newOrdering(n.connection, opKey(n.connection.id, taskStart, 0), nil, a.rsc, "", s, oOrdered)
				}
			}
		}
		if a.node.guest() {
			e.orderGuestAction(a)
		} else {
			e.orderRemoteAction(a)
		}
	}
}

// after orders the start of a connection or launcher before an action.
func (e *engine) after(c *resource, a *action, extra orderFlag) {
	e.newOrdering(c, opKey(c.id, taskStart, 0), nil, a.rsc, "", a, oGuestAllowed|oUnrunnableFirstBlocks|extra)
}

// beforeStop orders an action before the stop of a connection.
func (e *engine) beforeStop(a *action, c *resource, extra orderFlag) {
	e.newOrdering(a.rsc, "", a, c, opKey(c.id, taskStop, 0), nil, oGuestAllowed|oThenImpliesFirst|extra)
}

func (e *engine) orderRemoteAction(a *action) {
	n := a.node
	c := n.connection
	state := e.connectionState(n)
	switch {
	case a.task == taskStart || a.task == taskPromote:
		var extra orderFlag
		if state == connFailed {
			// the connection must be recovered with it
			extra = oFirstImpliesThen
		}
		e.after(c, a, extra)
	case a.task == taskStop || a.task == taskMigrateTo || a.task == taskMigrateFrom:
		switch {
		case state == connAlive:
			e.beforeStop(a, c, oThenImpliesFirst)
		case state == connFailed:
			e.fenceNode(n, "resources are active but connection is unrecoverable", false)
		case c.nextRole == roleStopped:
			// nothing can be executed there any more
			e.beforeStop(a, c, oThenImpliesFirst)
		default:
			e.after(c, a, 0)
		}
	case a.task == taskDemote:
		if state == connResting || state == connUnknown {
			e.after(c, a, 0)
		}
	case a.interval > 0:
		e.after(c, a, oFirstImpliesThen)
	default:
		if a.task == taskMonitor && state == connFailed {
			e.fenceNode(n, "resources are in unknown state and connection is unrecoverable", false)
		}
		if len(c.runningOn) > 0 && state == connStopped {
			// while it is still up
			e.beforeStop(a, c, oUnrunnableFirstBlocks)
			return
		}
		e.after(c, a, 0)
	}
}

func (e *engine) orderGuestAction(a *action) {
	c := a.node.connection
	l := c.launcher
	if l.failed {
		e.fenceNode(a.node, "container failed", false)
	}
	switch a.task {
	case taskStart, taskPromote:
		e.after(l, a, oFirstImpliesThen)
		e.after(c, a, 0)
	case taskStop, taskDemote, taskMigrateTo, taskMigrateFrom:
		if !l.failed {
			e.beforeStop(a, c, 0)
		}
	default:
		switch {
		case a.task == taskCancel:
		case a.interval > 0:
			e.after(c, a, oFirstImpliesThen)
		default:
			e.after(c, a, 0)
		}
	}
}

// router is the cluster node that executes an action behind a connection.
func (e *engine) router(a *action) *node {
	if a.node == nil || !a.node.remote {
		return nil
	}
	c := a.node.connection
	if c == nil {
		return nil
	}
	began, ended := e.currentNode(c), c.assigned
	if len(c.runningOn) > 0 {
		began = c.runningOn[0]
		if e.currentNode(c) != nil {
			began = e.currentNode(c)
		}
	}
	if began == nil {
		return ended
	}
	if ended == nil || began == ended {
		return began
	}
	// the connection moves
	partial := c.partialTarget != nil && !a.node.guest()
	switch a.task {
	case taskCancel, taskStop, taskDemote, taskMigrateFrom, taskMigrateTo:
		if partial {
			return ended
		}
		return began
	}
	return ended
}
