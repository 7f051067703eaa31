package locks

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"gcrm/cluster/client"
	"gcrm/cluster/node/daemon"
	"gcrm/drivers/dlm"
)

// Exit statuses of commands. The control process gives two of those that
// resource agents give.
const (
	exitOK            = 0
	exitFailed        = 1
	exitUsage         = 2
	exitNotConfigured = 6
)

const usage = `usage: gcrm dlm COMMAND [options]
  status            how this node's lock manager does, and what its lockspaces wait for
  ls                the lockspaces of the cluster with their members
  plocks LOCKSPACE  the POSIX locks of a lockspace
  lockdebug LOCKSPACE   the locks that this node's kernel has
  mkfs NAME DEVICE [--journals N] [--overwrite]
                    make a GFS2 file system with the lock table of this cluster and a journal for each node
  dump              the last part of the control process's log
Options:
  --json            (status, ls, plocks) as JSON
  --run-dir DIR     where the node keeps what lives as long as the boot
  --socket PATH     (mkfs) the daemon's socket
`

// Command is "gcrm dlm ARGS"; it returns the exit status.
func Command(ctx context.Context, args []string, s daemon.Streams) int {
	if len(args) == 0 {
		fmt.Fprint(s.Err, usage)
		return exitUsage
	}
	f := flag.NewFlagSet("gcrm dlm "+args[0], flag.ContinueOnError)
	f.SetOutput(s.Err)
	f.Usage = func() { fmt.Fprint(s.Err, usage) }
	dir := f.String("run-dir", filepath.Join(daemon.DefaultRunDir, "agents"), "")
	if args[0] == "control" {
		return control(ctx, f, dir, args[1:], s)
	}
	if args[0] == "mkfs" {
		return makeFilesystem(ctx, f, args[1:], s)
	}
	asJSON := f.Bool("json", false, "")
	words, err := parse(f, args[1:])
	if err != nil {
		return exitUsage
	}
	needs := map[string]int{"status": 0, "ls": 0, "dump": 0, "plocks": 1, "lockdebug": 1}
	if n, ok := needs[args[0]]; !ok || n != len(words) {
		fmt.Fprint(s.Err, usage)
		return exitUsage
	}
	if err := question(ctx, s.Out, dlm.Folder(*dir), args[0], words, *asJSON); err != nil {
		fmt.Fprintf(s.Err, "gcrm: dlm: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// parse returns the words between the flags.
func parse(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, f.Arg(0)), f.Args()[1:]
	}
}

// control is "gcrm dlm control", which the agent ocf:pacemaker:controld starts.
func control(ctx context.Context, f *flag.FlagSet, dir *string, args []string, s daemon.Streams) int {
	var o Options
	f.StringVar(&o.StateDir, "state-dir", daemon.DefaultStateDir, "")
	f.StringVar(&o.Socket, "socket", filepath.Join(daemon.DefaultRunDir, "api.sock"), "")
	f.BoolVar(&o.SCTP, "sctp", false, "")
	f.IntVar(&o.Port, "port", 0, "")
	f.BoolVar(&o.WithoutFencing, "without-fencing", false, "")
	level := f.String("log-level", "info", "")
	if words, err := parse(f, args); err != nil || len(words) > 0 {
		return exitUsage
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		fmt.Fprintf(s.Err, "gcrm: dlm: --log-level %s is none of debug, info, warn, error\n", *level)
		return exitUsage
	}
	o.Folder, o.Journal = dlm.Folder(*dir), &dlm.Journal{}
	o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(s.Err, o.Journal), &slog.HandlerOptions{Level: l}))
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What asks for the daemon by its name is content with this process.
	_ = os.WriteFile("/proc/self/comm", []byte("dlm_controld"), 0)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	err := Run(ctx, o)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNoFencing):
		fmt.Fprintf(s.Err, "gcrm: dlm: %v\n", err)
		return exitNotConfigured
	}
	fmt.Fprintf(s.Err, "gcrm: dlm: %v\n", err)
	return exitFailed
}

// makeFilesystem is "gcrm dlm mkfs".
func makeFilesystem(ctx context.Context, f *flag.FlagSet, args []string, s daemon.Streams) int {
	var m mkfs
	socket := f.String("socket", filepath.Join(daemon.DefaultRunDir, "api.sock"), "")
	f.IntVar(&m.Journals, "journals", 0, "")
	f.BoolVar(&m.Overwrite, "overwrite", false, "")
	words, err := parse(f, args)
	if err != nil || len(words) != 2 {
		fmt.Fprint(s.Err, usage)
		return exitUsage
	}
	m.Name, m.Device = words[0], words[1]
	api, err := client.Dial(*socket, "gcrm dlm")
	if err == nil {
		defer api.Close()
		err = m.run(ctx, api, s.Out)
	}
	if err != nil {
		fmt.Fprintf(s.Err, "gcrm: dlm: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// question answers what a person asks.
func question(ctx context.Context, out io.Writer, f dlm.Folder, what string, words []string, asJSON bool) error {
	switch what {
	case "dump":
		text, err := f.Journal(ctx)
		if err == nil {
			_, err = io.WriteString(out, text)
		}
		return err
	case "lockdebug":
		return lockdebug(out, words[0])
	}
	r, err := f.Report(ctx)
	if err != nil {
		return err
	}
	if what == "plocks" {
		for _, s := range r.Spaces {
			if s.Name == words[0] && s.Here {
				if asJSON {
					return writeJSON(out, s.Files)
				}
				return plocks(out, r, s)
			}
		}
		return fmt.Errorf("this node is not in lockspace %s", words[0])
	}
	if asJSON {
		return writeJSON(out, r)
	}
	if what == "status" {
		status(out, r)
	}
	return list(out, r)
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func status(out io.Writer, r dlm.Report) {
	state := "in control"
	switch {
	case !r.Ready:
		state = "not yet in control"
	case !r.Quorate:
		state = "in control, without quorum"
	}
	fmt.Fprintf(out, "Lock manager of cluster %s on node %s (%d): %s\n", r.Cluster, r.Name(r.Self.Node), r.Self.Node, state)
	for _, n := range r.Nodes {
		var at []string
		for _, a := range n.Addresses {
			at = append(at, a.String())
		}
		fmt.Fprintf(out, "  node %s (%d) at %s\n", r.Name(n.Node), n.Node, strings.Join(at, ", "))
	}
	for _, s := range r.Spaces {
		if s.Waits != "" {
			fmt.Fprintf(out, "Lockspace %s: %s\n", s.Name, s.Waits)
		}
	}
}

func list(out io.Writer, r dlm.Report) error {
	if len(r.Spaces) == 0 {
		_, err := fmt.Fprintln(out, "No lockspaces.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LOCKSPACE\tID\tCHANGE\tMEMBERS\tHERE\tSTATE")
	for _, s := range r.Spaces {
		var members []string
		for _, m := range s.Members {
			members = append(members, r.Name(m.Node))
		}
		here, state := "no", "runs"
		switch {
		case s.Joining:
			here = "joining"
		case s.Leaving:
			here = "leaving"
		case s.Active:
			here = "yes"
		case s.Here:
			here = "stopped"
		}
		if s.Waits != "" {
			state = s.Waits
		}
		if s.Recovering != 0 && s.Awaits != 0 {
			state += ", the kernel waits for " + r.Name(s.Awaits)
		}
		fmt.Fprintf(w, "%s\t0x%08x\t%d\t%s\t%s\t%s\n", s.Name, s.ID, s.Generation, strings.Join(members, " "), here, state)
	}
	return w.Flush()
}

func plocks(out io.Writer, r dlm.Report, s dlm.SpaceReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INODE\tKIND\tFROM\tTO\tNODE\tPID\tOWNER\tSTATE")
	kind := map[bool]string{true: "WR", false: "RD"}
	for _, f := range s.Files {
		for _, h := range f.Held {
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%s\t%d\t%x\tholds\n", f.Number, kind[h.Exclusive], h.Start, h.End, r.Name(int(h.Node)), h.PID, h.Owner)
		}
		for _, x := range f.Waiting {
			fmt.Fprintf(w, "%d\t%s\t%d\t%d\t%s\t%d\t%x\twaits\n", f.Number, kind[x.Exclusive], x.Start, x.End, r.Name(int(x.Node)), x.PID, x.Owner)
		}
	}
	return w.Flush()
}

// lockdebug shows what the kernel tells of a lockspace.
func lockdebug(out io.Writer, space string) error {
	if strings.ContainsRune(space, '/') {
		return fmt.Errorf("%q is no name of a lockspace", space)
	}
	const dir = "/sys/kernel/debug/dlm"
	any := false
	for _, part := range []string{"_all", "_waiters"} {
		b, err := os.ReadFile(filepath.Join(dir, space+part))
		if err != nil {
			continue
		}
		any = true
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	if !any {
		return fmt.Errorf("the kernel tells nothing of lockspace %s in %s (is debugfs mounted, and is this node in it?)", space, dir)
	}
	return nil
}
