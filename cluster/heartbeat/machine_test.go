package heartbeat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// sim is a set of machines with a network between them; time moves only when
// a transcript says so.
type sim struct {
	timing   Timing
	now      time.Time
	machines map[string]*Machine
	links    int
	names    []string
	inc      map[string]uint64
	cut      map[string]bool // "a>b/0"
	frozen   map[string]bool
	recorded []simPacket
	record   bool
	flight   []simPacket
	out      strings.Builder
}

type simPacket struct {
	from, to string
	link     int
	data     []byte
}

func (s *sim) start(name string) {
	s.inc[name]++
	m := New(Config{Cluster: "c", Node: name, Incarnation: s.inc[name], Keys: [][]byte{[]byte("key")}, Timing: s.timing}, s.now)
	var peers []Peer
	for _, n := range s.names {
		peers = append(peers, Peer{n, s.links})
	}
	m.SetPeers(peers)
	s.machines[name] = m
}

func (s *sim) collect() {
	for _, n := range s.names {
		m := s.machines[n]
		if m == nil {
			continue
		}
		out, events := m.Output()
		for _, e := range events {
			fmt.Fprintf(&s.out, "%5d %s: %v\n", s.now.Sub(time.Unix(0, 0)).Milliseconds(), n, e)
		}
		for _, d := range out {
			p := simPacket{n, d.Peer, d.Link, d.Data}
			if s.record {
				s.recorded = append(s.recorded, p)
			}
			if !s.cut[fmt.Sprintf("%s>%s/%d", n, d.Peer, d.Link)] {
				s.flight = append(s.flight, p)
			}
		}
	}
}

// deliver lets everything arrive that is under way, with no delay.
func (s *sim) deliver() {
	s.collect()
	for len(s.flight) > 0 {
		now := s.flight
		s.flight = nil
		for _, p := range now {
			if m := s.machines[p.to]; m != nil && !s.frozen[p.to] {
				m.Receive(s.now, p.link, p.data)
			}
		}
		s.collect()
	}
}

func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(s.timing.Interval / 2)
		for _, n := range s.names {
			if m := s.machines[n]; m != nil && !s.frozen[n] {
				m.Tick(s.now)
			}
		}
		s.deliver()
	}
}

// TestTranscripts runs testdata; commands:
//
//	nodes a b c [links=2] [detection=1s]   make and start machines
//	run 3s                                 let time pass
//	cut a>b [link=0]  /  heal              lose what a sends to b
//	freeze a  /  thaw a                    the process of a does not run
//	crash a  /  start a                    stop, or start anew
//	leave a                                leave cleanly
//	record  /  replay                      keep all datagrams; send them again
//	epoch a n                              raise the epoch of a
//	links a                                health of the links
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &sim{now: time.Unix(0, 0), machines: map[string]*Machine{}, inc: map[string]uint64{}, cut: map[string]bool{}, frozen: map[string]bool{}, links: 1}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			var args []string
			link := -1
			detection := time.Second
			for _, a := range d.CmdArgs {
				switch {
				case a.Key == "links" && len(a.Vals) == 1:
					s.links, _ = strconv.Atoi(a.Vals[0])
				case a.Key == "link":
					link, _ = strconv.Atoi(a.Vals[0])
				case a.Key == "detection":
					detection, _ = time.ParseDuration(a.Vals[0])
				default:
					args = append(args, a.Key)
				}
			}
			switch d.Cmd {
			case "nodes":
				var err error
				if s.timing, err = Derive(detection, 0); err != nil {
					t.Fatal(err)
				}
				s.names = args
				for _, n := range args {
					s.start(n)
				}
			case "run":
				v, err := time.ParseDuration(args[0])
				if err != nil {
					t.Fatal(err)
				}
				s.run(v)
			case "cut":
				for i := range s.links {
					if link < 0 || i == link {
						s.cut[fmt.Sprintf("%s/%d", args[0], i)] = true
					}
				}
			case "heal":
				clear(s.cut)
			case "freeze":
				s.frozen[args[0]] = true
			case "thaw":
				delete(s.frozen, args[0])
			case "crash":
				delete(s.machines, args[0])
			case "start":
				s.start(args[0])
			case "leave":
				s.machines[args[0]].Leave(s.now)
				s.deliver()
				delete(s.machines, args[0])
			case "epoch":
				n, _ := strconv.ParseUint(args[1], 10, 64)
				s.machines[args[0]].SetEpoch(n)
			case "record":
				s.record = true
			case "replay":
				s.record = false
				for _, p := range s.recorded {
					if m := s.machines[p.to]; m != nil {
						m.Receive(s.now, p.link, p.data)
					}
				}
				s.deliver()
			case "links":
				for _, h := range s.machines[args[0]].Links() {
					fmt.Fprintf(&s.out, "%s link %d hears=%v heard=%v loss=%.0f%%\n", h.Peer, h.Link, h.Hears, h.Heard, 100*h.Loss)
				}
			case "refused":
				var lines []string
				for why, n := range s.machines[args[0]].Refused() {
					lines = append(lines, fmt.Sprintf("%d %s\n", n, why))
				}
				slices.Sort(lines)
				s.out.WriteString(strings.Join(lines, ""))
			default:
				t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			}
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

func TestDerive(t *testing.T) {
	for _, c := range []struct {
		in                                         time.Duration
		interval, dead, raft, lease, commit, outIO time.Duration
	}{
		{LAN, 200 * time.Millisecond, 1800 * time.Millisecond, 800 * time.Millisecond, 500 * time.Millisecond, 20 * time.Millisecond, 4 * time.Second},
		{Embedded, 100 * time.Millisecond, 900 * time.Millisecond, 400 * time.Millisecond, 250 * time.Millisecond, 10 * time.Millisecond, 2 * time.Second},
		{Stretched, 600 * time.Millisecond, 5400 * time.Millisecond, 2400 * time.Millisecond, 1500 * time.Millisecond, 50 * time.Millisecond, 12 * time.Second},
		{200 * time.Millisecond, 20 * time.Millisecond, 180 * time.Millisecond, 80 * time.Millisecond, 50 * time.Millisecond, 5 * time.Millisecond, time.Second},
	} {
		got, err := Derive(c.in, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := Timing{Detection: c.in, Interval: c.interval, DeadAfter: c.dead, LinkDeadAfter: 4 * c.interval,
			RaftHeartbeat: c.raft, RaftElection: c.raft, RaftLease: c.lease, RaftCommit: c.commit, IO: c.outIO,
			DiskPatience: max(3*c.in, 3*time.Second), Fencing: time.Minute, Answer: max(5*c.in, 5*time.Second), JoinPatience: max(5*c.in, 20*time.Second),
			Knock: c.in, Redial: 15 * c.in, FalseFencing: 3 * c.in, RecordHold: 20 * c.outIO, FencingLimit: time.Hour}
		if got != want {
			t.Errorf("%v: got %+v, want %+v", c.in, got, want)
		}
		if got.DeadAfter+got.Interval/2 >= c.in || got.RaftLease >= got.RaftHeartbeat {
			t.Errorf("%v: timeouts do not fit together: %+v", c.in, got)
		}
	}
	for _, p := range Presets() {
		if got, err := Derive(p.Detection, p.Fencing); err != nil || PresetOf(got.Detection, got.Fencing) != p.Name {
			t.Errorf("%+v: %+v, %v", p, got, err)
		}
		if q, err := PresetNamed(p.Name); err != nil || q != p {
			t.Errorf("%+v, %v", q, err)
		}
	}
	if _, err := PresetNamed("moon"); err == nil || !strings.Contains(err.Error(), "two-nodes-direct") {
		t.Error(err)
	}
	if got, err := Derive(time.Second, 10*time.Minute); err != nil || got.FencingLimit != 100*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Derive(time.Second, 2*time.Hour); err == nil {
		t.Error("a fencing time of two hours was accepted")
	}
	for _, bad := range []time.Duration{0, 100 * time.Millisecond, time.Hour} {
		if _, err := Derive(bad, 0); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}

// TestForgery: no datagram without the key, for another node or cluster, or
// changed on its way is listened to.
func TestForgery(t *testing.T) {
	timing, _ := Derive(time.Second, 0)
	now := time.Unix(0, 0)
	m := New(Config{Cluster: "c", Node: "a", Incarnation: 1, Keys: [][]byte{[]byte("key")}, Timing: timing}, now)
	m.SetPeers([]Peer{{"b", 1}})
	k := packet{from: "b", to: "a", incarnation: 1, seq: 1, echoIncarnation: 1}
	good := k.encode(clusterTag("c"), []byte("key"))
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if err := m.Receive(now, 0, bad); err == nil {
			t.Errorf("a datagram with byte %d changed was accepted", i)
		}
	}
	for _, bad := range [][]byte{nil, good[:20], append(slices.Clone(good), 0),
		k.encode(clusterTag("c"), []byte("other")), k.encode(clusterTag("d"), []byte("key"))} {
		if err := m.Receive(now, 0, bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, events := m.Output(); len(events) != 0 {
		t.Errorf("forgeries had effects: %v", events)
	}
	if err := m.Receive(now, 0, good); err != nil {
		t.Error(err)
	}
	if _, up := m.Up("b"); !up {
		t.Error("the genuine datagram was ignored")
	}
}

func FuzzReceive(f *testing.F) {
	k := packet{from: "b", to: "a", incarnation: 1, seq: 1, echoIncarnation: 1}
	f.Add(k.encode(clusterTag("c"), []byte("key")))
	f.Fuzz(func(t *testing.T, in []byte) {
		timing, _ := Derive(time.Second, 0)
		m := New(Config{Cluster: "c", Node: "a", Incarnation: 1, Keys: [][]byte{[]byte("key")}, Timing: timing}, time.Unix(0, 0))
		m.SetPeers([]Peer{{"b", 1}})
		m.Receive(time.Unix(0, 0), 0, in)
		// With the right code, too: what a member sends is not trusted blindly.
		if len(in) > packetCode {
			body := in[:len(in)-packetCode]
			m.Receive(time.Unix(1, 0), 0, append(slices.Clone(body), code([]byte("key"), body)...))
		}
	})
}
