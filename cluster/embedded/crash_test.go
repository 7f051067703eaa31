package embedded

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

const crashDir = "GCRM_TEST_CRASH_DIR"

var kills = flag.Int("kills", 4, "how often the process is killed")

func TestMain(m *testing.M) {
	if os.Getenv(crashDir) != "" {
		os.Args = []string{os.Args[0], "-test.run=^TestKillChild$"}
	}
	os.Exit(m.Run())
}

// TestKillChild commits through the API and says so, until it is killed.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs only as the child of TestKillTheProcess")
	}
	c, err := Start(t.Context(), Config{StateDir: dir, Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	h := connect(t, c, 2)
	for i := 0; ; i++ {
		marker := fmt.Sprintf("%d-%d", os.Getpid(), i)
		fmt.Println("acknowledged", set(t, h, "marker", marker), marker)
	}
}

// The process of an embedded cluster is killed at random moments and started
// again on the same folder: what was acknowledged is there.
func TestKillTheProcess(t *testing.T) {
	dir := t.TempDir()
	var last cib.Version
	marker := ""
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
		acked := 0
		for in := bufio.NewScanner(out); in.Scan(); {
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
			last, marker = v, f[2]
			if acked++; acked == 1 {
				time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		if acked == 0 {
			t.Fatalf("round %d: nothing was acknowledged", round)
		}
	}
	c := start(t, Config{StateDir: dir})
	doc := document(t, connect(t, c, 1))
	// One more change may have been committed without being acknowledged.
	if v := doc.Version(); v.Epoch < last.Epoch || v.Epoch == last.Epoch && !strings.Contains(doc.String(), `"`+marker+`"`) {
		t.Errorf("the cluster is at %v, acknowledged was %v with marker %s", v, last, marker)
	}
}

// With all processors busy nobody is taken for dead.
func TestNoFalseAlarmUnderLoad(t *testing.T) {
	c := start(t, Config{Nodes: 3})
	stop := make(chan struct{})
	for range 4 * runtime.NumCPU() {
		go func() {
			for x := 0; ; x++ {
				if x%1000000 == 0 {
					select {
					case <-stop:
						return
					default:
					}
				}
			}
		}()
	}
	time.Sleep(4 * time.Second)
	close(stop)
	log, err := os.ReadFile(c.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "node is gone") {
		t.Error("a node was taken for dead under load")
	}
}

// Where the administrator switched off fencing and quorum, both halves of a
// cut cluster go on. When they meet again one gives way, and nothing of its
// history gets into the other's.
func TestSplitBrainByConfiguration(t *testing.T) {
	c := start(t, Config{Nodes: 2})
	one, two := connect(t, c, 1), connect(t, c, 2)
	set(t, one, "stonith-enabled", "false")
	set(t, one, "no-quorum-policy", "ignore")
	document(t, two) // it knows of it, too
	c.Cut(1, 2)
	eventually(t, patience, "both lead", func() bool {
		n := 0
		for _, node := range c.nodes() {
			if l, _ := node.Consensus().Leadership(); l.Self {
				state, _ := node.Consensus().State()
				if len(state.Forced) > 0 {
					n++
				}
			}
		}
		return n == 2
	})
	set(t, one, "half", "one")
	set(t, two, "half", "two")
	c.Heal()
	eventually(t, patience, "both are one cluster again", func() bool {
		i, err := one.Info(t.Context())
		if err != nil {
			return false
		}
		for _, m := range i.Members {
			if !m.Online || !m.Voter {
				return false
			}
		}
		j, err := two.Info(t.Context())
		return err == nil && i.Leader != "" && i.Leader == j.Leader && len(i.Members) == 2
	})
	a, b := document(t, one), document(t, two)
	if !a.Configuration().Equal(b.Configuration()) {
		t.Errorf("the halves differ:\n%s\n%s", a, b)
	}
	aside, _ := filepath.Glob(filepath.Join(c.StateDir(), "node*", "consensus", "*.before-epoch-*"))
	if len(aside) != 1 {
		t.Errorf("histories kept aside: %v", aside)
	}
}
