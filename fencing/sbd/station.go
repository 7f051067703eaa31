package sbd

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"gcrm/fencing"
)

// Station is a node at its disk: it reads its mailbox. What it finds, the
// caller acts on; that it could read, the caller tells the guard of the
// watchdog. A station that gives an error is opened anew.
type Station struct {
	disk   *Disk
	slot   Slot
	loop   time.Duration
	header []byte
	place  []byte
}

// OpenStation takes a node's place on a disk, and gives it one if it has none.
// A message of before is cleared; with clean, one that would have killed the
// node is an error instead: somebody has fenced it, and should look at it
// first.
func OpenStation(ctx context.Context, path, node string, clean bool) (*Station, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	s := &Station{disk: d}
	if err := s.open(ctx, node, clean); err != nil {
		d.Close()
		return nil, err
	}
	return s, nil
}

func (s *Station) open(ctx context.Context, node string, clean bool) error {
	d := s.disk
	h, err := d.Header()
	if err != nil {
		return err
	}
	s.loop = max(h.Loop, time.Second)
	if s.slot, err = d.Allocate(ctx, h, node); err != nil {
		return err
	}
	if clean && s.slot.Command.kills() {
		return &fencing.Error{Op: "join disk", On: d.path, Err: fmt.Errorf("the mailbox of %s holds %s from %s", node, s.slot.Command, s.slot.From),
			Hint: "see why the node was fenced; the action on of its fence device clears the mailbox"}
	}
	if s.header, err = d.read(0); err != nil {
		return err
	}
	if s.place, err = d.read(1 + 2*s.slot.Number); err != nil {
		return err
	}
	if s.slot.Command == Clear {
		return nil
	}
	return d.Send(s.slot, Clear, node)
}

// Every is how often to look.
func (s *Station) Every() time.Duration { return s.loop }

// Look reads the mailbox once. It returns Reset, Off, CrashDump or Exit for the
// caller to act on at once, and Clear or Test for nothing; a test is answered.
func (s *Station) Look() (Command, error) {
	h, err := s.disk.read(0)
	if err != nil {
		return Clear, err
	}
	if !bytes.Equal(h, s.header) {
		return Clear, fmt.Errorf("%s: the header has changed; the disk was initialized anew", s.disk.path)
	}
	p, err := s.disk.read(1 + 2*s.slot.Number)
	if err != nil {
		return Clear, err
	}
	if !bytes.Equal(p, s.place) {
		return Clear, fmt.Errorf("%s: slot %d does not belong to %s any more", s.disk.path, s.slot.Number, s.slot.Name)
	}
	b, err := s.disk.read(2 + 2*s.slot.Number)
	if err != nil {
		return Clear, err
	}
	switch c := Command(b[0]); {
	case c == Clear:
		return Clear, nil
	case c.kills() || c == Exit:
		return c, nil
	default: // a test, or rubbish
		return min(c, Test), s.disk.Send(s.slot, Clear, s.slot.Name)
	}
}

// Close gives up the place at the disk; the slot stays the node's.
func (s *Station) Close() { s.disk.Close() }
