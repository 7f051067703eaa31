package client

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProblems(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	well := func() *Info {
		return &Info{Node: "n1", Leader: "n1", Quorate: true, Members: []Member{
			{Name: "n1", Online: true, Voter: true}, {Name: "n2", Online: true, Voter: true}, {Name: "n3", Online: true, Voter: true}}}
	}
	up := func(peer string) Link {
		return Link{Peer: peer, Address: "192.0.2.1:7007", Up: true, Hears: true, Heard: true}
	}
	for name, c := range map[string]struct {
		change func(*Info) []NodeLinks
		want   []string // a part of each problem
	}{
		"all is well": {func(*Info) []NodeLinks {
			return []NodeLinks{{Node: "n1", Links: []Link{up("n2"), up("n3")}}, {Node: "n2", Links: []Link{up("n1"), up("n3")}}}
		}, nil},
		"quorum":      {func(i *Info) []NodeLinks { i.Leader, i.Quorate = "", false; return nil }, []string{"no leader", "n1 has no quorum"}},
		"locks":       {func(i *Info) []NodeLinks { i.Locks = []string{"clvmd waits for n2"}; return nil }, []string{"clvmd waits for n2"}},
		"keys":        {func(i *Info) []NodeLinks { i.Security = Security{Replacing: "x", Waits: []string{"n2"}}; return nil }, []string{"waits for n2"}},
		"certificate": {func(i *Info) []NodeLinks { i.Security.CertificateEnds = now.Add(-time.Second); return nil }, []string{"is its clock right?"}},
		"renewed":     {func(i *Info) []NodeLinks { i.Security.CertificateEnds = now.Add(time.Second); return nil }, nil},
		"full disk":   {func(i *Info) []NodeLinks { i.Disk = Disk{Path: "/s", Failing: "no space left"}; return nil }, []string{"cannot store its state"}},
		"little disk": {func(i *Info) []NodeLinks { i.Disk = Disk{Path: "/s", Free: 5 << 20}; return nil }, []string{"only 5 MiB are free in /s"}},
		"older":       {func(i *Info) []NodeLinks { i.Level, i.Behind = 3, []string{"n2"}; return nil }, []string{"an older gcrm on n2 keeps the cluster at feature level 3"}},
		"no vote":     {func(i *Info) []NodeLinks { i.Members[1].Voter = false; return nil }, []string{"n2 has no vote"}},
		// What follows from a node being away is not told again.
		"offline": {func(i *Info) []NodeLinks {
			i.Members[1].Online = false
			return []NodeLinks{{Node: "n1", Links: []Link{{Peer: "n2"}, up("n3")}}, {Node: "n2", Error: "no answer"}}
		}, []string{"node n2 is offline since"}},
		"links": {func(i *Info) []NodeLinks {
			lossyLink := up("n3")
			lossyLink.Loss = 0.25
			return []NodeLinks{{Node: "n1", Links: []Link{{Peer: "n2", Hears: true}, lossyLink}}, {Node: "n2", Links: []Link{{Peer: "n1"}}}, {Node: "n3", Error: "too old"}}
		}, []string{"from n1 to n2 () works one way only", "from n1 to n3 (192.0.2.1:7007) loses 25%", "from n2 to n1 () is down", "n3 does not tell of its links: too old"}},
	} {
		i := well()
		mesh := c.change(i)
		got := i.Problems(mesh, now)
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAdvice(t *testing.T) {
	i := &Info{Members: []Member{{Name: "n1", Voter: true}, {Name: "n2", Voter: true}, {Name: "n3"}}}
	if a := i.Advice(); len(a) != 1 || !strings.Contains(a[0], "a witness would help") {
		t.Errorf("two voters: %q", a)
	}
	i.Members[2].Voter = true
	if a := i.Advice(); len(a) != 0 {
		t.Errorf("three voters: %q", a)
	}
}
