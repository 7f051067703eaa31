package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// minTrial and maxTrial bound how long a commit waits for its confirmation.
const (
	minTrial = time.Second
	maxTrial = 7 * 24 * time.Hour
)

func malformed(err error) error {
	return &client.Error{Code: client.CodeMalformed, Text: err.Error()}
}

func (s *Server) cib(w http.ResponseWriter, r *http.Request) {
	doc, tag, err := s.backend.CIB(r.Context(), r.FormValue("linearizable") == "true")
	if err == nil && !userMay(r) {
		a := accessFor(r, doc)
		if !a.Unrestricted() {
			doc, err = a.Filter(doc)
			tag += "-" + identityOf(r).User
		}
	}
	if err != nil {
		fail(w, err)
		return
	}
	tag = `"` + tag + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	io.WriteString(w, doc.String())
}

// reserved reports whether the daemon's own rooms know their changes by a name.
func reserved(client string) bool {
	switch client {
	case "controller", "executor", "membership", "shutdown":
		return true
	}
	return false
}

func (s *Server) apply(r *http.Request) (any, error) {
	var req client.ApplyRequest
	if err := receive(r, client.MaxBody, &req); err != nil {
		return nil, malformed(fmt.Errorf("unreadable request: %w", err))
	}
	if req.Request == "" || len(req.Request) > 64 {
		return nil, malformed(fmt.Errorf("the request has no usable number"))
	}
	o := &req.Change.Origin
	if reserved(o.Client) {
		return nil, malformed(fmt.Errorf("changes of client %s are made by the daemon alone", o.Client))
	}
	o.Node = s.node
	if id := identityOf(r); id.User != "" {
		o.User = id.User
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if c := req.Change.Configuration; c != nil && c.Confirm != 0 {
		if c.Confirm < minTrial || c.Confirm > maxTrial {
			return nil, malformed(fmt.Errorf("a commit waits for its confirmation at least %v and at most %v", minTrial, maxTrial))
		}
		o.Time = time.Now() // the time of the trial is counted from here
	}
	before, err := s.base(r.Context(), req.Change)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if !userMay(r) {
			if err := restrict(accessFor(r, before), before, &req.Change); err != nil {
				return nil, err
			}
		}
		if err := check(before, req.Change); err != nil {
			return nil, err
		}
	} else if req.Change.Configuration != nil && !userMay(r) {
		// Stale, or the repetition of a request. Only the backend knows
		// which, but it must not apply what nobody has checked.
		doc, _, err := s.backend.CIB(r.Context(), true)
		if err != nil {
			return nil, err
		}
		if !accessFor(r, doc).Unrestricted() {
			conflict := &cib.ConflictError{Base: req.Change.Configuration.Base, Current: doc.Version()}
			return nil, &client.Error{Code: client.CodeConflict, Text: conflict.Error(), Conflict: conflict}
		}
	}
	v, err := s.backend.Apply(r.Context(), req.Request, req.Change)
	note(r, changeText(before, req.Change, v))
	return client.ApplyAnswer{Version: v.String()}, err
}

// base returns the document that a change starts from, or nil if this is not
// the present one. Status changes start from any.
func (s *Server) base(ctx context.Context, change cib.Change) (*cib.CIB, error) {
	for _, linearizable := range []bool{false, true} {
		doc, _, err := s.backend.CIB(ctx, linearizable)
		if err != nil {
			return nil, err
		}
		if change.Configuration == nil || change.Configuration.Base.SameConfiguration(doc.Version()) {
			return doc, nil
		}
	}
	return nil, nil
}

// restrict checks a change of a user with limited access. A configuration is
// what the user sees, with his changes; what he does not see is put back in.
func restrict(a *cib.Access, doc *cib.CIB, change *cib.Change) error {
	if a.Unrestricted() {
		return nil
	}
	if conf := change.Configuration; conf != nil && change.Status == nil {
		seen, err := a.Filter(doc)
		if err != nil {
			return err
		}
		wanted, err := cib.ParseElement(conf.XML, cib.DefaultLimits)
		if err != nil {
			return malformed(err)
		}
		full, err := cib.Graft(seen.Configuration(), wanted, doc.Configuration())
		if err != nil {
			return a.Denies("do that: " + err.Error())
		}
		copied := *conf
		copied.XML = full.String()
		change.Configuration = &copied
	}
	next, err := doc.Apply(*change)
	if err != nil {
		return &client.Error{Code: client.CodeRefused, Text: err.Error()}
	}
	return a.Check(doc, next)
}

// changeText says for the audit log what a change was.
func changeText(before *cib.CIB, change cib.Change, v cib.Version) string {
	var b strings.Builder
	switch {
	case change.Configuration != nil:
		fmt.Fprintf(&b, "commit of version %d.%d", v.AdminEpoch, v.Epoch)
		if change.Configuration.Confirm > 0 {
			fmt.Fprintf(&b, " on trial for %v", change.Configuration.Confirm)
		}
		if before != nil {
			if next, err := before.Apply(change); err == nil {
				b.WriteString(": " + cib.Summary(cib.Diff(before, next)))
			}
		}
	case change.Status != nil:
		b.WriteString("status:")
		for _, e := range change.Status.Edits {
			switch {
			case e.Attribute != nil:
				fmt.Fprintf(&b, " attribute %s of node %s;", e.Attribute.Name, e.Attribute.Node)
			case e.Forget != nil:
				fmt.Fprintf(&b, " history of %s on node %s forgotten;", e.Forget.Resource, e.Forget.Node)
			case e.Ticket != nil:
				fmt.Fprintf(&b, " ticket %s;", e.Ticket.ID)
			default:
				b.WriteString(" other;")
			}
		}
	}
	if m := change.Origin.Message; m != "" {
		fmt.Fprintf(&b, " (%s)", m)
	}
	return b.String()
}

func (s *Server) revisions(r *http.Request) (any, error) {
	text := r.FormValue("version")
	if text == "" {
		return s.backend.Revisions(r.Context())
	}
	v, err := cib.ParseVersion(text)
	if err != nil {
		return nil, malformed(err)
	}
	rev, err := s.backend.Revision(r.Context(), v)
	if err != nil || userMay(r) {
		return rev, err
	}
	a, doc, err := s.access(r)
	if err != nil || a.Unrestricted() {
		return rev, err
	}
	conf, err := cib.ParseElement(rev.XML, cib.DefaultLimits)
	if err != nil {
		return nil, err
	}
	old, err := cib.FromElement(cib.NewElement("cib", "validate-with", doc.Schema()).Add(conf))
	if err != nil {
		return nil, err
	}
	if old, err = a.Filter(old); err != nil {
		return nil, err
	}
	rev.XML = old.Configuration().String()
	return rev, nil
}

func (s *Server) decide(r *http.Request) (any, error) {
	var req client.VerdictRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	v, err := cib.ParseVersion(req.Version)
	if err != nil {
		return nil, malformed(err)
	}
	what := "take back"
	if req.Keep {
		what = "confirm"
	}
	note(r, fmt.Sprintf("%s version %d.%d", what, v.AdminEpoch, v.Epoch))
	if !userMay(r) {
		a, doc, err := s.access(r)
		if err != nil {
			return nil, err
		}
		info, err := s.backend.Info(r.Context())
		if err != nil {
			return nil, err
		}
		if info.Trial.Origin.User != identityOf(r).User && !a.Administers(doc) {
			return nil, a.Denies("judge a commit of somebody else")
		}
	}
	return struct{}{}, s.backend.Decide(r.Context(), v, req.Keep, cib.Origin{User: identityOf(r).User, Node: s.node, Client: "gcrm", Time: time.Now()})
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := http.NewResponseController(w)
	events := s.backend.Watch(r.Context())
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	enc := json.NewEncoder(w)
	for {
		// A reader that takes nothing for long is let go.
		out.SetWriteDeadline(time.Now().Add(2 * keepAlive))
		var err error
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			err = enc.Encode(e)
		case <-alive.C:
			_, err = io.WriteString(w, "\n")
		case <-r.Context().Done():
			return
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return
		}
	}
}
