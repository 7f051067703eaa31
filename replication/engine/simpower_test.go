package engine

import "errors"

// fuse counts the operations after which a disk has no power any more. What was written
// before stays in its cache, of which a crash keeps a part.
type fuse struct {
	left  int // 0: it does not blow
	blown bool
}

var errPower = errors.New("no power")

// burn is one operation of the disk.
func (f *fuse) burn() error {
	if f.left > 0 {
		f.left--
		f.blown = f.left == 0
	}
	if f.blown {
		return errPower
	}
	return nil
}

// light lets the power fail in the middle of the metadata operation that begins now.
func (n *simCopy) light(odds, longest int) {
	d, ok := n.disk.(*simDisk)
	if ok && n.w.cutting && !n.w.quiet && n.w.r.IntN(odds) == 0 && n.w.mayFail() {
		d.fuse.left = 1 + n.w.r.IntN(longest)
	}
}

// powerLost ends that operation. It gives true when the node has crashed in it.
func (n *simCopy) powerLost(where string) bool {
	d, ok := n.disk.(*simDisk)
	if !ok {
		return false
	}
	blown := d.fuse.blown
	d.fuse = fuse{}
	if blown {
		n.w.did("power lost " + where)
		n.crash()
	}
	return blown
}

// powerless tells whether the power failed in the middle of what is done now.
func (n *simCopy) powerless() bool {
	d, ok := n.disk.(*simDisk)
	return ok && d.fuse.blown
}
