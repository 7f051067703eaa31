package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"gcrm/cluster/client"
	"gcrm/fencing"
)

// Streams are where commands read and write.
type Streams struct {
	Out, Err io.Writer
}

// errUsage is for a command that was not understood; its text is out already.
var errUsage = errors.New("usage")

// Exit statuses of commands.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func (s Streams) status(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		return exitUsage
	}
	fmt.Fprintf(s.Err, "gcrm: %v\n", err)
	return exitFailed
}

// verb is one of the words after "gcrm cluster".
type verb struct {
	name, args, what string
	run              func(ctx context.Context, s Streams, args []string) error
}

func verbs() []verb {
	return []verb{
		{"init", "--name NAME [--node NODE] [--address ADDR[:PORT][,ADDR2]] [--detection TIME]", "make a new cluster with this host as its first node", initCommand},
		{"token", "[--for TIME]", "make a token with which one other host can join", tokenCommand},
		{"join", "ADDR[:PORT] --token TOKEN [--node NODE] [--address ADDR[:PORT]]", "make this host a node of an existing cluster", joinCommand(false)},
		{"witness", "ADDR[:PORT] --token TOKEN [--node NODE] [--address ADDR[:PORT]]", "join as a voter that runs no resources", joinCommand(true)},
		{"start", "", "start the daemon (systemd)", systemctl("start")},
		{"stop", "", "move resources away, leave the cluster and end the daemon", stopCommand},
		{"restart", "", "stop and start the daemon (systemd)", systemctl("restart")},
		{"status", "", "the nodes of the cluster", statusCommand},
		{"health", "", "what is wrong, if anything; the exit status is 1 if something is", healthCommand},
		{"links", "", "the links of this node to the others", linksCommand},
		{"remove", "NODE", "forget a node that is gone for good", removeCommand},
		{"force-alone", "NODE --i-verified-it-is-down", "go on without the other one of two nodes", forceCommand},
	}
}

// ClusterCommand is "gcrm cluster ARGS"; it returns the exit status.
func ClusterCommand(ctx context.Context, args []string, s Streams) int {
	if len(args) > 0 {
		for _, v := range verbs() {
			if v.name == args[0] {
				return s.status(v.run(ctx, s, args[1:]))
			}
		}
	}
	if len(args) > 0 && args[0] != "help" && args[0] != "--help" && args[0] != "-h" {
		fmt.Fprintf(s.Err, "gcrm: cluster: %q is not one of its commands\n", args[0])
	}
	w := tabwriter.NewWriter(s.Err, 0, 0, 2, ' ', 0)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  gcrm cluster %s %s\t%s\n", v.name, v.args, v.what)
	}
	w.Flush()
	return exitUsage
}

// flags makes the flag set of a verb; flags and other words may be mixed.
func flags(s Streams, name string) *flag.FlagSet {
	f := flag.NewFlagSet("gcrm "+name, flag.ContinueOnError)
	f.SetOutput(s.Err)
	return f
}

// parse parses args and returns the words that are no flags, which must be as
// many as names.
func parse(s Streams, f *flag.FlagSet, args []string, names ...string) ([]string, error) {
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, errUsage
		}
		if f.NArg() == 0 {
			break
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
	if len(words) != len(names) {
		fmt.Fprintf(s.Err, "%s: needs %s\n", f.Name(), strings.Join(append(names, "no more words")[:max(1, len(names))], " "))
		f.Usage()
		return nil, errUsage
	}
	return words, nil
}

func stateDirFlag(f *flag.FlagSet) *string {
	return f.String("state-dir", DefaultStateDir, "folder of the node's state")
}

func socketFlag(f *flag.FlagSet) *string {
	def := os.Getenv("GCRM_SOCKET")
	if def == "" {
		def = filepath.Join(DefaultRunDir, "api.sock")
	}
	return f.String("socket", def, "socket of the daemon's API")
}

func initCommand(_ context.Context, s Streams, args []string) error {
	f := flags(s, "cluster init")
	var o InitOptions
	f.StringVar(&o.Cluster, "name", "", "name of the cluster")
	f.StringVar(&o.Node, "node", "", "name of this node (default: the host's)")
	f.StringVar(&o.Address, "address", "", "address where the other nodes reach this one (default: the host's first)")
	f.DurationVar(&o.Detection, "detection", 0, "how long the crash of a node may go unnoticed (default 2s)")
	dir := stateDirFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	o.StateDir = *dir
	set, err := Init(o)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "Cluster %s is made; its first node is %s at %s.\n", set.Cluster, set.Name, strings.Join(set.Addresses, " and "))
	fmt.Fprintf(s.Out, "Start the daemon with 'gcrm cluster start' or 'gcrm daemon', then invite other hosts with 'gcrm cluster token'.\n")
	return nil
}

func tokenCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster token")
	life := f.Duration("for", 30*time.Minute, "how long the token is good")
	socket := socketFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		token, err := c.Token(ctx, *life)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.Out, token)
		return nil
	})
}

func joinCommand(witness bool) func(context.Context, Streams, []string) error {
	return func(ctx context.Context, s Streams, args []string) error {
		f := flags(s, "cluster join")
		o := JoinOptions{Witness: witness}
		f.StringVar(&o.Token, "token", "", "what 'gcrm cluster token' gave")
		f.StringVar(&o.Node, "node", "", "name of this node (default: the host's)")
		f.StringVar(&o.Address, "address", "", "address where the other nodes reach this one (default: the host's first)")
		dir := stateDirFlag(f)
		words, err := parse(s, f, args, "ADDR")
		if err != nil {
			return err
		}
		o.StateDir, o.Contact = *dir, words[0]
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		set, err := Join(ctx, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "This host is node %s (id %s) of cluster %s. Start the daemon with 'gcrm cluster start' or 'gcrm daemon'.\n", set.Name, set.ID, set.Cluster)
		return nil
	}
}

func stopCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster stop")
	socket := socketFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		if err := c.StopNode(ctx); err != nil {
			return err
		}
		fmt.Fprintln(s.Out, "waiting for resources to be moved away")
		for {
			if _, err := c.Info(ctx); err != nil {
				return ctx.Err()
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// systemctl leaves to systemd what only it can do.
func systemctl(what string) func(context.Context, Streams, []string) error {
	return func(ctx context.Context, s Streams, args []string) error {
		if _, err := parse(s, flags(s, "cluster "+what), args); err != nil {
			return err
		}
		if _, err := os.Stat("/run/systemd/system"); err != nil {
			return fmt.Errorf("systemd does not run here; use 'gcrm daemon' and 'gcrm cluster stop'")
		}
		cmd := exec.CommandContext(ctx, "systemctl", what, "gcrm.service")
		cmd.Stdout, cmd.Stderr = s.Out, s.Err
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("systemctl %s gcrm.service: %w (the unit is printed by 'gcrm daemon --unit')", what, err)
		}
		return nil
	}
}

func statusCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster status")
	socket := socketFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		i, err := c.Info(ctx)
		if err != nil {
			return err
		}
		leader := i.Leader
		if leader == "" {
			leader = "none"
		}
		fmt.Fprintf(s.Out, "Cluster %s, seen from %s: %s, leader %s, CIB %s\n", i.ClusterName, i.Node, quorumText(i.Quorate), leader, i.Version)
		w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NODE\tID\tSTATE\tVOTE\tSINCE")
		for _, m := range i.Members {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.ID, pick(m.Online, "online", "offline"), pick(m.Voter, "yes", "no"), m.Since.Format(time.DateTime))
		}
		return w.Flush()
	})
}

func quorumText(q bool) string { return pick(q, "with quorum", "WITHOUT quorum") }

func pick(v bool, yes, no string) string {
	if v {
		return yes
	}
	return no
}

func healthCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster health")
	socket := socketFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		i, err := c.Info(ctx)
		if err != nil {
			return err
		}
		links, err := c.Links(ctx)
		if err != nil {
			return err
		}
		problems := 0
		tell := func(format string, args ...any) {
			problems++
			fmt.Fprintf(s.Out, format+"\n", args...)
		}
		if !i.Quorate {
			tell("%s has no quorum: nothing can be changed or started", i.Node)
		}
		voters := 0
		for _, m := range i.Members {
			if m.Voter {
				voters++
			}
			if !m.Online {
				tell("node %s is offline since %s", m.Name, m.Since.Format(time.DateTime))
			} else if !m.Voter {
				tell("node %s has no vote (yet)", m.Name)
			}
		}
		for _, l := range links {
			switch {
			case l.Up && l.Loss > 0.05:
				tell("link to %s (%s) loses %.0f%% of the heartbeats", l.Peer, l.Address, 100*l.Loss)
			case l.Hears && !l.Heard:
				tell("link to %s (%s) works one way only: this node hears it, but is not heard", l.Peer, l.Address)
			}
		}
		if voters == 2 {
			tell("there are two voters: each can go on without the other only after fencing it; a witness would help")
		}
		if problems == 0 {
			fmt.Fprintln(s.Out, "all is well")
			return nil
		}
		return fmt.Errorf("%d problems", problems)
	})
}

func linksCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster links")
	socket := socketFlag(f)
	if _, err := parse(s, f, args); err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		links, err := c.Links(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "PEER\tADDRESS\tSTATE\tLOSS\tROUND TRIP")
		for _, l := range links {
			state := "down"
			switch {
			case l.Up:
				state = "up"
			case l.Hears:
				state = "one way: not heard there"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%.0f%%\t%v\n", l.Peer, l.Address, state, 100*l.Loss, time.Duration(l.RoundTrip)*time.Microsecond)
		}
		return w.Flush()
	})
}

func removeCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster remove")
	socket := socketFlag(f)
	words, err := parse(s, f, args, "NODE")
	if err != nil {
		return err
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		if err := c.RemoveNode(ctx, words[0]); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "Node %s is forgotten.\n", words[0])
		return nil
	})
}

func forceCommand(ctx context.Context, s Streams, args []string) error {
	f := flags(s, "cluster force-alone")
	socket := socketFlag(f)
	sure := f.Bool("i-verified-it-is-down", false, "you have seen that the other node is off")
	words, err := parse(s, f, args, "NODE")
	if err != nil {
		return err
	}
	said := ""
	if *sure {
		said = "i verified it is down"
	}
	return withDaemon(*socket, func(c *client.HTTP) error {
		if err := c.ForceAlone(ctx, words[0], said); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "This node goes on without %s.\n", words[0])
		return nil
	})
}

func withDaemon(socket string, f func(*client.HTTP) error) error {
	c, err := client.Dial(socket, "gcrm cluster")
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// Unit is the systemd unit of the daemon; %s is the path of the program.
const unit = `[Unit]
Description=gcrm high-availability cluster node
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s daemon
# Resources outlive a crash of the daemon, which finds them again.
KillMode=process
Restart=on-failure
RestartSec=1s
WatchdogSec=30s
TimeoutStopSec=25min
RuntimeDirectory=gcrm
RuntimeDirectoryPreserve=yes
StateDirectory=gcrm
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`

// Command is "gcrm daemon ARGS"; it returns the exit status. methods are those
// of fence devices; nil stands for the agents installed on the host.
func Command(ctx context.Context, args []string, methods *fencing.Registry, s Streams) int {
	f := flags(s, "daemon")
	o := Options{Fencing: methods}
	dir := stateDirFlag(f)
	f.StringVar(&o.RunDir, "run-dir", DefaultRunDir, "folder for what lives as long as the boot")
	f.StringVar(&o.Socket, "socket", "", "socket of the API (default RUN-DIR/api.sock)")
	f.BoolVar(&o.LeaveRunning, "leave-running", false, "leave resources alone when the daemon ends")
	level := f.String("log-level", "info", "debug, info, warn or error")
	printUnit := f.Bool("unit", false, "print the systemd unit and do nothing else")
	if _, err := parse(s, f, args); err != nil {
		return s.status(err)
	}
	if *printUnit {
		program, err := os.Executable()
		if err == nil {
			fmt.Fprintf(s.Out, unit, program)
		}
		return s.status(err)
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		return s.status(fmt.Errorf("--log-level %s is none of debug, info, warn, error", *level))
	}
	o.StateDir = *dir
	o.Log = slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: l}))
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.status(Run(ctx, o))
}
