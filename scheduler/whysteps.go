package scheduler

import (
	"fmt"
	"strings"
	"time"
)

// Because says why an action is part of a plan.
func (p *Plan) Because(a *Action) Reason {
	e := p.engine
	x := e.actionByID(a.ID)
	if x == nil {
		return Reason{}
	}
	if x.is(fPseudo) && x.task != taskStonith {
		return e.pseudoReason(x)
	}
	name := plainName(x.rsc)
	node := nodeName(x.node)
	switch {
	case x.task == taskStonith:
		return e.fenceReason(x.node)
	case x.task == taskShutdown:
		return Reason{Code: CodeLeaves, Node: node, Text: "the shutdown of " + node + " was asked for"}
	case x.task == taskClearFailcount:
		return Reason{Code: CodeFailure, Node: node, Resource: name, Text: fmt.Sprintf("the fail count of %s on %s is forgotten: %s", name, node, x.reason)}
	case x.task == taskLrmDelete || x.task == taskDelete:
		return Reason{Code: CodeDefinition, Node: node, Resource: name, Text: fmt.Sprintf("the history of %s on %s no longer agrees with the configuration", name, node)}
	case x.task == taskCancel:
		return Reason{Code: CodeDefinition, Node: node, Resource: name, Text: fmt.Sprintf("this monitor of %s on %s is not wanted any more", name, node)}
	case x.task == taskMonitor && x.interval == 0:
		return Reason{Code: CodePending, Node: node, Resource: name, Text: fmt.Sprintf("it is not known whether %s runs on %s", name, node)}
	case x.interval > 0:
		return Reason{Code: CodeSettled, Node: node, Resource: name, Text: fmt.Sprintf("%s is watched every %s", name, shortDuration(time.Duration(x.interval)*time.Millisecond))}
	case x.task == taskNotify:
		return Reason{Code: CodeDependency, Node: node, Resource: name, Text: fmt.Sprintf("%s is told of what happens to other instances (notify=true)", name)}
	case x.reason != "":
		return e.reasonOf(x)
	case x.rsc == nil:
		return Reason{Code: CodeOther, Text: x.task + " on " + node}
	}
	return e.roleReason(x)
}

// pseudoReason is for an action that only orders others.
func (e *engine) pseudoReason(a *action) Reason {
	out := Reason{Code: CodeDependency, Resource: plainName(a.rsc), Text: "it holds the order of other actions"}
	switch {
	case a.rsc == nil || !a.rsc.isPrimitive():
	case a.task == taskStop || a.task == taskDemote:
		out.Code, out.Node = CodeFencing, nodeName(a.node)
		out.Text = fmt.Sprintf("%s on %s ends with its node", plainName(a.rsc), nodeName(a.node))
		if a.rsc.partialTarget != nil || a.rsc.migratable && a.node != nil && a.node.online {
			out.Code, out.Text = CodeLeaves, fmt.Sprintf("%s moves alive", plainName(a.rsc))
		}
	case a.task == taskStart:
		out.Code, out.Text = CodePlace, fmt.Sprintf("%s moves alive", plainName(a.rsc))
		if a.rsc.stopUnexpected {
			out.Text = fmt.Sprintf("%s stays where it is expected", plainName(a.rsc))
		}
	}
	return out
}

// roleReason says why the role of a resource changes.
func (e *engine) roleReason(a *action) Reason {
	r, node := a.rsc, nodeName(a.node)
	out := Reason{Code: CodePlace, Node: node, Resource: plainName(r)}
	switch a.task {
	case taskStart:
		out.Text = fmt.Sprintf("%s is to run on %s", plainName(r), node)
	case taskStop:
		out.Text = fmt.Sprintf("%s is not to run on %s", plainName(r), node)
		switch {
		case r.failed:
			out.Code, out.Text = CodeFailure, fmt.Sprintf("%s has failed", plainName(r))
		case r.nextRole == roleStopped:
			out.Code = CodeTargetRole
		case r.assigned == a.node:
			out.Code, out.Text = CodeDependency, fmt.Sprintf("%s is to be started again", plainName(r))
		}
	case taskPromote:
		out.Code, out.Text = CodePromotion, fmt.Sprintf("%s is to be promoted on %s", plainName(r), node)
	case taskDemote:
		out.Code, out.Text = CodePromotion, fmt.Sprintf("%s is not to be promoted on %s", plainName(r), node)
	case taskMigrateTo, taskMigrateFrom:
		out.Text = fmt.Sprintf("%s moves alive to %s", plainName(r), nodeName(r.assigned))
	default:
		out.Code, out.Text = CodeOther, strings.ReplaceAll(a.task, "_", " ")+" of "+plainName(r)
	}
	return out
}
