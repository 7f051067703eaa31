package ipmilan

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// realBoard starts OpenIPMI's simulator of a management board, whose power is
// a file.
func realBoard(t *testing.T) (params map[string]string, power string, stop func()) {
	t.Helper()
	path, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Skip("the counterpart ipmi_sim is not installed (package openipmi)")
	}
	dir := t.TempDir()
	power = filepath.Join(dir, "power")
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("power", "1", 0o644)
	write("chassis", fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s/log
case $1 in 0x*) shift;; esac
op=$1; shift
case $op in
get) for p; do case $p in power) echo power:$(cat %[1]s/power);; *) echo $p:0;; esac; done;;
set) while [ $# -gt 1 ]; do case $1 in power) [ -e %[1]s/stuck ] || echo $2 >%[1]s/power; [ -e %[1]s/fatal ] && kill -9 $(cat %[1]s/pid);; reset) ;; esac; shift 2; done;;
check) ;;
esac
exit 0
`, dir), 0o755)
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	c.Close()
	write("lan.conf", fmt.Sprintf(`name "board"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s/chassis"
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "admin" "secret" admin 10 none md2 md5 straight
`, port, dir), 0o600)
	write("emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n", 0o600)
	cmd := exec.Command(path, "-n", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "emu"), "-s", dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write("pid", strconv.Itoa(cmd.Process.Pid), 0o600)
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%s\n%s", out.String(), log)
		}
	})
	methodtest.UntilBound(t, port)
	return map[string]string{"ip": "127.0.0.1", "ipport": strconv.Itoa(port), "username": "admin", "password": "secret", "power_wait": "0",
		"power_timeout": "2", "ipmitool_timeout": "5"}, power, stop
}

func do(ctx context.Context, name string, params map[string]string, action string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return All()[name].Do(ctx, fencing.Call{Device: "bmc", Action: action, Target: "n1", Plug: "n1", Params: p})
}

func TestWithIpmiSim(t *testing.T) {
	params, power, stop := realBoard(t)
	for _, v := range []struct {
		agent string
		more  []string
	}{{"fence_ipmilan", []string{"lanplus", "1", "cipher", "3"}}, {"fence_idrac", []string{"cipher", "3", "ip", "", "port_as_ip", "1", "plug", "127.0.0.1"}}, {"fence_ipmilan", nil}} {
		for _, s := range []struct {
			action string
			power  fencing.Power
		}{{fencing.Monitor, 0}, {fencing.Status, fencing.PowerOn}, {fencing.Off, fencing.PowerOff}, {fencing.Off, fencing.PowerOff},
			{fencing.Status, fencing.PowerOff}, {fencing.On, fencing.PowerOn}, {fencing.Reboot, fencing.PowerOff}, {fencing.Status, fencing.PowerOn}} {
			if o := do(t.Context(), v.agent, params, s.action, v.more...); o.Code != fencing.Succeeded || o.Power != s.power {
				t.Fatalf("%v %s: %+v", v, s.action, o)
			}
		}
	}
	methodtest.Program(t, "fence_ipmilan", "", map[string]string{"ip": params["ip"], "ipport": params["ipport"], "username": "admin", "password": "secret", "lanplus": "1", "cipher": "3", "power_wait": "0"}, "ipmitool")
	for _, f := range []struct {
		name, hint string
		more       []string
	}{
		{"wrong password", "password", []string{"password", "guess"}},
		{"wrong user", "user", []string{"username", "nobody"}},
	} {
		if o := do(t.Context(), "fence_ipmilan", params, fencing.Off, append(f.more, "lanplus", "1", "cipher", "3")...); o.Code == fencing.Succeeded || !strings.Contains(o.Hint, f.hint) || strings.Contains(o.Text, "guess") {
			t.Errorf("%s: %+v", f.name, o)
		}
	}
	if b, _ := os.ReadFile(power); strings.TrimSpace(string(b)) != "1" {
		t.Errorf("power is %s", b)
	}
	os.WriteFile(filepath.Join(filepath.Dir(power), "stuck"), nil, 0o600)
	if o := do(t.Context(), "fence_ipmilan", params, fencing.Off, "lanplus", "1", "cipher", "3"); o.Code != fencing.Failed || !strings.Contains(o.Text, "is on") {
		t.Errorf("a board that does nothing: %+v", o)
	}
	// The board loses its mains together with the server.
	stop()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if o := do(ctx, "fence_ipmilan", params, fencing.Off, "lanplus", "1", "cipher", "3"); o.Code == fencing.Succeeded || !strings.Contains(o.Hint, "has power") {
		t.Errorf("a board without power: %+v", o)
	}
	if d := time.Since(begun); d > 7*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestMistakes(t *testing.T) {
	for _, more := range [][]string{{}, {"plug", "127.0.0.1"}, {"ip", "127.0.0.1", "cipher", "x"}, {"ip", "127.0.0.1", "privlvl", "root"}, {"ip", "127.0.0.1", "ipport", "x"}} {
		if o := do(t.Context(), "fence_ipmilan", map[string]string{}, fencing.Status, more...); o.Code != fencing.Failed || o.Text == "" {
			t.Errorf("%v: %+v", more, o)
		}
	}
}
