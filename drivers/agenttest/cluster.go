package agenttest

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Cluster is one node's view of a cluster in memory.
type Cluster struct {
	node string
	all  *shared
}

// shared is what all nodes see.
type shared struct {
	mu         sync.Mutex
	nodes      []string
	scores     map[string]map[string]int    // by node and resource
	attributes map[string]map[string]string // by node and name, of this life of the node
	permanent  map[string]map[string]string
}

// NewCluster returns a cluster of one node with nothing set.
func NewCluster(node string) *Cluster { return NewClusters(node)[node] }

// NewClusters returns what each of several nodes sees of one cluster.
func NewClusters(nodes ...string) map[string]*Cluster {
	all := &shared{nodes: slices.Sorted(slices.Values(nodes)), scores: map[string]map[string]int{},
		attributes: map[string]map[string]string{}, permanent: map[string]map[string]string{}}
	out := map[string]*Cluster{}
	for _, n := range nodes {
		all.scores[n], all.attributes[n], all.permanent[n] = map[string]int{}, map[string]string{}, map[string]string{}
		out[n] = &Cluster{n, all}
	}
	return out
}

// SetPromotionScore implements drivers.Cluster.
func (c *Cluster) SetPromotionScore(_ context.Context, resource string, score *int) error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	set(c.all.scores[c.node], resource, score)
	return nil
}

// SetAttribute implements drivers.Cluster.
func (c *Cluster) SetAttribute(_ context.Context, name string, value *string) error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	set(c.all.attributes[c.node], name, value)
	return nil
}

// SetNodeAttribute implements drivers.Cluster.
func (c *Cluster) SetNodeAttribute(_ context.Context, node, name string, value *string) error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	set(c.all.permanent[node], name, value)
	return nil
}

func set[V any](in map[string]V, key string, value *V) {
	if value == nil {
		delete(in, key)
	} else {
		in[key] = *value
	}
}

// Attribute implements drivers.Cluster.
func (c *Cluster) Attribute(_ context.Context, node, name string) (string, bool, error) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if v, ok := c.all.attributes[node][name]; ok {
		return v, true, nil
	}
	v, ok := c.all.permanent[node][name]
	return v, ok, nil
}

// Sync implements drivers.Cluster.
func (c *Cluster) Sync(context.Context) error { return nil }

// Nodes implements drivers.Cluster.
func (c *Cluster) Nodes(context.Context) ([]string, error) { return slices.Clone(c.all.nodes), nil }

// Leave forgets what lasts only as long as the node is a member.
func (c *Cluster) Leave() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	clear(c.all.scores[c.node])
	clear(c.all.attributes[c.node])
}

// Score returns the promotion score of a resource.
func (c *Cluster) Score(resource string) (int, bool) {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	v, ok := c.all.scores[c.node][resource]
	return v, ok
}

// Attributes returns a copy of all transient attributes.
func (c *Cluster) Attributes() map[string]string {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	return maps.Clone(c.all.attributes[c.node])
}
