package consensus

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

const crashDir = "GCRM_TEST_CRASH_DIR"

var kills = flag.Int("kills", 8, "how often the process is killed")

// TestMain turns the test binary into the program that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		// Only the tests' helpers need a testing.TB; this one runs one test.
		os.Args = []string{os.Args[0], "-test.run=^TestKillChild$", "-test.v=false"}
	}
	os.Exit(m.Run())
}

// TestKillChild commits configurations and says so, until it is killed.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs only as the child of TestKill")
	}
	c := newCluster(t, 3, dir)
	for i := 0; ; i++ {
		n := c.nodes[c.names[i%3]]
		s, err := n.Read(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		marker := fmt.Sprintf("%d-%d", os.Getpid(), i)
		r, err := n.Apply(within(t, 10*time.Second), NewRequest(), configuration(s.CIB.Version(), marker))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "acknowledged %v %s\n", r.Version, marker)
		if i%7 == 3 {
			go c.leader().Snapshot()
		}
	}
}

// TestKill kills a whole cluster at random moments: no acknowledged version is
// lost, and none changes.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	want := map[string]string{} // version to marker
	var last cib.Version
	for round := range *kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		acked := 0
		early := round%4 == 3 // also while it starts and recovers
		if early {
			time.AfterFunc(time.Duration(rand.IntN(500))*time.Millisecond, func() { cmd.Process.Kill() })
		}
		for in.Scan() {
			f := strings.Fields(in.Text())
			if len(f) != 3 || f[0] != "acknowledged" {
				t.Logf("child: %s", in.Text())
				continue
			}
			v, err := cib.ParseVersion(f[1])
			if err != nil {
				t.Fatal(err)
			}
			if v.Compare(last) <= 0 {
				t.Fatalf("round %d: version %v was acknowledged after %v", round, v, last)
			}
			last = v
			want[f[1]] = f[2]
			if acked++; acked == 1 && !early {
				time.AfterFunc(time.Duration(rand.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		if acked == 0 && !early {
			t.Fatalf("round %d: nothing was acknowledged", round)
		}
	}
	c := newCluster(t, 3, dir)
	for _, name := range c.names {
		s, err := c.nodes[name].Read(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if s.CIB.Version().Compare(last) < 0 {
			t.Errorf("%s is at %v, acknowledged was %v", name, s.CIB.Version(), last)
		}
		have := map[string]string{}
		for _, r := range s.History {
			xml, err := r.XML()
			if err != nil {
				t.Error(err)
			}
			have[r.Version.String()] = xml
		}
		for version, marker := range want {
			v, err := cib.ParseVersion(version)
			if err != nil {
				t.Fatal(err)
			}
			if v.Compare(s.History[0].Version) < 0 {
				continue // older than the history goes back
			}
			if !strings.Contains(have[version], `"`+marker+`"`) {
				t.Errorf("%s: version %v is not what was acknowledged", name, version)
			}
		}
	}
	t.Logf("%d versions acknowledged over %d kills, all found", len(want), *kills)
}
