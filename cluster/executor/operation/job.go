package operation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// Tasks that are no agent actions but work for the executor itself.
const (
	// Cancel ends a recurring operation (meta operation and interval).
	Cancel = "cancel"
	// Delete ends everything recurring of a resource and forgets its history.
	Delete = "delete"
)

// DefaultTimeout is how long an action may take if nothing says otherwise.
const DefaultTimeout = 20 * time.Second

// Job is one action for an executor.
type Job struct {
	// Key is the transition key.
	Key string
	// Node and NodeID are the name and id of the node whose history gets
	// the result.
	Node, NodeID string
	// Resource is the history id, which is also what agents see as
	// OCF_RESOURCE_INSTANCE.
	Resource              string
	Class, Provider, Type string
	Task                  string
	OperationKey          string // "web_monitor_10000"
	Interval              time.Duration
	Timeout               time.Duration // never 0
	// StartDelay delays the first run of a recurring operation.
	StartDelay time.Duration
	// Params are the agent's parameters; Meta the CRM_meta_* values without
	// that prefix.
	Params, Meta []cib.Attr
	ExpectedRC   int
	// StartFatal makes a failed start count as INFINITY failures.
	StartFatal bool `json:",omitempty"`
	// ShutdownLock is set for the stop of a resource that is to wait for the
	// return of its node: since when that node shuts down, in seconds since 1970.
	ShutdownLock int64 `json:",omitempty"`
}

// MetaValue returns a CRM_meta_* value, or "" if it is absent. Names are
// spelled with "_".
func (j *Job) MetaValue(name string) string {
	for _, a := range j.Meta {
		if a.Name == name || strings.ReplaceAll(a.Name, "-", "_") == name {
			return a.Value
		}
	}
	return ""
}

// Recorded reports whether the job gets a pending record and a result in the
// history that decides about the resource's state.
func (j *Job) Recorded() bool { return RecordedTask(j.Task) }

// RecordedTask is [Job.Recorded] for a task.
func RecordedTask(task string) bool {
	switch task {
	case Cancel, Delete, "notify", "meta-data":
		return false
	}
	return true
}

// OperationID is the id of the history entry of the job while it is pending
// and when it succeeds.
func (j *Job) OperationID() string {
	switch {
	case j.Task == Cancel:
		ms, _ := strconv.ParseInt(j.MetaValue("interval"), 10, 64)
		if ms == 0 {
			ms = j.Interval.Milliseconds()
		}
		task := j.MetaValue("operation")
		if task == "" {
			task = "monitor"
		}
		return Key(j.Resource, task, time.Duration(ms)*time.Millisecond)
	case j.Task == "notify":
		return fmt.Sprintf("%s_%s_notify_%s_0", j.Resource, j.MetaValue("notify_type"), j.MetaValue("notify_operation"))
	case j.Task == "migrate_to", j.Task == "migrate_from", j.Interval > 0:
		return Key(j.Resource, j.historyTask(true), j.Interval)
	}
	return j.Resource + "_last_0"
}

// Key is an operation key: resource, task and interval in milliseconds.
func Key(resource, task string, interval time.Duration) string {
	return fmt.Sprintf("%s_%s_%d", resource, task, interval.Milliseconds())
}

// TransitionKey builds a transition key.
func TransitionKey(action, transition, target int, uuid string) string {
	return fmt.Sprintf("%d:%d:%d:%s", action, transition, target, uuid)
}

// Token orders what leaders say to an executor: a later leader's words come
// after all of an earlier one's (Term), and a leader counts its own (Seq).
//
// An executor that answered a [Query] refuses, from then on, every dispatch
// with a lower token. So when a query's answer does not name a job, that job
// is not running and will never run, whatever the network still holds.
type Token struct {
	Term, Seq uint64
}

// Less reports whether t comes before o.
func (t Token) Less(o Token) bool {
	return t.Term < o.Term || t.Term == o.Term && t.Seq < o.Seq
}

// Dispatch is the message that starts a job.
type Dispatch struct {
	Token Token
	// Incarnation is that of the executor the leader has last heard of; one
	// that was started since refuses.
	Incarnation string
	// Limit is how many actions may run at a time on the node
	// (node-action-limit); 0 leaves it to the executor.
	Limit int `json:",omitempty"`
	Job   Job
}

// Report is an executor's answer to a leader's query.
type Report struct {
	// Incarnation changes with every start of the executor.
	Incarnation string
	// Parallel is how many actions the executor runs at a time if the cluster
	// does not say.
	Parallel int
	// Jobs are the keys of jobs that are waiting, running, or whose result
	// is not committed yet.
	Jobs []string
}
