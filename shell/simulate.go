package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gcrm/cib"
	"gcrm/cluster/client"
	"gcrm/scheduler"
)

// Exit statuses of simulate, as Pacemaker numbers them.
const (
	simulateUsage   = 64
	simulateBadData = 65
	simulateNoInput = 66
	simulateNoWrite = 73
)

// simulateError is an error of simulate with its exit status.
type simulateError struct {
	status int
	text   string
}

func (e *simulateError) Error() string { return e.text }

// Simulate is the command "gcrm simulate": it works like crm_simulate on a
// file (-x), on standard input (-x -), or on the cluster's CIB (-L, or neither),
// which live reads with the history of fencing; without options that ask for crm_simulate's output it
// prints the plan for people. It returns the exit status.
func Simulate(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, display Display, live liveStatus) int {
	r := simulator{in: in, out: out, err: errOut, color: palette{&display}, live: live, now: time.Now()}
	err := r.run(ctx, args)
	var s *simulateError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		fmt.Fprintf(errOut, "gcrm: %s\n", s.text)
		return s.status
	}
	fmt.Fprintf(errOut, "gcrm: simulate: %v\n", err)
	return 1
}

// simulator is what simulate works with.
type simulator struct {
	in       io.Reader
	out, err io.Writer
	color    palette
	live     liveStatus
	now      time.Time
}

// liveStatus reads the cluster's CIB, and what it remembers of fencing.
type liveStatus = func(context.Context) (*cib.CIB, []client.FenceEntry, error)

// fencingTimes are how long fencing each node took when it took longest, for
// the fencings that came to a good end.
func fencingTimes(history []client.FenceEntry) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, e := range history {
		took := e.Completed.Sub(e.Started)
		if e.State == "done" && e.Action != "on" && !e.Started.IsZero() && took > 0 {
			out[e.Target] = max(out[e.Target], took)
		}
	}
	return out
}

func (r *simulator) run(ctx context.Context, args []string) error {
	o, err := parseSimulate(args)
	switch {
	case err != nil:
		return err
	case o.help:
		return simulateHelp(r.out)
	case o.profile != "":
		return r.profile(ctx, o)
	}
	doc, err := r.input(ctx, o)
	if err != nil {
		return err
	}
	if o.output == "" || o.output == "-" {
		return r.simulate(o, doc)
	}
	var b strings.Builder
	to := *r
	to.out = &b
	if err := to.simulate(o, doc); err != nil {
		return err
	}
	return saved(writeFile(o.output, b.String()))
}

// saved marks a failure to write a file.
func saved(err error) error {
	if err == nil {
		return nil
	}
	return &simulateError{simulateNoWrite, "simulate: " + err.Error()}
}

func (r *simulator) input(ctx context.Context, o *simulateOptions) (*cib.CIB, error) {
	switch o.file {
	case "":
		doc, fenced, err := r.live(ctx)
		o.run.Fencings = fencingTimes(fenced)
		return doc, err
	case "-":
		b, err := io.ReadAll(io.LimitReader(r.in, int64(cib.DefaultLimits.Bytes)+1))
		if err != nil {
			return nil, &simulateError{simulateNoInput, fmt.Sprintf("simulate: standard input: %v", err)}
		}
		doc, err := cib.Parse(string(b))
		if err != nil {
			return nil, &simulateError{simulateBadData, fmt.Sprintf("simulate: standard input: %v", err)}
		}
		return doc, nil
	}
	doc, err := cib.ReadFile(o.file)
	switch {
	case errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission):
		return nil, &simulateError{simulateNoInput, "simulate: " + err.Error()}
	case err != nil:
		return nil, &simulateError{simulateBadData, "simulate: " + err.Error()}
	}
	return doc, nil
}

// simulate runs the scheduler on a document and writes what was asked for.
func (r *simulator) simulate(o *simulateOptions, doc *cib.CIB) error {
	if doc.Root.Get("execution-date") == "" && o.run.Now.IsZero() {
		o.run.Now = r.now
	}
	o.run.TextOnly = o.format == "text" && !o.verbose && o.saveGraph == "" && o.saveDot == "" && o.saveSVG == ""
	out, err := scheduler.Simulate(doc, o.run)
	var event *scheduler.EventError
	switch {
	case errors.As(err, &event):
		return &simulateError{simulateUsage, "simulate: " + err.Error()}
	case err != nil:
		return &simulateError{simulateBadData, "simulate: " + err.Error()}
	}
	if o.verbose && out.Plan != nil {
		for _, m := range out.Plan.Messages {
			fmt.Fprintf(r.err, "%s: %s\n", m.Severity, strings.TrimPrefix(m.Object+": "+m.Text, ": "))
		}
	}
	switch o.format {
	case "json":
		err = writeSimulateJSON(r.out, out)
	case "plan":
		_, err = io.WriteString(r.out, storyText(out, r.color))
	default:
		_, err = io.WriteString(r.out, out.Text)
	}
	if err != nil {
		return err
	}
	return o.save(out)
}

// storyText is the plan for people.
func storyText(out *scheduler.Simulated, color palette) string {
	var b strings.Builder
	for _, l := range out.Injected {
		b.WriteString("What if: " + l + "\n")
	}
	if len(out.Injected) > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(out.Plan.Story().Text(color.explanation()))
	return b.String()
}

// save writes the files that were asked for.
func (o *simulateOptions) save(out *scheduler.Simulated) error {
	if o.saveInput != "" {
		if err := saved(cib.SaveFile(o.saveInput, out.Input)); err != nil {
			return err
		}
	}
	if out.Plan != nil {
		for _, f := range []struct {
			path string
			text func() string
		}{
			{o.saveGraph, out.Plan.GraphXML},
			{o.saveDot, func() string { return out.Plan.Dot(o.allActions) }},
			{o.saveSVG, out.Plan.SVG},
		} {
			if f.path != "" {
				if err := saved(writeFile(f.path, f.text())); err != nil {
					return err
				}
			}
		}
	}
	if out.After == nil {
		return nil
	}
	if o.inPlace {
		if err := saved(cib.SaveFile(o.file, out.After)); err != nil {
			return err
		}
	}
	if o.saveAfter != "" {
		return saved(cib.SaveFile(o.saveAfter, out.After))
	}
	return nil
}

// profile plans for every XML file of a folder and tells how long that took.
func (r *simulator) profile(ctx context.Context, o *simulateOptions) error {
	files, err := filepath.Glob(filepath.Join(o.profile, "*.xml"))
	if err == nil && len(files) == 0 {
		err = errors.New("there is no XML file in it")
	}
	if err != nil {
		return &simulateError{simulateNoInput, fmt.Sprintf("simulate: %s: %v", o.profile, err)}
	}
	slices.Sort(files)
	fmt.Fprintln(r.out, "Timings:")
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		doc, err := r.input(ctx, &simulateOptions{file: f})
		if err != nil {
			return err
		}
		opt := scheduler.Options{Now: o.run.Now, Sanitized: true}
		if doc.Root.Get("execution-date") == "" && opt.Now.IsZero() {
			opt.Now = r.now
		}
		begin := time.Now()
		for range max(1, o.repeat) {
			if _, err := scheduler.Schedule(doc, opt); err != nil {
				return &simulateError{simulateBadData, fmt.Sprintf("simulate: %s: %v", f, err)}
			}
		}
		fmt.Fprintf(r.out, "  * Testing %s ... %.4f secs\n", f, time.Since(begin).Seconds())
	}
	return nil
}

// runSimulate is the shell's verb.
func runSimulate(ctx context.Context, s *Session, c *call) error {
	args := c.args()
	if s.cfg.Format == "json" {
		args = append(args, "--output-as=json")
	}
	r := simulator{in: s.cfg.In, out: s.msg.out, err: s.msg.err, color: s.color, live: s.viewWithFencings, now: s.cfg.Now()}
	err := r.run(ctx, args)
	var p *simulateError
	if errors.As(err, &p) {
		return problemf("%s", p.text)
	}
	return err
}

// simulateStaged shows what the staged configuration would do with the
// cluster's present status.
func (s *Session) simulateStaged(ctx context.Context, o *simulateOptions) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	o.run.Fencings = fencingTimes(s.fencingHistory(ctx))
	doc = s.onImagined(doc, o)
	r := simulator{out: s.msg.out, err: s.msg.err, color: s.color, now: s.cfg.Now()}
	if s.cfg.Format == "json" {
		o.format, o.run.Origins = "json", true
	}
	return r.simulate(o, doc)
}

// runConfigureSimulate shows what a commit would do: the plan for people, or
// with scores, utilization or actions the output of crm_simulate.
func runConfigureSimulate(ctx context.Context, s *Session, c *call) error {
	o := &simulateOptions{format: "plan"}
	for _, w := range c.words {
		switch w.Text {
		case "commands", "--commands":
			return s.rehearseStaged(ctx, o)
		case "scores":
			o.run.Scores, o.format = true, "text"
		case "utilization":
			o.run.Utilization, o.format = true, "text"
		case "actions":
			o.run.Execute, o.format = true, "text"
		}
	}
	o.run.Origins = o.format == "plan"
	return s.simulateStaged(ctx, o)
}

func runScores(ctx context.Context, s *Session, c *call) error {
	return s.simulateStaged(ctx, &simulateOptions{format: "text", run: scheduler.SimulateOptions{Scores: true, Quiet: true}})
}
