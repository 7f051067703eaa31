package shell

import (
	"context"
	"strings"

	"gcrm/cib"
)

// merge joins what is staged with what somebody else has committed since it
// was loaded. If both changed the same objects, it tells which, and by whom.
func (s *Session) merge(ctx context.Context) error {
	st := s.staged
	theirs, err := s.current(ctx)
	if err != nil {
		return err
	}
	merged, conflicts := cib.Merge(st.base, st.work, theirs)
	if len(conflicts) > 0 {
		var names []string
		for _, c := range conflicts {
			names = append(names, c.String())
		}
		by := ""
		if u := theirs.Root.Get("update-user"); u != "" {
			by = " by " + u
			if n := theirs.Root.Get("update-origin"); n != "" {
				by += " on " + n
			}
		}
		return problemf("not committed: version %s%s changed the same: %s", theirs.Version(), by, strings.Join(names, ", ")).
			hinting("look at it with refresh, and make the change again")
	}
	s.msg.info("merged with version %s, which changed other objects", theirs.Version())
	s.staged = &staging{base: theirs, work: merged.Clone(), touched: true}
	problems := s.verify(ctx, merged)
	if s.tell(problems, false) == refuse {
		return errReported
	}
	return nil
}
