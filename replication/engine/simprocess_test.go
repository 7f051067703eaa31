package engine

import (
	"errors"
	"iter"
)

// simTask is a thread of a simulated process: it may wait in the middle of what it does,
// while the others go on.
type simTask struct {
	c      *simClock
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	active bool // it runs, or what it called does
}

// errProcessDead unwinds a thread whose process has died.
var errProcessDead = errors.New("the process of this thread is dead")

func (t *simTask) resume() {
	before := t.c.running
	t.c.running, t.active = t, true
	t.next()
	t.c.running, t.active = before, false
}

// wait gives control back until resume.
func (t *simTask) wait() {
	if !t.yield(struct{}{}) {
		panic(errProcessDead)
	}
}

// simProcess is a process whose threads die with it. Its events are handled one after
// the other, as by the owner of a lock.
type simProcess struct {
	c     *simClock
	dead  bool
	busy  bool // an event is being handled
	queue []func()
	tasks map[*simTask]bool
}

func newSimProcess(c *simClock) *simProcess {
	return &simProcess{c: c, tasks: map[*simTask]bool{}}
}

// start runs a thread until it waits for the first time.
func (p *simProcess) start(f func()) {
	if p.dead {
		return
	}
	t := &simTask{c: p.c}
	p.tasks[t] = true
	t.next, t.stop = iter.Pull(iter.Seq[struct{}](func(yield func(struct{}) bool) {
		defer func() {
			delete(p.tasks, t)
			if e := recover(); e != nil && e != any(errProcessDead) {
				panic(e)
			}
		}()
		t.yield = yield
		f()
	}))
	t.resume()
}

// post handles an event when those before it have been handled.
func (p *simProcess) post(f func()) {
	if p.dead {
		return
	}
	p.queue = append(p.queue, f)
	if p.busy {
		return
	}
	p.busy = true
	p.start(func() {
		for len(p.queue) > 0 && !p.dead {
			f := p.queue[0]
			p.queue = p.queue[1:]
			f()
		}
		p.busy = false
	})
}

// later resumes a thread, unless the process dies before.
func (p *simProcess) later(t *simTask) {
	p.c.after(p.c.between(5000, 50000), func() {
		if !p.dead {
			t.resume()
		}
	})
}

// kill ends all threads. The one that called it, if it is one of them, ends when it wants
// to wait the next time.
func (p *simProcess) kill() {
	p.dead, p.queue = true, nil
	for t := range p.tasks {
		if !t.active {
			t.stop()
		}
	}
}

// check ends the calling thread if its process is dead.
func (p *simProcess) check() {
	if p.dead {
		panic(errProcessDead)
	}
}
