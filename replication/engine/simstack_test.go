package engine

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gcrm/replication/metadata"
	"gcrm/replication/wire"
)

// simStack is three machines. Two of them mirror a resource, the lower one. On its device
// stands one side of the upper resource, metadata and all: its process runs on whichever
// of the two is Primary below. The other side is the third machine.
type simStack struct {
	*simClock
	lower, upper *world
	host         int  // machine on which the side on top runs, -1 none
	moving       bool // it is being put away
	size         uint64
	values       map[uint64]*value // written by the application
	// known are the identifiers that the side on top made durable, and those it may have.
	known  []metadata.Generations
	broken string
	moves  int // to the other machine
	// owner is the machine below whose data counts, when it has no fencing.
	owner int
}

// top is the side of the upper resource that stands on the lower one.
func (s *simStack) top() *simNode { return s.upper.nodes[0] }

func newSimStack(t testing.TB, seed uint64, verbose bool, below, above Config, settled bool) *simStack {
	s := &simStack{simClock: newSimClock(t, seed, verbose), host: -1, values: map[uint64]*value{}}
	s.lower, s.upper = newWorldOn(s.simClock, below, 1), newWorldOn(s.simClock, above, 1)
	s.lower.stack, s.upper.stack, s.lower.name, s.upper.name = s, s, "lower: ", "upper: "
	s.lower.blocks = nil
	for _, n := range s.lower.nodes {
		n.addCopy(newSimDisk(simVolume))
	}
	s.lower.settle()
	area, err := metadata.Open(s.lower.nodes[0].copies[0].disk, simVolume, metadata.Internal)
	if err != nil {
		t.Fatal(err)
	}
	s.size = area.Layout.DataSectors * metadata.SectorSize
	s.upper.nodes[1].addCopy(newSimDisk(s.size))
	s.top().copies = []*simCopy{{simNode: s.top(), disk: &stackedDisk{s}}}
	id := s.r.Uint64()
	for _, n := range s.lower.nodes {
		if _, err := metadata.Create(n.copies[0].disk, s.size, metadata.Internal, metadata.CreateOptions{DeviceUUID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if settled {
		s.settleUpper()
	}
	return s
}

// settleUpper is settle for the upper resource.
func (s *simStack) settleUpper() {
	s.upper.settled = true
	u := (s.r.Uint64() | 16) &^ 1
	for _, n := range s.lower.nodes {
		s.upper.settleDisk(n.copies[0].disk, s.size, u, 0)
	}
	s.upper.settleDisk(s.upper.nodes[1].copies[0].disk, s.size, u, 0)
}

// stackedDisk is the device of the lower resource, as the side on top uses it.
type stackedDisk struct{ s *simStack }

func (d *stackedDisk) bytes() uint64             { return d.s.size }
func (d *stackedDisk) crash(*rand.Rand, float64) {}

func (d *stackedDisk) content() *simDisk {
	nodes := d.s.lower.nodes
	host := max(d.s.host, 0)
	if n := nodes[host]; !n.up || n.copies[0].e.State().Disk() != wire.UpToDate {
		host = 1 - host
	}
	return nodes[host].copies[0].disk.content()
}

// request gives the lower resource something to do and waits for it.
func (d *stackedDisk) request(flush bool, issue func(c *simCopy, tag uint64)) ([]byte, error) {
	p, me := d.s.top().process, d.s.running
	p.check()
	var data []byte
	var err error
	c := d.s.lower.nodes[d.s.host].copies[0]
	q := &request{}
	q.then = func(b []byte, e error) {
		data, err = slices.Clone(b), e
		expected := flush && c.flushEnded(q, e) || q.began <= c.doubted
		if e != nil {
			d.s.refused(c, e, expected)
		}
		p.later(me)
	}
	tag := c.request(q)
	c.act(func() { issue(c, tag) })
	p.check()
	me.wait()
	return data, err
}

// brokenLog is a runner that takes extents out of the log before what was written there is durable.
const brokenLog = "extents leave the log before the data is durable"

// errorOnTop is an error that the lower resource had to give.
const errorOnTop = "an error for the side on top"

// refused looks at an error of the lower resource: it is right only when no good data is within
// reach of its Primary, which without fencing is the case for the target of a resync that loses its source, or expected:
// that was so meanwhile, or a flush tells of it.
func (s *simStack) refused(c *simCopy, err error, expected bool) {
	w, state, peer := s.lower, c.e.State(), s.lower.nodes[1-c.id]
	within := c.conn != 0 && c.conn == peer.conn && state.Conn() >= wire.Connected && peer.copies[0].e.State().Disk() == wire.UpToDate
	if w.oneFault || !expected && (within || state.Disk() == wire.UpToDate) || !errors.Is(err, ErrIO) {
		w.fail("the side on top is told %q: %v, %v", err, w.describe(0), w.describe(1))
		return
	}
	w.logf("%d gives an error in %v", c.id, state)
	w.did(errorOnTop)
}

func (d *stackedDisk) ReadAt(b []byte, off int64) (int, error) {
	data, err := d.request(false, func(c *simCopy, tag uint64) {
		c.e.Read(c.clock(), tag, uint64(off)/metadata.SectorSize, uint32(len(b)))
	})
	return copy(b, data), err
}

func (d *stackedDisk) WriteAt(b []byte, off int64) (int, error) {
	began, split := d.s.now, d.s.lower.split
	var issued []*splitWrite
	_, err := d.request(false, func(c *simCopy, tag uint64) {
		if split != nil {
			issued = split.issueAll(c.simNode, uint64(off)/metadata.SectorSize, b)
		}
		c.e.Write(c.clock(), tag, uint64(off)/metadata.SectorSize, slices.Clone(b), false)
	})
	if err != nil {
		return 0, err
	}
	for _, v := range issued {
		split.acknowledged(d.s.lower.nodes[v.node], v)
	}
	for at := 0; at+metadata.BlockSize <= len(b); at += metadata.BlockSize {
		if v := d.s.values[binary.LittleEndian.Uint64(b[at:])]; v != nil {
			v.below = d.s.traceBelow(began)
		}
	}
	return len(b), nil
}

func (d *stackedDisk) Sync() error {
	if d.s.broken == "flushes go nowhere" {
		return nil
	}
	_, err := d.request(true, func(c *simCopy, tag uint64) { c.e.Flush(c.clock(), tag) })
	return err
}

// traceBelow is where something is that the side on top wrote or read.
func (s *simStack) traceBelow(since time.Duration) *trace {
	if s.host < 0 {
		return nil
	}
	return &trace{since, s.lower.nodes[s.host].copies[0].holders(), s.host}
}

// keptBelow tells whether the lower resource must still have something.
func (s *simStack) keptBelow(v trace) bool {
	return s.host >= 0 && s.lower.kept(v, s.lower.nodes[s.host].copies[0])
}

// queueBelow is an operation of the side on top. Transactions of the activity log are
// written one after the other.
func (n *simCopy) queueBelow(f Effect) {
	f.Data = slices.Clone(f.Data)
	n.diskBusy[f.Tag] = f
	if f.Kind != WriteLog {
		n.process.start(func() { n.doneBelow(f, n.below(f)) })
		return
	}
	job := logJob{Effect: f}
	for _, page := range f.Pages {
		b := make([]byte, metadata.BlockSize)
		n.e.Bitmap().EncodePage(page, b)
		job.encoded = append(job.encoded, b)
	}
	if n.logs = append(n.logs, job); len(n.logs) > 1 {
		return
	}
	n.process.start(func() {
		for len(n.logs) > 0 {
			job := n.logs[0]
			n.doneBelow(job.Effect, outcome{err: n.writeLog(job)})
			n.logs = n.logs[1:]
		}
		if t := n.logWaiter; t != nil {
			n.logWaiter = nil
			n.process.later(t)
		}
	})
}

// logJob is a transaction of the activity log with the pages of the bitmap that go
// before it, as they were when it was queued.
type logJob struct {
	Effect
	encoded [][]byte
}

type outcome struct {
	data []byte
	err  error
}

func (n *simCopy) doneBelow(f Effect, o outcome) {
	delete(n.diskBusy, f.Tag)
	n.act(func() { n.e.DiskDone(n.clock(), f.Tag, o.data, o.err) })
}

// below carries an operation out.
func (n *simCopy) below(f Effect) (o outcome) {
	at := int64(f.Sector * metadata.SectorSize)
	switch {
	case f.Kind == FlushDisk:
		o.err = n.disk.Sync()
	case f.Kind == ReadDisk:
		o.data = make([]byte, f.Size)
		_, o.err = n.disk.ReadAt(o.data, at)
	case f.Zero:
		_, o.err = n.disk.WriteAt(make([]byte, f.Size), at)
	default:
		_, o.err = n.disk.WriteAt(f.Data, at)
	}
	return o
}

func (n *simCopy) writeLog(job logJob) error {
	s := n.w.stack
	if s.broken == "no activity log on top" {
		return nil
	}
	if job.Flush && (len(job.Pages) > 0 || s.broken != brokenLog) {
		if err := n.disk.Sync(); err != nil {
			return err
		}
	}
	for i, page := range job.Pages {
		if _, err := n.disk.WriteAt(job.encoded[i], int64(n.area.Layout.Bitmap*metadata.SectorSize)+int64(page)*metadata.BlockSize); err != nil {
			return err
		}
	}
	if len(job.Pages) > 0 {
		if err := n.disk.Sync(); err != nil {
			return err
		}
	}
	return n.area.WriteLog(job.Log)
}

// persistBelow writes metadata of the side on top, which waits meanwhile.
func (n *simCopy) persistBelow(f Effect) {
	s, life, began := n.w.stack, n.life, n.w.now
	if s.r.IntN(200) == 0 {
		n.fall()
		return
	}
	if len(n.logs) > 0 {
		n.logWaiter = s.running
		s.running.wait()
	}
	area := n.area
	if s.broken == "metadata on one disk" {
		local := *area
		local.Dev = s.lower.nodes[s.host].copies[0].disk.content()
		area = &local
	}
	if s.broken == "generations not written on top" {
		f.Super.UUID = area.Super.UUID
	}
	if s.broken != "metadata on one disk" && s.broken != "generations not written on top" {
		s.known = append(s.known, f.Super.UUID)
	}
	err := n.disk.Sync()
	if err == nil && len(f.Pages) > 0 {
		if err = area.WritePages(n.e.Bitmap(), f.Pages); err == nil {
			err = n.disk.Sync()
		}
	}
	if s.r.IntN(200) == 0 {
		n.fall()
	}
	if n.life != life || !n.up {
		return
	}
	if err == nil {
		err = area.WriteSuperblock(f.Super)
	}
	if err == nil && n.w.split != nil {
		n.w.split.noted(n.simNode, f.Super)
	}
	if err == nil && len(s.known) > 0 {
		s.known = s.known[len(s.known)-1:]
	}
	n.area.Super = area.Super
	n.metaFailed = n.metaFailed || err != nil
	n.stalled += s.now - began
	if s.r.IntN(200) == 0 {
		n.fall()
	}
}

// checkIdentifiers: the identifiers that the side on top finds are the last ones that it
// wrote, wherever it was then.
func (s *simStack) checkIdentifiers(found metadata.Generations) {
	if len(s.known) > 0 && !slices.Contains(s.known, found) {
		s.upper.fail("the side on top finds the identifiers %X, it wrote %X", found, s.known)
	}
	if len(s.known) == 0 {
		s.known = append(s.known, found) // of others each may be what the cache below lost
	}
}

// fall is a crash of the side on top, with its machine or alone.
func (n *simNode) fall() {
	if n.w.r.IntN(2) == 0 {
		n.crash()
		return
	}
	n.powerOff()
}

// powerOff stops the machine of a node.
func (n *simNode) powerOff() {
	if s := n.w.stack; s != nil && n == s.top() {
		switch {
		case s.host >= 0 && s.lower.mayFail():
			s.lower.nodes[s.host].crash()
		case s.host >= 0:
			n.crash()
		}
		return
	}
	n.crash()
}

// machineCrashed is told of a crash of a machine below.
func (s *simStack) machineCrashed(w *world, id int) {
	if w != s.lower {
		return
	}
	s.top().crashed = s.now
	if s.host == id {
		s.killed()
	}
}

// rememberTop notes what the side on top has, as long as the machine under it runs.
func (s *simStack) rememberTop(machine *simNode) {
	if s.upper.split != nil && s.host >= 0 && machine == s.lower.nodes[s.host] && machine.up {
		s.upper.split.beforeCrash(s.top())
	}
}

// killed is the end of the side on top.
func (s *simStack) killed() {
	u := s.top()
	if s.host >= 0 {
		s.rememberTop(s.lower.nodes[s.host])
	}
	u.process.kill()
	s.host, s.moving = -1, false
	u.gone()
}

// tend starts the side on top where the lower resource is Primary.
func (s *simStack) tend() {
	s.after(s.between(20*time.Millisecond, 400*time.Millisecond), s.tend)
	at := s.lower.primary
	if s.host >= 0 && !s.moving {
		s.attachTop()
	}
	if s.host >= 0 || s.moving || at < 0 || !s.lower.nodes[at].up || s.lower.nodes[at].copies[0].e.State().Role() != wire.Primary {
		return
	}
	u := s.top()
	if u.last >= 0 && u.last != at {
		s.moves++
	}
	s.host, u.last = at, at
	s.upper.logf("0 starts on machine %d", at)
	u.process, u.stalled, u.opening = newSimProcess(s.simClock), 0, false
	for _, c := range u.copies {
		c.logs, c.logWaiter = nil, nil
	}
	u.boot()
}

// attachTop gives the side on top its disk back, which it gave up after an error.
func (s *simStack) attachTop() {
	u := s.top()
	c := u.copies[0]
	lost := func() bool {
		return s.lower.happened[errorOnTop] > 0 && c.e.State().Disk() == wire.Diskless && len(c.diskBusy) == 0 && len(c.logs) == 0
	}
	if !u.up || !lost() {
		return
	}
	u.act(func() {
		if !lost() {
			return
		}
		if err := c.attach(); err != nil {
			s.upper.logf("0: attach: %v", err)
			return
		}
		s.lower.did("the side on top has its disk again")
	})
}

// leave puts the side on top away, or kills it, so that the lower resource can be demoted.
func (s *simStack) leave(demote func()) {
	if s.lower.quiet || s.moving {
		return
	}
	u, life := s.top(), s.top().life
	switch {
	case s.host < 0:
		demote()
		return
	case s.r.IntN(4) == 0:
		u.crash()
		demote()
		return
	}
	s.moving = true
	s.after(5*time.Second, func() {
		if s.moving && u.life == life {
			u.crash() // it hangs
		}
	})
	if s.upper.primary == 0 {
		s.upper.primary = -1
	}
	reply := u.reply(func(r wire.Result) {
		if r.OK() {
			s.after(0, func() { s.shutdown(life, demote) })
			return
		}
		s.moving = false
		if u.copies[0].e.State().Role() == wire.Primary {
			s.upper.primary = 0
		}
	})
	u.act(func() { u.copies[0].e.Demote(u.clock(), reply) })
}

func (s *simStack) shutdown(life int, then func()) {
	u := s.top()
	if !u.up || u.life != life {
		return
	}
	reply := u.reply(func(r wire.Result) {
		if !r.OK() {
			s.after(50*time.Millisecond, func() { s.shutdown(life, then) })
			return
		}
		u.process.post(func() {
			if s.r.IntN(2) == 0 {
				if err := u.copies[0].area.Seal(); err != nil {
					s.upper.logf("0: %v", err)
				}
			}
			s.upper.logf("0 is put away")
			s.killed()
			s.moving = true
			s.after(0, func() {
				s.moving = false
				then()
			})
		})
	})
	u.act(func() { u.r.Shutdown(u.clock(), reply) })
}

// trouble is what befalls all three machines.
func (s *simStack) trouble() {
	if s.upper.quiet {
		return
	}
	s.after(s.between(time.Second, 20*time.Second), s.trouble)
	if !s.lower.mayFail() {
		return
	}
	s.logf("all machines lose power")
	for _, n := range []*simNode{s.lower.nodes[0], s.lower.nodes[1], s.upper.nodes[1]} {
		n.crash()
	}
}

// play is the schedule: trouble for some time, then peace.
func (s *simStack) play(span time.Duration) {
	defer func() {
		if s.host >= 0 {
			s.killed()
		}
	}()
	for _, n := range []*simNode{s.lower.nodes[0], s.lower.nodes[1], s.upper.nodes[1]} {
		n.boot()
	}
	if s.lower.split != nil {
		s.after(0, s.manageBelow)
	} else {
		s.after(0, s.lower.manage)
	}
	s.after(0, s.tend)
	if s.upper.split != nil {
		s.upper.startSplit()
	} else {
		s.after(0, s.upper.manage)
		s.after(0, s.upper.work)
	}
	start := min(3*time.Second, span/3)
	s.after(start, s.lower.trouble)
	s.after(start, s.upper.trouble)
	s.after(s.between(start, start+20*time.Second), s.trouble)
	s.run(span)
	if s.failed == "" {
		s.peace()
	}
}

func (s *simStack) peace() {
	s.logf("peace")
	for _, w := range []*world{s.lower, s.upper} {
		w.quiet = true
		w.heal()
	}
	good := func() bool { return s.lower.good() && s.upper.good() && !s.moving }
	for deadline, calm := s.now+60*time.Second, 0; s.failed == "" && s.now < deadline && calm < 3; {
		s.run(s.now + 100*time.Millisecond)
		if calm++; !good() {
			calm = 0
		}
	}
	switch {
	case s.failed != "":
		return
	case !s.lower.good():
		s.lower.noPeace()
		return
	case !s.upper.good():
		s.upper.noPeace()
		return
	}
	if !s.lower.compare() || !s.upper.compare() {
		return
	}
	s.upper.takeOver(s.upper.nodes[max(s.upper.primary, 0)])
	s.run(s.now + time.Second)
}
