package admin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/replication/drbdconf"
	"gcrm/replication/nbd"
)

// Program is "gcrm volume".
type Program struct {
	Out, Err io.Writer
	// Terminal tells that Out is one: progress is drawn in place.
	Terminal bool
	// Self is the command line that starts this program again, up to "volume".
	Self  []string
	Fence func(ctx context.Context, resource string, unfence bool) int
}

// verbs are the commands with what they do, in the order of the help.
var verbs = []struct{ name, args, help string }{
	{"up", "RES|all", "start the resource in the background: attach and connect"},
	{"down", "RES|all", "demote, disconnect, detach, end the process"},
	{"serve", "RES", "the same as up, in the foreground (for systemd)"},
	{"primary", "RES", "promote; --force takes data that is not known to be good"},
	{"secondary", "RES", "demote"},
	{"connect", "RES", "look for the peer; --discard-my-data gives up own changes after a split brain"},
	{"disconnect", "RES", "end the connection; --force without asking the peer"},
	{"attach", "RES", "take the disk into use"},
	{"detach", "RES", "give the disk up"},
	{"verify", "RES", "compare the data of both nodes"},
	{"invalidate", "RES", "fetch everything from the peer"},
	{"invalidate-remote", "RES", "send everything to the peer"},
	{"outdate", "RES", "mark the local data as old"},
	{"resize", "RES", "take room that the disks below have got into use; --size, --assume-clean, --assume-peer-has-space"},
	{"pause-sync", "RES", "keep a resync from going on, now and later"},
	{"resume-sync", "RES", "let it go on"},
	{"suspend-io", "RES", "freeze I/O"},
	{"resume-io", "RES", "end a freeze"},
	{"status", "[RES]", "what drbdadm status shows; --json, --proc and --overview show it otherwise"},
	{"role", "RES", "own and peer's role"},
	{"dstate", "RES", "own and peer's disk state"},
	{"cstate", "RES", "state of the connection"},
	{"events", "RES", "every change, a line of JSON each"},
	{"wait-connect", "RES", "wait for the peer, as long as the startup section says"},
	{"wait-sync", "RES", "wait for the end of a resync or verify, with its progress"},
	{"fence-peer", "RES", "run the handler fence-peer; unfence-peer undoes it"},
	{"unfence-peer", "RES", "run the handler unfence-peer"},
	{"create-md", "RES", "write new metadata; --force over existing ones"},
	{"apply-al", "RES", "make the metadata of a crash clean"},
	{"dump-md", "RES", "print the metadata"},
	{"get-gi", "RES", "print the generation identifiers; show-gi explains them"},
	{"show-gi", "RES", "the same with a picture"},
	{"wipe-md", "RES", "remove the metadata; --force"},
	{"dump", "[RES]", "print the configuration; --xml"},
	{"nbd-uri", "RES", "the address for NBD clients on this host"},
}

// invocation is one call of the program.
type invocation struct {
	p        *Program
	config   string
	node     string
	folder   Folder
	force    bool
	discard  bool
	json     bool
	proc     bool
	overview bool
	xml      bool
	worker   bool
	idle     bool
	alone    bool
	listen   string
	cert     string
	key      string
	ca       string
	device   string
	timeout  time.Duration
	size     string
	clean    bool
	stacked  bool
	args     []string
	volume   *int // of RES/VOLUME
}

// Usage prints the help.
func (p *Program) Usage(w io.Writer) {
	fmt.Fprint(w, "Usage: gcrm volume COMMAND [options] RES|RES/VOLUME|all\n\nCommands:\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-18s %s\n", v.name, v.help)
	}
	fmt.Fprint(w, `
Options:
      --size SIZE        of resize: 10G and the like; without it the size of the configuration, or all
      --assume-clean     of resize: no resync of the new part
      --assume-peer-has-space  of resize without a peer
  -c, --config FILE      configuration (default: /etc/drbd.conf and its relatives)
      --node NAME        name of this node (default: the host's; also __DRBD_NODE__)
      --run-dir DIR      sockets of the processes (default: /run/gcrm/volume; also GCRM_VOLUME_DIR)
      --force, --discard-my-data, --json, --proc, --overview, --xml
      --timeout TIME     how long to wait (wait-connect, wait-sync)
      --device KIND      of up and serve: none (NBD socket only), nbd (a block device, by the kernel's NBD client),
                         loop (a block device, by FUSE) or auto (nbd if the kernel has it, else loop)
      --no-connect       of up: attach only
      --stacked          of all: the resources on top of others, instead of the others
      --listen ADDR      of up and serve: NBD over TCP
      --tls-cert FILE --tls-key FILE --tls-ca FILE  TLS for that; with a CA clients need a certificate
`)
}

// Main runs one command and gives the exit code.
func (p *Program) Main(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		p.Usage(p.Out)
		if len(args) == 0 {
			return exitUsage
		}
		return 0
	}
	name := args[0]
	if name == "sh-role" || name == "state" {
		name = "role"
	}
	if !slices.ContainsFunc(verbs, func(v struct{ name, args, help string }) bool { return v.name == name }) {
		fmt.Fprintf(p.Err, "gcrm volume: unknown command %q; gcrm volume help lists them\n", name)
		return exitUsage
	}
	in := &invocation{p: p}
	if err := in.parse(args[1:]); err != nil {
		fmt.Fprintf(p.Err, "gcrm volume %s: %v\n", name, err)
		return exitUsage
	}
	if err := in.run(ctx, name); err != nil {
		var e *commandError
		if errors.As(err, &e) {
			fmt.Fprintf(p.Err, "%s\n", e.text)
			return e.code
		}
		var list drbdconf.ErrorList
		if errors.As(err, &list) {
			fmt.Fprintln(p.Err, list.Detail())
			return exitFailed
		}
		fmt.Fprintf(p.Err, "gcrm volume %s: %v\n", name, err)
		return exitFailed
	}
	return 0
}

// commandError is an error with its exit code.
type commandError struct {
	text string
	code int
}

func (e *commandError) Error() string { return e.text }

// parse reads options in any place.
func (in *invocation) parse(args []string) error {
	fs := flag.NewFlagSet("gcrm volume", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	folder := DefaultFolder
	if dir := os.Getenv("GCRM_VOLUME_DIR"); dir != "" {
		folder = Folder(dir)
	}
	fs.StringVar(&in.config, "c", "", "")
	fs.StringVar(&in.config, "config", "", "")
	fs.StringVar(&in.node, "node", "", "")
	fs.StringVar((*string)(&in.folder), "run-dir", string(folder), "")
	fs.BoolVar(&in.force, "force", false, "")
	fs.BoolVar(&in.force, "overwrite-data-of-peer", false, "")
	fs.BoolVar(&in.discard, "discard-my-data", false, "")
	fs.BoolVar(&in.json, "json", false, "")
	fs.BoolVar(&in.proc, "proc", false, "")
	fs.BoolVar(&in.overview, "overview", false, "")
	fs.BoolVar(&in.xml, "xml", false, "")
	fs.BoolVar(&in.worker, "worker", false, "")
	fs.BoolVar(&in.idle, "idle", false, "")
	fs.BoolVar(&in.stacked, "stacked", false, "")
	fs.BoolVar(&in.alone, "no-connect", false, "")
	fs.StringVar(&in.listen, "listen", "", "")
	fs.StringVar(&in.cert, "tls-cert", "", "")
	fs.StringVar(&in.key, "tls-key", "", "")
	fs.StringVar(&in.ca, "tls-ca", "", "")
	fs.StringVar(&in.device, "device", "none", "")
	fs.StringVar(&in.size, "size", "", "")
	fs.BoolVar(&in.clean, "assume-clean", false, "")
	fs.BoolVar(&in.force, "assume-peer-has-space", false, "")
	fs.DurationVar(&in.timeout, "timeout", 0, "")
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return err
		}
		if fs.NArg() == 0 {
			break
		}
		in.args = append(in.args, fs.Arg(0))
		args = fs.Args()[1:]
	}
	switch {
	case len(in.args) > 1:
		return fmt.Errorf("one resource at a time, not %q", in.args)
	case !slices.Contains([]string{"none", "nbd", "loop", "auto"}, in.device):
		return fmt.Errorf("--device %s: use none, nbd, loop or auto", in.device)
	case (in.cert == "") != (in.key == ""):
		return errors.New("--tls-cert and --tls-key go together")
	}
	if in.device == "auto" {
		if in.device = "loop"; nbd.KernelClient() {
			in.device = "nbd"
		}
	}
	return nil
}

// resources are those that the command is about.
func (in *invocation) resources(none bool) ([]*Resource, error) {
	node, err := ThisNode(in.node)
	if err != nil {
		return nil, err
	}
	conf, err := LoadConfig(in.config)
	if err != nil {
		return nil, err
	}
	if len(in.args) == 1 && in.args[0] != "all" {
		name, number, named := strings.Cut(in.args[0], "/")
		r, err := Find(conf, name, node)
		if err != nil || !named {
			return []*Resource{r}, err
		}
		n, err := strconv.Atoi(number)
		if err != nil || r.Volume(n) == nil {
			return nil, fmt.Errorf("resource %s has no volume %s", name, number)
		}
		in.volume = &n
		return []*Resource{r}, nil
	}
	if len(in.args) == 0 && !none {
		return nil, &commandError{"name a resource, or all", exitUsage}
	}
	var out []*Resource
	for _, r := range conf.Resources {
		if r.Local(node) == nil {
			continue
		}
		found, err := Find(conf, r.Name, node)
		if err != nil {
			return nil, err
		}
		if found.Stacked() != in.stacked {
			continue
		}
		out = append(out, found)
	}
	return out, nil
}

func (in *invocation) run(ctx context.Context, name string) error {
	if name == "dump" {
		return in.dump()
	}
	list, err := in.resources(name == "status")
	if err != nil {
		return err
	}
	if name == "serve" {
		return in.serve(ctx, list)
	}
	var all error
	shown := 0
	for _, r := range list {
		err := in.one(ctx, name, r)
		if name == "status" && len(in.args) == 0 && errors.Is(err, ErrNotRunning) {
			continue
		}
		shown++
		all = errors.Join(all, err)
	}
	if name == "status" && shown == 0 {
		fmt.Fprintln(in.p.Out, "# No currently configured DRBD found.")
	}
	if len(list) == 1 {
		return err1(all)
	}
	return all
}

// err1 is the only error of a joined one.
func err1(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}

// volumes are those of a resource that the command is about.
func (in *invocation) volumes(r *Resource) []*Volume {
	if in.volume == nil {
		return r.Volumes
	}
	return []*Volume{r.Volume(*in.volume)}
}

// eachVolume does something with every volume that the command is about.
func (in *invocation) eachVolume(r *Resource, do func(*Volume) error) error {
	var all error
	for _, v := range in.volumes(r) {
		if err := do(v); err != nil {
			if len(r.Volumes) == 1 {
				return err
			}
			all = errors.Join(all, fmt.Errorf("%s: %w", v.Name(), err))
		}
	}
	return err1(all)
}

func (in *invocation) one(ctx context.Context, name string, r *Resource) error {
	if in.volume != nil && slices.Contains([]string{"up", "down", "serve", "connect", "disconnect", "fence-peer", "unfence-peer", "events", "wait-connect", "wait-sync"}, name) {
		return &commandError{fmt.Sprintf("%s is about the resource with all its volumes: name %s", name, r.Res.Name), exitUsage}
	}
	switch name {
	case "create-md", "apply-al", "dump-md", "get-gi", "show-gi", "wipe-md":
		return in.eachVolume(r, func(v *Volume) error { return in.metadata(name, v) })
	case "up":
		return in.up(ctx, r)
	case "down":
		return in.down(ctx, r)
	case "fence-peer", "unfence-peer":
		s := &server{o: in.serveOptions(r), r: r, log: func(text string) { fmt.Fprintln(in.p.Err, text) }}
		if code := s.handler(ctx, name, r.Volumes); code != 0 {
			return &commandError{fmt.Sprintf("%s: handler %s: exit code %d", r.Res.Name, name, code), code}
		}
		return nil
	case "events":
		return in.events(r)
	case "wait-connect", "wait-sync":
		return in.wait(ctx, name, r)
	case "nbd-uri":
		for _, v := range in.volumes(r) {
			fmt.Fprintf(in.p.Out, "nbd+unix:///%s?socket=%s\n", url.PathEscape(v.Name()), in.folder.NBD(r.Res.Name))
		}
		return nil
	case "status", "role", "dstate", "cstate":
		return in.show(ctx, name, r)
	case "resize":
		return in.eachVolume(r, func(v *Volume) error {
			number := v.Number()
			call := Call{Command: name, Sectors: v.Disk.Size, Clean: in.clean, Force: in.force, Volume: &number}
			if in.size != "" {
				n, err := sectors(in.size)
				if err != nil {
					return &commandError{err.Error(), exitUsage}
				}
				call.Sectors = n
			}
			return in.tell(ctx, r, call)
		})
	case "outdate", "invalidate":
		err := in.tell(ctx, r, Call{Command: name, Volume: in.volume})
		if errors.Is(err, ErrNotRunning) {
			return in.eachVolume(r, func(v *Volume) error { return in.metadata(name, v) })
		}
		return err
	}
	return in.tell(ctx, r, Call{Command: name, Force: in.force, Discard: in.discard, Volume: in.volume})
}

// sectors reads a size: a number of sectors with the unit s, else of KiB, with the units
// K, M, G, T and P.
func sectors(text string) (uint64, error) {
	number, unit := strings.TrimRight(text, "kKmMgGtTpPs"), uint64(2)
	switch suffix := strings.ToUpper(text[len(number):]); suffix {
	case "", "K":
	case "S":
		unit = 1
	case "M", "G", "T", "P":
		unit <<= 10 * (strings.Index("MGTP", suffix) + 1)
	default:
		return 0, fmt.Errorf("--size %s: unknown unit", text)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > (1<<41)/unit {
		return 0, fmt.Errorf("--size %s: not a size, such as 512M or 10G", text)
	}
	return n * unit, nil
}

// tell gives a command to the process of a resource.
func (in *invocation) tell(ctx context.Context, r *Resource, call Call) error {
	a, err := in.folder.Call(ctx, r.Res.Name, call)
	if err != nil {
		return err
	}
	return a.failure(r.Res.Name)
}

func (a *Answer) failure(resource string) error {
	if a.Error == "" {
		return nil
	}
	return &commandError{resource + ": " + a.Error, max(a.Code, 1)}
}

func (in *invocation) events(r *Resource) error {
	c, err := in.folder.Dial(r.Res.Name)
	if err != nil {
		return err
	}
	defer c.Close()
	out := json.NewEncoder(in.p.Out)
	a, err := c.Do(context.Background(), Call{Command: "events"})
	for ; err == nil; a, err = c.Next() {
		if err := out.Encode(a.Status); err != nil {
			return err
		}
	}
	return err
}

func (in *invocation) dump() error {
	node, err := ThisNode(in.node)
	if err != nil {
		return err
	}
	conf, err := LoadConfig(in.config)
	if err != nil {
		return err
	}
	if len(in.args) == 1 && in.args[0] != "all" {
		r := conf.Resource(in.args[0])
		if r == nil {
			return fmt.Errorf("resource %s is not in %s", in.args[0], conf.Path)
		}
		conf.Resources = []*drbdconf.Resource{r}
	}
	if in.xml {
		return conf.DumpXML(in.p.Out, node)
	}
	return conf.Dump(in.p.Out, node)
}
