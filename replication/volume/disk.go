package volume

import (
	"fmt"
	"sync"
	"time"

	"gcrm/replication/blockdev"
	"gcrm/replication/engine"
	"gcrm/replication/metadata"
)

// disk is the local disk with its metadata.
type disk struct {
	data, meta *blockdev.Device // the same device for internal metadata
	queue      *blockdev.Queue
	area       *metadata.Area
	noSync     bool
	logs       chan logJob
	logging    sync.WaitGroup // transactions under way
}

// logJob is a transaction of the activity log with the pages of the bitmap that go
// before it.
type logJob struct {
	tag   uint64
	flush bool // the data first
	pages []encodedPage
	log   metadata.Transaction
}

type encodedPage struct {
	sector uint64
	bytes  []byte
}

// workers is how many operations a disk does at once.
const workers = 16

// openDisk opens the devices and makes the metadata clean.
func (v *Volume) openDisk() (*disk, error) {
	s := v.set.Disk
	opt := blockdev.Options{Buffered: s.Buffered, NoFlush: s.NoFlush}
	data, err := blockdev.Open(s.Path, opt)
	if err != nil {
		return nil, err
	}
	d := &disk{data: data, meta: data, noSync: s.NoMetaFlush, logs: make(chan logJob, 1)}
	ok := false
	defer func() {
		if !ok {
			d.closeFiles()
		}
	}()
	if s.Placement != metadata.Internal {
		// Several volumes may have their slots on one device.
		opt := blockdev.Options{Buffered: s.Buffered, Shared: s.Placement >= 0}
		if d.meta, err = blockdev.Open(s.MetaPath, opt); err != nil {
			return nil, err
		}
	}
	if d.area, err = metadata.Open(metaDevice{d}, d.meta.Size(), s.Placement); err != nil {
		return nil, err
	}
	applied, err := d.area.ApplyLog()
	if err != nil {
		return nil, err
	}
	if applied.NewBits > 0 {
		v.note(fmt.Sprintf("activity log applied: %d KiB may differ from the peer", applied.NewBits*4))
	}
	ok = true
	return d, nil
}

// metaDevice is the device as package metadata sees it.
type metaDevice struct{ d *disk }

func (m metaDevice) ReadAt(b []byte, off int64) (int, error)  { return m.d.meta.ReadAt(b, off) }
func (m metaDevice) WriteAt(b []byte, off int64) (int, error) { return m.d.meta.WriteAt(b, off) }
func (m metaDevice) Sync() error {
	if m.d.noSync {
		return nil
	}
	return m.d.meta.Sync()
}

func (d *disk) closeFiles() {
	d.data.Close()
	if d.meta != d.data && d.meta != nil {
		d.meta.Close()
	}
}

// close waits a while for operations under way. A disk that does not answer is left
// behind with its files.
func (d *disk) close() {
	if !d.queue.Close(5 * time.Second) {
		return
	}
	close(d.logs)
	d.logging.Wait()
	d.closeFiles()
}

// startDisk queues an operation on the data.
func (v *Volume) startDisk(f *engine.Effect) {
	if v.disk == nil {
		// The disk went away with this in the same batch.
		tag := f.Tag
		v.wg.Go(func() {
			v.event(func(now time.Duration) { v.e.DiskDone(now, tag, nil, blockdev.ErrClosed) })
		})
		return
	}
	op := v.ops.Get().(*blockdev.Op)
	*op = blockdev.Op{Tag: f.Tag, Offset: int64(f.Sector) * blockdev.SectorSize, Done: v.onDisk, FUA: f.FUA}
	switch f.Kind {
	case engine.FlushDisk:
		op.Kind = blockdev.Flush
		v.counters.Flushes++
	case engine.ReadDisk:
		op.Kind, op.Data = blockdev.Read, v.pool.Get(int(f.Size))
		v.counters.Read += uint64(f.Size) / metadata.SectorSize
	default:
		v.counters.Written += uint64(f.Size) / metadata.SectorSize
		op.Kind, op.Data, op.Mark = blockdev.Write, f.Data, f.Peer
		if f.Zero && f.Data == nil {
			op.Kind, op.Size, op.Discard = blockdev.Zero, f.Size, f.Discard
		}
		if f.Peer {
			v.fromPeer += len(f.Data)
		}
	}
	v.counters.Local++
	v.disk.queue.Submit(op)
}

// done is the end of an operation.
func (v *Volume) done(op *blockdev.Op, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counters.Local--
	if op.Mark {
		v.fromPeer -= len(op.Data)
	}
	if v.closed {
		return
	}
	if err != nil && err != blockdev.ErrClosed {
		v.note(fmt.Sprintf("disk: %v", err))
	}
	var data []byte
	if op.Kind == blockdev.Read && err == nil {
		data = op.Data
	}
	v.given = nil
	v.e.DiskDone(v.now(), op.Tag, data, err)
	v.carryOut()
	switch {
	case op.Kind == blockdev.Read && (v.given == nil || &v.given[0] != &op.Data[0]):
		v.releaseLater(op.Data)
	case op.Mark:
		v.pool.Put(op.Data)
	}
	v.given = nil
	*op = blockdev.Op{}
	v.ops.Put(op) // the queue does not look at it any more
}

// writeLog hands a transaction to the metadata writer. The pages are encoded now,
// since the bitmap goes on changing.
func (v *Volume) writeLog(f *engine.Effect) bool {
	d := v.disk
	if d == nil {
		tag := f.Tag
		v.wg.Go(func() {
			v.event(func(now time.Duration) { v.e.DiskDone(now, tag, nil, blockdev.ErrClosed) })
		})
		return true
	}
	job := logJob{tag: f.Tag, flush: f.Flush, log: f.Log}
	for _, p := range f.Pages {
		block := v.pool.Get(metadata.BlockSize)
		v.e.Bitmap().EncodePage(p, block)
		job.pages = append(job.pages, encodedPage{d.area.Layout.Bitmap + uint64(p)*metadata.BlockSize/metadata.SectorSize, block})
	}
	v.counters.LogWrites++
	v.counters.BitmapWrites += uint64(len(job.pages))
	d.logging.Add(1)
	d.logs <- job
	return true
}

// logWriter writes transactions one after the other.
func (v *Volume) logWriter(d *disk) {
	for job := range d.logs {
		err := v.writeJob(d, job)
		d.logging.Done()
		v.event(func(now time.Duration) {
			if !v.closed {
				v.e.DiskDone(now, job.tag, nil, err)
			}
		})
	}
}

func (v *Volume) writeJob(d *disk, job logJob) error {
	if job.flush {
		// Nobody looks after a crash for what was written to an extent that leaves the log, and
		// a page may say that a block is alike that a resync has just stored.
		if err := d.data.Sync(); err != nil {
			return err
		}
	}
	for _, p := range job.pages {
		_, err := d.meta.WriteAt(p.bytes, int64(p.sector)*metadata.SectorSize)
		v.pool.Put(p.bytes)
		if err != nil {
			return err
		}
	}
	if len(job.pages) > 0 {
		if err := (metaDevice{d}).Sync(); err != nil {
			return err
		}
	}
	return d.area.WriteLog(job.log)
}

// persist makes data, bitmap and super block durable, in that order.
func (v *Volume) persist(f *engine.Effect) bool {
	d := v.disk
	if d == nil {
		return true
	}
	began := time.Now()
	defer func() { v.stalled += time.Since(began) }()
	// An older picture of a page must not be written over a newer one.
	d.logging.Wait()
	err := d.data.Sync()
	if err == nil && len(f.Pages) > 0 {
		v.counters.BitmapWrites += uint64(len(f.Pages))
		if err = d.area.WritePages(v.e.Bitmap(), f.Pages); err == nil {
			err = (metaDevice{d}).Sync()
		}
	}
	if err == nil {
		err = d.area.WriteSuperblock(f.Super)
	}
	if err != nil {
		v.note(fmt.Sprintf("metadata: %v", err))
	}
	return err == nil
}

// moveMeta writes the metadata to their new place.
func (v *Volume) moveMeta(f *engine.Effect) bool {
	d := v.disk
	if d == nil {
		return true
	}
	began := time.Now()
	defer func() { v.stalled += time.Since(began) }()
	d.logging.Wait()
	if err := d.area.Move(f.Layout, f.Super, v.e.Bitmap(), f.Ring); err != nil {
		v.note(err.Error())
		return false
	}
	return true
}

// measure tells the engine when the disk below has grown.
func (v *Volume) measure() error {
	d := v.disk
	if d == nil {
		return nil
	}
	before := d.data.Size()
	size, err := d.data.Measure()
	if err != nil || size <= before {
		return err
	}
	layout := d.area.Layout
	capacity := min(layout.DataSectors, size/metadata.SectorSize)
	if d.meta == d.data {
		if layout, err = layout.Grown(size); err != nil {
			return err
		}
		capacity = layout.DataSectors
	}
	v.e.DiskGrew(v.now(), capacity, layout)
	v.carryOut()
	return nil
}

// retireDisk lets go of a disk that the engine has given up.
func (v *Volume) retireDisk() {
	d := v.disk
	gone := make(chan struct{})
	v.disk, v.retired = nil, gone
	v.wg.Go(func() {
		defer close(gone)
		d.close()
	})
}
