package shell

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gcrm/scheduler"
)

// simulateOptions are the options of crm_simulate, and some of our own.
type simulateOptions struct {
	run     scheduler.SimulateOptions
	file    string // -x
	live    bool   // -L
	pipe    bool   // -p
	inPlace bool   // -X
	process bool   // -R
	profile string // -P
	repeat  int    // -N

	saveGraph, saveDot, saveSVG string
	saveAfter                   string // -O: the CIB after the simulated execution
	saveInput                   string // -I: the CIB after the events
	allActions                  bool   // -a
	output                      string // --output-to
	format                      string // text, plan, json; empty for what fits the other options
	verbose                     bool
	help                        bool
}

// simulateFlag is one option of simulate.
type simulateFlag struct {
	names []string
	value string // what the value is; empty for an option without one
	help  string
	set   func(o *simulateOptions, value string) error
}

// simulateFlags is the table of options, in the order of their help.
func simulateFlags() []simulateFlag {
	text := func(field func(*simulateOptions) *string) func(*simulateOptions, string) error {
		return func(o *simulateOptions, value string) error {
			*field(o) = value
			return nil
		}
	}
	yes := func(field func(*simulateOptions) *bool) func(*simulateOptions, string) error {
		return func(o *simulateOptions, _ string) error {
			*field(o) = true
			return nil
		}
	}
	input := []simulateFlag{
		{[]string{"-x", "--xml-file"}, "FILE", "read the CIB from a file, - is standard input", text(func(o *simulateOptions) *string { return &o.file })},
		{[]string{"-p", "--xml-pipe"}, "", "read the CIB from standard input", yes(func(o *simulateOptions) *bool { return &o.pipe })},
		{[]string{"-L", "--live-check"}, "", "use the cluster's CIB (the default)", yes(func(o *simulateOptions) *bool { return &o.live })},

		{[]string{"-R", "--run"}, "", "print the plan in the format of crm_simulate", yes(func(o *simulateOptions) *bool { return &o.process })},
		{[]string{"-S", "--simulate"}, "", "the same, and carry it out on a copy", yes(func(o *simulateOptions) *bool { return &o.run.Execute })},
		{[]string{"-X", "--in-place"}, "", "the same, and write what comes out to the file of -x", yes(func(o *simulateOptions) *bool { return &o.inPlace })},
		{[]string{"-s", "--show-scores"}, "", "show the scores of resources on nodes", yes(func(o *simulateOptions) *bool { return &o.run.Scores })},
		{[]string{"-U", "--show-utilization"}, "", "show capacities and what uses them", yes(func(o *simulateOptions) *bool { return &o.run.Utilization })},
		{[]string{"-A", "--show-attrs"}, "", "show node attributes", yes(func(o *simulateOptions) *bool { return &o.run.Attributes })},
		{[]string{"-c", "--show-failcounts"}, "", "show fail counts", yes(func(o *simulateOptions) *bool { return &o.run.FailCounts })},
		{[]string{"-Q", "--quiet"}, "", "only scores and utilization", yes(func(o *simulateOptions) *bool { return &o.run.Quiet })},
		{[]string{"-V", "--verbose"}, "", "also tell of problems of the configuration, on standard error", yes(func(o *simulateOptions) *bool { return &o.verbose })},
	}
	output := []simulateFlag{
		{[]string{"-I", "--save-input"}, "FILE", "save the CIB after these events", text(func(o *simulateOptions) *string { return &o.saveInput })},
		{[]string{"-O", "--save-output"}, "FILE", "save the CIB that comes out of -S", text(func(o *simulateOptions) *string { return &o.saveAfter })},
		{[]string{"-G", "--save-graph"}, "FILE", "save the transition graph as XML", text(func(o *simulateOptions) *string { return &o.saveGraph })},
		{[]string{"-D", "--save-dotfile", "--save-dot"}, "FILE", "save the transition graph for graphviz", text(func(o *simulateOptions) *string { return &o.saveDot })},
		{[]string{"-a", "--all-actions"}, "", "in the graph of -D, also actions that are not needed", yes(func(o *simulateOptions) *bool { return &o.allActions })},
		{[]string{"--svg"}, "FILE", "draw the transition", text(func(o *simulateOptions) *string { return &o.saveSVG })},

		{[]string{"-P", "--profile"}, "DIR", "plan for every XML file of a folder, and print how long it takes", text(func(o *simulateOptions) *string { return &o.profile })},
		{[]string{"-N", "--repeat"}, "N", "with -P, plan N times", setSimulateRepeat},
		{[]string{"-o", "--output-as"}, "FORMAT", "plan (for people), text (crm_simulate's) or json", setSimulateFormat},
		{[]string{"--output-to"}, "FILE", "write there instead of standard output", text(func(o *simulateOptions) *string { return &o.output })},
		{[]string{"--text-fancy"}, "", "crm_simulate's format", func(o *simulateOptions, _ string) error { o.format = "text"; return nil }},
		{[]string{"-h", "--help"}, "", "show this", yes(func(o *simulateOptions) *bool { return &o.help })},
	}
	return slices.Concat(input, simulateEvents(), output)
}

func setSimulateRepeat(o *simulateOptions, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no number of repetitions", value)
	}
	o.repeat = n
	return nil
}

func setSimulateFormat(o *simulateOptions, value string) error {
	switch value {
	case "text", "plan", "json":
		o.format = value
		return nil
	}
	return fmt.Errorf("unknown output format %q: use plan, text or json", value)
}

// parseSimulate reads options in crm_simulate's spelling: short ones may stand
// together, and values may be attached.
func parseSimulate(args []string) (*simulateOptions, error) {
	o := &simulateOptions{}
	fail := func(format string, a ...any) error {
		return &simulateError{simulateUsage, "simulate: " + fmt.Sprintf(format, a...)}
	}
	flags := simulateFlags()
	find := func(name string) *simulateFlag {
		i := slices.IndexFunc(flags, func(f simulateFlag) bool { return slices.Contains(f.names, name) })
		if i < 0 {
			return nil
		}
		return &flags[i]
	}
	for i := 0; i < len(args); i++ {
		arg, value, attached := args[i], "", false
		rest := ""
		switch {
		case strings.HasPrefix(arg, "--"):
			arg, value, attached = strings.Cut(arg, "=")
		case len(arg) > 2 && arg[0] == '-':
			arg, rest = arg[:2], arg[2:]
		}
		f := find(arg)
		switch {
		case f == nil:
			return nil, fail("unknown option %s; see gcrm simulate --help", arg)
		case f.value == "" && attached:
			return nil, fail("%s takes no value", arg)
		case f.value == "" && rest != "":
			args = slices.Insert(slices.Clone(args), i+1, "-"+rest)
		case f.value == "":
		case rest != "":
			value = rest
		case attached:
		case i+1 >= len(args):
			return nil, fail("%s needs a value", arg)
		default:
			i++
			value = args[i]
		}
		if err := f.set(o, value); err != nil {
			return nil, fail("%s: %v", arg, err)
		}
	}
	return o, o.check(fail)
}

// check settles what options mean together.
func (o *simulateOptions) check(fail func(string, ...any) error) error {
	sources := 0
	for _, given := range []bool{o.file != "", o.pipe, o.live, o.profile != ""} {
		if given {
			sources++
		}
	}
	switch {
	case sources > 1:
		return fail("-x, -p, -L and -P exclude each other")
	case o.inPlace && (o.file == "" || o.file == "-"):
		return fail("-X writes back to the file of -x, and there is none")
	case o.repeat > 0 && o.profile == "":
		return fail("-N goes with -P")
	case o.allActions && o.saveDot == "":
		return fail("-a goes with -D")
	}
	if o.pipe {
		o.file = "-"
	}
	o.run.Execute = o.run.Execute || o.inPlace
	if len(o.run.Fail) > 0 && !o.run.Execute {
		return fail("-F goes with -S: only what is carried out can fail")
	}
	if o.saveAfter != "" && !o.run.Execute {
		return fail("-O goes with -S: nothing comes out unless the plan is carried out")
	}
	if o.format == "" {
		r := &o.run
		o.format = "plan"
		if o.process || r.Execute || r.Scores || r.Utilization || r.Quiet || r.Attributes || r.FailCounts {
			o.format = "text"
		}
		if !o.process && !r.Execute && !r.Scores && !r.Utilization && !r.Quiet && (r.Attributes || r.FailCounts) {
			r.StatusOnly = true
		}
	}
	o.run.Origins = o.format != "text"
	return nil
}

// simulateHelp prints the table of options.
func simulateHelp(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Usage: gcrm simulate [options]\n\nShows what the cluster would do, and why. With -R, -S or -s the output is that of\ncrm_simulate.\n\nOptions:\n")
	for _, f := range simulateFlags() {
		name := strings.Join(f.names, ", ")
		if f.value != "" {
			name += " " + f.value
		}
		fmt.Fprintf(&b, "  %-34s %s\n", name, f.help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
