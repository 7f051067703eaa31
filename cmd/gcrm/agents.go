package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gcrm/cib"
	"gcrm/cluster/stonith"
	"gcrm/drivers"
	"gcrm/drivers/all"
)

// hostAgents answers the shell's questions about agents from this host.
type hostAgents struct {
	registry func() *drivers.Registry
}

// localAgents returns the agents of this host; they are looked for at the first
// question.
func localAgents() *hostAgents {
	return &hostAgents{registry: sync.OnceValue(func() *drivers.Registry {
		return all.Registry(all.Options{}).With(stonith.Class, stonith.Finder{Registry: fenceMethods()})
	})}
}

func (h *hostAgents) Agents(ctx context.Context, class, provider string) ([]string, error) {
	if class == "" {
		return h.registry().Classes(), nil
	}
	return h.registry().List(class, provider), nil
}

func (h *hostAgents) Providers(ctx context.Context, agentType string) ([]string, error) {
	return h.registry().Providers(agentType), nil
}

func (h *hostAgents) Metadata(ctx context.Context, agent string) (xml, source string, err error) {
	name, err := drivers.ParseName(agent)
	if err != nil {
		return "", "", err
	}
	a, src, err := h.registry().Lookup(name)
	if err != nil {
		var missing *drivers.NotFoundError
		if errors.As(err, &missing) {
			err = fmt.Errorf("%w: %w", cib.ErrNoAgent, err)
		}
		return "", "", err
	}
	source = src.Kind
	if src.Path != "" {
		source += " " + src.Path
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	xml, err = a.Metadata(ctx)
	return xml, source, err
}
