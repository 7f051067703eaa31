package libvirt

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
)

// pair is a running domain on one of two hosts.
func pair(t *testing.T) (a, b *rpctest.Host, from, to agenttest.Subject) {
	t.Helper()
	a, b = rpctest.New(t, "qemu"), rpctest.New(t, "qemu")
	a.Peer(b.URI, b)
	b.Peer(a.URI, a)
	from = subject(t, a.URI)
	from.Params["remoteuri"] = b.URI
	from.Meta = map[string]string{"migrate_source": "node1", "migrate_target": "node2"}
	to = from
	to.Node = agenttest.NewNode(t, "node2")
	to.Params = map[string]string{"config": from.Params["config"], "hypervisor": b.URI, "remoteuri": a.URI}
	to.Meta = map[string]string{"migrate_source": "node1", "migrate_target": "node1"}
	from.Timeout, to.Timeout = 4*time.Second, 4*time.Second
	from.Want(t, drivers.Start, drivers.OK)
	return a, b, from, to
}

// runs tells on how many of the hosts the domain runs.
func runs(hosts ...*rpctest.Host) (n int) {
	for _, h := range hosts {
		if m, ok := h.Machine("vm1"); ok && m.State == rpc.Running {
			n++
		}
	}
	return n
}

func TestThereAndBack(t *testing.T) {
	a, b, from, to := pair(t)
	from.Params["migration_speed"], from.Params["migrateuri"] = "8", "tcp://%n-net"
	from.Params["migrate_options"] = "--auto-converge --bandwidth 9 --parallel-connections=3"
	from.Want(t, drivers.MigrateTo, drivers.OK)
	to.Want(t, drivers.MigrateFrom, drivers.OK)
	from.Want(t, drivers.Stop, drivers.OK) // the cluster's stop at the source
	from.Want(t, drivers.Monitor, drivers.NotRunning)
	to.Want(t, drivers.Monitor, drivers.OK)
	m := a.LastMigration()
	want := []rpc.Param{{Field: "bandwidth", Value: uint64(9)}, {Field: "parallel.connections", Value: int32(3)}, {Field: "migrate_uri", Value: "tcp://node2-net"}}
	if m.Flags != rpc.MigrateLive|rpc.MigratePeer2Peer|rpc.MigrateAutoConverge || m.To != b.URI || !reflect.DeepEqual(m.Params, want) {
		t.Errorf("%+v", m)
	}
	to.Want(t, drivers.MigrateTo, drivers.OK)
	from.Want(t, drivers.MigrateFrom, drivers.OK)
	if _, left := b.Machine("vm1"); left || runs(a) != 1 {
		t.Error("it is not back")
	}
}

func TestFailedMigrationLeavesOne(t *testing.T) {
	for name, c := range map[string]struct {
		plan rpctest.Plan
		want string
	}{
		"refused":          {rpctest.Plan{Fail: &rpc.Error{Code: rpc.CodeMigrateUnsafe, Message: "Unsafe migration"}}, "goes on running here"},
		"too long":         {rpctest.Plan{Hang: true}, "aborted"},
		"connection broke": {rpctest.Plan{LoseEarly: true}, "goes on running here"},
		"left paused":      {rpctest.Plan{LeavePaused: true}, "runs here again"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, from, to := pair(t)
			a.Migrations(c.plan)
			began := time.Now()
			res := from.Want(t, drivers.MigrateTo, drivers.GenericError)
			if !strings.Contains(res.Reason, c.want) || time.Since(began) > from.Timeout {
				t.Errorf("after %v: %+v", time.Since(began), res)
			}
			if runs(a) != 1 || runs(b) != 0 {
				t.Errorf("runs %d times here, %d times there", runs(a), runs(b))
			}
			from.Want(t, drivers.Monitor, drivers.OK)
			to.Want(t, drivers.Monitor, drivers.NotRunning)
			for _, h := range []*rpctest.Host{a, b} {
				for i, call := range h.Calls() {
					if call == rpc.ProcDestroyFlags || call == rpc.ProcShutdownFlags || call == rpc.ProcCreateXML && (h == b || i > 3) {
						t.Errorf("a failed migration called procedure %d", call)
					}
				}
			}
		})
	}
}

func TestLostAnswerOfASuccess(t *testing.T) {
	a, b, from, _ := pair(t)
	a.Migrations(rpctest.Plan{Lose: true})
	from.Want(t, drivers.MigrateTo, drivers.OK)
	if runs(a) != 0 || runs(b) != 1 {
		t.Errorf("runs %d times here, %d times there", runs(a), runs(b))
	}
}

func TestSuccessThatIsNone(t *testing.T) {
	a, b, from, _ := pair(t)
	a.Migrations(rpctest.Plan{Both: true})
	if res := from.Want(t, drivers.MigrateTo, drivers.GenericError); !strings.Contains(res.Reason, "still running here") || runs(a, b) != 2 {
		t.Errorf("%+v", res)
	}
}

func TestPausedHereAndNothingKnownOfThere(t *testing.T) {
	a, b, from, _ := pair(t)
	a.Migrations(rpctest.Plan{LeavePaused: true})
	b.Answer(rpc.ProcConnectOpen, func([]byte) error { return &rpc.Error{Code: rpc.CodeInternal, Message: "not now"} })
	res := from.Want(t, drivers.MigrateTo, drivers.GenericError)
	if m, _ := a.Machine("vm1"); m.State != rpc.Paused || !strings.Contains(res.Reason, "unknown on node2") {
		t.Errorf("a domain that may run elsewhere was resumed: %+v, %+v", m, res)
	}
}

func TestNothingArrives(t *testing.T) {
	_, b, _, to := pair(t)
	to.Timeout = time.Second
	b.Set("vm1", rpc.Paused, rpc.PausedStartingUp)
	if res := to.Do(t.Context(), drivers.MigrateFrom); res.Status != drivers.TimedOut {
		t.Errorf("%+v", res)
	}
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		route          route
		daemon, memory string
	}{
		{route{node: "kvm2-cr", hypervisor: "qemu:///system", transport: "ssh"}, "qemu+ssh://kvm2-cr/system", ""},
		{route{node: "n2.example.org", hypervisor: "qemu:///system", transport: "tls", user: "root", suffix: "-mig"}, "qemu+tls://root@n2-mig.example.org/system", "tcp://n2-mig.example.org"},
		{route{node: "n2", hypervisor: "qemu:///system", transport: "tcp", suffix: "-mig", port: 49152}, "qemu+tcp://n2-mig/system", "tcp://n2-mig:49152"},
		{route{node: "n2", hypervisor: "xen:///system", transport: "ssh", suffix: "-x"}, "xen+ssh://n2-x/system", "n2-x"},
		{route{node: "n2", hypervisor: "qemu+unix:///system?socket=/s", remote: "qemu+tcp://%n/system", data: "tcp://%n"}, "qemu+tcp://n2/system", "tcp://n2"},
	} {
		got, err := c.route.daemon()
		if got != c.daemon || err != nil || c.route.memory() != c.memory {
			t.Errorf("%+v: %q, %q, %v", c.route, got, c.route.memory(), err)
		}
	}
	for _, words := range []string{"--timeout 3", "--bandwidth", "--bandwidth much", "--dname other", "--p2p=1"} {
		if o, err := parseOptions(strings.Fields(words)); err == nil {
			t.Errorf("%s: %+v", words, o)
		}
	}
}
