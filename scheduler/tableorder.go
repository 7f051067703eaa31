package scheduler

// Where nodes are equal in all that a strategy looks at, the reference takes
// the one that its table of nodes yields first. That is a GLib hash table with
// node ids as keys: an order that looks like chance, and yet is the same in
// every run. Equal nodes are common (a cluster of like machines that is full),
// so the order is reproduced here.

// tablePrimes are GLib's moduli, by the power of two that a table has room for.
var tablePrimes = [...]uint32{1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521}

// hashTable holds positions of keys as a GLib hash table would; -1 is a free
// place.
type hashTable struct {
	shift  int
	places []int
	hashes []uint32 // by key
}

// tableOrder returns the positions of keys in the order in which a table
// yields them that they were put into one after the other.
func tableOrder(keys []string) []int {
	t := &hashTable{shift: 3, places: freePlaces(3)}
	for i, k := range keys {
		t.hashes = append(t.hashes, hashOf(k))
		t.put(i)
		if size := len(t.places); size <= i+1+(i+1)/16 {
			t.grow(i + 1)
		}
	}
	order := make([]int, 0, len(keys))
	for _, k := range t.places {
		if k >= 0 {
			order = append(order, k)
		}
	}
	return order
}

func freePlaces(shift int) []int {
	out := make([]int, 1<<shift)
	for i := range out {
		out[i] = -1
	}
	return out
}

// hashOf is the hash of a node id; its bytes are signed.
func hashOf(key string) uint32 {
	h := uint32(0)
	for i := range len(key) {
		h = h*31 + uint32(int32(int8(key[i])))
	}
	return max(h, 2) // 0 and 1 mark free places
}

func (t *hashTable) first(key int) int {
	return int(t.hashes[key] * 11 % tablePrimes[t.shift])
}

func (t *hashTable) put(key int) {
	at := t.first(key)
	for step := 1; t.places[at] >= 0; step++ {
		at = (at + step) & (len(t.places) - 1)
	}
	t.places[at] = key
}

// grow makes room in place: each key that is moved drives out the one in the
// way, which is moved next.
func (t *hashTable) grow(count int) {
	old := len(t.places)
	t.shift = 0
	for n := count * 1333 / 1000; n > 0; n >>= 1 {
		t.shift++
	}
	t.shift = max(t.shift, 3)
	t.places = append(t.places, freePlaces(t.shift)[old:]...)
	settled := make([]bool, len(t.places))
	for i := range old {
		key := t.places[i]
		if key < 0 || settled[i] {
			continue
		}
		t.places[i] = -1
		for key >= 0 {
			at := t.first(key)
			for step := 1; settled[at]; step++ {
				at = (at + step) & (len(t.places) - 1)
			}
			settled[at] = true
			key, t.places[at] = t.places[at], key
		}
	}
}

// mergeSort sorts as GLib sorts lists: which matters only where compare is no
// order: with votes over capacities, active instances among inactive ones, and
// entries of other transitions (a before b, b before c, c before a).
func mergeSort[T any](list []T, compare func(a, b T) int) []T {
	if len(list) < 2 {
		return list
	}
	left, right := mergeSort(list[:len(list)/2], compare), mergeSort(list[len(list)/2:], compare)
	out := make([]T, 0, len(list))
	for len(left) > 0 && len(right) > 0 {
		if compare(left[0], right[0]) <= 0 {
			out, left = append(out, left[0]), left[1:]
		} else {
			out, right = append(out, right[0]), right[1:]
		}
	}
	return append(append(out, left...), right...)
}

// tableNodes are all nodes in the order of r's table of nodes. Colocations
// work on a copy, in which keys that got in each other's way may have changed
// places.
func (e *engine) tableNodes(r *resource) []*node {
	if len(e.nodesInTable) != len(e.sorted) {
		e.nodesInTable = throughTable(e.sorted)
		e.nodesInCopy = throughTable(e.nodesInTable)
	}
	if len(e.thisWith(r))+len(e.withThis(r)) > 0 {
		return e.nodesInCopy
	}
	return e.nodesInTable
}

func throughTable(nodes []*node) []*node {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = n.id
	}
	out := make([]*node, 0, len(nodes))
	for _, i := range tableOrder(ids) {
		out = append(out, nodes[i])
	}
	return out
}
