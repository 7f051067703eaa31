package transport

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Frames that arrive: no panic, and no more memory than what arrived.
func FuzzReadFrame(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, frame{kindRequest, 7, []byte("\x03abc{}")}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{frameVersion, kindRequest, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{frameVersion, kindAnswer, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readFrame(bytes.NewReader(in), 1<<20)
		if err != nil {
			return
		}
		if len(got.body) > len(in) {
			t.Errorf("a body of %d bytes came of %d", len(got.body), len(in))
		}
		var again bytes.Buffer
		if err := writeFrame(&again, got); err != nil || !bytes.HasPrefix(in, again.Bytes()) {
			t.Errorf("%x is written as %x: %v", in, again.Bytes(), err)
		}
	})
}

// Hellos that arrive: no panic, none longer than allowed, and one that was
// read can be judged.
func FuzzReadHello(f *testing.F) {
	var b bytes.Buffer
	if err := writeHello(&b, Hello{Version: 1, Cluster: "c", Node: "n", Incarnation: 1, Epoch: 1, Purpose: purposeRPC}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0xff, 0xff})
	f.Add([]byte{0, 2, '{', '}'})
	own := &Transport{cfg: Config{Cluster: "c", Node: "own"}}
	own.epoch.Store(3)
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := readHello(bytes.NewReader(in))
		if err != nil {
			return
		}
		if len(in) > maxHello+2 && len(in) < 3 {
			t.Error("a hello of an impossible length")
		}
		if r := own.judge(h); r == nil && (h.Cluster != "c" || h.Epoch < 3 || h.Version < 1) {
			t.Errorf("%+v was accepted", h)
		}
	})
}

// What a failure carries over the network.
func FuzzRemoteError(f *testing.F) {
	f.Add([]byte(`{"Code":"refused","Text":"no","Detail":{"a":1}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var re RemoteError
		if json.Unmarshal(in, &re) == nil && re.Error() != re.Text {
			t.Error("the text is lost")
		}
	})
}
