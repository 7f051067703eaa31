package executor

import (
	"context"
	"encoding/xml"
	"sync"
	"time"

	"gcrm/cluster/executor/operation"
	"gcrm/drivers"
)

// traitsCache keeps what the history needs of agents' meta-data: it does not
// change while agents stay installed, and scripts take long to tell it.
type traitsCache struct {
	mu    sync.Mutex
	known map[drivers.Name]operation.Traits
}

// of returns an agent's traits; the zero value if it does not tell them.
func (c *traitsCache) of(ctx context.Context, name drivers.Name, agent drivers.Agent) operation.Traits {
	c.mu.Lock()
	t, ok := c.known[name]
	c.mu.Unlock()
	if ok {
		return t
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	document, err := agent.Metadata(ctx)
	if err != nil {
		return operation.Traits{}
	}
	t = parseTraits(document)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[drivers.Name]operation.Traits{}
	}
	c.known[name] = t
	return t
}

func parseTraits(document string) operation.Traits {
	var doc struct {
		Parameters []struct {
			Name       string `xml:"name,attr"`
			Reloadable string `xml:"reloadable,attr"`
			Private    string `xml:"private,attr"`
		} `xml:"parameters>parameter"`
		Actions []struct {
			Name string `xml:"name,attr"`
		} `xml:"actions>action"`
	}
	if xml.Unmarshal([]byte(document), &doc) != nil {
		return operation.Traits{}
	}
	var t operation.Traits
	for _, a := range doc.Actions {
		t.ReloadAgent = t.ReloadAgent || a.Name == drivers.ReloadAgent
	}
	for _, p := range doc.Parameters {
		t.Parameters = append(t.Parameters, p.Name)
		if p.Reloadable == "1" || p.Reloadable == "true" {
			t.Reloadable = append(t.Reloadable, p.Name)
		}
		if p.Private == "1" || p.Private == "true" {
			t.Private = append(t.Private, p.Name)
		}
	}
	return t
}
