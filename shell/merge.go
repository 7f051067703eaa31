package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// landing is an edited configuration on its way to a cluster on which others
// commit too.
type landing struct {
	cluster client.Cluster
	// base is what the edit began with, work what it led to. Merging replaces
	// both.
	base, work *cib.CIB
	origin     cib.Origin
	// exclusive refuses if anybody else committed meanwhile.
	exclusive bool
	// confirm is after how long the cluster takes the commit back by itself; zero
	// for never.
	confirm time.Duration
}

// landingAttempts bounds how often a commit is merged with others before it is
// given up: on a cluster on which so many commit, something is wrong.
const landingAttempts = 20

// land commits an edit. If somebody else committed meanwhile, the two are
// merged by object, verified again, and committed; where both changed the same
// objects nothing is committed, and the error tells which, and by whom.
func (s *Session) land(ctx context.Context, l *landing) (cib.Version, error) {
	for attempt := 1; ; attempt++ {
		ch := cib.ConfigurationChange{Base: l.base.Version(), XML: l.work.Configuration().String(), Confirm: l.confirm}
		if l.work.Schema() != l.base.Schema() {
			ch.Schema = l.work.Schema()
		}
		v, err := l.cluster.Apply(ctx, cib.Change{Configuration: &ch, Origin: l.origin})
		if err == nil || !errors.Is(err, cib.ErrConflict) || attempt == landingAttempts {
			return v, err
		}
		if l.exclusive {
			return v, problemf("CIB changed in the meantime: won't touch it!").hinting("refresh and edit again, or commit without replace")
		}
		if err := s.merge(ctx, l); err != nil {
			return v, err
		}
	}
}

// merge joins an edit with what others have committed since it began.
func (s *Session) merge(ctx context.Context, l *landing) error {
	theirs, err := l.cluster.CIB(ctx, true)
	if err != nil {
		return err
	}
	merged, conflicts := cib.Merge(l.base, l.work, theirs)
	if len(conflicts) > 0 {
		by := authors(ctx, l.cluster, l.base, theirs)
		var told []string
		for _, c := range conflicts {
			text := c.String()
			if who := by(c.ID); who != "" {
				text += " (" + who + ")"
			}
			told = append(told, text)
		}
		return problemf("not committed: since version %s, which this edit began with, the same was changed by somebody else: %s",
			short(l.base.Version()), strings.Join(told, "; ")).
			hinting("what you changed is in \"show changed\"; refresh drops it and shows theirs")
	}
	s.msg.info("merged with version %s, which changed other objects", short(theirs.Version()))
	l.base, l.work = theirs, merged.Clone()
	if s.tell(s.verify(ctx, merged), false) == refuse {
		return errReported
	}
	return nil
}

// authors returns a function that tells who last changed an object after base;
// "" stands for the whole configuration. Without a history, it is whoever made
// the last version.
func authors(ctx context.Context, cluster client.Cluster, base, theirs *cib.CIB) func(id string) string {
	last := author(theirs.Version(), cib.Origin{User: theirs.Root.Get("update-user"), Node: theirs.Root.Get("update-origin")})
	h, ok := cluster.(client.Historian)
	if !ok {
		return func(string) string { return last }
	}
	by := map[string]string{"": last}
	list, err := h.Revisions(ctx)
	before := base
	for _, r := range list {
		if err != nil || r.Version.Compare(base.Version()) <= 0 || r.Version.SameConfiguration(base.Version()) {
			continue
		}
		var now *cib.CIB
		if now, err = revisionDocument(ctx, h, r.Version); err != nil {
			break
		}
		for _, d := range cib.Diff(before, now) {
			by[d.ID] = author(r.Version, r.Origin)
		}
		before = now
	}
	return func(id string) string {
		if who := by[id]; who != "" {
			return who
		}
		return last
	}
}

// author names who made a version: "alice on node1, version 0.17".
func author(v cib.Version, o cib.Origin) string {
	if o.User == "" {
		return ""
	}
	who := o.User
	if o.Node != "" {
		who += " on " + o.Node
	}
	if o.Message != "" {
		who += fmt.Sprintf(", %q", o.Message)
	}
	return who + ", version " + short(v)
}

// revisionDocument reads a remembered version.
func revisionDocument(ctx context.Context, h client.Historian, v cib.Version) (*cib.CIB, error) {
	r, err := h.Revision(ctx, v)
	if err != nil {
		return nil, err
	}
	conf, err := cib.ParseElement(r.XML, cib.DefaultLimits)
	if err != nil {
		return nil, err
	}
	return cib.FromElement(cib.NewElement("cib", "validate-with", cib.DefaultSchema).Add(conf))
}
