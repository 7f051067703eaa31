package shell

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gcrm/cib"
)

// Every template names only its own parameters, uses all of them, and its parts
// are closed.
func TestTemplatesAreWellFormed(t *testing.T) {
	names := templateNames()
	for _, want := range []string{"virtual-ip", "web-server", "filesystem", "replicated-database", "nfs-server", "kvm-machine", "gfs2", "fencing"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no template %s", want)
		}
	}
	used := regexp.MustCompile(`\$\{([^}]*)\}`)
	for _, name := range names {
		m, err := readTemplate(name)
		if err != nil {
			t.Error(err)
			continue
		}
		seen := map[string]bool{}
		open := false
		for _, l := range m.lines {
			switch {
			case strings.HasPrefix(l, "#if "), strings.HasPrefix(l, "#need "):
				if strings.HasPrefix(l, "#if ") {
					if open {
						t.Errorf("%s: %q inside another part", name, l)
					}
					open = true
				}
				p, want, compare := strings.Cut(strings.Fields(l)[1], "=")
				seen[p] = true
				if q := m.param(p); q == nil || compare && !slices.Contains(q.values(), want) {
					t.Errorf("%s: %q can never hold", name, l)
				}
			case l == "#end":
				open = false
			}
			for _, f := range used.FindAllStringSubmatch(l, -1) {
				for p := range strings.SplitSeq(f[1], "|") {
					seen[p] = true
					if m.param(p) == nil {
						t.Errorf("%s: ${%s} is no parameter", name, p)
					}
				}
			}
		}
		if open {
			t.Errorf("%s: a part is not closed", name)
		}
		if m.summary == "" {
			t.Errorf("%s has no summary", name)
		}
		for _, p := range m.params {
			if !seen[p.name] {
				t.Errorf("%s: parameter %s does nothing", name, p.name)
			}
			if p.fallback != "" && p.check(p.fallback) != "" {
				t.Errorf("%s: the default %s", name, p.check(p.fallback))
			}
		}
	}
}

// sampleValue is a value that a parameter accepts.
func sampleValue(p *templateParam) string {
	switch p.kind {
	case "id":
		return "sample"
	case "address":
		return "192.0.2.1"
	case "path":
		return "/srv/a b"
	case "number":
		return "24"
	}
	if v := p.values(); v != nil {
		return v[0]
	}
	return `te"x t`
}

// Every template gives a configuration without errors, with every choice, with
// the required parameters only and with all of them.
func TestTemplatesApply(t *testing.T) {
	n := 0
	for _, name := range templateNames() {
		m, err := readTemplate(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.params {
			choices := m.params[i].values()
			if choices == nil {
				choices = []string{""}
			}
			for _, choice := range choices {
				for _, everything := range []bool{false, true} {
					values := map[string]string{}
					if choice != "" {
						values[m.params[i].name] = choice
					}
					for j := range m.params {
						p := &m.params[j]
						if values[p.name] == "" && (everything || p.required) {
							values[p.name] = sampleValue(p)
						}
					}
					for _, p := range m.missing(m.withDefaults(values)) {
						values[p.name] = sampleValue(p)
					}
					if m.param("node") != nil {
						values["node"] = "node1"
					}
					for _, k := range []string{"vg", "lv"} { // parts of ids and paths
						if values[k] != "" {
							values[k] = k
						}
					}
					line := "template apply " + name
					for k, v := range values {
						line += " " + k + "='" + v + "'"
					}
					s, errs := emptySession(t)
					if !s.RunScript(t.Context(), "t", line+"\n") {
						t.Errorf("%s:\n%s", line, errs)
						continue
					}
					n++
				}
			}
		}
	}
	t.Logf("%d configurations", n)
}

func emptySession(t *testing.T) (*Session, *strings.Builder) {
	t.Helper()
	c, err := OpenFile(filepath.Join(t.TempDir(), "cib.xml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := &strings.Builder{}
	return NewSession(Config{Cluster: c, Offline: true, Source: "test", Out: errs, Err: errs}), errs
}

// A value stays a value, whatever stands in it.
func TestTemplateValuesStayInTheirWord(t *testing.T) {
	s, errs := emptySession(t)
	evil := `/x" op monitor on-fail=ignore ' \ ${ip}`
	if !s.RunScript(t.Context(), "t", `template apply filesystem device='`+strings.ReplaceAll(evil, "'", `'"'"'`)+`' directory=/srv`+"\n") {
		t.Fatal(errs)
	}
	doc, err := s.view(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	doc.Configuration().Walk(func(e *cib.Element) bool {
		if e.Name == "nvpair" && e.Get("name") == "device" {
			found = e.Get("value") == evil
		}
		if e.Get("on-fail") != "" {
			t.Error("the value became an operation")
		}
		return true
	})
	if !found {
		t.Errorf("the value was changed:\n%s", doc.Configuration())
	}
}

// All mistakes in the values are told, and nothing is added.
func TestTemplateMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"template apply virtual-ip ip=1.2.3":            "ip=1.2.3 is not an address",
		"template apply virtual-ip":                     "needs ip (the address)",
		"template apply virtual-ip ip=192.0.2.1 nik=x":  "did you mean nic?",
		"template apply virtual-ip ip":                  "no name=value",
		"template apply virtualip ip=192.0.2.1":         "did you mean virtual-ip?",
		"template apply fencing node=a method=ipmi":     "needs address",
		"template apply fencing node=a method=x":        "is not ipmi, virsh or sbd",
		"template apply virtual-ip ip=192.0.2.1 id=a:b": "is not an id",
	} {
		s, errs := emptySession(t)
		if s.RunScript(t.Context(), "t", line+"\n") || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %q does not tell %q", line, errs, want)
		}
		if s.changed() {
			t.Errorf("%s: something is staged", line)
		}
	}
}

// With somebody there to ask, what is missing is asked for; a wrong answer is
// asked again, and Ctrl-C adds nothing.
func TestTemplateAsks(t *testing.T) {
	answers := []string{"", "nonsense", "192.0.2.7", "", "eth0"}
	s, out := emptySession(t)
	s.cfg.Interactive = true
	s.cfg.Ask = func(prompt string) (string, error) {
		if len(answers) == 0 {
			return "", errInterrupt
		}
		a := answers[0]
		answers = answers[1:]
		return a, nil
	}
	run := func(l string) bool { return s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l}) }
	if !run("template apply virtual-ip") {
		t.Fatal(out)
	}
	doc, _ := s.view(t.Context())
	if x := doc.Configuration().String(); !s.changed() || !strings.Contains(x, `value="192.0.2.7"`) || !strings.Contains(x, `value="eth0"`) || strings.Contains(x, "cidr_netmask") {
		t.Errorf("%s\n%s", out, x)
	}
	before := doc.Configuration().String()
	if run("template apply web-server") {
		t.Error("abandoning counts as done")
	}
	if doc, _ = s.view(t.Context()); doc.Configuration().String() != before {
		t.Error("abandoning added something")
	}
}

// What is echoed at the prompt shows no password.
func TestTemplateHidesPasswords(t *testing.T) {
	s, out := emptySession(t)
	s.cfg.Interactive = true
	l := "template apply fencing node=node1 method=ipmi address=192.0.2.9 username=admin password=geheim"
	if !s.run(t.Context(), &sourceLine{line: readTestLine(l), text: l}) {
		t.Fatal(out)
	}
	doc, _ := s.view(t.Context())
	if !strings.Contains(doc.Configuration().String(), "geheim") {
		t.Error("the password is lost")
	}
	if strings.Contains(out.String(), "geheim") || !strings.Contains(out.String(), "username=admin") {
		t.Errorf("got %s", out)
	}
}

// What several uses of a template share is made once, and a property that the
// administrator has set keeps its value.
func TestTemplateTwice(t *testing.T) {
	s, out := emptySession(t)
	script := `configure property stonith-enabled=false
configure property no-quorum-policy=stop
template apply gfs2 id=one vg=shared lv=one directory=/srv/one
template apply gfs2 id=two vg=shared lv=two directory=/srv/two
template apply fencing node=node1 method=ipmi address=192.0.2.9 username=admin password=x
template apply fencing node=node2 method=ipmi address=192.0.2.8 username=admin password=x
`
	if !s.RunScript(t.Context(), "t", script) {
		t.Fatal(out)
	}
	doc, err := s.view(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"stonith-enabled": "false", "no-quorum-policy": "stop"} {
		if v, _ := doc.Property(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	for _, id := range []string{"one-clone", "two-clone", "locking-clone", "fence-node1", "fence-node2"} {
		if _, ok := findObject(doc, id); !ok {
			t.Errorf("%s is missing", id)
		}
	}
	if !strings.Contains(out.String(), "left as it is in the configuration: property stonith-enabled=true") {
		t.Errorf("what was left out is not told:\n%s", out)
	}
}
