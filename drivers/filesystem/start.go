package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// situation is what the mount table says about the target.
type situation struct {
	table  []mount
	at     mount // what is mounted at the directory
	any    bool  // something is
	ours   bool  // and it is the target
	buried bool  // the target is mounted there, but something lies above it
}

func look(t target) (situation, error) {
	table, err := mounts()
	if err != nil {
		return situation{}, err
	}
	s := situation{table: table}
	s.at, s.any = top(table, t.directory)
	s.ours = s.any && t.same(s.at)
	if s.any && !s.ours {
		for _, m := range table {
			s.buried = s.buried || m.point == t.directory && t.same(m)
		}
	}
	return s, nil
}

func start(ctx context.Context, c *native.Call) drivers.Result {
	t, err := read(c)
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	s, err := look(t)
	if err != nil {
		return native.Failed(err)
	}
	switch {
	case s.ours:
		return native.OK()
	case s.any:
		return native.Fail(drivers.GenericError, "%s is mounted on %s; it must be unmounted before %s can be", s.at.source, t.directory, t.device)
	}
	if under := below(s.table, t.directory); len(under) > 0 {
		return native.Fail(drivers.NotConfigured, "%s is mounted on %s, below the mount point %s; mounting would hide it",
			under[0].source, under[0].point, t.directory)
	}
	for _, ready := range []func(context.Context, *native.Call) drivers.Result{t.supported, t.present, t.lockManager, t.checked, t.mountPoint} {
		if res := ready(ctx, c); res.RC != drivers.OK {
			return res
		}
	}
	if err := t.mount(ctx, c); err != nil {
		return mountFailure(t, err)
	}
	if ctx.Err() != nil {
		// The call was caught in the kernel and the cluster has given up on
		// it: what it did late must not stay.
		_ = c.Do("umount "+t.directory, func() error { return unix.Unmount(t.directory, unix.UMOUNT_NOFOLLOW) })
		return native.Failed(ctx.Err())
	}
	if c.Dry() {
		return native.OK()
	}
	if s, err = look(t); err != nil {
		return native.Failed(err)
	}
	if !s.ours {
		return native.Fail(drivers.GenericError, "mount of %s on %s succeeded, but the mount table does not show it", t.device, t.directory)
	}
	return t.addJournals(ctx, c)
}

// checked runs fsck where it is asked for or needed.
func (t target) checked(ctx context.Context, c *native.Call) drivers.Result {
	mode := c.Params.String("run_fsck")
	if !t.block || mode == "no" || mode != "force" && slices.Contains(noCheck, t.fstype) {
		return native.OK()
	}
	argv := []string{"fsck", "-p", t.device}
	if t.fstype != "" && t.fstype != "auto" {
		argv = []string{"fsck", "-t", t.fstype, "-p", t.device}
	}
	c.Waiting("fsck of %s", t.device)
	err := c.Change(ctx, argv...)
	var exit *native.ExitError
	if errors.As(err, &exit) && exit.Outcome.Code > 0 && exit.Outcome.Code < 4 {
		return native.OK() // errors were found and corrected
	}
	if err != nil {
		res := native.Failed(err)
		if res.RC == drivers.GenericError {
			res.Reason = fmt.Sprintf("file system check of %s: %s; check it by hand", t.device, res.Reason)
		}
		return res
	}
	return native.OK()
}

// mountPoint creates the directory.
func (t target) mountPoint(_ context.Context, c *native.Call) drivers.Result {
	st, err := os.Stat(t.directory)
	if err == nil && (st.IsDir() || t.bind && !st.IsDir()) {
		return native.OK()
	}
	if err == nil {
		return native.Fail(drivers.NotInstalled, "mount point %s is not a folder", t.directory)
	}
	if err := c.Do("mkdir -p "+t.directory, func() error { return os.MkdirAll(t.directory, 0o755) }); err != nil {
		return native.Fail(drivers.NotInstalled, "mount point: %v", err)
	}
	return native.OK()
}

func (t target) mount(ctx context.Context, c *native.Call) error {
	switch {
	case t.bind:
		return t.mountBind(c)
	case t.fstype != "" && (t.network || helper(t.fstype) != ""):
		argv := []string{"mount", "-t", t.fstype}
		if t.raw != "" {
			argv = append(argv, "-o", strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(t.raw), "-o")))
		}
		c.Waiting("mount of %s", t.device)
		return c.Change(ctx, append(argv, t.device, t.directory)...)
	}
	device := t.device
	if t.options.loop {
		path, detach, err := attachLoop(c, t)
		if err != nil {
			return err
		}
		defer detach() // the mount keeps it; without one it is gone
		device = path
	}
	return t.mountType(c, device)
}

// mountType mounts by system call; an open type is found by trying.
func (t target) mountType(c *native.Call, device string) error {
	types := []string{t.fstype}
	if t.fstype == "" || t.fstype == "auto" {
		types = blockTypes()
	}
	data := strings.Join(t.options.data, ",")
	var err error
	for _, fstype := range types {
		what := strings.TrimSpace(fmt.Sprintf("mount -t %s %s", fstype, dashO(t.raw))) + " " + device + " " + t.directory
		err = c.Do(what, func() error { return unix.Mount(device, t.directory, fstype, t.options.flags, data) })
		if !errors.Is(err, unix.EINVAL) {
			break
		}
	}
	if err != nil || t.options.propagation == 0 {
		return err
	}
	return t.propagate(c)
}

func (t target) propagate(c *native.Call) error {
	return c.Do("change mount propagation of "+t.directory, func() error {
		return unix.Mount("", t.directory, "", t.options.propagation, "")
	})
}

// mountBind binds a folder; other options take effect only by a remount.
func (t target) mountBind(c *native.Call) error {
	flags, word := uintptr(unix.MS_BIND), "--bind"
	if t.options.recursive {
		flags, word = flags|unix.MS_REC, "--rbind"
	}
	err := c.Do(fmt.Sprintf("mount %s %s %s", word, t.device, t.directory), func() error {
		return unix.Mount(t.device, t.directory, "", flags, "")
	})
	if err != nil {
		return err
	}
	if t.options.flags != 0 {
		err = c.Do(fmt.Sprintf("mount -o remount,bind,%s %s", t.raw, t.directory), func() error {
			return unix.Mount("", t.directory, "", unix.MS_REMOUNT|unix.MS_BIND|t.options.flags, "")
		})
		if err != nil {
			// Never leave it writable when read-only was asked for.
			_ = unix.Unmount(t.directory, unix.UMOUNT_NOFOLLOW)
			return err
		}
	}
	if t.options.propagation != 0 {
		return t.propagate(c)
	}
	return nil
}

func dashO(options string) string {
	if options == "" {
		return ""
	}
	return "-o " + options
}

// mountFailure explains the errors of mount(2), which are terse.
func mountFailure(t target, err error) drivers.Result {
	res := native.Failed(err)
	switch {
	case t.isGFS2():
		if fs, readErr := t.readShared(); readErr == nil {
			res.Reason += fmt.Sprintf(" (%s has %d journals, one is needed for each node that mounts it: gfs2_jadd -j N %s on a node that has it mounted adds some; see also the kernel log)",
				t.device, fs.journals, t.directory)
		}
	case errors.Is(err, unix.EINVAL):
		res.Reason += fmt.Sprintf(" (%s has no %s file system, or an option is wrong; see the kernel log)", t.device, t.fstype)
	case errors.Is(err, unix.EBUSY):
		res.Reason += fmt.Sprintf(" (%s is in use, perhaps mounted elsewhere or part of a volume group or mirror)", t.device)
	case errors.Is(err, unix.EROFS):
		res.Reason += fmt.Sprintf(" (%s cannot be written; is it a secondary?)", t.device)
	case errors.Is(err, unix.ENODEV):
		res.RC = drivers.NotInstalled
		res.Reason += fmt.Sprintf(" (this kernel has no file system type %s)", t.fstype)
	case errors.Is(err, unix.EUCLEAN):
		res.Reason += " (the file system is damaged; check it by hand)"
	}
	return res
}
