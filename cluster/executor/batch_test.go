package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/cib"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// While a change is under way the results of other actions gather; all of them
// are committed by the next one. What was refused is tried alone: one bad result
// holds up no other.
func TestResultsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 40
		var mu sync.Mutex
		doc, changes, refused := cib.New(), 0, 0
		ex := New(Config{Node: drivers.Node{Name: "n1", ID: "1"}, Incarnation: "i1", Agents: registry{"Sleeper": &sleeper{}}, Parallel: jobs,
			Submit: func(_ context.Context, ch cib.Change) error {
				time.Sleep(100 * time.Millisecond) // as a slow disk does
				mu.Lock()
				defer mu.Unlock()
				changes++
				for _, e := range ch.Status.Edits {
					if e.Operation.Resource == "r7" && len(ch.Status.Edits) > 1 {
						refused++
						return errors.New("r7 is not wanted in company")
					}
				}
				next, err := doc.Apply(ch)
				if err == nil {
					doc = next
				}
				return err
			}})
		defer ex.Close(context.Background())
		for i := range jobs {
			j := job(fmt.Sprintf("r%d", i), "start", 0)
			j.Type, j.Key, j.Params = "Sleeper", fmt.Sprintf("%d:1:0:u", i+1), []cib.Attr{{Name: "took", Value: "1ms"}}
			if err := ex.Dispatch(operation.Dispatch{Token: operation.Token{Term: 1, Seq: uint64(i + 1)}, Incarnation: "i1", Job: j}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for i := range jobs {
			n := 0
			for op := range operation.Entries(doc, "1", fmt.Sprintf("r%d", i)) {
				if op.Get("rc-code") == "0" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("r%d has %d results", i, n)
			}
		}
		if refused == 0 || changes > jobs+3 {
			t.Errorf("%d changes, %d refused", changes, refused)
		}
		t.Logf("%d results in %d changes, of which %d were refused", jobs, changes, refused)
	})
}

// Without trouble a burst of results is a handful of changes.
func TestBurstOfResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 300
		doc, changes := cib.New(), 0
		ex := New(Config{Node: drivers.Node{Name: "n1", ID: "1"}, Incarnation: "i1", Agents: registry{"Sleeper": &sleeper{}}, Parallel: jobs,
			Submit: func(_ context.Context, ch cib.Change) error {
				time.Sleep(10 * time.Millisecond)
				changes++
				next, err := doc.Apply(ch)
				if err == nil {
					doc = next
				}
				return err
			}})
		defer ex.Close(context.Background())
		for i := range jobs {
			j := job(fmt.Sprintf("r%d", i), "monitor", 0)
			j.Type, j.Key, j.Params = "Sleeper", fmt.Sprintf("%d:1:0:u", i+1), []cib.Attr{{Name: "took", Value: "1ms"}}
			if err := ex.Dispatch(operation.Dispatch{Token: operation.Token{Term: 1, Seq: uint64(i + 1)}, Incarnation: "i1", Job: j}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := operation.LastCall(doc, "1"); n != jobs || changes > 1+(jobs+maxBatch-1)/maxBatch {
			t.Errorf("%d results in %d changes", n, changes)
		}
	})
}
