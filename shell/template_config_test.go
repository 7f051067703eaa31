package shell

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcrm/grammar"
)

// configSession is a session on an empty CIB with a home folder.
func configSession(t *testing.T, interactive bool) (s *Session, out *bytes.Buffer, home string) {
	t.Helper()
	home = t.TempDir()
	c, err := OpenFile(filepath.Join(home, "cib.xml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	out = &bytes.Buffer{}
	env := map[string]string{"HOME": home, "EDITOR": filepath.Join(home, "editor")}
	s = NewSession(Config{Cluster: c, Offline: true, Source: "test", Out: out, Err: out, Interactive: interactive, No: true,
		Environ: func(k string) string { return env[k] }})
	return s, out, home
}

// Every template becomes a configuration that reads back, and that gives the
// statements which the template gives for the same values.
func TestTemplateConfigMeansTheTemplate(t *testing.T) {
	for _, name := range templateNames() {
		m, err := readTemplate(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, everything := range []bool{false, true} {
			values := map[string]string{}
			for i := range m.params {
				if p := &m.params[i]; p.required || everything {
					values[p.name] = sampleValue(p)
				}
			}
			for _, p := range m.missing(m.withDefaults(values)) {
				values[p.name] = sampleValue(p)
			}
			text := writeTemplateConfig("x", []*template{m}, values)
			c, err := readTemplateConfig("x", text)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, text)
				continue
			}
			got, err := c.statements()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want := m.statements(m.withDefaults(values))
			same := func(a, b templateStatement) bool { return a.Text == b.Text && a.once == b.once }
			if !slices.EqualFunc(got, want, same) || len(want) == 0 {
				t.Errorf("%s: got\n%v\nwant\n%v\nfrom\n%s", name, got, want, text)
			}
		}
	}
}

// A configuration that crmsh wrote.
const crmshConfig = `# Configuration: web

# Edit instructions:
#
# Add content only at the end of lines starting with '%%'.

%name virtual-ip
%pfx virtual-ip
%required

%% ip  192.168.1.101

%optional

%% netmask
%% lvs_support

%name apache
%depends_on virtual-ip
%pfx apache
%required
%% id  websvc
%% configfile "/etc/my apache/httpd.conf"
%optional
%% options
# Don't edit anything below this line.

%generate

primitive virtual-ip ocf:heartbeat:IPaddr
	params ip=%virtual-ip:ip
	opt cidr_netmask=%virtual-ip:netmask
	opt lvs_support=%virtual-ip:lvs_support

primitive apache ocf:heartbeat:apache
	params configfile=%apache:configfile
	opt options=%apache:options

monitor apache 120s:60s

group %apache:id
	apache virtual-ip
`

func TestConfigsOfCrmsh(t *testing.T) {
	s, out, home := configSession(t, false)
	if err := os.MkdirAll(filepath.Join(home, ".crmconf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".crmconf", "web"), []byte(crmshConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	if !s.RunScript(t.Context(), "t", "template list configs\ntemplate show web\nconfigure primitive old Dummy\ntemplate apply replace web\nconfigure show\n") {
		t.Fatal(out)
	}
	want := `web
primitive virtual-ip ocf:heartbeat:IPaddr params ip=192.168.1.101
primitive apache ocf:heartbeat:apache params "configfile=/etc/my apache/httpd.conf"
monitor apache 120s:60s
group websvc apache virtual-ip
primitive apache apache \
	params configfile="/etc/my apache/httpd.conf" \
	op monitor interval=120s timeout=60s
primitive virtual-ip IPaddr \
	params ip=192.168.1.101
group websvc apache virtual-ip
`
	got := out.String()
	if i := strings.Index(got, "web\n"); i < 0 || stripRemarks(got[i:]) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// stripRemarks drops warnings and errors from what a session said.
func stripRemarks(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "WARNING:") && !strings.HasPrefix(line, "INFO:") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// From new over edit to apply and delete.
func TestTemplateConfigLife(t *testing.T) {
	s, out, home := configSession(t, true)
	// The editor sets the address, as a person would: at the end of its line.
	script := "#!/bin/sh\nsed -i 's/^%% ip$/%% ip 192.0.2.10/' \"$1\"\n"
	if err := os.WriteFile(filepath.Join(home, "editor"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(line string, ok bool, want ...string) {
		t.Helper()
		out.Reset()
		if s.RunLine(t.Context(), line) != ok {
			t.Errorf("%s: %v is wanted:\n%s", line, ok, out)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: %q is missing in\n%s", line, w, out)
			}
		}
	}
	run("template show", false, "no configuration is loaded", "template list shows them")
	run("template new web web-serve virtual-ip", true, "configuration web is made and loaded")
	run("template new web virtual-ip", false, "there is a configuration web already")
	run("template show", false, "web:", "required parameter ip is not set (the address that clients use)", "required parameter ip is not set (the address)")
	run("template edit", true)
	run("template show", true, "group web web-ip web-server", "primitive web ocf:heartbeat:IPaddr2 params ip=192.0.2.10")
	run("template load nosuch", false, "there is no configuration nosuch")
	run("template load wev", false, "did you mean web?")
	run("template new x.db replicated-database params nosuch=1", false, `no template here has a parameter "nosuch"`)
	run("template new two virtual-ip params id=two ip=192.0.2.300", false, "ip=192.0.2.300 is not an address")
	run("template new two virtual-ip params id=vip2 ip=192.0.2.30", true)
	run("template list", true, "Configurations:\ntwo\nweb\n")
	run("template apply", true, "this is staged", "primitive vip2")
	run("template new virtual-ip", true, "configuration virtual-ip-0 is made")
	run("template delete virtual-ip-0 force", true)
	run("template delete virtual-ip", false, "comes with the program")
	run("template delete ../cib.xml", false, "cannot be the name")
	run("template delete two", true)
	run("template delete two", false, "there is no configuration two")
	run("template apply update web", false, "Found existing group") // web is both a group and an address here
	run("template show fencing", true, "required")
	if entries, err := os.ReadDir(filepath.Join(home, ".config", "gcrm", "templates")); err != nil || len(entries) != 1 {
		t.Errorf("files %v %v", entries, err)
	}
	if doc, _ := s.view(t.Context()); doc == nil || len(grammar.Objects(doc, false)) != 1 {
		t.Error("not just the one address is staged")
	}
}

// Mistakes in a configuration are told all at once, with their lines.
func TestTemplateConfigMistakes(t *testing.T) {
	text := "%% early\n%pfx x\n%name virtual-ip\n%pfx v\n%required\n%% ip 1.2.3\n%% nic a b\nip=3\n%generate\nprimitive v IPaddr2\n"
	_, err := readTemplateConfig("c", text)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"c:1: a parameter before %pfx", "c:2: %pfx needs", "c:6: ip=1.2.3 is not an address", "c:7: \"nic a b\" is not a name and one value", `c:8: "ip=3" is not expected here`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	for _, text := range []string{"", "primitive x Dummy\n", "%name a\n%pfx a\n%required\n%% b c\n"} {
		if _, err := readTemplateConfig("c", text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
