package scheduler

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// checkDrawing reads a drawing as XML: it must be well formed, ids must be
// unique, and every action that is no pseudo-action must be told of.
func checkDrawing(p *Plan) string {
	text := p.SVG()
	if text != p.SVG() {
		return "two drawings of one plan differ"
	}
	ids := map[string]bool{}
	boxes := 0
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Sprintf("no XML: %v", err)
		}
		el, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range el.Attr {
			if a.Name.Local == "id" {
				if ids[a.Value] {
					return "id " + a.Value + " is there twice"
				}
				ids[a.Value] = true
				if strings.HasPrefix(a.Value, "action-") {
					boxes++
				}
			}
			if strings.Contains(a.Value, "NaN") || strings.HasPrefix(a.Value, "-") {
				return fmt.Sprintf("%s %s=%s", el.Name.Local, a.Name.Local, a.Value)
			}
		}
	}
	for _, a := range p.Actions {
		if a.Kind != Pseudo && !strings.Contains(text, fmt.Sprintf("action %d, ", a.ID)) {
			return a.Key + " is not drawn"
		}
	}
	if boxes == 0 && len(p.Timing().Path) > 0 {
		return "nothing is drawn"
	}
	return ""
}

func TestDrawingsOfRandomClusters(t *testing.T) {
	for i := range *outcomesN / 3 {
		seed := *outcomesSeed + uint64(i)
		p, err := Schedule(drawCIB(seed), Options{})
		if err != nil {
			continue
		}
		if wrong := checkDrawing(p); wrong != "" {
			t.Errorf("seed %d: %s", seed, wrong)
		}
		checkTiming(t, seed, p)
	}
}

// Nothing begins before what it waits for has ended, and the critical path
// leads without a gap from the beginning to the end.
func checkTiming(t *testing.T, seed uint64, p *Plan) {
	tm := p.Timing()
	for i, a := range p.Actions {
		s := &tm.Spans[i]
		for _, in := range a.Inputs {
			if j, ok := tm.at[in]; ok && tm.Spans[j].End > s.Begin && !s.Never {
				t.Errorf("seed %d: %s begins before %s ends", seed, a.Key, p.Actions[j].Key)
			}
		}
		if !s.Never && s.End > tm.Total && s.RealAction {
			t.Errorf("seed %d: %s ends after everything", seed, a.Key)
		}
	}
	if len(tm.Path) == 0 {
		return
	}
	now := tm.span(tm.Path[0]).Begin
	if now != 0 {
		t.Errorf("seed %d: the critical path begins at %s", seed, now)
	}
	for _, id := range tm.Path {
		s := tm.span(id)
		if s.Begin != now {
			t.Errorf("seed %d: a gap in the critical path before action %d", seed, id)
		}
		now = s.End
	}
	if now != tm.Total {
		t.Errorf("seed %d: the critical path takes %s of %s", seed, now, tm.Total)
	}
}
