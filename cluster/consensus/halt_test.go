package consensus

import (
	"net"
	"testing"
	"time"
)

// A survivor that goes on alone does not wait for the answers of the node that is dead.
func TestForceDoesNotWaitForTheDead(t *testing.T) {
	const patience = 2 * time.Minute
	c := newPatientCluster(t, 2, t.TempDir(), patience)
	c.leader()
	survivor := c.nodes["node1"]
	// Whoever connects to the other one from now on gets no answer.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	asked := make(chan net.Conn, 16)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				close(asked)
				return
			}
			asked <- conn
		}
	}()
	c.mu.Lock()
	c.addrs["node2"] = silent.Addr().String()
	c.mu.Unlock()
	c.kill("node2")
	conn := <-asked // under way for as long as its patience
	defer conn.Close()
	for lead, _ := survivor.Leadership(); lead.Self; lead, _ = survivor.Leadership() {
		time.Sleep(10 * time.Millisecond)
	}
	begun := time.Now()
	if err := survivor.Force(within(t, patience), "switched off by test", survivor.LastIndex(), Command{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("the survivor goes on after %v", took)
	}
}
