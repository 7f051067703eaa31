package engine

import (
	"errors"
	"slices"

	"gcrm/replication/wire"
)

// ErrDiskTimeout is what operations end with whose disk was given up for not answering.
var ErrDiskTimeout = errors.New("the disk did not answer in time")

// startOp notes an operation that the disk has to do.
func (e *Engine) startOp(o *op) {
	o.began = e.now
	e.ops[o.tag] = o
}

// tickDisk gives a disk up that has not answered for too long (disk-timeout). Nothing
// more is written to it, not even metadata, and its operations end as failed. If it
// finishes one of them later, nobody is told; the runner must not put the disk into use
// again before that.
func (e *Engine) tickDisk() {
	if e.cfg.DiskTimeout == 0 || !e.hasDisk {
		return
	}
	late := false
	for _, o := range e.ops {
		late = late || e.now-o.began > e.cfg.DiskTimeout
	}
	if !late {
		return
	}
	e.note("the local disk does not answer: given up")
	if e.cfg.OnIOError == IOErrorCall {
		e.emit(Effect{Kind: RunHandler, Name: "local-io-error"})
	}
	e.hasDisk = false
	e.change(e.state.WithDisk(wire.Failed), hard)
	e.abandonDisk()
	e.sendState()
	tags := make([]uint64, 0, len(e.ops))
	for tag := range e.ops {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	for _, tag := range tags {
		if o := e.ops[tag]; o != nil {
			o.abandoned = true
			e.DiskDone(e.now, tag, nil, ErrDiskTimeout)
		}
	}
	e.pump()
}
