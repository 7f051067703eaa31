package node

import (
	"net"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/heartbeat"
	"gcrm/cluster/transport"
)

// TestRequestsBeforeTheLogIsOpen: a node listens before it has opened its log. What others
// ask it then, and who wants to join, gets an answer.
func TestRequestsBeforeTheLogIsOpen(t *testing.T) {
	authority, err := transport.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{}
	listen := func(name string) *transport.Transport {
		creds, err := authority.Issue(name, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses[name] = l.Addr().String()
		wire, err := transport.Listen(transport.Config{Cluster: "test", Node: name, Incarnation: 1, Credentials: creds, Listener: l,
			Resolve: func(node string) []string { return []string{addresses[node]} }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { wire.Close() })
		return wire
	}
	asker := listen("b")
	timing, err := heartbeat.Derive(time.Second, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{cfg: Config{Name: "a", Cluster: "test", Clock: time.Now}, timing: timing, wire: listen("a"), seen: map[string]sight{}}
	n.handle()
	for method, request := range map[string]any{
		methodDispatch: struct{}{}, methodReport: struct{}{}, methodProgress: struct{}{}, methodStatus: struct{}{},
		methodLeave: addressee{}, methodFarewell: 7, methodRemove: "b", methodManual: manualRequest{Node: "b"}, methodDrill: drillOrder{},
		methodRehearse: nil, methodLinks: struct{}{}, methodAct: struct{}{}, methodKeys: struct{}{},
		methodSecretPut: struct{}{}, methodSecretGet: struct{}{}, methodSecretList: struct{}{},
	} {
		if err := asker.Call(t.Context(), "a", method, request, nil); err == nil || !strings.Contains(err.Error(), "node a has just been started") {
			t.Errorf("%s: %v", method, err)
		}
	}
	var at appliedAnswer
	if err := asker.Call(t.Context(), "a", methodApplied, nil, &at); err != nil || at.Index != 0 {
		t.Errorf("%s: %+v, %v", methodApplied, at, err)
	}
	if _, err := n.join(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "node a has just been started") {
		t.Errorf("joining: %v", err)
	}
}
