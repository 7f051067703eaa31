package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gcrm/cluster/embedded"
	"gcrm/shell"
)

var rewriteJSON = flag.Bool("rewrite-json", false, "write testdata/json.golden anew")

// listings are the commands that print something for programs, each with a line
// that makes it do so on the cluster of the test. %DIR is a folder.
func listings() []string {
	return []string{
		"status", "status full", "verify", "simulate", "simulate -f node2", "apply %DIR/same.crm", "apply %DIR/more.crm --check",
		"configure show", "configure show db", "configure show xml", "configure verify", "configure validate-all db", "configure get_property stonith-enabled cluster-name",
		"configure property", "configure schema", "configure simulate", "configure graph", "configure rsctest spare node1",
		"resource status", "resource status db", "resource failcount db show node1", "resource param db show fake", "resource meta db show priority",
		"resource utilization db show memory", "resource secret login check passwd", "resource secret login show passwd", "resource locate db", "resource constraints db",
		"resource why db", "resource why db node2", "resource operations", "resource operations db", "resource scores",
		"node status", "node show", "node show node1", "node why node1", "node server", "node attribute node1 show rack", "node utilization node1 show memory",
		"node status-attr node1 show ping",
		"cib list", "cib diff shadow1", "cib diff 0.1 0.2", "cib history", "cib history 2", "cib blame db",
		"ra classes", "ra list ocf heartbeat", "ra providers Dummy", "ra info ocf:pacemaker:Dummy", "ra validate ocf:pacemaker:Dummy fake=x",
		"fence list", "fence list node1", "fence status", "fence history",
		"cluster status", "cluster health", "cluster links",
		"options show", "options show wait",
		"maintenance action spare monitor node1",
		"site ticket show t1", "site ticket time t1",
		"template list", "template show virtual-ip", "template show virtual-ip ip=192.0.2.1", "script list", "script show virtual-ip", "script verify virtual-ip ip=192.0.2.1",
		"cibstatus show", "cibstatus origin", "cibstatus simulate",
		"history info", "history latest", "history log", "history resource db", "history node node1", "history events", "history versions", "history show 0.1", "history diff 0.1 0.2",
		"membership status", "membership show", "membership links",
	}
}

// TestListingsForPrograms runs every command that prints something with -o json
// and colours: what comes out is JSON and nothing else, and its form is the one
// in the tree. Without a terminal, the text has no colours.
func TestListingsForPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	dir := t.TempDir()
	// One node: on a busy machine several might lose each other meanwhile. The
	// configuration has a second one that is offline.
	c, err := embedded.Start(t.Context(), embedded.Config{Nodes: 1, StateDir: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		c.Stop(ctx)
	})
	h, err := c.Client(1)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	run := func(line, format, display string, in io.Reader) (out, errs string, status int) {
		d, err := shell.ParseDisplay(display, false, false)
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		s := shell.NewSession(shell.Config{Cluster: h, Source: "live", Out: &stdout, Err: &stderr, In: in, Format: format, Display: d, Fencing: verifyFencing,
			Environ: func(k string) string { return map[string]string{"HOME": dir, "USER": "tester"}[k] }, Wait: strings.HasPrefix(line, "script:"), Force: strings.HasPrefix(line, "script:")})
		if script, ok := strings.CutPrefix(line, "script:"); ok {
			if !s.RunScript(t.Context(), "prepare", script) {
				status = 1
			}
			return stdout.String(), stderr.String(), status
		}
		status, _ = s.RunArguments(t.Context(), strings.Fields(strings.ReplaceAll(line, "%DIR", dir)))
		return stdout.String(), stderr.String(), status
	}
	for name, text := range map[string]string{"same.crm": "primitive spare ocf:pacemaker:Dummy meta target-role=Stopped\n", "more.crm": "primitive more ocf:pacemaker:Dummy\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, errs, status := run("script:"+listedCluster, "text", "plain", strings.NewReader("secret-1\n")); status != 0 {
		t.Fatalf("%s\n%s", out, errs)
	}
	quiet := shell.Settling{Cluster: h, Quiet: time.Minute, Hold: time.Second, Now: time.Now}
	if err := quiet.Wait(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, line := range listings() {
		out, errs, _ := run(line, "json", "color-always", nil)
		if strings.Contains(out, "\x1b") {
			t.Errorf("%s: colours in JSON: %q", line, out)
		}
		shape, err := jsonShape(out)
		if err != nil {
			t.Errorf("%s: %v:\n%s\n%s", line, err, cut(out), errs)
			continue
		}
		got[line] = shape
		if text, errs, _ := run(line, "text", "", nil); strings.Contains(text+errs, "\x1b") {
			t.Errorf("%s: colours without a terminal: %q", line, cut(text))
		}
	}
	golden := filepath.Join("testdata", "json.golden")
	want := readShapes(t, golden)
	if *rewriteJSON {
		want = mergeShapes(want, got)
		if err := os.WriteFile(golden, []byte(writeShapes(want)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line, have := range got {
		known, ok := want[line]
		if !ok {
			t.Errorf("%s is not in %s; look at its JSON and run with -rewrite-json", line, golden)
			continue
		}
		for _, at := range have {
			if !slices.Contains(known, at) && !slices.Contains(known, at+optional) && !strings.HasSuffix(at, " []") {
				t.Errorf("%s: %q is new in its JSON; programs rely on its form", line, at)
			}
		}
		for _, at := range known {
			if topLevel.MatchString(at) && !slices.Contains(have, at) && !slices.Contains(have, " []") {
				t.Errorf("%s: %q has gone from its JSON; programs rely on its form", line, at)
			}
		}
	}
	for line := range want {
		if !slices.Contains(listings(), line) {
			t.Errorf("%s is in %s and was not run", line, golden)
		}
	}
}

// optional marks what a form has in some states of a cluster only.
const optional = " (sometimes)"

// topLevel matches what the outermost object, or those in the outermost list, always have.
var topLevel = regexp.MustCompile(`^(\[\])?\.[^.\[\] ]+ (string|bool|float64)$`)

// readShapes reads the forms in the tree: "## command", then a line for each path.
func readShapes(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !(errors.Is(err, os.ErrNotExist) && *rewriteJSON) {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for part := range strings.SplitSeq(string(b), "## ") {
		if line, shape, ok := strings.Cut(part, "\n"); ok {
			out[line] = strings.Split(strings.TrimRight(shape, "\n"), "\n")
		}
	}
	return out
}

// mergeShapes adds new forms to those in the tree; what is not always there
// becomes optional. Forms of commands that are not run any more go.
func mergeShapes(want, got map[string][]string) map[string][]string {
	out := map[string][]string{}
	for line, have := range got {
		known, ok := want[line]
		if !ok {
			out[line] = have
			continue
		}
		seen := map[string]bool{}
		for _, at := range slices.Concat(have, known) {
			at = strings.TrimSuffix(at, optional)
			if slices.Contains(have, at) && slices.Contains(known, at) {
				seen[at] = true
			} else {
				seen[at+optional] = true
			}
		}
		out[line] = slices.Sorted(maps.Keys(seen))
	}
	return out
}

func writeShapes(shapes map[string][]string) string {
	var b strings.Builder
	for _, line := range slices.Sorted(maps.Keys(shapes)) {
		fmt.Fprintf(&b, "## %s\n%s\n", line, strings.Join(shapes[line], "\n"))
	}
	return b.String()
}

// listedCluster is what the test's cluster has.
const listedCluster = `configure
property cluster-name=listed stonith-enabled=false
node 2: node2
node node1 attributes rack=1 utilization memory=4096
primitive db ocf:pacemaker:Dummy params fake=x meta priority=5 utilization memory=10 op monitor interval=10s
primitive spare ocf:pacemaker:Dummy meta target-role=Stopped
primitive login ocf:pacemaker:Dummy params passwd=x op monitor interval=10s
primitive f stonith:fence_ipmilan params ip=192.0.2.1 username=u meta target-role=Stopped
location l db 100: node1
rsc_ticket t t1: login loss-policy=stop
commit
cd ../site
ticket grant t1
cd ../node
status-attr node1 set ping 100
cd ../resource
secret login stash passwd
cd ../cib
new shadow1
use live
`

func cut(s string) string { return s[:min(len(s), 600)] }

// jsonShape returns the form of a JSON text: every path with the types that are
// found there. Lists that are empty and objects without members show as such.
func jsonShape(text string) ([]string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the JSON value")
	}
	seen := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 {
				seen[path+" {}"] = true
			}
			for k, e := range v {
				walk(path+"."+k, e)
			}
		case []any:
			if len(v) == 0 {
				seen[path+" []"] = true
			}
			for _, e := range v {
				walk(path+"[]", e)
			}
		case nil:
			seen[path+" null"] = true
		default:
			seen[fmt.Sprintf("%s %T", path, v)] = true
		}
	}
	walk("", v)
	return slices.Sorted(maps.Keys(seen)), nil
}
