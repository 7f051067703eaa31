package node

import (
	"encoding/json"
	"testing"

	"gcrm/fencing"
)

// What a node was to carry out before it was lost finds its next daemon sometimes,
// and is too late: the target may be a member again.
func TestOrderForADaemonThatEnded(t *testing.T) {
	sent, err := json.Marshal(order{fencing.Execute{Device: "d", Action: fencing.Off, Target: "b"}, addressee{7}})
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := json.Unmarshal(sent, &got); err != nil || got.Device != "d" || got.Target != "b" {
		t.Fatalf("%s is read as %+v, %v", sent, got, err)
	}
	if err := (&Node{incarnation: 7}).meets(got.addressee); err != nil {
		t.Error(err)
	}
	if (&Node{incarnation: 8}).meets(got.addressee) == nil {
		t.Error("the next daemon would carry it out")
	}
	if err := (&Node{incarnation: 8}).meets(addressee{}); err != nil {
		t.Error("builds before do not say whom they mean: ", err)
	}
	// Orders of builds before, without an incarnation, and with nothing at all.
	for _, old := range []string{`{}`, `null`} {
		var to addressee
		if err := json.Unmarshal([]byte(old), &to); err != nil || to.Incarnation != 0 {
			t.Errorf("%s is read as %+v, %v", old, to, err)
		}
	}
}
