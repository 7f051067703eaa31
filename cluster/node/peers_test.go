package node

import (
	"reflect"
	"testing"

	"gcrm/cluster/client"
	"gcrm/cluster/consensus"
)

// TestDirectoryDoesNotGoBack: a node that starts has old states of its log once
// more. If it lost its log then, what it knew of others would be gone with it.
func TestDirectoryDoesNotGoBack(t *testing.T) {
	files := folder(t.TempDir())
	known := directory{2, 120, []Seed{{Name: "a", ID: "1", Addresses: []string{"192.0.2.1:5405"}}, {Name: "b", ID: "4", Witness: true}}}
	if err := known.store(files); err != nil {
		t.Fatal(err)
	}
	read, err := readPeers(files)
	if err != nil || !reflect.DeepEqual(read, known) {
		t.Errorf("read %+v, %v; want %+v", read, err, known)
	}
	for _, c := range []struct {
		epoch, index uint64
		older        bool
	}{{2, 119, true}, {2, 120, false}, {2, 121, false}, {1, 500, true}, {3, 7, false}} {
		if got := read.after(&consensus.State{Epoch: c.epoch, Index: c.index}); got != c.older {
			t.Errorf("epoch %d, index %d: older is %v", c.epoch, c.index, got)
		}
	}
	// As builds before this one left it: anything committed is newer.
	if err := files.Replace(peersFile, []byte(`[{"Name":"a","ID":"1","Addresses":null,"Witness":false}]`)); err != nil {
		t.Fatal(err)
	}
	if read, err = readPeers(files); err != nil || len(read.nodes) != 1 || read.after(&consensus.State{Epoch: 1, Index: 1}) {
		t.Errorf("read %+v, %v", read, err)
	}
	if err := files.Replace(peersFile, []byte("[{")); err != nil {
		t.Fatal(err)
	}
	if _, err = readPeers(files); err == nil {
		t.Error("half a file was read")
	}
}

// TestProgressOfWhoLed: a node that led until its disk stalled tells its
// controller's progress when another one leads already.
func TestProgressOfWhoLed(t *testing.T) {
	n := &Node{cfg: Config{Name: "a"}, changed: make(chan struct{}), progress: map[string]client.Transition{}}
	n.setProgress("a", client.Transition{Number: 3, Idle: true})
	n.setProgress("b", client.Transition{Number: 7})
	if own := n.progress["a"]; own.Number != 3 || !own.Idle || n.progressNumber != 1 {
		t.Errorf("this node's is %+v, changed %d times", own, n.progressNumber)
	}
	if of := n.progress["b"]; of.Number != 7 {
		t.Errorf("the other's is %+v", of)
	}
}
