// Package sbd is fencing by a shared disk (poison pill) in the on-disk format
// of sbd: a node finds a message in its mailbox on the disk and resets itself;
// one that cannot read its disk any more is reset by its watchdog before the
// sender's waiting time is over.
package sbd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gcrm/fencing"
)

// ioTimeout is how long one sector may take.
const ioTimeout = 3 * time.Second

// Disk is an open disk. Its methods are not for concurrent use.
type Disk struct {
	path   string
	f      *os.File
	sector int
	broken bool // an access hangs, and may use the buffer at any time
}

// Open opens a block device, or a file that stands for one.
func Open(path string) (*Disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_SYNC|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EINVAL) { // a file system without direct access; devices have it
		f, err = os.OpenFile(path, os.O_RDWR|unix.O_SYNC|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	d := &Disk{path: path, f: f, sector: 512}
	if n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); err == nil && n >= 512 {
		d.sector = n
	}
	return d, nil
}

// Close closes the disk, unless an access still hangs in the kernel; then that
// closes it when it ends.
func (d *Disk) Close() {
	if !d.broken {
		d.f.Close()
	}
}

// aligned returns a buffer for sectors as direct access needs it.
func (d *Disk) aligned(sectors int) []byte {
	const page = 4096
	n := d.sector * sectors
	b := make([]byte, n+page)
	skip := page - int(uintptr(unsafe.Pointer(&b[0]))%page)
	return b[skip : skip+n : skip+n]
}

// access does one transfer within the time for it. The transfer has a buffer
// of its own, since one that hangs may end at any time.
func (d *Disk) access(what string, n, size int, transfer func(at int64) (int, error)) error {
	if d.broken {
		return fmt.Errorf("%s: an earlier access hangs", d.path)
	}
	done := make(chan error, 1)
	go func() {
		got, err := transfer(int64(n) * int64(d.sector))
		if err == nil && got != size {
			err = fmt.Errorf("only %d bytes", got)
		}
		done <- err
	}()
	timer := time.NewTimer(ioTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %s of sector %d: %w", d.path, what, n, err)
		}
		return nil
	case <-timer.C:
		d.broken = true
		f := d.f
		go func() { <-done; f.Close() }()
		return fmt.Errorf("%s: %s of sector %d takes longer than %s", d.path, what, n, ioTimeout)
	}
}

func (d *Disk) read(n int) ([]byte, error) {
	b := d.aligned(1)
	err := d.access("reading", n, len(b), func(at int64) (int, error) { return d.f.ReadAt(b, at) })
	return b, err
}

func (d *Disk) write(n int, fill func([]byte)) error {
	b := d.aligned(1)
	fill(b)
	return d.access("writing", n, len(b), func(at int64) (int, error) { return d.f.WriteAt(b, at) })
}

// Create initializes the disk: all slots and messages on it are lost.
func (d *Disk) Create(h Header) error {
	h.Slots = slots
	if h.MsgWait < 2*h.Watchdog {
		return fmt.Errorf("msgwait %s must be at least twice the watchdog's %s", h.MsgWait, h.Watchdog)
	}
	rand.Read(h.UUID[:])
	h.UUID[6], h.UUID[8] = h.UUID[6]&0x0f|0x40, h.UUID[8]&0x3f|0x80
	for n := 1; n <= 2*slots; {
		b := d.aligned(min(64, 2*slots+1-n))
		if err := d.access("writing", n, len(b), func(at int64) (int, error) { return d.f.WriteAt(b, at) }); err != nil {
			return err
		}
		n += len(b) / d.sector
	}
	return d.write(0, h.encode)
}

// Header reads the header.
func (d *Disk) Header() (Header, error) {
	b, err := d.read(0)
	if err != nil {
		return Header{}, err
	}
	h, err := decodeHeader(b)
	if err != nil {
		return h, fmt.Errorf("%s: %w", d.path, err)
	}
	return h, nil
}

// Slot is a node's place on a disk.
type Slot struct {
	Number  int
	Name    string
	Command Command
	From    string
}

// Slots lists the slots in use, with what is in the mailboxes.
func (d *Disk) Slots(h Header) ([]Slot, error) {
	var list []Slot
	for n := range h.Slots {
		b, err := d.read(1 + 2*n)
		if err != nil {
			return nil, err
		}
		if b[0] != 1 {
			continue
		}
		s := Slot{Number: n, Name: decodeName(b)}
		if b, err = d.read(2 + 2*n); err != nil {
			return nil, err
		}
		s.Command, s.From = Command(b[0]), decodeName(b)
		list = append(list, s)
	}
	return list, nil
}

// Find returns the slot of a node.
func (d *Disk) Find(h Header, name string) (Slot, error) {
	list, err := d.Slots(h)
	if err != nil {
		return Slot{}, err
	}
	for _, s := range list {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Slot{}, fmt.Errorf("%s: node %s has no slot", d.path, name)
}

// Allocate gives a node a slot, if it has none yet. Of two nodes that take the
// same slot at once, the one that wrote last has it.
func (d *Disk) Allocate(ctx context.Context, h Header, name string) (Slot, error) {
	if err := checkName(name); err != nil {
		return Slot{}, err
	}
	if s, err := d.Find(h, name); err == nil {
		return s, nil
	}
	for n := range h.Slots {
		b, err := d.read(1 + 2*n)
		if err != nil {
			return Slot{}, err
		}
		if b[0] == 1 {
			continue
		}
		if err := d.write(2+2*n, func(b []byte) { clear(b) }); err != nil {
			return Slot{}, err
		}
		if err := d.write(1+2*n, func(b []byte) { encodeSlot(b, name) }); err != nil {
			return Slot{}, err
		}
		if !fencing.Sleep(ctx, h.Allocate) {
			return Slot{}, ctx.Err()
		}
		if b, err = d.read(1 + 2*n); err != nil {
			return Slot{}, err
		}
		if b[0] == 1 && strings.EqualFold(decodeName(b), name) {
			return Slot{Number: n, Name: name}, nil
		}
	}
	return Slot{}, fmt.Errorf("%s: all %d slots are in use", d.path, h.Slots)
}

// Send puts a message into a slot's mailbox and reads it back. It counts only
// after the header's MsgWait.
func (d *Disk) Send(s Slot, c Command, from string) error {
	n := 2 + 2*s.Number
	want := make([]byte, d.sector)
	encodeMail(want, c, from)
	if err := d.write(n, func(b []byte) { copy(b, want) }); err != nil {
		return err
	}
	got, err := d.read(n)
	if err != nil {
		return err
	}
	// A node that reads quickly has cleared the test already.
	if string(got) != string(want) && !(c == Test && Command(got[0]) == Clear) {
		return fmt.Errorf("%s: the message is not on the disk after writing", d.path)
	}
	return nil
}
