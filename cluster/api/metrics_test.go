package api

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

var update = flag.Bool("update", false, "write the golden files")

// monitored is a backend with facts that are given.
type monitored struct {
	*memory
	info    client.Info
	links   []client.Link
	status  Status
	infoErr error
}

func (m *monitored) Info(context.Context) (*client.Info, error)   { return &m.info, m.infoErr }
func (m *monitored) Links(context.Context) ([]client.Link, error) { return m.links, nil }
func (m *monitored) Observe(*cib.CIB) (Status, error)             { return m.status, nil }

func scrape(t *testing.T, m *monitored) string {
	t.Helper()
	s := &Server{node: "n1", backend: m, log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", PathMetrics, nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v\n%s", w.Code, w.Header(), w.Body)
	}
	return regexp.MustCompile(`(?m)^(ha_cluster_scrape_duration_seconds\{.*\}) .*$`).ReplaceAllString(w.Body.String(), "$1 TIME")
}

func example(t *testing.T) *monitored {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "metrics.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := cib.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	m := &monitored{memory: newMemory()}
	m.doc = doc
	m.info = client.Info{Node: "n1", Quorate: true, Members: []client.Member{
		{Name: "n1", ID: "1", Online: true, Voter: true}, {Name: "n2", ID: "2", Online: true, Voter: true},
		{Name: "n3", ID: "3", Voter: true}, {Name: "n4", ID: "4", Online: true}}}
	m.links = []client.Link{{Peer: "n2", Address: "192.0.2.2", Up: true}, {Peer: "n2", Address: "198.51.100.2"}, {Peer: "n3", Address: "192.0.2.3"}}
	m.status = Status{
		Nodes: []NodeStatus{{ID: "1", Name: "n1", Kind: "member", Online: true, DC: true}, {ID: "2", Name: "n2", Kind: "member", Pending: true, Standby: true},
			{ID: "3", Name: "n3", Kind: "member", Unclean: true}, {ID: "r", Name: "r", Kind: "remote", Online: true, StandbyOnFail: true, Maintenance: true, Shutdown: true}},
		Resources: []ResourceStatus{
			{ID: "web", Node: "n1", Role: "Started", Agent: "ocf:heartbeat:apache", Group: "g", Managed: true, Active: true, Failed: true},
			{ID: "ip", Role: "Stopped", Agent: "ocf:heartbeat:IPaddr2", Group: "g", Managed: true, Blocked: true},
			{ID: "db:0", Node: "n1", Role: "Promoted", Agent: "ocf:heartbeat:pgsql", Clone: "dbs", Managed: true, Active: true, FailureIgnored: true},
			{ID: "db:1", Role: "Stopped", Agent: "ocf:heartbeat:pgsql", Clone: "dbs", Managed: true},
			{ID: "db:2", Role: "Stopped", Agent: "ocf:heartbeat:pgsql", Clone: "dbs", Managed: true},
			{ID: "gone", Node: "n2", Role: "Started", Agent: "ocf:heartbeat:Dummy", Active: true, Orphaned: true},
		}}
	return m
}

func TestMetrics(t *testing.T) {
	// The time of the last commit is told in the zone of the host.
	b := example(t)
	got := scrape(t, b)
	at := func(zone *time.Location) string {
		v, err := time.ParseInLocation(time.ANSIC, b.doc.Root.Get("cib-last-written"), zone)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("config_last_change %s\n", strconv.FormatFloat(float64(v.Unix()), 'g', -1, 64))
	}
	got = strings.Replace(got, at(time.Local), at(time.UTC), 1)
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s", got)
	}
}

// What cannot be had is missing, and that is told.
func TestMetricsWithoutFacts(t *testing.T) {
	m := example(t)
	m.infoErr = &client.Error{Text: "not now"}
	got := scrape(t, m)
	for _, line := range []string{`ha_cluster_scrape_success{collector="corosync"} 0`, `ha_cluster_scrape_success{collector="pacemaker"} 1`,
		`ha_cluster_pacemaker_stonith_enabled 1`} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(got, "ha_cluster_corosync_quorate") {
		t.Error("a quorum nobody told of")
	}
}
