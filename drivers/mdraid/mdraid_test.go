package mdraid

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
)

// mdadm stands in for the tool of that name: it keeps the table of arrays as
// the kernel writes it, and a file as the device. Exit codes of --detail
// --test are those mdadm documents.
const mdadm = `#!/bin/sh
D=@DIR@
echo "mdadm $*" >> $D/log
case "$*" in
*--assemble*) [ -e $D/lost ] && { echo "mdadm: no devices found for $2" >&2; exit 2; }
  printf 'Personalities : [raid1]\nmd7 : active raid1 sdb1[1] sda1[0]\n      1046528 blocks super 1.2 [2/2] [UU]\n\nunused devices: <none>\n' > $D/mdstat; head -c 4096 /dev/zero > $D/md7 ;;
*--stop*) [ -e $D/busy ] && { echo "mdadm: Cannot get exclusive access to $2:Perhaps a running process, mounted filesystem or active volume group?" >&2; exit 1; }
  printf 'Personalities : [raid1]\nunused devices: <none>\n' > $D/mdstat; rm -f $D/md7 ;;
*--detail\ --test*) exit $(cat $D/health) ;;
esac
`

type world struct {
	dir string
	t   *testing.T
}

func setUp(t *testing.T) (world, agenttest.Subject) {
	w := world{t.TempDir(), t}
	if err := os.WriteFile(filepath.Join(w.dir, "mdadm"), []byte(strings.ReplaceAll(mdadm, "@DIR@", w.dir)), 0o755); err != nil {
		t.Fatal(err)
	}
	w.put("mdstat", "Personalities : [raid1]\nunused devices: <none>\n")
	w.put("health", "0")
	w.put("md.conf", "DEVICE partitions\nARRAY "+w.dir+"/md7 UUID=1:2:3:4\n")
	name := drivers.Name{Class: "ocf", Provider: "heartbeat", Type: "mdraid"}
	return w, agenttest.Subject{Name: name, Agent: agent(filepath.Join(w.dir, "mdstat"), []string{w.dir, "/usr/bin", "/bin"}), Resource: "md",
		Params: map[string]string{"mdadm_conf": filepath.Join(w.dir, "md.conf"), "md_dev": "auto"}, Node: agenttest.NewNode(t, "node1")}
}

func (w world) put(name, text string) {
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	w, s := setUp(t)
	s.Break = func(*testing.T) { w.put("mdstat", "unused devices: <none>\n") }
	agenttest.Contract(t, s)
}

func TestMetadataAgreesWithTheScript(t *testing.T) {
	_, s := setUp(t)
	agenttest.SameAsScript(t, s.Name, s.Agent, nil, nil)
}

func TestHealth(t *testing.T) {
	w, s := setUp(t)
	s.Want(t, drivers.Start, drivers.OK)
	for code, rc := range map[string]drivers.RC{"0": drivers.OK, "1": drivers.OK, "2": drivers.GenericError, "4": drivers.GenericError} {
		w.put("health", code)
		s.Want(t, drivers.Monitor, rc)
	}
	w.put("health", "1")
	s.Params["OCF_CHECK_LEVEL"] = "10"
	s.Want(t, drivers.Monitor, drivers.OK)
	if log, _ := os.ReadFile(filepath.Join(w.dir, "log")); !strings.Contains(string(log), "--re-add missing") {
		t.Errorf("a degraded array was not completed: %s", log)
	}
	w.put("md7", "")
	w.put("health", "0")
	if res := s.Want(t, drivers.Monitor, drivers.GenericError); !strings.Contains(res.Reason, "cannot be read") {
		t.Error(res.Reason)
	}
}

func TestFailures(t *testing.T) {
	w, s := setUp(t)
	w.put("lost", "")
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "no devices found") {
		t.Error(res.Reason)
	}
	os.Remove(filepath.Join(w.dir, "lost"))
	s.Meta = map[string]string{"clone_max": "2"}
	if res := s.Want(t, drivers.Start, drivers.NotConfigured); !strings.Contains(res.Reason, "(raid1) cannot be assembled on several nodes") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Params["force_clones"] = "true"
	s.Want(t, drivers.Start, drivers.OK)
	w.put("busy", "")
	if res := s.Want(t, drivers.Stop, drivers.GenericError); !strings.Contains(res.Reason, "exclusive access") || !strings.Contains(res.Output, "--readonly") {
		t.Errorf("%s\n%s", res.Reason, res.Output)
	}
	s.Want(t, drivers.Monitor, drivers.OK)
	// force_stop ends who has it open.
	s.Params["force_stop"] = "true"
	holder := exec.Command("sh", "-c", "exec 5< "+w.dir+"/md7; exec sleep 60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	s.Want(t, drivers.Stop, drivers.GenericError)
	_ = holder.Wait()
	if !strings.Contains(holder.ProcessState.String(), "killed") {
		t.Errorf("holder: %v", holder.ProcessState)
	}
	os.Remove(filepath.Join(w.dir, "busy"))
	s.Want(t, drivers.Stop, drivers.OK)
	for param, value := range map[string]string{"mdadm_conf": "/no/such", "md_dev": "md0"} {
		_, s := setUp(t)
		s.Params[param] = value
		s.Want(t, drivers.Start, drivers.BadArgs)
		s.Want(t, drivers.Stop, drivers.OK)
	}
}
