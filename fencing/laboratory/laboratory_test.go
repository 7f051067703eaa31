package laboratory

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
)

func TestNothingHereProves(t *testing.T) {
	for _, j := range []fencing.Judge{NewNull(), NewManual(), NewSSH()} {
		if j.Proves() != fencing.Never {
			t.Errorf("%T", j)
		}
	}
}

func TestManualWaits(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if o := NewManual().Do(ctx, fencing.Call{Action: fencing.Off, Target: "n1"}); o.Code != fencing.TimedOut || !strings.Contains(o.Hint, "fence confirm n1") {
		t.Errorf("outcome %+v", o)
	}
}

func TestSSH(t *testing.T) {
	dir := t.TempDir()
	fake := filepath.Join(dir, "ssh")
	os.WriteFile(fake, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+dir+"/args\ncase \"$*\" in *good*) echo accepted;; *) echo 'no route' >&2; exit 255;; esac\n"), 0o755)
	s := NewSSH()
	s.Program = fake
	if o := s.Do(t.Context(), fencing.Call{Action: fencing.Reboot, Plug: "good"}); o.Code != fencing.Succeeded {
		t.Errorf("outcome %+v", o)
	}
	if b, _ := os.ReadFile(dir + "/args"); !strings.Contains(string(b), "echo b >/proc/sysrq-trigger") || !strings.Contains(string(b), "BatchMode=yes") {
		t.Errorf("arguments %s", b)
	}
	if o := s.Do(t.Context(), fencing.Call{Action: fencing.Off, Plug: "bad"}); o.Code != fencing.Failed || !strings.Contains(o.Text, "no route") {
		t.Errorf("outcome %+v", o)
	}
	if o := s.Do(t.Context(), fencing.Call{Action: fencing.Off, Plug: "-oProxyCommand=x"}); o.Code != fencing.Failed || !strings.Contains(o.Text, "no name") {
		t.Errorf("outcome %+v", o)
	}
}
