// Package agenttest is the contract every agent has to keep, as one test
// suite for native agents, OCF scripts, init scripts and systemd units alike.
package agenttest

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
)

// Subject is an agent with parameters under which it can be started here.
type Subject struct {
	Agent drivers.Agent
	Name  drivers.Name
	// Resource is the resource id; "subject" if empty.
	Resource string
	Params   map[string]string
	Meta     map[string]string
	// Node is made by NewNode if its StateDir is empty.
	Node drivers.Node
	// Timeout of every action; 20 s if zero.
	Timeout time.Duration
	// Promotable says that promote and demote are to be tried.
	Promotable bool
	// Break ends the resource behind the agent's back; nil leaves that out.
	Break func(t *testing.T)
	// Slow are parameters with which monitor takes longer than a second;
	// nil leaves the time limit out.
	Slow map[string]string
	// NoMetadata is set for classes whose agents describe no actions.
	NoMetadata bool
}

// NewNode returns a node with a state folder of its own and a cluster that
// remembers what agents tell it.
func NewNode(t *testing.T, name string) drivers.Node {
	t.Helper()
	return drivers.Node{Name: name, ID: "1", ClusterName: "test", StateDir: t.TempDir(), Cluster: NewCluster(name)}
}

// Do runs one action of the subject.
func (s *Subject) Do(ctx context.Context, action string) drivers.Result {
	return s.Agent.Run(ctx, s.Request(action))
}

// Request is the request for one action of the subject.
func (s *Subject) Request(action string) drivers.Request {
	resource := s.Resource
	if resource == "" {
		resource = "subject"
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	return drivers.Request{Agent: s.Name, Resource: resource, Action: action, Timeout: timeout,
		Params: maps.Clone(s.Params), Meta: maps.Clone(s.Meta), Node: s.Node}
}

// Want runs an action and fails the test unless it gives the code.
func (s *Subject) Want(t *testing.T, action string, rc drivers.RC) drivers.Result {
	t.Helper()
	res := s.Do(t.Context(), action)
	if res.RC != rc {
		t.Errorf("%s: got %v (%s), want %v\n%s", action, res.RC, res.Reason, rc, res.Output)
	}
	return res
}

// Contract runs the suite. The resource is stopped before and after.
func Contract(t *testing.T, s Subject) {
	if s.Node.StateDir == "" {
		s.Node = NewNode(t, "node1")
	}
	t.Cleanup(func() {
		if res := s.Agent.Run(context.Background(), s.Request(drivers.Stop)); res.RC != drivers.OK {
			t.Errorf("last stop: %v %s", res.RC, res.Reason)
		}
	})
	t.Run("meta-data", s.metadata)
	t.Run("stopped", s.stopped)
	t.Run("unknown action", func(t *testing.T) {
		if s.Name.Class != "ocf" {
			t.Skip("only the OCF API has an answer to unknown actions")
		}
		s.Want(t, "no-such-action", drivers.Unimplemented)
		s.Want(t, drivers.Monitor, drivers.NotRunning)
	})
	t.Run("life", s.life)
	if s.Promotable {
		t.Run("promotion", s.promotion)
	}
	if s.Break != nil {
		t.Run("recovery", s.recovery)
	}
	if s.Slow != nil {
		t.Run("time limit", s.timeLimit)
	}
	t.Run("cancelled before it began", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if res := s.Do(ctx, drivers.Start); res.RC == drivers.OK {
			t.Errorf("start succeeded although its context was done")
		}
		s.Want(t, drivers.Monitor, drivers.NotRunning)
	})
}

func (s *Subject) metadata(t *testing.T) {
	text, err := s.Agent.Metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a, err := meta.Parse(text)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if a.Name == "" {
		t.Error("the agent has no name")
	}
	if s.NoMetadata {
		return
	}
	for _, x := range []string{drivers.Start, drivers.Stop, drivers.Monitor, drivers.MetaData} {
		if !a.HasAction(x) {
			t.Errorf("action %s is not described", x)
		}
	}
	for _, x := range a.Actions {
		if x.Timeout < 0 || x.Name == drivers.Monitor && x.Timeout == 0 {
			t.Errorf("action %s has no useful timeout", x.Name)
		}
	}
	if s.Promotable && (!a.HasAction(drivers.Promote) || !a.HasAction(drivers.Demote)) {
		t.Error("a promotable agent describes no promote and demote")
	}
	for name := range s.Params {
		if _, ok := a.Param(name); !ok {
			t.Errorf("parameter %s is not described", name)
		}
	}
	seen := map[string]bool{}
	for _, p := range a.Params {
		if seen[p.Name] {
			t.Errorf("parameter %s is described twice", p.Name)
		}
		seen[p.Name] = true
		if p.Short == "" {
			t.Errorf("parameter %s has no description", p.Name)
		}
	}
	// Scripts write the resource id into defaults, so only the names agree.
	b, err := meta.Parse(s.Want(t, drivers.MetaData, drivers.OK).Output)
	if err != nil || !slices.EqualFunc(a.Params, b.Params, func(x, y meta.Param) bool { return x.Name == y.Name }) {
		t.Errorf("the action meta-data and Metadata differ (%v)", err)
	}
}

func (s *Subject) stopped(t *testing.T) {
	before := s.stateFiles(t)
	for range 2 {
		s.Want(t, drivers.Monitor, drivers.NotRunning)
	}
	if after := s.stateFiles(t); !slices.Equal(before, after) {
		t.Errorf("monitor changed the state folder: before %q, after %q", before, after)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	if res := s.Do(t.Context(), drivers.Validate); res.RC != drivers.OK && res.RC != drivers.Unimplemented {
		t.Errorf("validate-all of good parameters: %v %s", res.RC, res.Reason)
	}
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func (s *Subject) life(t *testing.T) {
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Start, drivers.OK)
	before := s.stateFiles(t)
	for range 3 {
		s.Want(t, drivers.Monitor, drivers.OK)
	}
	if after := s.stateFiles(t); !slices.Equal(before, after) {
		t.Errorf("monitor changed the state folder: before %q, after %q", before, after)
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
	s.Want(t, drivers.Stop, drivers.OK)
}

func (s *Subject) promotion(t *testing.T) {
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Promote, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.RunningPromoted)
	s.Want(t, drivers.Demote, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Demote, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.NotRunning)
}

func (s *Subject) recovery(t *testing.T) {
	s.Want(t, drivers.Start, drivers.OK)
	s.Break(t)
	if res := s.Do(t.Context(), drivers.Monitor); res.RC == drivers.OK {
		t.Errorf("monitor does not see that the resource is gone")
	}
	s.Want(t, drivers.Stop, drivers.OK)
	s.Want(t, drivers.Start, drivers.OK)
	s.Want(t, drivers.Monitor, drivers.OK)
	s.Want(t, drivers.Stop, drivers.OK)
}

func (s *Subject) timeLimit(t *testing.T) {
	slow := *s
	slow.Params = maps.Clone(s.Params)
	if slow.Params == nil {
		slow.Params = map[string]string{}
	}
	maps.Copy(slow.Params, s.Slow)
	slow.Timeout = 200 * time.Millisecond
	began := time.Now()
	res := slow.Do(t.Context(), drivers.Monitor)
	if took := time.Since(began); took > 3*time.Second || res.Status != drivers.TimedOut || res.RC == drivers.OK || res.Reason == "" {
		t.Errorf("after %v: %+v", took, res)
	}
	slow.Timeout = 20 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	began = time.Now()
	res = slow.Do(ctx, drivers.Monitor)
	if took := time.Since(began); took > 3*time.Second || res.Status != drivers.Cancelled {
		t.Errorf("cancelled after %v: %+v", took, res)
	}
}

// stateFiles lists the files of the state folder with size and time.
func (s *Subject) stateFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(s.Node.StateDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out = append(out, fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
