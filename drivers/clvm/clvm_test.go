package clvm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers"
	"gcrm/drivers/native"
)

// host has tools that write down how they are called, and an lvmlockd that goes
// into the background.
type host struct {
	t        *testing.T
	dir, log string
	places   places
}

func newHost(t *testing.T, vgs string) *host {
	dir := t.TempDir()
	h := &host{t: t, dir: dir, log: filepath.Join(dir, "log"), places: places{comms: filepath.Join(dir, "comms"), conf: filepath.Join(dir, "lvm.conf")}}
	for name, text := range map[string]string{
		"vgs": "#!/bin/sh\nprintf '" + vgs + "'\n", "vgchange": "#!/bin/sh\necho vgchange $* >> " + h.log + "\n",
		"lvmlockd": "#!/bin/sh\nif [ \"$1\" = -p ]; then echo lvmlockd $3 $5 $6 $7 $8 $9 >> " + h.log + "; \"$0\" bg $2 >/dev/null 2>&1 & exit 0; fi\necho $$ > $2\nwhile [ -e $2 ]; do sleep 0.1; done\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *host) run(a *native.Agent, action string, params map[string]string) drivers.Result {
	a.Path = append([]string{h.dir}, native.DefaultPath()...)
	return a.Run(h.t.Context(), drivers.Request{Agent: drivers.Name{Class: "ocf", Provider: "heartbeat", Type: a.Table.Name}, Resource: "r", Action: action, Interval: time.Second,
		Timeout: time.Minute, Params: params, Node: drivers.Node{Name: "node1", StateDir: h.dir}})
}

func (h *host) want(res drivers.Result, rc drivers.RC, words string) {
	h.t.Helper()
	if res.RC != rc || !strings.Contains(res.Reason, words) {
		h.t.Errorf("%+v; want %d %q", res, rc, words)
	}
}

func (h *host) called() string {
	b, _ := os.ReadFile(h.log)
	_ = os.Remove(h.log)
	return strings.Join(strings.Split(strings.TrimSpace(string(b)), "\n"), "; ")
}

func TestLvmlockd(t *testing.T) {
	h := newHost(t, "")
	a := lvmlockd(h.places)
	params := map[string]string{"pidfile": filepath.Join(h.dir, "pid"), "socket_path": "/s"}
	h.want(h.run(a, drivers.Monitor, params), drivers.NotRunning, "")
	h.want(h.run(a, drivers.Start, params), drivers.GenericError, "order this resource after a clone of ocf:pacemaker:controld")
	if err := os.MkdirAll(filepath.Join(h.places.comms, "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.places.conf, []byte("global {\n\t# use_lvmlockd = 0\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.want(h.run(a, drivers.Start, params), drivers.OK, "")
	h.want(h.run(a, drivers.Start, params), drivers.OK, "") // once more
	h.want(h.run(a, drivers.Monitor, params), drivers.OK, "")
	if conf, _ := os.ReadFile(h.places.conf); string(conf) != "global {\n\tuse_lvmlockd = 1\n}\n" {
		t.Errorf("%s", conf)
	}
	if got := h.called(); got != "lvmlockd -s -S warning -A 1 -g" {
		t.Error(got)
	}
	h.want(h.run(a, drivers.Stop, params), drivers.OK, "")
	h.want(h.run(a, drivers.Monitor, params), drivers.NotRunning, "")
	h.want(h.run(a, drivers.Stop, params), drivers.OK, "")
	h.want(h.run(a, drivers.Start, map[string]string{"syslog_priority": "loud"}), drivers.NotConfigured, "syslog_priority")
}

func TestSettingInLvmConf(t *testing.T) {
	for before, after := range map[string]string{
		"": "global/use_lvmlockd = 1\n", "a = 1": "a = 1\nglobal/use_lvmlockd = 1\n",
		"global {\n use_lvmlockd = 0\n}\n": "global {\n\tuse_lvmlockd = 1\n}\n", "global {\n use_lvmlockd = 1\n}\n": "global {\n use_lvmlockd = 1\n}\n",
		"global/use_lvmlockd = 1\n": "global/use_lvmlockd = 1\n",
	} {
		if got := withLockd(before); got != after {
			t.Errorf("%q: %q", before, got)
		}
	}
}

func TestClvmRefuses(t *testing.T) {
	h := newHost(t, "")
	a := clvm(h.places)
	h.want(h.run(a, drivers.Start, map[string]string{"with_cmirrord": "true"}), drivers.NotConfigured, "raid1")
	h.want(h.run(a, drivers.Start, map[string]string{"daemon_options": "-d0 -T20"}), drivers.NotConfigured, "daemon_options")
}

// TestGroups starts and stops shared groups, through the functions, since the
// daemon's pid file of clvm is the host's.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		vgs    string
		params map[string]string
		rc     drivers.RC
		reason string
		calls  string
	}{
		{"  vms,dlm,\\n  local,none,\\n", nil, 0, "", "lvmlockd -s -S warning -A 1 -g; vgchange --lockstart vms; vgchange -asy vms"},
		{"vms,dlm,\\nb,dlm,\\n", map[string]string{"exclusive": "true", "daemon_options": "-d1"}, 0, "", "lvmlockd -s -S debug -A 1 -g; vgchange --lockstart vms b; vgchange -aey vms b"},
		{"vms,dlm,\\n", map[string]string{"activate_vgs": "false"}, 0, "", "lvmlockd -s -S warning -A 1 -g; vgchange --lockstart vms"},
		{"old,,clustered\\n", nil, drivers.NotConfigured, "vgchange --lock-type none --force VG", "lvmlockd -s -S warning -A 1 -g"},
	} {
		h := newHost(t, c.vgs)
		if err := os.MkdirAll(filepath.Join(h.places.comms, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		a := clvm(h.places)
		at := func(call *native.Call) groups {
			g := legacy(h.places, call)
			g.pidfile = filepath.Join(h.dir, "pid")
			return g
		}
		a.Actions[drivers.Start] = func(ctx context.Context, call *native.Call) drivers.Result { return at(call).start(ctx, call) }
		a.Actions[drivers.Stop] = func(ctx context.Context, call *native.Call) drivers.Result { return at(call).stop(ctx, call) }
		h.want(h.run(a, drivers.Start, c.params), c.rc, c.reason)
		if got := h.called(); got != c.calls {
			t.Errorf("%s", got)
		}
		h.want(h.run(a, drivers.Stop, c.params), drivers.OK, "")
		if got := h.called(); c.rc == 0 && !strings.HasPrefix(got, "vgchange -an vms") {
			t.Errorf("%s", got)
		}
	}
}
