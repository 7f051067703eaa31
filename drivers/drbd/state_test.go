package drbd

import (
	"os"
	"strings"
	"testing"
)

func recorded(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestEventsOfTheRealTool(t *testing.T) {
	text := recorded(t, "syncing-source.events2")
	s, err := parseEvents(text, "r0")
	if err != nil {
		t.Fatal(err)
	}
	if !s.exists || !s.primary() || len(s.volumes) != 1 || len(s.peers) != 1 {
		t.Fatalf("%+v", s)
	}
	if v := s.volumes[0]; v.disk != "UpToDate" || v.minor != 0 || !v.quorum {
		t.Errorf("%+v", v)
	}
	if p := s.peers[0]; p.connection != "Connected" || p.role != "Secondary" || p.disks["0"] != "Inconsistent" {
		t.Errorf("%+v", p)
	}
	if s, err := parseEvents(text, "r1"); err != nil || s.exists {
		t.Errorf("another resource: %+v, %v", s, err)
	}
	if _, err := parseEvents(strings.Replace(text, "exists -", "", 1), "r0"); err == nil {
		t.Error("a state without end was believed")
	}
	if _, err := parseEvents(strings.Replace(text, "minor:0", "minor:x", 1), "r0"); err == nil {
		t.Error("a minor that is no number was believed")
	}
	if s, err := parseEvents("exists -\n", "r0"); err != nil || s.exists {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestScores(t *testing.T) {
	text := recorded(t, "syncing-source.events2")
	n := scores{5, 10, 1000, 10000}
	for _, x := range []struct {
		name  string
		edit  []string
		yield bool
		want  verdict
	}{
		{"primary, peer in sync", nil, false, verdict{score: 10000}},
		{"secondary, peer known", []string{"role:Primary", "role:Secondary"}, false, verdict{score: 10000}},
		{"secondary, peer not known", []string{"role:Primary", "role:Secondary", "peer-disk:Inconsistent", "peer-disk:DUnknown"}, false, verdict{score: 1000}},
		{"primary, peer not known", []string{"peer-disk:Inconsistent", "peer-disk:DUnknown"}, false, verdict{score: 10000}},
		{"good data at the peer alone", []string{" disk:UpToDate", " disk:Inconsistent", "peer-disk:Inconsistent", "peer-disk:UpToDate"}, false, verdict{score: 10}},
		{"no good data", []string{" disk:UpToDate", " disk:Inconsistent", "peer-disk:Inconsistent", "peer-disk:DUnknown"}, false, verdict{}},
		{"on the way", []string{" disk:UpToDate", " disk:Negotiating"}, false, verdict{keep: true}},
		{"consistent alone", []string{" disk:UpToDate", " disk:Consistent", "peer-disk:Inconsistent", "peer-disk:DUnknown"}, false, verdict{score: 5}},
		{"outdated alone", []string{" disk:UpToDate", " disk:Outdated", "peer-disk:Inconsistent", "peer-disk:DUnknown"}, false, verdict{}},
		{"no quorum", []string{"minor:0", "minor:0 quorum:no"}, false, verdict{}},
		{"client, good peer", []string{" disk:UpToDate", " disk:Diskless client:yes", "peer-disk:Inconsistent", "peer-disk:UpToDate"}, false, verdict{score: 9999}},
		{"client without data", []string{" disk:UpToDate", " disk:Diskless client:yes", "role:Primary", "role:Secondary"}, false, verdict{}},
		{"lost its disk, good peer", []string{" disk:UpToDate", " disk:Diskless", "peer-disk:Inconsistent", "peer-disk:UpToDate"}, false, verdict{score: 10}},
		{"healthy peer is primary", []string{"role:Secondary", "role:Primary", "r0 role:Primary", "r0 role:Secondary", "peer-disk:Inconsistent", "peer-disk:UpToDate"}, true, verdict{}},
		{"the same without yielding", []string{"role:Secondary", "role:Primary", "r0 role:Primary", "r0 role:Secondary", "peer-disk:Inconsistent", "peer-disk:UpToDate"}, false, verdict{score: 10000}},
	} {
		edited := text
		for i := 0; i+1 < len(x.edit); i += 2 {
			if !strings.Contains(edited, x.edit[i]) {
				t.Fatalf("%s: nothing to edit for %q", x.name, x.edit[i])
			}
			edited = strings.ReplaceAll(edited, x.edit[i], x.edit[i+1])
		}
		s, err := parseEvents(edited, "r0")
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if got := judge(s, n, x.yield); got != x.want {
			t.Errorf("%s: %+v, want %+v", x.name, got, x.want)
		}
	}
}

func TestClientBetweenGoodAndBadPeers(t *testing.T) {
	s := state{exists: true, role: "Secondary", volumes: []volume{{disk: "Diskless", client: true, quorum: true}}, peers: []peer{
		{id: "1", disks: map[string]string{"0": "UpToDate"}, clients: map[string]bool{}},
		{id: "2", disks: map[string]string{"0": "DUnknown"}, clients: map[string]bool{}},
		{id: "3", disks: map[string]string{"0": "Diskless"}, clients: map[string]bool{"0": true}},
	}}
	n := scores{0, 10, 1000, 10000}
	if got := judge(s, n, false); got.score != 999 {
		t.Errorf("one of two peers good: %+v", got)
	}
	s.peers[1].disks["0"] = "UpToDate"
	if got := judge(s, n, false); got.score != 9999 {
		t.Errorf("all that have data are good: %+v", got)
	}
}

func TestScoreTuples(t *testing.T) {
	if n, err := parseScores(" 0 10  1000 10000"); err != nil || n != (scores{0, 10, 1000, 10000}) {
		t.Errorf("%+v, %v", n, err)
	}
	for _, bad := range []string{"", "1 2 3", "1 2 3 4 5", "1 2 x 4", "-1 2 3 4", "4 3 2 1"} {
		if _, err := parseScores(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestVersions(t *testing.T) {
	v, ok := loadedVersion("version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n")
	if !ok || v != (version{8, 4, 11}) {
		t.Errorf("%v %v", v, ok)
	}
	if v, ok = parseVersion("9.2.0-rc.1"); !ok || v != (version{9, 2, 0}) {
		t.Errorf("%v %v", v, ok)
	}
	if _, ok = parseVersion("9.2"); ok {
		t.Error("9.2 was taken")
	}
	if !(version{8, 4, 11}).less(version{9, 0, 0}) || (version{8, 4, 11}).less(version{8, 4, 2}) || v.less(v) {
		t.Error("order of versions")
	}
}

func TestTwoPrimariesInARealDump(t *testing.T) {
	dump := recorded(t, "dump-r0.txt")
	if !twoPrimaries(dump) {
		t.Error("allow-two-primaries was not seen")
	}
	if twoPrimaries(strings.Replace(dump, "allow-two-primaries yes", "allow-two-primaries no", 1)) || twoPrimaries("") {
		t.Error("allow-two-primaries was seen where it is not")
	}
}
