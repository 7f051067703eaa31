package shell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// The cluster remembers versions of its configuration; the functions here list
// them, compare them, go back to one, and tell who changed an object last.

func (s *Session) historian(c *call) (client.Historian, error) {
	h, ok := s.cluster.(client.Historian)
	if !ok || s.cfg.Offline {
		return nil, problemf("%s: %s remembers no versions", c.path, s.source()).at(c.line.Words[c.head].Pos).
			hinting("a running cluster does")
	}
	return h, nil
}

func runCibHistory(ctx context.Context, s *Session, c *call) error {
	h, err := s.historian(c)
	if err != nil {
		return err
	}
	list, err := h.Revisions(ctx)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(c.arg(0)); err == nil && n > 0 && n < len(list) {
		list = list[len(list)-n:]
	} else if c.arg(0) != "" && (err != nil || n <= 0) {
		return problemf("%s: %q is no number of versions", c.path, c.arg(0)).at(c.at(0))
	}
	t := newTable("Version", "When", "Who", "From", "By", "Message")
	for _, r := range list {
		when := "-"
		if !r.Origin.Time.IsZero() {
			when = r.Origin.Time.Local().Format(time.DateTime)
		}
		message := r.Origin.Message
		if c := r.Confirmed; c != nil {
			message = strings.TrimSpace(fmt.Sprintf("%s (confirmed by %s on %s, %s)", message, dash(c.User), dash(c.Node), c.Time.Local().Format(time.DateTime)))
		}
		t.row(short(r.Version), when, dash(r.Origin.User), dash(r.Origin.Node), dash(r.Origin.Client), message)
	}
	return s.writeTable(t)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// short writes a version of the configuration: status updates do not count.
func short(v cib.Version) string {
	return strconv.FormatInt(v.AdminEpoch, 10) + "." + strconv.FormatInt(v.Epoch, 10)
}

// revision finds the version that an argument names: admin.epoch, the whole
// version, or the epoch alone.
func (s *Session) revision(ctx context.Context, h client.Historian, c *call, i int) (*cib.CIB, cib.Version, error) {
	list, err := h.Revisions(ctx)
	if err != nil {
		return nil, cib.Version{}, err
	}
	want := strings.Split(c.arg(i), ".")
	at := slices.IndexFunc(list, func(r client.Revision) bool {
		switch len(want) {
		case 1:
			return want[0] == strconv.FormatInt(r.Version.Epoch, 10)
		case 2:
			return c.arg(i) == short(r.Version)
		}
		return strings.Join(want[:2], ".") == short(r.Version)
	})
	if at < 0 || len(want) > 3 {
		return nil, cib.Version{}, problemf("version %s is not remembered", c.arg(i)).at(c.at(i)).hinting("cib history lists the versions")
	}
	doc, err := revisionDocument(ctx, h, list[at].Version)
	return doc, list[at].Version, err
}

func runCibRollback(ctx context.Context, s *Session, c *call) error {
	h, err := s.historian(c)
	if err != nil {
		return err
	}
	if s.changed() {
		return problemf("%s: there are uncommitted changes", c.path).hinting("commit them, or drop them with refresh")
	}
	old, v, err := s.revision(ctx, h, c, 0)
	if err != nil {
		return err
	}
	s.drop()
	if err := s.edit(ctx, func(work *cib.CIB) error {
		schema := work.Schema()
		replaceConfiguration(work, old)
		work.Root.Set("validate-with", schema)
		return nil
	}); err != nil {
		return err
	}
	if !s.changed() {
		s.drop()
		s.msg.info("the configuration is that of version %s already", short(v))
		return nil
	}
	if d, err := s.changesAsText(ctx); err == nil {
		s.printf("%s", d)
	}
	if s.cfg.Interactive && !s.batch && !s.confirm("Do you want to go back to version "+short(v)) {
		s.drop()
		return nil
	}
	if err := s.commit(ctx, commitOptions{force: s.cfg.Force, message: "rollback to " + short(v)}); err != nil {
		s.drop()
		return err
	}
	return s.waitIfAsked(ctx)
}

// runCibBlame tells in which versions an object changed.
func runCibBlame(ctx context.Context, s *Session, c *call) error {
	h, err := s.historian(c)
	if err != nil {
		return err
	}
	list, err := h.Revisions(ctx)
	if err != nil {
		return err
	}
	id := c.arg(0)
	t := newTable("Version", "When", "Who", "What", "Message")
	var before *cib.Element
	known := false
	for _, r := range list {
		doc, err := revisionDocument(ctx, h, r.Version)
		if err != nil {
			return err
		}
		now := elementWithID(doc.Configuration(), id)
		what := ""
		switch {
		case before == nil && now != nil && known:
			what = "created"
		case before == nil && now != nil:
			what = "there, or created"
		case before != nil && now == nil:
			what = "deleted"
		case before != nil && !before.Equal(now):
			what = "changed"
		}
		if what != "" {
			when := "-"
			if !r.Origin.Time.IsZero() {
				when = r.Origin.Time.Local().Format(time.DateTime)
			}
			t.row(short(r.Version), when, dash(r.Origin.User), what, r.Origin.Message)
		}
		before, known = now, true
	}
	if len(t.rows) == 0 {
		return problemf("object %s was in none of the remembered versions", id).at(c.at(0))
	}
	return s.writeTable(t)
}

func elementWithID(conf *cib.Element, id string) *cib.Element {
	var found *cib.Element
	conf.Walk(func(e *cib.Element) bool {
		if found == nil && (e.ID() == id || e.Name == "node" && e.Get("uname") == id) {
			found = e
		}
		return found == nil
	})
	return found
}
