package consensus

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"gcrm/cib"
)

// Entries of the log, which come from other nodes and from the disk: no panic
// when they are read or carried out, and one that was read is written as it was.
func FuzzEntry(f *testing.F) {
	for _, c := range []Command{
		{Change: &cib.Change{Status: &cib.StatusChange{Edits: []cib.StatusEdit{{Attribute: &cib.AttributeEdit{Node: "1", Name: "x", Value: "1"}}}}}},
		{Members: []Member{{Name: "a", ID: "1", State: Online, Incarnation: 7}}},
		{Invite: &Invitation{Hash: "x"}},
		{Admit: &Admission{Hash: "x", Member: Member{Name: "b"}}},
	} {
		data, err := encodeEntry(entry{Request: "r", Command: c})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		request, err := json.Marshal(applyRequest{entry{Request: "r", Command: c}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var req applyRequest
		e, err := decodeEntry(data)
		if err != nil {
			if json.Unmarshal(data, &req) != nil {
				return
			}
			e = req.Entry
		}
		again, err := encodeEntry(e)
		if err != nil {
			return
		}
		back, err := decodeEntry(again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%q", err, again)
		}
		if third, err := encodeEntry(back); err != nil || string(third) != string(again) {
			t.Errorf("%q became %q: %v", again, third, err)
		}
	})
}

// Snapshots come from the leader and from the disk: no panic, neither when one
// is read nor when entries follow, and one that was refused changes nothing.
func FuzzSnapshot(f *testing.F) {
	empty := NewState()
	seed, err := json.Marshal(image{Format: imageFormat, Index: 3, CIB: empty.CIB.String(), Members: []Member{{Name: "a", ID: "1", State: Online}},
		Epoch: 2, Answers: []answer{{}}, LastID: 4, Level: FeatureLevel})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"Format":1,"CIB":"<cib/>"}`))
	f.Add([]byte(`{"Format":1,"CIB":"<cib validate-with='pacemaker-3.0' epoch='1' num_updates='0' admin_epoch='0'/>","Members":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(in)
		_ = z.Close()
		for _, r := range []io.Reader{&b, bytes.NewReader(in)} {
			m := newMachine()
			before, _ := m.current()
			err := m.Restore(io.NopCloser(r))
			if after, _ := m.current(); err != nil && after != before {
				t.Fatalf("a snapshot that was refused (%v) was taken over", err)
			}
			entry, encodeErr := encodeEntry(entry{Request: "r", Command: Command{Members: []Member{{Name: "b", ID: "2", State: Online, Incarnation: 7}}}})
			if encodeErr != nil {
				t.Fatal(encodeErr)
			}
			state, _ := m.current()
			m.Apply(&raft.Log{Index: state.Index + 1, Type: raft.LogCommand, Data: entry})
		}
	})
}
