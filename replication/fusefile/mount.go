package fusefile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount puts the file over path, which is made if it does not exist.
func Mount(path, name string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	channel, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("FUSE is not there: %w", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=100600,user_id=%d,group_id=%d,allow_other,default_permissions", channel.Fd(), os.Getuid(), os.Getgid())
	if err := unix.Mount(name, path, "fuse.gcrm", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		channel.Close()
		return nil, fmt.Errorf("mount on %s: %w", path, err)
	}
	return channel, nil
}

// Unmount takes the file away. With force it goes even while it is in use; whoever
// uses it gets errors.
func Unmount(path string, force bool) error {
	flags := 0
	if force {
		flags = unix.MNT_DETACH | unix.MNT_FORCE
	}
	if err := unix.Unmount(path, flags); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}
