package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"gcrm/drivers/dlm/plock"
	"gcrm/drivers/process"
)

// Machine is the lock manager of this host with its events and devices.
type Machine struct {
	Host
	events *Events
	plocks *os.File
}

// Open loads the lock manager's module, mounts configfs, and opens what the
// kernel asks through. It has to come before Prepare.
func Open(ctx context.Context) (*Machine, error) {
	if err := load(ctx); err != nil {
		return nil, err
	}
	events, err := OpenEvents()
	if err != nil {
		return nil, err
	}
	plocks, err := OpenDevice("dlm_plock", os.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		events.Close()
		return nil, err
	}
	// Programs that make lockspaces of their own look for it where a udev rule
	// would have linked it.
	control, err := OpenDevice("dlm-control", os.O_RDWR)
	if err != nil {
		events.Close()
		plocks.Close()
		return nil, err
	}
	control.Close()
	return &Machine{events: events, plocks: plocks}, nil
}

// load makes the lock manager available.
func load(ctx context.Context) error {
	const configfs = "/sys/kernel/config"
	var st unix.Statfs_t
	if err := unix.Statfs(configfs, &st); err != nil || st.Type != configfsMagic {
		if err := modprobe(ctx, "configfs"); err != nil {
			return err
		}
		if err := unix.Mount("configfs", configfs, "configfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount configfs on %s: %w", configfs, err)
		}
	}
	if there(configRoot) {
		return nil
	}
	if err := modprobe(ctx, "dlm"); err != nil {
		return err
	}
	if !there(configRoot) {
		return fmt.Errorf("the kernel's lock manager has no %s", configRoot)
	}
	return nil
}

const configfsMagic = 0x62656570

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// modprobe loads a module; one that is part of the kernel is there already.
func modprobe(ctx context.Context, module string) error {
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		path := filepath.Join(dir, "modprobe")
		if !there(path) {
			continue
		}
		if out := process.Run(ctx, process.Command{Path: path, Args: []string{module}}); out.Err != nil || out.Code != 0 {
			return fmt.Errorf("this kernel has no module %s: %s (kernels for virtual machines in clouds often leave it out; install the distribution's full kernel)",
				module, strings.TrimSpace(out.Stderr))
		}
		return nil
	}
	return fmt.Errorf("the module %s cannot be loaded: modprobe is not installed", module)
}

// Monitor opens the monitor device. The kernel stops all lockspaces at once
// when the last one who has it open closes it, or dies.
func (m *Machine) Monitor() (release func(), err error) {
	f, err := OpenDevice("dlm-monitor", os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Next waits for a uevent.
func (m *Machine) Next() (Event, error) { return m.events.Next() }

// ReadRecord waits for a program's lock request.
func (m *Machine) ReadRecord() (plock.Record, error) {
	b := make([]byte, plock.RecordSize)
	n, err := m.plocks.Read(b)
	if err != nil {
		return plock.Record{}, fmt.Errorf("requests for POSIX locks: %w", err)
	}
	return plock.Parse(b[:n])
}

// WriteRecord answers it.
func (m *Machine) WriteRecord(r plock.Record) error {
	_, err := m.plocks.Write(r.Append(nil))
	return err
}

// Close ends Next and ReadRecord.
func (m *Machine) Close() error { return errors.Join(m.events.Close(), m.plocks.Close()) }
