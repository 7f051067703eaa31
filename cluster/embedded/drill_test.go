package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/node/drill"
)

// A standby is rehearsed: everything moves away, is measured, and comes back
// though it would have stayed; the configuration is as before.
func TestDrillStandby(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 2, "")
	alter(t, h, func(conf *cib.Element) {
		g := cib.NewElement("group", "id", "g").Add(primitive("g1", "Dummy"), primitive("g2", "Dummy"))
		conf.Child("resources").Add(g)
		conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "g-node1", "rsc", "g", "node", "node1", "score", "30"))
	})
	for _, id := range []string{"d1", "d2", "g1", "g2"} {
		eventually(t, patience, id+" runs on node1", startedOn(t, h, id, "node1"))
	}
	idle := func() bool {
		i, err := h.Info(t.Context())
		return err == nil && i.Transition.Idle && i.Transition.ComputedAtVersion.Compare(document(t, h).Version()) >= 0
	}
	eventually(t, patience, "the cluster is idle", idle)
	before := document(t, h).Configuration()

	var asked atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		io.WriteString(w, "here")
	}))
	defer service.Close()
	var told []string
	report, err := drill.Run(t.Context(), drill.Config{Cluster: h, Kind: drill.Standby, Node: "node1", Services: []string{service.URL, t.TempDir()},
		Limit: patience, Tell: func(s string) { told = append(told, s) }})
	if err != nil {
		t.Fatalf("%v; told %q", err, told)
	}
	if !report.Restored || report.Left != "" || len(report.Resources) != 4 || len(report.Services) != 2 || asked.Load() < 2 {
		t.Errorf("report: %+v, %d questions", report, asked.Load())
	}
	seen := 0
	for _, o := range report.Resources {
		// What moves between two events is not seen to be away.
		if o.Still || (o.Times == 0) != (o.Away == 0) {
			t.Errorf("%+v", o)
		}
		seen += o.Times
	}
	if seen == 0 {
		t.Errorf("nothing was away: %+v", report.Resources)
	}
	for _, o := range report.Services {
		if o.Times != 0 {
			t.Errorf("a service that was never away: %+v", o)
		}
	}
	for _, id := range []string{"d1", "g2"} {
		if at := where(document(t, h), id); at != "node1 " {
			t.Errorf("%s is on %q", id, at)
		}
	}
	if !document(t, h).Configuration().Equal(before) {
		t.Errorf("the configuration is not as before:\n%s\n%s", before, document(t, h).Configuration())
	}
	t.Logf("%s", fmt.Sprint(told))

	// What has nowhere to go, and what nobody can fence, is not rehearsed.
	alter(t, h, func(conf *cib.Element) {
		conf.Child("resources").Add(primitive("tied", "Dummy"))
		for _, n := range []string{"node2", "node3"} {
			conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", "tied-"+n, "rsc", "tied", "node", n, "score", "-INFINITY"))
		}
	})
	eventually(t, patience, "tied runs on node1", startedOn(t, h, "tied", "node1"))
	eventually(t, patience, "the cluster is idle", idle)
	var hazard *drill.HazardError
	if _, err := drill.Run(t.Context(), drill.Config{Cluster: h, Kind: drill.Standby, Node: "node1"}); !errors.As(err, &hazard) || !strings.Contains(err.Error(), "tied runs on node1 and could run nowhere else") {
		t.Errorf("standby: %v", err)
	}
	if _, err := drill.Run(t.Context(), drill.Config{Cluster: h, Kind: drill.Kill, Node: "node3"}); !errors.As(err, &hazard) || !strings.Contains(err.Error(), "nothing can fence") {
		t.Errorf("kill: %v", err)
	}
	if _, err := drill.Run(t.Context(), drill.Config{Cluster: h, Kind: drill.Kill, Node: "node2", Force: true}); err == nil {
		t.Error("a node watches its own end")
	}
	if _, err := drill.Run(t.Context(), drill.Config{Cluster: h, Kind: drill.Standby, Node: "node1", Services: []string{"127.0.0.1:1"}, Force: true}); err == nil || !strings.Contains(err.Error(), "does not answer before") {
		t.Errorf("a service that is not there: %v", err)
	}
	// Interrupted, it still brings the node back.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = drill.Run(ctx, drill.Config{Cluster: h, Kind: drill.Standby, Node: "node1", Force: true, Limit: patience, Tell: func(s string) {
		if strings.Contains(s, "goes into standby") {
			time.AfterFunc(20*time.Millisecond, cancel)
		}
	}})
	if err == nil {
		t.Error("an interrupted drill was done")
	}
	if doc := document(t, h); strings.Contains(doc.Configuration().String(), `name="standby" value="on"`) {
		t.Error("the node was left in standby")
	}
}
