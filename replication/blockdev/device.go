package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SectorSize is the unit of places and sizes, in bytes.
const SectorSize = 512

// ErrBusy says that another process holds the device.
var ErrBusy = errors.New("the device is in use by another process")

// Device is an open block device or file.
type Device struct {
	path   string
	file   *os.File // through the page cache
	direct *os.File // past it; nil where the file system has no direct I/O
	size   uint64   // bytes
	unit   uint64   // alignment that direct I/O asks for, in bytes
	block  bool
	noSync bool
	pool   Pool
}

// Options are the choices of Open.
type Options struct {
	Buffered bool // no direct I/O
	ReadOnly bool
	Shared   bool // no lock; only for looking
	// NoFlush makes Sync do nothing: disk-flushes no, for disks whose cache survives.
	NoFlush bool
}

// Open opens a device. A writer holds it alone: a second one, or a mounted file
// system, makes it fail with ErrBusy.
func Open(path string, o Options) (*Device, error) {
	flags := os.O_RDWR
	if o.ReadOnly {
		flags = os.O_RDONLY
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("backing device: %w", err)
	}
	isBlock := st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0
	if !isBlock && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("backing device %s is neither a block device nor a file", path)
	}
	if isBlock && !o.Shared && !o.ReadOnly {
		flags |= unix.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s: %w", path, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("backing device: %w", err)
	}
	d := &Device{path: path, file: f, unit: SectorSize, block: isBlock, noSync: o.NoFlush}
	if err := d.prepare(o); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// LogicalBlock is the size of the logical blocks of a disk, in bytes: 512 for a
// file, and for what cannot be asked.
func LogicalBlock(path string) uint32 {
	f, err := os.Open(path)
	if err != nil {
		return SectorSize
	}
	defer f.Close()
	return logicalBlock(f)
}

func logicalBlock(f *os.File) uint32 {
	if n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); err == nil && n >= SectorSize {
		return uint32(n)
	}
	return SectorSize
}

func (d *Device) prepare(o Options) error {
	if !o.Shared && !o.ReadOnly {
		// udev looks at a device with a lock of its own as soon as its last writer has
		// closed it; a successor that opens it then has to wait a moment.
		patience := 0
		if d.block {
			patience = 100
		}
		for unix.Flock(int(d.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			if patience == 0 {
				return fmt.Errorf("%s: %w", d.path, ErrBusy)
			}
			patience--
			time.Sleep(50 * time.Millisecond)
		}
	}
	end, err := d.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("size of %s: %w", d.path, err)
	}
	d.size = uint64(end) &^ (SectorSize - 1)
	if d.block {
		d.unit = uint64(logicalBlock(d.file))
	}
	if o.Buffered {
		return nil
	}
	flags := unix.O_DIRECT
	if o.ReadOnly {
		flags |= os.O_RDONLY
	} else {
		flags |= os.O_RDWR
	}
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", d.file.Fd()), flags, 0)
	if err != nil {
		return nil // tmpfs, for example
	}
	d.direct = direct
	if d.size >= Align {
		// What the file system really asks for shows when it is tried.
		b := d.pool.Get(Align)
		defer d.pool.Put(b)
		if _, err := direct.ReadAt(b[:d.unit], 0); err != nil && d.unit < Align {
			d.unit = Align
			if _, err := direct.ReadAt(b, 0); err != nil {
				direct.Close()
				d.direct = nil
			}
		}
	}
	return nil
}

// Path is the name the device was opened by.
func (d *Device) Path() string { return d.path }

// Size is the size in bytes, a multiple of a sector.
func (d *Device) Size() uint64 { return d.size }

// Direct tells whether I/O goes past the page cache.
func (d *Device) Direct() bool { return d.direct != nil }

// Measure reads the size again, after the device may have grown.
func (d *Device) Measure() (uint64, error) {
	end, err := d.file.Seek(0, io.SeekEnd)
	if err != nil {
		return d.size, fmt.Errorf("size of %s: %w", d.path, err)
	}
	d.size = uint64(end) &^ (SectorSize - 1)
	return d.size, nil
}

// fit tells whether an operation can go past the page cache.
func (d *Device) fit(n int, off int64) bool {
	return d.direct != nil && (uint64(n)|uint64(off))&(d.unit-1) == 0
}

// ReadAt reads len(b) bytes.
func (d *Device) ReadAt(b []byte, off int64) (int, error) {
	if !d.fit(len(b), off) {
		return d.file.ReadAt(b, off)
	}
	if isAligned(b) {
		return d.direct.ReadAt(b, off)
	}
	own := d.pool.Get(len(b))
	defer d.pool.Put(own)
	n, err := d.direct.ReadAt(own, off)
	copy(b, own[:n])
	return n, err
}

// WriteAt writes b; it is durable after Sync.
func (d *Device) WriteAt(b []byte, off int64) (int, error) {
	if !d.fit(len(b), off) {
		return d.file.WriteAt(b, off)
	}
	if isAligned(b) {
		return d.direct.WriteAt(b, off)
	}
	own := d.pool.Get(len(b))
	defer d.pool.Put(own)
	copy(own, b)
	return d.direct.WriteAt(own, off)
}

// WriteDurable writes b so that it is durable when the call returns.
func (d *Device) WriteDurable(b []byte, off int64) error {
	if d.noSync {
		_, err := d.WriteAt(b, off)
		return err
	}
	f, own := d.file, b
	if d.fit(len(b), off) {
		f = d.direct
		if !isAligned(b) {
			own = d.pool.Get(len(b))
			defer d.pool.Put(own)
			copy(own, b)
		}
	}
	for len(own) > 0 {
		n, err := unix.Pwritev2(int(f.Fd()), [][]byte{own}, off, unix.RWF_DSYNC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EOPNOTSUPP:
			if _, err := d.WriteAt(own, off); err != nil {
				return err
			}
			return d.Sync()
		case err != nil:
			return &os.PathError{Op: "write", Path: d.path, Err: err}
		}
		own, off = own[n:], off+int64(n)
	}
	return nil
}

// Sync makes everything written durable.
func (d *Device) Sync() error {
	if d.noSync {
		return nil
	}
	for {
		err := unix.Fdatasync(int(d.file.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "flush", Path: d.path, Err: err}
		}
	}
}

// fallocate modes.
const (
	keepSize  = 1
	punchHole = 2
	zeroRange = 16
)

// Zero writes zeroes; with discard the device may give the room back.
func (d *Device) Zero(off int64, size uint32, discard bool) error {
	for _, mode := range zeroModes(discard) {
		if unix.Fallocate(int(d.file.Fd()), mode, off, int64(size)) == nil {
			return nil
		}
	}
	zero := d.pool.Get(min(int(size), MaxBuffer))
	defer d.pool.Put(zero)
	clear(zero)
	for left := int64(size); left > 0; {
		n := min(left, int64(len(zero)))
		if _, err := d.WriteAt(zero[:n], off); err != nil {
			return err
		}
		off, left = off+n, left-n
	}
	return nil
}

func zeroModes(discard bool) []uint32 {
	if discard {
		return []uint32{punchHole | keepSize, zeroRange | keepSize}
	}
	return []uint32{zeroRange | keepSize}
}

// Close gives the device back. What was not synced may be lost later.
func (d *Device) Close() error {
	if d.direct != nil {
		d.direct.Close()
	}
	return d.file.Close()
}
