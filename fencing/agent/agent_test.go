package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
)

// script writes an agent in sh into a folder and returns it.
func script(t *testing.T, body string) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fence_test")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Program{Path: path}
}

func TestParametersGoThroughStandardInput(t *testing.T) {
	dir := t.TempDir()
	p := script(t, fmt.Sprintf("cat >%s/in; env >%s/env; echo \"$#\" >%s/args; echo done", dir, dir, dir))
	o := p.Do(t.Context(), fencing.Call{Action: "off", Params: map[string]string{"plug": "n1", "passwd": "s3cret=x", "nodename": "node1"}})
	if o.Code != fencing.Succeeded || o.Text != "done" {
		t.Fatalf("outcome %+v", o)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got, want := read("in"), "action=off\nnodename=node1\npasswd=s3cret=x\nplug=n1\n"; got != want {
		t.Errorf("standard input %q, want %q", got, want)
	}
	if strings.Contains(read("env"), "s3cret") || strings.TrimSpace(read("args")) != "0" {
		t.Errorf("something went through arguments (%s) or the environment", read("args"))
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, action, body string
		code               fencing.Code
		power              fencing.Power
		text               string
	}{
		{"on", "status", "exit 0", fencing.Succeeded, fencing.PowerOn, ""},
		{"off", "status", "exit 2", fencing.Succeeded, fencing.PowerOff, ""},
		{"unreadable", "status", "exit 8", fencing.Failed, fencing.PowerUnknown, "could not be read"},
		{"bad parameters are no state", "off", "exit 2", fencing.Failed, fencing.PowerUnknown, "wrong parameters"},
		{"login", "off", "echo 'ERROR: password hush42 wrong' >&2; exit 3", fencing.Failed, fencing.PowerUnknown, "******"},
		{"a line about help is no reason", "off", "printf 'ERROR: the plug is missing\\n\\nPlease use '\\''-h'\\'' for usage\\n' >&2; exit 1", fencing.Failed, fencing.PowerUnknown, "plug is missing"},
		{"killed", "off", "kill -9 $$", fencing.Failed, fencing.PowerUnknown, "signal"},
		{"input not read", "off", "exec <&-; exit 0", fencing.Succeeded, fencing.PowerUnknown, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := script(t, c.body).Do(t.Context(), fencing.Call{Action: c.action, Params: map[string]string{"passwd": "hush42"}})
			if o.Code != c.code || o.Power != c.power || !strings.Contains(o.Text, c.text) || strings.Contains(o.Text, "hush42") {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "late")
	p := script(t, fmt.Sprintf("(sleep 2; touch %s) & sleep 60", mark))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if o := p.Do(ctx, fencing.Call{Action: "off"}); o.Code != fencing.TimedOut {
		t.Errorf("outcome %+v", o)
	}
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("took %s", d)
	}
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(mark); err == nil {
		t.Error("a child acted after the timeout")
	}
}

func TestLineBreaksAreRefused(t *testing.T) {
	o := script(t, "cat").Do(t.Context(), fencing.Call{Action: "off", Params: map[string]string{"plug": "a\naction=on"}})
	if o.Code != fencing.Failed || !strings.Contains(o.Text, "line break") {
		t.Errorf("outcome %+v", o)
	}
}

func TestFinder(t *testing.T) {
	f := Finder{Dirs: []string{t.TempDir()}}
	if _, err := f.Find("fence_none"); !errors.Is(err, cib.ErrNoAgent) || !strings.Contains(err.Error(), f.Dirs[0]) {
		t.Errorf("error %v", err)
	}
	if _, err := f.Find("../fence_x"); !errors.Is(err, cib.ErrNoAgent) {
		t.Errorf("error %v", err)
	}
}

// TestLabAgent runs the laboratory's agent against a responder.
func TestLabAgent(t *testing.T) {
	path, err := filepath.Abs("../../../shared/lab/image/fence_lab")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("the laboratory's agent is not there: ", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	state := "on"
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var action, node string
			fmt.Fscanln(c, &action, &node)
			switch action {
			case "list":
				fmt.Fprintln(c, "n1\nn2")
			case "status":
				fmt.Fprintln(c, state)
			case "off", "on":
				state = action
				fmt.Fprintln(c, "OK")
			default:
				fmt.Fprintln(c, "ERR what?")
			}
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := &Program{Path: path}
	params := map[string]string{"ip": "127.0.0.1", "ipport": port, "plug": "n1"}
	for _, step := range []struct {
		action string
		power  fencing.Power
	}{{"status", fencing.PowerOn}, {"off", 0}, {"status", fencing.PowerOff}, {"on", 0}, {"status", fencing.PowerOn}} {
		if o := p.Do(t.Context(), fencing.Call{Action: step.action, Params: params}); o.Code != fencing.Succeeded || o.Power != step.power {
			t.Fatalf("%s: %+v", step.action, o)
		}
	}
	if o := p.Do(t.Context(), fencing.Call{Action: "list", Params: params}); strings.Join(o.Hosts, ",") != "n1,n2" {
		t.Errorf("list: %+v", o)
	}
	if o := p.Do(t.Context(), fencing.Call{Action: "reboot", Params: params}); o.Code != fencing.Failed {
		t.Errorf("reboot: %+v", o)
	}
}
