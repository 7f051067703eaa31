package daemon

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/node/drill"
)

// words is a flag that may be given several times.
type words []string

// String implements flag.Value.
func (w *words) String() string { return strings.Join(*w, ",") }

// Set implements flag.Value.
func (w *words) Set(s string) error {
	*w = append(*w, s)
	return nil
}

func drillVerb() question {
	var services words
	var force, raw *bool
	var limit *time.Duration
	return question{name: "drill", words: []string{"KIND", "NODE"}, flags: func(f *flag.FlagSet) {
		f.Var(&services, "service", "what clients use: a URL, ADDRESS:PORT, or a path; may be given several times")
		force = f.Bool("force", false, "go on though it is not safe")
		raw = f.Bool("json", false, "the report as JSON")
		limit = f.Duration("limit", 5*time.Minute, "how long to wait for anything at most")
	}, ask: func(ctx context.Context, s Streams, c *client.HTTP, args []string) error {
		begin := time.Now()
		report, err := drill.Run(ctx, drill.Config{Cluster: c, Kind: args[0], Node: args[1], Services: services, Force: *force, Limit: *limit,
			Tell: func(text string) { fmt.Fprintf(s.Err, "%6.1fs  %s\n", time.Since(begin).Seconds(), text) }})
		if report == nil || report.Began.IsZero() {
			return err
		}
		if *raw {
			enc := json.NewEncoder(s.Out)
			enc.SetIndent("", "  ")
			if jerr := enc.Encode(report); err == nil {
				err = jerr
			}
			return err
		}
		w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "WHAT\tWITHOUT SERVICE\tLONGEST\tTIMES\tFROM\tTO")
		for _, o := range append(report.Services, report.Resources...) {
			still := ""
			if o.Still {
				still = " (still)"
			}
			fmt.Fprintf(w, "%s\t%.2fs%s\t%.2fs\t%d\t%s\t%s\n", o.Name, o.Away.Seconds(), still, o.Longest.Seconds(), o.Times, o.From, o.To)
		}
		if ferr := w.Flush(); err == nil {
			err = ferr
		}
		if report.Left != "" {
			fmt.Fprintln(s.Out, report.Left)
		}
		return err
	}}
}
