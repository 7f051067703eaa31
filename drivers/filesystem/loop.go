package filesystem

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"gcrm/drivers/native"
)

// attachLoop makes a loop device of the target's file. It detaches itself
// when its last user is gone: call detach after mounting.
func attachLoop(c *native.Call, t target) (path string, detach func(), err error) {
	file, err := os.OpenFile(t.device, openMode(t), 0)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	what := "losetup --find " + t.device
	path = "/dev/loopN"
	var device *os.File
	err = c.Do(what, func() error {
		for range 20 { // another program may take the free one first
			if path = t.options.loopDevice; path == "" {
				if path, err = freeLoop(); err != nil {
					return err
				}
			}
			if device, err = os.OpenFile(path, openMode(t), 0); err != nil {
				return err
			}
			err = unix.IoctlLoopConfigure(int(device.Fd()), loopConfig(file, t))
			if err == nil {
				return nil
			}
			device.Close()
			if !errors.Is(err, unix.EBUSY) || t.options.loopDevice != "" {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return fmt.Errorf("%s: %w", path, err)
	})
	if err != nil {
		return "", nil, err
	}
	return path, func() {
		if device != nil {
			device.Close()
		}
	}, nil
}

func openMode(t target) int {
	if t.options.readOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}

func freeLoop() (string, error) {
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer ctl.Close()
	n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", fmt.Errorf("no free loop device: %w", err)
	}
	return fmt.Sprintf("/dev/loop%d", n), nil
}

func loopConfig(file *os.File, t target) *unix.LoopConfig {
	cfg := &unix.LoopConfig{Fd: uint32(file.Fd())}
	cfg.Info.Offset, cfg.Info.Sizelimit = t.options.offset, t.options.size
	cfg.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
	if t.options.readOnly {
		cfg.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	copy(cfg.Info.File_name[:len(cfg.Info.File_name)-1], t.device)
	return cfg
}
