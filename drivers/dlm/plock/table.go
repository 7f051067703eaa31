package plock

import (
	"math"
	"slices"
	"syscall"
)

// Results, as the kernel takes them.
const (
	again     = -int32(syscall.EAGAIN)
	noEntry   = -int32(syscall.ENOENT)
	conflicts = 1
)

// Held is one lock: a range of a file.
type Held struct {
	Node      int32
	Owner     uint64
	PID       uint32
	Exclusive bool
	Start     uint64
	End       uint64 // inclusive
}

// file is the state of one inode.
type file struct {
	held    []Held   // sorted by start; those of one owner never overlap
	waiting []Record // in the order in which they came
}

// Table is the locks of one lockspace. Given the same records in the same
// order it is the same on every node.
type Table struct {
	files map[uint64]*file
}

// NewTable returns a table without locks.
func NewTable() *Table { return &Table{files: map[uint64]*file{}} }

// Apply decides a record and returns the answers it leads to, its own first:
// each is the record as it came with the result filled in. A request that has
// to wait is answered by a later call.
func (t *Table) Apply(r Record) []Record {
	f := t.files[r.Number]
	if f == nil {
		if r.Op != Lock {
			return reply(nil, r, noEntry)
		}
		f = &file{}
		t.files[r.Number] = f
	}
	var out []Record
	switch r.Op {
	case Get:
		if h := f.conflict(r); h != nil {
			r.Exclusive, r.PID, r.Node, r.Start, r.End = h.Exclusive, h.PID, h.Node, h.Start, h.End
			out = reply(out, r, conflicts)
		} else {
			out = reply(out, r, 0)
		}
	case Lock:
		switch {
		case f.conflict(r) == nil:
			f.take(r)
			out = reply(out, r, 0)
		case r.Wait:
			f.waiting = append(f.waiting, r)
		default:
			out = reply(out, r, again)
		}
		out = f.serve(out) // a lock may have become a weaker one
	case Unlock:
		f.free(r)
		if r.Close {
			f.waiting = slices.DeleteFunc(f.waiting, func(w Record) bool { return w.Node == r.Node && w.Owner == r.Owner })
		}
		out = f.serve(reply(out, r, 0))
	}
	t.tidy(r.Number, f)
	return out
}

// reply adds an answer, unless nobody waits for it.
func reply(out []Record, r Record, result int32) []Record {
	if r.Close {
		return out
	}
	r.Result = result
	return append(out, r)
}

// Purge drops everything of nodes that are gone and returns the answers to
// those who waited for it, in the order of files.
func (t *Table) Purge(gone func(node int32) bool) []Record {
	var out []Record
	for _, number := range t.numbers() {
		f := t.files[number]
		f.held = slices.DeleteFunc(f.held, func(h Held) bool { return gone(h.Node) })
		f.waiting = slices.DeleteFunc(f.waiting, func(w Record) bool { return gone(w.Node) })
		out = f.serve(out)
		t.tidy(number, f)
	}
	return out
}

func (t *Table) numbers() []uint64 {
	numbers := make([]uint64, 0, len(t.files))
	for n := range t.files {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

func (t *Table) tidy(number uint64, f *file) {
	if len(f.held) == 0 && len(f.waiting) == 0 {
		delete(t.files, number)
	}
}

// Files returns all of the table, sorted by inode.
func (t *Table) Files() []FileState {
	var out []FileState
	for _, number := range t.numbers() {
		f := t.files[number]
		out = append(out, FileState{Number: number, Held: slices.Clone(f.held), Waiting: slices.Clone(f.waiting)})
	}
	return out
}

// Locks returns the locks of a file, and how many wait.
func (t *Table) Locks(number uint64) (held []Held, waiting int) {
	if f := t.files[number]; f != nil {
		return slices.Clone(f.held), len(f.waiting)
	}
	return nil, 0
}

// conflict is the first lock in the way of a request.
func (f *file) conflict(r Record) *Held {
	for i := range f.held {
		h := &f.held[i]
		if h.Start > r.End {
			break
		}
		if h.End >= r.Start && (h.Exclusive || r.Exclusive) && !(h.Node == r.Node && h.Owner == r.Owner) {
			return h
		}
	}
	return nil
}

// free takes a range away from its owner.
func (f *file) free(r Record) {
	var rest []Held
	f.held = slices.DeleteFunc(f.held, func(h Held) bool {
		if h.Node != r.Node || h.Owner != r.Owner || h.End < r.Start || h.Start > r.End {
			return false
		}
		if h.Start < r.Start {
			left := h
			left.End = r.Start - 1
			rest = append(rest, left)
		}
		if h.End > r.End {
			right := h
			right.Start = r.End + 1
			rest = append(rest, right)
		}
		return true
	})
	for _, h := range rest {
		f.insert(h)
	}
}

// take gives a range to its owner, in place of what it had there, and joins
// it with equal neighbours.
func (f *file) take(r Record) {
	f.free(r)
	n := Held{Node: r.Node, Owner: r.Owner, PID: r.PID, Exclusive: r.Exclusive, Start: r.Start, End: r.End}
	f.held = slices.DeleteFunc(f.held, func(h Held) bool {
		same := h.Node == n.Node && h.Owner == n.Owner && h.PID == n.PID && h.Exclusive == n.Exclusive
		switch {
		case same && h.End != math.MaxUint64 && h.End+1 == n.Start:
			n.Start = h.Start
		case same && n.End != math.MaxUint64 && n.End+1 == h.Start:
			n.End = h.End
		default:
			return false
		}
		return true
	})
	f.insert(n)
}

func (f *file) insert(n Held) {
	i, _ := slices.BinarySearchFunc(f.held, n, func(h, n Held) int {
		switch {
		case h.Start != n.Start:
			return compare(h.Start < n.Start)
		case h.Node != n.Node:
			return compare(h.Node < n.Node)
		case h.Owner != n.Owner:
			return compare(h.Owner < n.Owner)
		}
		return 0
	})
	f.held = slices.Insert(f.held, i, n)
}

func compare(less bool) int {
	if less {
		return -1
	}
	return 1
}

// serve grants waiting requests that nothing is in the way of any more, in
// their order.
func (f *file) serve(out []Record) []Record {
	for i := 0; i < len(f.waiting); {
		r := f.waiting[i]
		if f.conflict(r) != nil {
			i++
			continue
		}
		f.waiting = slices.Delete(f.waiting, i, i+1)
		f.take(r)
		out = reply(out, r, 0)
		i = 0 // it may have made another of its locks weaker
	}
	return out
}
