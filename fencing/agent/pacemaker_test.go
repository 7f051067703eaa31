package agent

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
)

var differential = flag.Bool("pacemaker", false, "compare with Pacemaker's fencing daemon (packages pacemaker, pacemaker-cli-utils; root), which runs in namespaces of its own")

// diffAgent notes what it is asked to do, and fails where it is told to. %s are
// the actions it has.
const diffAgent = `#!/bin/sh
while read -r line; do case $line in action=*) action=${line#*=};; plug=*) plug=${line#*=};; dev=*) dev=${line#*=};; log=*) log=${line#*=};; fail=*) fail=${line#*=};; esac; done
case $action in
metadata) echo '<?xml version="1.0"?><resource-agent name="x" shortdesc="d"><longdesc>l</longdesc><parameters><parameter name="plug"><content type="string"/></parameter><parameter name="dev"><content type="string"/></parameter><parameter name="log"><content type="string"/></parameter><parameter name="fail"><content type="string"/></parameter></parameters><actions>%s</actions></resource-agent>'; exit 0;;
status|list|monitor) exit 0;;
esac
echo "$dev $action $plug" >> $log
case ,$fail, in *,$action,*) exit 1;; esac
exit 0
`

type diffCase struct {
	name    string
	devices []string // ID AGENT PARAMETER=VALUE...; "fail=off,on" lets actions fail
	action  string
	// differs says, if it is set, in what gcrm does otherwise, and its calls.
	differs, ours string
}

var diffCases = []diffCase{
	{name: "one device", devices: []string{"d1 fence_all pcmk_host_list=n1"}, action: "reboot"},
	{name: "off", devices: []string{"d1 fence_all pcmk_host_list=n1"}, action: "off"},
	{name: "on", devices: []string{"d1 fence_all pcmk_host_list=n1"}, action: "on"},
	{name: "the map", devices: []string{"d1 fence_all pcmk_host_map=n1:7;n2:8"}, action: "off"},
	{name: "two plugs", devices: []string{"d1 fence_all pcmk_host_map=n1:7,8"}, action: "off"},
	{name: "not in the list", devices: []string{"d1 fence_all pcmk_host_list=n2"}, action: "off"},
	{name: "no reboot in the agent", devices: []string{"d1 fence_half pcmk_host_list=n1"}, action: "reboot"},
	{name: "reboot as off", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_reboot_action=off"}, action: "reboot"},
	{name: "off by another word", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_off_action=reboot"}, action: "off"},
	{name: "a configured plug wins", devices: []string{"d1 fence_all pcmk_host_list=n1 plug=fixed"}, action: "off"},
	{name: "no argument", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_host_argument=none"}, action: "off"},
	{name: "attempts", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off pcmk_off_retries=3"}, action: "off"},
	{name: "default attempts", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off"}, action: "off"},
	{name: "hosts by status", devices: []string{"d1 fence_all pcmk_host_check=status"}, action: "off"},
	{name: "any host", devices: []string{"d1 fence_all pcmk_host_check=none"}, action: "reboot"},
	{name: "names in another case", devices: []string{"d1 fence_all pcmk_host_list=N1"}, action: "off"},
	{name: "a map in another case", devices: []string{"d1 fence_all pcmk_host_map=N1:port9"}, action: "off"},
	{name: "on fails", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=on"}, action: "on"},
	{name: "reboot fails", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=reboot"}, action: "reboot"},
	{name: "one attempt", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=reboot pcmk_reboot_retries=1"}, action: "reboot"},
	{name: "no reboot, attempts of off", devices: []string{"d1 fence_half pcmk_host_list=n1 fail=off pcmk_off_retries=3"}, action: "reboot"},
	{name: "a plug that is dynamic", devices: []string{"d1 fence_all pcmk_host_map=n1:7 plug=dynamic"}, action: "off",
		differs: "Pacemaker 2.1.5 passes the word on; later ones replace it, as here", ours: "d1 off 7"},
	{name: "a delay", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_delay_base=2s"}, action: "off"},
	{name: "no delay for on", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_delay_base=2s"}, action: "on"},
}

// TestAgainstPacemaker: of its own accord, without a cluster, Pacemaker's daemon
// knows no topology, so that only single devices are compared here. It lets Pacemaker's daemon and ours do the same with the
// same devices, and compares what the devices were asked to do, and what came of
// it.
func TestAgainstPacemaker(t *testing.T) {
	if !*differential {
		t.Skip("with -pacemaker it compares with Pacemaker's fencing daemon")
	}
	daemon := "/usr/lib/pacemaker/pacemaker-fenced"
	if _, err := os.Stat(daemon); err != nil || os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root and the package pacemaker: ", err)
	}
	dir := t.TempDir()
	agents := filepath.Join(dir, "agents")
	if err := os.Mkdir(agents, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, actions := range map[string]string{"fence_all": "on off reboot status list monitor metadata", "fence_half": "on off status list monitor metadata"} {
		var b strings.Builder
		for a := range strings.FieldsSeq(actions) {
			fmt.Fprintf(&b, `<action name="%s"/>`, a)
		}
		if err := os.WriteFile(filepath.Join(agents, name), []byte(fmt.Sprintf(diffAgent, b.String())), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	theirs(t, dir, daemon)
	for i, c := range diffCases {
		t.Run(c.name, func(t *testing.T) {
			read := func(what string) string {
				b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s%d", what, i)))
				return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "; ")
			}
			calls, result := ours(t, c, agents, filepath.Join(dir, fmt.Sprintf("ours%d", i)), func() string { return read("ours") })
			want, wantResult := read("theirs"), read("result")
			wantTook := read("took")
			if c.name == "a delay" && wantTook < "2" {
				t.Errorf("theirs did not keep the delay: %s s", wantTook)
			}
			if c.differs != "" {
				t.Logf("known: %s", c.differs)
				want = c.ours
			}
			if calls != want || result != wantResult {
				t.Errorf("ours: %s (%s)\ntheirs: %s (%s, %s s)", calls, result, want, wantResult, wantTook)
			}
		})
	}
}

// theirs runs all cases on Pacemaker's daemon.
func theirs(t *testing.T, dir, daemon string) {
	var b strings.Builder
	fmt.Fprintf(&b, "set -e\nmount -t tmpfs none /var/lib/pacemaker\nmount -t tmpfs none /dev/shm\nmount -t overlay overlay -o lowerdir=%s/agents:/usr/sbin /usr/sbin\nip link set lo up\nset +e\n", dir)
	fmt.Fprintf(&b, "PCMK_logfile=%s/fenced.log %s -s >/dev/null 2>&1 &\npid=$!\nfor i in 1 2 3 4 5 6 7 8 9; do stonith_admin -L >/dev/null 2>&1 && break; sleep 0.5; done\n", dir, daemon)
	for i, c := range diffCases {
		var ids []string
		for _, d := range c.devices {
			f := strings.Fields(d)
			ids = append(ids, f[0])
			fmt.Fprintf(&b, "stonith_admin -R %s -a %s -o dev=%s -o log=%s/theirs%d", f[0], f[1], f[0], dir, i)
			for _, p := range f[2:] {
				fmt.Fprintf(&b, " -o '%s'", p)
			}
			b.WriteString("\n")
		}
		verb := map[string]string{"on": "--unfence", "off": "--fence", "reboot": "--reboot"}[c.action]
		fmt.Fprintf(&b, "begun=$(date +%%s)\nif timeout 60 stonith_admin %s n1 -t 30 >/dev/null 2>&1; then echo done; else echo failed; fi >%s/result%d\necho $(($(date +%%s)-begun)) >%s/took%d\nsleep 0.3\n", verb, dir, i, dir, i)
		for _, id := range ids {
			fmt.Fprintf(&b, "stonith_admin -D %s\n", id)
		}
	}
	b.WriteString("kill $pid\nwait\n")
	script := filepath.Join(dir, "theirs.sh")
	if err := os.WriteFile(script, []byte(b.String()), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", script).CombinedOutput()
	if _, serr := os.Stat(filepath.Join(dir, "result0")); serr != nil {
		t.Skipf("SKIPPED: Pacemaker's daemon did not run here: %v\n%s", err, out)
	}
	if strings.TrimSpace(string(out)) != "" {
		t.Logf("%s", out)
	}
}

// ours runs a case on our own runner.
func ours(t *testing.T, c diffCase, agents, log string, read func() string) (calls, result string) {
	doc, err := cib.Parse(`<cib><configuration><crm_config/><nodes><node id="1" uname="n1"/><node id="2" uname="n2"/><node id="3" uname="here"/></nodes><resources/><constraints/><fencing-topology/></configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range c.devices {
		f := strings.Fields(d)
		params := cib.NewElement("instance_attributes", "id", f[0]+"-p")
		for _, p := range append(f[2:], "dev="+f[0], "log="+log) {
			k, v, _ := strings.Cut(p, "=")
			params.Add(cib.NewElement("nvpair", "id", f[0]+"-"+k, "name", k, "value", v))
		}
		doc.Section("resources").Add(cib.NewElement("primitive", "id", f[0], "class", "stonith", "type", f[1]).Add(params))
	}
	f := Finder{Dirs: []string{agents}}
	registry := fencing.NewRegistry(nil, f.Find, f.Names)
	// The power of these devices cannot be read, so that their word has to do.
	r := fencing.NewRunner(fencing.RunnerConfig{Self: "here", Registry: registry})
	defer r.Close()
	r.Configure(doc, fencing.Sources{Agents: registry, Proves: func(string) (fencing.Proves, bool) { return fencing.Reports, true }})
	r.Members(fencing.Members{Nodes: []string{"here"}, Quorate: true})
	result = "done"
	begun := time.Now()
	if _, err := r.Fence(t.Context(), fencing.Request{Target: "n1", Action: c.action, Client: "test", Timeout: 30 * time.Second, Manual: true}); err != nil {
		result = "failed"
		t.Logf("ours says: %v", err)
	}
	took := time.Since(begun)
	if slow := strings.Contains(c.name, "a delay"); slow && took < 2*time.Second {
		t.Errorf("the delay was not kept: %s", took)
	}
	time.Sleep(200 * time.Millisecond) // what comes after the answer
	return read(), result
}
