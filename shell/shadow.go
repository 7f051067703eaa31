package shell

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/grammar"
)

// A shadow CIB is a CIB file in a folder of the user, edited in the place of
// the cluster's.

func (s *Session) shadowDir() (string, error) {
	dir := s.cfg.Environ("CIB_shadow_dir")
	if dir == "" {
		h := s.historyFile()
		if h == "" {
			return "", problemf("there is no folder for shadow CIBs").hinting("set HOME or XDG_STATE_HOME")
		}
		dir = filepath.Join(filepath.Dir(h), "shadow")
	}
	return dir, os.MkdirAll(dir, 0o700)
}

func (s *Session) shadowPath(c *call, i int, name string) (string, error) {
	if !grammar.ValidID(name) || name == "live" {
		return "", problemf("%q is no name for a shadow CIB", name).at(c.at(i)).hinting("use letters, digits, - and _")
	}
	dir, err := s.shadowDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name+".xml"), nil
}

// switchTo makes another cluster the one the session works on.
func (s *Session) switchTo(ctx context.Context, cluster client.Cluster, source string, offline bool) error {
	if s.changed() {
		if s.batch || !s.cfg.Interactive {
			if err := s.commit(ctx, commitOptions{}); err != nil {
				return err
			}
		} else if stay, err := s.settleChanges(ctx); err != nil || stay {
			return err
		}
	}
	if o := s.overlay; o != nil {
		if s.live == nil {
			s.parked = o // the cluster's commits wait for the end of the script
		} else if !s.rehearsing {
			// A shadow CIB is nobody's but the user's: its commits are kept.
			if err := s.flush(ctx, o); err != nil {
				return err
			}
		}
		next := &overlay{Cluster: cluster}
		if s.live != nil && s.parked != nil && cluster == s.live.cluster {
			next, s.parked = s.parked, nil
		}
		next.rest, next.failed = o.rest, o.failed
		s.overlay = next
	}
	s.drop()
	if s.live == nil {
		s.live = &liveCluster{s.cluster, s.cfg.Source, s.cfg.Offline}
	}
	s.cluster, s.cfg.Source, s.cfg.Offline = cluster, source, offline
	return nil
}

// liveCluster is what a session went away from to use a shadow CIB.
type liveCluster struct {
	cluster client.Cluster
	source  string
	offline bool
}

// home returns the cluster that the session was started on.
func (s *Session) home() client.Cluster {
	if s.live != nil {
		return s.live.cluster
	}
	return s.cluster
}

func (s *Session) useShadow(ctx context.Context, path, name string) error {
	f := &fileCluster{path: path, agents: clusterAgents{s.home()}}
	return s.switchTo(ctx, f, name, true)
}

// clusterAgents answers for the agents of a shadow CIB by those of its cluster.
type clusterAgents struct{ client.Cluster }

func (a clusterAgents) Providers(ctx context.Context, agentType string) ([]string, error) {
	if l, ok := a.Cluster.(providerLister); ok {
		return l.Providers(ctx, agentType)
	}
	return newCatalog(ctx, a.Cluster).Providers(agentType), nil
}

func runCibNew(ctx context.Context, s *Session, c *call) error {
	name := c.arg(0)
	if name == "" || name == "withstatus" || name == "force" || name == "empty" {
		name = "shadow"
	}
	path, err := s.shadowPath(c, 0, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil && !c.has(0, "force") && !s.cfg.Force {
		return problemf("%s: shadow CIB already exists", name).at(c.at(0)).hinting("add force to replace it")
	}
	doc := cib.New()
	if !c.has(0, "empty") {
		doc, err = s.view(ctx)
		if err != nil {
			return err
		}
		doc = doc.Clone()
	}
	if !c.has(0, "withstatus") {
		doc.Status().Children = nil
	}
	if err := cib.SaveFile(path, doc); err != nil {
		return err
	}
	s.msg.info("%s: shadow CIB created", name)
	return s.useShadow(ctx, path, name)
}

func runCibUse(ctx context.Context, s *Session, c *call) error {
	name := c.arg(0)
	if name == "" || name == "live" {
		if s.live == nil {
			return nil
		}
		l := s.live
		if err := s.switchTo(ctx, l.cluster, l.source, l.offline); err != nil {
			return err
		}
		s.live = nil
		return nil
	}
	path, err := s.shadowPath(c, 0, name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return s.noShadow(c, 0, name)
	}
	return s.useShadow(ctx, path, name)
}

func (s *Session) noShadow(c *call, i int, name string) error {
	p := problemf("%s: no such shadow CIB", name).at(c.at(i))
	names := s.shadowNames()
	if near := nearest(name, names); near != "" {
		return p.hinting("did you mean %s?", near)
	}
	return p.hinting("cib list shows them, cib new makes one")
}

func (s *Session) shadowNames() []string {
	dir, err := s.shadowDir()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), ".xml"); ok && !strings.HasPrefix(n, ".") {
			names = append(names, n)
		}
	}
	return names
}

func runCibList(ctx context.Context, s *Session, c *call) error {
	names := s.shadowNames()
	if s.cfg.Format == "json" {
		return s.writeJSON(append([]string{}, names...))
	}
	for _, n := range names {
		s.printf("%s\n", n)
	}
	return nil
}

// namedShadow returns the shadow that an argument names, or the one in use.
func (s *Session) namedShadow(c *call) (path, name string, err error) {
	name = c.arg(0)
	if name == "" {
		if s.live == nil {
			return "", "", problemf("%s: no shadow CIB is in use", c.path).hinting("name one")
		}
		name = s.cfg.Source
	}
	path, err = s.shadowPath(c, 0, name)
	if err == nil {
		if _, serr := os.Stat(path); serr != nil {
			err = s.noShadow(c, 0, name)
		}
	}
	return path, name, err
}

func runCibCommit(ctx context.Context, s *Session, c *call) error {
	path, name, err := s.namedShadow(c)
	if err != nil {
		return err
	}
	doc, err := cib.ReadFile(path)
	if err != nil {
		return err
	}
	if s.live != nil && s.changed() {
		return problemf("there are uncommitted changes to the shadow CIB").hinting("commit or drop them first")
	}
	back := s.live == nil
	if s.live != nil {
		l := s.live
		if err := s.switchTo(ctx, l.cluster, l.source, l.offline); err != nil {
			return err
		}
		s.live = nil
	}
	if err := s.edit(ctx, func(work *cib.CIB) error {
		replaceConfiguration(work, doc)
		return nil
	}); err != nil {
		return err
	}
	if !s.changed() {
		s.msg.info("%s is what the cluster has already", name)
		s.drop()
	} else if err := s.commit(ctx, commitOptions{force: s.cfg.Force}); err != nil {
		s.drop()
		return err
	} else {
		s.msg.info("committed '%s' shadow CIB to the cluster", name)
	}
	if back {
		return nil
	}
	return s.waitIfAsked(ctx)
}

// replaceConfiguration gives a document the configuration of another one.
func replaceConfiguration(work, from *cib.CIB) {
	conf := from.Configuration().Clone()
	for i, e := range work.Root.Children {
		if e.Name == "configuration" {
			work.Root.Children[i] = conf
		}
	}
	if from.Schema() != "" {
		work.Root.Set("validate-with", from.Schema())
	}
}

func runCibDiff(ctx context.Context, s *Session, c *call) error {
	if len(c.words) == 2 {
		h, err := s.historian(c)
		if err != nil {
			return err
		}
		a, _, err := s.revision(ctx, h, c, 0)
		if err != nil {
			return err
		}
		b, _, err := s.revision(ctx, h, c, 1)
		if err != nil {
			return err
		}
		return s.writeDifference(a, b)
	}
	path, name, err := s.namedShadow(c)
	if err != nil {
		return err
	}
	var shadow *cib.CIB
	if s.live != nil && name == s.cfg.Source {
		shadow, err = s.view(ctx)
	} else {
		shadow, err = cib.ReadFile(path)
	}
	if err != nil {
		return err
	}
	live, err := s.home().CIB(ctx, true)
	if err != nil {
		return err
	}
	return s.writeDifference(live, shadow)
}

func runCibReset(ctx context.Context, s *Session, c *call) error {
	path, name, err := s.namedShadow(c)
	if err != nil {
		return err
	}
	live, err := s.home().CIB(ctx, true)
	if err != nil {
		return err
	}
	if err := cib.SaveFile(path, live); err != nil {
		return err
	}
	s.drop()
	s.msg.info("copied the cluster's CIB to %s", name)
	return nil
}

func runCibDelete(ctx context.Context, s *Session, c *call) error {
	path, name, err := s.namedShadow(c)
	if err != nil {
		return err
	}
	if s.live != nil && s.cfg.Source == name {
		return problemf("%s: shadow CIB is in use", name).at(c.at(0)).hinting("cib use live leaves it")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.msg.info("%s: shadow CIB deleted", name)
	return nil
}

func runCibImport(ctx context.Context, s *Session, c *call) error {
	name := c.arg(1)
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(c.arg(0)), filepath.Ext(c.arg(0)))
	}
	path, err := s.shadowPath(c, 1, name)
	if err != nil {
		return err
	}
	doc, err := cib.ReadFile(c.arg(0))
	if err != nil {
		return err
	}
	if err := cib.SaveFile(path, doc); err != nil {
		return err
	}
	return s.useShadow(ctx, path, name)
}

func runCibExport(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	return cib.SaveFile(c.arg(0), doc)
}
