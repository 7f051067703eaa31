package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The unmodified agents of Debian's resource-agents package, run by a real
// daemon with the helper commands served, beside ocf-tester:
//
//	go build -o /tmp/bin/gcrm ./cmd/gcrm
//	go test ./cmd/gcrm -run TestEveryAgent$ -v -timeout 60m -every-agent /tmp/bin/gcrm -agents-table ../../doc/agents.md
//
// It takes some minutes. What is not installed is skipped, agent by agent.
var (
	everyAgent  = flag.String("every-agent", "", "program that runs every script of resource-agents that can start in a namespace")
	agentsOnly  = flag.String("agents-only", "", "names of agents, separated by commas: only these")
	agentsTable = flag.String("agents-table", "", "file for the table of what they did")
)

// good is the result of an agent that did everything.
const good = "as it should be"

// row is what an agent did.
type row struct{ agent, tried, result, tester, said string }

func TestEveryAgent(t *testing.T) {
	if *everyAgent == "" {
		t.Skip("a long run; see -every-agent")
	}
	if _, err := os.Stat(agentFolder); err != nil {
		t.Skip("SKIPPED: the package resource-agents is not installed: ", err)
	}
	rows := tryAll(t, freshHost, inNamespace())
	note(t, "## In a network namespace", "On any host with the packages, by `TestEveryAgent`.", inNamespace(), rows)
	accounted(t)
	rewrite(t, "## Not tried", func(string) string {
		whom := map[string][]string{}
		for agent, why := range outOfReach() {
			whom[why] = append(whom[why], agent)
		}
		var b strings.Builder
		for _, why := range slices.Sorted(maps.Keys(whom)) {
			slices.Sort(whom[why])
			fmt.Fprintf(&b, "- %s: %s\n", why, strings.Join(whom[why], ", "))
		}
		return b.String()
	})
}

// freshHost is one for each agent: whatever it leaves ends with its namespaces.
func freshHost(t *testing.T) host {
	t.Helper()
	h := guests(t, "node1", "node2")["node1"]
	for _, line := range []string{
		"export PATH=" + filepath.Dir(*everyAgent) + ":$PATH; unset GCRM_TEST_AS_PROGRAM http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy; mount -t proc proc /proc; mount --bind /dev/null /etc/resolv.conf; mkdir -p /run/w /run/resource-agents /run/lock /var/lib/misc; chmod 755 /run/w; ip -6 address add 2001:db8::1/64 dev e0 nodad; ip address add 192.0.2.1/24 dev e0",
		"gcrm cluster init --name every --node node1 --address 10.77.0.1",
		"gcrm daemon >daemon.log 2>&1 &",
		"for i in $(seq 300); do gcrm cluster status >/dev/null 2>&1 && break; sleep 0.2; done; gcrm -F configure property stonith-enabled=false no-quorum-policy=ignore",
	} {
		if out, status := h.sh(line); status != "0" {
			t.Fatalf("%s: status %s\n%s", line, status, out)
		}
	}
	return h
}

// host is where agents are tried: a shell of it, with the program and the agents.
type host interface {
	sh(line string) (out, status string)
}

const agentFolder = "/usr/lib/ocf/resource.d/heartbeat"

// tryAll tries agents, one after the other. One that does not do what it should, or that
// does though it is known why it cannot, is an error.
func tryAll(t *testing.T, fresh func(*testing.T) host, recipes []recipe) (rows []row) {
	for _, r := range recipes {
		if *agentsOnly != "" && !slices.Contains(strings.Split(*agentsOnly, ","), r.agent) {
			continue
		}
		t.Run(r.agent, func(t *testing.T) {
			began := time.Now()
			row := try(fresh(t), agentFolder, r)
			if row.result != good && r.because != "" {
				row.result += " (" + r.because + ")"
			}
			rows = append(rows, row)
			t.Logf("%s: %s; ocf-tester: %s (%.1f s)", row.tried, row.result, row.tester, time.Since(began).Seconds())
			switch {
			case strings.HasPrefix(row.result, "not tried"):
				t.Skip("SKIPPED: ", row.result)
			case row.result != good && r.because == "":
				t.Errorf("%s\n%s", row.result, row.said)
			case row.result == good && r.because != "":
				t.Errorf("it works, and this is no longer true: %s", r.because)
			}
		})
	}
	return rows
}

// accounted looks whether all agents of the package are tried or have a reason why not.
func accounted(t *testing.T) {
	all, err := filepath.Glob(agentFolder + "/*")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, r := range slices.Concat(inNamespace(), onKernel()) {
		tried[r.agent] = true
	}
	for _, p := range all {
		n := filepath.Base(p)
		if n[0] == '.' {
			continue
		}
		if why := outOfReach()[n]; tried[n] == (why != "") {
			t.Errorf("%s: tried %v, and the reason not to is %q", n, tried[n], why)
		}
	}
}

// try has the cluster probe, start, monitor, promote, demote and stop an
// agent, and then ocf-tester have its way with it.
func try(h host, folder string, r recipe) (out row) {
	out = row{agent: r.agent, tester: "not tried"}
	if _, status := h.sh("test -x " + folder + "/" + r.agent); status != "0" {
		out.result = "not tried: the package has no such agent"
		return out
	}
	for needed := range strings.FieldsSeq(r.needs) {
		if _, status := h.sh("command -v " + needed + " >/dev/null || test -e " + needed); status != "0" {
			out.result = "not tried: " + needed + " is not installed"
			return out
		}
	}
	if r.setup != "" {
		if text, status := h.sh("(" + r.setup + ") </dev/null"); status != "0" {
			out.result = "not tried: preparation: " + strings.TrimSpace(text)
			return out
		}
	}
	limit := time.Minute
	if r.slow {
		limit *= 4
	}
	tried := []string{}
	step := func(name, command, want string) bool {
		// Until the cluster has settled the resource may look as it did before, or as it should become.
		if text, status := h.sh("(" + command + " && { gcrm cluster wait 40 >/dev/null 2>&1 || true; }) </dev/null"); status != "0" {
			out.result = name + ": " + lastLineOf(text)
			return false
		}
		for end := time.Now().Add(limit + 10*time.Second); ; time.Sleep(200 * time.Millisecond) {
			state, failure := stateOf(h)
			if failure != "" {
				out.result = name + ": " + failure
				return false
			}
			if state == want {
				tried = append(tried, name)
				return true
			}
			if time.Now().After(end) {
				out.result = fmt.Sprintf("%s: %s, not %s", name, state, want)
				return false
			}
		}
	}
	resource := "w"
	define := "gcrm -F configure primitive w ocf:heartbeat:" + r.agent
	if r.params != "" {
		define += " params " + r.params
	}
	define += " op monitor interval=1s timeout=LIMIT op start timeout=LIMIT op stop timeout=LIMIT op promote timeout=LIMIT op demote timeout=LIMIT"
	if r.promotes {
		resource = "m"
		define = "printf '%s\\n' 'configure' \"" + strings.ReplaceAll(strings.TrimPrefix(define, "gcrm -F configure "), `"`, `\"`) +
			" op monitor role=Master interval=2s timeout=LIMIT\" 'ms m w meta target-role=Stopped notify=true " + r.meta + "' 'commit force' | gcrm -F"
	} else {
		define += " meta target-role=Stopped"
	}
	define = strings.ReplaceAll(define, "LIMIT", fmt.Sprintf("%.0fs", limit.Seconds()))
	ok := step("probe", define, "stopped")
	if ok && r.promotes {
		ok = step("start", "gcrm resource meta m set target-role Slave", "started") &&
			step("promote", "gcrm resource meta m set target-role Master", "promoted") &&
			step("demote", "gcrm resource meta m set target-role Slave", "started")
	} else if ok {
		ok = step("start", "gcrm resource start "+resource, "started")
	}
	if ok {
		time.Sleep(2500 * time.Millisecond) // two monitors
		ok = step("monitor", "true", "started")
	}
	if ok && step("stop", "gcrm resource stop "+resource, "stopped") {
		out.result = good
	}
	if out.tried = strings.Join(tried, ", "); out.result != good {
		out.said, _ = h.sh("tail -n 25 daemon.log || journalctl --no-pager -u gcrm -n 25")
	}
	h.sh("gcrm resource stop " + resource + " </dev/null; gcrm --wait resource cleanup w </dev/null; for i in $(seq 50); do gcrm -F configure delete " + resource + " w </dev/null >/dev/null 2>&1; gcrm configure show w >/dev/null 2>&1 || break; sleep 0.2; done")
	command, environment := "timeout 30 ocf-tester -n w", "OCF_RESOURCE_INSTANCE=w"
	for _, p := range paramWords(r.params) {
		command += " -o '" + p + "'"
		environment += " OCF_RESKEY_'" + p + "'"
	}
	path := folder + "/" + r.agent
	text, status := h.sh("OCF_ROOT=/usr/lib/ocf " + command + " " + path + " </dev/null")
	if out.tester = "ok"; status != "0" {
		out.tester = testerSays(text, status)
	}
	if status == "124" { // it was ended in the middle of things
		h.sh("env OCF_ROOT=/usr/lib/ocf " + environment + " timeout 50 " + path + " stop </dev/null >/dev/null 2>&1")
	}
	if r.after != "" {
		h.sh("(" + r.after + ") </dev/null >/dev/null 2>&1")
	}
	return out
}

var paramOf = regexp.MustCompile(`(\S+?)=(?:"([^"]*)"|(\S*))`)

// paramWords splits the parameters of a recipe into words, without quotes.
func paramWords(s string) (out []string) {
	for _, f := range paramOf.FindAllStringSubmatch(s, -1) {
		out = append(out, f[1]+"="+f[2]+f[3])
	}
	return out
}

// testerSays is what ocf-tester found wrong, in short.
func testerSays(text, status string) string {
	var found []string
	for line := range strings.Lines(text) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(line), "* rc="); ok {
			_, s, _ = strings.Cut(s, ": ")
			found = append(found, strings.TrimSpace(s))
		}
	}
	if len(found) == 0 {
		found = []string{"status " + status + ": " + lastLineOf(text)}
	}
	return strings.Join(slices.Compact(found), "; ")
}

func lastLineOf(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// stateOf is what the cluster says of the one resource, and its failed
// action, if there is one.
func stateOf(h host) (state, failure string) {
	text, _ := h.sh("gcrm status </dev/null")
	if _, failed, ok := strings.Cut(text, "Failed Resource Actions:"); ok {
		line, _, _ := strings.Cut(strings.TrimSpace(failed), "\n")
		return "", strings.TrimPrefix(line, "* ")
	}
	switch {
	case strings.Contains(text, "Promoted: ["):
		return "promoted", ""
	case strings.Contains(text, "Unpromoted") || strings.Contains(text, "Started node1"):
		return "started", ""
	}
	return "stopped", ""
}

// note writes a table into the documentation, where the one of the same heading was. Rows
// of agents that were not tried this time stay.
func note(t *testing.T, heading, how string, recipes []recipe, rows []row) {
	t.Helper()
	rewrite(t, heading, func(section string) string {
		lines := map[string]string{}
		for line := range strings.Lines(section) {
			if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| ") {
				lines[name] = line
			}
		}
		for _, r := range rows {
			if lines[r.agent] == "" || !strings.HasPrefix(r.result, "not tried") {
				lines[r.agent] = lineOf(r)
			}
		}
		return how + "\n\n" + tableOf(recipes, lines)
	})
}

// rewrite changes what is below a heading of the documentation, if there is one to write.
func rewrite(t *testing.T, heading string, change func(string) string) {
	t.Helper()
	if *agentsTable == "" {
		return
	}
	text, err := os.ReadFile(*agentsTable)
	if err != nil {
		t.Fatal(err)
	}
	before, section, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", *agentsTable, heading)
	}
	section, after, more := strings.Cut(section, "\n## ")
	if more {
		after = "\n## " + after
	}
	if err := os.WriteFile(*agentsTable, []byte(before+"\n"+heading+"\n\n"+change(section)+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

var momentOf = regexp.MustCompile(` at \w{3} \w{3} +\d+ [\d:]+ \d{4} after \S+`)

// lineOf is a row as documentation.
func lineOf(r row) string {
	cell := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(s), "|", "\\|"), "\n", " ")
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", r.agent, cell(r.tried), cell(momentOf.ReplaceAllString(r.result, "")), cell(r.tester))
}

// tableOf are lines as documentation, in the order of the recipes.
func tableOf(recipes []recipe, lines map[string]string) string {
	var b strings.Builder
	b.WriteString("| agent | actions | result | ocf-tester |\n| --- | --- | --- | --- |\n")
	did := 0
	for _, r := range recipes {
		if strings.Contains(lines[r.agent], "| "+good+" |") {
			did++
		}
		b.WriteString(lines[r.agent])
	}
	fmt.Fprintf(&b, "\n%d of %d did everything.\n", did, len(recipes))
	return b.String()
}
