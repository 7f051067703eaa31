package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

func monitor(ctx context.Context, c *native.Call) drivers.Result {
	t, err := read(c)
	if err != nil {
		if c.Probe() {
			return native.Fail(drivers.NotRunning, "%v", err)
		}
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	s, err := look(t)
	if err != nil {
		return native.Failed(err)
	}
	switch {
	case !s.any:
		return native.NotRunning()
	case !s.ours && s.buried:
		return native.Fail(drivers.GenericError, "%s is mounted on %s above %s", s.at.source, t.directory, t.device)
	case !s.ours && c.Probe():
		return native.Fail(drivers.NotRunning, "%s is mounted on %s, not %s", s.at.source, t.directory, t.device)
	case !s.ours:
		return native.Fail(drivers.GenericError, "%s is mounted on %s instead of %s", s.at.source, t.directory, t.device)
	}
	if res := t.withdrawal(ctx, c); res.RC != drivers.OK && !c.Probe() {
		return res
	}
	level, err := c.Level()
	if err != nil {
		return native.Fail(drivers.NotConfigured, "%v", err)
	}
	switch level {
	case 0:
		return native.OK()
	case 10:
		c.Waiting("a read of %s", t.device)
		err = readable(t)
	case 20:
		c.Waiting("a write below %s", t.directory)
		err = writable(c, t)
	default:
		return native.Fail(drivers.NotConfigured, "OCF_CHECK_LEVEL %d is not supported: use 0, 10 (read) or 20 (write)", level)
	}
	return native.Failed(err)
}

// blockSize is how much the deeper checks read and write.
const blockSize = 4096

// aligned returns a block that direct I/O can use.
func aligned() []byte {
	buf := make([]byte, 2*blockSize)
	off := blockSize - int(uintptr(unsafe.Pointer(&buf[0]))%blockSize)
	return buf[off%blockSize:][:blockSize]
}

// readable reads the device past the caches; nothing to do without one.
func readable(t target) error {
	if !t.block {
		return nil
	}
	f, err := os.OpenFile(t.device, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return fmt.Errorf("device %s cannot be read: %w", t.device, err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, aligned()); err != nil {
		return fmt.Errorf("device %s cannot be read: %w", t.device, err)
	}
	return nil
}

func statusFile(c *native.Call, t target) string {
	return filepath.Join(t.directory, c.Params.String("statusfile_prefix")+c.Instance()+"_"+c.Node.Name)
}

// writable writes a file on the file system and reads it back.
func writable(c *native.Call, t target) error {
	path := statusFile(c, t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("status file: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_SYNC
	f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) || t.network { // no direct I/O here
		if err == nil {
			f.Close()
		}
		f, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return fmt.Errorf("status file cannot be written: %w", err)
	}
	block := aligned()
	copy(block, c.Resource+"\n")
	_, err = f.Write(block)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("status file cannot be written: %w", err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("status file cannot be read: %w", err)
	}
	if !bytes.Equal(got, block) {
		return fmt.Errorf("status file %s has not what was written to it", path)
	}
	return nil
}
