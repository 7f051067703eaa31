package heartbeat

import (
	"bytes"
	"testing"
	"time"
)

// Whatever arrives on the port: only what was made with the key is understood,
// and the same again.
func FuzzDecode(f *testing.F) {
	key, tag := []byte("0123456789abcdef"), clusterTag("c")
	good := (&packet{from: "a", to: "b", incarnation: 1, seq: 2, sent: 3}).encode(tag, key)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:len(good)-1])
	f.Add(append(bytes.Clone(good), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b, tag, [][]byte{key})
		if err != nil {
			return
		}
		again := p.encode(tag, key)
		again[7] = b[7] // not used
		copy(again[len(again)-packetCode:], code(key, again[:len(again)-packetCode]))
		b = bytes.Clone(b)
		b[5] &= flagLeaving
		copy(b[len(b)-packetCode:], code(key, b[:len(b)-packetCode]))
		if !bytes.Equal(again, b) {
			t.Errorf("%x was understood and is written as %x", b, again)
		}
	})
}

// A machine that hears garbage, foreign keys and recordings knows nobody, and
// remembers nothing of them.
func TestHostileDatagramsChangeNothing(t *testing.T) {
	timing, err := Derive(time.Second, 0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	config := func(node, key string, incarnation uint64) Config {
		return Config{Cluster: "c", Node: node, Incarnation: incarnation, Keys: [][]byte{[]byte(key)}, Timing: timing}
	}
	peers := []Peer{{"a", 1}, {"b", 1}}
	m := New(config("a", "the key of the cluster", 5), now)
	m.SetPeers(peers)
	// What the real b said to an earlier incarnation of a was recorded.
	old, b := New(config("a", "the key of the cluster", 4), now), New(config("b", "the key of the cluster", 9), now)
	old.SetPeers(peers)
	b.SetPeers(peers)
	var recorded [][]byte
	for i := range 40 {
		at := now.Add(time.Duration(i) * timing.Interval)
		old.Tick(at)
		out, _ := old.Output()
		for _, d := range out {
			_ = b.Receive(at, 0, d.Data)
		}
		b.Tick(at)
		out, _ = b.Output()
		for _, d := range out {
			recorded = append(recorded, d.Data)
			_ = old.Receive(at, 0, d.Data)
		}
	}
	thief := New(config("b", "another key altogether", 100), now)
	thief.SetPeers(peers)
	garbage := make([]byte, maxPacket+1)
	sent := 0
	for i := range 20000 {
		at := now.Add(time.Duration(i) * timing.Interval / 100)
		garbage[i%len(garbage)] ^= byte(i)
		_ = m.Receive(at, 0, garbage[:i%len(garbage)])
		_ = m.Receive(at, 0, recorded[i%len(recorded)])
		if i%50 == 0 {
			thief.Tick(at)
			out, _ := thief.Output()
			for _, d := range out {
				if m.Receive(at, 0, d.Data) == nil {
					t.Fatal("a datagram with another key was listened to")
				}
			}
			m.Tick(at)
		}
		out, events := m.Output()
		for _, d := range out {
			sent += len(d.Data)
		}
		for _, e := range events {
			t.Fatalf("hostile datagrams led to: %v", e)
		}
	}
	if _, up := m.Up("b"); up {
		t.Error("a recorded node is up")
	}
	if len(m.peers) != 1 || len(m.refused) > 16 {
		t.Errorf("%d peers, %d reasons are remembered", len(m.peers), len(m.refused))
	}
	// No amplification: answers to recordings are limited.
	if limit := 20000 / 50 * 2 * maxPacket * 4; sent > limit {
		t.Errorf("%d bytes were sent in answer", sent)
	}
}
