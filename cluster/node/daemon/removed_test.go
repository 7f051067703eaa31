package daemon

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/node"
	"gcrm/cluster/transport"
)

// A node that is removed while it is down is not fenced and not let in again;
// one that joins under its name later is another node, with another id.
func TestRemovedWhileDown(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := switchFolder(t)
	hosts := cluster(t, 2, func(h *host) { h.agents = dir })
	c := hosts[0].client()
	edit(t, c, addSwitch)
	hosts[1].stop()
	members(t, c, "n1* (n2)")
	wait(t, "n2 is removed", func() error { return c.RemoveNode(t.Context(), "n2") })
	members(t, c, "n1*")

	// Nobody lets it in, and it finds that out; it would have to be emptied first.
	hosts[1].run()
	if err := hosts[1].ended(); !errors.Is(err, node.ErrRemoved) || !strings.Contains(err.Error(), "was removed from the cluster") {
		t.Errorf("the daemon of the removed node ended with %v", err)
	}
	members(t, c, "n1*")
	hosts[1].refused(hosts[0])
	hosts[0].stop()
	hosts[0].run() // what it knows of removed nodes survives that
	c = hosts[0].client()
	members(t, c, "n1*")
	hosts[1].refused(hosts[0])
	again := newHost(t)
	s, err := Join(t.Context(), JoinOptions{StateDir: again.dir, Node: "n2", Address: freeAddress(t), Contact: hostAddress(t, hosts[0]), Token: hosts[0].token()})
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != "3" {
		t.Errorf("it joined as id %s", s.ID)
	}
	again.run()
	members(t, c, "n1* n2*")
	hosts[1].refused(hosts[0])
	if list, err := c.Fencings(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("fenced: %+v, %v", list, err)
	}
	wait(t, "the document has the new one only", func() error {
		doc, err := c.CIB(t.Context(), true)
		if err != nil {
			return err
		}
		if n, ok := doc.Node("n2"); !ok || n.ID != "3" || strings.Contains(doc.Section("nodes").String(), `id="2"`) || doc.NodeState("2") != nil {
			return fmt.Errorf("%s", doc.Section("nodes"))
		}
		return nil
	})
}

// refused shows that nobody listens to the keys of a host that was removed,
// whatever they are used for, although they are the cluster's.
func (h *host) refused(by *host) {
	h.t.Helper()
	old, err := Load(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	to, err := Load(by.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	keys, err := (&node.Keystore{Dir: filepath.Join(h.dir, pkiDir), Cluster: old.Cluster, Node: old.Name, ID: old.ID}).Load(time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	wire, err := transport.Listen(transport.Config{Cluster: old.Cluster, Node: old.Name, Incarnation: math.MaxUint64, Epoch: math.MaxUint32,
		Credentials: keys.Credentials, Listener: l, Resolve: func(string) []string { return to.Addresses }})
	if err != nil {
		h.t.Fatal(err)
	}
	defer wire.Close()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	_, stream := wire.Streams().Dial(ctx, to.Name)
	for purpose, err := range map[string]error{"requests": wire.Call(ctx, to.Name, "node.applied", struct{}{}, nil), "the log": stream} {
		var r *transport.Refusal
		if !errors.As(err, &r) || r.Code != transport.RefusedRemoved {
			h.t.Errorf("keys of the removed node (id %s) are used at %s for %s: %v", old.ID, to.Name, purpose, err)
		}
	}
}
