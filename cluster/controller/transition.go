package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
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
	// ready are the indexes of actions that may start, ascending.
	ready []int
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
			t.ready = append(t.ready, i)
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

// take removes an index from ready.
func (t *transition) take(i int) {
	if at, ok := slices.BinarySearch(t.ready, i); ok {
		t.ready = slices.Delete(t.ready, at, at+1)
	}
}

// confirm marks an action as done and makes ready what waited for it alone.
func (t *transition) confirm(i int) {
	t.done++
	if a := t.actions[i]; isProbe(a) {
		t.probes[a.Resource.ID]--
	}
	for _, j := range t.feeds[i] {
		if t.waits[j]--; t.waits[j] == 0 {
			at, _ := slices.BinarySearch(t.ready, j)
			t.ready = slices.Insert(t.ready, at, j)
		}
	}
}
