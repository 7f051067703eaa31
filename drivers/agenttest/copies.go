package agenttest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
)

// Copies are the instances of a promotable clone, one a node, of one cluster
// in memory, driven as the cluster drives them.
type Copies struct {
	Nodes   []string
	On      map[string]*Subject
	Cluster map[string]*Cluster
}

// NewCopies makes the instances; params are those of the instance on a node.
func NewCopies(t *testing.T, name drivers.Name, agent drivers.Agent, resource string, nodes []string, params func(node string) map[string]string) *Copies {
	t.Helper()
	k := &Copies{Nodes: nodes, On: map[string]*Subject{}, Cluster: NewClusters(nodes...)}
	for i, n := range nodes {
		k.On[n] = &Subject{Name: name, Agent: agent, Resource: resource, Params: params(n), Timeout: 90 * time.Second, Promotable: true,
			Meta: map[string]string{"promoted_max": "1", "clone_max": strconv.Itoa(len(nodes)), "notify": "true"},
			Node: drivers.Node{Name: n, ID: strconv.Itoa(i + 1), ClusterName: "test", StateDir: t.TempDir(), Cluster: k.Cluster[n]}}
	}
	return k
}

// Notify tells every instance on the given nodes of an event that is over.
func (k *Copies) Notify(t *testing.T, operation string, of string, nodes ...string) {
	t.Helper()
	for _, n := range nodes {
		s := *k.On[n]
		s.Meta = maps.Clone(s.Meta)
		s.Meta["notify_type"], s.Meta["notify_operation"], s.Meta["notify_"+operation+"_uname"] = "post", operation, of
		s.Want(t, drivers.Notify, drivers.OK)
	}
}

// Fittest is the node with the highest positive promotion score, empty if
// there is none.
func (k *Copies) Fittest(resource string) string {
	best, score := "", 0
	for _, n := range slices.Sorted(slices.Values(k.Nodes)) {
		if s, ok := k.Cluster[n].Score(resource); ok && s > score {
			best, score = n, s
		}
	}
	return best
}

// Told lists the attributes of a node in one line, for messages of tests.
func (k *Copies) Told(node string) string {
	a := k.Cluster[node].all
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, m := range []map[string]string{a.attributes[node], a.permanent[node]} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			out = append(out, name+"="+m[name])
		}
	}
	return strings.Join(out, " ")
}
