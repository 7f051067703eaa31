package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"gcrm/cluster/heartbeat"
	"gcrm/cluster/node"
)

// Streams are where commands read and write.
type Streams struct {
	Out, Err io.Writer
	// Build names the version of gcrm; Level is the feature level it is held
	// to, 0 for all that it knows.
	Build string
	Level int
}

// errUsage is for a command that was not understood; its text is out already.
var errUsage = errors.New("usage")

// Exit statuses of commands.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitRemoved is that of the daemon of a node that was removed; the unit
	// does not start it again.
	exitRemoved = 77
)

func (s Streams) status(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		return exitUsage
	}
	fmt.Fprintf(s.Err, "gcrm: %v\n", err)
	if errors.Is(err, node.ErrRemoved) {
		return exitRemoved
	}
	return exitFailed
}

// verb is one of the words after "gcrm cluster".
type verb struct {
	name, args, what string
	run              func(ctx context.Context, s Streams, args []string) error
}

func verbs() []verb {
	return []verb{
		{"init", "--name NAME [--node NODE] [--address ADDR[:PORT][,ADDR2]] [--preset PRESET] [--detection TIME] [--fencing-time TIME]", "make a new cluster with this host as its first node", initCommand},
		{"token", "[--for TIME]", "make a token with which one other host can join", tokenVerb().run},
		{"join", "ADDR[:PORT] --token TOKEN [--node NODE] [--address ADDR[:PORT]]", "make this host a node of an existing cluster", joinCommand(false)},
		{"witness", "ADDR[:PORT] --token TOKEN [--node NODE] [--address ADDR[:PORT]]", "join as a voter that runs no resources", joinCommand(true)},
		{"import", "corosync.conf [--dry-run] [--name NAME] [--node NODE]", "make a new cluster of what a corosync.conf says", importCommand},
		{"check", "[FEATURE...] [--fix]", "look whether this host is ready to be a node", checkCommand},
		{"start", "", "start the daemon (systemd)", systemctl("start")},
		{"stop", "", "move resources away, leave the cluster and end the daemon", stopVerb().run},
		{"restart", "", "stop and start the daemon (systemd)", systemctl("restart")},
		{"audit", "[--last N] [--json]", "who asked this node to change what", auditVerb().run},
		{"admin-cert", "USER [--days N] [--out FILE]", "make an identity with which a user works on the cluster from elsewhere", adminCertVerb().run},
		{"rotate", "[--authority]", "replace the keys and certificates of all nodes while they run", rotateVerb().run},
		{"drill", "standby|kill|cut NODE [--service URL|ADDR:PORT|PATH]... [--force]", "rehearse a failure, and measure how long services are away", drillVerb().run},
		{"remove", "NODE", "forget a node that is gone for good", removeVerb().run},
		{"force-alone", "NODE --i-verified-it-is-down", "go on without the other one of two nodes", forceVerb().run},
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
	fmt.Fprintln(s.Err, "gcrm help cluster has these and those that ask a running cluster.")
	return exitUsage
}

// flags makes the flag set of a verb; flags and other words may be mixed.
func flags(s Streams, name string) *flag.FlagSet {
	f := flag.NewFlagSet("gcrm "+name, flag.ContinueOnError)
	f.SetOutput(s.Err)
	return f
}

// parseAny parses args and returns the words that are no flags.
func parseAny(s Streams, f *flag.FlagSet, args []string) ([]string, error) {
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, errUsage
		}
		if f.NArg() == 0 {
			return words, nil
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
}

// parse is parseAny for as many words as names.
func parse(s Streams, f *flag.FlagSet, args []string, names ...string) ([]string, error) {
	words, err := parseAny(s, f, args)
	if err != nil {
		return nil, err
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
	var presets []string
	for _, p := range heartbeat.Presets() {
		presets = append(presets, fmt.Sprintf("%s: for %s, detection %v, fencing %v", p.Name, p.For, p.Detection, p.Fencing))
	}
	f.StringVar(&o.Preset, "preset", heartbeat.Presets()[0].Name, "timeouts: "+strings.Join(presets, "; "))
	f.DurationVar(&o.Detection, "detection", 0, "how long the crash of a node may go unnoticed (default: the preset's)")
	f.DurationVar(&o.Fencing, "fencing-time", 0, "how long a fencing may take (default: the preset's)")
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

func joinCommand(witness bool) func(context.Context, Streams, []string) error {
	return func(ctx context.Context, s Streams, args []string) error {
		f := flags(s, "cluster join")
		o := JoinOptions{Witness: witness, Build: s.Build, Level: s.Level}
		f.StringVar(&o.Token, "token", "", "what 'gcrm cluster token' gave")
		f.StringVar(&o.Node, "node", "", "name of this node (default: the host's)")
		f.StringVar(&o.Address, "address", "", "address where the other nodes reach this one (default: the host's first)")
		dir := stateDirFlag(f)
		words, err := parse(s, f, args, "ADDR")
		if err != nil {
			return err
		}
		o.StateDir, o.Contact = *dir, words[0]
		o.Tell = func(text string) { fmt.Fprintln(s.Err, "note: "+text) }
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
