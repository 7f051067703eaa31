package fencing

import (
	"container/heap"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	schedules = flag.Int("schedules", 3000, "random fault schedules to run")
	seed      = flag.Uint64("seed", 0, "run only this schedule, and tell all that happens")
)

// TestFaults lets devices lie, hang, fail, act late, answer late or twice, and
// nodes come and go, and looks at what the machine promises:
//
//   - success without a human means that the power really was off between the
//     request and its answer (or, by the watchdog, that the node was not heard
//     of for its time);
//   - after a success no device is asked to switch the node off again without
//     a new request;
//   - a device never has more actions at once than its limit, and a node never
//     two that act;
//   - every request is answered once, within a bound.
func TestFaults(t *testing.T) {
	if *seed != 0 {
		runSchedule(t, *seed, t.Logf)
		return
	}
	kinds := map[string]int{}
	for s := range uint64(*schedules) {
		for k, n := range runSchedule(t, s+1, nil) {
			kinds[k] += n
		}
		if t.Failed() {
			t.Fatalf("replay with: go test ./fencing -run TestFaults -seed %d -v", s+1)
		}
	}
	t.Logf("%d schedules: %v", *schedules, kinds)
	for _, k := range []string{"read-back", "watchdog", "error", "lie", "hang", "twice", "late"} {
		if *schedules >= 1000 && kinds[k] == 0 {
			t.Errorf("no schedule had %q", k)
		}
	}
}

// world is the truth behind the devices.
type world struct {
	t     *testing.T
	say   func(string, ...any)
	r     *rand.Rand
	m     *Machine
	now   time.Time
	queue events
	seq   int

	power    map[string]bool // by node; true is on
	offSince map[string]time.Time
	heard    map[string]time.Time
	online   map[string]bool
	told     []string // who the machine was told is online

	open     map[uint64]Request
	begun    map[uint64]time.Time
	running  map[uint64]Execute // not answered and not over
	allowOff map[string]int     // open requests by target
	kinds    map[string]int
}

type event struct {
	at  time.Time
	seq int
	do  func()
}
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { o := *e; x := o[len(o)-1]; *e = o[:len(o)-1]; return x }

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now.Add(d), w.seq, do})
}

func (w *world) chance(percent int) bool { return w.r.IntN(100) < percent }

func (w *world) span(a, b time.Duration) time.Duration {
	return a + time.Duration(w.r.Int64N(int64(b-a)))
}

func runSchedule(t *testing.T, seed uint64, say func(string, ...any)) map[string]int {
	w := &world{t: t, say: say, r: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(0, 0), power: map[string]bool{}, offSince: map[string]time.Time{},
		heard: map[string]time.Time{}, online: map[string]bool{}, open: map[uint64]Request{}, begun: map[uint64]time.Time{},
		running: map[uint64]Execute{}, allowOff: map[string]int{}, kinds: map[string]int{}}
	if say == nil {
		w.say = func(string, ...any) {}
	}
	w.m = New(Config{Self: "a", Boot: "1", Draw: w.r.Int64N})
	var text strings.Builder
	for _, n := range []string{"a", "b", "c", "d"} {
		fmt.Fprintln(&text, "node", n)
		w.power[n], w.online[n] = true, true
	}
	devices := []string{
		"device p fence_onoff pcmk_host_list=a,b,c,d pcmk_delay_max=3s",
		"device q fence_off pcmk_host_list=a,b,c,d pcmk_action_limit=2 pcmk_off_timeout=20s",
		"device r fence_board",
		"device s fence_xvm pcmk_host_check=dynamic-list pcmk_off_retries=3",
	}
	limits := map[string]int{"p": 1, "q": 2, "r": 1, "s": 1}
	for _, d := range devices {
		if w.chance(70) {
			fmt.Fprintln(&text, d)
		}
	}
	if w.chance(50) {
		fmt.Fprintln(&text, "level pattern=[bcd] 1", []string{"p", "q", "p,q", "r"}[w.r.IntN(4)])
		fmt.Fprintln(&text, "level pattern=[bcd] 2", []string{"s", "q,s", "watchdog", "r,q"}[w.r.IntN(4)])
	}
	if w.chance(30) {
		fmt.Fprintln(&text, "property stonith-watchdog-timeout=15s")
	}
	w.say("%s", text.String())
	conf, _ := Unpack(document(t, text.String()), Sources{Agents: testAgents})
	w.step(Configure{conf})
	w.membership()

	// Losses and requests.
	for i := range 2 + w.r.IntN(5) {
		w.after(w.span(0, 5*time.Minute), func() {
			target := []string{"b", "c", "d"}[w.r.IntN(3)]
			if w.chance(80) {
				w.lose(target)
			}
			r := Request{ID: uint64(i + 1), Target: target, Action: []string{Off, Reboot, Reboot, On}[w.r.IntN(4)], Client: fmt.Sprint("client", w.r.IntN(2))}
			w.open[r.ID], w.begun[r.ID] = r, w.now
			if r.Action != On {
				w.allowOff[target]++
			}
			w.step(r)
		})
	}
	if w.chance(10) {
		w.after(w.span(0, 5*time.Minute), func() { w.step(Confirm{Target: "b", By: "alice"}) })
	}
	end := w.now.Add(2 * time.Hour)
	for w.now.Before(end) {
		wake, ok := w.m.Wake()
		switch {
		case len(w.queue) > 0 && (!ok || !wake.Before(w.queue[0].at)):
			e := heap.Pop(&w.queue).(event)
			w.now = e.at
			e.do()
		case ok:
			if wake.After(w.now) {
				w.now = wake
			}
			w.step(Tick{})
		default:
			end = w.now
		}
	}
	if len(w.open) > 0 {
		t.Errorf("requests were not answered: %v", w.open)
	}
	for d, n := range w.m.busy {
		t.Errorf("device %s is still busy with %d (limit %d)", d, n, limits[d])
	}
	return w.kinds
}

func (w *world) membership() {
	var nodes []string
	for _, n := range []string{"a", "b", "c", "d"} {
		if w.online[n] {
			nodes = append(nodes, n)
		}
	}
	w.told = nodes
	w.step(Members{Nodes: nodes, Quorate: true})
}

func (w *world) step(in Input) {
	w.say("%s < %T%v", w.now.Sub(time.Unix(0, 0)), in, brief(in))
	for _, e := range stepped(w.t, w.m, w.now, in) {
		w.say("%s > %T%v", w.now.Sub(time.Unix(0, 0)), e, e)
		switch e := e.(type) {
		case Execute:
			w.execute(e)
		case Done:
			w.done(e)
		}
	}
}

// stepped is a step after which nothing is due that the machine did not do: its
// runner would turn in a circle.
func stepped(t testing.TB, m *Machine, now time.Time, in Input) []Effect {
	effects := m.Step(now, in)
	if at, ok := m.Wake(); ok && !at.After(now) {
		t.Fatalf("after %T at %v a tick is due at %v", in, now, at)
	}
	return effects
}

func brief(in Input) any {
	if _, ok := in.(Configure); ok {
		return ""
	}
	return in
}

func (w *world) done(e Done) {
	r, ok := w.open[e.ID]
	if !ok {
		w.t.Errorf("request %d was answered twice", e.ID)
		return
	}
	delete(w.open, e.ID)
	if r.Action != On {
		w.allowOff[r.Target]--
	}
	begun := w.begun[e.ID]
	if d := w.now.Sub(begun); d > time.Hour {
		w.t.Errorf("request %d was answered after %s", e.ID, d)
	}
	switch {
	case e.Result.Err != nil:
		w.kinds["error"]++
		return
	case r.Action == On || e.Result.Proof == ProofHuman:
		return
	case e.Result.Proof == ProofWatchdog:
		if w.online[r.Target] || w.now.Sub(w.heard[r.Target]) < 15*time.Second {
			w.t.Errorf("request %d: the watchdog is no proof", e.ID)
		}
	case e.Result.Proof == ProofNone:
		w.t.Errorf("request %d: success without proof", e.ID)
	case e.Result.Proof == ProofReported && r.Action == Off:
		w.t.Errorf("request %d: the power could have been read back", e.ID)
	case e.Result.Proof == ProofReadBack:
		// Joined requests may be younger than the moment of the reading.
		if off, ok := w.offSince[r.Target]; w.power[r.Target] && (!ok || off.Before(begun.Add(-2*time.Minute))) {
			w.t.Errorf("request %d: %s was never off: %s", e.ID, r.Target, e.Result.Evidence)
		}
	}
	w.kinds[string(e.Result.Proof)]++
}

func (w *world) lose(node string) {
	if w.online[node] {
		w.online[node], w.heard[node] = false, w.now
		w.after(0, func() {
			// What a lost node is executing does not occupy the device.
			maps.DeleteFunc(w.running, func(_ uint64, x Execute) bool { return x.Node == node })
			w.membership()
		})
	}
}

// act changes the power.
func (w *world) act(action, target string) {
	switch action {
	case Off, Reboot:
		w.power[target] = action != Off
		w.offSince[target] = w.now
		w.lose(target)
		if w.power[target] && w.chance(50) {
			w.after(w.span(20*time.Second, 3*time.Minute), func() {
				if w.power[target] {
					w.online[target] = true
					w.membership()
				}
			})
		}
	case On:
		if !w.power[target] {
			w.offSince[target] = w.now
		}
		w.power[target] = true
	}
}

func (w *world) execute(x Execute) {
	acts := x.Action == Off || x.Action == Reboot || x.Action == On
	limit := map[string]int{"q": 2, WatchdogDevice: 9}[x.Device]
	n := 0
	for _, other := range w.running {
		if other.Device == x.Device {
			n++
		}
		if acts && other.Target == x.Target && (other.Action == Off || other.Action == On || other.Action == Reboot) && other.Device == x.Device {
			w.t.Errorf("two actions for %s at once: %+v, %+v", x.Target, other, x)
		}
	}
	if n >= max(1, limit) {
		w.t.Errorf("device %s has %d actions already", x.Device, n)
	}
	if x.Action == Off || x.Action == Reboot {
		if w.allowOff[x.Target] == 0 {
			w.t.Errorf("%s is fenced and nobody asked for it: %+v", x.Target, x)
		}
	}
	if !slices.Contains(w.told, x.Node) {
		w.t.Errorf("a lost node is to execute: %+v", x)
	}
	w.running[x.Ref] = x
	w.after(x.Timeout+answerGrace, func() { delete(w.running, x.Ref) })
	answer := func(d time.Duration, o Outcome) {
		w.after(d, func() {
			delete(w.running, x.Ref)
			w.step(Executed{x.Ref, o})
		})
	}
	took := w.span(10*time.Millisecond, 3*time.Second)
	switch fault := w.r.IntN(100); {
	case fault < 8: // hangs, and may act at the end
		w.kinds["hang"]++
		if acts && w.chance(50) {
			w.after(w.span(0, x.Timeout), func() { w.act(x.Action, x.Target) })
		}
		if w.chance(50) {
			answer(x.Timeout, Outcome{Code: TimedOut})
		}
		return
	case fault < 20:
		if acts && w.chance(30) { // fails, but acts
			w.after(took/2, func() { w.act(x.Action, x.Target) })
		}
		answer(took, Outcome{Code: Failed, Text: "connection refused"})
		return
	case fault < 25: // late
		w.kinds["late"]++
		took = x.Timeout + answerGrace + w.span(time.Millisecond, time.Minute)
	case fault < 40 && acts: // lies
		w.kinds["lie"]++
		answer(took, Outcome{})
		return
	}
	w.after(took, func() {
		o := Outcome{}
		switch {
		case acts:
			if took < x.Timeout {
				w.act(x.Action, x.Target)
			}
		case x.Action == Status:
			o.Power = PowerOff
			if w.power[x.Target] {
				o.Power = PowerOn
			}
		case x.Action == List:
			o.Hosts = slices.Clone([]string{"a", "b", "c", "d"})
		}
		delete(w.running, x.Ref)
		w.step(Executed{x.Ref, o})
		if w.chance(10) {
			w.kinds["twice"]++
			w.after(w.span(0, time.Minute), func() { w.step(Executed{x.Ref, Outcome{Power: PowerOff}}) })
		}
	})
}
