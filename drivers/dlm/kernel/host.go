package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host are the files of this machine.
type Host struct{}

// Mkdir makes a folder, which in configfs makes an object.
func (Host) Mkdir(path string) error { return os.Mkdir(path, 0o755) }

// Rmdir removes a folder with the attributes in it.
func (Host) Rmdir(path string) error {
	if err := syscall.Rmdir(path); err != nil {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

// Write writes an attribute.
func (Host) Write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return nil
}

// Read reads an attribute.
func (Host) Read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	return string(b), err
}

// List returns the folders in a folder: attributes are files.
func (Host) List(path string) ([]string, error) {
	list, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// OpenDevice opens one of the lock manager's misc devices (dlm-monitor,
// dlm-control, dlm_plock). Programs look for them below /dev/misc, where a
// udev rule links them; a missing link is made.
func OpenDevice(name string, flags int) (*os.File, error) {
	path := filepath.Join("/dev", name)
	f, err := os.OpenFile(path, flags|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("device of the lock manager: %w", err)
	}
	if err := linkBelow("/dev/misc", name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// linkBelow makes the link of a device, unless there is one: udev may make it at the
// same moment, where the lock manager was loaded just now.
func linkBelow(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Symlink("../"+name, filepath.Join(dir, name)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Event is the kernel's wish for a lockspace: to join (Online) or to leave.
// The program that caused it sleeps until it is answered.
type Event struct {
	Online bool
	Space  string
}

// Events are the uevents of the lock manager.
type Events struct {
	file   *os.File
	closed atomic.Bool
}

// OpenEvents listens to the kernel. It has to be before this node's own
// address is set: a wish that is not heard hangs its program for good.
func OpenEvents() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("uevents of the kernel: %w", err)
	}
	const room = 2 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("uevents of the kernel: %w", err)
	}
	return &Events{file: os.NewFile(uintptr(fd), "uevents")}, nil
}

// Close ends Next with os.ErrClosed.
func (e *Events) Close() error {
	e.closed.Store(true)
	return e.file.Close()
}

// Next waits for the next event of the lock manager.
func (e *Events) Next() (Event, error) {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return Event{}, err
	}
	buf := make([]byte, 16<<10)
	for {
		var n int
		var from unix.Sockaddr
		var failure error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failure, unix.EAGAIN)
		})
		if err == nil {
			err = failure
		}
		if e.closed.Load() {
			err = os.ErrClosed
		}
		if err != nil {
			return Event{}, fmt.Errorf("uevents of the kernel: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // a program pretends to be the kernel
		}
		if event, ok := ParseEvent(buf[:n]); ok {
			return event, nil
		}
	}
}

// ParseEvent reads a uevent; ok is false for one of somebody else, and for the
// steps that need no answer.
func ParseEvent(message []byte) (e Event, ok bool) {
	values := map[string]string{}
	for part := range bytes.SplitSeq(message, []byte{0}) {
		if k, v, ok := strings.Cut(string(part), "="); ok {
			values[k] = v
		}
	}
	e = Event{Online: values["ACTION"] == "online", Space: values["LOCKSPACE"]}
	return e, values["SUBSYSTEM"] == "dlm" && e.Space != "" && (e.Online || values["ACTION"] == "offline")
}
