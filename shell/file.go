package shell

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// fileCluster makes a CIB file a [client.Cluster] in which nothing runs.
type fileCluster struct {
	path   string
	agents Agents
	cached *cib.CIB
	stamp  fileStamp
}

type fileStamp struct {
	size int64
	time time.Time
}

// OpenFile returns a cluster that is a CIB file, with the agents of this host.
// A file that does not exist is an empty CIB; the first commit makes it.
func OpenFile(path string, agents Agents) (client.Cluster, error) {
	f := &fileCluster{path: path, agents: agents}
	if _, err := f.CIB(context.Background(), false); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fileCluster) CIB(context.Context, bool) (*cib.CIB, error) {
	var stamp fileStamp
	if st, err := os.Stat(f.path); err == nil {
		stamp = fileStamp{st.Size(), st.ModTime()}
	}
	if f.cached != nil && stamp == f.stamp {
		return f.cached, nil
	}
	doc, err := cib.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		doc, err = cib.New(), nil
	}
	if err != nil {
		return nil, err
	}
	f.cached, f.stamp = doc, stamp
	return doc, nil
}

func (f *fileCluster) Apply(ctx context.Context, ch cib.Change) (cib.Version, error) {
	file, err := f.lock(ctx)
	if err != nil {
		return cib.Version{}, err
	}
	defer file.Close()
	next, err := file.CIB.Apply(ch)
	if err != nil {
		return cib.Version{}, err
	}
	if err := file.Save(next); err != nil {
		return cib.Version{}, err
	}
	f.cached = nil
	return next.Version(), nil
}

// lock opens the file for editing and waits a little for other editors.
func (f *fileCluster) lock(ctx context.Context) (*cib.File, error) {
	for attempt := 0; ; attempt++ {
		file, err := cib.OpenFile(f.path, true)
		if err == nil || !errors.Is(err, cib.ErrLocked) || attempt == 20 {
			return file, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (f *fileCluster) Info(ctx context.Context) (*client.Info, error) {
	return nil, problemf("%s is a file: no cluster runs", f.path)
}

func (f *fileCluster) Watch(ctx context.Context) (<-chan client.Event, error) {
	return nil, problemf("%s is a file: no cluster runs", f.path)
}

func (f *fileCluster) Agents(ctx context.Context, class, provider string) ([]string, error) {
	if f.agents == nil {
		return nil, nil
	}
	return f.agents.Agents(ctx, class, provider)
}

func (f *fileCluster) Metadata(ctx context.Context, agent string) (string, string, error) {
	if f.agents == nil {
		return "", "", problemf("agent %s is not known here", agent)
	}
	return f.agents.Metadata(ctx, agent)
}

// Providers lists the providers of an ocf agent type.
func (f *fileCluster) Providers(ctx context.Context, agentType string) ([]string, error) {
	if f.agents == nil {
		return nil, nil
	}
	return f.agents.Providers(ctx, agentType)
}

func (f *fileCluster) Close() error { return nil }
