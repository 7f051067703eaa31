package metadata

import "fmt"

// Grown is the layout of the same metadata once its device has size bytes. Only
// internal metadata move: they stay at the end. A device that shrank is refused.
func (l Layout) Grown(size uint64) (Layout, error) {
	if l.Placement != Internal {
		return l, nil
	}
	n, err := NewLayout(Internal, size, l.LogStripes, l.StripeBlocks)
	if err != nil {
		return l, err
	}
	if n.Superblock < l.Superblock {
		return l, fmt.Errorf("the device shrank to %d bytes: its metadata, at sector %d, are cut off", size, l.Superblock)
	}
	// A bitmap that was made with more room than needed keeps it.
	if n.BitmapSectors < l.BitmapSectors {
		n.Bitmap -= l.BitmapSectors - n.BitmapSectors
		n.BitmapSectors, n.DataSectors = l.BitmapSectors, n.Bitmap
		n.MetaSectors = n.BitmapSectors + uint64(n.LogBlocks)*sectorsPerBlock + sectorsPerBlock
	}
	return n, nil
}

// Move writes the metadata to the place of layout l: the ring, the bitmap b, and,
// when those are durable, the super block s with the new positions. Then the old super
// block, which becomes data, is wiped. Until the new one is durable the old metadata are whole, but at a
// place where nobody looks after the device has grown.
func (a *Area) Move(l Layout, s Superblock, b *Bitmap, ring []Transaction) error {
	old := a.Layout
	n := &Area{Dev: a.Dev, Layout: l}
	s.MetaSectors = uint32(l.MetaSectors)
	s.LogOffset = int32(int64(l.Log) - int64(l.Superblock))
	s.BitmapOffset = int32(int64(l.Bitmap) - int64(l.Superblock))
	block := make([]byte, BlockSize)
	for _, t := range ring {
		clear(block)
		t.Encode(block)
		if err := n.write(block, l.Log+uint64(l.BlockOf(t.Number))*sectorsPerBlock); err != nil {
			return fmt.Errorf("move metadata: activity log: %w", err)
		}
	}
	for p := range b.Pages() {
		if err := n.WritePages(b, []int{p}); err != nil {
			return fmt.Errorf("move metadata: %w", err)
		}
	}
	if err := a.Dev.Sync(); err != nil {
		return fmt.Errorf("move metadata: %w", err)
	}
	if err := n.WriteSuperblock(s); err != nil {
		return fmt.Errorf("move metadata: %w", err)
	}
	// Where it would lie inside of the new metadata it is overwritten already.
	if old.Superblock < l.Bitmap && l.Superblock != old.Superblock {
		if err := a.Wipe(); err != nil {
			return fmt.Errorf("move metadata: the old super block: %w", err)
		}
	}
	a.Layout, a.Super = l, n.Super
	return nil
}
