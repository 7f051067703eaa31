package native

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/meta"
)

func agent(actions map[string]Action) *Agent {
	return &Agent{
		Table: meta.Agent{Name: "Test", Version: "1", Short: "t", Params: []meta.Param{
			{Name: "must", Type: meta.String, Required: true, Short: "m"}, {Name: "count", Type: meta.Integer, Default: "3", Short: "c"}}},
		Actions: actions,
	}
}

func request(action string, params map[string]string) drivers.Request {
	return drivers.Request{Agent: drivers.Name{Class: "ocf", Provider: "p", Type: "Test"}, Resource: "r", Action: action, Params: params, Timeout: 10 * time.Second}
}

func TestParametersAreCheckedWhereTheyCount(t *testing.T) {
	seen := ""
	record := func(_ context.Context, c *Call) drivers.Result {
		seen = c.Action + " " + c.Params.String("must") + " " + c.Params.String("count")
		return OK()
	}
	a := agent(map[string]Action{drivers.Start: record, drivers.Stop: record, drivers.Monitor: record})
	for _, c := range []struct {
		action string
		params map[string]string
		rc     drivers.RC
		want   string // of the reason, or of what the action saw
	}{
		{"start", map[string]string{"must": "x"}, 0, "start x 3"},
		{"start", nil, drivers.NotConfigured, "required parameter must is not set"},
		{"start", map[string]string{"must": "x", "cuont": "5"}, drivers.NotConfigured, "no parameter cuont"},
		{"monitor", map[string]string{"must": "x", "cuont": "5"}, 0, "monitor x 3"},
		{"monitor", map[string]string{"must": "x", "count": "many"}, drivers.NotConfigured, "not a whole number"},
		{"stop", map[string]string{"count": "many"}, 0, "stop  3"},
		{"validate-all", map[string]string{"must": "x"}, 0, ""},
		{"validate-all", nil, drivers.NotConfigured, "must"},
		{"promote", map[string]string{"must": "x"}, drivers.Unimplemented, "no action promote"},
	} {
		seen = ""
		res := a.Run(t.Context(), request(c.action, c.params))
		if res.RC != c.rc || c.rc == 0 && seen != c.want || !strings.Contains(seen+res.Reason, c.want) {
			t.Errorf("%s %v: %+v, saw %q", c.action, c.params, res, seen)
		}
	}
}

func TestTimeIsUp(t *testing.T) {
	waits := func(ctx context.Context, c *Call) drivers.Result {
		c.Waiting("the moon")
		<-ctx.Done()
		return Failed(ctx.Err())
	}
	stuck := func(_ context.Context, c *Call) drivers.Result {
		_ = c.Do("mount /dead", func() error { time.Sleep(4 * time.Second); return nil })
		return OK()
	}
	a := agent(map[string]Action{drivers.Start: waits, drivers.Stop: stuck})
	req := request(drivers.Start, map[string]string{"must": "x"})
	req.Timeout = 50 * time.Millisecond
	if res := a.Run(t.Context(), req); res.Status != drivers.TimedOut || res.RC != drivers.GenericError || !strings.Contains(res.Reason, "after 50ms") {
		t.Errorf("%+v", res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	req.Timeout = time.Minute
	if res := a.Run(ctx, req); res.Status != drivers.Cancelled || !strings.Contains(res.Reason, "waiting for the moon") {
		t.Errorf("%+v", res)
	}
	// One that is caught in a system call does not hold up the caller.
	req.Action, req.Timeout = drivers.Stop, 50*time.Millisecond
	began := time.Now()
	if res := a.Run(t.Context(), req); res.Status != drivers.TimedOut || !strings.Contains(res.Reason, "caught in the kernel: mount /dead") || time.Since(began) > 3*time.Second {
		t.Errorf("%+v after %v", res, time.Since(began))
	}
}

func TestPanicIsAResult(t *testing.T) {
	a := agent(map[string]Action{drivers.Start: func(context.Context, *Call) drivers.Result { panic("oops") }})
	if res := a.Run(t.Context(), request(drivers.Start, map[string]string{"must": "x"})); res.RC != drivers.GenericError || res.Status != drivers.Error ||
		!strings.Contains(res.Reason, "internal error") || !strings.Contains(res.Reason, "oops") {
		t.Errorf("%+v", res)
	}
}

func TestStepsAreToldOnceAndNotMadeInADryRun(t *testing.T) {
	made := 0
	a := agent(map[string]Action{drivers.Start: func(_ context.Context, c *Call) drivers.Result {
		for range 3 {
			_ = c.Do("try", func() error { made++; return errors.New("busy") })
		}
		_ = c.Do("other", func() error { made++; return nil })
		return OK()
	}})
	req := request(drivers.Start, map[string]string{"must": "x"})
	steps, res := a.DryRun(t.Context(), req)
	if strings.Join(steps, " ") != "try other" || made != 0 || res.Output != "" {
		t.Errorf("%q, %d made, %+v", steps, made, res)
	}
	if res := a.Run(t.Context(), req); made != 4 || res.Output != "try\nother\n" {
		t.Errorf("%d made, %+v", made, res)
	}
}

func TestTools(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "#!/bin/sh\necho $1\n", "bad": "#!/bin/sh\necho first >&2\necho no disk >&2\nexit 4\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a := agent(map[string]Action{drivers.Start: func(ctx context.Context, c *Call) drivers.Result {
		if out, err := c.Ask(ctx, "good", "day"); out != "day\n" || err != nil {
			t.Errorf("%q %v", out, err)
		}
		return Failed(c.Change(ctx, c.Params.String("must"), "a b"))
	}})
	a.Path = []string{dir}
	if res := a.Run(t.Context(), request(drivers.Start, map[string]string{"must": "bad"})); res.RC != drivers.GenericError || res.Reason != "bad 'a b': bad: no disk (exit code 4)" {
		t.Errorf("%+v", res)
	}
	if res := a.Run(t.Context(), request(drivers.Start, map[string]string{"must": "absent"})); res.RC != drivers.NotInstalled || !strings.Contains(res.Reason, dir) {
		t.Errorf("%+v", res)
	}
	if got := Quote([]string{"a", "", "it's", "x=1"}); got != `a '' 'it'\''s' x=1` {
		t.Error(got)
	}
}

func TestProbesAndLevels(t *testing.T) {
	for _, c := range []struct {
		action   string
		interval time.Duration
		meta     map[string]string
		want     bool
	}{{"monitor", 0, nil, true}, {"monitor", time.Second, nil, false}, {"monitor", 0, map[string]string{"interval": "10000"}, false}, {"start", 0, nil, false}} {
		call := &Call{Request: drivers.Request{Action: c.action, Interval: c.interval, Meta: c.meta}}
		if call.Probe() != c.want {
			t.Errorf("%+v", c)
		}
	}
	call := &Call{Request: drivers.Request{Params: map[string]string{"OCF_CHECK_LEVEL": "10"}, Meta: map[string]string{"OCF_CHECK_LEVEL": "20"}}}
	if n, err := call.Level(); n != 10 || err != nil {
		t.Error(n, err)
	}
}

func TestTogether(t *testing.T) {
	first, second := make(chan int), make(chan int)
	Together(func() { first <- 1; <-second }, func() { <-first; second <- 2 }) // one after the other they would wait for ever
	a := agent(map[string]Action{drivers.Start: func(context.Context, *Call) drivers.Result {
		Together(func() { panic("one of them") }, func() {})
		return OK()
	}})
	if res := a.Run(t.Context(), request(drivers.Start, map[string]string{"must": "x"})); res.RC != drivers.GenericError || !strings.Contains(res.Reason, "one of them") {
		t.Errorf("%+v", res)
	}
}
