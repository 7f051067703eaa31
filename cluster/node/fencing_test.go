package node

import (
	"encoding/json"
	"testing"

	"gcrm/fencing"
)

// What a node was to carry out before it was lost finds its next daemon sometimes,
// and is too late: the target may be a member again.
func TestOrderForADaemonThatEnded(t *testing.T) {
	sent, err := json.Marshal(order{fencing.Execute{Device: "d", Action: fencing.Off, Target: "b"}, 7})
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := json.Unmarshal(sent, &got); err != nil || got.Device != "d" || got.Target != "b" {
		t.Fatalf("%s is read as %+v, %v", sent, got, err)
	}
	if err := got.fits(7); err != nil {
		t.Error(err)
	}
	if got.fits(8) == nil {
		t.Error("the next daemon would carry it out")
	}
	if err := (order{}).fits(8); err != nil {
		t.Error("builds before do not say whom they mean: ", err)
	}
}
