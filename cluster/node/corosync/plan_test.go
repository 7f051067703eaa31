package corosync

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		file, cluster, nodes string
		detection            time.Duration
		notes                []string
	}{
		{"knet", "shop", "alpha/1 192.0.2.11,198.51.100.11; beta/2 192.0.2.12,198.51.100.12; gamma/5 192.0.2.13,198.51.100.13", 5650 * time.Millisecond,
			[]string{"crypto_cipher is not needed", "node gamma has 2 votes", "for example arbiter.example.com", "section colours (line 50) is unknown", "wait_for_all is always so", "knet_link_priority"}},
		{"udpu", "pair", "left/1 left.example.com; right/2 right.example.com", 500 * time.Millisecond, []string{"two_node: with two nodes"}},
		{"old", "", "/ 192.0.2.21,198.51.100.21; / 192.0.2.22,198.51.100.22", time.Second,
			[]string{"compatibility stands outside", "pacemaker is part of gcrm", "bindnetaddr is not needed", "rrp_mode is not needed", "port of its own"}},
	} {
		b, err := os.ReadFile("testdata/" + tt.file + ".conf")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(string(b))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		var nodes []string
		for _, n := range p.Nodes {
			nodes = append(nodes, fmt.Sprintf("%s/%s %s", n.Name, n.ID, strings.Join(n.Addresses, ",")))
		}
		if got := strings.Join(nodes, "; "); p.Cluster != tt.cluster || got != tt.nodes || p.Detection != tt.detection {
			t.Errorf("%s: cluster %q, nodes %s, detection %v", tt.file, p.Cluster, got, p.Detection)
		}
		all := strings.Join(p.Notes, "\n")
		for _, want := range tt.notes {
			if !strings.Contains(all, want) {
				t.Errorf("%s: %q is not told:\n%s", tt.file, want, all)
			}
		}
	}
	for text, want := range map[string]string{
		"":                                "no section totem",
		"totem {\n":                       "line 1: section totem is not closed",
		"}\n":                             "line 1: a closing brace",
		"totem {\nwhat\n}":                "line 2",
		"{\n}":                            "without a name",
		"totem {\n}\n":                    "names no nodes",
		strings.Repeat("a {\n", 100):      "nested too deep",
		"totem {\nversion: 2\n}\nx: y\n}": "line 5: a closing brace",
	} {
		if _, err := Read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"knet", "udpu", "old"} {
		b, err := os.ReadFile("testdata/" + name + ".conf")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Read(s)
		if err == nil && (len(p.Nodes) == 0 || p.Detection < leastDetection || p.Detection > mostDetection) {
			t.Errorf("%+v", p)
		}
	})
}
