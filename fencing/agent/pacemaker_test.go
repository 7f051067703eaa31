package agent

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcrm/cib"
	"gcrm/fencing"
)

var differential = flag.Bool("pacemaker", false, "compare with Pacemaker's fencing daemon (packages corosync, pacemaker, pacemaker-cli-utils; root), which runs in namespaces of its own")

// diffAgent notes what it is asked to do, fails where it is told to, and takes its
// time: then it notes the end, too. %s are the actions it has.
const diffAgent = `#!/bin/sh
while read -r line; do case $line in action=*) action=${line#*=};; plug=*) plug=${line#*=};; dev=*) dev=${line#*=};; log=*) log=${line#*=};; fail=*) fail=${line#*=};; slow=*) slow=${line#*=};; esac; done
case $action in
metadata) echo '<?xml version="1.0"?><resource-agent name="x" shortdesc="d"><longdesc>l</longdesc><parameters><parameter name="plug"><content type="string"/></parameter><parameter name="dev"><content type="string"/></parameter><parameter name="log"><content type="string"/></parameter><parameter name="fail"><content type="string"/></parameter><parameter name="slow"><content type="string"/></parameter></parameters><actions>%s</actions></resource-agent>'; exit 0;;
status|list|monitor) exit 0;;
esac
echo "$dev $action $plug" >> $log
if [ -n "$slow" ]; then sleep $slow; echo "$dev end $plug" >> $log; fi
case ,$fail, in *,$action,*) exit 1;; esac
exit 0
`

type diffCase struct {
	name    string
	devices []string // ID AGENT PARAMETER=VALUE...; "fail=off,on" lets actions fail
	levels  []string // INDEX HOW=WHOM DEVICE,DEVICE
	action  string   // of n1
	// also is asked for half a second later: ACTION TARGET.
	also string
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

	{name: "the second level", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "the first level is enough", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "levels by number", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1 fail=off"}, levels: []string{"7 target=n1 d1", "3 target=n1 d2"}, action: "off"},
	{name: "no level works", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off", "d2 fence_all pcmk_host_list=n1 fail=off"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "all of a level", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d2,d1"}, action: "off"},
	{name: "reboot by two", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1,d2"}, action: "reboot"},
	{name: "reboot by one", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "reboot"},
	{name: "on fails behind off", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=on", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1,d2"}, action: "reboot"},
	{name: "half of a level", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1 fail=off", "d3 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1,d2", "2 target=n1 d3"}, action: "reboot"},
	{name: "one that stays off", devices: []string{"d1 fence_all pcmk_host_list=n1 pcmk_reboot_action=off", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1,d2"}, action: "reboot"},
	{name: "one without reboot", devices: []string{"d1 fence_half pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "reboot"},
	{name: "a pattern", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target-pattern=n[0-9]$ d2"}, action: "off"},
	{name: "the name before a pattern", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target-pattern=n.* d1", "1 target=n1 d2"}, action: "off"},
	{name: "an attribute", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 rack=r1 d2"}, action: "off"},
	{name: "an attribute of others", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n2"}, levels: []string{"1 rack=r2 d2"}, action: "off"},
	{name: "a level of others", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n2"}, levels: []string{"1 target=n2 d2"}, action: "off"},
	{name: "a device that is not there", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d9,d1", "2 target=n1 d2"}, action: "off"},
	{name: "a device for others", devices: []string{"d1 fence_all pcmk_host_list=n2", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "attempts in levels", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off pcmk_off_retries=3", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "a hanging device", devices: []string{"d1 fence_all pcmk_host_list=n1 slow=8 pcmk_off_timeout=2s", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},
	{name: "on with levels", devices: []string{"d1 fence_all pcmk_host_list=n1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "on"},
	{name: "a delay in the second level", devices: []string{"d1 fence_all pcmk_host_list=n1 fail=off", "d2 fence_all pcmk_host_list=n1 pcmk_delay_base=2s"}, levels: []string{"1 target=n1 d1", "2 target=n1 d2"}, action: "off"},

	{name: "off twice at once", devices: []string{"d1 fence_all pcmk_host_list=n1 slow=2"}, action: "off", also: "off n1"},
	{name: "reboot twice at once", devices: []string{"d1 fence_all pcmk_host_list=n1 slow=2"}, action: "reboot", also: "reboot n1"},
	{name: "off during a reboot", devices: []string{"d1 fence_all pcmk_host_list=n1 slow=2"}, action: "reboot", also: "off n1"},
	{name: "reboot twice by two devices", devices: []string{"d1 fence_all pcmk_host_list=n1 slow=1", "d2 fence_all pcmk_host_list=n1"}, levels: []string{"1 target=n1 d1,d2"}, action: "reboot", also: "reboot n1"},
	{name: "one at a time", devices: []string{"d1 fence_all pcmk_host_list=n1,n2 slow=2"}, action: "off", also: "off n2"},
	{name: "several at a time", devices: []string{"d1 fence_all pcmk_host_list=n1,n2 slow=2 pcmk_action_limit=-1"}, action: "off", also: "off n2"},
}

// TestAgainstPacemaker lets a cluster of Pacemaker, with one node, and our runner
// do the same with the same devices and levels, and compares what the devices were
// asked to do, and what came of it.
func TestAgainstPacemaker(t *testing.T) {
	if !*differential {
		t.Skip("with -pacemaker it compares with Pacemaker's fencing daemon")
	}
	for _, program := range []string{"corosync", "pacemakerd", "stonith_admin"} {
		if _, err := exec.LookPath(program); err != nil || os.Geteuid() != 0 {
			t.Skip("SKIPPED: needs root and the packages corosync, pacemaker and pacemaker-cli-utils: ", err)
		}
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
	theirs(t, dir)
	for i, c := range diffCases {
		t.Run(c.name, func(t *testing.T) {
			read := func(what string) string {
				b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s%d", what, i)))
				return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "; ")
			}
			calls, result, took := ours(t, c, agents, filepath.Join(dir, fmt.Sprintf("ours%d", i)), func() string { return read("ours") })
			want, wantResult := read("theirs"), read("result")
			wantTook := read("took")
			if c.differs != "" {
				t.Logf("known: %s", c.differs)
				want = c.ours
			}
			if calls != want || result != wantResult {
				t.Errorf("ours: %s (%s, %s)\ntheirs: %s (%s, %s s)", calls, result, took, want, wantResult, wantTook)
			}
			if strings.HasPrefix(c.name, "a delay") && (took < 2*time.Second || wantTook < "2") {
				t.Errorf("the delay was not kept: ours took %s, theirs %s s", took, wantTook)
			}
		})
	}
}

// corosyncConf is a cluster of one node.
const corosyncConf = `totem {
  version: 2
  cluster_name: diff
  transport: udpu
}
quorum {
  provider: corosync_votequorum
}
nodelist {
  node {
    ring0_addr: 127.0.0.1
    name: here
    nodeid: 1
  }
}
logging {
  to_syslog: no
  to_stderr: yes
}
`

// Three nodes, two of which nobody ever saw; what Pacemaker does of its own accord
// about them is switched off.
const (
	diffNodes = `<nodes><node id="1" uname="here"/><node id="2" uname="n1"><instance_attributes id="n1-a"><nvpair id="n1-rack" name="rack" value="r1"/></instance_attributes></node><node id="3" uname="n2"/></nodes>`
	diffSetup = `cibadmin --replace -o nodes -X '` + diffNodes + `'
for o in startup-fencing=false maintenance-mode=true stonith-enabled=true; do crm_attribute -n ${o%=*} -v ${o#*=}; done
`
	// diffStart starts them where nothing of the host is touched.
	diffStart = `exec 3>&2 2>"$dir/setup.log"
for d in /var/lib/pacemaker /var/lib/corosync /dev/shm /run; do mount -t tmpfs none $d || exit; done
mkdir -p /var/lib/pacemaker/cib /var/lib/pacemaker/pengine /var/lib/pacemaker/blackbox /var/lib/pacemaker/cores /run/crm /run/lock
chown -R hacluster:haclient /var/lib/pacemaker /run/crm
mount -t overlay overlay -o lowerdir=$dir/agents:/usr/sbin /usr/sbin || exit
hostname here
ip link set lo up
corosync -f -c $dir/corosync.conf >$dir/corosync.log 2>&1 &
corosync=$!
for i in $(seq 60); do corosync-quorumtool -s >/dev/null && break; sleep 1; done
PCMK_logfile=$dir/pacemaker.log pacemakerd >/dev/null 2>&1 &
pacemaker=$!
for i in $(seq 60); do crm_mon -1 | grep -q 'Online.*here' && break; sleep 1; done
exec 2>&3
`
	diffEnd = `kill $pacemaker
wait $pacemaker
kill $corosync
wait
`
)

// resources are the devices and levels of a case as both sides get them.
func (c diffCase) resources(log string) (resources, topology *cib.Element) {
	resources, topology = cib.NewElement("resources"), cib.NewElement("fencing-topology")
	for _, d := range c.devices {
		f := strings.Fields(d)
		params := cib.NewElement("instance_attributes", "id", f[0]+"-p")
		for _, p := range append(f[2:], "dev="+f[0], "log="+log) {
			k, v, _ := strings.Cut(p, "=")
			params.Add(cib.NewElement("nvpair", "id", f[0]+"-"+k, "name", k, "value", v))
		}
		resources.Add(cib.NewElement("primitive", "id", f[0], "class", "stonith", "type", f[1]).Add(params))
	}
	for i, l := range c.levels {
		f := strings.Fields(l)
		// Pacemaker 2.1.5 keeps the old one of a level that changes under its id.
		id := fmt.Sprintf("%s-%d", filepath.Base(log), i)
		e := cib.NewElement("fencing-level", "id", id, "index", f[0], "devices", f[2])
		if k, v, _ := strings.Cut(f[1], "="); strings.HasPrefix(k, "target") {
			e.Set(k, v)
		} else {
			e.Set("target-attribute", k)
			e.Set("target-value", v)
		}
		topology.Add(e)
	}
	return resources, topology
}

// requests are what is asked for, in turn.
func (c diffCase) requests() [][2]string {
	out := [][2]string{{c.action, "n1"}}
	if action, target, ok := strings.Cut(c.also, " "); ok {
		out = append(out, [2]string{action, target})
	}
	return out
}

// theirs runs all cases on a cluster of Pacemaker.
func theirs(t *testing.T, dir string) {
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("corosync.conf", corosyncConf)
	var b bytes.Buffer
	fmt.Fprintf(&b, "dir=%s\n%s%s", dir, diffStart, diffSetup)
	for i, c := range diffCases {
		resources, topology := c.resources(filepath.Join(dir, fmt.Sprintf("theirs%d", i)))
		for section, e := range map[string]*cib.Element{"resources": resources, "fencing-topology": topology} {
			fmt.Fprintf(&b, "cibadmin --modify --allow-create -o configuration -X '<%s/>'\ncibadmin --replace -o %s -x %s\n", section, section, write(fmt.Sprintf("%s%d.xml", section, i), e.String()))
		}
		// The daemon has read the devices when it knows just these; the levels
		// come a little later.
		fmt.Fprintf(&b, "for i in $(seq 100); do [ \"$(stonith_admin -L 2>/dev/null | grep -c 'd[0-9]$')\" = %d ] && break; sleep 0.1; done\nsleep 3\nbegun=$(date +%%s)\n", len(c.devices))
		for n, r := range c.requests() {
			verb := map[string]string{"on": "--unfence", "off": "--fence", "reboot": "--reboot"}[r[0]]
			fmt.Fprintf(&b, "sleep 0.%d\n(if timeout 60 stonith_admin %s %s -t 30 >/dev/null 2>&1; then echo done; else echo failed; fi >$dir/result%d.%d) &\np%d=$!\n", 5*n, verb, r[1], i, n, n)
		}
		for n := range c.requests() {
			fmt.Fprintf(&b, "wait $p%d\n", n)
		}
		fmt.Fprintf(&b, "echo $(($(date +%%s)-begun)) >$dir/took%d\nsleep 0.3\ncat $dir/result%d.* >$dir/result%d\n", i, i, i)
	}
	b.WriteString(diffEnd)
	out, err := exec.Command("unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", write("theirs.sh", b.String())).CombinedOutput()
	if _, serr := os.Stat(filepath.Join(dir, "result0")); serr != nil {
		setup, _ := os.ReadFile(filepath.Join(dir, "setup.log"))
		t.Skipf("SKIPPED: Pacemaker did not run here: %v\n%s%s", err, out, setup)
	}
	if strings.TrimSpace(string(out)) != "" {
		t.Logf("%s", out)
	}
}

// ours runs a case on our own runner.
func ours(t *testing.T, c diffCase, agents, log string, read func() string) (calls, result string, took time.Duration) {
	resources, topology := c.resources(log)
	doc, err := cib.Parse(`<cib><configuration><crm_config/>` + diffNodes + resources.String() + `<constraints/>` + topology.String() + `</configuration><status/></cib>`)
	if err != nil {
		t.Fatal(err)
	}
	f := Finder{Dirs: []string{agents}}
	registry := fencing.NewRegistry(nil, f.Find, f.Names)
	// The power of these devices cannot be read, so that their word has to do.
	r := fencing.NewRunner(fencing.RunnerConfig{Self: "here", Registry: registry})
	defer r.Close()
	r.Configure(doc, fencing.Sources{Agents: registry, Proves: func(string) (fencing.Proves, bool) { return fencing.Reports, true }})
	r.Members(fencing.Members{Nodes: []string{"here"}, Quorate: true})
	requests := c.requests()
	results := slices.Repeat([]string{"done"}, len(requests))
	begun := time.Now()
	var all sync.WaitGroup
	for n, q := range requests {
		all.Go(func() {
			time.Sleep(time.Duration(n) * 500 * time.Millisecond)
			if _, err := r.Fence(t.Context(), fencing.Request{Target: q[1], Action: q[0], Client: fmt.Sprint("test", n), Timeout: 30 * time.Second, Manual: true}); err != nil {
				results[n] = "failed"
				t.Logf("ours says: %v", err)
			}
		})
	}
	all.Wait()
	took = time.Since(begun)
	// Switching on comes after the answer, and may need several attempts.
	calls = read()
	patience := time.Second
	if len(c.levels) > 0 {
		patience = 8 * time.Second
	}
	for last := time.Now(); c.action == "reboot" && time.Since(last) < patience; time.Sleep(100 * time.Millisecond) {
		if now := read(); now != calls {
			calls, last = now, time.Now()
		}
	}
	return calls, strings.Join(results, "; "), took
}
