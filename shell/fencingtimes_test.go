package shell

import (
	"maps"
	"testing"
	"time"

	"gcrm/cluster/client"
)

func TestFencingTimes(t *testing.T) {
	begin := time.Unix(1767225600, 0)
	entry := func(target, action, state string, took time.Duration) client.FenceEntry {
		return client.FenceEntry{Target: target, Action: action, State: state, Started: begin, Completed: begin.Add(took)}
	}
	got := fencingTimes([]client.FenceEntry{
		entry("a", "reboot", "done", 4*time.Second), entry("a", "off", "done", 9*time.Second), entry("a", "reboot", "failed", time.Minute),
		entry("b", "on", "done", 3*time.Second), entry("c", "off", "dup", time.Second),
		{Target: "d", Action: "off", State: "done", Completed: begin}, {Target: "e", Action: "off", State: "exec", Started: begin},
	})
	if want := map[string]time.Duration{"a": 9 * time.Second}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(fencingTimes(nil)) > 0 {
		t.Error("no history tells times")
	}
}
