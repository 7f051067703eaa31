// Command gcrm is the cluster shell, the cluster simulator, an embedded
// cluster to try things out, and the node daemon, in one program.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gcrm/cluster/locks"
	"gcrm/cmd/gcrm/agenthelp"
	"gcrm/cmd/gcrm/demoweb"
	"gcrm/drivers"
	"gcrm/shell"
)

func main() { os.Exit(run()) }

// Exit statuses; the whole table stands in the documentation of package shell.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitDisconnected = 102
	exitInterrupted  = 130
)

// options are the command line's.
type options struct {
	file        string // -f
	cib         string // --cib
	embedded    int
	interactive bool // -i
	stateDir    string
	socket      string
	host        string // address of a node elsewhere
	identity    string // file
	force, no   bool
	wait        bool
	display     string
	format      string
	timeout     time.Duration
	confirm     time.Duration
	given       map[string]bool // settings that the command line chose
	args        []string
}

const usage = `Usage: gcrm [options]                     interactive shell on the local node
       gcrm [options] LEVEL [COMMAND ...]  one command, or the shell inside a level
       gcrm [options] -f FILE              run a script, - is standard input
       gcrm [options] simulate ...         what the cluster would do
       gcrm --embedded N [options] ...     the same on N nodes inside this process
       gcrm volume ... | gcrm dlm ...      replicated volumes, locks: on this host, without a cluster

Options:
  -f, --file FILE       run the commands of a script; nothing is committed if any fails
  -c, --cib FILE        work on a CIB file instead of a cluster (also CIB_file in the environment)
      --embedded N      start N nodes in this process
      --state-dir DIR   where embedded nodes keep their state (default: a temporary folder)
      --socket PATH     the daemon's socket (also GCRM_SOCKET in the environment)
      --host ADDR[:PORT]  work on a cluster from elsewhere, over TLS
      --identity FILE   who you are there: what 'gcrm cluster admin-cert' made
                        (also GCRM_IDENTITY; default: gcrm/identity.pem in the user's settings)
  -i, --interactive     stay in the shell after the script
  -D, --display MODE    plain, color, color-always, uppercase
  -o, --output FORMAT   text or json
  -F, --force           yes to questions; commits override what can be overridden
  -n, --no              no to questions
  -w, --wait            after a change, wait until the cluster has settled
      --timeout TIME    how long to wait for a cluster that makes no progress (default 1m)
      --confirm TIME    the cluster takes commits back unless 'configure commit confirmed' comes in time
      --version         show the version
  -h, --help            show this

gcrm help lists the levels and commands; gcrm help LEVEL COMMAND explains one;
gcrm help --man is the manual page.
`

// parseOptions reads the command line up to the first command word.
func parseOptions(args []string, stderr io.Writer) (*options, int, bool) {
	o := &options{}
	fs := flag.NewFlagSet("gcrm", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	text := func(p *string, value string, names ...string) {
		for _, n := range names {
			fs.StringVar(p, n, value, "")
		}
	}
	flagged := func(p *bool, names ...string) {
		for _, n := range names {
			fs.BoolVar(p, n, false, "")
		}
	}
	text(&o.file, "", "f", "file")
	text(&o.cib, "", "c", "cib")
	text(&o.stateDir, "", "state-dir")
	text(&o.socket, "", "socket")
	text(&o.display, "", "D", "display")
	text(&o.format, "text", "o", "output")
	fs.IntVar(&o.embedded, "embedded", 0, "")
	fs.DurationVar(&o.timeout, "timeout", 0, "")
	fs.DurationVar(&o.confirm, "confirm", 0, "")
	fs.StringVar(&o.host, "host", "", "")
	fs.StringVar(&o.identity, "identity", "", "")
	flagged(&o.interactive, "i", "interactive")
	flagged(&o.force, "F", "force")
	flagged(&o.no, "n", "no")
	flagged(&o.wait, "w", "wait")
	var version bool
	flagged(&version, "version")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Print(usage)
			return nil, exitOK, false
		}
		fmt.Fprintf(stderr, "gcrm: %v\n%s", err, usage)
		return nil, exitUsage, false
	}
	if version {
		fmt.Println("gcrm " + versionText())
		return nil, exitOK, false
	}
	o.args = fs.Args()
	settings := map[string]string{"F": "force", "w": "wait", "o": "output", "D": "display", "timeout": "wait-timeout"}
	o.given = map[string]bool{}
	fs.Visit(func(f *flag.Flag) {
		o.given[f.Name] = true
		o.given[settings[f.Name]] = true
	})
	fail := func(format string, a ...any) (*options, int, bool) {
		fmt.Fprintf(stderr, "gcrm: "+format+"\n", a...)
		return nil, exitUsage, false
	}
	switch {
	case o.format != "text" && o.format != "json":
		return fail("unknown output format %q: use text or json", o.format)
	case o.embedded < 0 || o.embedded > 32:
		return fail("--embedded %d: a cluster has 1 to 32 nodes", o.embedded)
	case o.embedded > 0 && o.cib != "":
		return fail("--embedded and --cib exclude each other: a file has no nodes")
	case o.host != "" && (o.embedded > 0 || o.cib != "" || o.socket != ""):
		return fail("--host excludes --embedded, --cib and --socket")
	case o.identity != "" && o.host == "":
		return fail("--identity needs --host")
	case o.stateDir != "" && o.embedded == 0:
		return fail("--state-dir needs --embedded")
	case o.file != "" && len(o.args) > 0:
		return fail("-f and a command exclude each other: put %q into the script", strings.Join(o.args, " "))
	}
	return o, 0, true
}

func run() int {
	name := filepath.Base(os.Args[0])
	if agenthelp.Serves(name) {
		return agenthelp.Main(name, os.Args[1:])
	}
	if undo, ok := drivers.VolumeHandlers()[name]; ok {
		return volumeHandler(os.Getenv, undo)
	}
	if len(os.Args) > 1 && os.Args[1] == "demo-web" {
		return demoweb.Main(os.Args[2:])
	}
	if len(os.Args) > 1 && (os.Args[1] == "volume" || os.Args[1] == "dlm") {
		return tool(context.Background(), os.Args[1], os.Args[2:])
	}
	if status, ok := daemonVerbs(os.Args[1:]); ok {
		return status
	}
	o, status, ok := parseOptions(os.Args[1:], os.Stderr)
	if !ok {
		return status
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return o.run(ctx)
}

// tool runs a command that needs no cluster.
func tool(ctx context.Context, name string, args []string) int {
	if name == "dlm" {
		return locks.Command(ctx, args, hostStreams())
	}
	return volumeVerb(args)
}

func (o *options) run(ctx context.Context) int {
	display, err := shell.ParseDisplay(o.display, isTerminal(os.Stdout) && isTerminal(os.Stderr), os.Getenv("NO_COLOR") != "")
	if err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: -D: %v\n", err)
		return exitUsage
	}
	script, name, status := o.script()
	if status != 0 {
		return status
	}
	o.putOffFor(script != nil)
	cfg := shell.Config{Out: os.Stdout, Err: os.Stderr, In: os.Stdin, Display: display, Format: o.format,
		Fencing: verifyFencing, Tool: tool, Force: o.force, No: o.no, Wait: o.wait, WaitTimeout: o.timeout, Confirm: o.confirm, Environ: os.Getenv}
	if script == nil {
		cfg.In = os.Stdin
	}
	if len(o.args) > 0 && o.args[0] == "simulate" && o.embedded == 0 {
		return o.simulate(ctx, cfg)
	}
	if o.embedded > 0 {
		return o.runEmbedded(ctx, cfg, script, name)
	}
	if len(o.args) == 2 && o.args[0] == "help" && o.args[1] == "--man" {
		fmt.Print(shell.Manual(usage))
		return exitOK
	}
	if len(o.args) > 0 && o.args[0] == "help" { // needs no cluster
		status, _ := shell.NewSession(cfg).RunArguments(ctx, o.args)
		return status
	}
	if err := o.open(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: %v\n", err)
		return exitDisconnected
	}
	defer cfg.Cluster.Close()
	s := shell.NewSession(cfg)
	return o.converse(ctx, s, script, name)
}

// script returns the text to run in batch: of -f, or of standard input when
// that is no terminal and no command is given.
func (o *options) script() (text *string, name string, status int) {
	name = o.file
	if name == "" && len(o.args) == 0 && !isTerminal(os.Stdin) && !(o.embedded > 0 && nothingToRead(os.Stdin)) {
		name = "-"
	}
	if name == "" {
		return nil, "", 0
	}
	var b []byte
	var err error
	if name == "-" {
		name = "stdin"
		b, err = io.ReadAll(os.Stdin)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "gcrm: cannot read the script: %v\n", err)
		return nil, "", exitUsage
	}
	t := string(b)
	return &t, name, 0
}

// nothingToRead tells a standard input that is closed or /dev/null.
func nothingToRead(f *os.File) bool {
	st, err := f.Stat()
	return err != nil || st.Mode()&os.ModeDevice != 0
}

// converse runs what the command line asks for on a session.
func (o *options) converse(ctx context.Context, s *shell.Session, script *string, name string) int {
	ok := true
	if script == nil && isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		// Settings are for people: scripts and pipes behave alike for everybody.
		if err := s.LoadSettings(o.given); err != nil {
			fmt.Fprintf(os.Stderr, "gcrm: settings: %v\n", err)
		}
	}
	switch {
	case script != nil:
		ok = s.RunScript(ctx, name, *script)
	case len(o.args) > 0:
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
		status, stay := s.RunArguments(ctx, o.args)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		if !stay || !isTerminal(os.Stdin) || !isTerminal(os.Stdout) {
			return status
		}
		o.interactive = true
	default:
		o.interactive = true
	}
	if o.interactive && isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		if err := s.Interact(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "gcrm: %v\n", err)
			return exitFailed
		}
		return exitOK
	}
	if !ok {
		return exitFailed
	}
	return exitOK
}

// cibFile is the CIB file that is worked on instead of a cluster, or "".
func (o *options) cibFile() string { return cmp.Or(o.cib, os.Getenv("CIB_file")) }

// open connects to what the options name: a file or the local daemon.
func (o *options) open(cfg *shell.Config) error {
	file := o.cibFile()
	if o.host != "" {
		return o.openHost(cfg)
	}
	if file == "" {
		return o.openLive(cfg)
	}
	c, err := shell.OpenFile(file, localAgents())
	if err != nil {
		return err
	}
	cfg.Cluster, cfg.Offline, cfg.Source = c, true, filepath.Base(file)
	return nil
}
