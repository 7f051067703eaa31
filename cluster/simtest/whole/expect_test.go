package whole

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/consensus"
)

// on lists where a resource is active.
func (w *world) on(id string) []*host {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*host
	for _, h := range w.hosts {
		if w.active[id][h.name] {
			out = append(out, h)
		}
	}
	return out
}

// owner is the host on which a resource is active, if it is on one.
func (w *world) owner(id string) *host {
	if l := w.on(id); len(l) == 1 {
		return l[0]
	}
	return nil
}

func (w *world) where() map[string]string {
	out := map[string]string{}
	for i := range w.plan.resources {
		id := resourceName(i)
		for _, h := range w.on(id) {
			out[id] += h.name + " "
		}
	}
	return out
}

func (w *world) same(before map[string]string) {
	if now := w.where(); fmt.Sprint(now) != fmt.Sprint(before) {
		w.violated("resources are on %v, and were on %v", now, before)
	}
}

// nodes are the hosts that may run resources.
func (w *world) nodes() []*host {
	return slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h.witness })
}

func (w *world) other(b *host) *host {
	for _, h := range w.hosts {
		if h != b && !h.witness {
			return h
		}
	}
	return nil
}

// follower is one of those that do not lead.
func (w *world) follower(i int) *host {
	lead := w.leader()
	for _, h := range w.hosts {
		if h != lead {
			if i == 0 {
				return h
			}
			i--
		}
	}
	return nil
}

func (w *world) timesFenced(h *host) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fenced[h.name]
}

func (w *world) wantFenced(h *host, want bool) {
	if k := w.timesFenced(h); k > 0 != want {
		w.violated("%s was fenced %d times", h.name, k)
	}
}

// recovered waits until a resource runs on another host than the lost one.
func (w *world) recovered(lost *host, id string) {
	began := time.Now()
	// A host that was fenced may be back before.
	if w.until(40*w.detection, id+" is recovered", func() bool {
		o := w.owner(id)
		return o != nil && (o != lost || w.timesFenced(lost) > 0)
	}) {
		w.note("%s is recovered after %v", id, time.Since(began))
	}
}

func (w *world) writable(h *host) {
	w.until(20*w.detection, "a change can be committed on "+h.name, func() bool {
		n := len(w.promised)
		w.mark(h, 2*w.detection)
		return len(w.promised) > n
	})
}

// writing commits something somewhere.
func (w *world) writing() {
	if l := w.leader(); l != nil {
		w.mark(l, w.detection)
	}
	time.Sleep(w.detection / 2)
}

// returns switches a host on and waits for it to be a voter again.
func (w *world) returns(h *host) {
	h.boot()
	w.until(60*w.detection, h.name+" has a vote again", func() bool {
		l := w.leader()
		n := h.running()
		if l == nil || n == nil || !n.Admitted() || l.running() == nil {
			return false
		}
		voters, _, err := l.running().Consensus().Electorate()
		return err == nil && len(voters) == len(w.hosts)
	})
}

func (w *world) breakDevice(fails bool) {
	w.mu.Lock()
	if w.switching = deviceWorks; fails {
		w.switching = deviceFails
	}
	w.mu.Unlock()
}

func (w *world) slowAgents(d time.Duration) {
	w.mu.Lock()
	w.slow = d
	w.mu.Unlock()
}

func (w *world) starts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats.Starts
}

func (w *world) wantStarts(k int) {
	if s := w.starts(); s != k {
		w.violated("%d starts that should not have been", s-k)
	}
}

func (w *world) wantNothingOn(h *host) {
	for i := range w.plan.resources {
		id := resourceName(i)
		for _, o := range w.on(id) {
			if o == h {
				w.violated("%s is still active on %s", id, h.name)
			}
		}
	}
}

func (w *world) cutOff(b *host) {
	for _, h := range w.hosts {
		if h != b {
			w.sever(b, h, true)
		}
	}
}

func (w *world) allOff() {
	for _, h := range w.hosts {
		h.powerOff()
	}
	time.Sleep(2 * w.detection)
}

// named reports whether a test is where it is said to be: "folder TestName",
// the folder from the top of the repository.
func named(where string) error {
	folder, name, _ := strings.Cut(where, " ")
	files, err := filepath.Glob(filepath.Join("../../..", folder, "*_test.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("there is no test %q in %s", name, folder)
}

// The matrix notices when a test that it relies on is gone.
func TestNamed(t *testing.T) {
	if err := named("cluster/simtest/whole TestFailureCases"); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{"cluster/simtest/whole TestThatNobodyWrote", "cluster/nowhere TestFailureCases", "cluster/simtest/whole "} {
		if named(gone) == nil {
			t.Errorf("%q was found", gone)
		}
	}
}

// terminate has a host fenced by the attribute that asks for it.
func (w *world) terminate(h *host) {
	w.until(20*w.detection, "its fencing is asked for", func() bool {
		l := w.leader()
		if l == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*w.detection)
		defer cancel()
		_, err := l.running().Consensus().Apply(ctx, consensus.NewRequest(), consensus.Command{Change: &cib.Change{
			Origin: cib.Origin{User: "the test", Client: "test", Node: l.name, Time: time.Now()},
			Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: h.id, Name: "terminate", Value: "true"}}}}}})
		return err == nil
	})
}
