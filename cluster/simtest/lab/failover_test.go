package lab

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	failovers = flag.Int("failovers", 3, "how often each failure is tried with each stack")
	stacks    = flag.String("stacks", "gcrm,pacemaker", "the cluster stacks that are measured")
	preset    = flag.Duration("detect", 2*time.Second, "detection time of gcrm's cluster where times are measured")
)

const failoverAddress = "10.9.1.100"

// failoverScript is an address and a process.
const failoverScript = `property stonith-enabled=true no-quorum-policy=ignore
rsc_defaults resource-stickiness=100
` + FenceDevice + `
primitive address ocf:heartbeat:IPaddr2 params ip=` + failoverAddress + ` cidr_netmask=24 nic=eth1 op monitor interval=10s timeout=60s op start timeout=60s interval=0 op stop timeout=60s interval=0
primitive process ocf:heartbeat:anything params binfile=/root/service cmdline_options="serve :7000" op monitor interval=10s timeout=60s op start timeout=60s interval=0 op stop timeout=60s interval=0
group service address process`

// TestFailover measures how long clients of an address with a process are without it, at
// standby of its node and when that loses its power, with gcrm and then with Pacemaker
// (and the agents of the distribution) on the same machines by the same script:
//
//	go test ./cluster/simtest/lab -run TestFailover -v -timeout 60m -lab ../shared/lab/lab
func TestFailover(t *testing.T) {
	m := Boot(t, 2, "--mem", "640")
	m.OnFailure("gcrm cluster status; crm_mon -1r; journalctl --no-pager | tail -120")
	program := m.BuildProgram("gcrm/cluster/simtest/lab/service")
	for _, n := range m.Names() {
		m.Copy(program, n+":/root/service")
	}
	clients := m.Ask(program, failoverAddress+":7000")
	var gaps Gaps
	for _, s := range m.Stacks(*stacks, Cluster{Name: "lab", Detection: *preset, Daemon: "--agents native"}) {
		s.Form()
		s.Configure("node1", failoverScript)
		place := m.Settled(s, "node1", "process", "nowhere")
		for round := range *failovers {
			for _, kind := range Kinds() {
				gap, to := m.failover(s, clients, kind, place)
				gaps.Note(kind, s.Name(), gap)
				t.Logf("%s, round %d of %d: %s of %s: clients were without service for %.2f s; %s", s.Name(), round+1, *failovers, kind, place, gap.Seconds(), HostLoad())
				place = to
			}
		}
		s.End()
	}
	t.Logf("without service:\n%s", &gaps)
	gaps.Check(t, "gcrm", "Pacemaker", 3)
}

// failover takes the node where a resource runs out of service, waits until clients are
// served by another one and the node is back, and tells how long they were without.
func (m *Machines) failover(s Stack, clients *Successes, kind, place string) (time.Duration, string) {
	m.t.Helper()
	served := func(by string) bool {
		_, said := clients.Count()
		return said == by && clients.Since(time.Now().Add(-time.Second)) > 5
	}
	m.Wait(s.Name()+": clients are served by "+place, func() bool { return served(place) })
	begun := time.Now()
	k := m.Strike(s, kind, place)
	m.Wait(fmt.Sprintf("%s: clients are served by %s after %s of %s", s.Name(), k.Other, kind, place), func() bool { return served(k.Other) })
	gap, from := clients.Gap(begun)
	m.t.Logf("%s: the last answer came %.2f s after the beginning, then %s", s.Name(), from.Sub(begun).Seconds(), k.Fenced(from))
	k.Undo()
	return gap, k.Other
}
