package xvm

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gcrm/cib"
	"gcrm/fencing"
	"gcrm/fencing/methodtest"
)

func writeKey(t *testing.T, key string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// realHost starts Debian's fence_virtd over libvirt's test driver, which has a
// domain "test" that can be switched off and on.
func realHost(t *testing.T, listener, options, key string) int {
	t.Helper()
	path, err := exec.LookPath("fence_virtd")
	if err != nil {
		t.Skip("the counterpart fence_virtd is not installed (packages fence-virtd, libvirt0)")
	}
	port := freePort(t)
	conf := filepath.Join(t.TempDir(), "conf")
	modules, _ := filepath.Glob("/usr/lib*/*/fence-virt")
	if len(modules) == 0 {
		modules = []string{"/usr/lib/x86_64-linux-gnu/fence-virt"}
	}
	text := fmt.Sprintf(`fence_virtd { listener = %q; backend = "libvirt"; module_path = %q; }
listeners { %s { key_file = %q; port = "%d"; %s } }
backends { libvirt { uri = "test:///default"; } }
`, listener, modules[0], listener, key, port, options)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-F", "-d", "99", "-f", conf, "-p", filepath.Join(t.TempDir(), "pid"))
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
	if listener == "tcp" {
		methodtest.UntilListening(t, fmt.Sprintf("127.0.0.1:%d", port))
	} else {
		methodtest.UntilBound(t, port)
	}
	return port
}

func cycle(t *testing.T, m *Method, params map[string]string) {
	t.Helper()
	do := func(action, plug string) fencing.Outcome {
		p := map[string]string{"port": plug}
		for k, v := range params {
			p[k] = v
		}
		return m.Do(t.Context(), fencing.Call{Device: "x", Action: action, Plug: plug, Target: plug, Params: p})
	}
	for _, s := range []struct {
		action string
		power  fencing.Power
		text   string
	}{
		{fencing.Monitor, 0, ""}, {fencing.Status, fencing.PowerOn, ""}, {fencing.Off, fencing.PowerOff, "read as off"},
		{fencing.Off, fencing.PowerOff, "already"}, {fencing.Status, fencing.PowerOff, ""}, {fencing.On, fencing.PowerOn, ""},
		{fencing.Reboot, fencing.PowerOff, "read as off"}, {fencing.Status, fencing.PowerOn, ""},
	} {
		if o := do(s.action, "test"); o.Code != fencing.Succeeded || o.Power != s.power || !strings.Contains(o.Text, s.text) {
			t.Fatalf("%s: %+v", s.action, o)
		}
	}
	if o := do(fencing.List, ""); o.Code != fencing.Succeeded || len(o.Hosts) < 2 || o.Hosts[0] != "test" {
		t.Errorf("list: %+v", o)
	}
	for _, action := range []string{fencing.Status, fencing.Off, fencing.Reboot} {
		if o := do(action, "tset"); o.Code != fencing.Failed || !strings.Contains(o.Text+o.Hint, "no such virtual machine") {
			t.Errorf("%s of an unknown domain: %+v", action, o)
		}
	}
}

func TestTCPWithFenceVirtd(t *testing.T) {
	key := writeKey(t, "some secret")
	port := realHost(t, "tcp", `address = "127.0.0.1"; family = "ipv4"; hash = "sha256"; auth = "sha256";`, key)
	params := map[string]string{"ipaddr": "127.0.0.1", "ipport": strconv.Itoa(port), "key_file": key, "timeout": "30"}
	cycle(t, New("fence_virt"), params)
	methodtest.Program(t, "fence_virt", "", map[string]string{"ipaddr": "127.0.0.1", "ipport": strconv.Itoa(port), "key_file": key, "timeout": "30", "port": "test"})

	params["key_file"] = writeKey(t, "another")
	o := New("fence_xvm").Do(t.Context(), fencing.Call{Action: fencing.Monitor, Params: params})
	if o.Code != fencing.Failed || !strings.Contains(o.Hint, "key_file") {
		t.Errorf("wrong key: %+v", o)
	}
}

func TestMulticastWithFenceVirtd(t *testing.T) {
	key := writeKey(t, "some secret")
	port := realHost(t, "multicast", `address = "225.0.0.12"; family = "ipv4"; interface = "lo"; hash = "sha512"; auth = "sha512";`, key)
	params := map[string]string{"ipport": strconv.Itoa(port), "key_file": key, "interface": "lo", "hash": "sha512", "auth": "sha512", "timeout": "30", "retrans": "5"}
	cycle(t, New("fence_xvm"), params)
	params["port"] = "test"
	methodtest.Program(t, "fence_xvm", "", params)
}

// fakeHost answers each TCP request by a function that gets the decoded
// request and the connection after the challenges.
func fakeHost(t *testing.T, key string, answer func(request, net.Conn)) map[string]string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
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
			go func() {
				defer c.Close()
				b := make([]byte, packetSize)
				if _, err := io.ReadFull(c, b); err != nil {
					return
				}
				r, err := decode(b, HashSHA256, []byte(key))
				if err != nil || respond(c, HashSHA256, []byte(key)) != nil || challenge(c, HashSHA256, []byte(key)) != nil {
					return
				}
				answer(r, c)
			}()
		}
	}()
	return map[string]string{"ipaddr": "127.0.0.1", "ipport": strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "key_file": writeKey(t, key), "timeout": "5", "power_timeout": "1"}
}

func TestFaultyHosts(t *testing.T) {
	for _, c := range []struct {
		name, action string
		answer       func(request, net.Conn)
		code         fencing.Code
		text         string
	}{
		{"says it is done and does nothing", fencing.Off, func(_ request, c net.Conn) { c.Write([]byte{0}) }, fencing.Failed, "was to be off, and is on"},
		{"fails", fencing.Status, func(_ request, c net.Conn) { c.Write([]byte{1}) }, fencing.Failed, "could not do it"},
		{"denies", fencing.Status, func(_ request, c net.Conn) { c.Write([]byte{3}) }, fencing.Failed, "permission denied"},
		{"breaks off", fencing.Status, func(_ request, c net.Conn) {}, fencing.Failed, "broke off"},
		{"hangs", fencing.Status, func(_ request, c net.Conn) { io.Copy(io.Discard, c) }, fencing.Failed, "broke off"},
		{"talks rubbish", fencing.List, func(_ request, c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request")) }, fencing.Failed, "answer 72"},
		{"an endless list", fencing.List, func(_ request, c net.Conn) {
			c.Write([]byte{answerList})
			for b := encodeDomain(Domain{Name: "x"}); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}, fencing.Failed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := fakeHost(t, "k", c.answer)
			o := New("fence_xvm").Do(t.Context(), fencing.Call{Action: c.action, Plug: "vm", Params: p})
			if o.Code != c.code || !strings.Contains(o.Text, c.text) {
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

func TestMistakesOfTheConfiguration(t *testing.T) {
	for name, p := range map[string]map[string]string{
		"no key":     {"key_file": "/nowhere/key", "ipaddr": "127.0.0.1"},
		"no host":    {"hash": "none", "auth": "none"},
		"port":       {"ipport": "many", "ipaddr": "127.0.0.1"},
		"hash":       {"hash": "md5", "ipaddr": "127.0.0.1"},
		"no daemon":  {"ipaddr": "127.0.0.1", "ipport": strconv.Itoa(freePort(t)), "hash": "none", "auth": "none"},
		"group":      {"multicast_address": "127.0.0.1", "hash": "none", "auth": "none"},
		"no domains": {"ipaddr": "127.0.0.1", "hash": "none", "auth": "none"},
	} {
		if o := New("fence_virt").Do(t.Context(), fencing.Call{Action: fencing.Status, Plug: "", Params: p}); o.Code != fencing.Failed || o.Text == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestMetadataIsReadable(t *testing.T) {
	text, _ := New("fence_xvm").Metadata(t.Context())
	m, err := cib.ParseAgentMeta(text)
	if err != nil || m.Param("port") == nil || m.Param("ipport").Default != "1229" || m.Action(fencing.List, "") == nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(request{Op: OpOff, Hash: HashSHA256, Domain: "vm"}.encode([]byte("k")))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b, HashSHA256, []byte("k"))
		if err == nil && !bytes.Equal(r.encode([]byte("k"))[:68], append(bytes.Clone(b[:2]), r.encode([]byte("k"))[2:68]...)) {
			t.Errorf("%+v", r)
		}
	})
}
