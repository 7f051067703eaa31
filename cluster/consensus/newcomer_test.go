package consensus

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// One of three nodes is away. The second one is removed, and a new one joins under
// its name. For who was away both are still voters, so that the two are a majority,
// while the third has committed what neither has.
func TestNewcomerHasNoVote(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, dir, away, removed string){
		"without a log": func(*testing.T, string, string, string) {},
		"with the beginning of the log, in which it has a vote": func(t *testing.T, dir, away, removed string) {
			if err := os.CopyFS(filepath.Join(dir, removed), os.DirFS(filepath.Join(dir, away))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, t.TempDir())
			leader := c.leader()
			var others []string
			for _, n := range c.names {
				if n != leader.node {
					others = append(others, n)
				}
			}
			away, removed := others[0], others[1]
			apply := func(name string) {
				t.Helper()
				if _, err := leader.Apply(within(t, 10*time.Second), NewRequest(), increment(name)); err != nil {
					t.Fatal(err)
				}
			}
			apply("all")
			c.kill(away)
			apply("two")
			for _, n := range others {
				if err := leader.RemoveVoter(n); err != nil {
					t.Fatal(err)
				}
			}
			c.kill(removed)
			apply("alone")
			if err := os.RemoveAll(filepath.Join(c.dir, removed)); err != nil {
				t.Fatal(err)
			}
			begin(t, c.dir, away, removed)
			c.mu.Lock()
			c.since[removed] = leader.Place()
			for _, n := range others {
				c.cut[[2]string{leader.node, n}] = true
			}
			c.mu.Unlock()
			apply("joined")
			c.start(removed, nil)
			c.start(away, c.names)
			// Ten times what an election takes.
			for end := time.Now().Add(10 * testTiming().Election); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				for _, n := range others {
					if l, _ := c.nodes[n].Leadership(); l.Self {
						t.Fatalf("%s leads, and does not have what %s committed", n, leader.node)
					}
				}
			}
			c.heal()
			for _, n := range []string{removed, away} {
				if err := leader.AddVoter(n); err != nil {
					t.Fatal(err)
				}
			}
			apply("again")
			for _, n := range others {
				for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
					s, _ := c.nodes[n].State()
					if counter(s.CIB, "joined") == "1" && counter(s.CIB, "again") == "1" {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("%s does not get the log", n)
					}
				}
			}
			// It votes like any other now: with the leader gone the two go on.
			c.kill(leader.node)
			c.leader()
		})
	}
}
