package shell

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"

	"gcrm/cluster/client"
)

// Progress shows how far a cluster is: a bar on a terminal, lines elsewhere.
type Progress struct {
	out  io.Writer
	tty  bool
	bar  *progressbar.ProgressBar
	last string
}

// NewProgress shows progress on out.
func NewProgress(out *os.File) *Progress {
	return &Progress{out: out, tty: fileIsTerminal(out)}
}

// Update shows a new state.
func (p *Progress) Update(info *client.Info) {
	t := info.Transition
	if !p.tty {
		line := progressLine(info)
		if line != p.last {
			fmt.Fprintln(p.out, line)
			p.last = line
		}
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(t.Total+1,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription("settling"))
	}
	p.bar.ChangeMax(t.Total + 1) // a full bar would be over for good
	p.bar.Describe(runningText(t.Running))
	_ = p.bar.Set(min(t.Done, t.Total))
}

// Done removes the bar.
func (p *Progress) Done() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

func progressLine(info *client.Info) string {
	t := info.Transition
	switch {
	case info.Leader == "":
		return "waiting for a leader"
	case t.Idle:
		return fmt.Sprintf("transition %d is done", t.Number)
	case t.Total == 0:
		return "planning"
	}
	return fmt.Sprintf("transition %d: %d of %d actions done, %s", t.Number, t.Done, t.Total, runningText(t.Running))
}

func runningText(running []string) string {
	switch len(running) {
	case 0:
		return "planning"
	case 1, 2:
		return strings.Join(running, ", ")
	}
	return fmt.Sprintf("%s and %d more", running[0], len(running)-1)
}
