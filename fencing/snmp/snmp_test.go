package snmp

import (
	"bytes"
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
)

// handler answers snmpd for the outlets of a power switch: "oids" holds lines
// "OID TYPE VALUE" in the order of a walk; setting a control sets the status.
const handler = `#!/bin/sh
f=%[1]s/oids
case $1 in
-g) awk -v o="$2" '$1==o {print $1; print $2; $1=""; $2=""; sub(/^ +/,""); print; exit}' $f ;;
-n) awk -v o="$2" 'found || index($1, o ".")==1 {print $1; print $2; $1=""; $2=""; sub(/^ +/,""); print; exit} $1==o {found=1}' $f ;;
-s) [ -e %[1]s/stuck ] && exit 0
    awk -v o="$2" -v v="$4" -v c=%[2]s -v s=%[3]s 'BEGIN {n=substr(o, length(c)+1); t=s n} $1==t {print $1, $2, v; next} {print}' $f >$f.new && mv $f.new $f ;;
esac
`

// realDevice starts net-snmp's snmpd with the outlets of an APC rPDU.
func realDevice(t *testing.T, object string, l layout) (params map[string]string, dir string) {
	t.Helper()
	path, err := exec.LookPath("snmpd")
	if err != nil {
		t.Skip("the counterpart snmpd is not installed (package snmpd)")
	}
	dir = t.TempDir()
	var oids strings.Builder
	for i, name := range []string{"alpha", "beta", "gamma"} {
		fmt.Fprintf(&oids, "%s.%d string %s\n", l.names, i+1, name)
	}
	status, control := strings.TrimSuffix(l.status, "%d"), strings.TrimSuffix(l.control, "%d")
	for i := range 3 {
		fmt.Fprintf(&oids, "%s%d integer %d\n", status, i+1, l.on)
	}
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("oids", oids.String(), 0o644)
	write("handler", fmt.Sprintf(handler, dir, control, status), 0o755)
	write("conf", fmt.Sprintf(`rwcommunity private 127.0.0.1
rocommunity look 127.0.0.1
createUser admin SHA "authphrase" AES "privphrase"
rwuser admin priv
sysobjectid %s
pass .1.3.6.1.4.1 %s/handler
`, object, dir), 0o600)
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	c.Close()
	cmd := exec.Command(path, "-f", "-Lo", "-C", "-c", filepath.Join(dir, "conf"), "-p", filepath.Join(dir, "pid"), fmt.Sprintf("udp:127.0.0.1:%d", port))
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	params = map[string]string{"ip": "127.0.0.1", "ipport": strconv.Itoa(port), "shell_timeout": "1"}
	for range 50 {
		if New().Do(t.Context(), fencing.Call{Action: fencing.Monitor, Params: params}).Code == fencing.Succeeded {
			return params, dir
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("snmpd does not answer")
	return nil, ""
}

func do(t *testing.T, params map[string]string, action, plug string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return New().Do(t.Context(), fencing.Call{Device: "pdu", Action: action, Plug: plug, Target: "n1", Params: p})
}

func TestWithSnmpd(t *testing.T) {
	for _, l := range []layout{layouts[0], layouts[3]} {
		t.Run(l.name, func(t *testing.T) {
			params, dir := realDevice(t, l.object, l)
			for _, version := range [][]string{{"snmp_version", "1"}, {"snmp_version", "2c"},
				{"snmp_version", "3", "username", "admin", "password", "authphrase", "snmp_auth_prot", "SHA", "snmp_priv_prot", "AES", "snmp_priv_passwd", "privphrase"}} {
				for _, s := range []struct {
					action, plug string
					power        fencing.Power
				}{{fencing.Status, "2", fencing.PowerOn}, {fencing.Off, "beta", fencing.PowerOff}, {fencing.Status, "2", fencing.PowerOff},
					{fencing.Status, "1", fencing.PowerOn}, {fencing.Off, "2", fencing.PowerOff}, {fencing.Reboot, "2", fencing.PowerOff}, {fencing.Status, "2", fencing.PowerOn}} {
					if o := do(t, params, s.action, s.plug, version...); o.Code != fencing.Succeeded || o.Power != s.power {
						t.Fatalf("%v %s %s: %+v", version, s.action, s.plug, o)
					}
				}
			}
			if o := do(t, params, fencing.List, ""); strings.Join(o.Hosts, " ") != "1 alpha 2 beta 3 gamma" {
				t.Errorf("list: %+v", o)
			}
			for _, f := range []struct {
				name, action, plug, text string
				more                     []string
			}{
				{"wrong name", fencing.Off, "delta", "no outlet of that name", nil},
				{"wrong number", fencing.Off, "9", "", nil},
				{"wrong community", fencing.Off, "1", "timeout", []string{"community", "guess", "shell_timeout", "100ms"}},
				{"may not write", fencing.Off, "1", "", []string{"community", "look"}},
				{"wrong password", fencing.Off, "1", "", []string{"snmp_version", "3", "username", "admin", "password", "guessguess", "snmp_sec_level", "authNoPriv", "snmp_auth_prot", "SHA"}},
				{"version", fencing.Off, "1", "not known", []string{"snmp_version", "4"}},
			} {
				if o := do(t, params, f.action, f.plug, f.more...); o.Code != fencing.Failed || !strings.Contains(o.Text, f.text) || o.Text == "" {
					t.Errorf("%s: %+v", f.name, o)
				}
			}
			os.WriteFile(filepath.Join(dir, "stuck"), nil, 0o600)
			begun := time.Now()
			if o := do(t, params, fencing.Off, "1", "power_timeout", "1"); o.Code != fencing.Failed || !strings.Contains(o.Text, "is on") {
				t.Errorf("a device that does nothing: %+v after %s", o, time.Since(begun))
			}
		})
	}
}

func TestDeviceIsNotThere(t *testing.T) {
	if o := do(t, map[string]string{"ip": "127.0.0.1", "ipport": "9", "shell_timeout": "200ms"}, fencing.Status, "1"); o.Code != fencing.Failed || o.Hint == "" {
		t.Errorf("outcome %+v", o)
	}
	if o := do(t, nil, fencing.Status, "1"); o.Code != fencing.Failed || !strings.Contains(o.Hint, "ip") {
		t.Errorf("outcome %+v", o)
	}
}
