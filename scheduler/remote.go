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
			if c.nextRole == roleStopped && c.reconnectInterval > 0 && n.remoteWasFenced && !n.shutdown {
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
		if a.node == nil || !a.node.remote || a.node.connection == nil || a.is(fPseudo) || a.rsc.isRemoteConn && false {
			if a.node == nil || !a.node.remote {
				continue
			}
			if a.node.connection == nil {
				continue
			}
			if a.is(fPseudo) {
				continue
			}
		}
		if a.task == taskStart && a.node.remote {
			for _, s := range a.rsc.actionsByKey[opKey(a.rsc.id, taskStop, 0)] {
				// the stop elsewhere waits until the new place is reachable
				e.orderConnection(a.node.connection, taskStart, s, oFirstImpliesThen&0|oOrdered)
			}
		}
		if a.node.guest() {
			e.orderGuestAction(a)
		} else {
			e.orderRemoteAction(a)
		}
	}
}

// orderConnection orders a task of a connection before an action.
func (e *engine) orderConnection(c *resource, task string, a *action, flags orderFlag) {
	e.newOrdering(c, opKey(c.id, task, 0), nil, a.rsc, "", a, flags|oGuestAllowed)
}

// orderBeforeConnection orders an action before a task of a connection.
func (e *engine) orderBeforeConnection(a *action, c *resource, task string, flags orderFlag) {
	e.newOrdering(a.rsc, "", a, c, opKey(c.id, task, 0), nil, flags|oGuestAllowed)
}

func (e *engine) orderRemoteAction(a *action) {
	n := a.node
	c := n.connection
	state := e.connectionState(n)
	switch {
	case a.task == taskStart || a.task == taskPromote:
		flags := oUnrunnableFirstBlocks
		if state == connFailed {
			flags |= oFirstImpliesThen
		}
		e.orderConnection(c, taskStart, a, oOrdered|flags)
	case a.task == taskStop || a.task == taskMigrateTo || a.task == taskMigrateFrom:
		switch {
		case state == connAlive:
			e.orderBeforeConnection(a, c, taskStop, oThenImpliesFirst)
		case state == connFailed:
			// the stop is implied by fencing
			e.fenceNode(n, "resources are active but connection is unrecoverable", false)
		case c.nextRole == roleStopped:
			e.orderBeforeConnection(a, c, taskStop, oThenImpliesFirst)
		default:
			e.orderConnection(c, taskStart, a, oOrdered|oUnrunnableFirstBlocks)
		}
	case a.task == taskDemote:
		if state == connResting || state == connUnknown {
			e.orderConnection(c, taskStart, a, oOrdered)
		}
	case a.interval > 0 && a.task != taskCancel:
		// the monitor restarts with the connection
		e.orderConnection(c, taskStart, a, oOrdered|oFirstImpliesThen|oUnrunnableFirstBlocks)
	default:
		if a.task == taskMonitor && state == connFailed {
			e.fenceNode(n, "resources are in unknown state and connection is unrecoverable", false)
		}
		if current := e.currentNode(c); current != nil && current.online && c.nextRole == roleStopped {
			e.orderBeforeConnection(a, c, taskStop, oOrdered|oUnrunnableFirstBlocks)
			return
		}
		e.orderConnection(c, taskStart, a, oOrdered|oUnrunnableFirstBlocks)
	}
}

func (e *engine) orderGuestAction(a *action) {
	n := a.node
	c := n.connection
	l := c.launcher
	if l.failed {
		e.fenceNode(n, "container failed", false)
	}
	launch := func(flags orderFlag) {
		e.newOrdering(l, opKey(l.id, taskStart, 0), nil, a.rsc, "", a, flags|oGuestAllowed)
	}
	switch {
	case a.task == taskStart || a.task == taskPromote:
		launch(oFirstImpliesThen | oUnrunnableFirstBlocks)
		e.orderConnection(c, taskStart, a, oOrdered|oUnrunnableFirstBlocks)
	case a.task == taskStop || a.task == taskDemote || a.task == taskMigrateTo || a.task == taskMigrateFrom:
		if l.failed {
			// implied by the launcher's recovery
			return
		}
		e.orderBeforeConnection(a, c, taskStop, oThenImpliesFirst)
	case a.interval > 0:
		if a.task != taskCancel {
			e.orderConnection(c, taskStart, a, oOrdered|oFirstImpliesThen|oUnrunnableFirstBlocks)
		} else {
			e.orderConnection(c, taskStart, a, oOrdered|oUnrunnableFirstBlocks)
		}
	default:
		e.orderConnection(c, taskStart, a, oOrdered|oUnrunnableFirstBlocks)
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
