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

	done    int
	worked  bool // something but pseudo actions was started
	aborted bool
	over    bool

	fingerprint string
}

func newTransition(number int, plan *scheduler.Plan, version cib.Version) *transition {
	n := len(plan.Actions)
	t := &transition{number: number, plan: plan, version: version, actions: plan.Actions,
		waits: make([]int, n), feeds: make([][]int, n), index: make(map[int]int, n)}
	for i, a := range plan.Actions {
		t.index[a.ID] = i
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

// take removes an index from ready.
func (t *transition) take(i int) {
	if at, ok := slices.BinarySearch(t.ready, i); ok {
		t.ready = slices.Delete(t.ready, at, at+1)
	}
}

// confirm marks an action as done and makes ready what waited for it alone.
func (t *transition) confirm(i int) {
	t.done++
	for _, j := range t.feeds[i] {
		if t.waits[j]--; t.waits[j] == 0 {
			at, _ := slices.BinarySearch(t.ready, j)
			t.ready = slices.Insert(t.ready, at, j)
		}
	}
}
