package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gcrm/cib"
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

// simulateOptions are the options of crm_simulate.
type simulateOptions struct {
	run       scheduler.SimulateOptions
	file      string // -x
	live      bool   // -L
	saveGraph string
	saveDot   string
	saveAfter string // -O: the CIB after the simulated execution
	saveInput string // -I: the CIB after the modifications asked for
	changes   injections
	json      bool
}

// parseSimulate reads options in crm_simulate's spelling.
func parseSimulate(args []string, now time.Time) (*simulateOptions, error) {
	o := &simulateOptions{}
	fail := func(format string, a ...any) error {
		return &simulateError{simulateUsage, "simulate: " + fmt.Sprintf(format, a...)}
	}
	for i := 0; i < len(args); i++ {
		arg, value, attached := args[i], "", false
		if strings.HasPrefix(arg, "--") {
			arg, value, attached = strings.Cut(arg, "=")
		} else if len(arg) > 2 && arg[0] == '-' {
			// Short options may stand together; one with a value takes the rest.
			if strings.IndexByte("xtudfiGDOIqgrbe", arg[1]) >= 0 {
				arg, value, attached = arg[:2], arg[2:], true
			} else {
				rest := "-" + arg[2:]
				args = append(append(append([]string{}, args[:i]...), arg[:2], rest), args[i+1:]...)
				arg = args[i]
			}
		}
		need := func() error {
			if attached {
				return nil
			}
			if i+1 >= len(args) {
				return fail("%s needs a value", arg)
			}
			i++
			value = args[i]
			return nil
		}
		var err error
		switch arg {
		case "-R", "--run":
		case "-S", "--simulate":
			o.run.Execute = true
		case "-s", "--show-scores":
			o.run.Scores = true
		case "-Q", "--quiet":
			o.run.Quiet = true
		case "-L", "--live-check":
			o.live = true
		case "-x", "--xml-file":
			err = need()
			o.file = value
		case "-t", "--set-datetime":
			if err = need(); err == nil {
				when, ok := scheduler.ParseTime(value)
				if !ok {
					return nil, fail("%q is no date and time (as 2026-11-21 06:00:00)", value)
				}
				o.run.Now, o.run.NowText = when, value
			}
		case "-G", "--save-graph":
			err = need()
			o.saveGraph = value
		case "-D", "--save-dotfile", "--save-dot":
			err = need()
			o.saveDot = value
		case "-O", "--save-output":
			err = need()
			o.saveAfter = value
		case "-I", "--save-input":
			err = need()
			o.saveInput = value
		case "-u", "--node-up":
			err = need()
			o.changes.add("up", value)
		case "-d", "--node-down":
			err = need()
			o.changes.add("down", value)
		case "-f", "--node-fail":
			err = need()
			o.changes.add("fail", value)
		case "-q", "--quorum":
			err = need()
			o.changes.add("quorum", value)
		case "-g", "--ticket-grant":
			err = need()
			o.changes.add("grant", value)
		case "-r", "--ticket-revoke":
			err = need()
			o.changes.add("revoke", value)
		case "-b", "--ticket-standby":
			err = need()
			o.changes.add("standby", value)
		case "-e", "--ticket-activate":
			err = need()
			o.changes.add("activate", value)
		case "-i", "--op-inject":
			err = need()
			o.changes.add("op", value)
		case "--output-as":
			if err = need(); err == nil && value != "text" && value != "json" {
				return nil, fail("unknown output format %q: use text or json", value)
			}
			o.json = value == "json"
		default:
			return nil, fail("unknown option %s; see gcrm help simulate", arg)
		}
		if err != nil {
			return nil, err
		}
	}
	if o.file != "" && o.live {
		return nil, fail("-x and -L exclude each other")
	}
	return o, nil
}

// Simulate is the command "gcrm simulate": it works like crm_simulate on a
// file (-x), on standard input (-x -), or on the cluster's CIB (-L, or neither),
// which live reads. It returns the exit status.
func Simulate(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, live func(context.Context) (*cib.CIB, error)) int {
	err := simulateTo(ctx, args, in, out, live, time.Now())
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

func simulateTo(ctx context.Context, args []string, in io.Reader, out io.Writer, live func(context.Context) (*cib.CIB, error), now time.Time) error {
	o, err := parseSimulate(args, now)
	if err != nil {
		return err
	}
	doc, err := o.input(ctx, in, live)
	if err != nil {
		return err
	}
	if doc.Root.Get("execution-date") == "" && o.run.Now.IsZero() {
		o.run.Now = now
	}
	return o.simulate(doc, out)
}

func (o *simulateOptions) input(ctx context.Context, in io.Reader, live func(context.Context) (*cib.CIB, error)) (*cib.CIB, error) {
	switch o.file {
	case "":
		return live(ctx)
	case "-":
		doc, err := cib.Read(in, cib.FileLimits)
		if err != nil {
			status := simulateBadData
			if _, ok := errors.AsType[*os.PathError](err); ok {
				status = simulateNoInput
			}
			return nil, &simulateError{status, fmt.Sprintf("simulate: standard input: %v", err)}
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
func (o *simulateOptions) simulate(doc *cib.CIB, out io.Writer) error {
	if len(o.changes) > 0 {
		doc = doc.Clone()
		text, err := o.changes.apply(doc, o.run.Now)
		if err != nil {
			return &simulateError{simulateUsage, "simulate: " + err.Error()}
		}
		if !o.run.Quiet && !o.json {
			fmt.Fprint(out, text)
		}
	}
	if o.saveInput != "" {
		if err := cib.SaveFile(o.saveInput, doc); err != nil {
			return &simulateError{simulateNoWrite, "simulate: " + err.Error()}
		}
	}
	o.run.TextOnly = !o.json && o.saveGraph == "" && o.saveDot == ""
	r, err := scheduler.Simulate(doc, o.run)
	if err != nil {
		return &simulateError{simulateBadData, "simulate: " + err.Error()}
	}
	if o.json {
		err = writeSimulateJSON(out, r)
	} else {
		_, err = io.WriteString(out, r.Text)
	}
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		text func() string
	}{{o.saveGraph, func() string { return r.Plan.GraphXML() }}, {o.saveDot, func() string { return planDot(r.Plan) }}} {
		if f.path != "" {
			if err := writeFile(f.path, f.text()); err != nil {
				return &simulateError{simulateNoWrite, fmt.Sprintf("simulate: %v", err)}
			}
		}
	}
	if o.saveAfter != "" && r.After != nil {
		if err := cib.SaveFile(o.saveAfter, r.After); err != nil {
			return &simulateError{simulateNoWrite, "simulate: " + err.Error()}
		}
	}
	return nil
}

// runSimulate is the shell's verb.
func runSimulate(ctx context.Context, s *Session, c *call) error {
	args := c.args()
	if s.cfg.Format == "json" {
		args = append(args, "--output-as=json")
	}
	err := simulateTo(ctx, args, s.cfg.In, s.msg.out, s.view, s.cfg.Now())
	var p *simulateError
	if errors.As(err, &p) {
		return problemf("%s", p.text)
	}
	return err
}

// runConfigureSimulate shows what a commit would do: the scheduler's answer to
// the staged configuration with the cluster's present status.
func runConfigureSimulate(ctx context.Context, s *Session, c *call) error {
	o := &simulateOptions{json: s.cfg.Format == "json"}
	o.run.Now = s.cfg.Now()
	for _, w := range c.words {
		switch w.Text {
		case "scores":
			o.run.Scores = true
		case "actions":
			o.run.Execute = true
		}
	}
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	return o.simulate(doc, s.msg.out)
}

func runScores(ctx context.Context, s *Session, c *call) error {
	doc, err := s.view(ctx)
	if err != nil {
		return err
	}
	o := &simulateOptions{}
	o.run = scheduler.SimulateOptions{Now: s.cfg.Now(), Scores: true, Quiet: true}
	return o.simulate(doc, s.msg.out)
}
