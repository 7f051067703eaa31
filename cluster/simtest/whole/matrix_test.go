package whole

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gcrm/cluster/consensus"
)

// failureCase is one of the 30 failure cases of reference/membership.md,
// section 6, under its number there. The rules of the design are checked all
// the while; f checks what is expected besides.
type failureCase struct {
	number int
	name   string
	sizes  []int // of the cluster
	// witnessed are sizes of clusters that have a witness besides.
	witnessed []int
	plan      plan
	f         func(w *world)
	// cold worlds are not brought up before f.
	cold bool
	// after, if set, is called before the end, when everything is to be healed.
	after func(w *world)
	// elsewhere names tests that show the case, or what of it cannot be shown
	// here: folder and name.
	elsewhere []string
}

func cases() []failureCase {
	two, three, all, more := []int{2}, []int{3}, []int{2, 3, 5}, []int{3, 5}
	return append(witnessCases(), []failureCase{
		{number: 1, name: "power off one node", sizes: all, witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			b.powerOff()
			w.recovered(b, "p0")
			w.wantFenced(b, true)
			w.writable(w.other(b))
			w.returns(b)
		}},
		{number: 2, name: "daemon killed, host alive", sizes: all, witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			b.kill()
			w.recovered(b, "p0")
			w.wantFenced(b, true)
			w.returns(b)
		}},
		{number: 3, name: "clean stop", sizes: all, witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			w.stop(b.current(), 30*w.detection)
			w.recovered(b, "p0")
			time.Sleep(5 * w.detection)
			w.wantFenced(b, false)
			w.writable(w.other(b))
			w.returns(b)
		}},
		{number: 4, name: "link cut, a delay protects one", sizes: two, plan: plan{delays: "node1:5s;node2:0s"}, f: func(w *world) {
			w.sever(w.hosts[0], w.hosts[1], true)
			w.until(20*w.detection, "node2 is fenced", func() bool { return w.timesFenced(w.hosts[1]) == 1 })
			w.until(20*w.detection, "node1 runs everything", func() bool { return w.owner("p0") == w.hosts[0] && w.owner("p1") == w.hosts[0] })
			w.wantFenced(w.hosts[0], false)
			w.sever(w.hosts[0], w.hosts[1], false)
		}},
		{number: 5, name: "link cut, the device does not answer", sizes: two, f: func(w *world) {
			w.breakDevice(true)
			before := w.where()
			w.sever(w.hosts[0], w.hosts[1], true)
			time.Sleep(30 * w.detection)
			w.same(before)
			w.wantFenced(w.hosts[0], false)
			w.wantFenced(w.hosts[1], false)
		}, after: func(w *world) { w.breakDevice(false) }},
		{number: 6, name: "case 5, then the link returns", sizes: two, f: func(w *world) {
			w.writable(w.hosts[0])
			w.breakDevice(true)
			before, kept := w.where(), len(w.promised)
			w.sever(w.hosts[0], w.hosts[1], true)
			time.Sleep(10 * w.detection)
			w.sever(w.hosts[0], w.hosts[1], false)
			w.until(30*w.detection, "both work together again, without a takeover", func() bool { return w.leader() != nil && w.hosts[0].running() != nil && w.hosts[1].running() != nil })
			for i := range before { // who stopped what it had may start it again, in one place
				if len(w.on(i)) > 1 {
					w.violated("%s is active twice", i)
				}
			}
			w.breakDevice(false)
			w.writable(w.hosts[0])
			if len(w.promised) <= kept {
				w.violated("nothing could be committed after the link came back")
			}
			for _, h := range w.hosts { // nobody went on alone
				if n := h.running(); n != nil {
					if s, _ := n.Consensus().State(); s.Epoch > 1 && w.timesFenced(w.hosts[0])+w.timesFenced(w.hosts[1]) == 0 {
						w.violated("%s is of epoch %d though nobody was fenced", h.name, s.Epoch)
					}
				}
			}
		}},
		{number: 7, name: "all boot together", sizes: all, witnessed: all, cold: true, f: func(w *world) {
			w.begin()
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 8, name: "only one of two boots", sizes: two, f: func(w *world) {
			w.allOff()
			starts := w.starts()
			w.hosts[0].boot()
			time.Sleep(30 * w.detection)
			w.wantStarts(starts)
			w.wantFenced(w.hosts[1], false)
			n := w.hosts[0].running()
			ctx, cancel := context.WithTimeout(context.Background(), 20*w.detection)
			defer cancel()
			if err := n.ForceAlone(ctx, "node2", "the test", "I verified that it is down"); err != nil {
				w.violated("force-alone: %v", err)
			}
			w.until(30*w.detection, "the one runs everything", func() bool { return w.owner("p0") == w.hosts[0] && w.owner("p1") == w.hosts[0] })
			w.returns(w.hosts[1])
		}},
		{number: 9, name: "a fenced node reboots with the link still cut", sizes: two, plan: plan{delays: "node1:5s;node2:0s"}, f: func(w *world) {
			w.sever(w.hosts[0], w.hosts[1], true)
			w.until(20*w.detection, "node2 is back", func() bool { return w.timesFenced(w.hosts[1]) == 1 && w.hosts[1].running() != nil })
			time.Sleep(40 * w.detection)
			w.wantFenced(w.hosts[0], false)
			if k := w.timesFenced(w.hosts[1]); k != 1 {
				w.violated("node2 was fenced %d times", k)
			}
			w.sever(w.hosts[0], w.hosts[1], false)
		}},
		{number: 10, name: "both fence each other", sizes: two, f: func(w *world) {
			w.sever(w.hosts[0], w.hosts[1], true)
			w.until(20*w.detection, "one is fenced", func() bool { return w.timesFenced(w.hosts[0])+w.timesFenced(w.hosts[1]) > 0 })
			time.Sleep(5 * w.detection)
			if a, b := w.timesFenced(w.hosts[0]), w.timesFenced(w.hosts[1]); a+b != 1 {
				w.violated("node1 was fenced %d times, node2 %d times", a, b)
			}
			w.sever(w.hosts[0], w.hosts[1], false)
		}},
		{number: 11, name: "one of several is lost", sizes: more, witnessed: all, f: func(w *world) {
			b := w.nodes()[len(w.nodes())-1]
			b.powerOff()
			w.until(20*w.detection, "it is fenced", func() bool { return w.timesFenced(b) == 1 })
			w.writable(w.hosts[0])
		}},
		{number: 12, name: "a majority is lost at once", sizes: more, witnessed: all, f: func(w *world) {
			for _, h := range w.hosts[1:] {
				h.powerOff()
			}
			time.Sleep(30 * w.detection)
			w.wantNothingOn(w.hosts[0])
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 13, name: "split with policy freeze", sizes: more, witnessed: all, plan: plan{policy: "freeze"}, f: func(w *world) {
			b := w.owner("p0")
			w.cutOff(b)
			w.recovered(b, "p0")
			w.wantFenced(b, true)
		}},
		{number: 14, name: "the leader is killed during a transition", sizes: more, witnessed: all, f: func(w *world) {
			w.slowAgents(2 * w.detection)
			b := w.owner("p0")
			w.until(10*w.detection, "the resource moves", func() bool { return w.standby(b, "on") == nil })
			time.Sleep(w.detection)
			w.leader().kill()
			w.slowAgents(0)
			w.until(60*w.detection, "it runs elsewhere", func() bool { o := w.owner("p0"); return o != nil && o != b })
			w.until(10*w.detection, "standby off", func() bool { return w.standby(b, "off") == nil })
		}},
		{number: 15, name: "the leader is killed while it fences", sizes: []int{5}, witnessed: []int{5}, f: func(w *world) {
			l := w.leader()
			b := w.other(l)
			w.breakDevice(true)
			b.powerOff()
			time.Sleep(3 * w.detection)
			l.kill()
			w.breakDevice(false)
			w.until(60*w.detection, "both are fenced", func() bool { return w.timesFenced(b) >= 1 && w.timesFenced(l) >= 1 })
		}},
		{number: 15, name: "the leader itself is to be fenced", sizes: all, witnessed: all, f: func(w *world) {
			l := w.leader()
			w.onlyOn(l)
			w.until(20*w.detection, "it runs on the leader", func() bool { return w.owner("p0") == l })
			w.mu.Lock()
			w.stopFails["p0@"+l.name] = true
			w.mu.Unlock()
			w.onlyOn(w.other(l))
			w.recovered(l, "p0")
			time.Sleep(10 * w.detection)
			if k := w.timesFenced(l); k != 1 {
				w.violated("%s was fenced %d times", l.name, k)
			}
		}},
		{number: 16, name: "asymmetric link", sizes: more, witnessed: all, f: func(w *world) {
			a, c := w.follower(0), w.follower(1)
			w.sever(a, c, true)
			time.Sleep(20 * w.detection)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
			if why := w.atRest(); why != "" {
				w.violated("one cut link disturbs the cluster: %s", why)
			}
		}},
		{number: 17, name: "loss and jitter", sizes: all, witnessed: all, f: func(w *world) {
			w.net.mu.Lock()
			w.net.loss, w.net.spike = 0.1, 0.05
			w.net.mu.Unlock()
			time.Sleep(60 * w.detection)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 18, name: "clock jump; suspend and resume", elsewhere: []string{"cluster/simtest/netns TestPausedLeaderDoesNotAct", "cluster/node TestIncarnationGrows"}, sizes: all, witnessed: all, f: func(w *world) {
			// What a machine that is resumed finds: it was away for longer than
			// the others wait, and its resources are theirs.
			b := w.owner("p0")
			w.cutOff(b)
			w.until(40*w.detection, "the others went on", func() bool { return w.timesFenced(b) > 0 || len(w.hosts) == 2 && w.timesFenced(w.other(b)) > 0 })
			for _, h := range w.hosts {
				if h != b {
					w.sever(b, h, false)
				}
			}
			w.until(60*w.detection, "p0 runs once", func() bool { return w.owner("p0") != nil })
		}},
		{number: 19, name: "the leader's disk stalls", sizes: more, witnessed: all, f: func(w *world) {
			l := w.leader()
			l.disk.mu.Lock()
			l.disk.stalled = time.Now().Add(20 * w.detection)
			l.disk.mu.Unlock()
			time.Sleep(25 * w.detection)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 20, name: "four nodes split in halves", sizes: []int{4}, f: func(w *world) {
			for _, a := range w.hosts[:2] {
				for _, b := range w.hosts[2:] {
					w.sever(a, b, true)
				}
			}
			time.Sleep(30 * w.detection)
			for _, h := range w.hosts { // no half has a majority
				w.wantNothingOn(h)
				w.wantFenced(h, false)
			}
		}},
		{number: 21, name: "losses one after the other, down to one", sizes: []int{5}, f: func(w *world) {
			for k, b := range w.hosts[:4] {
				b.powerOff()
				w.until(40*w.detection, fmt.Sprintf("loss %d is recovered", k+1), func() bool {
					l := w.leader()
					if l == nil || w.timesFenced(b) == 0 {
						return false
					}
					voters, _, err := l.running().Consensus().Electorate()
					return err == nil && len(voters) == 4-k
				})
				w.recovered(b, "p0")
				time.Sleep(2 * w.detection) // until all know that the vote is taken
			}
			w.writable(w.hosts[4])
		}, plan: plan{properties: map[string]string{"stonith-action": "off"}}},
		{number: 22, name: "a node is removed while it is down", elsewhere: []string{"cluster/node/daemon TestRemovedWhileDown", "cluster/node/daemon TestInitJoinLeaveReturn"}},
		{number: 23, name: "mixed versions", elsewhere: []string{"cmd/gcrm TestRollingUpgrade"}, sizes: all, witnessed: all, plan: plan{olderNodes: 1}, f: func(w *world) {
			works := func() int {
				l := w.leader()
				if l == nil {
					return 0
				}
				s, _ := l.running().Consensus().State()
				return s.Works()
			}
			w.until(20*w.detection, "the cluster works at the older level", func() bool { return works() == consensus.FeatureLevel-1 })
			w.writable(w.hosts[0])
			old := w.hosts[0]
			w.stop(old.current(), 30*w.detection)
			old.level.Store(consensus.FeatureLevel)
			w.returns(old)
			w.until(40*w.detection, "the cluster works at the newer level", func() bool { return works() == consensus.FeatureLevel })
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 25, name: "a node returns with changes that nobody else has", sizes: more, witnessed: all, f: func(w *world) {
			l := w.leader()
			w.cutOff(l)
			for range 5 { // it takes them in until it notices that it leads nobody
				w.mark(l, w.detection/5)
			}
			var rest *host
			w.until(40*w.detection, "another one leads", func() bool {
				for _, h := range w.hosts {
					if n := h.running(); h != l && n != nil {
						if lead, _ := n.Consensus().Leadership(); lead.Self {
							rest = h
							return true
						}
					}
				}
				return false
			})
			if rest == nil {
				return
			}
			w.writable(rest)
			for _, h := range w.hosts {
				if h != l {
					w.sever(l, h, false)
				}
			}
			w.returns(l)
		}},
		{number: 26, name: "all are shut down together", sizes: all, f: func(w *world) {
			ctx, cancel := context.WithTimeout(context.Background(), 60*w.detection)
			defer cancel()
			var names []string
			for _, h := range w.hosts {
				names = append(names, h.name)
			}
			// The node that was asked may be gone before the others.
			_ = w.hosts[0].running().Evacuate(ctx, names...)
			w.until(60*w.detection, "all daemons end", func() bool {
				for _, h := range w.hosts {
					if h.current() != nil {
						return false
					}
				}
				return true
			})
			for _, h := range w.hosts {
				w.wantNothingOn(h)
				w.wantFenced(h, false)
			}
			w.allOff()
		}},
		{number: 26, name: "the daemons of all are stopped at once", sizes: all, witnessed: all, f: func(w *world) {
			for _, h := range w.hosts {
				l := h.current()
				w.wg.Go(func() { w.stop(l, 30*w.detection) })
			}
			w.until(60*w.detection, "all daemons end", func() bool {
				return !slices.ContainsFunc(w.hosts, func(h *host) bool { return h.current() != nil })
			})
			for _, h := range w.hosts {
				w.wantNothingOn(h)
				w.wantFenced(h, false)
			}
			w.allOff()
		}},
		{number: 27, name: "the device reports success, and the node goes on sending", sizes: all, witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			w.mu.Lock()
			w.lying = true
			w.mu.Unlock()
			first := b.current()
			w.terminate(b)
			w.until(80*w.detection, "the node ends by itself", func() bool { return b.current() != first })
			w.mu.Lock()
			w.lying = false
			w.mu.Unlock()
			w.until(80*w.detection, "p0 runs once", func() bool { return w.owner("p0") != nil })
		}},
		{number: 27, name: "the device lies once, then the node is cut off", sizes: more, witnessed: all, f: func(w *world) {
			b := w.follower(0)
			w.onlyOn(b)
			w.until(20*w.detection, "it runs there", func() bool { return w.owner("p0") == b })
			w.mu.Lock()
			w.lying = true
			w.mu.Unlock()
			w.terminate(b)
			w.until(20*w.detection, "the device lies", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.lies > 0
			})
			time.Sleep(w.detection * 5 / 2) // its heartbeats have just been enough to show it
			w.cutOff(b)
			w.mu.Lock()
			w.lying = false
			w.mu.Unlock()
			w.onlyOn(w.leader())
			w.recovered(b, "p0")
			w.wantFenced(b, true)
		}},
		{number: 28, name: "wrong key or cluster", elsewhere: []string{"cluster/node/daemon TestHostilePeers", "cluster/heartbeat TestForgery", "cluster/transport TestRefusals"}},
		{number: 29, name: "all on standby", sizes: all, witnessed: all, f: func(w *world) {
			for _, h := range w.nodes() {
				w.until(10*w.detection, "standby", func() bool { return w.standby(h, "on") == nil })
			}
			w.until(40*w.detection, "everything stops", func() bool { return w.owner("p0") == nil && w.owner("p1") == nil })
			for _, h := range w.nodes() {
				w.wantFenced(h, false)
				w.until(10*w.detection, "standby off", func() bool { return w.standby(h, "off") == nil })
			}
		}},
		{number: 30, name: "no fencing, quorum ignored, link cut", sizes: two, plan: plan{unfenced: true, policy: "ignore"}, f: func(w *world) {
			w.sever(w.hosts[0], w.hosts[1], true)
			w.until(30*w.detection, "both run everything", func() bool { return len(w.on("p0")) == 2 && len(w.on("p1")) == 2 })
			w.sever(w.hosts[0], w.hosts[1], false)
		}},
		{number: 12, name: "no quorum, policy suicide", sizes: three, witnessed: all, plan: plan{policy: "suicide"}, f: func(w *world) {
			b := w.owner("p0")
			w.cutOff(b)
			w.recovered(b, "p0")
		}},
		{number: 19, name: "the disk of one node is full for good", sizes: all, witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			b.disk.mu.Lock()
			b.disk.full = true
			b.disk.mu.Unlock()
			w.until(60*w.detection, "what it ran is elsewhere", func() bool {
				w.writing()
				o := w.owner("p0")
				return o != nil && o != b
			})
		}},
	}...)
}

var wholeMatrix = flag.Bool("matrix", false, "run the failure cases of clusters with a witness in all sizes, not the smallest alone")

// TestFailureCases runs the matrix: each case on each size of cluster that it
// concerns. In the end everything is healed and has to come to rest.
func TestFailureCases(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	shown := map[int]bool{}
	for _, c := range cases() {
		shown[c.number] = true
		for _, where := range c.elsewhere {
			if err := named(where); err != nil {
				t.Errorf("case %d (%s): %v", c.number, c.name, err)
			}
		}
		run := func(size, witnesses int) {
			name := fmt.Sprintf("case %d: %s, %d nodes", c.number, c.name, size)
			p := c.plan
			if witnesses > 0 {
				name, p.witness = name+" and a witness", true
			}
			t.Run(name, func(t *testing.T) {
				p.nodes, p.seed = size+witnesses, uint64(c.number*100+size+10*witnesses)
				var w *world
				synctest.Test(t, func(t *testing.T) {
					w = newWorld(t, p)
					if c.cold || w.begin() {
						w.note("--- %s", c.name)
						c.f(w)
						if c.after != nil {
							c.after(w)
						}
						w.calm()
						w.rest(200 * w.detection)
					}
					w.close()
				})
				for _, v := range w.violations {
					t.Error(v)
				}
				if w.stats.Repeated > 0 {
					t.Errorf("%d fencings were of nodes that had not started since they were fenced", w.stats.Repeated)
				}
				if t.Failed() {
					t.Log(w.tail(400))
				}
			})
		}
		for _, size := range c.sizes {
			run(size, 0)
		}
		for _, size := range c.witnessed {
			if size != c.witnessed[0] && !*wholeMatrix {
				continue
			}
			run(size, 1)
		}
	}
	for number := 1; number <= failureCases; number++ {
		if !shown[number] {
			t.Errorf("case %d is not shown", number)
		}
	}
}

// failureCases is how many reference/membership.md has.
const failureCases = 30
