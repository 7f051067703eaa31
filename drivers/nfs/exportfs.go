package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
	"gcrm/drivers/native"
)

const second = time.Second

// exportAgent is ocf:heartbeat:exportfs.
func exportAgent(p paths) *native.Agent {
	a := exporter{p}
	return &native.Agent{
		Table: meta.Agent{
			Name: "exportfs", Version: "1.0", API: "1.0", Short: "NFS export",
			Long: "Exports folders to NFS clients while the resource runs. It does not start the NFS server.",
			Params: []meta.Param{
				{Name: "clientspec", Type: meta.String, Required: true, Short: "Clients that may mount", Long: "Host, network or * as exportfs takes it."},
				{Name: "options", Type: meta.String, Short: "Export options, separated by commas"},
				{Name: "directory", Type: meta.String, Required: true, Short: "Folder to export", Long: "Folder to export; several are separated by blanks and get consecutive fsids."},
				{Name: "fsid", Type: meta.String, Required: true, Short: "File system id of the export", Long: "Number or UUID, the same on all nodes and different for every export; 0 is the root of NFSv4."},
				{Name: "unlock_on_stop", Type: meta.Boolean, Default: "1", Short: "Release clients' locks on stop", Long: "Releases locks, so that the file system can be unmounted."},
				{Name: "wait_for_leasetime_on_stop", Type: meta.Boolean, Default: "0", Short: "Wait for the NFSv4 lease time on stop"},
				{Name: "rmtab_backup", Type: meta.String, Default: ".rmtab", Short: "File in the folder that keeps the list of clients", Long: "File in the folder, so that the list of clients moves along; none for no file."},
			},
			Actions: []meta.Action{
				{Name: "start", Timeout: 40 * second}, {Name: "stop", Timeout: 120 * second},
				{Name: "monitor", Timeout: 20 * second, Interval: 10 * second},
				{Name: "meta-data", Timeout: 5 * second}, {Name: "validate-all", Timeout: 30 * second},
			},
		},
		Check: func(c *native.Call) drivers.Result {
			if _, err := plan(c); err != nil {
				return native.Fail(drivers.NotConfigured, "%v", err)
			}
			return native.OK()
		},
		Actions: map[string]native.Action{drivers.Start: a.start, drivers.Stop: a.stop, drivers.Monitor: a.monitor},
	}
}

type exporter struct{ paths }

// wanted is what a resource exports.
type wanted struct {
	client string // as in the table of exports
	spec   string // as the parameter has it
	list   []export
}

// plan reads the parameters.
func plan(c *native.Call) (wanted, error) {
	v := c.Params
	w := wanted{spec: v.String("clientspec"), client: v.String("clientspec")}
	if strings.Count(w.spec, ":") > 1 {
		w.client = strings.NewReplacer("[", "", "]", "").Replace(w.spec) // IPv6
	}
	if w.client == "<world>" {
		w.client = "*"
	}
	fsid := v.String("fsid")
	if strings.Contains(fsid, ",") {
		return w, fmt.Errorf("parameter fsid: %q has a comma", fsid)
	}
	if fsid == "root" {
		fsid = "0"
	}
	directories := v.Words("directory")
	number, err := strconv.Atoi(fsid)
	if len(directories) > 1 && err != nil {
		return w, fmt.Errorf("parameter fsid: %q must be a number to be counted on from for %d folders", fsid, len(directories))
	}
	for i, d := range directories {
		if !filepath.IsAbs(d) {
			return w, fmt.Errorf("parameter directory: %q is not an absolute path", d)
		}
		if real, err := filepath.EvalSymlinks(d); err == nil {
			d = real
		}
		id := fsid
		if i > 0 {
			id = strconv.Itoa(number + i)
		}
		w.list = append(w.list, export{directory: filepath.Clean(d), client: w.client, options: []string{"fsid=" + id}})
	}
	return w, nil
}

func marker(c *native.Call) (string, error) { return c.StateFile("exportfs-" + c.Instance()) }

// exported tells whether all, and whether any, of the wanted exports exist.
func (w wanted) exported(table []export) (all, any bool) {
	all = true
	for _, e := range w.list {
		if slices.ContainsFunc(table, func(x export) bool { return x.directory == e.directory && x.client == e.client }) {
			any = true
		} else {
			all = false
		}
	}
	return all, any
}

func (a exporter) monitor(_ context.Context, c *native.Call) drivers.Result {
	w, err := plan(c)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	path, err := marker(c)
	if err != nil {
		return native.Failed(err)
	}
	there, err := native.Exists(path)
	if err != nil {
		return native.Failed(err)
	}
	if !there {
		return native.NotRunning()
	}
	table, err := a.exports()
	if err != nil {
		return native.Failed(err)
	}
	if all, _ := w.exported(table); !all {
		return native.Fail(drivers.NotRunning, "%s is not exported to %s", c.Params.String("directory"), w.spec)
	}
	if err := a.saveClients(c, w); err != nil {
		return native.Failed(err)
	}
	return native.OK()
}

func (a exporter) start(ctx context.Context, c *native.Call) drivers.Result {
	w, err := plan(c)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	table, err := a.exports()
	if err != nil {
		return native.Failed(err)
	}
	path, err := marker(c)
	if err != nil {
		return native.Failed(err)
	}
	marked, err := native.Exists(path)
	if err != nil {
		return native.Failed(err)
	}
	if all, _ := w.exported(table); all && marked {
		return native.OK()
	}
	for _, e := range w.list {
		for _, x := range table {
			if x.directory != e.directory && x.fsid() != "" && x.fsid() == e.fsid() {
				return native.Fail(drivers.NotConfigured, "fsid %s of %s is already that of the export %s; every export needs one of its own",
					e.fsid(), e.directory, x.directory)
			}
		}
	}
	for _, e := range w.list {
		if _, err := os.Stat(e.directory); errors.Is(err, fs.ErrNotExist) {
			if err := c.Do("mkdir -p "+e.directory, func() error { return os.MkdirAll(e.directory, 0o755) }); err != nil {
				return native.Fail(drivers.NotInstalled, "%v", err)
			}
		}
		options := strings.Trim(c.Params.String("options"), ", ")
		if options != "" {
			options += ","
		}
		if err := c.Change(ctx, "exportfs", "-v", "-o", options+e.options[0], w.spec+":"+e.directory); err != nil {
			// The program may have entered an export that it could not serve.
			_ = c.Change(context.WithoutCancel(ctx), "exportfs", "-u", w.spec+":"+e.directory)
			return native.Failed(err)
		}
	}
	if err := c.WriteState(path, c.Params.String("directory")+"\n"); err != nil {
		return native.Failed(err)
	}
	if err := a.restoreClients(c, w); err != nil {
		return native.Failed(err)
	}
	if c.Dry() {
		return native.OK()
	}
	if table, err = a.exports(); err != nil {
		return native.Failed(err)
	}
	if all, _ := w.exported(table); !all {
		return native.Fail(drivers.GenericError, "exportfs succeeded, but the table of exports does not show %s for %s "+
			"(a host name must be given as its canonical name)", c.Params.String("directory"), w.spec)
	}
	return native.OK()
}

func (a exporter) stop(ctx context.Context, c *native.Call) drivers.Result {
	w, err := plan(c)
	if err != nil {
		return native.OK() // with such parameters nothing can have been exported
	}
	path, err := marker(c)
	if err != nil {
		return native.Failed(err)
	}
	table, err := a.exports()
	if err != nil {
		return native.Failed(err)
	}
	marked, err := native.Exists(path)
	if err != nil {
		return native.Failed(err)
	}
	if _, any := w.exported(table); !any || !marked {
		return native.Failed(c.Remove(path))
	}
	if err := a.saveClients(c, w); err != nil {
		return native.Failed(err)
	}
	for _, e := range w.list {
		if _, any := (wanted{list: []export{e}}).exported(table); !any {
			continue
		}
		if err := c.Change(ctx, "exportfs", "-u", w.spec+":"+e.directory); err != nil {
			return native.Failed(err)
		}
	}
	if c.Params.Bool("unlock_on_stop") {
		a.unlock(c, w)
	}
	if c.Params.Bool("wait_for_leasetime_on_stop") && !c.Dry() {
		if lease, err := a.leaseTime(); err == nil {
			c.Waiting("the lease time of %v to pass", lease)
			if err := native.Sleep(ctx, lease+2*second); err != nil {
				return native.Failed(err)
			}
		}
	}
	if err := a.flush(ctx, c, w); err != nil {
		return native.Failed(err)
	}
	if !c.Dry() {
		if table, err = a.exports(); err != nil {
			return native.Failed(err)
		}
		if _, any := w.exported(table); any {
			return native.Fail(drivers.GenericError, "%s is still exported to %s", c.Params.String("directory"), w.spec)
		}
	}
	return native.Failed(c.Remove(path))
}

// unlock makes the kernel drop the locks of clients. Without a running
// server there are none.
func (a exporter) unlock(c *native.Call, w wanted) {
	file := filepath.Join(a.nfsd, "unlock_filesystem")
	if _, err := os.Stat(file); err != nil {
		return
	}
	for _, e := range w.list {
		// A failure shows when the file system cannot be unmounted, with a
		// better reason than could be given here.
		_ = c.Do("echo "+e.directory+" > "+file, func() error { return os.WriteFile(file, []byte(e.directory+"\n"), 0o200) })
	}
}

func (a exporter) leaseTime() (time.Duration, error) {
	raw, err := os.ReadFile(filepath.Join(a.nfsd, "nfsv4leasetime"))
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	return time.Duration(n) * second, err
}

// flush empties the kernel's cache of exports until nothing of ours is left:
// a cached export keeps its file system busy.
func (a exporter) flush(ctx context.Context, c *native.Call, w wanted) error {
	cached := func() bool {
		raw, err := os.ReadFile(filepath.Join(a.rpc, "nfsd.export", "content"))
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(raw)) {
			directory, _, _ := strings.Cut(strings.TrimLeft(line, "# "), "\t")
			for _, e := range w.list {
				if unescape(strings.Fields(directory + " ")[0]) == e.directory {
					return true
				}
			}
		}
		return false
	}
	for cached() {
		c.Waiting("the kernel to forget the export")
		if err := c.Change(ctx, "exportfs", "-f"); err != nil {
			return err
		}
		if c.Dry() {
			return nil
		}
		if !cached() {
			break
		}
		if err := native.Sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// clientFile is where the list of clients of a folder is kept; "" for none.
func clientFile(c *native.Call, directory string) string {
	name := c.Params.String("rmtab_backup")
	if name == "none" || name == "" {
		return ""
	}
	return filepath.Join(directory, name)
}

// saveClients copies the clients of the folders from the list of all clients
// to the folders themselves, where they move along.
func (a exporter) saveClients(c *native.Call, w wanted) error {
	raw, err := os.ReadFile(filepath.Join(a.state, "rmtab"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range w.list {
		file := clientFile(c, e.directory)
		if file == "" {
			continue
		}
		var mine strings.Builder
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, ":"+e.directory+":") {
				mine.WriteString(line)
			}
		}
		old, err := os.ReadFile(file)
		if string(old) == mine.String() && (err == nil || mine.Len() == 0) {
			continue
		}
		if err := c.WriteState(file, mine.String()); errors.Is(err, fs.ErrPermission) || err != nil && strings.Contains(err.Error(), "read-only") {
			continue // a read-only export has no clients that write
		} else if err != nil {
			return err
		}
	}
	return nil
}

// restoreClients adds the kept clients to the list of all.
func (a exporter) restoreClients(c *native.Call, w wanted) error {
	file := filepath.Join(a.state, "rmtab")
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	lines := strings.Fields(string(raw))
	before := len(lines)
	for _, e := range w.list {
		kept := clientFile(c, e.directory)
		if kept == "" {
			continue
		}
		text, err := os.ReadFile(kept)
		if err != nil {
			continue // never exported before
		}
		for _, line := range strings.Fields(string(text)) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == before {
		return nil
	}
	return c.WriteState(file, strings.Join(lines, "\n")+"\n")
}
