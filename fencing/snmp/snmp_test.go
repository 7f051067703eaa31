package snmp

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

// handler answers snmpd for the outlets of a power switch: "oids" holds lines
// "OID TYPE VALUE" in the order of a walk; setting a control sets the status.
const handler = `#!/bin/sh
f=%[1]s/oids
case $1 in
-g) awk -v o="$2" '$1==o {print $1; print $2; $1=""; $2=""; sub(/^ +/,""); print; exit}' $f ;;
-n) awk -v o="$2" 'found || index($1, o ".")==1 {print $1; print $2; $1=""; $2=""; sub(/^ +/,""); print; exit} $1==o {found=1}' $f ;;
-s) [ -e %[1]s/stuck ] && exit 0
    v=$4; [ "$v" = %[4]d ] && v=%[5]d || v=%[6]d
    awk -v o="$2" -v v="$v" -v c=%[2]s -v s=%[3]s 'BEGIN {n=substr(o, length(c)+1); split(n, p, "."); if (%[7]d) {n=(p[1]-%[7]d) substr(n, length(p[1])+1)} t=s n} $1==t {print $1, $2, v; next} {print}' $f >$f.new && mv $f.new $f
    [ -e %[1]s/fatal ] && kill -9 $(cat %[1]s/pid) ;;
esac
`

// realDevice starts net-snmp's snmpd with the outlets of an APC rPDU.
func realDevice(t *testing.T, m *Method, l layout) (params map[string]string, dir string) {
	t.Helper()
	path, err := exec.LookPath("snmpd")
	if err != nil {
		t.Skip("the counterpart snmpd is not installed (package snmpd)")
	}
	dir = t.TempDir()
	var oids strings.Builder
	// What comes behind status and control says the outlet.
	status, control := strings.Split(l.status, "%d")[0], strings.Split(l.control, "%d")[0]
	tail := func(i int) string {
		i += l.statusShift
		switch {
		case l.dotted:
			return fmt.Sprintf(".1.%d.1", i)
		case l.switches:
			return fmt.Sprintf("1.1.%d", i)
		case l.second:
			return fmt.Sprintf("%d.0", i)
		}
		return fmt.Sprint(i)
	}
	if base := strings.Split(l.status, "%d")[0]; !strings.HasPrefix(base, l.names) {
		for i, name := range []string{"alpha", "beta", "gamma"} {
			fmt.Fprintf(&oids, "%s.%s string %s\n", l.names, strings.TrimPrefix(tail(i+1), "."), name)
		}
	}
	for i := range 3 {
		fmt.Fprintf(&oids, "%s%s integer %d\n", status, tail(i+1), l.statusOn[0])
	}
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("oids", oids.String(), 0o644)
	write("handler", fmt.Sprintf(handler, dir, control, status, l.on, l.statusOn[0], offState(l), l.controlShift-l.statusShift), 0o755)
	write("conf", fmt.Sprintf(`rwcommunity private 127.0.0.1
rocommunity look 127.0.0.1
createUser admin SHA "authphrase" AES "privphrase"
rwuser admin priv
sysobjectid %s
pass %s %s/handler
`, cmp.Or(l.object, ".1.3.6.1.4.1.8072.3.2.10"), served(m), dir), 0o600)
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	c.Close()
	cmd := exec.Command(path, "-I", "-ifTable,ifXTable,interface,interfaces,mibII/interfaces", "-f", "-Lo", "-C", "-c", filepath.Join(dir, "conf"), "-p", filepath.Join(dir, "pid"), fmt.Sprintf("udp:127.0.0.1:%d", port))
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
	params = map[string]string{"ip": "127.0.0.1", "ipport": strconv.Itoa(port), "shell_timeout": "5", "snmp_version": "2c"}
	var last fencing.Outcome
	for range 50 {
		if last = m.Do(t.Context(), fencing.Call{Action: fencing.Monitor, Params: params}); last.Code == fencing.Succeeded {
			return params, dir
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("snmpd does not answer: %+v", last)
	return nil, ""
}

// served is the part of the tree that the handler has.
func served(m *Method) string {
	if m.vendor.ports {
		return ".1.3.6.1.2.1.2.2.1"
	}
	return ".1.3.6.1.4.1"
}

func offState(l layout) int {
	switch {
	case l.statusOff != nil:
		return l.statusOff[0]
	case l.off != l.statusOn[0]:
		return l.off
	}
	return 0
}

func apcSwitch() *Method { return newMethod(vendors()[0]) }

func do(t *testing.T, params map[string]string, action, plug string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return apcSwitch().Do(t.Context(), fencing.Call{Device: "pdu", Action: action, Plug: plug, Target: "n1", Params: p})
}

func TestWithSnmpd(t *testing.T) {
	for _, l := range []layout{apc()[0], apc()[3]} {
		t.Run(l.name, func(t *testing.T) {
			params, dir := realDevice(t, apcSwitch(), l)
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

// TestVendors: each kind of each vendor, on, off and back, and only what it is
// asked for.
func TestVendors(t *testing.T) {
	for _, v := range vendors() {
		for _, l := range v.layouts {
			t.Run(v.agent+"/"+l.name+l.object, func(t *testing.T) {
				m := newMethod(v)
				params, dir := realDevice(t, m, l)
				params["snmp_version"] = "2c"
				call := func(action, plug string) fencing.Outcome {
					return m.Do(t.Context(), fencing.Call{Device: "d", Action: action, Plug: plug, Target: "n1", Params: params})
				}
				one, two := "1", "2"
				switch {
				case l.dotted:
					one, two = "1.1.1", "1.2.1"
				case l.switches:
					one, two = "1:1", "1:2"
				}
				for _, s := range []struct {
					action, plug string
					power        fencing.Power
				}{{fencing.Status, two, fencing.PowerOn}, {fencing.Off, two, fencing.PowerOff}, {fencing.Status, two, fencing.PowerOff}, {fencing.Status, one, fencing.PowerOn},
					{fencing.Off, two, fencing.PowerOff}, {fencing.On, two, fencing.PowerOn}, {fencing.Status, two, fencing.PowerOn}} {
					if o := call(s.action, s.plug); o.Code != fencing.Succeeded || o.Power != s.power {
						b, _ := os.ReadFile(filepath.Join(dir, "oids"))
						t.Fatalf("%s %s: %+v\n%s", s.action, s.plug, o, b)
					}
				}
				theirs := maps.Clone(params)
				maps.Copy(theirs, map[string]string{"shell_timeout": "5", "community": "private", "power_wait": "0"})
				methodtest.Program(t, v.agent, two, theirs, "snmpget")
				if o := call(fencing.List, ""); !slices.Contains(o.Hosts, two) {
					t.Errorf("list: %+v", o)
				}
				if l.statusOff != nil {
					path := filepath.Join(dir, "oids")
					b, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					os.WriteFile(path, []byte(strings.ReplaceAll(string(b), fmt.Sprintf(" integer %d\n", l.statusOn[0]), " integer 7\n")), 0o644)
					if o := call(fencing.Status, two); o.Code != fencing.Failed || !strings.Contains(o.Text, "between on and off") {
						t.Errorf("a state that is none: %+v", o)
					}
				}
			})
		}
	}
}

func TestAnotherVendor(t *testing.T) {
	params, _ := realDevice(t, apcSwitch(), apc()[0])
	if o := newMethod(vendors()[2]).Do(t.Context(), fencing.Call{Action: fencing.Status, Plug: "1", Params: params}); o.Code != fencing.Failed || !strings.Contains(o.Text, "does not know") || o.Hint == "" {
		t.Errorf("%+v", o)
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
