package lab

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Stack is a cluster on the machines: gcrm, or the one it is compared with. Both read
// the same scripts.
type Stack interface {
	// Name is what people call it.
	Name() string
	// Form makes a cluster of the machines, without resources, that starts at boot.
	Form()
	// Configure commits statements of the crm language.
	Configure(node, statements string)
	// Members waits until so many nodes are there, as one of them sees it.
	Members(seen string, online int) time.Duration
	// Place is the node where a resource runs, "" if on none or nobody can tell.
	Place(seen, resource string) string
	// Operations are the starts and stops that the history has, with their times.
	Operations(seen string) string
	// Standby takes a node out of service, or back into it; it does not wait.
	Standby(seen, node string, on bool)
	// End stops what is configured, and the cluster, and keeps it from starting again.
	End()
}

// Settled waits until a resource runs on some node other than the given one, and tells
// which.
func (m *Machines) Settled(s Stack, seen, resource, not string) (place string) {
	m.t.Helper()
	m.Wait(s.Name()+": "+resource+" runs elsewhere than on "+not, func() bool {
		place = s.Place(seen, resource)
		return place != "" && place != not
	}, &place)
	return place
}

// stopped waits until a status shows nothing any more that runs.
func (m *Machines) stopped(stack, status string) {
	m.t.Helper()
	var words string
	m.Wait(stack+": everything has stopped", func() bool {
		out, err := m.Try(m.names[0], status)
		words = out
		return err == nil && !strings.Contains(out, "Started") && !strings.Contains(out, "Stopping")
	}, &words)
}

// gcrmStack is gcrm on some of the machines.
type gcrmStack struct {
	*Machines
	cluster Cluster
}

// Gcrm is a cluster of gcrm.
func (m *Machines) Gcrm(c Cluster) Stack { return &gcrmStack{m, c} }

func (g *gcrmStack) Name() string { return "gcrm" }
func (g *gcrmStack) Form()        { g.t.Helper(); g.Machines.Form(g.cluster) }

var locatedOn = regexp.MustCompile(`(?m)running on: *([^\s,(]+)`)

func (g *gcrmStack) Place(seen, resource string) string {
	out, err := g.Try(seen, "gcrm resource locate "+resource)
	if f := locatedOn.FindStringSubmatch(out); err == nil && f != nil {
		return f[1]
	}
	return ""
}

func (g *gcrmStack) Operations(seen string) string {
	out, _ := g.Try(seen, "gcrm status ops timing")
	return movements(out)
}

func (g *gcrmStack) Standby(seen, node string, on bool) {
	g.t.Helper()
	g.Run(seen, "gcrm node "+map[bool]string{true: "standby ", false: "online "}[on]+node)
}

func (g *gcrmStack) End() {
	g.t.Helper()
	g.Run(g.names[0], "gcrm configure property stop-all-resources=true")
	g.stopped(g.Name(), "gcrm status")
	for _, n := range g.names {
		g.Run(n, "systemctl disable --quiet gcrm; systemctl stop gcrm; rm -rf /var/lib/gcrm /run/gcrm")
	}
}

// pacemaker is Corosync and Pacemaker on all machines.
type pacemaker struct {
	*Machines
	cluster Cluster
}

// Pacemaker is a cluster of Corosync, Pacemaker and crmsh.
func (m *Machines) Pacemaker(c Cluster) Stack { return pacemaker{m, c} }

func (p pacemaker) Name() string { return "Pacemaker" }

func (p pacemaker) Form() {
	p.t.Helper()
	var nodes strings.Builder
	for i, n := range p.names {
		fmt.Fprintf(&nodes, "  node { name: %s\n nodeid: %d\n ring0_addr: 10.9.1.%d }\n", n, i+1, i+1)
	}
	two := 0
	if len(p.names) == 2 {
		two = 1
	}
	token := "" // its default
	if p.cluster.Token > 0 {
		token = fmt.Sprintf(" token: %d\n", p.cluster.Token.Milliseconds())
	}
	conf := fmt.Sprintf("totem { version: 2\n cluster_name: %s\n%s transport: knet\n crypto_cipher: none\n crypto_hash: none }\nnodelist {\n%s}\nquorum { provider: corosync_votequorum\n two_node: %d }\nlogging { to_syslog: yes }\n", p.cluster.Name, token, &nodes, two)
	// The blocks of its language begin on lines of their own.
	conf = strings.ReplaceAll(strings.ReplaceAll(conf, "{ ", "{\n "), " }", "\n}")
	for _, n := range p.names {
		p.Run(n, "systemctl stop pacemaker corosync 2>/dev/null; rm -rf /var/lib/pacemaker/cib/* /var/lib/corosync/*; cat >/etc/corosync/corosync.conf <<'END'\n"+conf+"END\nsystemctl enable --quiet corosync pacemaker; sync; systemctl start --no-block corosync pacemaker")
	}
	p.Members(p.names[0], len(p.names))
}

var pacemakerOnline = regexp.MustCompile(`(?m)\* Online: \[ ([^\]]*) \]`)

func (p pacemaker) Members(seen string, online int) time.Duration {
	p.t.Helper()
	var words string
	return p.Wait(fmt.Sprintf("Pacemaker: %d nodes are members", online), func() bool {
		out, err := p.Try(seen, "crm_mon -1")
		words = out
		f := pacemakerOnline.FindStringSubmatch(out)
		return err == nil && f != nil && len(strings.Fields(f[1])) == online
	}, &words)
}

func (p pacemaker) Configure(node, statements string) {
	p.t.Helper()
	p.Run(node, "cat >/tmp/setup.crm <<'END'\nconfigure\n"+statements+"\ncommit\nEND\ncrm -f /tmp/setup.crm")
}

var pacemakerLocated = regexp.MustCompile(`is running on: *(\S+)`)

func (p pacemaker) Place(seen, resource string) string {
	out, err := p.Try(seen, "crm_resource --locate -r "+resource)
	if f := pacemakerLocated.FindStringSubmatch(out); err == nil && f != nil {
		return f[1]
	}
	return ""
}

func (p pacemaker) Operations(seen string) string {
	out, _ := p.Try(seen, "crm_mon -1 -o -t")
	return movements(out)
}

func (p pacemaker) Standby(seen, node string, on bool) {
	p.t.Helper()
	p.Run(seen, "crm_attribute --type nodes --node "+node+" --name standby --update "+map[bool]string{true: "on", false: "off"}[on])
}

func (p pacemaker) End() {
	p.t.Helper()
	p.Run(p.names[0], "crm_attribute --type crm_config --name stop-all-resources --update true")
	p.stopped(p.Name(), "crm_mon -1")
	for _, n := range p.names {
		p.Run(n, "systemctl disable --quiet corosync pacemaker; systemctl stop pacemaker corosync")
	}
}

var (
	operationsOf = regexp.MustCompile(`^ *\* (?:Node: )?(\S+):`)
	movement     = regexp.MustCompile(`\* \(\d+\) (start|stop|promote|demote): last-rc-change="\w+ \w+ +\d+ ([\d:]+) \d+" exec-time="(\w+)"`)
)

// movements finds the starts and stops in what crm_mon -o -t and gcrm's status ops timing
// print alike.
func movements(text string) string {
	var b strings.Builder
	of := ""
	for line := range strings.Lines(text) {
		if f := movement.FindStringSubmatch(line); f != nil {
			fmt.Fprintf(&b, "%s %s %s %s\n", f[2], of, f[1], f[3])
		} else if f := operationsOf.FindStringSubmatch(line); f != nil {
			of = f[1]
		}
	}
	return b.String()
}

// Stacks are those of a list of names separated by commas, gcrm and pacemaker.
func (m *Machines) Stacks(list string, c Cluster) (out []Stack) {
	m.t.Helper()
	for name := range strings.SplitSeq(list, ",") {
		switch name {
		case "gcrm":
			out = append(out, m.Gcrm(c))
		case "pacemaker":
			out = append(out, m.Pacemaker(c))
		default:
			m.t.Fatalf("%q is no stack; there are gcrm and pacemaker", name)
		}
	}
	return out
}

// Other is the other one of the first two machines.
func (m *Machines) Other(node string) string {
	if node == m.names[0] {
		return m.names[1]
	}
	return m.names[0]
}
