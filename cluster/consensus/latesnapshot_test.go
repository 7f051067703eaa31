package consensus

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot was under way for long, was sent again and installed, and what came
// after it is acknowledged when the first one arrives: nothing is forgotten.
func TestLateSnapshotTakesNothingBack(t *testing.T) {
	c := newCluster(t, 2, t.TempDir())
	leader, follower := c.leader(), c.follower()
	apply := func(marker string) *State {
		t.Helper()
		if _, err := leader.Apply(within(t, 10*time.Second), NewRequest(), increment(marker)); err != nil {
			t.Fatal(err)
		}
		s, err := follower.Read(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	send := func(m *raft.SnapshotMeta, data io.Reader) error {
		from := leader.current()
		args := &raft.InstallSnapshotRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(leader.node), Addr: []byte(leader.node)},
			SnapshotVersion: m.Version, Term: from.raft.CurrentTerm(), Leader: []byte(leader.node), LastLogIndex: m.Index, LastLogTerm: m.Term,
			Configuration: raft.EncodeConfiguration(m.Configuration), ConfigurationIndex: m.ConfigurationIndex, Size: m.Size}
		var resp raft.InstallSnapshotResponse
		id := raft.ServerID(follower.node)
		if err := from.net.InstallSnapshot(id, raft.ServerAddress(id), args, &resp, data); err != nil {
			return err
		}
		if !resp.Success || resp.Term != args.Term {
			t.Errorf("the answer is %+v", resp)
		}
		return nil
	}
	apply("a")
	if err := leader.Snapshot(); err != nil {
		t.Fatal(err)
	}
	metas, err := leader.current().disk.List()
	if err != nil || len(metas) == 0 {
		t.Fatal(metas, err)
	}
	early, r, err := leader.current().disk.Open(metas[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, own := range []bool{false, true} {
		want := apply("b")
		if own { // its log has only what comes behind a snapshot of its own
			if err := follower.Snapshot(); err != nil {
				t.Fatal(err)
			}
			if err := follower.current().disk.DeleteRange(1, follower.LastIndex()-1); err != nil {
				t.Fatal(err)
			}
		}
		last := follower.LastIndex()
		err := send(early, bytes.NewReader(data))
		if own && (err == nil || !strings.Contains(err.Error(), "is applied already")) {
			t.Errorf("an older snapshot was answered by %v", err)
		} else if !own && err != nil {
			t.Error(err)
		}
		if got, _ := follower.State(); got.Index != want.Index || follower.LastIndex() != last {
			t.Errorf("the follower went from entry %d to %d, its log from %d to %d", want.Index, got.Index, last, follower.LastIndex())
		}
	}
	// One that does not get on keeps nobody waiting.
	slow, arrives := io.Pipe()
	sent := make(chan error, 1)
	go func() { sent <- send(early, slow) }()
	if _, err := arrives.Write(data[:1]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // what asks for it is under way
	apply("c")
	arrives.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-sent; err == nil {
		t.Error("a snapshot that broke off was taken")
	}
}
