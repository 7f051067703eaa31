package consensus

import (
	"encoding/json"
	"testing"

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
