package dummy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcrm/drivers"
	"gcrm/drivers/agenttest"
	"gcrm/drivers/dummy"
)

func subject(t *testing.T, provider, typ string) agenttest.Subject {
	name := drivers.Name{Class: "ocf", Provider: provider, Type: typ}
	s := agenttest.Subject{Name: name, Agent: dummy.Agents()[name], Resource: "r", Promotable: typ == "Stateful",
		Node: agenttest.NewNode(t, "node1")}
	s.Break = func(t *testing.T) {
		if err := os.Remove(filepath.Join(s.Node.StateDir, typ+"-r.state")); err != nil {
			t.Error(err)
		}
	}
	return s
}

func TestContract(t *testing.T) {
	for _, c := range [][2]string{{"heartbeat", "Dummy"}, {"pacemaker", "Dummy"}, {"heartbeat", "Stateful"}, {"pacemaker", "Stateful"}} {
		t.Run(strings.Join(c[:], ":"), func(t *testing.T) {
			s := subject(t, c[0], c[1])
			if c == [2]string{"pacemaker", "Dummy"} {
				s.Slow = map[string]string{"op_sleep": "30"}
			}
			agenttest.Contract(t, s)
		})
	}
}

func TestMetadataAgreesWithTheScripts(t *testing.T) {
	for name, a := range dummy.Agents() {
		t.Run(name.String(), func(t *testing.T) {
			agenttest.SameAsScript(t, name, a, nil, []string{"state"})
		})
	}
}

func TestNodesDoNotShareState(t *testing.T) {
	a, b := subject(t, "heartbeat", "Dummy"), subject(t, "heartbeat", "Dummy")
	a.Want(t, drivers.Start, drivers.OK)
	b.Want(t, drivers.Monitor, drivers.NotRunning)
}

func TestPacemakerDummyFailsOnChosenNodes(t *testing.T) {
	s := subject(t, "pacemaker", "Dummy")
	s.Params = map[string]string{"fail_start_on": "node3 node1"}
	if res := s.Want(t, drivers.Start, drivers.GenericError); !strings.Contains(res.Reason, "fail_start_on") {
		t.Error(res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Node.Name = "node2"
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.MigrateTo, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.MigrateFrom, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
}

func TestEnvfileShowsTheEnvironmentOfAScript(t *testing.T) {
	s := subject(t, "pacemaker", "Dummy")
	file := filepath.Join(t.TempDir(), "env")
	s.Params = map[string]string{"envfile": file}
	s.Want(t, drivers.Start, drivers.OK)
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "\nOCF_RESOURCE_INSTANCE=r\n") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestScoresFollowTheRole(t *testing.T) {
	s := subject(t, "pacemaker", "Stateful")
	score := func(want int, there bool) {
		t.Helper()
		if got, ok := s.Node.Cluster.(*agenttest.Cluster).Score("r"); got != want || ok != there {
			t.Errorf("score %d, %v; want %d, %v", got, ok, want, there)
		}
	}
	s.Want(t, drivers.Promote, drivers.NotRunning)
	s.Want(t, drivers.Demote, drivers.NotRunning)
	s.Want(t, drivers.Start, drivers.OK)
	score(5, true)
	s.Want(t, drivers.Promote, drivers.OK)
	score(10, true)
	s.Want(t, drivers.Start, drivers.RunningPromoted)
	// The daemon was restarted: scores are gone, a probe brings them back.
	if err := s.Node.Cluster.SetPromotionScore(t.Context(), "r", nil); err != nil {
		t.Fatal(err)
	}
	s.Want(t, drivers.Monitor, drivers.RunningPromoted)
	score(10, true)
	s.Want(t, drivers.Demote, drivers.OK)
	score(5, true)
	s.Want(t, drivers.Stop, drivers.OK)
	score(0, false)
}

func TestWrongParametersAreNamed(t *testing.T) {
	s := subject(t, "pacemaker", "Dummy")
	for param, c := range map[string]struct {
		value string
		rc    drivers.RC
		want  string
	}{
		"op_sleep": {"soon", drivers.BadArgs, `"soon" is not a time`},
		"state":    {"/no/such/place/x", drivers.BadArgs, "/no/such/place is no folder"},
		"fail":     {"x", drivers.NotConfigured, "Dummy has no parameter fail"},
	} {
		s.Params = map[string]string{param: c.value}
		for _, action := range []string{drivers.Start, drivers.Validate} {
			if res := s.Want(t, action, c.rc); !strings.Contains(res.Reason, c.want) {
				t.Errorf("%s: %s", action, res.Reason)
			}
		}
		s.Want(t, drivers.Monitor, drivers.NotRunning)
		s.Want(t, drivers.Stop, drivers.OK)
	}
}

func TestDryRunShowsAndChangesNothing(t *testing.T) {
	s := subject(t, "pacemaker", "Stateful")
	steps, res := dummy.PacemakerStateful().DryRun(t.Context(), s.Request(drivers.Start))
	if res.RC != drivers.OK || len(steps) != 2 || !strings.HasPrefix(steps[1], "write "+s.Node.StateDir) {
		t.Errorf("%q %+v", steps, res)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	if _, ok := s.Node.Cluster.(*agenttest.Cluster).Score("r"); ok {
		t.Error("the dry run set a score")
	}
}
