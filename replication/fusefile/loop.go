package fusefile

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// AttachLoop makes a loop device of a file and gives its path. block is the size
// of its logical blocks, in bytes.
func AttachLoop(path string, block uint32) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("loop devices are not there: %w", err)
	}
	defer control.Close()
	// Not with package os: it would have the kernel poll the file, which asks this
	// very process, while the runtime waits for the answer.
	file, err := unix.Open(path, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(file)
	for range 64 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("no free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		if err := makeNode(name, n); err != nil {
			return "", err
		}
		loop, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		var info unix.LoopInfo64
		copy(info.File_name[:], path)
		info.Flags = unix.LO_FLAGS_DIRECT_IO
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{Fd: uint32(file), Size: block, Info: info})
		if errors.Is(err, unix.EINVAL) {
			// A block size that the file does not take.
			err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{Fd: uint32(file), Info: info})
		}
		loop.Close()
		if errors.Is(err, unix.EBUSY) {
			continue // somebody was faster
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		return name, nil
	}
	return "", errors.New("no free loop device")
}

// makeNode makes the node of a loop device where nobody else does.
func makeNode(name string, n int) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make %s: %w", name, err)
	}
	return nil
}

// ErrInUse says that somebody has a loop device open or mounted.
var ErrInUse = errors.New("the device is in use")

// DetachLoop takes a loop device away unless it is in use.
func DetachLoop(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: %w", name, ErrInUse)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// AbandonLoop takes a loop device away whose file is dead. If somebody still uses it, it
// goes when that ends, and FindLoop does not find it any more.
func AbandonLoop(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// ResizeLoop makes a loop device as large as its file has become.
func ResizeLoop(name, path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil { // the kernel learns the new size
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("%s: new size: %w", name, err)
	}
	return nil
}

// FindLoop gives the loop device of a file, empty without one.
func FindLoop(path string) string {
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		return ""
	}
	for _, e := range entries {
		dir := "/sys/block/" + e.Name() + "/loop/"
		if b, err := os.ReadFile(dir + "autoclear"); err == nil && strings.TrimSpace(string(b)) == "1" {
			continue // given up already
		}
		b, err := os.ReadFile(dir + "backing_file")
		if err == nil && len(b) > 0 && string(b[:len(b)-1]) == path {
			return "/dev/" + e.Name()
		}
	}
	return ""
}
