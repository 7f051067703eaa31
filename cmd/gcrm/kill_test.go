package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
)

var (
	killFileN    = flag.Int("killfile.n", 30, "how often TestKillWhileSaving kills the program")
	killFileSeed = flag.Uint64("killfile.seed", 0, "seed of its moments; 0 takes one from the clock")
)

// The program is killed at random moments while it commits to a CIB file. Every
// commit that it acknowledged by its exit status is there afterwards, the file
// always holds one whole version, and what the dead leave behind is in nobody's
// way.
func TestKillWhileSaving(t *testing.T) {
	seed := *killFileSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 6))
	file := filepath.Join(t.TempDir(), "cib.xml")
	var big strings.Builder
	big.WriteString("configure\nproperty stonith-enabled=false marker=0\n")
	for i := range 200 {
		fmt.Fprintf(&big, "primitive p%d ocf:pacemaker:Dummy params fake=0 op monitor interval=%d\n", i, i+10)
	}
	script := filepath.Join(t.TempDir(), "base.crm")
	if err := os.WriteFile(script, []byte(big.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	program := func(args ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], append([]string{"--cib", file}, args...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+t.TempDir())
		return cmd
	}
	if out, err := program("-f", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// marker reads the property that each commit sets, to its own number.
	marker := func() (string, cib.Version) {
		doc, err := cib.ReadFile(file)
		if err != nil {
			t.Fatalf("the file holds no whole version: %v", err)
		}
		if n := len(doc.Section("resources").Children); n != 200 {
			t.Fatalf("the file holds %d of 200 resources", n)
		}
		m, _ := doc.Property("marker")
		return m, doc.Version()
	}
	began := time.Now()
	if out, err := program("configure", "property", "marker=1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	usual := time.Since(began)
	acknowledged := "1"
	_, version := marker()
	killed, done, unacknowledged := 0, 0, 0
	for i := 2; killed < *killFileN; i++ {
		mine := fmt.Sprint(i)
		cmd := program("configure", "property", "marker="+mine)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(r.Float64()*1.5*float64(usual)), func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		switch {
		case err == nil:
			acknowledged = mine
			done++
		case errors.As(err, &exit) && !exit.Exited():
			killed++
		default:
			t.Fatalf("commit %d failed, though nothing but a kill may stop it: %v\n%s", i, err, &out)
		}
		found, v := marker()
		switch {
		case found == acknowledged:
		case found == mine && v.Compare(version) > 0:
			unacknowledged++ // saved, and killed before it could say so
			acknowledged = mine
		default:
			t.Fatalf("commit %d: the file has the marker %s in version %v; acknowledged was %s in %v", i, found, v, acknowledged, version)
		}
		if v.Compare(version) < 0 {
			t.Fatalf("commit %d: version %v is older than %v", i, v, version)
		}
		version = v
	}
	if out, err := program("configure", "property", "marker=last").CombinedOutput(); err != nil {
		t.Errorf("the last commit: %v\n%s", err, out)
	}
	if found, _ := marker(); found != "last" {
		t.Errorf("the last commit left %s", found)
	}
	left := 0
	err := filepath.WalkDir(filepath.Dir(file), func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(path, ".new") {
			left++
		}
		return err
	})
	if err != nil || left > 0 {
		t.Errorf("%d half written files were left behind (%v)", left, err)
	}
	t.Logf("%d kills, %d commits acknowledged, %d saved before the kill", killed, done, unacknowledged)
}
