package shell

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
)

// fencings returns what status shows of the history of fencing: what is under
// way, and of each node and action the latest success and the latest failure.
func (s *Session) fencings(ctx context.Context) []fencingView {
	return latestFencings(s.fencingHistory(ctx))
}

// fencingHistory is what the cluster remembers of fencing, the latest first;
// none if there is no cluster to ask.
func (s *Session) fencingHistory(ctx context.Context) []client.FenceEntry {
	w, ok := s.cluster.(client.Warden)
	if !ok || s.cfg.Offline || s.live != nil {
		return nil
	}
	list, err := w.Fencings(ctx)
	if err != nil {
		return nil // whether the cluster answers, others tell
	}
	return list
}

// viewWithFencings is what simulate works on.
func (s *Session) viewWithFencings(ctx context.Context) (*cib.CIB, []client.FenceEntry, error) {
	doc, err := s.view(ctx)
	if err != nil {
		return nil, nil, err
	}
	return doc, s.fencingHistory(ctx), nil
}

// latestFencings reduces a history, which begins with the latest.
func latestFencings(list []client.FenceEntry) []fencingView {
	var out []fencingView
	type kind struct{ target, action string }
	succeeded := map[kind]string{} // later than the entry at hand, by which node
	for _, e := range list {
		v := fencingView{Action: e.Action, Target: e.Target, Client: e.Client, Origin: e.Origin, Delegate: e.Delegate, Completed: e.Completed}
		k := kind{target: e.Target, action: e.Action}
		switch e.State {
		case "done", "dup":
			v.State = "success"
			if succeeded[k] == "" {
				succeeded[k] = cmp.Or(e.Delegate, e.Origin)
			}
		case "failed":
			v.State, v.Why, v.Later = "failed", e.Text, succeeded[k]
		default:
			v.State = "pending"
		}
		same := func(o fencingView) bool {
			return o.Target == v.Target && o.Action == v.Action && o.State == v.State
		}
		if v.State != "pending" && slices.ContainsFunc(out, same) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// fencingActions writes what failed and what is under way; with history also
// what succeeded.
func (w *statusWriter) fencingActions() {
	for _, part := range []struct{ title, state string }{
		{"Failed Fencing Actions:", "failed"}, {"Pending Fencing Actions:", "pending"}, {"Fencing History:", "success"},
	} {
		if part.state == "success" && !w.o.fencing {
			continue
		}
		first := true
		for _, f := range w.v.Fencings {
			if f.State != part.state {
				continue
			}
			if first {
				w.heading(part.title)
				first = false
			}
			text := f.sentence()
			switch f.State {
			case "failed":
				text = w.color.bad(text)
			case "pending":
				text = w.color.warn(text)
			}
			w.item(1, "%s", text)
		}
	}
}

// sentence tells a fencing as crm_mon does.
func (f fencingView) sentence() string {
	what := f.Action
	switch f.Action {
	case "off":
		what = "turning off"
	case "on":
		what = "unfencing"
	}
	s := fmt.Sprintf("%s of %s", what, f.Target)
	if f.State == "pending" {
		return fmt.Sprintf("%s for %s@%s pending", s, f.Client, f.Origin)
	}
	if f.Delegate != "" && f.State == "success" {
		s += " by " + f.Delegate
	}
	s += fmt.Sprintf(" for %s@%s last ", f.Client, f.Origin)
	switch {
	case f.State == "success":
		s += "successful"
	case f.Why != "":
		s += "failed (" + f.Why + ")"
	default:
		s += "failed"
	}
	if !f.Completed.IsZero() {
		s += " at " + f.Completed.Local().Format(time.ANSIC)
	}
	if f.Later != "" {
		s += fmt.Sprintf(" (a later attempt from %s succeeded)", f.Later)
	}
	return s
}
