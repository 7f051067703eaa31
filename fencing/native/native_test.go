package native

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
)

// TestDescriptions: every method tells its actions and parameters, and what it
// tells can be read by everybody.
func TestDescriptions(t *testing.T) {
	r := Registry()
	for name, method := range Methods(nil) {
		m, err := r.Metadata(cib.AgentName{Class: "stonith", Type: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(m.Short) == 0 || len(m.Long) == 0 || m.Action(fencing.Monitor, "") == nil || m.Action(fencing.Off, "") == nil {
			t.Errorf("%s: %+v", name, m)
		}
		for _, p := range m.Params {
			if len(p.Short) == 0 {
				t.Errorf("%s: the parameter %s is not described", name, p.Name)
			}
		}
		if o := method.Do(t.Context(), fencing.Call{Device: "d", Agent: name, Action: "dance", Target: "n", Plug: "n",
			Params: map[string]string{"ip": "127.0.0.1", "ipport": "9", "shell_timeout": "1", "ipmitool_timeout": "100ms", "hash": "none", "auth": "none", "ipaddr": "127.0.0.1"}}); o.Code == fencing.Succeeded &&
			fencing.Proves(proves(r, name)) != fencing.Never {
			t.Errorf("%s can dance: %+v", name, o)
		}
	}
	if !r.Native("fence_xvm") || r.Native("fence_cisco_ucs") {
		t.Error("what is native")
	}
}

func proves(r *fencing.Registry, name string) fencing.Proves {
	p, _ := r.Proves(name)
	return p
}

// switchboard is a method whose devices are in memory.
type switchboard struct {
	fencing.Description
	mu    sync.Mutex
	on    map[string]bool
	calls []string
	seen  map[string]string
}

func (s *switchboard) Do(ctx context.Context, c fencing.Call) fencing.Outcome {
	s.mu.Lock()
	s.calls = append(s.calls, c.Self+" "+c.Action+" "+c.Plug)
	s.seen = c.Params
	s.mu.Unlock()
	if c.Params["hang"] != "" && c.Action != fencing.Status {
		<-ctx.Done()
		return fencing.Outcome{Code: fencing.Failed, Text: "interrupted"}
	}
	if c.Params["garbage"] != "" && c.Action != fencing.Status {
		return fencing.Outcome{Text: strings.Split(c.Plug, ":")[1]} // as code breaks on what it did not expect
	}
	if c.Action == fencing.List || c.Action == fencing.Monitor {
		return fencing.Outcome{Hosts: []string{"p1", "p2"}}
	}
	return fencing.Operate(ctx, c, outlet{s, c.Plug})
}

type outlet struct {
	s    *switchboard
	plug string
}

func (o outlet) Power(context.Context) (fencing.Power, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if o.s.on[o.plug] {
		return fencing.PowerOn, nil
	}
	return fencing.PowerOff, nil
}

func (o outlet) Switch(_ context.Context, on bool) error {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.on[o.plug] = on
	return nil
}

// peers lets runners reach one another.
type peers struct{ nodes map[string]*fencing.Runner }

func (p *peers) Execute(ctx context.Context, node string, x fencing.Execute) (fencing.Outcome, error) {
	return p.nodes[node].Execute(ctx, x), nil
}

func document(t *testing.T, params string) *cib.CIB {
	t.Helper()
	doc, err := cib.Parse(`<cib><configuration><crm_config/><nodes><node id="1" uname="a"/><node id="2" uname="b"/><node id="3" uname="c"/></nodes>
<resources><primitive id="sw" class="stonith" type="fence_board"><instance_attributes id="i">` + params + `</instance_attributes></primitive></resources>
<constraints><rsc_location id="l" rsc="sw" node="a" score="-INFINITY"/></constraints></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func pair(name, value string) string {
	return `<nvpair id="i-` + name + `" name="` + name + `" value="` + value + `"/>`
}

// TestRunners: the leader's runner lets another node execute, which takes the
// parameters, with the password, from its own configuration.
func TestRunners(t *testing.T) {
	board := &switchboard{on: map[string]bool{"p1": true, "p2": true}, Description: fencing.Description{Name: "fence_board", Short: "s", Long: "l",
		Actions: []string{fencing.On, fencing.Off, fencing.Reboot, fencing.Status, fencing.Monitor, fencing.List}, Params: fencing.WithPower(fencing.WithLogin("1", fencing.Param{Name: "plug", Short: "p"})...)}}
	p := &peers{map[string]*fencing.Runner{}}
	var records []fencing.Entry
	var log strings.Builder
	for _, n := range []string{"a", "c"} {
		r := fencing.NewRunner(fencing.RunnerConfig{Self: n, Registry: fencing.NewRegistry(map[string]fencing.Method{"fence_board": board}, nil, nil),
			Peers: p, Record: func(e fencing.Entry, _ bool) error { records = append(records, e); return nil },
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		defer r.Close()
		if problems := r.Configure(document(t, pair("pcmk_host_map", "b:p2")+pair("password_script", "echo hush42")), fencing.Sources{}); len(problems) > 0 {
			t.Error(problems)
		}
		r.Members(fencing.Members{Nodes: []string{"a", "c"}, Quorate: true})
		p.nodes[n] = r
	}
	res, err := p.nodes["a"].Fence(t.Context(), fencing.Request{Target: "b", Action: fencing.Off, Client: "test"})
	if err != nil || res.Proof != fencing.ProofReadBack || board.on["p2"] || !board.on["p1"] {
		t.Fatalf("%+v, %v, %v", res, err, board.on)
	}
	if board.calls[0] != "c off p2" || board.seen["password"] != "hush42" {
		t.Errorf("calls %v, parameters %v", board.calls, board.seen)
	}
	if strings.Contains(log.String(), "hush42") {
		t.Error("the password is in the log")
	}
	if len(records) < 3 || records[len(records)-1].State != fencing.Succeeds {
		t.Errorf("records %+v", records)
	}
	p.nodes["c"].Remember(p.nodes["a"].History(), true)
	if h := p.nodes["c"].History(); len(h) != 1 || h[0].Delegate != "c" {
		t.Errorf("history %+v", h)
	}
}

func TestHangingDeviceAndImpatientCaller(t *testing.T) {
	board := &switchboard{on: map[string]bool{"b": true}, Description: fencing.Description{Name: "fence_board", Short: "s", Long: "l",
		Actions: []string{fencing.Off, fencing.Status, fencing.Monitor}, Params: []fencing.Param{{Name: "plug", Short: "p"}}}}
	r := fencing.NewRunner(fencing.RunnerConfig{Self: "c", Registry: fencing.NewRegistry(map[string]fencing.Method{"fence_board": board}, nil, nil)})
	defer r.Close()
	r.Configure(document(t, pair("pcmk_host_list", "b")+pair("pcmk_off_timeout", "1s")+pair("hang", "1")), fencing.Sources{})
	r.Members(fencing.Members{Nodes: []string{"c"}, Quorate: true})
	begun := time.Now()
	if _, err := r.Fence(t.Context(), fencing.Request{Target: "b", Action: fencing.Off}); err == nil || !strings.Contains(err.Error(), "within 1s") || time.Since(begun) > 5*time.Second {
		t.Errorf("error %v after %s", err, time.Since(begun))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.Fence(ctx, fencing.Request{Target: "b", Action: fencing.Off}); err == nil {
		t.Error("a caller that did not wait got a success")
	}
}

// TestMethodThatBreaks: a panic in a method is a failed action, and not the end of
// the daemon.
func TestMethodThatBreaks(t *testing.T) {
	board := &switchboard{on: map[string]bool{"b": true}, Description: fencing.Description{Name: "fence_board", Short: "s", Long: "l",
		Actions: []string{fencing.Off, fencing.Status, fencing.Monitor}, Params: []fencing.Param{{Name: "plug", Short: "p"}}}}
	r := fencing.NewRunner(fencing.RunnerConfig{Self: "c", Registry: fencing.NewRegistry(map[string]fencing.Method{"fence_board": board}, nil, nil)})
	defer r.Close()
	r.Configure(document(t, pair("pcmk_host_list", "b")+pair("garbage", "1")), fencing.Sources{})
	r.Members(fencing.Members{Nodes: []string{"c"}, Quorate: true})
	_, err := r.Fence(t.Context(), fencing.Request{Target: "b", Action: fencing.Off})
	if err == nil || !strings.Contains(err.Error(), "internal error in fence_board: runtime error: index out of range") {
		t.Errorf("error %v", err)
	}
	if h := r.History(); len(h) != 1 || h[0].State != fencing.Fails {
		t.Errorf("history %+v", h)
	}
}

func TestRehearsal(t *testing.T) {
	board := &switchboard{on: map[string]bool{"p1": true}, Description: fencing.Description{Name: "fence_board", Short: "s", Long: "l",
		Actions: []string{fencing.Off, fencing.Status, fencing.Monitor, fencing.List}, Params: []fencing.Param{{Name: "plug", Short: "p"}}}}
	p := &peers{map[string]*fencing.Runner{}}
	configure := func(hosts string) {
		for _, n := range []string{"a", "c"} {
			r := p.nodes[n]
			if r == nil {
				r = fencing.NewRunner(fencing.RunnerConfig{Self: n, Peers: p, Registry: fencing.NewRegistry(map[string]fencing.Method{"fence_board": board}, nil, nil)})
				t.Cleanup(r.Close)
				p.nodes[n] = r
			}
			r.Configure(document(t, pair("pcmk_host_map", hosts)), fencing.Sources{})
			r.Members(fencing.Members{Nodes: []string{"a", "b", "c"}, Quorate: true})
		}
	}
	configure("b:p1")
	checks, err := p.nodes["a"].Rehearse(t.Context(), "b")
	if err != nil || len(checks) != 1 || !checks[0].Good() || checks[0].Node != "c" || checks[0].Power != fencing.PowerOn {
		t.Errorf("%+v, %v", checks, err)
	}
	if !board.on["p1"] {
		t.Error("the rehearsal switched the node off")
	}
	configure("b:p7")
	checks, err = p.nodes["a"].Rehearse(t.Context(), "b")
	if err != nil || len(checks) != 1 || checks[0].Good() || !strings.Contains(checks[0].Hint, "p1, p2") {
		t.Errorf("a wrong plug: %+v, %v", checks, err)
	}
	if _, err := p.nodes["a"].Rehearse(t.Context(), "c"); err == nil {
		t.Error("a node without devices has a rehearsal")
	}
}
