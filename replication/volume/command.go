package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// ErrNoDisk says that the volume has no disk configured here.
var ErrNoDisk = errors.New("the configuration has no disk for this node")

// Attach opens the disk and puts it into use.
func (v *Volume) Attach() error {
	if v.set.Disk.Path == "" {
		return ErrNoDisk
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return ErrClosed
	}
	if v.disk != nil {
		return engine.ErrAttached
	}
	d, err := v.openDisk()
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	bitmap, err := d.area.ReadBitmap()
	if err != nil {
		d.closeFiles()
		return fmt.Errorf("attach: %w", err)
	}
	capacity := d.area.Layout.DataSectors
	if d.data != d.meta {
		capacity = min(capacity, d.data.Size()/metadata.SectorSize)
	}
	d.queue = blockdev.NewQueue(d.data, max(v.set.Disk.Workers, workers))
	if v.set.Fault != nil {
		d.queue.Inject(v.set.Fault)
	}
	v.disk = d
	err = v.e.Attach(v.now(), engine.LocalDisk{Capacity: capacity, Super: d.area.Super, Bitmap: bitmap, Layout: d.area.Layout})
	if err != nil {
		v.disk = nil
		d.close()
		return fmt.Errorf("attach: %w", err)
	}
	v.wg.Go(func() { v.logWriter(d) })
	v.carryOut()
	return nil
}

// command gives the engine a command and waits for its answer.
func (v *Volume) command(ctx context.Context, give func(now time.Duration, tag uint64)) error {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return ErrClosed
	}
	v.nextTag++
	tag, answer := v.nextTag, make(chan wire.Result, 1)
	v.replies[tag] = answer
	give(v.now(), tag)
	v.carryOut()
	v.mu.Unlock()
	select {
	case r := <-answer:
		if r.OK() {
			return nil
		}
		return r
	case <-ctx.Done():
		v.mu.Lock()
		delete(v.replies, tag)
		v.mu.Unlock()
		return ctx.Err()
	}
}

// persistently repeats a command that meets a transient state.
func (v *Volume) persistently(ctx context.Context, give func(now time.Duration, tag uint64)) error {
	for {
		err := v.command(ctx, give)
		if err != wire.InTransient && err != wire.ConcurrentChange {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-v.ctx.Done():
			return ErrClosed
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Connect starts to look for the peer. discardMyData gives up own changes in a split
// brain.
func (v *Volume) Connect(ctx context.Context, discardMyData bool) error {
	if v.State().Conn() != wire.StandAlone {
		return nil
	}
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.Connect(now, discardMyData, tag) })
}

// Disconnect ends the connection; without force only if the peer agrees.
func (v *Volume) Disconnect(ctx context.Context, force bool) error {
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Disconnect(now, force, tag) })
}

// Promote makes the node Primary.
func (v *Volume) Promote(ctx context.Context, force bool) error {
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Promote(now, force, tag) })
}

// Demote makes the node Secondary.
func (v *Volume) Demote(ctx context.Context) error {
	return v.command(ctx, v.demote)
}

func (v *Volume) demote(now time.Duration, tag uint64) { v.e.Demote(now, tag) }

// Outdate marks the local data as old.
func (v *Volume) Outdate(ctx context.Context) error {
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.Outdate(now, tag) })
}

// Invalidate fetches everything from the peer; with remote the other way round.
func (v *Volume) Invalidate(ctx context.Context, remote bool) error {
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Invalidate(now, remote, tag) })
}

// Verify starts to compare the data of both nodes.
func (v *Volume) Verify(ctx context.Context) error {
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Verify(now, tag) })
}

// Resize makes the volume as large as the disks below both nodes have become, or as
// the options say.
func (v *Volume) Resize(ctx context.Context, o engine.ResizeOptions) error {
	v.mu.Lock()
	err := v.measure()
	v.mu.Unlock()
	if err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Resize(now, o, tag) })
}

// Suspend freezes I/O; Resume lets it go on.
func (v *Volume) Suspend(ctx context.Context) error {
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.SuspendIO(now, tag) })
}

// Resume ends a suspension.
func (v *Volume) Resume(ctx context.Context) error {
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.ResumeIO(now, tag) })
}

// Detach gives the disk up.
func (v *Volume) Detach(ctx context.Context) error {
	d := v.heldDisk()
	err := v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Detach(now, tag) })
	if err == wire.IsDiskless {
		return nil
	}
	_ = d
	return err
}

func (v *Volume) heldDisk() *disk {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.disk
}

// Close puts a Secondary away in good order: no connection, everything on disk, the
// metadata clean. A Primary is refused.
func (v *Volume) Close(ctx context.Context) error {
	d := v.heldDisk()
	if err := v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Shutdown(now, tag) }); err != nil {
		return err
	}
	v.Kill()
	if d == nil {
		return nil
	}
	return v.seal()
}

// seal makes the metadata of a disk that was closed clean.
func (v *Volume) seal() error {
	d, err := v.openDisk()
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	defer d.closeFiles()
	return d.area.Seal()
}

// State is the engine's state.
func (v *Volume) State() wire.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.e.State()
}
