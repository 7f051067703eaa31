package plock

import (
	"encoding/json"
	"testing"
)

// Messages of other members, which have a certificate but may be of another
// build: whatever they say, no panic (it would cost the node its life), and a
// further generation still works.
func FuzzMessages(f *testing.F) {
	for _, m := range []Message{
		{Kind: Report, Generation: 1, From: 2, To: 1, Position: 7},
		{Kind: Request, Generation: 1, From: 2, To: 1, ID: 1, Record: Record{Op: Lock, Node: 2, Number: 5, End: 9, Owner: 1}},
		{Kind: Request, Generation: 1, From: 2, To: 1, ID: 2, Record: Record{Op: Get, Close: true, Node: 1, Number: 5, End: 9, Owner: 1}},
		{Kind: Ordered, Generation: 1, From: 1, To: 2, Steps: []Step{{Position: 1, Node: 2, ID: 1, Record: Record{Op: Get, Close: true, Number: 5}}}},
		{Kind: Sync, Generation: 1, From: 1, To: 2, State: &State{Position: 4, Files: []FileState{{Number: 5, Held: []Held{{Node: 3, Start: 9, End: 2}}, Waiting: []Record{{Op: Lock, End: 3}}}}}},
		{Kind: Fetch, Generation: 1, From: 2, To: 1, Position: 1<<64 - 1, Fresh: true},
		{Kind: Fetched, Generation: 1, From: 2, To: 1, Steps: []Step{{Position: 1, Purge: []int32{2}, Keep: []int32{1}}}},
		{Kind: Ack, Generation: 1, From: 2, To: 1, Position: 3},
		{Kind: Report, Generation: 2, From: 2, To: 1, Fresh: true},
	} {
		b, err := json.Marshal([]Message{m})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var list []Message
		if json.Unmarshal(in, &list) != nil {
			return
		}
		members := []int32{1, 2, 3}
		for _, self := range members {
			c := NewChannel(self)
			check := func(out []Output) {
				for _, o := range out {
					if (o.Message == nil) == (o.Answer == nil) {
						t.Fatalf("an output is both or nothing: %+v", o)
					}
					if o.Message != nil && o.Message.From != self {
						t.Fatalf("node %d speaks for %d", self, o.Message.From)
					}
				}
			}
			check(c.Begin(1, members))
			check(c.Request(Record{Op: Lock, Number: 5, End: 9, Owner: 1, Wait: true}))
			for _, m := range list {
				check(c.Receive(m))
			}
			check(c.Request(Record{Op: Unlock, Number: 5, End: 9, Owner: 1}))
			check(c.Begin(1<<63, []int32{self}))
			if !c.Synced() && !c.Gap() {
				t.Fatalf("node %d alone does not go on", self)
			}
		}
	})
}
