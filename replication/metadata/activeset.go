package metadata

import "slices"

// ActiveSet is the activity log in memory: which extents may be written without a
// log transaction. An extent is in use while writes to it are under way or their
// epoch is not confirmed; others stay until their slot is needed. It is a pure data
// structure and not safe for concurrent use.
type ActiveSet struct {
	layout Layout
	slots  []activeSlot
	where  map[uint32]int // slot of an extent
	// idle are the slots not in use, longest idle first, free ones foremost: a ring
	// through prev and next of the slots, with the slot after the last as its head.
	idle   int    // how many
	number uint32 // of the next transaction
	cursor int    // first context slot of the next transaction
	// pending are slots changed by the transaction that is being written.
	pending map[int]bool
}

type activeSlot struct {
	extent     uint32 // NoExtent when free
	refs       int
	prev, next int // in the ring of idle slots, while there
}

// NewActiveSet makes an empty set of size extents (al-extents), limited to what
// the ring of the layout can describe.
func NewActiveSet(l Layout, size int) *ActiveSet {
	size = max(1, min(size, 65534, int(l.LogBlocks-1)*ContextSlots))
	a := &ActiveSet{layout: l, where: map[uint32]int{}, pending: map[int]bool{}}
	a.slots = make([]activeSlot, size+1)
	a.slots[size] = activeSlot{prev: size, next: size}
	for i := range size {
		a.slots[i].extent = NoExtent
		a.pushIdle(i)
	}
	return a
}

// Size is the number of slots.
func (a *ActiveSet) Size() int { return len(a.slots) - 1 }

// pushIdle makes a slot the last to be taken for another extent.
func (a *ActiveSet) pushIdle(i int) {
	head := len(a.slots) - 1
	last := a.slots[head].prev
	a.slots[i].prev, a.slots[i].next = last, head
	a.slots[last].next, a.slots[head].prev = i, i
	a.idle++
}

// dropIdle takes a slot out of the ring.
func (a *ActiveSet) dropIdle(i int) {
	s := a.slots[i]
	a.slots[s.prev].next, a.slots[s.next].prev = s.next, s.prev
	a.idle--
}

// Extents of a range of sectors, first and last.
func Extents(sector, count uint64) (first, last uint32) {
	return uint32(sector / ExtentSectors), uint32((sector + max(count, 1) - 1) / ExtentSectors)
}

// Hot tells whether all extents from first to last are active and durable, so that
// a write to them needs no transaction. It then takes a reference on each.
func (a *ActiveSet) Hot(first, last uint32) bool {
	for e := first; e <= last; e++ {
		if s, ok := a.where[e]; !ok || a.pending[s] {
			return false
		}
	}
	a.take(first, last)
	return true
}

func (a *ActiveSet) take(first, last uint32) {
	for e := first; e <= last; e++ {
		i := a.where[e]
		if a.slots[i].refs == 0 {
			a.dropIdle(i)
		}
		a.slots[i].refs++
	}
}

// Busy tells whether a transaction is being written; Begin must wait for it.
func (a *ActiveSet) Busy() bool { return len(a.pending) > 0 }

// Begin makes the extents from first to last active and takes a reference on each.
// It gives the transaction to write and the extents that leave the set; their pages
// of the bitmap must be on disk before the transaction is. It gives false, and
// changes nothing, when the transaction before is not committed, or when there are
// not enough idle slots or updates in one transaction: wait for a Release then.
func (a *ActiveSet) Begin(first, last uint32) (t Transaction, evicted []uint32, ok bool) {
	cold := 0
	pinned := 0 // idle slots that this request needs itself
	for e := first; e <= last; e++ {
		if s, hot := a.where[e]; !hot {
			cold++
		} else if a.slots[s].refs == 0 {
			pinned++
		}
	}
	if a.Busy() || cold > MaxUpdates || cold+pinned > a.idle {
		return Transaction{}, nil, false
	}
	t = Transaction{Number: a.number, Size: uint16(a.Size())}
	// References first, so that no extent of the request is evicted for another one.
	for e := first; e <= last; e++ {
		if _, hot := a.where[e]; hot {
			a.take(e, e)
		}
	}
	for e := first; e <= last; e++ {
		if _, hot := a.where[e]; hot {
			continue
		}
		i := a.slots[a.Size()].next
		a.dropIdle(i)
		s := &a.slots[i]
		if s.extent != NoExtent {
			delete(a.where, s.extent)
			evicted = append(evicted, s.extent)
		}
		*s = activeSlot{extent: e, refs: 1}
		a.where[e] = i
		a.pending[i] = true
		t.Updates = append(t.Updates, Update{uint16(i), e})
	}
	slices.SortFunc(t.Updates, func(x, y Update) int { return int(x.Slot) - int(y.Slot) })
	a.context(&t)
	return t, evicted, true
}

// context adds the rotating window of slots and advances the counters.
func (a *ActiveSet) context(t *Transaction) {
	t.ContextStart = uint16(a.cursor)
	n := min(ContextSlots, a.Size()-a.cursor)
	t.Context = make([]uint32, n)
	for i := range n {
		t.Context[i] = a.slots[a.cursor+i].extent
	}
	a.number++
	if a.cursor += ContextSlots; a.cursor >= a.Size() {
		a.cursor = 0
	}
}

// Commit says that the transaction of the last Begin is durable.
func (a *ActiveSet) Commit() { clear(a.pending) }

// Release drops one reference on each extent from first to last.
func (a *ActiveSet) Release(first, last uint32) {
	for e := first; e <= last; e++ {
		i, ok := a.where[e]
		if !ok || a.slots[i].refs == 0 {
			panic("metadata: an extent is released more often than it was taken")
		}
		s := &a.slots[i]
		if s.refs--; s.refs == 0 {
			a.pushIdle(i)
		}
	}
}

// Used is the number of extents that are in use.
func (a *ActiveSet) Used() int { return a.Size() - a.idle }

// InUse tells whether writes to an extent are under way.
func (a *ActiveSet) InUse(extent uint32) bool {
	i, ok := a.where[extent]
	return ok && a.slots[i].refs > 0
}

// Active are the extents in the set, ascending.
func (a *ActiveSet) Active() []uint32 {
	out := make([]uint32, 0, len(a.where))
	for e := range a.where {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}

// Rewrite gives the transactions that fill the whole ring of a new layout with the
// present set, for metadata that moves. Slots of a transaction that is being written
// are in them.
func (a *ActiveSet) Rewrite(l Layout) []Transaction {
	a.layout = l
	all := make([]Transaction, l.LogBlocks)
	for i := range all {
		all[i] = Transaction{Number: a.number, Size: uint16(a.Size())}
		a.context(&all[i])
	}
	return all
}

// Block is where a transaction belongs, in sectors from the start of the device.
func (a *ActiveSet) Block(t Transaction) uint64 {
	return a.layout.Log + uint64(a.layout.BlockOf(t.Number))*sectorsPerBlock
}
