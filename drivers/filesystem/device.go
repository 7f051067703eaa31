package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// target is what the parameters say, with the kind of file system derived.
type target struct {
	device    string // as configured; a path for UUID= and LABEL= once resolved
	byName    bool   // device was given as UUID or label
	directory string // canonical
	fstype    string
	options   mountOptions
	raw       string // options as configured
	block     bool   // on a block device of its own
	network   bool
	bind      bool
}

// Types that lie on no block device of their own.
var noBlock = []string{"nfs", "nfs4", "aznfs", "efs", "cifs", "smbfs", "smb3", "none", "glusterfs", "ceph", "tmpfs", "ramfs",
	"overlay", "overlayfs", "zfs", "cvfs", "lustre", "rozofs", "9p", "virtiofs", "fuse.sshfs"}

// Types reached through the network: they may be unmounted by force, and
// looking at their files may hang.
var network = []string{"nfs", "nfs4", "aznfs", "efs", "cifs", "smbfs", "smb3", "glusterfs", "ceph", "lustre", "fuse.sshfs"}

// Types that only one node may have mounted.
var singleNode = []string{"ext2", "ext3", "ext4", "ext4dev", "xfs", "jfs", "reiserfs", "reiser4", "btrfs", "f2fs", "vfat", "fat", "ntfs", "ntfs3", "nss"}

// Types that need no fsck before mounting: journaling, cluster, network.
var noCheck = []string{"ext4", "ext4dev", "ext3", "reiserfs", "reiser4", "nss", "xfs", "jfs", "vfat", "fat", "nfs4", "nfs", "efs", "cifs", "smbfs",
	"ocfs2", "gfs2", "none", "lustre", "glusterfs", "ceph", "tmpfs", "overlay", "overlayfs", "rozofs", "zfs", "cvfs", "btrfs", "f2fs"}

// read takes the parameters apart.
func read(c *native.Call) (target, error) {
	v := c.Params
	t := target{device: v.String("device"), directory: v.String("directory"), fstype: v.String("fstype"), raw: v.String("options")}
	for name, s := range map[string]string{"device": t.device, "directory": t.directory} {
		if s != strings.TrimSpace(s) {
			return t, fmt.Errorf("parameter %s: %q begins or ends with a blank", name, s)
		}
	}
	if !filepath.IsAbs(t.directory) {
		return t, fmt.Errorf("parameter directory: %q is not an absolute path", t.directory)
	}
	t.directory = canonical(t.directory)
	if t.directory == "/" {
		return t, errors.New("parameter directory: / cannot be a resource")
	}
	var err error
	if t.options, err = parseOptions(t.raw); err != nil {
		return t, err
	}
	t.bind = t.options.bind
	t.network = slices.Contains(network, t.fstype)
	t.block = !slices.Contains(noBlock, t.fstype) && !t.options.loop && !t.bind
	if kind, name, ok := namedDevice(t.device); ok {
		t.byName = true
		t.device = filepath.Join("/dev/disk/by-"+kind, udevName(name))
	} else if st, err := os.Stat(t.device); err == nil && st.IsDir() && !t.network {
		t.block = false // a folder can only be bound
		if t.fstype == "none" {
			t.bind = true
		}
	}
	return t, nil
}

// canonical resolves links as far as the path exists.
func canonical(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir, base := filepath.Split(path)
	if dir = filepath.Clean(dir); dir == path {
		return path
	}
	return filepath.Join(canonical(dir), base)
}

// namedDevice reads the forms in which a device is given by UUID or label.
func namedDevice(s string) (kind, name string, ok bool) {
	for _, f := range []struct{ prefix, kind string }{
		{"-U", "uuid"}, {"--uuid=", "uuid"}, {"--uuid ", "uuid"}, {"UUID=", "uuid"},
		{"-L", "label"}, {"--label=", "label"}, {"--label ", "label"}, {"LABEL=", "label"},
		{"PARTUUID=", "partuuid"}, {"PARTLABEL=", "partlabel"},
	} {
		if rest, found := strings.CutPrefix(s, f.prefix); found {
			return f.kind, strings.Trim(strings.TrimSpace(rest), `"`), true
		}
	}
	return "", "", false
}

// udevName writes a label as udev writes it in link names.
func udevName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		ch := s[i]
		if ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || ch >= 0x80 || strings.IndexByte("#+-.:=@_", ch) >= 0 {
			b.WriteByte(ch)
		} else {
			fmt.Fprintf(&b, `\x%02x`, ch)
		}
	}
	return b.String()
}

// same tells whether a mount is that of the target's device. For types
// without a block device the mount point says it all.
func (t target) same(m mount) bool {
	if t.options.loop {
		raw, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/loop/backing_file", m.major, m.minor))
		return err == nil && canonical(strings.TrimSpace(string(raw))) == canonical(t.device)
	}
	if !t.block {
		return true
	}
	a, err := filepath.EvalSymlinks(t.device)
	if err != nil {
		a = t.device
	}
	b, err := filepath.EvalSymlinks(m.source)
	if err != nil {
		b = m.source
	}
	if a == b {
		return true
	}
	var st unix.Stat_t
	if err := unix.Stat(t.device, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return unix.Major(st.Rdev) == m.major && unix.Minor(st.Rdev) == m.minor
	}
	// A device that cannot be looked at: by name nothing can be compared.
	return t.byName
}

// present makes sure that the device is there, giving udev a moment.
func (t target) present(ctx context.Context, c *native.Call) drivers.Result {
	if t.network || !t.block && !t.bind && !t.options.loop {
		return native.OK()
	}
	look := func() (fs.FileInfo, error) { return os.Stat(t.device) }
	st, err := look()
	if errors.Is(err, fs.ErrNotExist) && t.block {
		if _, toolErr := c.Tool("udevadm"); toolErr == nil {
			c.Waiting("device %s to appear", t.device)
			settle, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, _ = c.Ask(settle, "udevadm", "settle", "--exit-if-exists="+t.device)
			cancel()
			st, err = look()
		}
	}
	switch {
	case err != nil:
		return native.Fail(drivers.NotInstalled, "device %s is not on %s: %v", t.device, c.Node.Name, errors.Unwrap(err))
	case t.block && st.Mode()&fs.ModeDevice == 0:
		return native.Fail(drivers.NotInstalled, "%s is not a block device (a file needs the option loop, a folder the option bind)", t.device)
	case t.options.loop && !st.Mode().IsRegular():
		return native.Fail(drivers.NotInstalled, "%s is not a file that could become a loop device", t.device)
	}
	return native.OK()
}

// supported makes sure that the kernel knows the type, loading its module.
func (t target) supported(ctx context.Context, c *native.Call) drivers.Result {
	if t.bind || t.fstype == "none" || t.fstype == "" || t.fstype == "auto" || helper(t.fstype) != "" {
		return native.OK()
	}
	known := func() bool { return slices.Contains(kernelTypes(), t.fstype) }
	if known() {
		return native.OK()
	}
	if err := c.Change(ctx, "modprobe", t.fstype); err != nil || !c.Dry() && !known() {
		return native.Fail(drivers.NotInstalled, "this kernel has no file system type %s and no module for it (%v)", t.fstype, err)
	}
	return native.OK()
}

func kernelTypes() []string {
	raw, _ := os.ReadFile("/proc/filesystems")
	var out []string
	for line := range bytes.Lines(raw) {
		f := strings.Fields(string(line))
		if len(f) > 0 {
			out = append(out, f[len(f)-1])
		}
	}
	return out
}

// blockTypes are the types the kernel can try on a device of unknown content.
func blockTypes() []string {
	raw, _ := os.ReadFile("/proc/filesystems")
	var out []string
	for line := range bytes.Lines(raw) {
		if f := strings.Fields(string(line)); len(f) == 1 {
			out = append(out, f[0])
		}
	}
	return out
}

// helper is the program that mounts a type, if the type has one: then the
// kernel alone cannot mount it as administrators expect.
func helper(fstype string) string {
	for _, dir := range []string{"/sbin", "/usr/sbin"} {
		p := filepath.Join(dir, "mount."+fstype)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}
