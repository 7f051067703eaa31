package agenttest

import (
	"context"
	"maps"
	"sync"
)

// Cluster is a drivers.Cluster in memory, of one node.
type Cluster struct {
	node string

	mu         sync.Mutex
	scores     map[string]int
	attributes map[string]string
}

// NewCluster returns a cluster with nothing set.
func NewCluster(node string) *Cluster {
	return &Cluster{node: node, scores: map[string]int{}, attributes: map[string]string{}}
}

// SetPromotionScore implements drivers.Cluster.
func (c *Cluster) SetPromotionScore(_ context.Context, resource string, score *int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if score == nil {
		delete(c.scores, resource)
	} else {
		c.scores[resource] = *score
	}
	return nil
}

// SetAttribute implements drivers.Cluster.
func (c *Cluster) SetAttribute(_ context.Context, name string, value *string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value == nil {
		delete(c.attributes, name)
	} else {
		c.attributes[name] = *value
	}
	return nil
}

// Attribute implements drivers.Cluster.
func (c *Cluster) Attribute(_ context.Context, node, name string) (string, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.attributes[name]
	return v, ok && node == c.node, nil
}

// Score returns the promotion score of a resource.
func (c *Cluster) Score(resource string) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.scores[resource]
	return v, ok
}

// Attributes returns a copy of all attributes.
func (c *Cluster) Attributes() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.attributes)
}
