package metadata

// Generations are the four generation identifiers of a device. Bit 0 of each is a
// mark ("was Primary when it was set") and no part of the identity.
type Generations struct {
	Current uint64
	// Bitmap is the generation of the peer that the bitmap describes the differences
	// to; 0 when there is none.
	Bitmap  uint64
	History [2]uint64 // younger, older
}

// JustCreated is the current generation of new metadata without data.
const JustCreated = 4

// PrimaryMark is bit 0 of a generation identifier.
const PrimaryMark = 1

// SameGeneration compares without the mark.
func SameGeneration(a, b uint64) bool { return a&^PrimaryMark == b&^PrimaryMark }

// rotate pushes x into the history.
func (g *Generations) rotate(x uint64) { g.History = [2]uint64{x, g.History[0]} }

// SetCurrent stores v, marked or not by the role.
func (g *Generations) SetCurrent(v uint64, primary bool) {
	g.Current = v &^ PrimaryMark
	if primary {
		g.Current |= PrimaryMark
	}
}

// MarkPrimary sets or clears the mark of the current generation.
func (g *Generations) MarkPrimary(primary bool) { g.SetCurrent(g.Current, primary) }

// NewCurrent starts a new generation with the given random value: from now on the
// bitmap describes the differences to the old one. The old bitmap generation is
// lost, callers see to it that there is none.
func (g *Generations) NewCurrent(random uint64, primary bool) {
	g.Bitmap = g.Current
	g.SetCurrent(random, primary)
}

// Fork starts a new generation with the given random value while the bitmap goes on to
// describe the differences to a peer in the middle of a resync. A peer that had finished it
// has the old generation, which goes to the history.
func (g *Generations) Fork(random uint64, primary bool) {
	g.rotate(g.Current)
	g.SetCurrent(random, primary)
}

// SetBitmap stores v as bitmap generation, the previous one goes to the history. 0
// means that the bitmap has no meaning any more.
func (g *Generations) SetBitmap(v uint64) {
	if g.Bitmap != 0 {
		g.rotate(g.Bitmap)
	}
	g.Bitmap = v
}

// syncStep is added to the bitmap generation to make the sync identifier.
const syncStep = 1 << 48

// SameLine tells whether the two are identifiers of resyncs one after the other that did not end, or of the
// generation that these began with: they differ by a multiple of the step.
func SameLine(a, b uint64) bool {
	const identity = (syncStep - 1) &^ PrimaryMark
	return a&identity == b&identity && a&^PrimaryMark > JustCreated && b&^PrimaryMark > JustCreated
}

// DescribeAll says that all bits are set: they describe the difference to the given generation, too, if it is one of the history.
func (g *Generations) DescribeAll(to uint64) {
	if SameGeneration(to, g.History[0]) || SameGeneration(to, g.History[1]) {
		g.Bitmap = to
	}
}

// StartSource begins a resync as its source and gives the sync identifier that the
// target will carry until it has finished.
func (g *Generations) StartSource(random uint64) uint64 {
	sync := random
	if g.Bitmap != 0 && g.Bitmap != JustCreated {
		sync = g.Bitmap + syncStep
	}
	g.SetBitmap(sync)
	return sync
}

// StartTarget begins a resync as its target; the mark is that of the own role.
func (g *Generations) StartTarget(sync uint64, primary bool) {
	g.SetCurrent(sync, primary)
	g.Bitmap = 0
}

// FinishSource ends a resync on the source.
func (g *Generations) FinishSource() { g.SetBitmap(0) }

// FinishTarget ends a resync on the target, which then has the same set as the
// source; source is what the source had at the handshake.
func (g *Generations) FinishTarget(source Generations, primary bool) {
	sync := g.Current
	g.Bitmap, g.History = source.Bitmap, source.History
	g.SetBitmap(sync)
	g.SetCurrent(source.Current, primary)
	g.SetBitmap(0)
}
