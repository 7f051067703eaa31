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

// ErrStuck says that a disk which was given up may still write: data that comes late must
// not get into a disk that is in use.
var ErrStuck = errors.New("the disk has not finished what it was doing when it was given up")

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
	if v.counters.Local > 0 || !v.awaitRetired() {
		return ErrStuck
	}
	if v.closed || v.disk != nil {
		return engine.ErrAttached // somebody else did, meanwhile
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

// retirement is how long an attach waits for the files of the last disk to be closed.
const retirement = 5 * time.Second

// awaitRetired waits, with the lock given back meanwhile, until the last disk is closed.
func (v *Volume) awaitRetired() bool {
	gone := v.retired
	if gone == nil {
		return true
	}
	v.mu.Unlock()
	defer v.mu.Lock()
	select {
	case <-gone:
		return true
	case <-time.After(retirement):
		return false
	}
}

// command gives the engine a command and waits for its answer.
func (r *Resource) command(ctx context.Context, give func(now time.Duration, tag uint64)) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.nextTag++
	tag, answer := r.nextTag, make(chan wire.Result, 1)
	r.replies[tag] = answer
	give(r.now(), tag)
	r.carryOut()
	r.mu.Unlock()
	select {
	case result := <-answer:
		if result.OK() {
			return nil
		}
		return result
	case <-ctx.Done():
		r.mu.Lock()
		delete(r.replies, tag)
		r.mu.Unlock()
		return ctx.Err()
	}
}

// persistently repeats a command that meets a transient state.
func (r *Resource) persistently(ctx context.Context, give func(now time.Duration, tag uint64)) error {
	for {
		err := r.command(ctx, give)
		if err != wire.InTransient && err != wire.ConcurrentChange {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-r.ctx.Done():
			return ErrClosed
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Connect starts to look for the peer. discardMyData gives up own changes in a split
// brain.
func (r *Resource) Connect(ctx context.Context, discardMyData bool) error {
	if r.volumes[0].State().Conn() != wire.StandAlone {
		return nil
	}
	return r.command(ctx, func(now time.Duration, tag uint64) { r.r.Connect(now, discardMyData, tag) })
}

// Disconnect ends the connection; without force only if the peer agrees.
func (r *Resource) Disconnect(ctx context.Context, force bool) error {
	return r.persistently(ctx, func(now time.Duration, tag uint64) { r.r.Disconnect(now, force, tag) })
}

// Promote makes the node Primary.
func (v *Volume) Promote(ctx context.Context, force bool) error {
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Promote(now, force, tag) })
}

// Demote makes the node Secondary, once the peer has confirmed what was written. If ctx ends before, the node becomes
// Secondary later; Promote takes that back.
func (v *Volume) Demote(ctx context.Context) error {
	return v.command(ctx, v.demote)
}

func (v *Volume) demote(now time.Duration, tag uint64) { v.e.Demote(now, tag) }

// PromoteAll makes the node Primary of all volumes. When one is refused, those that
// were promoted for it are demoted again.
func (r *Resource) PromoteAll(ctx context.Context, force bool) error {
	var done []*Volume
	for _, v := range r.volumes {
		if v.State().Role() == wire.Primary {
			continue
		}
		err := v.Promote(ctx, force)
		if err == nil {
			done = append(done, v)
			continue
		}
		for _, v := range done {
			if back := v.Demote(ctx); back != nil {
				err = errors.Join(err, fmt.Errorf("volume %d stays Primary: %w", v.set.Engine.Volume, back))
			}
		}
		return err
	}
	return nil
}

// DemoteAll makes all volumes Secondary.
func (r *Resource) DemoteAll(ctx context.Context) error {
	var all error
	for _, v := range r.volumes {
		if err := v.Demote(ctx); err != nil {
			if len(r.volumes) == 1 {
				return err
			}
			all = errors.Join(all, fmt.Errorf("volume %d: %w", v.set.Engine.Volume, err))
		}
	}
	return all
}

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

// PauseSync keeps a resync from going on until ResumeSync.
func (v *Volume) PauseSync(ctx context.Context) error {
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.PauseSync(now, tag) })
}

// ResumeSync takes PauseSync back.
func (v *Volume) ResumeSync(ctx context.Context) error {
	return v.command(ctx, func(now time.Duration, tag uint64) { v.e.ResumeSync(now, tag) })
}

// WaitForOthers tells the volume whether its resync has to wait for that of another
// volume of this node.
func (v *Volume) WaitForOthers(wait bool) {
	v.event(func(now time.Duration) { v.e.WaitForOthers(now, wait) })
}

// KeepsOthersWaiting tells whether a volume whose resync comes after this one waits.
func (v *Volume) KeepsOthersWaiting() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.e.KeepsOthersWaiting()
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
	return v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.ResumeIO(now, tag) })
}

// Detach gives the disk up.
func (v *Volume) Detach(ctx context.Context) error {
	err := v.persistently(ctx, func(now time.Duration, tag uint64) { v.e.Detach(now, tag) })
	if err == wire.IsDiskless {
		return nil
	}
	return err
}

// Close puts a resource that is Secondary away in good order: no connection,
// everything on disk, the metadata clean. A Primary is refused.
func (r *Resource) Close(ctx context.Context) error {
	r.mu.Lock()
	var held []*Volume
	for _, v := range r.volumes {
		if v.disk != nil {
			held = append(held, v)
		}
	}
	r.mu.Unlock()
	if err := r.persistently(ctx, func(now time.Duration, tag uint64) { r.r.Shutdown(now, tag) }); err != nil {
		return err
	}
	r.Kill()
	var all error
	for _, v := range held {
		all = errors.Join(all, v.seal())
	}
	return all
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
