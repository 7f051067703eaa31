package check

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// This is the host that the program runs on.
type This struct{}

// ReadFile implements Host.
func (This) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Exists implements Host.
func (This) Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Glob implements Host.
func (This) Glob(pattern string) []string {
	list, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	return list
}

// commandLimit bounds a command.
const commandLimit = 30 * time.Second

// Run implements Host.
func (This) Run(ctx context.Context, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	return string(out), err
}

// Listen implements Host.
func (This) Listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	return p.Close()
}

// Resolve implements Host.
func (This) Resolve(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupHost(ctx, name)
}

// ClockSynchronized implements Host.
func (This) ClockSynchronized() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, errors.New("the kernel does not tell of its clock")
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

// Free implements Host.
func (This) Free(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
