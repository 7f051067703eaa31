package agent

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gcrm/cib"
	"gcrm/fencing"
)

var record = flag.Bool("record", false, "write testdata/debian12.txt from the agents that are installed; look at the difference before you commit it")

const table = "testdata/debian12.txt"

// describe sums up in one line what the fencer makes of an agent: required
// parameters, which one takes the plug, how hosts are found, what a reboot is.
func describe(t *testing.T, r *fencing.Registry, name string) string {
	m, err := r.Metadata(cib.AgentName{Class: "stonith", Type: name})
	if err != nil {
		return fmt.Sprintf("%s: NO METADATA: %v", name, err)
	}
	doc := configured(t, name, m)
	for _, p := range cib.Verify(doc, r, cib.VerifyOptions{}) {
		if p.Object == "f" {
			t.Errorf("%s with all it requires is not accepted: %v", name, p)
		}
	}
	conf, problems := fencing.Unpack(doc, fencing.Sources{Agents: r})
	for _, p := range problems {
		t.Errorf("%s: %v", name, p)
	}
	d := conf.Devices["f"]
	if d == nil {
		return name + ": stands for the watchdogs"
	}
	var required, secret, actions []string
	for _, p := range m.Params {
		if p.Required {
			required = append(required, p.Name)
		}
		if fencing.Secret(p.Name) {
			secret = append(secret, p.Name)
		}
	}
	for _, a := range m.Actions {
		actions = append(actions, a.Name)
	}
	reboot := "its own"
	switch {
	case d.Split:
		reboot = "halves"
	case !d.HasAction(fencing.Reboot):
		reboot = "off"
	}
	line := fmt.Sprintf("%s: %d parameters (required: %s; secret: %s), plug by %s, hosts by %s, reboot: %s, actions: %s", name, len(m.Params),
		strings.Join(required, " "), strings.Join(secret, " "), d.Argument, d.Check, reboot, strings.Join(actions, " "))
	if d.Unfences {
		line += ", unfences"
	}
	if len(m.Short) == 0 {
		line += ", without a description"
	}
	return line
}

// configured is a cluster with a device that has every parameter that the agent
// requires of the administrator.
func configured(t *testing.T, name string, m *cib.AgentMeta) *cib.CIB {
	doc, err := cib.Parse(`<cib validate-with="pacemaker-3.9"><configuration><crm_config/><nodes><node id="1" uname="n1"/></nodes><resources/><constraints/></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	params := cib.NewElement("instance_attributes", "id", "f-p")
	set := func(name, value string) {
		params.Add(cib.NewElement("nvpair", "id", "f-"+name, "name", name, "value", value))
	}
	set("pcmk_host_list", "n1")
	for _, p := range m.Params {
		if !p.Required || p.Deprecated || p.Name == "action" || p.Name == "plug" || p.Name == "port" {
			continue
		}
		switch {
		case len(p.Values) > 0:
			set(p.Name, p.Values[0].Value)
		case p.Type == "integer" || p.Type == "second" || p.Type == "boolean":
			set(p.Name, "1")
		default:
			set(p.Name, "x")
		}
	}
	doc.Section("resources").Add(cib.NewElement("primitive", "id", "f", "class", "stonith", "type", name).Add(params,
		cib.NewElement("operations").Add(cib.NewElement("op", "id", "f-m", "name", "monitor", "interval", "60s", "timeout", "60s"))))
	return doc
}

// TestInstalledAgents reads what the agents of the fence-agents package say about
// themselves, and compares it with what Debian 12's said.
func TestInstalledAgents(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every agent of the machine")
	}
	f := Finder{}
	names := f.Names()
	if len(names) < 20 {
		t.Skipf("SKIPPED: only %d fence agents are installed (package fence-agents); nothing is compared", len(names))
	}
	r := fencing.NewRegistry(nil, f.Find, f.Names)
	lines := make([]string, len(names))
	var wg sync.WaitGroup
	room := make(chan struct{}, 2)
	for i, name := range names {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			lines[i] = describe(t, r, name)
		})
	}
	wg.Wait()
	text := strings.Join(lines, "\n") + "\n"
	if *record {
		if err := os.WriteFile(table, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(table)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatal("run with -record first")
	}
	known := map[string]string{}
	for line := range strings.Lines(string(want)) {
		name, _, _ := strings.Cut(line, ":")
		known[name] = strings.TrimSpace(line)
	}
	compared := 0
	for i, name := range names {
		switch w, ok := known[name]; {
		case !ok:
			t.Logf("%s is not in the table: %s", filepath.Base(name), lines[i])
		case w != strings.TrimSpace(lines[i]):
			t.Errorf("was  %s\nis   %s", w, lines[i])
		default:
			compared++
		}
	}
	if silent := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, "NO METADATA") }); len(silent) > 0 {
		t.Logf("%d agents do not describe themselves here: %s", len(silent), strings.Join(silent, "; "))
	}
	t.Logf("%d of %d agents are as in the table", compared, len(names))
}
