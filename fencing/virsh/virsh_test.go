package virsh

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/drivers/libvirt/rpc"
	"gcrm/drivers/libvirt/rpc/rpctest"
	"gcrm/fencing"
)

func do(t *testing.T, m *Method, params map[string]string, action, plug string, more ...string) fencing.Outcome {
	p := maps.Clone(params)
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return m.Do(ctx, fencing.Call{Device: "d", Agent: "fence_virsh", Action: action, Plug: plug, Target: "n1", Self: "here", Params: p})
}

// TestWithLibvirtd: the real daemon with its test hypervisor.
func TestWithLibvirtd(t *testing.T) {
	uri := rpctest.Daemon(t)
	keep, err := rpc.Dial(t.Context(), uri, rpc.Options{}) // the hypervisor forgets all when nobody is connected
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	if _, err := keep.DefineXML(t.Context(), "<domain type='test'><name>VM2</name><memory>1024</memory><os><type>hvm</type></os></domain>"); err != nil {
		t.Fatal(err)
	}
	list, err := keep.Domains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for _, d := range list { // in an order of the daemon's own
		if d.Name == "test" {
			id = d.UUID.String()
		}
	}
	m, params := New(nil), map[string]string{"uri": uri, "stonith_status_sleep": "0"}
	for _, s := range []struct {
		action, plug string
		power        fencing.Power
		text         string
	}{
		{fencing.Status, "test", fencing.PowerOn, ""}, {fencing.Off, "test", fencing.PowerOff, "read as off"}, {fencing.Off, "test", fencing.PowerOff, "already"},
		{fencing.Status, id, fencing.PowerOff, ""}, {fencing.On, id, fencing.PowerOn, ""}, {fencing.Reboot, "test", fencing.PowerOff, ""}, {fencing.Status, "test", fencing.PowerOn, ""},
		{fencing.Status, "VM2", fencing.PowerOff, ""}, {fencing.On, "VM2", fencing.PowerOn, ""},
	} {
		if o := do(t, m, params, s.action, s.plug); o.Code != fencing.Succeeded || o.Power != s.power || !strings.Contains(o.Text, s.text) {
			t.Fatalf("%s %s: %+v", s.action, s.plug, o)
		}
	}
	if o := do(t, m, params, fencing.List, ""); o.Code != fencing.Succeeded || !strings.Contains(strings.Join(o.Hosts, " "), "test "+id) || !strings.Contains(strings.Join(o.Hosts, " "), "vm2") {
		t.Errorf("list: %+v", o)
	}
	if o := do(t, m, params, fencing.Off, "nobody"); o.Code != fencing.Failed || !strings.Contains(o.Text, "no virtual machine of that name") || !strings.Contains(o.Hint, "pcmk_host_map") {
		t.Errorf("a wrong name: %+v", o)
	}
	if o := do(t, m, params, fencing.Off, "nobody", "missing_as_off", "1"); o.Code != fencing.Succeeded || o.Power != fencing.PowerOff {
		t.Errorf("missing_as_off: %+v", o)
	}
	if o := do(t, m, params, fencing.Off, ""); o.Code != fencing.Failed || o.Hint == "" {
		t.Errorf("no name: %+v", o)
	}
}

func TestMistakes(t *testing.T) {
	m := New(nil)
	for name, c := range map[string]struct {
		params     map[string]string
		text, hint string
	}{
		"no address":  {map[string]string{}, "address of the host is missing", "ip"},
		"no daemon":   {map[string]string{"uri": "test+unix:///default?socket=" + filepath.Join(t.TempDir(), "none")}, "", "libvirt runs"},
		"a password":  {map[string]string{"ip": "127.0.0.1", "password": "geheim"}, "password needs the program", "identity_file"},
		"sudo":        {map[string]string{"ip": "127.0.0.1", "use_sudo": "1"}, "use_sudo needs the program", "fence-agents"},
		"a wrong URI": {map[string]string{"uri": "nonsense"}, "names no hypervisor", ""},
		"no ssh":      {map[string]string{"ip": "127.0.0.1", "ipport": "9", "username": "root"}, "", "log in"},
	} {
		o := do(t, m, c.params, fencing.Status, "vm")
		if o.Code != fencing.Failed || !strings.Contains(o.Text, c.text) || !strings.Contains(o.Hint, c.hint) || strings.Contains(o.Text+o.Hint, "geheim") {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

// silent is a daemon that answers with garbage, or not at all.
func silent(t *testing.T, garbage []byte) string {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write(garbage)
			t.Cleanup(func() { c.Close() })
		}
	}()
	return "test+unix:///default?socket=" + path
}

func TestSilenceAndGarbage(t *testing.T) {
	m := New(nil)
	if o := do(t, m, map[string]string{"uri": silent(t, nil)}, fencing.Status, "vm", "login_timeout", "1"); o.Code != fencing.Failed || !strings.Contains(o.Text, "login_timeout") {
		t.Errorf("silence: %+v", o)
	}
	if o := do(t, m, map[string]string{"uri": silent(t, bytes.Repeat([]byte{0xff}, 100))}, fencing.Status, "vm", "login_timeout", "2"); o.Code != fencing.Failed || o.Hint == "" {
		t.Errorf("garbage: %+v", o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if o := m.Do(ctx, fencing.Call{Action: fencing.Off, Plug: "vm", Params: map[string]string{"uri": silent(t, nil)}}); o.Code != fencing.TimedOut {
		t.Errorf("the caller's time is over: %+v", o)
	}
}

type other struct{ calls []fencing.Call }

func (o *other) Metadata(context.Context) (string, error) { return "", errors.New("none") }
func (o *other) Do(_ context.Context, c fencing.Call) fencing.Outcome {
	o.calls = append(o.calls, c)
	return fencing.Outcome{Power: fencing.PowerOff}
}

func TestPasswordsAreLeftToTheProgram(t *testing.T) {
	p := &other{}
	m := New(func(string) (fencing.Method, error) { return p, nil })
	if o := do(t, m, map[string]string{"ip": "h", "passwd": "x"}, fencing.Off, "vm"); o.Power != fencing.PowerOff || len(p.calls) != 1 {
		t.Errorf("%+v, %+v", o, p.calls)
	}
}

func TestAddress(t *testing.T) {
	for want, params := range map[string]map[string]string{
		"qemu+ssh://root@host/system":                           {"ip": "host", "login": "root"},
		"qemu+ssh://root@host:2222/system?keyfile=%2Froot%2Fk1": {"ipaddr": "host", "username": "root", "ipport": "2222", "identity_file": "/root/k1"},
		"qemu+ssh://[fd00::1]/system":                           {"ip": "fd00::1"},
		"xen+tls://h/":                                          {"ip": "x", "uri": "xen+tls://h/"},
	} {
		if got, err := address(fencing.Call{Params: params}); got != want || err != nil {
			t.Errorf("%v: %s, %v", params, got, err)
		}
		if _, err := rpc.ParseAddress(want); err != nil {
			t.Error(err)
		}
	}
}
