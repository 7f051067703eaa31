package node

import (
	"encoding/json"
	"testing"
	"time"

	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
	"gcrm/cluster/controller"
	"gcrm/cluster/executor/operation"
)

// What somebody without a certificate may send: nothing gets through that
// could not be a node.
func FuzzJoinRequest(f *testing.F) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good, err := json.Marshal(JoinRequest{Secret: "s", Name: "a", Addresses: []string{"192.0.2.1:7488"}, Time: now, Key: []byte{1}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := readJoinRequest(good, now); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"Name":"../x","Addresses":["a"],"Time":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := readJoinRequest(body, now)
		if err != nil {
			return
		}
		if ValidName(req.Name) != nil || len(req.Addresses) == 0 || len(req.Addresses) > maxAddresses || now.Sub(req.Time).Abs() > maxSkew {
			t.Errorf("%+v was let through", req)
		}
		// Probes are judged by the state: with none, nobody is let in.
		if (&consensus.State{}).Admissible(&consensus.Admission{Hash: Token{Secret: req.Secret}.hash(), At: now, Member: consensus.Member{Name: req.Name, Addresses: req.Addresses}}) == nil {
			t.Error("a token that nobody gave out is good")
		}
	})
}

// Tokens are typed and pasted by people.
func FuzzToken(f *testing.F) {
	f.Add(Token{Secret: "s", Fingerprint: "f"}.String())
	f.Add(tokenPrefix + "!")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Errorf("%q: %+v, %v", s, again, err)
		}
	})
}

// What nodes send each other, in the forms that the handlers of rpc.go take.
func FuzzPeerRequests(f *testing.F) {
	forms := []func() any{
		func() any { return &operation.Dispatch{} }, func() any { return &operation.Token{} }, func() any { return &client.Transition{} },
		func() any { return &controller.Fence{} }, func() any { return &manualRequest{} }, func() any { return &client.DrillRequest{} },
		func() any { return &remembrance{} },
	}
	for i, form := range forms {
		b, err := json.Marshal(form())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		form := forms[int(i)%len(forms)]
		v := form()
		if json.Unmarshal(body, v) != nil {
			return
		}
		// What was understood can be passed on, and is understood the same.
		b, err := json.Marshal(v)
		if err != nil {
			return
		}
		w := form()
		if err := json.Unmarshal(b, w); err != nil {
			t.Fatalf("%T: %v\n%s", v, err, b)
		}
		if c, err := json.Marshal(w); err != nil || string(b) != string(c) {
			t.Errorf("%T: %s became %s (%v)", v, b, c, err)
		}
	})
}
