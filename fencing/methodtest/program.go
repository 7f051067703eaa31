package methodtest

import (
	"context"
	"flag"
	"maps"
	"os/exec"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/agent"
)

var programs = flag.Bool("programs", false, "let the distribution's fence agents work with the counterparts, too (minutes)")

// NeedPrograms skips a test that has no other purpose than [Program].
func NeedPrograms(t *testing.T) {
	if !*programs {
		t.Skip("with -programs it tests the distribution's fence agents")
	}
}

// Program lets the distribution's agent of a name switch what the native method
// was tested with, through the runner for programs: on, off, off again, on. The
// target is on before and after it. needs are programs that the agent runs.
func Program(t *testing.T, name, plug string, params map[string]string, needs ...string) {
	t.Helper()
	if !*programs {
		return
	}
	p, err := agent.Finder{}.Find(name)
	for _, n := range needs {
		if _, missing := exec.LookPath(n); missing != nil {
			err = missing
		}
	}
	if err != nil {
		t.Logf("SKIPPED: the program %s is not installed, or what it needs: %v", name, err)
		return
	}
	params = maps.Clone(params)
	if plug != "" {
		params["plug"] = plug
	}
	for _, s := range []struct {
		action string
		power  fencing.Power
	}{{fencing.Monitor, 0}, {fencing.Status, fencing.PowerOn}, {fencing.Off, 0}, {fencing.Status, fencing.PowerOff}, {fencing.Off, 0}, {fencing.On, 0}, {fencing.Status, fencing.PowerOn}} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		o := p.Do(ctx, fencing.Call{Action: s.action, Params: params})
		cancel()
		if o.Code != fencing.Succeeded || o.Power != s.power {
			t.Errorf("program %s, %s: %+v", name, s.action, o)
			return
		}
	}
	t.Logf("the program %s does the same", name)
}
