package embedded

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
	"gcrm/drivers/all"
)

// patience bounds waiting where the time it takes is not what is tested.
const patience = time.Minute

// atMost checks a time that is tested. A machine with more to do than it has
// processors is given five times as long.
func atMost(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	var load float64
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(b), &load)
	}
	if load > float64(runtime.NumCPU()) {
		limit *= 5
	}
	if took > limit {
		t.Errorf("%s took %v, at most %v is wanted (load %v)", what, took, limit, load)
	}
}

// switchable stands for a fence device in the configuration; the fencing
// itself is done by the embedded cluster.
type switchable struct{}

func (switchable) Metadata(context.Context) (string, error) {
	return `<resource-agent name="fence_test"><parameters/><actions><action name="off"/><action name="reboot"/></actions></resource-agent>`, nil
}

func (switchable) Run(_ context.Context, r drivers.Request) drivers.Result {
	if r.Action == drivers.Monitor && r.Interval == 0 {
		return drivers.Result{RC: drivers.NotRunning}
	}
	return drivers.Result{}
}

// withDevice are the native agents and a fence device.
func withDevice() *drivers.Registry {
	agents := maps.Clone(all.Natives())
	agents[drivers.Name{Class: "stonith", Type: "fence_test"}] = switchable{}
	return drivers.NewRegistry(agents, nil, drivers.Preferences{Default: drivers.PreferNative})
}

// alter commits what edit makes of the configuration.
func alter(t *testing.T, c client.Cluster, edit func(conf *cib.Element)) {
	t.Helper()
	doc := document(t, c)
	conf := doc.Configuration().Clone()
	edit(conf)
	if _, err := c.Apply(t.Context(), cib.Change{Configuration: &cib.ConfigurationChange{Base: doc.Version(), XML: conf.String()}}); err != nil {
		t.Fatal(err)
	}
}

// primitive is a resource that is monitored often.
func primitive(id, agent string, params ...string) *cib.Element {
	p := cib.NewElement("primitive", "id", id, "class", "ocf", "provider", "heartbeat", "type", agent)
	if len(params) > 0 {
		ia := cib.NewElement("instance_attributes", "id", id+"-ia")
		for i := 0; i < len(params); i += 2 {
			ia.Add(cib.NewElement("nvpair", "id", id+"-"+params[i], "name", params[i], "value", params[i+1]))
		}
		p.Add(ia)
	}
	return p.Add(cib.NewElement("operations").Add(
		cib.NewElement("op", "id", id+"-monitor", "name", "monitor", "interval", "200ms", "timeout", "20s")))
}

// inOrder makes resources start on the first node that is there, and stay.
func inOrder(conf *cib.Element, resources ...string) {
	for _, id := range resources {
		for i, score := range []string{"30", "20", "10"} {
			node := fmt.Sprintf("node%d", i+1)
			conf.Ensure("constraints").Add(cib.NewElement("rsc_location", "id", id+"-"+node, "rsc", id, "node", node, "score", score))
		}
	}
	conf.Ensure("rsc_defaults").Add(cib.NewElement("meta_attributes", "id", "stay").Add(
		cib.NewElement("nvpair", "id", "stay-stickiness", "name", "resource-stickiness", "value", "1000")))
}

// dummies commits primitives of the Dummy agent that start on the first node
// that is there and stay. With a folder they keep their state in files there,
// where it can be seen from outside.
func dummies(t *testing.T, c client.Cluster, n int, dir string) {
	t.Helper()
	alter(t, c, func(conf *cib.Element) {
		var ids []string
		for i := range n {
			id := fmt.Sprintf("d%d", i+1)
			var params []string
			if dir != "" {
				params = []string{"state", filepath.Join(dir, id)}
			}
			conf.Child("resources").Add(primitive(id, "Dummy", params...))
			ids = append(ids, id)
		}
		inOrder(conf, ids...)
	})
}

// where tells on which nodes a resource is started, by the history.
func where(c *cib.CIB, resource string) string {
	out := ""
	for s := range c.Status().Named("node_state") {
		if !operation.Online(s) {
			continue
		}
		for op := range operation.Entries(c, s.ID(), resource) {
			if op.ID() == resource+"_last_0" && op.Get("operation") == "start" && op.Get("rc-code") == "0" {
				out += fmt.Sprint(s.Get("uname"), " ")
			}
		}
	}
	return out
}

func startedOn(t *testing.T, c client.Cluster, resource, want string) func() bool {
	return func() bool { return where(document(t, c), resource) == want+" " }
}
