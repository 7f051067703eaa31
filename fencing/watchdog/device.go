// Package watchdog lets a node reset itself when it cannot be sure any more
// that it may go on: [Device] is the kernel's timer that resets the machine
// unless it is fed, [Guard] the rule by which it is fed.
package watchdog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcrm/fencing"
)

// Requests of the kernel's watchdog interface.
const (
	getSupport = 0x80285700
	setOptions = 0x80045704
	setTimeout = 0xC0045706
	disable    = 1
)

// Device is an armed watchdog: from its opening on the machine is reset when
// it is not fed in time, also when this program dies.
type Device struct {
	w       io.WriteCloser
	ioctl   func(request uint, arg unsafe.Pointer) error
	timeout time.Duration
	name    string
}

// Open arms a watchdog (/dev/watchdog) with a timeout, in whole seconds.
func Open(path string, timeout time.Duration) (*Device, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		hint := ""
		switch {
		case errors.Is(err, os.ErrNotExist):
			hint = "load the driver of the hardware's watchdog, or softdog"
		case errors.Is(err, unix.EBUSY):
			hint = "another program has it: systemd (RuntimeWatchdogSec), sbd or watchdog"
		}
		return nil, &fencing.Error{Op: "arm", On: path, Err: err, Hint: hint}
	}
	return arm(f, func(request uint, arg unsafe.Pointer) error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(arg)); e != 0 {
			return e
		}
		return nil
	}, path, timeout)
}

// arm sets the timeout. A watchdog that does not take it is let go, as far as
// it allows that.
func arm(w io.WriteCloser, ioctl func(uint, unsafe.Pointer) error, path string, timeout time.Duration) (*Device, error) {
	d := &Device{w: w, ioctl: ioctl, name: path}
	seconds := int32(max(1, timeout/time.Second))
	if err := ioctl(setTimeout, unsafe.Pointer(&seconds)); err != nil {
		return nil, errors.Join(&fencing.Error{Op: "set the timeout of", On: path, Err: err}, d.Disarm())
	}
	d.timeout = time.Duration(seconds) * time.Second
	if d.timeout > timeout {
		return nil, errors.Join(&fencing.Error{Op: "set the timeout of", On: path,
			Err:  fmt.Errorf("it grants %s instead of %s", d.timeout, timeout),
			Hint: "set stonith-watchdog-timeout to at least twice what it can do"}, d.Disarm())
	}
	var info struct {
		options, firmware uint32
		identity          [32]byte
	}
	if ioctl(getSupport, unsafe.Pointer(&info)) == nil {
		n := 0
		for n < len(info.identity) && info.identity[n] != 0 {
			n++
		}
		d.name = string(info.identity[:n])
	}
	return d, d.Feed()
}

// Timeout is what the watchdog granted.
func (d *Device) Timeout() time.Duration { return d.timeout }

// Name is what the watchdog calls itself.
func (d *Device) Name() string { return d.name }

var food = []byte{'.'}

// Feed starts the time anew. It allocates nothing.
func (d *Device) Feed() error {
	_, err := d.w.Write(food)
	return err
}

// Disarm lets the machine live without being fed. Watchdogs that are built not
// to be stopped reset it all the same.
func (d *Device) Disarm() error {
	option := int32(disable)
	_ = d.ioctl(setOptions, unsafe.Pointer(&option)) // not all have it; the letter is what counts
	_, err := d.w.Write([]byte{'V'})
	return errors.Join(err, d.w.Close())
}
