package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/scheduler"
)

// transition is a plan that is being carried out.
type transition struct {
	number  int
	began   time.Time
	plan    *scheduler.Plan
	version cib.Version
	actions []*scheduler.Action
	// waits counts the inputs of each action (by index) that are not yet
	// confirmed; feeds lists the indexes that wait for each.
	waits []int
	feeds [][]int
	index map[int]int // by action id
	// ready are the indexes of actions that may start, ascending: those that
	// need a record first, and the others.
	ready, light []int
	// probes counts the probes of each resource that are not yet confirmed.
	probes map[string]int

	done    int
	worked  bool // something but pseudo actions was started
	aborted bool
	over    bool

	fingerprint string
}

func newTransition(number int, plan *scheduler.Plan, version cib.Version) *transition {
	n := len(plan.Actions)
	t := &transition{number: number, plan: plan, version: version, actions: plan.Actions,
		waits: make([]int, n), feeds: make([][]int, n), index: make(map[int]int, n), probes: map[string]int{}}
	for i, a := range plan.Actions {
		t.index[a.ID] = i
		if isProbe(a) {
			t.probes[a.Resource.ID]++
		}
	}
	var print []string
	for i, a := range plan.Actions {
		t.waits[i] = len(a.Inputs)
		for _, id := range a.Inputs {
			// An input outside of the graph never completes.
			if j, ok := t.index[id]; ok {
				t.feeds[j] = append(t.feeds[j], i)
			}
		}
		if t.waits[i] == 0 {
			t.release(i)
		}
		print = append(print, fmt.Sprintf("%s@%s/%d", a.Key, a.Node, a.Kind))
	}
	slices.Sort(print)
	t.fingerprint = strings.Join(print, " ")
	return t
}

func isProbe(a *scheduler.Action) bool {
	return a.Kind == scheduler.ResourceAction && a.Task == "monitor" && a.Interval == 0 && a.Resource != nil
}

// unproven reports whether an action brings a resource up that may be up
// somewhere else, as a probe of the same transition will tell. The graph has
// that order for starts; a promotion must not overtake a probe either: the
// probe may find what a node whose daemon was started anew has left promoted.
func (t *transition) unproven(a *scheduler.Action) bool {
	switch a.Task {
	case "start", "promote", "migrate_to", "migrate_from":
		return a.Resource != nil && t.probes[a.Resource.ID] > 0
	}
	return false
}

// list is the one of ready and light to which an action belongs.
func (t *transition) list(i int) *[]int {
	if a := t.actions[i]; a.Kind == scheduler.ResourceAction && operation.RecordedTask(a.Task) {
		return &t.ready
	}
	return &t.light
}

// release makes an action ready.
func (t *transition) release(i int) {
	list := t.list(i)
	at, _ := slices.BinarySearch(*list, i)
	*list = slices.Insert(*list, at, i)
}

// take removes an action from what is ready.
func (t *transition) take(i int) {
	list := t.list(i)
	if at, ok := slices.BinarySearch(*list, i); ok {
		*list = slices.Delete(*list, at, at+1)
	}
}

// idle reports whether nothing is ready.
func (t *transition) idle() bool { return len(t.ready) == 0 && len(t.light) == 0 }

// confirm marks an action as done and makes ready what waited for it alone.
func (t *transition) confirm(i int) {
	t.done++
	if a := t.actions[i]; isProbe(a) {
		t.probes[a.Resource.ID]--
	}
	for _, j := range t.feeds[i] {
		if t.waits[j]--; t.waits[j] == 0 {
			t.release(j)
		}
	}
}
