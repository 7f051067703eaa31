package embedded

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"gcrm/cluster/api"
)

// A running node tells what it runs.
func TestMetricsOfARunningCluster(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	h := connect(t, c, 2)
	set(t, h, "stonith-enabled", "false")
	dummies(t, h, 1, "")
	eventually(t, patience, "d1 runs", startedOn(t, h, "d1", "node1"))
	web := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", c.Socket(2))
	}}}
	defer web.CloseIdleConnections()
	eventually(t, patience, "the metrics show it", func() bool {
		resp, err := web.Get("http://node" + api.PathMetrics)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s %v", resp.StatusCode, body, err)
		}
		for _, line := range []string{
			`ha_cluster_pacemaker_resources{agent="ocf:heartbeat:Dummy",clone="",group="",managed="true",node="node1",resource="d1",role="started",status="active"} 1`,
			`ha_cluster_pacemaker_nodes{node="node3",status="online",type="member"} 1`,
			`ha_cluster_pacemaker_stonith_enabled 0`, `ha_cluster_corosync_quorate 1`,
			`ha_cluster_corosync_quorum_votes{type="quorum"} 2`, `ha_cluster_scrape_success{collector="pacemaker"} 1`,
		} {
			if !strings.Contains(string(body), line+"\n") {
				t.Logf("no line %s yet", line)
				return false
			}
		}
		return true
	})
}
