package embedded

import (
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// A commit on trial is taken back when nobody confirms it, though the leader
// dies meanwhile; what the cluster enters itself goes on.
func TestTrialOutlivesTheLeader(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 1)
	set(t, h, "cluster-name", "before")
	try := func(limit time.Duration) cib.Version {
		doc := document(t, h)
		conf := doc.Configuration().Clone()
		conf.Child("resources").Add(cib.NewElement("primitive", "id", "tried", "class", "ocf", "provider", "pacemaker", "type", "Dummy"))
		v, err := h.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String(), Confirm: limit},
			Origin: cib.Origin{Message: "a bold idea"}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	there := func(h client.Cluster) bool {
		return document(t, h).Configuration().Child("resources").ChildByID("tried") != nil
	}

	// It is refused to commit anything else, and to judge another version.
	v := try(time.Minute)
	doc := document(t, h)
	_, err := h.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: doc.Configuration().String()}})
	if err == nil || !strings.Contains(err.Error(), "waits for its confirmation") {
		t.Errorf("another commit: %v", err)
	}
	if err := h.Decide(t.Context(), cib.Version{Epoch: v.Epoch + 1}, true); err == nil {
		t.Error("a version that is not on trial was confirmed")
	}
	if i, err := h.Info(t.Context()); err != nil || i.Trial.Version != v || i.Trial.Origin.Message != "a bold idea" {
		t.Errorf("info: %+v, %v", i, err)
	}
	// Abandoned at once.
	if err := h.Decide(t.Context(), v, false); err != nil || there(h) {
		t.Fatalf("abandoned: %v, still there %v", err, there(h))
	}
	// Confirmed, and deleted again.
	v = try(time.Minute)
	if err := h.Decide(t.Context(), v, true); err != nil || !there(h) {
		t.Fatalf("confirmed: %v", err)
	}
	revisions, err := h.Revisions(t.Context())
	if err != nil || len(revisions) == 0 || revisions[len(revisions)-1].Confirmed == nil {
		t.Errorf("the history knows of no confirmation: %+v, %v", revisions, err)
	}
	alter(t, h, func(conf *cib.Element) {
		r := conf.Child("resources")
		r.Remove(r.ChildByID("tried"))
	})
	// Nobody confirms, and the leader dies.
	begin := time.Now()
	try(5 * time.Second)
	old := c.Leader()
	other := connect(t, c, old%3+1)
	c.Crash(old)
	eventually(t, time.Minute, "the commit is taken back", func() bool { return !there(other) })
	if took := time.Since(begin); took < 5*time.Second {
		t.Errorf("taken back after %v already", took)
	}
	doc = document(t, other)
	if name, _ := doc.Property("cluster-name"); name != "before" {
		t.Errorf("the rest was changed too: cluster-name is %q", name)
	}
	if revisions, err = other.Revisions(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := revisions[len(revisions)-1].Origin; !strings.Contains(last.Message, "nobody confirmed it within 5s") || last.User != "gcrm" {
		t.Errorf("history: %+v", last)
	}
	set(t, other, "cluster-name", "after") // commits are taken again
}
