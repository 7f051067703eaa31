package operation

import (
	"fmt"
	"strconv"
	"time"

	"gcrm/cib"
)

// Execution status and result codes as history entries spell them, where
// they have a meaning of their own here.
const (
	StatusPending      = -1
	StatusDone         = 0
	StatusCancelled    = 1
	StatusTimedOut     = 2
	StatusNotSupported = 3
	StatusError        = 4
	StatusNotInstalled = 7
	StatusNotConnected = 8
	StatusInvalid      = 9

	rcNotRunning = 7
	rcPending    = 193
)

// Outcome is how an action ended.
type Outcome struct {
	RC     int
	Status int
	Reason string // one line for administrators
	// CallID counts the operations of an executor; all runs of one recurring
	// operation have the same.
	CallID int
	// Run is when the action began; Changed, for recurring ones, when the
	// result became what it is.
	Run, Changed time.Time
	Exec, Queue  time.Duration
	// First is set for the first result of a recurring operation.
	First bool
}

// Failed reports whether the outcome is not what the job expects.
func (j *Job) Failed(o Outcome) bool {
	switch o.Status {
	case StatusPending, StatusCancelled:
		return false
	case StatusDone:
		return !Matches(j.ExpectedRC, o.RC)
	}
	return true
}

// Matches reports whether a result is the expected one; degraded resources
// run.
func Matches(expected, rc int) bool {
	return rc == expected || rc == 190 && expected == 0 || rc == 191 && expected == 8
}

// historyTask is the task under which a job is recorded: a reload that worked
// proves what a start proves, one that failed what a monitor does.
func (j *Job) historyTask(ok bool) string {
	if j.Task != "reload" && j.Task != "reload-agent" {
		return j.Task
	}
	if ok {
		return "start"
	}
	return "monitor"
}

// Pending is the record that an action is about to run. It replaces the entry
// that the result will replace.
func Pending(j *Job, now time.Time, t Traits) cib.StatusEdit {
	return j.entry(j.OperationID(), Outcome{
		RC: rcPending, Status: StatusPending, CallID: -1, Run: now,
	}, t)
}

// Result are the edits that record how a job ended on its node: the history
// entries and, for failures, the fail count. The edits are one atomic change.
func Result(j *Job, o Outcome, t Traits) []cib.StatusEdit {
	switch j.Task {
	case Cancel:
		return []cib.StatusEdit{{Forget: &cib.ForgetEdit{Node: j.NodeID, Resource: j.Resource, Operation: j.OperationID()}}}
	case Delete:
		return []cib.StatusEdit{{Forget: &cib.ForgetEdit{Node: j.NodeID, Resource: j.Resource}}}
	case "notify":
		// A notification that fails is logged where it ran; it stops nothing.
		o.RC, o.Status, o.Reason = 0, StatusDone, ""
		return []cib.StatusEdit{j.entry(j.OperationID(), o, t)}
	}
	if !j.Failed(o) {
		return []cib.StatusEdit{j.entry(j.OperationID(), o, t)}
	}
	var edits []cib.StatusEdit
	switch {
	case j.Task == "migrate_to" || j.Task == "migrate_from":
		edits = append(edits, j.entry(j.OperationID(), o, t))
	case j.Interval > 0:
		edits = append(edits, j.entry(j.Resource+"_last_failure_0", o, t))
		if o.First {
			// Else the pending record would stay.
			edits = append(edits, cib.StatusEdit{Forget: &cib.ForgetEdit{
				Node: j.NodeID, Resource: j.Resource, Operation: j.OperationID()}})
		}
	default:
		edits = append(edits, j.entry(j.Resource+"_last_failure_0", o, t), j.entry(j.OperationID(), o, t))
	}
	return append(edits, j.failCount(o)...)
}

// FailCount and LastFailure are the names of the node attributes that count
// failures of an operation and date the last one (seconds since 1970).
func FailCount(resource, task string, interval time.Duration) string {
	return fmt.Sprintf("fail-count-%s#%s_%d", resource, task, interval.Milliseconds())
}

// LastFailure is described at [FailCount].
func LastFailure(resource, task string, interval time.Duration) string {
	return fmt.Sprintf("last-failure-%s#%s_%d", resource, task, interval.Milliseconds())
}

// failCount counts a failure. Probes and migrations do not count; a failed
// stop can not be made good by trying again, nor, by default, a failed start.
func (j *Job) failCount(o Outcome) []cib.StatusEdit {
	count := cib.AttributeEdit{Node: j.NodeID, Name: FailCount(j.Resource, j.Task, j.Interval)}
	switch {
	case j.Task == "stop", j.Task == "start" && j.StartFatal:
		count.Value = "INFINITY"
	case j.Interval > 0, j.Task == "start", j.Task == "promote", j.Task == "demote":
		count.Value, count.Add = "1", true
	default:
		return nil
	}
	at := o.Run
	if j.Interval > 0 && !o.Changed.IsZero() {
		at = o.Changed
	}
	return []cib.StatusEdit{
		{Attribute: &count},
		{Attribute: &cib.AttributeEdit{Node: j.NodeID, Name: LastFailure(j.Resource, j.Task, j.Interval),
			Value: strconv.FormatInt(at.Add(o.Exec).Unix(), 10)}},
	}
}

// entry is one lrm_rsc_op.
func (j *Job) entry(id string, o Outcome, t Traits) cib.StatusEdit {
	task := j.historyTask(!j.Failed(o))
	attrs := []cib.Attr{
		{Name: "id", Value: id},
		{Name: "operation_key", Value: Key(j.Resource, task, j.Interval)},
		{Name: "operation", Value: task},
		{Name: "crm-debug-origin", Value: "gcrm"},
		{Name: "crm_feature_set", Value: cib.FeatureSet},
		{Name: "transition-key", Value: j.Key},
		{Name: "transition-magic", Value: fmt.Sprintf("%d:%d;%s", o.Status, o.RC, j.Key)},
	}
	if j.Task == "notify" {
		attrs[1].Value = id
	}
	if o.Reason != "" {
		attrs = append(attrs, cib.Attr{Name: "exit-reason", Value: o.Reason})
	}
	at := o.Run
	if j.Interval > 0 && !o.Changed.IsZero() {
		at = o.Changed
	}
	attrs = append(attrs,
		cib.Attr{Name: "on_node", Value: j.Node},
		cib.Attr{Name: "call-id", Value: strconv.Itoa(o.CallID)},
		cib.Attr{Name: "rc-code", Value: strconv.Itoa(o.RC)},
		cib.Attr{Name: "op-status", Value: strconv.Itoa(o.Status)},
		cib.Attr{Name: "interval", Value: strconv.FormatInt(j.Interval.Milliseconds(), 10)},
		cib.Attr{Name: "last-rc-change", Value: strconv.FormatInt(at.Unix(), 10)},
		cib.Attr{Name: "exec-time", Value: strconv.FormatInt(o.Exec.Milliseconds(), 10)},
		cib.Attr{Name: "queue-time", Value: strconv.FormatInt(o.Queue.Milliseconds(), 10)},
	)
	if j.Task == "migrate_to" || j.Task == "migrate_from" {
		attrs = append(attrs,
			cib.Attr{Name: "migrate_source", Value: j.MetaValue("migrate_source")},
			cib.Attr{Name: "migrate_target", Value: j.MetaValue("migrate_target")})
	}
	attrs = append(attrs, digests(j, t)...)
	edit := &cib.OperationEdit{
		Node: j.NodeID, Resource: j.Resource,
		Class: j.Class, Provider: j.Provider, Type: j.Type, Attributes: attrs,
	}
	switch {
	case o.Status == StatusPending:
	case j.Task == "stop" && !j.Failed(o):
		edit.ShutdownLock = j.ShutdownLock
	case j.Task == "monitor" && o.RC == rcNotRunning:
		// it waits on
	default:
		edit.Unlock = true
	}
	return cib.StatusEdit{Operation: edit}
}

// Recorded reports whether the document holds this outcome of this job (so
// that a result whose commit was in doubt is not counted twice).
func Recorded(doc *cib.CIB, j *Job, o Outcome) bool {
	want := map[string]string{
		"transition-key": j.Key,
		"call-id":        strconv.Itoa(o.CallID),
		"rc-code":        strconv.Itoa(o.RC),
		"op-status":      strconv.Itoa(o.Status),
	}
	if j.Interval > 0 {
		want["last-rc-change"] = strconv.FormatInt(o.Changed.Unix(), 10)
	}
next:
	for op := range Entries(doc, j.NodeID, j.Resource) {
		for name, value := range want {
			if op.Get(name) != value {
				continue next
			}
		}
		return true
	}
	return false
}
