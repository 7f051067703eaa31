package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

// catalog is what a session knows of agents. It asks the cluster, or the host
// for a file, and remembers the answers. It serves grammar (short agent names),
// verification and completion.
type catalog struct {
	ctx     context.Context
	cluster client.Cluster

	mu     sync.Mutex
	lists  map[[2]string][]string
	metas  map[cib.AgentName]*metaAnswer
	byType map[string][]string // providers
}

type metaAnswer struct {
	meta   *cib.AgentMeta
	source string
	xml    string
	err    error
}

func newCatalog(ctx context.Context, cluster client.Cluster) *catalog {
	return &catalog{ctx: ctx, cluster: cluster, lists: map[[2]string][]string{},
		metas: map[cib.AgentName]*metaAnswer{}, byType: map[string][]string{}}
}

// providerLister is what clusters offer that can tell providers.
type providerLister interface {
	Providers(ctx context.Context, agentType string) ([]string, error)
}

// knownProviders are tried where a cluster cannot list providers.
func knownProviders() []string {
	return []string{"heartbeat", "pacemaker", "linbit", "redhat", "openstack", "suse", "percona", "booth", "lvm2"}
}

// list returns agent types, or classes if class is empty; sorted.
func (k *catalog) list(class, provider string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := [2]string{class, provider}
	if l, ok := k.lists[key]; ok {
		return l
	}
	l, err := k.cluster.Agents(k.ctx, class, provider)
	if err != nil {
		l = nil
	}
	l = slices.Clone(l)
	slices.Sort(l)
	k.lists[key] = l
	return l
}

// Providers lists the providers of an ocf type, all of them if it is empty.
func (k *catalog) Providers(agentType string) []string {
	k.mu.Lock()
	p, ok := k.byType[agentType]
	k.mu.Unlock()
	if ok {
		return p
	}
	if l, able := k.cluster.(providerLister); able {
		if got, err := l.Providers(k.ctx, agentType); err == nil {
			p = got
		}
	} else {
		for _, name := range knownProviders() {
			types := k.list("ocf", name)
			if len(types) > 0 && (agentType == "" || slices.Contains(types, agentType)) {
				p = append(p, name)
			}
		}
	}
	slices.Sort(p)
	k.mu.Lock()
	k.byType[agentType] = p
	k.mu.Unlock()
	return p
}

func (k *catalog) answer(name cib.AgentName) *metaAnswer {
	k.mu.Lock()
	a, ok := k.metas[name]
	k.mu.Unlock()
	if ok {
		return a
	}
	a = &metaAnswer{}
	a.xml, a.source, a.err = k.cluster.Metadata(k.ctx, name.String())
	var remote *client.Error
	if !errors.Is(a.err, cib.ErrNoAgent) && errors.As(a.err, &remote) &&
		(remote.Code == client.CodeNotFound || strings.Contains(remote.Text, "is not installed")) {
		a.err = fmt.Errorf("%w: %w", cib.ErrNoAgent, a.err)
	}
	if a.err == nil && a.xml != "" {
		a.meta, a.err = cib.ParseAgentMeta(a.xml)
	}
	k.mu.Lock()
	k.metas[name] = a
	k.mu.Unlock()
	return a
}

// Metadata implements [cib.MetadataSource].
func (k *catalog) Metadata(name cib.AgentName) (*cib.AgentMeta, error) {
	a := k.answer(name)
	return a.meta, a.err
}

// Agents implements [cib.MetadataSource].
func (k *catalog) Agents() []cib.AgentName {
	var out []cib.AgentName
	for _, class := range k.list("", "") {
		if class == "ocf" {
			for _, p := range k.Providers("") {
				for _, t := range k.list(class, p) {
					out = append(out, cib.AgentName{Class: class, Provider: p, Type: t})
				}
			}
			continue
		}
		for _, t := range k.list(class, "") {
			out = append(out, cib.AgentName{Class: class, Type: t})
		}
	}
	return out
}

// Agent implements [grammar.Agents].
func (k *catalog) Agent(name cib.AgentName) (grammar.AgentInfo, bool) {
	m, err := k.Metadata(name)
	if err != nil || m == nil {
		return grammar.AgentInfo{}, false
	}
	var info grammar.AgentInfo
	for _, p := range m.Params {
		info.Parameters = append(info.Parameters, p.Name)
	}
	for _, a := range m.Actions {
		info.Actions = append(info.Actions, a.Name)
	}
	return info, true
}

// agents returns the catalog of the session.
func (s *Session) agents(ctx context.Context) *catalog {
	if *s.catalog == nil {
		*s.catalog = newCatalog(context.WithoutCancel(ctx), s.cluster)
	}
	return *s.catalog
}

// verify looks for everything that is wrong with a document.
func (s *Session) verify(ctx context.Context, doc *cib.CIB) []cib.Problem {
	problems := cib.Verify(doc, s.agents(ctx), cib.VerifyOptions{})
	if s.cfg.Fencing != nil {
		problems = append(problems, s.cfg.Fencing(doc, s.agents(ctx))...)
	}
	return problems
}

// agentOf resolves an agent as it is typed, for ra info and completion.
func (s *Session) agentOf(ctx context.Context, typed string) (cib.AgentName, bool) {
	return grammar.ResolveAgent(typed, s.agents(ctx))
}

var (
	_ cib.MetadataSource = (*catalog)(nil)
	_ grammar.Agents     = (*catalog)(nil)
)

// noAgent tells whether an error means that an agent is not installed.
func noAgent(err error) bool { return errors.Is(err, cib.ErrNoAgent) }
