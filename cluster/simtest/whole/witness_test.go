package whole

import "time"

// witnessCases are the failure cases that mean something else, or only mean
// something, where there is a witness: a voter that runs nothing and never
// leads. Of two nodes and a witness, whoever has the witness has a majority.
func witnessCases() []failureCase {
	two, all := []int{2}, []int{2, 3, 5}
	return []failureCase{
		{number: 4, name: "a node is cut off with delays that protect it", witnessed: two, plan: plan{delays: "node1:5s;node2:0s"}, f: func(w *world) {
			// The delay is for races, and here is none: the other one alone has
			// a majority.
			a, b := w.hosts[0], w.hosts[1]
			w.cutOff(a)
			w.until(30*w.detection, "node1 is fenced", func() bool { return w.timesFenced(a) == 1 })
			w.until(20*w.detection, "node2 runs everything", func() bool { return w.owner("p0") == b && w.owner("p1") == b })
			w.wantFenced(b, false)
			w.writable(b)
		}},
		{number: 4, name: "two nodes that both see the witness do not see each other", witnessed: two, f: func(w *world) {
			a, b := w.hosts[0], w.hosts[1]
			w.sever(a, b, true)
			w.until(40*w.detection, "one is fenced", func() bool { return w.timesFenced(a)+w.timesFenced(b) == 1 })
			w.until(40*w.detection, "the other one runs everything", func() bool { o := w.owner("p0"); return o != nil && o == w.owner("p1") })
			time.Sleep(30 * w.detection)
			if k := w.timesFenced(a) + w.timesFenced(b); k != 1 {
				w.violated("%d fencings for one cut", k)
			}
			w.sever(a, b, false)
		}},
		{number: 5, name: "a node is cut off, the device does not answer", witnessed: two, f: func(w *world) {
			b := w.owner("p0")
			w.breakDevice(true)
			w.cutOff(b)
			time.Sleep(30 * w.detection)
			w.wantNothingOn(b) // it has no quorum
			if o := w.owner("p0"); o != nil {
				w.violated("p0 was started on %s without proof", o.name)
			}
			if a := w.other(b); a.running() == nil || !a.running().Info().Quorate {
				w.violated("%s has the witness and no quorum", a.name)
			} else {
				w.writable(a)
			}
		}, after: func(w *world) { w.breakDevice(false) }},
		{number: 6, name: "case 5, then the link returns", witnessed: two, f: func(w *world) {
			b := w.owner("p0")
			w.breakDevice(true)
			w.cutOff(b)
			time.Sleep(20 * w.detection)
			for _, h := range w.hosts {
				if h != b {
					w.sever(b, h, false)
				}
			}
			time.Sleep(10 * w.detection)
			w.wantFenced(b, false)
			w.breakDevice(false)
			w.until(60*w.detection, "p0 runs once", func() bool { return w.owner("p0") != nil })
		}, after: func(w *world) { w.breakDevice(false) }},
		{number: 8, name: "only one node boots", witnessed: all, f: func(w *world) {
			w.allOff()
			starts := w.starts()
			w.hosts[0].boot()
			time.Sleep(30 * w.detection)
			w.wantStarts(starts)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 8, name: "one of two nodes boots, and the witness", witnessed: two, f: func(w *world) {
			w.allOff()
			w.hosts[0].boot()
			w.hosts[2].boot()
			w.until(40*w.detection, "the one runs everything", func() bool { return w.owner("p0") == w.hosts[0] && w.owner("p1") == w.hosts[0] })
			w.wantFenced(w.hosts[1], true) // a majority may, and must
			w.wantFenced(w.hosts[2], false)
		}},
		{number: 8, name: "the witness alone boots", witnessed: all, f: func(w *world) {
			w.allOff()
			starts := w.starts()
			w.hosts[len(w.hosts)-1].boot()
			time.Sleep(30 * w.detection)
			w.wantStarts(starts)
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 9, name: "a fenced node reboots still cut off", witnessed: all, f: func(w *world) {
			b := w.owner("p0")
			w.cutOff(b)
			w.until(40*w.detection, "it is back", func() bool { return w.timesFenced(b) == 1 && b.running() != nil })
			time.Sleep(40 * w.detection)
			for _, h := range w.hosts {
				if h != b {
					w.wantFenced(h, false)
				}
			}
			if k := w.timesFenced(b); k != 1 {
				w.violated("%s was fenced %d times", b.name, k)
			}
		}},
		{number: 20, name: "four nodes split in halves, one of which has the witness", witnessed: []int{4}, f: func(w *world) {
			for _, a := range w.hosts[:2] {
				for _, b := range w.hosts[2:4] {
					w.sever(a, b, true)
				}
				w.sever(a, w.hosts[4], true)
			}
			for _, id := range []string{"p0", "p1"} {
				w.until(40*w.detection, id+" runs where the witness is", func() bool { o := w.owner(id); return o == w.hosts[2] || o == w.hosts[3] })
			}
			for _, h := range w.hosts[2:] {
				w.wantFenced(h, false)
			}
			w.writable(w.hosts[2])
		}},
		{number: 24, name: "the witness is lost", witnessed: all, f: func(w *world) {
			wit := w.hosts[len(w.hosts)-1]
			before := w.where()
			wit.powerOff()
			time.Sleep(10 * w.detection)
			w.same(before)
			for _, h := range w.nodes() {
				w.wantFenced(h, false)
			}
			w.writable(w.hosts[0])
			b := w.hosts[1]
			b.powerOff()
			w.until(40*w.detection, "another one lost is fenced", func() bool { return w.timesFenced(b) >= 1 })
			w.recovered(b, "p0")
		}},
		{number: 24, name: "the witness and one node are lost at once", witnessed: two, f: func(w *world) {
			w.hosts[1].powerOff()
			w.hosts[2].powerOff()
			time.Sleep(30 * w.detection)
			w.wantNothingOn(w.hosts[0])
			for _, h := range w.hosts {
				w.wantFenced(h, false)
			}
		}},
		{number: 24, name: "the witness is cut off", witnessed: all, f: func(w *world) {
			wit := w.hosts[len(w.hosts)-1]
			before := w.where()
			w.cutOff(wit)
			time.Sleep(30 * w.detection)
			w.same(before)
			for _, h := range w.nodes() {
				w.wantFenced(h, false)
			}
		}},
		{number: 30, name: "no fencing, quorum ignored, a node is cut off", witnessed: two, plan: plan{unfenced: true, policy: "ignore"}, f: func(w *world) {
			b := w.owner("p0")
			a := w.other(b)
			w.cutOff(b)
			w.until(40*w.detection, "who has the witness runs everything", func() bool {
				return len(w.on("p0")) > 0 && (w.on("p0")[0] == a || w.on("p0")[len(w.on("p0"))-1] == a)
			})
		}},
	}
}
